"""What fails, and what must not fail with it."""

import random
import re
import time

import pytest

from reconciler.errors import IkeUnreachable
from tests.docker import docker, eventually, run
from tests.e2e.stack import (
    GATEWAY,
    PREFIX,
    RECONCILER,
    SITES,
    Airports,
    Stack,
    assert_nothing_lost,
    declaration,
    new_psk,
    saved_section,
    toggle_lifetime,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]


def test_when_charon_is_killed_every_site_is_up_again_without_help(stack: Stack) -> None:
    since = stack.status().daemon.running_since
    stack.kill(GATEWAY)
    eventually(lambda: stack.status().daemon.running_since > since + 2, 30, "a new charon")
    stack.wait_until_all_up(60)
    for airport, camera in SITES.items():
        assert f"{airport} 20".encode() in stack.picture(camera)


def test_when_charon_is_killed_while_the_reconciler_is_stopped_every_site_is_up_again(
    stack: Stack,
) -> None:
    before = stack.ike_ids()
    docker("stop", RECONCILER)
    try:
        stack.kill(GATEWAY)
        eventually(lambda: live_names(stack) == set(before), 60, "all sites dialled in again")
    finally:
        docker("start", RECONCILER)
    ids = stack.ike_ids()
    stack.wait_until_ready()
    stack.wait_until_all_up()
    assert stack.actions_done() == 0, "the successor must find nothing to load"
    assert stack.ike_ids() == ids


def live_names(stack: Stack) -> set[str]:
    try:
        return {sa.name for sa in stack.observe().sas if sa.carrying_children}
    except IkeUnreachable:
        return set()  # charon is away for a moment


def test_when_the_reconciler_is_killed_at_any_moment_no_tunnel_drops(stack: Stack) -> None:
    """Killed while it adds, changes and removes; its successor completes that and then rests."""
    chance = random.Random(4711)  # noqa: S311 - reproducible on purpose
    ids = stack.ike_ids()

    def add(airports: Airports) -> None:
        for number in (80, 81):  # more would be a mass removal, which is held
            airports[f"k{number}"] = declaration(f"k{number}", new_psk(), f"10.80.{number}.0/24")

    with stack.pinging(*SITES.values()) as losses:
        for _ in range(6):
            before = stack.airports_file.read_text()
            airports = stack.airports()
            add(airports)
            stack.declare(airports)
            time_of_death = time.monotonic() + chance.uniform(0.0, 0.5)
            eventually(lambda at=time_of_death: time.monotonic() >= at, 2, every_s=0.005)  # type: ignore[misc]
            stack.kill(RECONCILER)
            stack.write(before)
            stack.wait_until_ready()
            stack.wait_until_all_up()
    assert_nothing_lost(losses)
    assert stack.ike_ids() == ids
    assert {f"{airport}_vpn" for airport in SITES} == set(stack.observe().connections)
    docker("restart", RECONCILER)
    stack.wait_until_ready()
    assert stack.actions_done() == 0


def test_what_is_unloaded_by_hand_returns_and_what_others_load_stays(stack: Stack) -> None:
    ids = stack.ike_ids()
    theirs = {
        "remote_addrs": ["203.0.113.9"],
        "local": {"auth": "psk"},
        "remote": {"auth": "psk", "id": "their.site"},
        "children": {"net": {"remote_ts": ["10.99.0.0/24"]}},
    }
    with stack.vici() as client:
        client.load_connection("theirs", theirs)
        client.load_secret("their-secret", "their.site", b"their-own-pre-shared-key")
        client.unload_connection("kspb_vpn")
        client.unload_secret(next(i for i in stack.observe().secret_ids if "kczk" in i))
        try:
            eventually(lambda: whole(stack), 35, "ours returned by the next look")
            observed = stack.observe()
            assert observed.connections["theirs"] == frozenset({"net"})
            assert "their-secret" in observed.secret_ids
            assert stack.ike_ids() == ids
        finally:
            client.unload_connection("theirs")
            client.unload_secret("their-secret")


