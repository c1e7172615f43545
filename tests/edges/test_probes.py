"""The prober: when it asks, how many at once, and what it keeps."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from itertools import pairwise

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from reconciler.core.probing import OF_CONNECTION, Key, Probe, ProbeRecord, Result
from reconciler.core.status import (
    CameraStatus,
    ConfigurationStatus,
    ConnectionStatus,
    DaemonStatus,
    LoopStatus,
    Status,
)
from reconciler.edges.probe_metrics import ProbeMetrics
from reconciler.edges.probes import Prober
from tests.docker import eventually

OK = Result(True, 0.02, "accepts the connection")
BAD = Result(False, 5.0, "no answer within 5 s")


class Answers:
    """Plays all cameras: answers as told, and notes when it was asked."""

    def __init__(self, answer: Result = OK, takes_s: float = 0.0) -> None:
        self.answer, self.takes_s = answer, takes_s
        self.asked: list[tuple[float, Key]] = []
        self.open, self.most_open = 0, 0

    async def __call__(self, probe: Probe, patience_s: float) -> Result:
        self.asked.append((time.monotonic(), probe.key))
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        await asyncio.sleep(self.takes_s)
        self.open -= 1
        return self.answer

    def count(self, key: Key) -> int:
        return sum(one == key for _, one in self.asked)


def probe(name: str, number: int = OF_CONNECTION, interval_s: float = 30.0) -> Probe:
    return Probe((name, number), "tcp", ip_address("192.168.1.100"), 80, interval_s)


def by_key(*probes: Probe) -> dict[Key, Probe]:
    return {one.key: one for one in probes}


@contextmanager
def probing(
    answers: Answers, changed: Callable[[], object] = lambda: None, most_at_once: int = 256
) -> Iterator[Prober]:
    prober = Prober(answers, changed, lambda: 0.0, most_at_once)
    prober.start()
    yield prober
    prober.stop()
    assert prober.join(5)


def test_what_is_wanted_is_asked_and_its_result_is_kept_and_news_are_told_once() -> None:
    answers, news = Answers(), [0]

    def count() -> None:
        news[0] += 1

    with probing(answers, count) as prober:
        prober.watch(by_key(probe("kspb_vpn", interval_s=0.1)))
        eventually(lambda: answers.count(("kspb_vpn", -1)) >= 4, 5, "it is asked", 0.02)
        record = prober.records()["kspb_vpn", -1]
        assert record.health(time.monotonic()) == "pass"
        assert record.last == OK
        assert news == [1]
        answers.answer = BAD
        eventually(lambda: news == [2], 5, "that it fails is told", 0.02)
        assert prober.results["failed"] >= 3
        assert prober.results["ok"] >= 4


def test_it_is_never_asked_faster_than_declared_also_when_the_wish_is_repeated() -> None:
    answers = Answers()
    with probing(answers) as prober:
        for _ in range(30):
            prober.watch(by_key(probe("a", interval_s=0.2)))
            prober.watch({})
            prober.watch(by_key(probe("a", interval_s=0.2), probe("b")))
            time.sleep(0.02)
        eventually(lambda: answers.count(("a", -1)) >= 4, 5, "it is asked", 0.02)
    times = [at_s for at_s, key in answers.asked if key == ("a", -1)]
    assert min(later - sooner for sooner, later in pairwise(times)) >= 0.19


def test_what_is_not_wanted_any_more_is_not_asked_and_its_result_is_forgotten() -> None:
    answers = Answers()
    with probing(answers) as prober:
        prober.watch(by_key(probe("a", interval_s=0.05), probe("b", interval_s=0.05)))
        eventually(lambda: len(prober.records()) == 2, 5, "both are asked", 0.02)
        prober.watch(by_key(probe("b", interval_s=0.05)))
        assert prober.records().keys() == {("b", -1)}
        before = answers.count(("a", -1))
        asked = answers.count(("b", -1))
        eventually(lambda: answers.count(("b", -1)) > asked + 3, 5, "b is asked on", 0.02)
        assert answers.count(("a", -1)) <= before + 1


def test_a_changed_probe_begins_anew_and_a_late_answer_to_the_old_one_does_not_count() -> None:
    answers = Answers(BAD, takes_s=0.3)
    with probing(answers) as prober:
        prober.watch(by_key(probe("a")))
        eventually(lambda: len(answers.asked) == 1, 5, "it is asked", 0.01)
        prober.watch(by_key(probe("a", interval_s=31.0)))
        answers.answer = OK
        eventually(lambda: len(prober.records()) == 1, 5, "the new one is answered", 0.01)
        time.sleep(0.35)
        record = prober.records()["a", -1]
        assert (record.probe.interval_s, record.in_a_row) == (31.0, 1)
        assert len(answers.asked) == 2


def test_only_so_many_are_asked_at_once_and_all_get_their_turn() -> None:
    answers = Answers(takes_s=0.02)
    with probing(answers, most_at_once=8) as prober:
        prober.watch(by_key(*(probe(f"n{n}") for n in range(100))))
        eventually(lambda: len(prober.records()) == 100, 10, "all are asked", 0.02)
    assert answers.most_open == 8


def test_an_interval_is_counted_from_one_attempt_to_the_next_however_long_they_take() -> None:
    answers = Answers(takes_s=0.15)
    with probing(answers) as prober:
        prober.watch(by_key(probe("a", interval_s=0.2)))
        eventually(lambda: len(answers.asked) >= 5, 5, "it is asked", 0.02)
    gaps = [b - a for (a, _), (b, _) in pairwise(answers.asked)]
    assert min(gaps) >= 0.19
    assert sum(gaps) / len(gaps) < 0.3


def test_a_prober_that_hangs_says_so_and_its_results_expire(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    release = threading.Event()

    async def hangs(_probe: Probe, _patience_s: float) -> Result:
        release.wait(20)  # the whole loop stands still
        return OK

    prober = Prober(hangs, jitter=lambda: 0.0)
    prober.start()
    prober.watch(by_key(probe("a")))
    assert prober.why_stuck() == ""
    last = eventually(lambda: prober.last_turn, 5, "it turned once", 0.01)
    monkeypatch.setattr("reconciler.edges.probes.time.time", lambda: last + 95.0)
    assert prober.why_stuck() == (
        "the prober has not turned for 95 s; what it found says nothing any more"
    )
    release.set()
    prober.stop()
    assert prober.join(5)


def test_a_bug_in_a_probe_ends_the_thread_and_is_not_hidden() -> None:
    async def bug(_probe: Probe, _patience_s: float) -> Result:
        raise RuntimeError("bug")

    prober = Prober(bug, jitter=lambda: 0.0)
    died: list[object] = []
    hook, threading.excepthook = threading.excepthook, lambda told: died.append(told.exc_value)
    try:
        prober.start()
        prober.watch(by_key(probe("a")))
        assert prober.join(5)
    finally:
        threading.excepthook = hook
    assert str(died[0]) == "bug"


# Metrics


def status(*cameras: str) -> Status:
    connection = ConnectionStatus(
        airport_id="kspb",
        connection_name="kspb_vpn",
        status="up",
        last_connected=1,
        last_disconnected=0,
        uptime_seconds=1,
        health_check="pass",
        cameras=tuple(CameraStatus(name=name) for name in cameras),
    )
    return Status(
        timestamp=1,
        connections={"kspb_vpn": connection},
        daemon=DaemonStatus(reachable=True),
        configuration=ConfigurationStatus(
            path="", valid=True, last_read=1, last_valid=1, airports_declared=1
        ),
        reconciler=LoopStatus(version="", round=1, reasons=()),
    )


class Told:
    """A prober that has these results."""

    def __init__(self, *results: tuple[Probe, Result]) -> None:
        self.last_turn = 1_700_000_000
        self.results = {"ok": 3, "failed": 1}
        self._records = {
            one.key: ProbeRecord(one).counted(result, self.last_turn, 100.0)
            for one, result in results
        }

    def records(self) -> dict[Key, ProbeRecord]:
        return self._records


def exposed(told: Told, *cameras: str, now_s: float = 110.0) -> list[str]:
    registry = CollectorRegistry()
    ProbeMetrics(registry, told, lambda: status(*cameras), lambda: now_s)
    text = generate_latest(registry).decode()
    return [line for line in text.splitlines() if not line.startswith("#")]


LABELS = '{airport="kspb",connection="kspb_vpn"}'


def test_metrics_tell_the_last_result_and_when_it_was_and_how_many_there_were() -> None:
    lines = exposed(Told((probe("kspb_vpn"), OK)))
    assert f"vpn_connection_probe_success{LABELS} 1.0" in lines
    assert f"vpn_connection_probe_round_trip_seconds{LABELS} 0.02" in lines
    assert f"vpn_connection_probe_last_run_timestamp_seconds{LABELS} 1.7e+09" in lines
    assert 'vpn_probes_total{result="ok"} 3.0' in lines
    assert "vpn_prober_last_turn_timestamp_seconds 1.7e+09" in lines


def test_a_failure_has_no_round_trip() -> None:
    lines = exposed(Told((probe("kspb_vpn"), BAD)))
    assert f"vpn_connection_probe_success{LABELS} 0.0" in lines
    assert not [line for line in lines if "round_trip" in line]


def test_a_result_that_is_too_old_is_not_told_but_when_it_was() -> None:
    told = Told((probe("kspb_vpn"), OK), (probe("kspb_vpn", 0), OK))
    lines = exposed(told, "North", now_s=1000.0)
    assert not [line for line in lines if "probe_success" in line or "camera_up" in line]
    assert [line for line in lines if "last_run" in line]


def test_each_camera_has_a_series_of_its_own_also_where_names_are_equal_or_missing() -> None:
    told = Told(*((probe("kspb_vpn", n), OK) for n in range(4)))
    lines = [line for line in exposed(told, "North", "North", "", 'a"b') if "camera_up" in line]
    for name in ("North", "North (2)", "camera 3", 'a\\"b'):
        assert [line for line in lines if f'camera="{name}"' in line], name


@pytest.mark.parametrize(
    "names", [("a (3)", "a", "a"), ("camera 2", ""), ("x", "x", "x (2)", "x (2)")], ids=repr
)
def test_no_series_is_told_twice_whatever_the_names(names: tuple[str, ...]) -> None:
    told = Told(*((probe("kspb_vpn", n), OK) for n in range(len(names))))
    lines = [line for line in exposed(told, *names) if "camera_up" in line]
    assert len({*lines}) == len(names)
