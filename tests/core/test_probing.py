"""What is probed, and what the results amount to."""

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from reconciler.core.check import decide
from reconciler.core.probing import (
    OF_CONNECTION,
    Key,
    Probe,
    ProbeRecord,
    Result,
    excused,
    first_wait_s,
    is_dead_way,
    wait_s,
)
from reconciler.core.sights import Intervals, Sights, cameras_of, host_names, make_sights
from reconciler.core.traffic import Flow
from tests.builders import FACTS, document, vpn

KEY: Key = ("kspb_vpn", OF_CONNECTION)
PROBE = Probe(KEY, "tcp", ip_address("192.168.1.100"), 80, 30.0)
OK = Result(True, 0.02, "accepts the connection")
BAD = Result(False, 5.0, "no answer within 5 s")
UNABLE = Result(None, 0.0, "pings are not allowed here")


def after(*results: Result, every_s: float = 30.0) -> ProbeRecord:
    record = ProbeRecord(PROBE)
    for number, result in enumerate(results):
        record = record.counted(result, 1_700_000_000 + number, number * every_s)
    return record


@pytest.mark.parametrize(
    ("results", "health"),
    [
        ([], "unknown"),
        ([OK], "pass"),
        ([BAD], "unknown"),
        ([BAD, BAD], "unknown"),
        ([BAD, BAD, BAD], "fail"),
        ([OK, BAD, BAD], "pass"),
        ([OK, BAD, BAD, BAD], "fail"),
        ([OK, BAD, BAD, BAD, OK], "fail"),
        ([OK, BAD, BAD, BAD, OK, OK], "pass"),
        ([BAD, BAD, BAD, OK, BAD, OK, OK], "pass"),
        ([OK, BAD, OK, BAD, BAD], "pass"),
        ([OK, UNABLE], "unknown"),
        ([UNABLE] * 9, "unknown"),
    ],
    ids=lambda one: (
        "".join("-+?"[1 if r.success else 2 if r.success is None else 0] for r in one)
        if isinstance(one, list)
        else one
    ),
)
def test_it_fails_after_three_failures_and_passes_again_after_two_successes(
    results: list[Result], health: str
) -> None:
    record = after(*results)
    assert record.health(record.last_run_s) == health


def test_an_old_result_says_nothing() -> None:
    record = after(OK)
    assert [record.health(s) for s in (0, 60, 90, 91, 1e6)] == ["pass"] * 3 + ["unknown"] * 2
    assert after(BAD, BAD, BAD).health(400) == "unknown"


def test_failures_in_a_row_are_counted_since_the_last_success() -> None:
    assert [after(*r).failures_in_a_row for r in ([OK], [OK, BAD], [BAD] * 5)] == [0, 1, 5]


def test_it_is_never_asked_faster_than_declared() -> None:
    assert [wait_s(30, jitter) for jitter in (0, 0.999)] == [30, pytest.approx(33, abs=0.01)]
    assert [first_wait_s(30, jitter) for jitter in (0, 0.5)] == [0, 2.5]


def flow(answered_s: float | None, *, ever: bool = True) -> Flow:
    return Flow(frozenset({"c1"}), 1, 1, answered_s=answered_s, ever_answered=ever)


DEAD = after(OK, BAD, BAD, BAD)


@pytest.mark.parametrize(
    ("record", "given", "dead"),
    [
        (DEAD, flow(10.0), True),
        (DEAD, flow(None), True),
        (DEAD, flow(80.0), False),
        (DEAD, flow(10.0, ever=False), False),
        (DEAD, None, False),
        (None, flow(10.0), False),
        (after(OK, BAD, BAD), flow(10.0), False),
        (after(BAD, BAD, BAD, BAD), flow(10.0), False),
        (after(OK, BAD, BAD, BAD, OK), flow(10.0), False),
    ],
    ids=[
        *("nothing since", "not a packet", "another camera answers", "never heard of"),
        *("no SA", "no probe", "not failed yet", "never answered", "answers again"),
    ],
)
def test_only_where_nothing_at_all_comes_back_may_it_be_the_tunnel(
    record: ProbeRecord | None, given: Flow | None, dead: bool
) -> None:
    assert is_dead_way(record, given, 95.0, 30.0) is dead


