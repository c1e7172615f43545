"""When and why a connection changed: what of one look is new, and what of it all is kept.

A transition is a change of the status that was seen. Beside it stands the change of a reason: a
tunnel that is down for another reason than before. What neither begins nor ends an uptime is
minor: a router that tries in vain every minute makes hundreds of such an hour, and they must not
push out when and why the tunnel went down.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

from reconciler.core.reasons import FAILURES, Code

State = Literal["up", "down", "connecting"]
KEPT = 50
# What the status shows of all connections together; of one, no fewer and no more than these.
_SHOWN_TOGETHER, _SHOWN_AT_LEAST = 5000, 5
_MINOR_OF = 0.4
_TELLING: frozenset[str] = frozenset({*FAILURES, Code.PAUSED, Code.NAME_CLASH})


@dataclass(frozen=True, slots=True)
class Transition:
    """One change. With equal statuses only the reason changed.

    Attributes:
        at: unix seconds.
        from_status: empty: nothing is known of before.

    """

    at: int
    from_status: State | Literal[""]
    to_status: State
    reason_code: str = ""
    reason: str = ""

    @property
    def minor(self) -> bool:
        """Whether it neither began nor ended an uptime."""
        return is_minor(self.from_status, self.to_status)

    @property
    def bad(self) -> bool:
        """Whether somebody may want to be told at once."""
        return self.from_status == "up" or (self.from_status != "" and self.to_status == "down")


Tail = tuple[Transition, ...]


class Ranked(Protocol):
    """What may be minor."""

    @property
    def minor(self) -> bool:
        """Whether it is."""


R = TypeVar("R", bound=Ranked)


def is_minor(from_status: str, to_status: str) -> bool:
    """Tell whether such a transition neither began nor ended an uptime."""
    return from_status != "" and "up" not in (from_status, to_status)


class Seen(Protocol):
    """How a connection is said to be."""

    @property
    def observed(self) -> bool:
        """Whether charon could be asked."""

    @property
    def status(self) -> State:
        """How it is."""

    @property
    def since(self) -> int:
        """When that began."""

    @property
    def reason_code(self) -> str:
        """Why it is not up."""

    @property
    def reason(self) -> str:
        """The same in words."""


def transitions(
    now_seen: Mapping[str, Seen],
    before: Mapping[str, Seen],
    tails: Mapping[str, Tail],
    now: int,
) -> dict[str, Tail]:
    """Return what is new, by connection.

    What is new is told from the last transition that is known, by way of what was seen before: so
    what nobody wrote down at the time is made good.
    """
    found = {}
    for name, seen in now_seen.items():
        last = tails[name][-1] if tails.get(name) else None
        if not seen.observed or (last and _same(last, seen)):
            continue
        steps = _steps(last, before.get(name), seen, now)
        if steps:
            found[name] = steps
    return found


def _same(last: Transition, seen: Seen) -> bool:
    """Tell the common case at once; a tunnel that was up may have been down in between."""
    return last.to_status == seen.status != "up" and last.reason_code == seen.reason_code


def _steps(last: Transition | None, before: Seen | None, seen: Seen, now: int) -> Tail:
    steps = []
    if before is not None and before.observed:
        missed = _step(last, before, before.since or now)
        if missed is not None and (last is None or missed.from_status != missed.to_status):
            steps.append(missed)
            last = missed
    step = _step(last, seen, now)
    return (*steps, step) if step is not None else tuple(steps)


def _step(last: Transition | None, seen: Seen, now: int) -> Transition | None:
    why = (str(seen.reason_code), seen.reason)
    if last is None:
        return Transition(seen.since or now, "", seen.status, *why)
    if last.to_status != seen.status:
        return Transition(seen.since or now, last.to_status, seen.status, *why)
    if seen.status != "up" and last.reason_code != why[0] and why[0] in _TELLING:
        return Transition(now, seen.status, seen.status, *why)
    return None


def most_shown(connections: int) -> int:
    """Return how many transitions of each connection the status shows."""
    return max(_SHOWN_AT_LEAST, min(KEPT, _SHOWN_TOGETHER // max(1, connections)))


def minor_share(majors: int, most: int) -> int:
    """Return how many minor ones are kept at most, beside so many others."""
    return max(int(most * _MINOR_OF), most - majors)


def is_kept(one: Ranked, minors_after: int, majors_after: int, share: int, most: int) -> bool:
    """Tell whether one of a connection's is kept, by how many came after it."""
    if one.minor and minors_after >= share:
        return False
    return majors_after + min(minors_after, share) < most


def newest(kept: Sequence[R], most: int) -> tuple[R, ...]:
    """Return what is kept of one connection, oldest first."""
    if len(kept) <= most:
        return tuple(kept)
    share = minor_share(sum(not one.minor for one in kept), most)
    found, after = [], {True: 0, False: 0}
    for one in reversed(kept):
        if is_kept(one, after[True], after[False], share, most):
            found.append(one)
        after[one.minor] += 1
    return tuple(reversed(found))


def grown(
    tails: Mapping[str, Tail], new: Mapping[str, Tail], names: Iterable[str]
) -> dict[str, Tail]:
    """Return the tails of these connections with what is new; one that is removed has none."""
    names = [*names]
    most = most_shown(len(names))
    found = {}
    for name in names:
        tail = tails.get(name, ())
        tail = (*tail, *new[name]) if name in new else tail
        found[name] = tail if len(tail) <= most else newest(tail, most)
    return found


def is_repeated(one: Transition, tail: Iterable[Transition]) -> bool:
    """Tell whether a minor one has already been there since the tunnel was last up."""
    if not one.minor:
        return False
    what = (one.from_status, one.to_status, one.reason_code)
    found = False
    for earlier in tail:
        same = (earlier.from_status, earlier.to_status, earlier.reason_code) == what
        found = earlier.minor and (found or same)
    return found


def lasted_s(chain: Sequence[Transition], now: int | None) -> list[tuple[int | None, bool]]:
    """Say of each how long it lasted, and whether that still goes on; None: not known.

    Where an uptime ended, what counts is how long the tunnel was not up, and not how its attempts
    came and went meanwhile. `now`: None: it is not known how things are now.
    """
    found: list[tuple[int | None, bool]] = []
    next_up: Transition | None = None
    following: Transition | None = None
    for one in reversed(chain):
        outage = one.to_status != "up" and not one.minor
        end = next_up if outage else following
        if end is not None and end.from_status == "":
            found.append((None, False))  # it was not declared meanwhile
        elif end is not None:
            found.append((max(0, end.at - one.at), False))
        else:
            found.append((None if now is None else max(0, now - one.at), True))
        following = one
        if one.to_status == "up" or one.from_status == "":
            next_up = one
    found.reverse()
    return found
