"""The packet filter is looked at, loaded when it is not as declared, and told of."""

from pathlib import Path

import pytest

from reconciler.core.actions import LoadFilter
from reconciler.core.packet_filter import FilterState
from reconciler.core.status import FilterStatus
from reconciler.filtering import LOOK_EVERY_S, planned_load
from reconciler.look import look
from reconciler.round import Report
from tests.builders import vpn
from tests.fake_filter import FakeFilter
from tests.worlds import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    bench.filter = FakeFilter()
    bench.declare(kspb=vpn(1), kczk=vpn(2))
    return bench


def at(bench: Bench) -> FakeFilter:
    assert bench.filter is not None
    return bench.filter


def later(bench: Bench) -> Report:
    """Make a round when the filter is looked at again."""
    bench.clock.elapsed_s += LOOK_EVERY_S
    return bench.round()


def said(bench: Bench) -> FilterStatus:
    assert bench.status.packet_filter is not None
    return bench.status.packet_filter


def causes(report: Report) -> list[str]:
    actions = [outcome.action for outcome in report.outcomes]
    return [action.cause for action in actions if isinstance(action, LoadFilter)]


def in_force(bench: Bench) -> list[str]:
    rules = at(bench).rules
    return [] if rules is None else [site.connection for site in rules.sites]


def test_the_first_round_loads_what_is_declared(bench: Bench) -> None:
    report = bench.round()
    assert causes(report) == ["nobody has loaded the filter since its container started"]
    assert in_force(bench) == ["kczk_vpn", "kspb_vpn"]
    assert (said(bench).state, said(bench).as_declared) == (FilterState.IN_FORCE, True)
    assert said(bench).last_loaded_at == bench.clock.now()
    assert [causes(later(bench)) for _ in range(3)] == [[], [], []]


@pytest.mark.parametrize("harm", ["delete_table", "touch", "restart"])
def test_what_somebody_else_does_to_it_is_made_good(bench: Bench, harm: str) -> None:
    bench.round()
    getattr(at(bench), harm)()
    assert len(causes(later(bench))) == 1
    assert in_force(bench) == ["kczk_vpn", "kspb_vpn"]
    assert said(bench).as_declared
    assert causes(later(bench)) == []


def test_a_change_of_the_file_is_in_force_after_the_same_round(bench: Bench) -> None:
    bench.rounds()
    bench.requests()
    bench.declare(kspb=vpn(1, allow_inbound=["tcp/21"]), kczk=vpn(2))
    assert causes(bench.round()) == ["what is declared has changed"]
    requests = bench.requests()
    rules = at(bench).rules
    assert rules is not None
    assert {site.connection: len(site.allowed) for site in rules.sites} == {
        "kczk_vpn": 0,
        "kspb_vpn": 1,
    }
    assert not [one for one in requests if "observe" not in one], "charon is told nothing of it"


def test_one_airport_with_an_error_keeps_what_it_may_open(bench: Bench) -> None:
    bench.declare(kspb=vpn(1, allow_inbound=["tcp/21"]), kczk=vpn(2))
    bench.round()
    before = at(bench).rules
    bench.declare(kspb=vpn(1, allow_inbound=["tcp/x"]), kczk=vpn(2))
    assert causes(bench.round()) == []
    bench.clock.elapsed_s += LOOK_EVERY_S
    bench.settings.config_path.write_text("{")
    assert causes(bench.round()) == []
    assert at(bench).rules == before


def test_rounds_that_follow_closely_look_once(bench: Bench) -> None:
    bench.round()
    at(bench).delete_table()
    assert causes(bench.round()) == []
    assert len(causes(later(bench))) == 1


def test_an_agent_that_is_away_is_told_of_and_asked_ever_less_often(bench: Bench) -> None:
    bench.round()
    at(bench).unreachable = "/run/filter/filter.sock: No such file or directory"
    asked = 0
    for _ in range(200):
        bench.clock.elapsed_s += 2
        before = bench.memory.filtering.looked_s
        bench.round()
        asked += bench.memory.filtering.looked_s != before
    assert 3 <= asked <= 10
    assert (said(bench).state, said(bench).as_declared) == (FilterState.UNKNOWN, False)
    assert said(bench).error == at(bench).unreachable
    at(bench).unreachable = ""
    bench.clock.elapsed_s += 600
    bench.round()
    assert (said(bench).as_declared, said(bench).error) == (True, "")


def test_a_refused_load_is_told_with_the_words_and_tried_again(bench: Bench) -> None:
    at(bench).refuses = "nft: the kernel has no nf_tables; modprobe nf_tables"
    (outcome,) = [one for one in bench.round().outcomes if isinstance(one.action, LoadFilter)]
    assert outcome.error == said(bench).error == at(bench).refuses
    assert not said(bench).as_declared
    assert bench.status.connections["kspb_vpn"].airport_id == "kspb", "the rest goes on"
    at(bench).refuses = ""
    bench.clock.elapsed_s += 600
    bench.round()
    assert said(bench).as_declared


def test_a_filter_that_is_switched_off_is_left_off_and_told(bench: Bench) -> None:
    at(bench).off = True
    assert causes(bench.round()) == []
    assert (said(bench).state, said(bench).as_declared) == (FilterState.OFF, False)


def test_without_a_filter_nothing_is_said_of_one(bench: Bench) -> None:
    bench.filter = None
    bench.round()
    assert bench.status.packet_filter is None


def test_drops_are_counted_on_when_the_table_is_loaded_anew(bench: Bench) -> None:
    bench.round()
    at(bench).dropped["unasked"] = 7
    later(bench)
    assert said(bench).dropped_packets["unasked"] == 7
    at(bench).touch()
    later(bench)
    at(bench).dropped["unasked"] = 3
    later(bench)
    assert said(bench).dropped_packets["unasked"] == 10


def test_a_plan_tells_of_it_and_changes_nothing(bench: Bench) -> None:
    seen = look(bench.world, bench.memory, deep=True)
    assert [action.cause for action in planned_load(bench.world, seen)] == [
        "nobody has loaded the filter since its container started"
    ]
    assert at(bench).loads == 0
    bench.round()
    assert planned_load(bench.world, look(bench.world, bench.memory, deep=True)) == []
