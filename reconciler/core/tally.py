"""What is counted of each connection, from one look at charon to the next.

The counts of a CHILD_SA begin at 0 with it and are gone with it, so they are added up by
difference. An SA is known again by its SPI: unique ids begin anew when charon does.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from reconciler.core.observed import ChildSa, IkeSa, Observed


class Passed(NamedTuple):
    """What went through a tunnel."""

    received_bytes: int = 0
    sent_bytes: int = 0
    received_packets: int = 0
    sent_packets: int = 0


NOTHING = Passed()


class EndedChild(NamedTuple):
    """The last word about a CHILD_SA that has ended. `born_s`: on the monotonic clock."""

    connection: str
    spi: str
    passed: Passed
    born_s: float


class _Child(NamedTuple):
    """A CHILD_SA at the last look. `gone`: it was not there any more."""

    ike: str
    carrying: bool
    passed: Passed
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Tally:
    """The counts of one connection since it was first looked at.

    Attributes:
        passed: what went through all its CHILD_SAs.
        ike_rekeys, child_rekeys: how often keys were renewed in place.
        starts: how often it carried packets with none of the key exchanges of the look before.
        ikes, children: what the last look saw; SPIs.

    """

    passed: Passed = NOTHING
    ike_rekeys: int = 0
    child_rekeys: int = 0
    starts: int = 0
    ikes: frozenset[str] = frozenset()
    children: Mapping[str, _Child] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Tallies:
    """Those of all connections. `looked_s`: when the last look began, on the monotonic clock."""

    looked_s: float = float("-inf")
    of: Mapping[str, Tally] = field(default_factory=dict)


def passed_through(child: ChildSa) -> Passed:
    """Return the counts of one CHILD_SA."""
    return Passed(
        child.received_bytes, child.sent_bytes, child.received_packets, child.sent_packets
    )


def count(
    before: Tallies,
    observed: Observed,
    ended: Iterable[EndedChild],
    names: Collection[str],
    looked_s: float,
) -> Tallies:
    """Bring the tallies of these connections up to date.

    What is there when a connection is first looked at belongs to an earlier time.
    """
    sas: dict[str, list[IkeSa]] = {}
    for sa in observed.sas:
        sas.setdefault(sa.name, []).append(sa)
    last_words: dict[str, list[EndedChild]] = {}
    for child in ended:
        last_words.setdefault(child.connection, []).append(child)
    made = {
        name: _count(before, name, sas.get(name, ()), last_words.get(name, ())) for name in names
    }
    return Tallies(looked_s, made)


def came_up(before: Tally | None, now: Tally, *, was_up: bool) -> bool:
    """Tell of a tunnel that is up whether it has come up since the last status."""
    began = now.starts > (before.starts if before is not None else 0)
    return began or (before is not None and not was_up)


def _count(
    all_before: Tallies, name: str, sas: Collection[IkeSa], ended: Iterable[EndedChild]
) -> Tally:
    ikes = frozenset(_known_by(sa) for sa in sas)
    children = {
        child.spi_in: _Child(_known_by(sa), sa.live and child.carrying, passed_through(child))
        for sa in sas
        for child in sa.children
    }
    before = all_before.of.get(name)
    if before is None:
        return Tally(ikes=ikes, children=children)
    if not ended and (ikes, children) == (before.ikes, before.children):
        return before
    passed, known = _last_words(before, ended, children.keys(), all_before.looked_s)
    for spi, child in children.items():
        then = known[spi].passed if spi in known else NOTHING
        passed = _plus(passed, child.passed, then)
        children[spi] = child._replace(passed=_highest(child.passed, then))
    return _renewed(before, passed, ikes, children, known)


def _last_words(
    before: Tally, ended: Iterable[EndedChild], present: Collection[str], looked_s: float
) -> tuple[Passed, dict[str, _Child]]:
    """Add what went through CHILD_SAs after the last look and before their end."""
    passed, known = before.passed, dict(before.children)
    for child in ended:
        then = known.get(child.spi)
        if then is None and child.spi not in present and child.born_s <= looked_s:
            continue  # it was counted and forgotten, or belongs to an earlier time
        had = then.passed if then is not None else NOTHING
        passed = _plus(passed, child.passed, had)
        ike = then.ike if then is not None else ""
        known[child.spi] = _Child(ike, carrying=False, passed=_highest(child.passed, had))
    return passed, known


def _renewed(
    before: Tally,
    passed: Passed,
    ikes: frozenset[str],
    children: dict[str, _Child],
    known: Mapping[str, _Child],
) -> Tally:
    """Tell renewals from new beginnings: an IKE_SA that is renewed hands its children over."""
    moved = {
        child.ike
        for spi, child in children.items()
        if spi in before.children and before.children[spi].ike != child.ike
    }
    going_on = (ikes & before.ikes) | moved
    new = sum(
        child.carrying and child.ike in going_on and spi not in before.children
        for spi, child in children.items()
    )
    ended = sum(
        then.carrying and not (spi in children and children[spi].carrying)
        for spi, then in before.children.items()
    )
    carries = any(child.carrying for child in children.values())
    # One that is gone is remembered for one more look: its last words may come late.
    gone = {
        spi: child._replace(carrying=False, gone=True)
        for spi, child in known.items()
        if spi not in children and not child.gone
    }
    return Tally(
        passed=passed,
        ike_rekeys=before.ike_rekeys + len(moved - before.ikes),
        child_rekeys=before.child_rekeys + min(new, ended),
        starts=before.starts + (carries and not going_on),
        ikes=ikes,
        children={**children, **gone},
    )


def _known_by(sa: IkeSa) -> str:
    return sa.spi or sa.unique_id


def _plus(total: Passed, now: Passed, then: Passed) -> Passed:
    """Add a difference; a count that went back adds nothing."""
    pairs = zip(total, now, then, strict=True)
    return Passed(*(sum_ + max(0, later - earlier) for sum_, later, earlier in pairs))


def _highest(one: Passed, other: Passed) -> Passed:
    return Passed(*map(max, one, other))
