"""Probes over whole rounds: what is asked, what the status says, and what follows of it."""

import json
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from reconciler.core.names import Lookup, Resolution, after
from reconciler.core.observed import ChildSa
from reconciler.core.probing import OF_CONNECTION, Key, Probe, ProbeRecord, Result
from reconciler.core.status import CameraStatus
from reconciler.memory import Memory
from reconciler.round import run_round
from reconciler.world import World
from tests.builders import vpn
from tests.worlds import Bench

OK = Result(True, 0.02, "accepts the connection")
BAD = Result(False, 5.0, "no answer within 5 s")
REFUSED = Result(False, 0.01, "refuses the connection")
NORTH = {"name": "North", "url": "rtsp://admin:s3cr3t-Pass@192.168.1.100/s?pwd=t0ken"}
SOUTH = {"name": "South", "url": "http://192.168.9.9/a.jpg"}
KEY: Key = ("kspb_vpn", OF_CONNECTION)


class Probed:
    """A bench with a prober that the test plays."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.wanted: dict[Key, Probe] = {}
        self.found: dict[Key, ProbeRecord] = {}
        self.names: dict[str, Resolution] = {}
        self.asked_for: set[str] = set()

    @property
    def world(self) -> World:
        return replace(
            self.bench.world, probe=self._watch, probed=lambda: dict(self.found), names=self._names
        )

    def _watch(self, probes: Any) -> None:
        self.wanted = dict(probes)
        self.found = {key: one for key, one in self.found.items() if key in probes}

    def _names(self, names: Any) -> dict[str, Resolution]:
        self.asked_for = set(names)
        return self.names

    def round(self) -> None:
        self.bench.memory, _ = run_round(self.world, self.bench.memory, {"test"})

    def declare(self, *webcams: dict[str, str], **changes: Any) -> None:
        airports = {"kspb": {"vpn": vpn(1, **changes), "webcams": [*webcams]}}
        self.bench.settings.config_path.write_text(json.dumps({"airports": airports}))

    def up(self) -> None:
        self.round()
        self.dial()
        self.round()
        assert self.bench.connection().status == "up"

    def dial(self) -> None:
        """Play the site. Its CHILD_SA has an SPI of its own, as real ones do."""
        self.bench.ike.dial_in("kspb_vpn")
        self.bench.ike.sas = [
            replace(sa, children=tuple(replace(c, spi_in=c.unique_id) for c in sa.children))
            for sa in self.bench.ike.sas
        ]

    def result(self, result: Result, times: int = 1, key: Key = KEY) -> None:
        clock = self.bench.clock
        for _ in range(times):
            record = self.found.get(key) or ProbeRecord(self.wanted[key])
            self.found[key] = record.counted(result, clock.now(), clock.monotonic_s())

    def passes(self, received: int, sent: int) -> None:
        """Let packets pass through the tunnel."""

        def counted(child: ChildSa) -> ChildSa:
            return replace(
                child,
                received_packets=child.received_packets + received,
                sent_packets=child.sent_packets + sent,
            )

        self.bench.ike.sas = [
            replace(sa, children=tuple(map(counted, sa.children))) for sa in self.bench.ike.sas
        ]

    @property
    def camera(self) -> CameraStatus:
        return self.bench.connection().cameras[0]


@pytest.fixture
def probed(bench: Bench) -> Probed:
    return Probed(bench)


def test_only_what_is_behind_a_tunnel_that_is_up_is_asked(probed: Probed) -> None:
    probed.declare(NORTH, SOUTH)
    probed.round()
    assert probed.wanted == {}
    probed.up()
    assert {key: probe.kind for key, probe in probed.wanted.items()} == {
        KEY: "tcp",
        ("kspb_vpn", 0): "rtsp",
    }
    probed.bench.ike.sas = []
    probed.round()
    assert probed.wanted == {}


def test_while_charon_cannot_be_asked_probes_go_on(probed: Probed) -> None:
    probed.declare(NORTH)
    probed.up()
    probed.bench.ike.reachable = False
    probed.round()
    assert KEY in probed.wanted
    assert probed.bench.connection().health_check == "unknown"


def test_the_status_follows_the_probe_and_not_the_packets_that_pass(probed: Probed) -> None:
    probed.declare(NORTH)
    probed.up()
    probed.passes(5, 5)
    probed.round()
    assert (probed.bench.connection().health_check, probed.bench.connection().probe) == (
        "unknown",
        None,
    )
    probed.result(OK)
    probed.round()
    connection = probed.bench.connection()
    assert connection.health_check == "pass"
    assert connection.probe is not None
    assert connection.probe.model_dump() == {
        "target": "192.168.1.100:554",
        "kind": "tcp",
        "success": True,
        "round_trip_s": 0.02,
        "last_run": probed.bench.clock.now(),
        "failures_in_a_row": 0,
        "detail": "accepts the connection",
    }


def test_without_anything_to_ask_packets_are_what_tells(probed: Probed) -> None:
    probed.declare()
    probed.up()
    probed.round()
    probed.passes(5, 5)
    probed.round()
    assert probed.bench.connection().health_check == "pass"


def test_a_camera_that_does_not_answer_is_a_fault_of_the_site_and_the_tunnel_stays_up(
    probed: Probed,
) -> None:
    probed.declare(NORTH)
    probed.up()
    probed.result(BAD, 3)
    probed.bench.requests()
    probed.round()
    connection = probed.bench.connection()
    assert (connection.status, connection.health_check, connection.degraded) == ("up", "fail", True)
    [reason] = connection.degraded_reasons
    assert (reason.code, reason.who_must_act) == ("probe-failed", "site")
    assert reason.text == (
        "the tunnel is up, but 192.168.1.100:554 does not answer: no answer within 5 s"
    )
    assert probed.bench.requests() == []


def test_a_dead_prober_does_not_look_well(probed: Probed) -> None:
    probed.declare(NORTH)
    probed.up()
    probed.result(OK)
    probed.result(OK, key=("kspb_vpn", 0))
    probed.round()
    assert (probed.bench.connection().health_check, probed.camera.health_check) == ("pass", "pass")
    probed.bench.age(400)
    probed.round()
    connection = probed.bench.connection()
    assert (connection.health_check, probed.camera.health_check) == ("unknown", "unknown")
    assert not connection.degraded


def test_a_stuck_prober_is_told(probed: Probed) -> None:
    probed.declare(NORTH)
    world = replace(probed.world, why_not_probed=lambda: "the prober has not turned for 95 s")
    _, report = run_round(world, Memory(), {"test"})
    assert report.status.reconciler.errors == ("the prober has not turned for 95 s",)


# The ladder


def ends(probed: Probed) -> int:
    return sum(request.startswith("end_ike") for request in probed.bench.requests())


def turn(probed: Probed, result: Result, received: int = 0, times: int = 1) -> int:
    """Let half a minute pass, several times over; count how often the tunnel was ended."""
    ended = 0
    for _ in range(times):
        probed.bench.age(30)
        if not probed.bench.ike.sas:
            probed.dial()
            probed.round()
            probed.bench.age(3)
            probed.round()
        if KEY in probed.wanted:
            probed.result(result)
        probed.passes(received, 3)
        probed.round()
        ended += ends(probed)
    return ended


def answering(probed: Probed) -> None:
    probed.declare(NORTH)
    probed.up()
    probed.round()
    ends(probed)
    assert turn(probed, OK, received=3, times=3) == 0


def test_where_nothing_comes_back_the_site_is_made_to_dial_anew_three_times_at_most(
    probed: Probed,
) -> None:
    answering(probed)
    assert turn(probed, BAD, times=4) == 1
    assert turn(probed, BAD, times=120) == 2


def test_a_camera_that_refuses_does_not_end_the_tunnel_ever(probed: Probed) -> None:
    answering(probed)
    assert turn(probed, REFUSED, received=1, times=50) == 0
    connection = probed.bench.connection()
    assert connection.health_check == "fail"
    assert "other packets do come back" in connection.degraded_reasons[0].text


def test_nor_does_one_that_is_off_while_another_one_answers_now_and_then(probed: Probed) -> None:
    """Most of what is sent is then not answered for minutes at a time."""
    answering(probed)
    ended = 0
    for _ in range(20):
        ended += turn(probed, BAD, times=3)
        ended += turn(probed, BAD, received=20)
    assert ended <= 3
    assert probed.bench.connection().status == "up"


def test_an_answer_of_another_one_after_each_new_beginning_does_not_make_the_count_begin_anew(
    probed: Probed,
) -> None:
    """All are asked soon after it came up, and then not for a while."""
    answering(probed)
    ended = 0
    for _ in range(200):
        fresh = not probed.bench.ike.sas
        ended += turn(probed, BAD, received=5 if fresh else 0)
    assert ended <= 3
    turn(probed, OK, received=3, times=3)
    assert turn(probed, BAD, times=5) == 1, "after an answer it counts anew"


def test_when_the_camera_answers_again_the_tunnel_is_as_good_as_ever(probed: Probed) -> None:
    answering(probed)
    turn(probed, REFUSED, received=1, times=5)
    assert turn(probed, OK, received=3, times=3) == 0
    connection = probed.bench.connection()
    assert (connection.health_check, connection.degraded) == ("pass", False)
    assert turn(probed, BAD, times=5) == 1, "it counts anew"


# Cameras


def test_each_camera_has_its_verdict_and_what_it_answered(probed: Probed) -> None:
    probed.declare(NORTH, SOUTH, {"name": "Odd", "url": "udp://192.168.1.7:1"})
    probed.up()
    probed.result(Result(True, 0.2, "answers over RTSP"), key=("kspb_vpn", 0))
    probed.round()
    north, south, odd = probed.bench.connection().cameras
    assert north.model_dump() == {
        "name": "North",
        "url": "rtsp://192.168.1.100/s",
        "route": "tunnel",
        "route_reason": "192.168.1.100 is in the LAN 192.168.1.0/24",
        "addresses": ("192.168.1.100",),
        "health_check": "pass",
        "last_checked": probed.bench.clock.now(),
        "detail": "answers over RTSP",
    }
    assert (south.route, south.health_check) == ("outside-lan", "unknown")
    assert odd.detail == "not asked: udp can't be probed"


def test_names_are_looked_up_outside_of_the_round_and_a_changed_answer_moves_the_probe(
    probed: Probed,
) -> None:
    def answer(text: str) -> dict[str, Resolution]:
        lookup = Lookup((ip_address(text),), 60)
        return {"cam.example.org": after(None, lookup, 0.0, lambda: 0.5)}

    probed.declare({"name": "North", "url": "http://cam.example.org/a.jpg"})
    probed.up()
    assert (probed.asked_for, probed.camera.route) == ({"cam.example.org"}, "pending")
    assert probed.wanted == {}
    for text in ("192.168.1.9", "192.168.1.10"):
        probed.names = answer(text)
        probed.round()
        assert (probed.camera.route, probed.camera.addresses) == ("tunnel", (text,))
        assert str(probed.wanted[KEY].address) == text


def test_a_broken_file_leaves_cameras_and_probes_as_they_were(probed: Probed) -> None:
    probed.declare(NORTH)
    probed.up()
    wanted = probed.wanted
    probed.bench.settings.config_path.write_text("{")
    probed.round()
    assert probed.wanted == wanted
    assert probed.camera.route == "tunnel"


def test_after_a_restart_with_a_broken_file_no_camera_looks_well(probed: Probed) -> None:
    probed.declare(NORTH)
    probed.up()
    probed.result(OK, key=("kspb_vpn", 0))
    probed.round()
    probed.bench.settings.config_path.write_text("{")
    probed.bench.restart_reconciler()
    probed.found = {}
    probed.round()
    assert (probed.camera.name, probed.camera.health_check) == ("North", "unknown")


def test_a_changed_probe_sends_charon_nothing(probed: Probed) -> None:
    probed.declare(NORTH)
    probed.up()
    probed.bench.requests()
    probed.declare(NORTH, health_check={"target": "192.168.1.1", "interval_s": 60})
    probed.round()
    assert probed.bench.requests() == []
    assert (probed.wanted[KEY].target, probed.wanted[KEY].interval_s) == ("192.168.1.1", 60)


def test_one_round_by_hand_leaves_what_the_running_one_found(probed: Probed) -> None:
    probed.declare(NORTH)
    probed.up()
    probed.result(OK)
    probed.result(OK, key=("kspb_vpn", 0))
    probed.round()
    before = probed.bench.connection()
    probed.bench.restart_reconciler()
    probed.bench.round("apply")
    now = probed.bench.connection()
    assert (now.health_check, now.probe, now.cameras) == ("pass", before.probe, before.cameras)


def test_no_key_of_a_url_gets_into_the_status(probed: Probed) -> None:
    probed.declare(NORTH)
    probed.up()
    probed.result(BAD, 3)
    probed.round()
    text = probed.bench.settings.status_file.read_text()
    assert "s3cr3t-Pass" not in text
    assert "t0ken" not in text
