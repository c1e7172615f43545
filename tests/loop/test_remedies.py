"""Remedies over whole rounds: orders, rotation, renewal, memory."""

import json
import os
from dataclasses import replace

import pytest

from reconciler.core.observed import Algorithms
from reconciler.core.reasons import Code, Failure
from reconciler.core.rotation import Answer
from reconciler.edges.state import State
from reconciler.round import run_round
from tests.builders import vpn
from tests.fake_ike import Killed
from tests.worlds import Bench

NEXT = "the-key-that-is-to-come-0001"


def order(bench: Bench, name: str = "kspb_vpn", **wishes: int | bool) -> None:
    state = State(bench.settings.state_dir, bench.settings.swanctl_file)
    state.change_orders(lambda orders: orders.changed(name, **wishes))


def kinds(bench: Bench) -> list[str]:
    return [request.split()[0] for request in bench.requests()]


def test_a_paused_connection_is_left_alone_and_told_and_then_brought_in_line(
    three_up: Bench,
) -> None:
    now = three_up.clock.now()
    order(three_up, paused_since=now, paused_until=now + 60)
    three_up.declare(kspb=vpn(1, lifetime=7200), kczk=vpn(2, lifetime=7200), s51=vpn(3))
    three_up.rounds(2)
    assert all("kczk" in request for request in three_up.requests() if "load" in request)
    assert (three_up.connection().paused, three_up.connection().paused_until) == (True, now + 60)
    three_up.age(60)
    three_up.round()
    assert "load_connection" in kinds(three_up)
    assert not three_up.connection().paused


def test_a_wish_to_retry_ends_the_wait(bench: Bench) -> None:
    bench.declare(kspb=vpn(remote_address="198.51.100.7"))
    bench.ike.refuses_redial = {"kspb_vpn"}
    for _ in range(30):
        bench.round()
        bench.age(5)
    bench.requests()
    assert bench.connection().next_attempt > bench.clock.now()
    bench.round()
    assert kinds(bench) == []
    order(bench, retried_at=bench.clock.now())
    bench.round()
    assert kinds(bench) == ["start_child"]


def test_a_wish_to_retry_from_before_the_clock_was_set_back_does_not_end_all_pauses(
    bench: Bench,
) -> None:
    bench.declare(kspb=vpn(remote_address="198.51.100.7"))
    bench.ike.refuses_redial = {"kspb_vpn"}
    order(bench, retried_at=bench.clock.now())
    bench.clock.set_by_s = -3600
    for _ in range(10):
        bench.round()
        bench.age(1)
    assert kinds(bench).count("start_child") == 2  # after 0 and 5 s


def test_back_off_survives_a_restart_of_the_reconciler(bench: Bench) -> None:
    bench.declare(kspb=vpn(remote_address="198.51.100.7"))
    bench.ike.refuses_redial = {"kspb_vpn"}
    for _ in range(60):
        bench.round()
        bench.age(5)
    [before] = bench.connection().attempts
    bench.restart_reconciler()
    bench.requests()
    bench.round()
    [after] = bench.connection().attempts
    assert after == before
    assert kinds(bench) == []
    assert bench.connection().next_attempt == before.next_attempt


@pytest.mark.parametrize("blind", ["charon silent", "reconciler stopped", "no key for the marks"])
def test_time_in_which_nobody_could_look_is_no_success_that_ends_a_back_off(
    bench: Bench, blind: str
) -> None:
    bench.declare(kspb=vpn(remote_address="198.51.100.7"))
    bench.ike.refuses_redial = {"kspb_vpn"}
    for _ in range(60):
        bench.round()
        bench.age(5)
    [before] = bench.connection().attempts
    mark_key = bench.settings.state_dir / "mark.key"
    kept = mark_key.read_bytes()
    if blind == "no key for the marks":
        mark_key.write_bytes(b"damaged")
    bench.ike.reachable = blind != "charon silent"
    for _ in range(20):
        if blind != "reconciler stopped":
            bench.round()
        bench.age(30)
    bench.ike.reachable = True
    mark_key.write_bytes(kept)
    if blind == "reconciler stopped":
        bench.restart_reconciler()
    bench.round()
    [after] = bench.connection().attempts
    assert after.count == before.count + 1


