"""What of one look is new, what of it all is kept, and how long each lasted."""

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import pytest

from reconciler.core.reasons import Code
from reconciler.core.transitions import (
    KEPT,
    State,
    Tail,
    Transition,
    grown,
    is_repeated,
    lasted_s,
    most_shown,
    newest,
    transitions,
)

NOW = 1_800_000_000


@dataclass(frozen=True)
class Seen:
    """How a connection is said to be."""

    status: State
    reason_code: str = ""
    since: int = NOW
    observed: bool = True

    @property
    def reason(self) -> str:
        return f"words of {self.reason_code}" if self.reason_code else ""


UP = Seen("up")
DEAD = Seen("down", Code.DEAD_PEER)
WAITING = Seen("down", Code.WAITING_FOR_SITE)
WRONG_KEY = Seen("down", Code.WRONG_PSK)
NEGOTIATING = Seen("connecting", Code.NEGOTIATING)


def known(*seen: Seen, at: int = NOW - 100) -> Tail:
    """Return the transitions of a connection that was seen like this, one after the other."""
    first = Transition(at, "", seen[0].status, seen[0].reason_code, seen[0].reason)
    return (
        first,
        *(
            Transition(at, before.status, after.status, after.reason_code, after.reason)
            for before, after in pairwise(seen)
        ),
    )


def found(
    seen: Seen, before: Seen | None = None, tail: Tail = ()
) -> list[tuple[str, str, str, int]]:
    tails = {"kspb_vpn": tail} if tail else {}
    earlier = {"kspb_vpn": before} if before else {}
    new = transitions({"kspb_vpn": seen}, earlier, tails, NOW)
    return [
        (one.from_status, one.to_status, one.reason_code, one.at) for one in new.get("kspb_vpn", ())
    ]


@pytest.mark.parametrize(
    ("before", "seen", "expected"),
    [
        (UP, UP, []),
        (UP, DEAD, [("up", "down", "dead-peer", NOW)]),
        (DEAD, UP, [("down", "up", "", NOW)]),
        (DEAD, DEAD, []),
        (DEAD, WRONG_KEY, [("down", "down", "wrong-psk", NOW)]),
        (WRONG_KEY, WAITING, []),
        (WAITING, NEGOTIATING, [("down", "connecting", "negotiating", NOW)]),
        (NEGOTIATING, replace(NEGOTIATING, reason_code=Code.JUST_CAME_UP), []),
        (WAITING, Seen("down", Code.PAUSED), [("down", "down", "paused", NOW)]),
    ],
    ids=[
        *("stays up", "goes down", "comes back", "stays down", "is down for another reason"),
        *("a state is no reason", "is talked to", "nor are two of them", "is paused"),
    ],
)
def test_a_change_of_status_or_of_a_telling_reason_is_a_transition(
    before: Seen, seen: Seen, expected: list[Any]
) -> None:
    assert found(seen, before, known(before)) == expected


def test_the_first_look_is_the_first_transition_and_tells_since_when() -> None:
    assert found(replace(WAITING, since=NOW - 5)) == [("", "down", "waiting-for-site", NOW - 5)]


def test_what_could_not_be_observed_is_no_transition() -> None:
    blind = Seen("down", Code.CHARON_UNREACHABLE, observed=False)
    assert found(blind, UP, known(UP)) == []
    assert found(DEAD, blind, known(UP)) == [("up", "down", "dead-peer", NOW)]


def test_what_changed_while_nobody_wrote_it_down_is_made_good() -> None:
    """Between the journal's last word and now, the last status may know of one more."""
    before = replace(DEAD, since=NOW - 50)
    seen = replace(DEAD, since=NOW - 50)
    assert found(seen, before, known(UP)) == [("up", "down", "dead-peer", NOW - 50)]
    assert found(UP, before, known(UP)) == [
        ("up", "down", "dead-peer", NOW - 50),
        ("down", "up", "", NOW),
    ]
    assert found(UP, before) == [("", "down", "dead-peer", NOW - 50), ("down", "up", "", NOW)]


def test_each_transition_begins_where_the_one_before_ended() -> None:
    tail: Tail = ()
    before: Seen | None = None
    for seen in (WAITING, NEGOTIATING, UP, DEAD, WRONG_KEY, NEGOTIATING, UP, UP, WAITING):
        earlier = {"k": before} if before else {}
        tail += transitions({"k": seen}, earlier, {"k": tail}, NOW).get("k", ())
        before = seen
    assert tail[0].from_status == ""
    assert all(one.to_status == two.from_status for one, two in pairwise(tail))
    assert len(tail) == 8


FLAPS = known(UP, DEAD, *(NEGOTIATING, DEAD) * 200)


