"""Times in the status: when it came up, when it went, for how long it has been up."""

from dataclasses import replace
from itertools import pairwise

import pytest

from reconciler.core.observed import Observed, Unobserved
from reconciler.core.status import ConnectionStatus
from tests.builders import connection
from tests.core.test_status import NOW, child, ike, seen, told

UP = seen(ike(child()))
DOWN = seen()
CONNECTING = seen(ike())


def story(*looks: tuple[int, Observed | Unobserved]) -> list[ConnectionStatus]:
    """Look at these moments (seconds after NOW); what could not be seen is not remembered."""
    before: ConnectionStatus | None = None
    found = []
    for after_s, observed in looks:
        found.append(told(observed, before, now=NOW + after_s))
        before = found[-1] if found[-1].observed else before
    return found


def times(status: ConnectionStatus) -> tuple[int, int, int]:
    """Return last connected and disconnected as seconds after NOW (or 0: never), and uptime."""
    return (
        status.last_connected and status.last_connected - NOW,
        status.last_disconnected and status.last_disconnected - NOW,
        status.uptime_seconds,
    )


def test_a_tunnel_that_never_was_up_has_no_times() -> None:
    assert [times(status) for status in story((0, DOWN), (30, CONNECTING))] == [(0, 0, 0)] * 2


def test_at_the_first_look_the_uptime_is_read_off_the_sa() -> None:
    assert times(story((0, UP))[0]) == (-60, 0, 60)


def test_a_tunnel_that_comes_up_is_connected_since_its_child_was_installed() -> None:
    fresh = seen(ike(child(installed_s=3)))
    assert times(story((0, DOWN), (30, fresh))[1]) == (27, 0, 3)


def test_uptime_goes_on_across_rekeys() -> None:
    rekeying = seen(ike(child(state="REKEYING", installed_s=3000), child(installed_s=0)))
    rekeyed = seen(ike(child(unique_id="2", installed_s=25)))
    ike_rekeyed = seen(ike(child(unique_id="2", installed_s=55), unique_id="2", established_s=1))
    last = story((0, UP), (30, rekeying), (60, rekeyed), (90, ike_rekeyed))
    assert [times(status) for status in last] == [
        (-60, 0, 60),
        (-60, 0, 90),
        (-60, 0, 120),
        (-60, 0, 150),
    ]


@pytest.mark.parametrize("gone", [DOWN, CONNECTING, seen(ike(child("192.168.1.0/25")))])
def test_a_tunnel_that_goes_has_its_last_moment_noted_once(gone: Observed) -> None:
    last = story((0, UP), (30, gone), (60, gone))
    assert [times(status) for status in last[1:]] == [(-60, 30, 0)] * 2


def test_a_tunnel_that_comes_back_counts_anew_and_remembers_when_it_was_gone() -> None:
    fresh = seen(ike(child(installed_s=5)))
    assert times(story((0, UP), (30, DOWN), (60, fresh))[2]) == (55, 30, 5)


def test_a_tunnel_is_not_up_for_longer_than_since_it_was_last_seen_down() -> None:
    """One of two children went and came back: the other one's age is not the tunnel's."""
    wanted = connection(remote_subnet=["192.168.1.0/24", "10.0.0.0/8"])
    old, new = child(installed_s=1000), child("10.0.0.0/8", unique_id="2", installed_s=5)
    both, one = (seen(sa, loaded=wanted) for sa in (ike(old, new), ike(old)))
    up = told(both, wanted=wanted)
    down = told(one, up, wanted=wanted, now=NOW + 30)
    back = told(both, down, wanted=wanted, now=NOW + 60)
    assert (up.status, down.status, back.status) == ("up", "down", "up")
    assert back.last_connected >= back.last_disconnected
    assert back.uptime_seconds <= 30


def test_since_tells_when_the_word_last_changed() -> None:
    looks = [(0, DOWN), (30, DOWN), (60, CONNECTING), (90, UP), (120, UP), (150, DOWN)]
    since = [status.since - NOW for status in story(*looks)]
    assert since == [0, 0, 60, 90, 90, 150]


def test_without_a_look_nothing_is_called_up_and_nothing_is_forgotten() -> None:
    first, blind, last = story((0, UP), (30, Unobserved("no answer")), (60, UP))
    assert first.status == "up"
    assert (blind.status, blind.observed) == ("down", False)
    assert blind.reason == "not known: charon could not be asked"
    assert times(blind) == (-60, 0, 0)
    assert blind.since == first.since
    assert (blind.remote_address, blind.received_bytes) == ("", 0)
    assert times(last) == (-60, 0, 120)
    assert last.since == first.since


def test_a_tunnel_that_went_while_nobody_looked_went_when_it_was_seen_gone() -> None:
    last = story((0, UP), (30, Unobserved("no answer")), (60, DOWN))
    assert times(last[2]) == (-60, 60, 0)


def test_without_a_look_from_the_start_everything_is_never() -> None:
    status = told(Unobserved("socket missing"))
    assert (times(status), status.since, status.observed) == ((0, 0, 0), 0, False)


def test_a_clock_that_is_set_back_gives_no_negative_uptime() -> None:
    first = told(UP)
    assert told(UP, first, now=NOW - 3600).uptime_seconds == 0


@pytest.mark.parametrize("installed_s", [2, 3, 59, 86_400])
def test_uptime_and_last_connected_always_agree(installed_s: int) -> None:
    sa = ike(child(installed_s=installed_s))
    looks = [(n * 30, seen(replace(sa, established_s=n))) for n in range(4)]
    found = story(*looks)
    for n, status in enumerate(found):
        assert status.last_connected + status.uptime_seconds == NOW + n * 30
    assert all(one.last_connected == other.last_connected for one, other in pairwise(found))