def test_orders_that_can_not_be_read_keep_nothing_else_from_being_remembered(
    three_up: Bench,
) -> None:
    order(three_up, "kczk_vpn", paused_since=three_up.clock.now(), paused_until=0)
    world = three_up.world
    memory, _ = run_round(world, three_up.memory, {"test"})
    (three_up.settings.state_dir / "orders.json").write_text("{")
    three_up.declare(kspb=vpn(1), s51=vpn(3))
    run_round(world, memory, {"test"})
    accepted = json.loads((three_up.settings.state_dir / "accepted.json").read_bytes())
    assert "kczk" not in json.dumps(accepted)


def test_what_passed_through_a_tunnel_is_forgotten_with_its_declaration(three_up: Bench) -> None:
    three_up.round()
    assert "kczk_vpn" in three_up.memory.flows
    three_up.declare(kspb=vpn(1), s51=vpn(3))
    three_up.rounds(2)
    assert set(three_up.memory.flows) == {"kspb_vpn", "s51_vpn"}


def test_a_damaged_status_file_is_told_once_and_memory_begins_anew(three_up: Bench) -> None:
    three_up.settings.status_file.write_text("{")
    three_up.restart_reconciler()
    report = three_up.round()
    [error] = report.status.reconciler.errors
    assert error.startswith("times and back-off of earlier are forgotten")
    assert three_up.connection().status == "up"
    assert three_up.round().status.reconciler.errors == ()


def test_a_status_file_that_can_not_be_read_is_told_and_ends_nothing(three_up: Bench) -> None:
    file = three_up.settings.status_file
    file.unlink()
    file.symlink_to(file.name)  # a loop, which root may not read either
    three_up.restart_reconciler()
    assert "Too many levels of symbolic links" in three_up.memory.lost
    [error, *_] = three_up.round().status.reconciler.errors
    assert error.startswith("times and back-off of earlier are forgotten")


def test_a_status_file_that_does_not_answer_is_told_and_ends_nothing(three_up: Bench) -> None:
    file = three_up.settings.status_file
    file.unlink()
    os.mkfifo(file)
    three_up.restart_reconciler()
    os.close(os.open(file, os.O_WRONLY | os.O_NONBLOCK))
    [error] = three_up.round().status.reconciler.errors
    assert error.startswith("times and back-off of earlier are forgotten")
    assert "does not end" in error


def test_what_was_established_before_rekey_after_is_renewed_once(three_up: Bench) -> None:
    ids = {sa.name: sa.unique_id for sa in three_up.ike.sas}
    at = three_up.clock.now()
    three_up.declare(kspb=vpn(1, rekey_after=at), kczk=vpn(2), s51=vpn(3))
    for _ in range(4):
        three_up.round()
        three_up.age(10)
    assert kinds(three_up) == ["rekey_ike", "rekey_child"]
    changed = {sa.name for sa in three_up.ike.sas if sa.unique_id != ids[sa.name]}
    assert changed == {"kspb_vpn"}
    assert three_up.connection().status == "up"
    assert three_up.connection().ike_established_at >= at


def test_a_rekey_that_does_not_come_about_is_repeated_with_back_off(three_up: Bench) -> None:
    three_up.ike.rekey_ike = lambda unique_id: three_up.ike.requests.append("rekey")  # type: ignore[method-assign]
    order(three_up, rekey_after=three_up.clock.now())
    for _ in range(60):
        three_up.round()
        three_up.age(1)
    assert kinds(three_up) == ["rekey"] * 4  # after 0, 5, 15 and 35 s
    assert three_up.connection().status == "up"


def refuse(bench: Bench, name: str = "kspb_vpn") -> None:
    """Let the site have no use for the key with which the hub answered."""
    at_s = bench.clock.monotonic_s()
    bench.evidence.note(Failure(name, Code.REFUSED_BY_SITE, "N(AUTH_FAILED)", at_s))


def test_a_rotation_goes_from_the_old_key_over_a_refusal_to_the_new_one(three_up: Bench) -> None:
    three_up.declare(kspb=vpn(1, next_psk=NEXT), kczk=vpn(2), s51=vpn(3))
    three_up.rounds(2)
    assert kinds(three_up) == ["load_connection", *["load_secret"] * 2, "unload_secret"]
    assert three_up.connection().key_rotation == "old"
    # The site switches: its tunnel goes, and the hub's proof is refused.
    three_up.age(10)
    three_up.ike.sas = [sa for sa in three_up.ike.sas if sa.name != "kspb_vpn"]
    refuse(three_up)
    three_up.round()
    assert three_up.connection().key_rotation == "switching"
    assert last_loaded_key(three_up) == NEXT
    three_up.ike.dial_in("kspb_vpn")
    three_up.round()
    assert three_up.connection().key_rotation == "new"
    three_up.requests()
    ids = [sa.unique_id for sa in three_up.ike.sas]
    three_up.declare(kspb=vpn(1, psk=NEXT), kczk=vpn(2), s51=vpn(3))
    three_up.rounds(3)
    assert [sa.unique_id for sa in three_up.ike.sas] == ids, "nobody is cut by the end of it"
    assert three_up.connection().key_rotation == ""
    assert len(three_up.ike.secrets) == 3


