"""Whole rounds against the fake charon: what the file says comes about, and what fails is said."""

import shutil
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from reconciler.core.observed import IkeSa
from reconciler.core.reasons import Code, Failure
from reconciler.errors import IkeRefused, IkeUnreachable
from tests.builders import vpn
from tests.fake_ike import FakeIke, Killed
from tests.worlds import Bench, FakeClock


def test_a_declared_airport_is_loaded_and_up_once_its_site_dials_in(bench: Bench) -> None:
    bench.declare(kspb=vpn())
    bench.round()
    assert bench.connection().status == "down"
    assert bench.connection().reason == "no IKE_SA; the site has never dialled in"
    bench.ike.dial_in("kspb_vpn")
    bench.round()
    assert bench.connection().status == "up"
    assert bench.connection().last_connected == bench.clock.now() - 60


def test_an_edit_that_changes_nothing_sends_charon_nothing(three_up: Bench) -> None:
    body = three_up.settings.config_path.read_text()
    three_up.settings.config_path.write_text(
        body.replace('"psk"', '\n  "psk"').replace('{"airports"', '{"theme": "dark", "airports"')
    )
    three_up.round()
    three_up.declare(s51=vpn(3), kczk=vpn(2), kspb=vpn(1, dh_group="14", ike_version="2"))
    three_up.round()
    assert three_up.requests() == []


def test_an_added_airport_is_the_only_one_that_charon_hears_of(three_up: Bench) -> None:
    three_up.declare(kspb=vpn(1), kczk=vpn(2), s51=vpn(3), kxyz=vpn(4))
    three_up.round()
    assert [request.split("#")[0] for request in three_up.requests()] == [
        "load_connection kxyz_vpn",
        "load_secret kxyz_vpn",
    ]


def test_a_removed_airport_is_gone_and_the_way_back_is_shut_first(three_up: Bench) -> None:
    three_up.declare(kspb=vpn(1), kczk=vpn(2))
    three_up.round()
    assert [request.split("#")[0] for request in three_up.requests()] == [
        "unload_connection s51_vpn",
        "end_all s51_vpn",
        "unload_secret s51_vpn",
    ]
    assert set(three_up.status.connections) == {"kspb_vpn", "kczk_vpn"}


def test_a_disabled_airport_is_removed_and_not_listed_as_down(three_up: Bench) -> None:
    three_up.declare(kspb=vpn(1), kczk=vpn(2), s51=vpn(3, enabled=False))
    three_up.round()
    assert "s51_vpn" not in three_up.ike.connections
    assert "s51_vpn" not in three_up.status.connections
    assert three_up.status.configuration.airports_disabled == ("s51",)


def test_a_changed_subnet_comes_into_force_before_the_old_one_goes(three_up: Bench) -> None:
    three_up.declare(kspb=vpn(1, remote_subnet="192.168.9.0/24"), kczk=vpn(2), s51=vpn(3))
    three_up.rounds(2)
    kinds = [request.split()[0] for request in three_up.requests()]
    assert kinds == [
        "load_connection",
        "load_secret",
        "unload_secret",
        "start_child",
        "end_child",
    ]
    assert three_up.connection().status == "up"
    assert three_up.connection().remote_subnets == ("192.168.9.0/24",)


@pytest.mark.parametrize(
    "content",
    [None, "", "{", "{}", "[]", "null", '{"airports": []}', '{"airports": {"kspb": {"vpn', "\xff"],
)
def test_a_file_that_says_nothing_changes_nothing_and_the_next_good_one_clears_it(
    three_up: Bench, content: str | None
) -> None:
    good = three_up.settings.config_path.read_bytes()
    if content is None:
        three_up.settings.config_path.unlink()
    else:
        three_up.settings.config_path.write_bytes(content.encode("latin-1"))
    three_up.rounds()
    assert three_up.requests() == []
    assert {c.status for c in three_up.status.connections.values()} == {"up"}
    assert not three_up.status.configuration.valid
    assert len(three_up.status.configuration.faults) == 1
    three_up.settings.config_path.write_bytes(good)
    three_up.round()
    assert three_up.status.configuration.valid
    assert three_up.requests() == []


def test_one_bad_airport_keeps_its_last_good_tunnel_and_leaves_the_others_alone(
    three_up: Bench,
) -> None:
    three_up.declare(
        kspb=vpn(1), kczk=vpn(2, remote_subnet="192.168.2.1/24"), s51=vpn(3), kxyz=vpn(4)
    )
    three_up.round()
    assert {request.split("#")[0].split()[-1] for request in three_up.requests()} == {"kxyz_vpn"}
    kczk = three_up.connection("kczk_vpn")
    assert (kczk.status, kczk.last_good) == ("up", True)
    fault = three_up.status.configuration.faults[0]
    assert fault.path == "airports.kczk.vpn.remote_subnet"


