"""Back-off as plain numbers."""

import random
from dataclasses import replace

import pytest

from reconciler.core.actions import Action, DropSecret, EndIke, Load, Remove, StartChild
from reconciler.core.backoff import (
    FIRST_S,
    LONGEST_S,
    Attempts,
    after_attempt,
    delay_s,
    hold_back,
)
from tests.builders import connection

START = StartChild("kspb_vpn", "lan-1", "missing")


def test_it_begins_at_5_s_and_doubles_to_300_s() -> None:
    assert (FIRST_S, LONGEST_S) == (5.0, 300.0)
    delays = [delay_s(count, jitter=0.5) for count in range(1, 10)]
    assert delays == [5, 10, 20, 40, 80, 160, 300, 300, 300]


def test_a_thousand_attempts_stay_in_bounds() -> None:
    chance = random.Random(7)  # noqa: S311 - no cryptography here
    for count in range(1, 1001):
        delay = delay_s(count, chance.random())
        assert FIRST_S * 0.5 <= delay < LONGEST_S * 1.5


@pytest.mark.parametrize(("jitter", "factor"), [(0.0, 0.5), (0.5, 1.0), (0.999, 1.499)])
def test_jitter_spreads_the_attempts_of_many_sites(jitter: float, factor: float) -> None:
    assert delay_s(3, jitter) == pytest.approx(20 * factor)


def test_attempts_are_counted_and_come_later_and_later() -> None:
    before, now_s, waits = None, 100.0, []
    for _ in range(4):
        before = after_attempt(START, before, now_s, jitter=0.5)
        waits.append(before.next_s - now_s)
        now_s = before.next_s
    assert waits == [5, 10, 20, 40]
    assert before == Attempts("lan-1", 4, now_s)


def test_a_changed_declaration_begins_anew_and_at_once() -> None:
    many = Attempts("lan-1", 9, 1e9)
    changed = replace(START, child_name="lan-2")
    assert hold_back([changed], {"kspb_vpn": many}, 0.0) == [changed]
    assert after_attempt(changed, many, 0.0, jitter=0.5) == Attempts("lan-2", 1, 5.0)


@pytest.mark.parametrize(("now_s", "due"), [(9.9, False), (10.0, True), (11.0, True)])
def test_an_attempt_is_held_back_until_it_is_due(now_s: float, due: bool) -> None:
    held = hold_back([START], {"kspb_vpn": Attempts("lan-1", 1, 10.0)}, now_s)
    assert held == ([START] if due else [])


def test_the_attempts_of_one_site_hold_back_no_other() -> None:
    other = replace(START, name="kczk_vpn")
    assert hold_back([START, other], {"kspb_vpn": Attempts("lan-1", 1, 10.0)}, 0.0) == [other]


def test_nothing_but_attempts_is_ever_held_back() -> None:
    actions: list[Action] = [
        Load(connection(), ""),
        Remove("kspb_vpn", (), ""),
        EndIke("kspb_vpn", "1", ""),
        DropSecret("kspb_vpn", "x", ""),
    ]
    assert hold_back(actions, {"kspb_vpn": Attempts("lan-1", 9, 1e9)}, 0.0) == actions
