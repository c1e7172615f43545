"""What a fault is, and what one run of it showed."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from typing import Any

from faults.notice import Notice
from faults.pings import Pings
from faults.stage import Stage
from tests.e2e.stack import SITES

ALL = tuple(SITES)
_LOOK_EVERY_S = 0.25
# What is done to a container shows within that time.
_SETTLES_S = 0.2


class NotHealedError(AssertionError):
    """Not everything was as declared by the deadline."""


class Play:
    """One run of a fault: what a fault's function does it with.

    Attributes:
        undo: what to put right when the run is over, healed or not.

    """

    def __init__(self, stage: Stage, pings: Pings, deadline_s: float) -> None:
        self.stage = stage
        self.pings = pings
        self.deadline_s = deadline_s
        self.undo = ExitStack()
        self.healed_s: list[float] = []
        self.points: list[str] = []
        self.began = time.time()
        self.began_s = time.monotonic()
        self._from_s = self.began_s
        self._proof_from_s = self.began_s

    def begins(self) -> None:
        """Say that the fault is about to begin: what was noticed before does not count."""
        self.began, self.began_s = time.time(), time.monotonic()
        self._from_s = self.began_s

    def counts_from_here(self) -> None:
        """Say that nobody could have healed it before: the cause ends now."""
        self._from_s = time.monotonic()

    def let_pass(self, seconds: float) -> None:
        """Wait until the fault has lasted that long."""
        time.sleep(max(0.0, seconds - (time.monotonic() - self.began_s)))

    def heal(self) -> None:
        """Wait until everything is as declared, and note how long that took."""
        self._proof_from_s = time.monotonic() + _SETTLES_S
        self.healed_s.append(self._wait())

    def took(self, seconds: float) -> None:
        """Note a time that the fault's function measured itself."""
        self.healed_s.append(seconds)

    def _wait(self) -> float:
        """Return the seconds after which all was as declared, which then had to last a moment."""
        while True:
            at_s = time.monotonic()
            wrong = self._wrong() or self.stage.planned() or self._wrong()
            if not wrong:
                return at_s - self._from_s
            if at_s - self._from_s > self.deadline_s:
                raise NotHealedError(f"not as declared after {self.deadline_s:g} s: {wrong}")
            time.sleep(_LOOK_EVERY_S)

    def _wrong(self) -> str:
        return self.stage.not_as_declared(self.pings, self._proof_from_s)


def ping_every_s(airport: str) -> float:
    """Return how often a tunnel is pinged: a whole fleet less often than the three sites."""
    return 0.05 if airport in SITES else 1.0


def nothing_around(_stage: Stage) -> AbstractContextManager[None]:
    """Most faults need nothing beside the stack."""
    return nullcontext()


def always_possible() -> str:
    """Most faults can be played on every machine."""
    return ""


@dataclass(frozen=True, slots=True)
class Fault:
    """One row of the table.

    Attributes:
        hits: airports that may lose packets by it; all others must not lose one.
        deadline_s: by then everything must be as declared.
        around: what the fault needs beside the stack, for all its runs.
        needs: why it can't be played on this machine; empty if it can.
        at_most: runs, however many were asked for.

    """

    name: str
    title: str
    play: Callable[[Play], None]
    deadline_s: float
    hits: tuple[str, ...] = ()
    counted_from: str = "the fault"
    around: Callable[[Stage], AbstractContextManager[None]] = nothing_around
    needs: Callable[[], str] = always_possible
    at_most: int = 1000


@dataclass(frozen=True, slots=True)
class Run:
    """What one run showed. `lost`: pings by airport; `failure`: empty if it held."""

    healed_s: tuple[float, ...]
    lost: dict[str, int]
    noticed: Notice | None
    failure: str = ""
    points: tuple[str, ...] = field(default=())

    def as_json(self) -> dict[str, Any]:
        """Return everything, rounded to what can be told."""
        return {
            "healed_s": [round(seconds, 2) for seconds in self.healed_s],
            "lost_pings": self.lost,
            "noticed": self.noticed.sign if self.noticed else "",
            "noticed_after_s": round(self.noticed.after_s, 2) if self.noticed else None,
            "failure": self.failure,
            **({"points": list(self.points)} if self.points else {}),
        }