def test_the_choice_of_the_key_survives_a_restart_of_everything(three_up: Bench) -> None:
    three_up.declare(kspb=vpn(1, next_psk=NEXT), kczk=vpn(2), s51=vpn(3))
    three_up.round()
    three_up.age(10)
    refuse(three_up)
    three_up.round()
    assert last_loaded_key(three_up) == NEXT
    three_up.ike.restart(three_up.clock.now())
    three_up.restart_reconciler()
    three_up.round()
    assert last_loaded_key(three_up) == NEXT
    assert isinstance(three_up.memory.answers["kspb_vpn"], Answer)


def last_loaded_key(bench: Bench) -> str:
    return [key for owner, key in bench.ike.secrets.values() if owner == "kspb.remote"][-1].decode()


def test_a_tunnel_that_has_just_come_up_is_not_called_up_yet(bench: Bench) -> None:
    bench.declare(kspb=vpn())
    bench.round()
    bench.ike.dial_in("kspb_vpn", established_s=1)
    assert bench.round().look_again_s
    assert (bench.connection().status, bench.connection().last_connected) == ("connecting", 0)
    bench.ike.sas = []
    bench.round()
    assert (bench.connection().status, bench.connection().last_disconnected) == ("down", 0)
    bench.ike.dial_in("kspb_vpn", established_s=2)
    assert not bench.round().look_again_s
    assert bench.connection().status == "up"


def test_a_tunnel_that_was_up_stays_up_over_a_rekey(three_up: Bench) -> None:
    three_up.ike.rekey_child(three_up.ike.sas[0].children[0].unique_id)
    three_up.round()
    assert three_up.connection("kspb_vpn").status == "up"


def test_with_hold_removals_off_a_mass_removal_is_carried_out(three_up: Bench) -> None:
    three_up.declare()
    three_up.round()
    assert len(three_up.ike.connections) == 3
    three_up.settings = replace(three_up.settings, hold_removals="no")
    three_up.round()
    assert three_up.ike.connections == {}


def test_damaged_orders_are_told_and_everything_else_goes_on(three_up: Bench) -> None:
    path = three_up.settings.state_dir / "orders.json"
    path.write_text(json.dumps({"connections": 3}))
    three_up.declare(kspb=vpn(1), kczk=vpn(2), s51=vpn(3), kxyz=vpn(4))
    report = three_up.round()
    assert "orders.json: can't be read" in report.status.reconciler.errors[0]
    assert "kxyz_vpn" in three_up.ike.connections


def passes(bench: Bench, name: str, received: int, sent: int) -> None:
    """Let packets pass through the tunnel as it is now."""
    bench.ike.sas = [
        replace(
            sa,
            children=tuple(
                replace(
                    child,
                    received_packets=child.received_packets + received,
                    sent_packets=child.sent_packets + sent,
                    spi_in=sa.unique_id,
                )
                for child in sa.children
            ),
        )
        if sa.name == name
        else sa
        for sa in bench.ike.sas
    ]


def poll(bench: Bench, minutes: int, received: int) -> list[str]:
    """Poll a camera every 20 s, and let the site dial in again whenever it is cut."""
    for _ in range(3 * minutes):
        passes(bench, "kspb_vpn", received, 4)
        bench.round()
        if "kspb_vpn" not in {sa.name for sa in bench.ike.sas}:
            bench.ike.dial_in("kspb_vpn")
        bench.age(20)
    return kinds(bench)


def test_a_tunnel_in_which_nothing_comes_back_any_more_is_ended_three_times_at_most(
    three_up: Bench,
) -> None:
    assert poll(three_up, minutes=2, received=4) == []
    assert poll(three_up, minutes=60, received=0) == ["end_ike"] * 3
    assert three_up.connection().health_check == "fail"
    assert three_up.connection().status == "up"
    # Only an answer begins the count anew.
    assert poll(three_up, minutes=5, received=4) == []
    assert three_up.connection().health_check == "pass"
    assert poll(three_up, minutes=5, received=0)[:1] == ["end_ike"]


