"""What the model needs of a charon beside its port: a look into it, time, restarts, sites."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from reconciler.core.observed import IkeSa
from reconciler.ports import Ike
from tests.fake_charon import FakeSite


class Charon(Ike, Protocol):
    """The fake one, or a real one of which the test remembers what was loaded.

    `refused`: connections whose site had no use for the key that the hub answered with.
    """

    sites: list[FakeSite]
    refused: list[str]

    @property
    def connections(self) -> Mapping[str, Mapping[str, Any]]:
        """Everything loaded, by name."""

    @property
    def secrets(self) -> Mapping[str, tuple[str, bytes]]:
        """Owner and key of everything loaded, by id."""

    @property
    def sas(self) -> Sequence[IkeSa]:
        """Every IKE_SA."""

    def age(self, seconds: float) -> None:
        """Let time pass."""

    def restart(self, now: int, saved: Path | None = None) -> None:
        """Kill it; the next one is empty, or has loaded what was saved."""

    def dial(self, site: FakeSite, *, initial_contact: bool = True) -> bool:
        """Let the site dial in. True: the tunnel is up."""

    def hang_up(self, site: FakeSite) -> None:
        """Let the site end all that it knows of."""

    def close_child(self, site: FakeSite) -> None:
        """Let the site end one CHILD_SA; its IKE_SA stays."""

    def held_by(self, site: FakeSite) -> Sequence[IkeSa]:
        """Return the IKE_SAs that both sides know of."""
