"""The container is mended in the same round that finds it ill, and all of it is said."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.core.container import LASTING_S, START_S
from reconciler.core.status import ContainerStatus
from reconciler.edges.metrics import Metrics
from reconciler.errors import IkeLate, IkeNoAccess
from reconciler.round import Report, run_round
from tests.builders import vpn
from tests.docker import eventually
from tests.fake_container import FakeContainer
from tests.fake_ike import FakeIke
from tests.loop.test_loop import running
from tests.worlds import Bench, FakeClock


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    bench.container = FakeContainer(bench.ike)
    bench.declare(kspb=vpn())
    bench.rounds(2)
    return bench


def at(bench: Bench) -> FakeContainer:
    assert bench.container is not None
    return bench.container


def said(bench: Bench) -> ContainerStatus:
    assert bench.status.container is not None
    return bench.status.container


def until_done(bench: Bench, count: int = 1, within_s: float = 400.0) -> Report:
    """Make a round every 2 s, as the loop does, until so many actions were tried."""
    until_s = bench.clock.elapsed_s + within_s
    while len(at(bench).done) < count:
        assert bench.clock.elapsed_s < until_s, f"only {at(bench).done}"
        bench.clock.elapsed_s += 2
        report = bench.round()
    return report


@pytest.mark.parametrize(
    ("state", "action", "within_s"),
    [
        ("exited", "StartContainer", 10),
        ("created", "StartContainer", 10),
        ("paused", "UnpauseContainer", 10),
    ],
)
def test_each_fault_is_mended_in_time_and_charon_is_loaded_again(
    bench: Bench, state: str, action: str, within_s: float
) -> None:
    bench.ike.restart(bench.clock.now())
    at(bench).put(state)
    report = until_done(bench, within_s=within_s)
    assert [type(outcome.action).__name__ for outcome in report.outcomes] == [action]
    assert at(bench).done == [action]
    assert said(bench).last_action.startswith(action)
    assert said(bench).state == "running", "it is looked at once more after the action"
    bench.round()
    assert "kspb_vpn" in bench.ike.connections
    assert (said(bench).problem, said(bench).held) == ("", "")


def test_a_hung_charon_is_restarted_at_its_deadline(bench: Bench) -> None:
    bench.ike.reachable = False
    before_s = bench.clock.elapsed_s
    until_done(bench)
    assert at(bench).done == ["RestartContainer"]
    deadline_s = bench.settings.daemon_deadline_seconds
    assert deadline_s <= bench.clock.elapsed_s - before_s <= deadline_s + 4


def test_while_charon_answers_its_container_is_never_touched(bench: Bench) -> None:
    for state in ("exited", "paused", "created", "dead", "missing", "unknown"):
        at(bench).put(state, health="unhealthy")
        bench.ike.reachable = True
        for _ in range(100):
            bench.clock.elapsed_s += 20
            bench.round()
    assert at(bench).done == []


def test_a_thousand_dead_sites_are_no_evidence_about_the_daemon(bench: Bench) -> None:
    bench.declare(
        **{f"k{n}": vpn(n, remote_subnet=f"10.{n // 250}.{n % 250}.0/24") for n in range(1000)}
    )
    for _ in range(20):
        bench.clock.elapsed_s += 20
        bench.round()
    assert {c.status for c in bench.status.connections.values()} == {"down"}
    assert at(bench).done == []


def test_a_charon_that_answers_a_short_question_is_not_restarted_and_it_is_said(
    bench: Bench,
) -> None:
    class Busy(FakeIke):
        def answers(self) -> bool:
            return True

    bench.ike = Busy(reachable=False)
    held = []
    for _ in range(100):
        bench.clock.elapsed_s += 2
        bench.round()
        held.append(said(bench).held)
    assert at(bench).done == []
    # Nothing at first, and from the deadline on always the same.
    words = "charon is alive, but too busy to tell its state"
    first = held.index(words)
    assert set(held[:first]) == {""}
    assert set(held[first:]) == {words}
    bench.ike = FakeIke(reachable=False)
    until_done(bench, within_s=bench.settings.daemon_deadline_seconds + 4)


def test_a_charon_that_tells_of_its_work_is_not_restarted(bench: Bench) -> None:
    class Late(FakeIke):
        def observe(self, *, deep: bool) -> None:  # type: ignore[override]
            raise IkeLate("no answer within 5 s")

        def answers(self) -> bool:
            return False

    bench.ike = Late()
    for _ in range(50):
        bench.clock.elapsed_s += 2
        bench.evidence.heard_s = bench.clock.monotonic_s()
        bench.round()
    assert at(bench).done == []
    assert said(bench).held == "charon is alive, but too busy to tell its state"
    until_done(bench, within_s=bench.settings.daemon_deadline_seconds + 4)


def test_a_way_to_charon_that_is_barred_is_no_reason_to_cut_everybody(bench: Bench) -> None:
    class Barred(FakeIke):
        def observe(self, *, deep: bool) -> None:  # type: ignore[override]
            raise IkeNoAccess("No such file or directory")

        def answers(self) -> bool:
            return False

    bench.ike = Barred()
    for _ in range(50):
        bench.clock.elapsed_s += 2
        bench.round()
    assert at(bench).done == []
    assert "is the volume mounted?" in said(bench).problem
    at(bench).seen = said(bench).model_copy(update={"health": "unhealthy"})
    until_done(bench)
    assert at(bench).done == ["RestartContainer"]


@pytest.mark.parametrize("state", ["missing", "dead", "restarting", "unknown"])
def test_where_nothing_can_be_done_everything_else_goes_on_and_it_is_said(
    bench: Bench, state: str
) -> None:
    at(bench).put(state)
    for _ in range(100):
        bench.clock.elapsed_s += 2
        bench.round()
    assert at(bench).done == []
    assert said(bench).problem
    bench.ike.reachable = True
    bench.declare(kspb=vpn(), kczk=vpn(2))
    bench.round()
    assert "kczk_vpn" in bench.ike.connections


def test_what_docker_refuses_is_said_and_tried_again_later_and_later(bench: Bench) -> None:
    at(bench).put("exited")
    at(bench).refusal = "Docker API: 500 no space left on device"
    report = until_done(bench)
    assert report.outcomes[0].error == at(bench).refusal
    assert at(bench).refusal in report.status.reconciler.actions[0]
    times = []
    for count in range(2, 6):
        until_done(bench, count)
        times.append(bench.clock.elapsed_s)
    assert times == sorted(times)
    assert times[-1] - times[-2] >= 2 * (times[1] - times[0]) - 4
    assert said(bench).next_attempt > bench.clock.now()
    at(bench).refusal = ""
    until_done(bench, 6)
    bench.round()
    assert bench.status.daemon.reachable


def test_a_used_up_budget_is_held_and_said_everywhere_until_the_hour_has_room(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    at(bench).incurable = True
    at(bench).put("exited")
    budget = bench.settings.restarts_per_hour
    for count in range(1, budget + 1):
        at(bench).put("exited")
        until_done(bench, count)
    at(bench).put("exited")
    first = said(bench).attempt_times[0]
    while bench.clock.now() < first + 3590:
        bench.clock.elapsed_s += 10
        report = bench.round()
    assert len(at(bench).done) == budget
    assert "as many as RESTARTS_PER_HOUR allows" in said(bench).held
    assert said(bench).next_attempt == pytest.approx(first + 3600, abs=2)
    metrics = Metrics()
    metrics.publish(report.status, report.tallies, report.outcomes, report.took_s)
    assert b"\nvpn_container_healing_held 1\n" in metrics.text()
    told = [r for r in caplog.records if "RESTARTS_PER_HOUR" in str(getattr(r, "fields", ""))]
    assert len(told) == 1, "once, not in every round"
    until_done(bench, budget + 1, within_s=60)


def test_budget_and_back_off_survive_a_restart_of_the_reconciler(bench: Bench) -> None:
    at(bench).incurable = True
    for count in range(1, bench.settings.restarts_per_hour + 1):
        at(bench).put("exited")
        until_done(bench, count)
        bench.restart_reconciler()
    at(bench).put("exited")
    for _ in range(300):
        bench.restart_reconciler()
        bench.clock.elapsed_s += 5
        bench.rounds(2)
    assert len(at(bench).done) == bench.settings.restarts_per_hour
    assert said(bench).attempts == bench.settings.restarts_per_hour


def test_a_success_that_lasted_ends_the_back_off(bench: Bench) -> None:
    for count in range(1, 4):
        at(bench).put("exited")
        until_done(bench, count)
    assert said(bench).attempts == 3
    bench.round()
    bench.clock.elapsed_s += LASTING_S
    bench.round()
    assert said(bench).attempts == 0


def test_a_charon_that_has_just_been_started_is_given_time(bench: Bench) -> None:
    at(bench).put("exited")
    at(bench).incurable = True
    until_done(bench)
    at(bench).put("running", started_at=bench.clock.now())
    before_s = bench.clock.elapsed_s
    until_done(bench, 2)
    patience_s = START_S + bench.settings.daemon_deadline_seconds
    assert bench.clock.elapsed_s - before_s >= patience_s - 2


def test_with_healing_switched_off_the_container_is_only_looked_at(bench: Bench) -> None:
    bench.settings = replace(bench.settings, heal_container="no")
    at(bench).put("exited")
    for _ in range(50):
        bench.clock.elapsed_s += 2
        bench.round()
    assert at(bench).done == []
    assert said(bench).problem == "stopped with exit code 0"
    assert said(bench).held == "HEAL_CONTAINER=no: the container is only looked at"


def test_a_reconciler_that_is_stopping_leaves_the_container_alone(bench: Bench) -> None:
    at(bench).put("exited")
    stopping = replace(bench.world, stopping=lambda: True)
    for _ in range(50):
        bench.clock.elapsed_s += 2
        bench.memory, _ = run_round(stopping, bench.memory, {"SIGTERM"})
    assert at(bench).done == []


def test_the_loop_mends_a_stopped_container_within_seconds(bench: Bench) -> None:
    bench.clock = FakeClock()
    bench.clock.monotonic_s = lambda: 5 * time.monotonic()  # type: ignore[method-assign]
    with running(bench) as run:
        eventually(lambda: run.rounds("ok") == 1, 5)
        at(bench).put("exited")
        run.wakes.wake("container die")
        eventually(lambda: at(bench).done == ["StartContainer"], 15)
        eventually(lambda: bench.status.daemon.reachable, 5)
    value = run.metrics.registry.get_sample_value
    done = {"action": "StartContainer", "result": "accepted"}
    assert value("vpn_actions_total", done) == 1
    assert b'\nvpn_container_state{state="running"} 1\n' in run.metrics.text()