def test_a_probe_that_fails_quickly_is_no_sign_of_silence_while_something_was_just_heard() -> None:
    record = after(OK, BAD, BAD, BAD, every_s=5)
    assert not is_dead_way(record, flow(15.0), 16.0, 30.0)
    later = after(OK, *[BAD] * 12, every_s=5)
    assert not is_dead_way(later, flow(55.0), 60.0, 30.0)
    assert is_dead_way(later, flow(15.0), 60.0, 30.0)


def test_a_tunnel_that_works_although_its_probe_fails_is_excused_until_that_answers() -> None:
    def now(before: set[str], record: ProbeRecord | None, heard_s: float | None) -> bool:
        records = {KEY: record} if record else {}
        return "kspb_vpn" in excused(before, records, {"kspb_vpn": flow(heard_s)}, 30.0)

    assert not now(set(), DEAD, 10.0)
    assert now(set(), DEAD, 61.0)
    excuse = {"kspb_vpn"}
    assert now(excuse, DEAD, None), "new keys, new counters"
    assert now(excuse, None, None), "it was dialled anew and has not been probed yet"
    assert not now(excuse, after(BAD, OK), 61.0)


# What is probed of a declaration


def sights(webcams: list[Any], before: Sights | None = None, **changes: Any) -> Sights:
    content = document(kspb=vpn(1, **changes), kczk=vpn(2))
    content["airports"]["kspb"]["webcams"] = webcams
    decision = decide(content, {}, FACTS)
    assert not decision.errors
    cameras = cameras_of(before or Sights(), decision)
    return make_sights(Sights(), decision, cameras, (), {}, Intervals(30.0, 120.0), 0.0)


def probes(webcams: list[Any], **changes: Any) -> list[tuple[Any, ...]]:
    made = sights(webcams, **changes).probes.get("kspb_vpn", ())
    return [(p.key[1], p.kind, p.target, p.interval_s) for p in made]


def url(text: str) -> dict[str, str]:
    return {"name": "North", "url": text}


def test_by_default_the_first_camera_behind_the_tunnel_is_asked_for_a_connection() -> None:
    assert probes(
        [
            url("https://example.org/a.jpg"),
            url("http://192.168.9.9/"),
            url("rtsp://u:p@192.168.1.100/s"),
            url("http://192.168.1.101:81/a.jpg"),
        ]
    ) == [
        (-1, "tcp", "192.168.1.100:554", 30.0),
        (2, "rtsp", "192.168.1.100:554", 120.0),
        (3, "http", "192.168.1.101:81", 120.0),
    ]


def test_a_declared_target_goes_before() -> None:
    declared = {"target": "192.168.1.1", "interval_s": 10}
    found = probes([url("http://192.168.1.100/")], health_check=declared)
    assert found[0] == (-1, "ping", "192.168.1.1", 10)
    assert probes([], health_check="192.168.1.1:443") == [(-1, "tcp", "192.168.1.1:443", 30.0)]


def test_without_a_target_and_a_camera_nothing_is_asked() -> None:
    assert probes([]) == []
    assert probes([url("http://name.example.org/")]) == []


@pytest.mark.parametrize("text", ["udp://192.168.1.100:1234", "onvif://192.168.1.100/"])
def test_what_no_connection_tells_about_is_not_asked(text: str) -> None:
    assert probes([url(text)]) == []


def test_other_schemes_are_asked_for_a_connection() -> None:
    assert probes([url("rtmp://192.168.1.100/live")])[1:] == [
        (0, "tcp", "192.168.1.100:1935", 120.0)
    ]


def test_nothing_is_made_anew_while_nothing_changes() -> None:
    first = sights([url("http://192.168.1.100/")])
    assert first.decision is not None
    again = make_sights(
        first, first.decision, first.cameras, (), first.names, Intervals(30, 120), 1e6
    )
    assert again is first


def test_names_are_looked_up_only_where_there_are_any() -> None:
    made = sights([url("http://192.168.1.1/"), url("http://Cam.example/"), url("nonsense"), 5])
    assert host_names(made.cameras) == {"cam.example"}


def test_no_key_gets_into_a_representation_of_what_is_probed() -> None:
    made = sights([url("rtsp://admin:s3cr3t-Pass@192.168.1.100/s?pwd=t0ken")])
    assert "s3cr3t-Pass" not in repr(made)
    assert "t0ken" not in repr(made)
    assert "s3cr3t-Pass" not in repr(replace(DEAD, probe=made.probes["kspb_vpn"][1]))
