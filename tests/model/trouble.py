"""What goes wrong between the reconciler and the outside, for any charon, fake or real."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from reconciler.core.observed import Observed
from reconciler.edges.state import State
from reconciler.errors import IkeRefused, IkeUnreachable, StateError
from reconciler.ports import Ike
from tests.fake_ike import Killed


@dataclass
class Trouble:
    """What is to go wrong, counted down while the reconciler works. 0 and empty: nothing.

    Attributes:
        kill_after: effects on the outside, after which the reconciler is killed.
        lose_request: the number of the next request that does not reach charon.
        lose_answer: the number of the next request that charon carries out without an answer.
        refuse: kinds of requests, of which the next one each is refused.
        unreachable_rounds: rounds in which charon can't be asked.
        full_rounds: rounds in which the state volume is full.

    """

    kill_after: int = 0
    lose_request: int = 0
    lose_answer: int = 0
    refuse: set[str] = field(default_factory=set)
    unreachable_rounds: int = 0
    full_rounds: int = 0

    def end(self) -> None:
        """Let nothing go wrong any more."""
        self.kill_after = self.lose_request = self.lose_answer = 0
        self.unreachable_rounds = self.full_rounds = 0
        self.refuse.clear()

    def round_ended(self) -> None:
        """Count the rounds down."""
        self.unreachable_rounds = max(0, self.unreachable_rounds - 1)
        self.full_rounds = max(0, self.full_rounds - 1)

    def effect(self) -> None:
        """Note that something outside has changed: a moment in which one can be killed."""
        self.kill_after, now = _count_down(self.kill_after)
        if now:
            raise Killed


class TroubledIke:
    """The `Ike` port with trouble on the way, whatever its requests are.

    Attributes:
        requests: those that reached charon, with their arguments that are texts.

    """

    def __init__(self, inner: Ike, trouble: Trouble) -> None:
        self.inner = inner
        self.trouble = trouble
        self.requests: list[tuple[str, ...]] = []

    def observe(self, *, deep: bool) -> Observed:
        if self.trouble.unreachable_rounds:
            raise IkeUnreachable("no answer within 10 s")
        return self.inner.observe(deep=deep)

    def close(self) -> None:
        self.inner.close()

    def __getattr__(self, request: str) -> Callable[..., None]:
        return partial(self._send, request)

    def _send(self, request: str, *arguments: object) -> None:
        trouble = self.trouble
        trouble.lose_request, lost = _count_down(trouble.lose_request)
        if trouble.unreachable_rounds or lost:
            raise IkeUnreachable("no answer within 10 s")
        if request in trouble.refuse:
            trouble.refuse.discard(request)
            raise IkeRefused("refused by the test")
        self.requests.append((request, *(word for word in arguments if isinstance(word, str))))
        getattr(self.inner, request)(*arguments)
        trouble.effect()
        trouble.lose_answer, lost = _count_down(trouble.lose_answer)
        if lost:
            raise IkeUnreachable("no answer within 10 s")


class TroubledState(State):
    """The state volume with trouble: it fills up, and one is killed right after a write."""

    trouble: Trouble

    def write_accepted(self, accepted: Mapping[str, Any]) -> None:
        self._check()
        super().write_accepted(accepted)
        self.trouble.effect()

    def write_swanctl(self, text: str) -> None:
        self._check()
        super().write_swanctl(text)
        self.trouble.effect()

    def _check(self) -> None:
        if self.trouble.full_rounds:
            raise StateError("No space left on device")


def _count_down(left: int) -> tuple[int, bool]:
    """Return what is left after one more, and whether this was the one."""
    return max(0, left - 1), left == 1
