"""Back-off as plain numbers."""

import random
from dataclasses import replace

import pytest

from reconciler.core.actions import Action, DropSecret, EndIke, Load, Outcome, Remove, StartChild
from reconciler.core.backoff import (
    FIRST_S,
    LASTED_S,
    LONGEST_S,
    Attempts,
    Key,
    after_round,
    delay_s,
    hold_back,
    still_counting,
)
from tests.builders import connection

START = StartChild("kspb_vpn", "lan-1", "missing", goal="child")
KEY: Key = ("kspb_vpn", "child")
MARKS = {"kspb_vpn": "one"}


def attempted(
    before: dict[Key, Attempts], now_s: float, *outcomes: Outcome, wanted: Action = START
) -> dict[Key, Attempts]:
    return after_round(before, [wanted], outcomes, MARKS, now_s, int(now_s), lambda: 0.5)


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
    made: dict[Key, Attempts] = {}
    now_s, waits = 100.0, []
    for _ in range(4):
        made = attempted(made, now_s, Outcome(START))
        waits.append(made[KEY].next_s - now_s)
        now_s = made[KEY].next_s
    assert waits == [5, 10, 20, 40]
    assert made == {KEY: Attempts("one", 4, now_s, now_s - 40, int(now_s - 40))}


@pytest.mark.parametrize(("now_s", "due"), [(9.9, False), (10.0, True), (11.0, True)])
def test_an_attempt_is_held_back_until_it_is_due(now_s: float, due: bool) -> None:
    held = hold_back([START], {KEY: Attempts("one", 1, 10.0)}, now_s)
    assert held == ([START] if due else [])


def test_the_attempts_of_one_site_or_goal_hold_back_no_other() -> None:
    others: list[Action] = [replace(START, name="kczk_vpn"), replace(START, goal="renew")]
    assert hold_back([START, *others], {KEY: Attempts("one", 1, 10.0)}, 0.0) == others


def test_nothing_but_attempts_is_ever_held_back() -> None:
    actions: list[Action] = [
        Remove("kspb_vpn", (), ""),
        EndIke("kspb_vpn", "1", ""),
        DropSecret("kspb_vpn", "x", ""),
    ]
    assert hold_back(actions, {("kspb_vpn", ""): Attempts("one", 9, 1e9)}, 0.0) == actions
    assert attempted({}, 0.0, *map(Outcome, actions)) == {}


def test_a_load_counts_as_an_attempt_only_where_charon_refused_it() -> None:
    load = Load(connection(), "")
    assert attempted({}, 0.0, Outcome(load), wanted=load) == {}
    assert attempted({}, 0.0, Outcome(load, "refused"), wanted=load)["kspb_vpn", "load"].count == 1


def test_a_changed_declaration_begins_anew_and_at_once() -> None:
    many = {KEY: Attempts("one", 9, 1e9)}
    assert still_counting(many, {"kspb_vpn": "one"}, {}, 0.0) == many
    assert still_counting(many, {"kspb_vpn": "two"}, {}, 0.0) == {}
    assert still_counting(many, {}, {}, 0.0) == {}


def test_a_wish_to_retry_forgets_the_attempts_before_it() -> None:
    many = {KEY: Attempts("one", 9, 1e9, made_at=1000)}
    assert still_counting(many, MARKS, {"kspb_vpn": 1000}, 0.0) == many
    assert still_counting(many, MARKS, {"kspb_vpn": 1001}, 0.0) == {}


def test_only_a_success_that_lasted_resets_the_wait() -> None:
    made = attempted({}, 100.0, Outcome(START))
    made = after_round(made, [START], [], MARKS, 150.0, 150, lambda: 0.5)
    assert made[KEY].count == 1
    made = after_round(made, [], [], MARKS, 200.0, 200, lambda: 0.5)
    assert still_counting(made, MARKS, {}, 150.0 + LASTED_S - 1) == made
    assert still_counting(made, MARKS, {}, 150.0 + LASTED_S) == {}
