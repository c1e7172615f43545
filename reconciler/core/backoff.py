"""Back-off as plain numbers: when the next attempt at something may be made."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from reconciler.core.actions import Action, AnyAction, Load, Outcome, goal_of
from reconciler.core.ladder import ONCE

FIRST_S = 5.0
LONGEST_S = 300.0
# Only a success that lasted so long lets the next trouble begin with the shortest wait again.
LASTED_S = 120.0

# Connection and goal of the attempts.
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Attempts:
    """Attempts at one goal so far. Times on the monotonic clock, but for `made_at`.

    Attributes:
        made_for: what was declared; attempts under another declaration don't count.
        next_s: not before this time.
        wanted_s: when the goal was last not reached, or nobody could tell.
        made_at: the last attempt, unix seconds.

    """

    made_for: str
    count: int
    next_s: float
    wanted_s: float = 0.0
    made_at: int = 0


def delay_s(count: int, jitter: float, first_s: float = FIRST_S) -> float:
    """Seconds after attempt number `count` (from 1): 5 doubling, times 0.5 to 1.5, at most 300.

    `jitter` in [0, 1) is passed in, so the same input gives the same answer.
    """
    doubled = first_s * 2 ** min(count - 1, 16)
    return float(min(doubled * (0.5 + jitter), LONGEST_S))


def key_of(action: AnyAction) -> Key:
    """Return what attempts at this action are counted under."""
    return action.name, goal_of(action)


def hold_back(
    actions: Iterable[Action], attempts: Mapping[Key, Attempts], now_s: float
) -> list[Action]:
    """Leave out attempts that are not due yet. What has no goal is never held back.

    But what runs under an old declaration is left alone until the new one can be loaded: it is all
    that this site has.
    """
    looked = [(action, _is_due(action, attempts, now_s)) for action in actions]
    unloaded = {action.name for action, due in looked if isinstance(action, Load) and not due}
    return [action for action, due in looked if due and action.name not in unloaded]


def _is_due(action: Action, attempts: Mapping[Key, Attempts], now_s: float) -> bool:
    before = attempts.get(key_of(action)) if goal_of(action) else None
    return before is None or before.next_s <= now_s


def still_counting(
    attempts: Mapping[Key, Attempts],
    marks: Mapping[str, str],
    retried_at: Mapping[str, int],
    now_s: float,
) -> dict[Key, Attempts]:
    """Forget attempts under another declaration, before a wish to retry, or long successful.

    `marks`: of what is declared, by connection. `retried_at`: unix seconds, by connection.
    """
    return {
        key: before
        for key, before in attempts.items()
        if before.made_for == marks.get(key[0])
        and before.made_at >= retried_at.get(key[0], 0)
        and (key[1] == ONCE or now_s - before.wanted_s < LASTED_S)
    }


def after_round(
    attempts: Mapping[Key, Attempts],
    wanted: Iterable[Action],
    outcomes: Iterable[Outcome],
    marks: Mapping[str, str],
    now_s: float,
    now: int,
    jitter: Callable[[], float],
    unreached: Collection[Key] = (),
) -> dict[Key, Attempts]:
    """Note what is still wanted, and count the attempts that were made.

    Loading is an attempt only where charon refused it, and what never reached charon is none.
    `unreached`: goals that nothing is done for at the moment, and that are not reached either.
    """
    kept = dict(attempts)
    for key in {*map(key_of, wanted), *unreached} & kept.keys():
        kept[key] = replace(kept[key], wanted_s=now_s)
    for outcome in outcomes:
        action = outcome.action
        loaded = isinstance(action, Load) and outcome.error is None
        if not goal_of(action) or loaded or outcome.unreachable:
            continue
        before = kept.get(key_of(action))
        count = 1 + (before.count if before else 0)
        next_s = now_s + delay_s(count, jitter())
        made_for = marks.get(action.name, "")
        kept[key_of(action)] = Attempts(made_for, count, next_s, now_s, now)
    return kept
