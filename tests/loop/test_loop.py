"""The loop on a thread of its own: it survives what fails, says so, and ends when told to."""

import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.core.observed import IkeSa, Observed
from reconciler.edges.http import HttpServer, metrics_answer
from reconciler.edges.metrics import Metrics
from reconciler.loop import Loop
from reconciler.wakes import Wakes
from tests.builders import vpn
from tests.docker import eventually
from tests.fake_ike import FakeIke
from tests.worlds import Bench


class Running:
    """A loop that runs, and the handles by which it is prodded."""

    def __init__(self, bench: Bench) -> None:
        self.stopping, self.wakes, self.metrics = threading.Event(), Wakes(), Metrics()
        world = replace(bench.world, stopping=self.stopping.is_set)
        self.loop = Loop(world, self.wakes, self.metrics, self.stopping)
        self.thread = threading.Thread(target=self.loop.run)

    def rounds(self, result: str) -> float:
        return self.metrics.registry.get_sample_value("vpn_rounds_total", {"result": result}) or 0


@contextmanager
def running(bench: Bench) -> Iterator[Running]:
    run = Running(bench)
    run.thread.start()
    try:
        yield run
    finally:
        run.stopping.set()
        run.wakes.wake("SIGTERM")
        run.thread.join(timeout=10)
        assert not run.thread.is_alive()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    bench.declare(kspb=vpn())
    return bench


def test_before_the_first_round_it_is_not_ready_and_after_it_it_is(bench: Bench) -> None:
    assert Running(bench).loop.health.ready()[0] == 503
    assert Running(bench).loop.status_answer()[0] == 503
    with running(bench) as run:
        eventually(lambda: run.loop.health.ready()[0] == 200, 5)
        assert run.loop.health.healthy()[0] == 200
        assert run.loop.status_answer()[0] == 200


def test_without_charon_it_turns_but_is_not_ready_and_keeps_asking(bench: Bench) -> None:
    bench.ike.reachable = False
    with running(bench) as run:
        eventually(lambda: run.rounds("charon_unreachable") >= 2, 10)
        assert run.loop.health.ready()[0] == 503
        assert run.loop.health.healthy()[0] == 200
        bench.ike.reachable = True
        eventually(lambda: run.loop.health.ready()[0] == 200, 10)


def test_a_wake_makes_a_round_at_once_and_its_reason_is_told(bench: Bench) -> None:
    with running(bench) as run:
        eventually(lambda: run.rounds("ok") == 1, 5)
        bench.declare(kspb=vpn(), kczk=vpn(2))
        run.wakes.wake("airports.json changed")
        eventually(lambda: "kczk_vpn" in bench.ike.connections, 2)
        eventually(lambda: run.rounds("ok") == 2, 2)
        assert bench.status.reconciler.reasons == ("airports.json changed",)


class Hanging(FakeIke):
    """A charon that keeps us waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.answering, self.asked = threading.Event(), threading.Event()

    def observe(self, *, deep: bool) -> Observed:
        if not self.answering.is_set():
            self.asked.set()
        self.answering.wait(20)
        return super().observe(deep=deep)


def test_while_a_round_hangs_a_scrape_is_answered_with_what_was_seen_last(bench: Bench) -> None:
    bench.ike = charon = Hanging()
    charon.answering.set()
    with running(bench) as run:
        eventually(lambda: run.rounds("ok") == 1, 5)
        server = HttpServer(
            ("127.0.0.1", 0), {"/metrics": lambda: metrics_answer(run.metrics.parts())}
        )
        server.start()
        try:
            charon.answering.clear()
            run.wakes.wake("SIGHUP")
            assert charon.asked.wait(5)
            address = f"http://127.0.0.1:{server.port}/metrics"
            with urllib.request.urlopen(address, timeout=5) as answer:
                page = answer.read()
            assert run.rounds("ok") == 1
        finally:
            charon.answering.set()
            server.stop()
        assert b'vpn_connection_desired{airport="kspb",connection="kspb_vpn"} 1\n' in page
        eventually(lambda: run.rounds("ok") == 2, 5)


def test_a_bug_in_a_round_is_told_and_the_loop_goes_on_after_a_pause(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.ike.faults = {"observe": RuntimeError("a bug")}
    with running(bench) as run:
        eventually(lambda: run.rounds("failed") == 1, 5)
        code, _, words = run.loop.health.healthy()
        assert code == 503
        assert b"RuntimeError" in words
        assert any("round failed" in record.message for record in caplog.records)
        eventually(lambda: run.loop.health.healthy()[0] == 200, 15)
        assert run.rounds("ok") >= 1


def test_events_do_not_turn_a_failing_loop_into_a_busy_one(bench: Bench) -> None:
    class Broken(FakeIke):
        def observe(self, *, deep: bool) -> None:  # type: ignore[override]
            raise RuntimeError("always")

    bench.ike = Broken()
    with running(bench) as run:
        eventually(lambda: run.rounds("failed") == 1, 5)
        for _ in range(50):
            run.wakes.wake("child-updown")
        assert run.rounds("failed") == 1


def test_at_the_end_a_last_status_is_written_and_nothing_is_torn_down(bench: Bench) -> None:
    with running(bench) as run:
        eventually(lambda: run.rounds("ok") == 1, 5)
        bench.ike.dial_in("kspb_vpn")
        bench.declare()
    assert bench.status.reconciler.reasons == ("SIGTERM",)
    assert len(bench.ike.sas) == 1
    assert "kspb_vpn" in bench.ike.connections


def test_a_storm_of_failed_attempts_makes_a_round_a_second_at_most(bench: Bench) -> None:
    with running(bench) as run:
        eventually(lambda: run.rounds("ok") == 1, 5)
        before, began_s = run.rounds("ok"), time.monotonic()
        while time.monotonic() < began_s + 3:
            run.wakes.wake("failure logged")
            eventually(lambda: True, 1)
        assert run.rounds("ok") - before <= 4


def test_an_attempt_that_is_under_way_longer_than_its_pause_makes_no_busy_loop(
    bench: Bench,
) -> None:
    bench.declare(kspb=vpn(remote_address="198.51.100.7"))
    bench.ike.refuses_new_children = {"kspb_vpn"}
    with running(bench) as run:
        eventually(lambda: "start_child" in " ".join(bench.ike.requests), 5)
        bench.ike.sas = [IkeSa("kspb_vpn", "9", "CONNECTING")]
        bench.clock.elapsed_s += 10
        run.wakes.wake("SIGHUP")
        eventually(lambda: run.rounds("ok") >= 2, 5)
        run.stopping.wait(1)
        assert run.rounds("ok") <= 4
