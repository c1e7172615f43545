"""charon's container made of values, for tests that need speed or faults."""

from dataclasses import dataclass, field

from reconciler.core.actions import ContainerAction, UnpauseContainer
from reconciler.core.status import ContainerStatus
from reconciler.errors import ContainerRefused
from tests.fake_ike import FakeIke


@dataclass
class FakeContainer:
    """Docker's view of the container. `refusal`: Docker does nothing and says this instead.

    `incurable`: charon does not answer even after it was started.
    """

    ike: FakeIke
    seen: ContainerStatus = field(
        default_factory=lambda: ContainerStatus(name="gateway", state="running", started_at=1)
    )
    done: list[str] = field(default_factory=list)
    refusal: str = ""
    incurable: bool = False

    def put(self, state: str, **changes: object) -> None:
        """Change its state from outside. Only in a running container can charon answer."""
        self.seen = self.seen.model_copy(update={"state": state, **changes})
        self.ike.reachable = state == "running" and not self.incurable

    def observe(self) -> ContainerStatus:
        return self.seen

    def carry_out(self, action: ContainerAction) -> None:
        self.done.append(type(action).__name__)
        if self.refusal:
            raise ContainerRefused(self.refusal)
        anew = 0 if isinstance(action, UnpauseContainer) else 1
        self.put("running", started_at=self.seen.started_at + anew)