def test_what_somebody_did_with_swanctl_is_put_right_and_no_packet_is_lost(stack: Stack) -> None:
    """One connection edited, one loaded a second time, one left out, all in one file."""
    ids, text = stack.ike_ids(), saved_connections(stack)
    kspb, kczk, s51 = (saved_section(text, f"{airport}_vpn") for airport in SITES)
    by_hand = (
        text.replace(s51, "")
        .replace(kspb, re.sub(r"(children \{\s+)\S+ \{", r"\1by-hand {", kspb, count=1))
        .replace(kczk, kczk + kczk.replace("kczk_vpn {", "kczk_copy {", 1))
    )
    before = stack.observe().connections
    with stack.pinging(*SITES.values()) as losses:
        stack.swanctl(by_hand)
        edited = stack.observe().connections
        assert (edited["kspb_vpn"], "kczk_copy" in edited) == (frozenset({"by-hand"}), True)
        assert "s51_vpn" not in edited
        eventually(lambda: stack.observe().connections == before, 35, "as declared again")
    assert_nothing_lost(losses)
    assert stack.ike_ids() == ids


def saved_connections(stack: Stack) -> str:
    """Return what charon loads at its start, without the keys."""
    return docker("exec", GATEWAY, "cat", "/etc/vpn/swanctl.conf").partition("secrets {")[0]


def test_a_file_that_is_replaced_100_times_in_10_s_ends_in_force_and_costs_nobody_else_a_packet(
    stack: Stack,
) -> None:
    ids, before = stack.ike_ids(), stack.airports_file.read_text()
    with stack.pinging(SITES["kczk"], SITES["s51"]) as losses:
        for _ in range(100):
            at = time.monotonic() + 0.1
            stack.edit(toggle_lifetime)
            eventually(lambda at=at: time.monotonic() >= at, 2, every_s=0.005)  # type: ignore[misc]
        stack.edit(toggle_lifetime)
        eventually(lambda: nothing_planned(stack), 15, "the last one is in force")
    assert_nothing_lost(losses)
    assert stack.ike_ids() == ids
    stack.write(before)
    eventually(lambda: nothing_planned(stack), 15, "as before")


def nothing_planned(stack: Stack) -> bool:
    assert docker("exec", RECONCILER, "reconciler", "plan")  # fails unless there is nothing to do
    return True


@pytest.mark.parametrize(
    ("airport", "container", "old", "new"),
    [
        ("kczk", "site-kczk", "10.214.2.3", "10.214.2.5"),
        ("s51", "router-s51", "10.214.3.3", "10.214.3.5"),
    ],
    ids=["of the site", "of the router that hides it"],
)
def test_when_an_address_changes_the_tunnel_is_soon_back_and_no_other_loses_a_packet(
    stack: Stack, airport: str, container: str, old: str, new: str
) -> None:
    others = [camera for other, camera in SITES.items() if other != airport]
    with stack.pinging(*others) as losses:
        for here, there in ((old, new), (new, old)):
            stack.move(f"{PREFIX}{container}", here, there)
            eventually(lambda: is_there(stack, airport), 60, "a picture of it")
            eventually(lambda at=there: told_at(stack, airport, at), 45, "told in the status")  # type: ignore[misc]
    assert_nothing_lost(losses)


def is_there(stack: Stack, airport: str) -> bool:
    return f"{airport} 20".encode() in stack.picture(SITES[airport])


def told_at(stack: Stack, airport: str, address: str) -> bool:
    connection = stack.connection(f"{airport}_vpn")
    return connection is not None and (connection.status, connection.remote_address) == (
        "up",
        address,
    )


def whole(stack: Stack) -> bool:
    observed = stack.observe()
    named = {airport for airport in SITES for id_ in observed.secret_ids if airport in id_}
    return named == set(SITES) and {f"{a}_vpn" for a in SITES} <= set(observed.connections)


