"""Back-off as plain numbers: when the next attempt may be made."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from reconciler.core.actions import Action, StartChild

FIRST_S = 5.0
LONGEST_S = 300.0


@dataclass(frozen=True, slots=True)
class Attempts:
    """Attempts at one thing so far. `next_s`: not before this time (seconds, monotonic)."""

    child_name: str
    count: int
    next_s: float


def delay_s(count: int, jitter: float, first_s: float = FIRST_S) -> float:
    """Seconds after attempt number `count` (from 1): 5 doubling, times 0.5 to 1.5, at most 300.

    `jitter` in [0, 1) is passed in, so the same input gives the same answer.
    """
    doubled = first_s * 2 ** min(count - 1, 16)
    return float(min(doubled * (0.5 + jitter), LONGEST_S))


def hold_back(
    actions: Iterable[Action], attempts: Mapping[str, Attempts], now_s: float
) -> list[Action]:
    """Leave out attempts that are not due yet. Everything else is never held back."""
    return [
        action
        for action in actions
        if not isinstance(action, StartChild)
        or (before := attempts.get(action.name)) is None
        or before.child_name != action.child_name
        or before.next_s <= now_s
    ]


def after_attempt(
    action: StartChild, before: Attempts | None, now_s: float, jitter: float
) -> Attempts:
    """Count one more attempt; a changed declaration begins anew."""
    count = 1 + (before.count if before and before.child_name == action.child_name else 0)
    return Attempts(action.child_name, count, now_s + delay_s(count, jitter))