def test_the_last_good_tunnel_survives_restarts_of_reconciler_and_charon_in_bad_times(
    three_up: Bench,
) -> None:
    three_up.settings.config_path.write_text("{")
    three_up.restart_reconciler()
    three_up.ike.restart(three_up.clock.now())
    three_up.round()
    assert set(three_up.ike.connections) == {"kspb_vpn", "kczk_vpn", "s51_vpn"}


def test_when_charon_can_not_be_asked_nothing_is_done_or_claimed(three_up: Bench) -> None:
    three_up.ike.reachable = False
    three_up.declare(kspb=vpn(1))
    three_up.round()
    assert three_up.requests() == []
    assert not three_up.status.daemon.reachable
    kspb = three_up.connection()
    assert (kspb.observed, kspb.status) == (False, "down")
    connected = kspb.last_connected
    three_up.ike.reachable = True
    three_up.age(30)
    three_up.round()
    assert three_up.connection().last_connected == connected
    assert three_up.connection().last_disconnected == 0


def test_a_killed_charon_is_loaded_again_and_the_gap_is_told(three_up: Bench) -> None:
    three_up.age(100)
    three_up.ike.restart(three_up.clock.now())
    three_up.round()
    assert set(three_up.ike.connections) == {"kspb_vpn", "kczk_vpn", "s51_vpn"}
    assert three_up.connection().status == "down"
    assert three_up.connection().last_disconnected == three_up.clock.now()


def test_a_restart_of_charon_that_nobody_saw_is_told_as_a_gap(three_up: Bench) -> None:
    """Both were gone: only charon's own start time tells that the tunnel is not the same."""
    three_up.age(100)
    three_up.ike.restart(three_up.clock.now())
    three_up.restart_reconciler()
    three_up.round()
    three_up.ike.dial_in("kspb_vpn")
    three_up.round()
    assert three_up.connection().status == "up"
    assert three_up.connection().last_disconnected == three_up.clock.now()


def test_a_start_time_that_is_a_second_off_is_no_restart(three_up: Bench) -> None:
    """Charon computes it from two clocks, and so do two of its answers differ."""
    three_up.age(30)
    three_up.ike.started_at += 1
    three_up.round()
    assert three_up.connection().last_disconnected == 0


def test_a_clock_that_is_set_is_no_restart(three_up: Bench) -> None:
    three_up.age(30)
    three_up.clock.set_by_s = 3600
    three_up.ike.started_at += 3600
    three_up.round()
    assert three_up.connection().last_disconnected == 0


def test_a_reconciler_killed_after_any_request_leaves_nothing_that_its_successor_does_not_mend(
    tmp_path: Path,
) -> None:
    for kill_after in range(1, 12):
        bench = Bench(tmp_path)
        bench.declare(kspb=vpn(1), kczk=vpn(2))
        bench.ike.kill_after = kill_after
        try:
            bench.rounds()
            bench.ike.dial_in("kspb_vpn")
            bench.declare(kspb=vpn(1, psk="another-good-pre-shared-key"), s51=vpn(3))
            bench.rounds()
        except Killed:
            bench.declare(kspb=vpn(1, psk="another-good-pre-shared-key"), s51=vpn(3))
            bench.restart_reconciler()
        bench.rounds()
        assert set(bench.ike.connections) == {"kspb_vpn", "s51_vpn"}
        assert len(bench.ike.secrets) == 2
        bench.requests()
        bench.restart_reconciler()
        bench.round()
        assert bench.requests() == [], kill_after


@pytest.mark.parametrize(
    "method", ["load_connection", "load_secret", "unload_connection", "end_all", "unload_secret"]
)
@pytest.mark.parametrize("fault", [IkeRefused("no"), IkeUnreachable("gone")], ids=str)
def test_one_failing_request_fails_one_action_and_the_next_round_mends_it(
    bench: Bench, method: str, fault: Exception
) -> None:
    bench.declare(kspb=vpn(1), kczk=vpn(2))
    bench.round()
    bench.ike.faults = {method: fault}
    bench.declare(kczk=vpn(2, psk="another-good-pre-shared-key"), s51=vpn(3))
    report = bench.round()
    assert sum(outcome.error is not None for outcome in report.outcomes) == 1
    bench.age(0 if isinstance(fault, IkeUnreachable) else 10)
    bench.round()
    assert bench.round().outcomes == ()
    assert set(bench.ike.connections) == {"kczk_vpn", "s51_vpn"}
    assert len(bench.ike.secrets) == 2


@pytest.mark.parametrize("method", ["load_connection", "load_secret"])
def test_a_tunnel_is_not_cut_for_a_declaration_that_charon_refuses(
    three_up: Bench, method: str
) -> None:
    """The site could only come back as before, to be cut again in the next round."""
    before = [sa.unique_id for sa in three_up.ike.sas]
    three_up.declare(kspb=vpn(1, psk="another-good-pre-shared-key"), kczk=vpn(2), s51=vpn(3))
    three_up.ike.refuses_redial = {"kspb_vpn"}
    for _ in range(6):
        three_up.ike.faults = {method: IkeRefused("config discarded")}
        three_up.round()
        three_up.age(3)
    assert [sa.unique_id for sa in three_up.ike.sas] == before
    three_up.ike.faults = {}
    three_up.age(300)
    three_up.rounds(2)
    assert "kspb_vpn" not in {sa.name for sa in three_up.ike.sas}


