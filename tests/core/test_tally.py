"""What is counted from look to look: it goes on across renewals, and nothing counts twice."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from reconciler.core.observed import ChildSa, IkeSa, Observed
from reconciler.core.tally import EndedChild, Passed, Tallies, Tally, came_up, count
from tests.fake_ike import FakeIke

NAME = "kspb_vpn"
HUB = FakeIke().observe(deep=False)


def child(spi: str, received: int = 0, sent: int = 0, state: str = "INSTALLED") -> ChildSa:
    return ChildSa(
        *("lan", "1", state, (), (), received, sent, received // 10, sent // 10), spi_in=spi
    )


def ike(spi: str, *children: ChildSa, name: str = NAME, state: str = "ESTABLISHED") -> IkeSa:
    # Unique ids begin anew with charon, so they must tell nothing.
    return IkeSa(name, "1", state, children=children, spi=spi)


def seen(*sas: IkeSa) -> Observed:
    return replace(HUB, sas=sas)


def ended(spi: str, received: int, sent: int = 0, born_s: float = 0.0) -> EndedChild:
    return EndedChild(NAME, spi, Passed(received, sent, received // 10, sent // 10), born_s)


Look = tuple[Iterable[IkeSa], Iterable[EndedChild]]


def after(*looks: Iterable[IkeSa] | Look) -> Tally:
    """Return the tally after these looks, ten seconds apart; what ended is taken after each."""
    tallies = Tallies()
    for number, look in enumerate(looks):
        sas, gone = look if isinstance(look, tuple) else (look, ())
        tallies = count(tallies, seen(*sas), gone, {NAME}, 10.0 * number)
    return tallies.of[NAME]


def received(*looks: Iterable[IkeSa] | Look) -> int:
    return after(*looks).passed.received_bytes


def test_what_was_carried_before_we_came_is_not_counted_again() -> None:
    """Or each restart of ours would look like a burst of traffic."""
    assert received([ike("a", child("1", 100))]) == 0
    assert received([ike("a", child("1", 100))], [ike("a", child("1", 130))]) == 30


def test_bytes_and_packets_of_both_directions_are_counted() -> None:
    tally = after([], [ike("a", child("1", 100, 40))], [ike("a", child("1", 150, 70))])
    assert tally.passed == Passed(150, 70, 15, 7)


def test_it_goes_on_across_a_renewal_of_the_data_tunnel() -> None:
    looks = (
        [ike("a", child("1", 100))],
        [ike("a", child("1", 150, state="DELETED"), child("2", 30))],
        [ike("a", child("2", 50))],
    )
    assert received([], *looks) == 200
    tally = after([], *looks)
    assert (tally.ike_rekeys, tally.child_rekeys, tally.starts) == (0, 1, 1)


def test_it_goes_on_across_a_renewal_of_the_key_exchange() -> None:
    looks = [ike("a", child("1", 100))], [ike("b", child("1", 150))], [ike("b", child("1", 150))]
    assert received([], *looks) == 150
    tally = after([], *looks)
    assert (tally.ike_rekeys, tally.child_rekeys, tally.starts) == (1, 0, 1)


def test_both_renewed_between_two_looks_are_one_renewal_each() -> None:
    tally = after(
        [ike("a", child("1", 100))],
        [ike("b", child("1", 150, state="DELETED"), child("2", 30))],
        [ike("b", child("2", 30))],
    )
    assert (tally.ike_rekeys, tally.child_rekeys, tally.starts) == (1, 1, 0)


def test_while_old_and_new_are_there_nothing_is_counted_twice() -> None:
    renewing = [ike("a", state="REKEYED"), ike("b", child("1", 150))]
    tally = after([ike("a", child("1", 100))], renewing, renewing, [ike("b", child("1", 150))])
    assert (tally.ike_rekeys, tally.passed.received_bytes) == (1, 50)


def test_it_goes_on_across_a_reconnect_which_is_no_renewal() -> None:
    looks: tuple[list[IkeSa], ...] = ([ike("a", child("1", 100))], [], [ike("b", child("9", 40))])
    assert received([], *looks) == 140
    tally = after([], *looks)
    assert (tally.ike_rekeys, tally.child_rekeys, tally.starts) == (0, 0, 2)


def test_a_reconnect_that_no_look_saw_is_a_start_all_the_same() -> None:
    tally = after([ike("a", child("1", 100))], [ike("b", child("9", 40))])
    assert (tally.ike_rekeys, tally.child_rekeys, tally.starts) == (0, 0, 1)


def test_another_one_made_beside_the_old_one_is_no_new_start() -> None:
    both = [ike("a", child("1", 100)), ike("b", child("2"))]
    tally = after([ike("a", child("1", 100))], both, [ike("b", child("2", 10))])
    assert (tally.ike_rekeys, tally.child_rekeys, tally.starts) == (0, 0, 0)


def test_a_second_data_tunnel_is_no_renewal() -> None:
    tally = after([ike("a", child("1"))], [ike("a", child("1"), child("2"))])
    assert tally.child_rekeys == 0


def test_an_ike_sa_that_never_carries_is_no_start() -> None:
    assert after([], [ike("a", state="CONNECTING")], [ike("b")]).starts == 0


def test_counts_that_go_back_add_nothing_and_are_not_made_up_for_twice() -> None:
    looks = [[ike("a", child("1", bytes_))] for bytes_ in (100, 40, 100, 110)]
    assert received([], *looks) == 110


def test_what_passed_after_the_last_look_is_in_the_last_words() -> None:
    assert received([], [ike("a", child("1", 100))], ([], [ended("1", 170)])) == 170


def test_last_words_before_the_look_that_misses_it_count_once() -> None:
    """Charon may tell of the end while we still look, or later than the look that misses it."""
    up = [ike("a", child("1", 100))]
    assert received([], (up, [ended("1", 170)]), [], []) == 170
    assert received([], up, [], ([], [ended("1", 170)]), []) == 170
    twice = [ended("1", 170), ended("1", 170)]
    assert received([], up, ([], twice), ([], [ended("1", 170)])) == 170


def test_last_words_that_come_far_too_late_count_nothing_rather_than_twice() -> None:
    up = [ike("a", child("1", 100))]
    assert received([], up, [], [], [], ([], [ended("1", 170, born_s=5)])) == 100


def test_a_renewed_one_lingers_with_the_counts_of_its_last_words() -> None:
    lingers = [ike("a", child("1", 120, state="DELETED"), child("2"))]
    still = [ike("a", child("1", 120, state="DELETED"), child("2", 7))]
    looks = [ike("a", child("1", 100))], (lingers, [ended("1", 120)]), still, [ike("a", child("2"))]
    assert received([], *looks) == 127


def test_one_that_came_and_went_between_two_looks_is_counted_by_its_last_words() -> None:
    assert received([], [], ([], [ended("7", 60, born_s=15)])) == 60


@pytest.mark.parametrize("born_s", [-100, 0])
def test_one_that_ended_as_we_came_is_none_of_ours(born_s: float) -> None:
    assert received(([], [ended("7", 60, born_s=born_s)])) == 0
    assert received([], ([], [ended("7", 60, born_s=born_s)])) == 0


def test_a_restart_of_charon_is_a_new_start_though_unique_ids_are_the_same() -> None:
    tally = after([], [ike("a", child("1", 100))], [ike("b", child("2", 300))])
    assert tally.passed.received_bytes == 400
    assert (tally.ike_rekeys, tally.child_rekeys, tally.starts) == (0, 0, 2)


def test_only_what_is_asked_for_is_counted_and_what_is_declared_anew_begins_anew() -> None:
    foreign = count(Tallies(), seen(ike("a", child("1", 100), name="theirs")), (), {NAME}, 0)
    assert foreign.of == {NAME: Tally()}
    up = seen(ike("a", child("1", 100)))
    gone = count(count(Tallies(), up, (), {NAME}, 0), up, (), set(), 10)
    assert gone.of == {}
    assert count(gone, up, (), {NAME}, 20).of[NAME].passed == Passed()


def test_nothing_new_is_the_same_value() -> None:
    """Ten thousand idle tunnels cost no memory a round."""
    up = seen(ike("a", child("1", 100)))
    first = count(Tallies(), up, (), {NAME}, 0)
    assert count(first, up, (), {NAME}, 10).of[NAME] is first.of[NAME]


@pytest.mark.parametrize(
    ("before", "now", "was_up", "expected"),
    [
        (None, Tally(), False, False),  # found up at our start
        (None, Tally(starts=1), False, True),  # came up within our first round
        (Tally(), Tally(starts=1), False, True),
        (Tally(starts=1), Tally(starts=1), True, False),
        (Tally(starts=1), Tally(starts=2), True, True),  # down between two looks
        (Tally(starts=1), Tally(starts=1), False, True),  # its data tunnel was away
    ],
)
def test_a_tunnel_that_is_up_has_come_up(
    before: Tally | None, now: Tally, *, was_up: bool, expected: bool
) -> None:
    assert came_up(before, now, was_up=was_up) is expected