def test_what_was_just_sent_after_a_quiet_time_cuts_nobody(three_up: Bench) -> None:
    poll(three_up, minutes=1, received=4)
    three_up.age(600)
    passes(three_up, "kspb_vpn", 0, 50)
    three_up.round()
    assert kinds(three_up) == []


def test_in_a_rotation_a_site_with_neither_key_is_dialled_less_and_less_often(
    bench: Bench,
) -> None:
    bench.declare(kspb=vpn(1, remote_address="198.51.100.7", next_psk=NEXT))
    bench.ike.refuses_redial = {"kspb_vpn"}
    for _ in range(600):
        bench.round()
        bench.age(1.5)
        refuse(bench)
    assert kinds(bench).count("start_child") <= 8  # in 15 minutes


def test_other_algorithms_are_asked_for_once_and_not_every_two_minutes(three_up: Bench) -> None:
    used = Algorithms("AES_GCM_16", 256, "", "PRF_HMAC_SHA2_256", "MODP_4096")
    three_up.ike.sas = [
        replace(sa, algorithms=used) if sa.name == "kspb_vpn" else sa for sa in three_up.ike.sas
    ]
    three_up.ike.refuses_redial = {"kspb_vpn"}
    three_up.declare(kspb=vpn(1), kczk=vpn(2), s51=vpn(3), kxyz=vpn(4, dh_group=15))
    for _ in range(60):
        three_up.round()
        three_up.age(60)
        three_up.restart_reconciler()
    assert kinds(three_up).count("start_child") == 1


def test_a_pause_in_the_middle_of_a_renewal_makes_no_busy_loop(three_up: Bench) -> None:
    three_up.declare(kspb=vpn(1, lifetime=7200), kczk=vpn(2), s51=vpn(3))
    three_up.round()
    sa = three_up.ike.sas[0]
    old, new = sa.children
    three_up.ike.sas[0] = replace(sa, children=(old, replace(new, installed_s=1)))
    assert three_up.round().look_again_s is not None
    order(three_up, paused_since=three_up.clock.now())
    assert three_up.round().look_again_s is None


def test_an_airport_that_comes_back_is_not_paused_any_more(three_up: Bench) -> None:
    order(three_up, paused_since=three_up.clock.now())
    three_up.declare(kczk=vpn(2), s51=vpn(3))
    three_up.rounds(2)
    three_up.declare(kspb=vpn(1), kczk=vpn(2), s51=vpn(3))
    three_up.rounds(2)
    assert "kspb_vpn" in three_up.ike.connections


def test_a_connection_that_is_paused_and_down_says_so(three_up: Bench) -> None:
    order(three_up, paused_since=three_up.clock.now())
    three_up.ike.sas = [sa for sa in three_up.ike.sas if sa.name != "kspb_vpn"]
    three_up.round()
    assert three_up.connection().reason_code is Code.PAUSED


def test_an_attempts_settings_left_behind_at_a_declared_address_are_mended(bench: Bench) -> None:
    bench.declare(kspb=vpn(remote_address="198.51.100.7"))
    bench.rounds(2)
    bench.declare(kspb=vpn(remote_address="198.51.100.7", psk="a-new-pre-shared-key-0001"))
    bench.ike.kill_after = 4  # loaded towards the peer
    with pytest.raises(Killed):
        bench.round()
    assert "over_time" in bench.ike.connections["kspb_vpn"]
    bench.restart_reconciler()
    bench.rounds(3)
    assert "over_time" not in bench.ike.connections["kspb_vpn"]


def test_orders_that_are_damaged_end_no_pause(three_up: Bench) -> None:
    order(three_up, paused_since=1)
    three_up.declare(kspb=vpn(1, lifetime=7200), kczk=vpn(2), s51=vpn(3))
    world, file = three_up.world, three_up.settings.state_dir / "orders.json"
    memory, _ = run_round(world, three_up.memory, {"test"})
    file.write_text("{")
    for _ in range(3):
        memory, report = run_round(world, memory, {"orders changed"})
        [error] = report.status.reconciler.errors
        assert "restore it, or delete it" in error
        assert report.status.connections["kspb_vpn"].paused
    assert kinds(three_up) == []
    file.unlink()
    run_round(world, memory, {"orders changed"})
    assert "load_connection" in kinds(three_up)