def test_of_many_the_newest_are_kept_in_their_order() -> None:
    many = tuple(Transition(at, "up", "down") for at in range(200))
    assert newest(many, KEPT) == many[-KEPT:]
    assert newest(many[:7], KEPT) == many[:7]


def test_attempts_in_vain_do_not_push_out_when_and_why_it_went_down() -> None:
    kept = newest(FLAPS, KEPT)
    assert kept[:2] == FLAPS[:2]
    assert len(kept) == KEPT
    assert kept[2:] == FLAPS[-KEPT + 2 :]


def test_attempts_in_vain_keep_a_share_of_their_own() -> None:
    flaps = known(*(UP, DEAD) * 100, NEGOTIATING, DEAD, NEGOTIATING, DEAD)
    assert newest(flaps, KEPT) == flaps[-KEPT:]
    mixed = known(*(UP, DEAD, NEGOTIATING, DEAD, NEGOTIATING) * 100)
    kept = newest(mixed, KEPT)
    assert sum(one.minor for one in kept) == KEPT * 2 // 5
    assert len(kept) == KEPT


def test_what_is_kept_of_what_was_kept_is_the_same_as_of_all() -> None:
    """So it makes no difference when it is cut."""
    mixed = known(UP, DEAD, *(NEGOTIATING, DEAD) * 30, UP, DEAD, *(NEGOTIATING, DEAD) * 9, UP)
    for most in (5, 20, KEPT):
        tail: Tail = ()
        for one in mixed:
            tail = newest((*tail, one), most)
        assert tail == newest(mixed, most)


@pytest.mark.parametrize(
    ("connections", "most"), [(0, 50), (3, 50), (100, 50), (101, 49), (1000, 5), (10_000, 5)]
)
def test_the_status_of_a_large_fleet_shows_fewer_of_each(connections: int, most: int) -> None:
    assert most_shown(connections) == most


def test_what_did_not_change_is_not_copied_and_what_is_removed_is_forgotten() -> None:
    tails = {"kspb": known(UP), "kczk": known(UP), "gone": known(UP)}
    new = {"kczk": (Transition(NOW, "up", "down"),)}
    made = grown(tails, new, ["kspb", "kczk", "new"])
    assert made.keys() == {"kspb", "kczk", "new"}
    assert made["kspb"] is tails["kspb"]
    assert made["kczk"] == tails["kczk"] + new["kczk"]
    assert made["new"] == ()


def test_when_the_fleet_grows_every_tail_gets_shorter() -> None:
    names = [f"k{number}" for number in range(1000)]
    assert len(grown({"k1": FLAPS}, {}, names)["k1"]) == 5


def test_an_attempt_is_repeated_if_it_was_there_since_the_tunnel_was_up() -> None:
    again = known(UP, DEAD, NEGOTIATING, DEAD, NEGOTIATING)
    assert [is_repeated(one, again[:at]) for at, one in enumerate(again)] == [
        *(False, False, False, False, True)
    ]
    later = known(UP, DEAD, NEGOTIATING, UP, DEAD, NEGOTIATING)
    assert not any(is_repeated(one, later[:at]) for at, one in enumerate(later))


def timeline(*changes: tuple[int, str, str]) -> list[Transition]:
    return [Transition(at, before, after) for at, before, after in changes]  # type: ignore[arg-type]


def test_an_outage_lasts_until_the_tunnel_is_up_and_an_uptime_until_it_is_not() -> None:
    chain = timeline(
        (0, "", "down"),
        (10, "down", "connecting"),
        (12, "connecting", "up"),
        (100, "up", "down"),
        (110, "down", "connecting"),
        (130, "connecting", "down"),
        (170, "down", "up"),
    )
    assert lasted_s(chain, 200) == [
        *((12, False), (2, False), (88, False), (70, False), (20, False), (40, False), (30, True))
    ]


def test_of_what_goes_on_it_is_said_that_it_does() -> None:
    assert lasted_s(timeline((0, "", "up"), (40, "up", "down")), 100) == [(40, False), (60, True)]
    outage = timeline((0, "up", "down"), (10, "down", "connecting"))
    assert lasted_s(outage, 100) == [(100, True), (90, True)]


def test_how_long_it_was_in_force_before_it_was_removed_is_not_known() -> None:
    chain = timeline((0, "down", "up"), (50, "", "down"), (60, "down", "up"))
    assert lasted_s(chain, 100) == [(None, False), (10, False), (40, True)]


def test_a_clock_that_is_set_back_makes_no_time_negative() -> None:
    chain = timeline((100, "", "up"), (50, "up", "down"))
    assert lasted_s(chain, 20) == [(0, False), (0, True)]