@pytest.mark.parametrize("fault", ["deleted", "emptied", "truncated", "braces", "bad airport"])
def test_a_bad_file_takes_nothing_down_and_is_told_within_5_s_until_it_is_good_again(
    stack: Stack, fault: str
) -> None:
    original, ids = stack.airports_file.read_text(), stack.ike_ids()
    actions, lines = stack.actions_done(), len(stack.container_log(RECONCILER))
    with stack.pinging(*SITES.values()) as losses:
        try:
            break_file(stack, fault, original)
            eventually(lambda: not stack.status().configuration.valid, 5, "told in the status")
            eventually(lambda: stack.metric("vpn_configuration_valid") == 0, 5, "in the metrics")
            eventually(lambda: told_in_log(stack, lines), 5, "in the log")
        finally:
            stack.write(original)
        eventually(lambda: stack.status().configuration.valid, 5, "cleared by a good file")
    assert stack.metric("vpn_configuration_valid") == 1
    assert_nothing_lost(losses)
    assert stack.ike_ids() == ids
    assert stack.actions_done() == actions


def break_file(stack: Stack, fault: str, original: str) -> None:
    match fault:
        case "deleted":
            stack.airports_file.unlink()
        case "emptied":
            stack.airports_file.write_text("")
        case "truncated":
            stack.airports_file.write_text(original[: len(original) // 2])
        case "braces":
            stack.write("{}")
        case _:
            airports = stack.airports()
            airports["kczk"]["vpn"]["remote_subnet"] = "192.168.2.1/24"
            stack.declare(airports)


def told_in_log(stack: Stack, lines: int) -> bool:
    return any("configuration fault" in line for line in stack.container_log(RECONCILER)[lines:])


def test_at_sigterm_a_last_status_is_written_and_tunnels_stay_up(stack: Stack) -> None:
    ids, before = stack.ike_ids(), stack.status().timestamp
    with stack.pinging(*SITES.values()) as losses:
        docker("stop", "--time", "5", RECONCILER)  # after 5 s it would be killed: exit 137
        status = stack.status()
        exit_code = docker("inspect", "--format", "{{.State.ExitCode}}", RECONCILER).strip()
        docker("start", RECONCILER)
        stack.wait_until_ready()
    assert exit_code == "0"
    assert status.timestamp >= before
    assert status.reconciler.reasons == ("SIGTERM",)
    assert_nothing_lost(losses)
    assert stack.ike_ids() == ids


def test_sighup_makes_a_round(stack: Stack) -> None:
    docker("kill", "--signal", "HUP", RECONCILER)
    eventually(lambda: "SIGHUP" in stack.status().reconciler.reasons, 5)


def test_a_frozen_charon_is_called_unreachable_and_if_it_thaws_in_time_it_is_left_alone(
    stack: Stack,
) -> None:
    """Meanwhile nothing is claimed of tunnels. What comes after is in test_container_faults.py."""
    since = stack.status().daemon.running_since
    pid = docker("inspect", "--format", "{{.State.Pid}}", GATEWAY).strip()
    ids = stack.ike_ids()
    run("kill", "-STOP", pid)
    try:
        eventually(lambda: not stack.status().daemon.reachable, 45, "unreachable")
        assert not stack.is_up("kspb_vpn")
        assert stack.metric("vpn_daemon_reachable") == 0
        labels = 'airport="kspb",connection="kspb_vpn"'
        assert stack.metric(f"vpn_connection_up{{{labels}}}") is None
        assert stack.http("/healthz")[0] == 200, "the loop itself turns"
    finally:
        run("kill", "-CONT", pid)
    stack.wait_until_all_up()
    assert set(stack.ike_ids()) == set(ids)
    assert abs(stack.status().daemon.running_since - since) <= 2, "it was not restarted"