def test_a_site_that_does_not_answer_is_asked_less_and_less_often(bench: Bench) -> None:
    bench.declare(kspb=vpn(remote_address="198.51.100.7"))
    bench.ike.refuses_redial = {"kspb_vpn"}
    asked_at = []
    for _ in range(2000):
        bench.round()
        if any(request.startswith("start_child") for request in bench.requests()):
            asked_at.append(bench.clock.elapsed_s)
        bench.age(1)
    gaps = [later - earlier for earlier, later in pairwise(asked_at)]
    assert gaps[:4] == [5, 10, 20, 40]
    assert max(gaps) == 300
    assert bench.connection().next_attempt > 0


def test_a_status_that_can_not_be_written_is_reported_and_the_round_goes_on(bench: Bench) -> None:
    bench.declare(kspb=vpn())
    bench.settings.status_file.parent.rmdir()
    report = bench.round()
    assert "kspb_vpn" in bench.ike.connections
    assert not report.status_written
    assert "vpn-status.json" in report.status.reconciler.errors[0]
    bench.settings.status_file.parent.mkdir()
    assert bench.round().status_written


def test_state_that_can_not_be_written_is_told_in_every_round_until_it_is(three_up: Bench) -> None:
    """Also after events of tunnels, which make rounds that look at less."""
    volume = three_up.settings.swanctl_file.parent
    shutil.rmtree(volume)
    for reason in ("timer", "ike-updown", "child-rekey"):
        errors = three_up.round(reason).status.reconciler.errors
        assert errors == (f"{three_up.settings.swanctl_file}: No such file or directory",)
    volume.mkdir()
    assert three_up.round("ike-updown").status.reconciler.errors == ()
    assert three_up.settings.swanctl_file.exists()


def test_words_of_charon_about_a_failure_stand_beside_the_tunnel_until_it_is_up(
    bench: Bench,
) -> None:
    bench.declare(kspb=vpn())
    words = "tried 1 shared key, but MAC mismatched"
    bench.evidence.note(Failure("kspb_vpn", Code.WRONG_PSK, words, 0.0))
    bench.rounds(2)
    assert bench.connection().last_error == words
    bench.ike.dial_in("kspb_vpn")
    bench.rounds(2)
    assert bench.connection().last_error == ""


def test_charons_own_copy_is_as_declared_before_charon_is_told(bench: Bench) -> None:
    bench.declare(kspb=vpn())
    bench.ike.faults = {"load_connection": IkeUnreachable("gone")}
    bench.round()
    assert "kspb_vpn {" in bench.settings.swanctl_file.read_text()


def test_a_clash_with_a_connection_of_somebody_else_is_named(bench: Bench) -> None:
    bench.ike.load_connection("kspb_vpn", {"children": {"theirs": {}}})
    bench.requests()
    bench.declare(kspb=vpn())
    bench.rounds()
    assert bench.requests() == []
    assert "somebody else" in bench.connection().reason


def test_a_site_that_is_being_dialled_in_vain_is_dialled_less_and_less_often(
    bench: Bench,
) -> None:
    """Each attempt shows as CONNECTING for a while, in which nothing is planned."""
    bench.declare(kspb=vpn(remote_address="198.51.100.7"))
    bench.ike.refuses_redial = {"kspb_vpn"}
    asked_at = []
    for _ in range(1200):
        bench.round()
        if any(request.startswith("start_child") for request in bench.requests()):
            asked_at.append(bench.clock.elapsed_s)
            bench.ike.sas = [IkeSa("kspb_vpn", "9", "CONNECTING")]
        if asked_at and bench.clock.elapsed_s == asked_at[-1] + 16:
            bench.ike.sas = []
        bench.age(1)
    gaps = [later - earlier for earlier, later in pairwise(asked_at)]
    assert gaps[-1] == 300
    assert gaps == sorted(gaps)


class SlowIke(FakeIke):
    """Each connection takes an eighth of a second to load."""

    clock: FakeClock

    def load_connection(self, name: str, settings: Mapping[str, Any]) -> None:
        self.clock.elapsed_s += 0.125
        super().load_connection(name, settings)


def test_long_work_is_done_in_several_rounds_with_a_status_after_each(tmp_path: Path) -> None:
    ike = SlowIke()
    bench = Bench(tmp_path, ike)
    ike.clock = bench.clock
    bench.declare(**{f"k{n:03d}": vpn(n) for n in range(120)})
    done = []
    while (report := bench.round()).more:
        done.append(len(report.outcomes))
        assert bench.status.timestamp == bench.clock.now()
    assert done == [40, 40]
    assert len(ike.connections) == 120
