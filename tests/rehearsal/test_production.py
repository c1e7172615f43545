"""What an operator would say of production, said of a host that does it: Debian, kernel ESP."""

import json

import pytest

from tests.e2e.stack import Airports, assert_nothing_lost, declaration, new_psk
from tests.rehearsal.production import (
    AIRPORTS_PATH,
    CAMERAS,
    FOLDER,
    HUB,
    LANS,
    LATER,
    LATER_CAMERA,
    LATER_LAN,
    LATER_PEER,
    PEERS,
    SOON_S,
    START_S,
    STATUS_PATH,
    UP_S,
    Production,
    cameras,
    fresh,
)

pytestmark = [pytest.mark.rehearsal, pytest.mark.timeout(600)]


def others(*airports: str) -> list[str]:
    return [airport for airport in CAMERAS if airport not in airports]


# Where packets are encrypted


@pytest.mark.timeout(2700)  # the first: the machine is made, boots, and everything is deployed
def test_compose_yaml_as_it_stands_brings_all_airports_up_with_esp_in_the_kernel(
    production: Production,
) -> None:
    assert production.compose_file_is_the_repositorys()
    assert production.status().daemon.data_plane == "kernel"
    assert "data plane: kernel (the kernel has ESP)" in production.run("docker logs gateway 2>&1")
    assert not production.has_tun_device()
    in_udp = {"kspb": False, "kczk": True, "s51": True}  # as sites.yaml says
    for airport, peer in PEERS.items():
        directions = {(s.source, s.destination) for s in production.states_with(peer)}
        assert directions == {(peer, HUB), (HUB, peer)}
        assert {s.in_udp for s in production.states_with(peer)} == {in_udp[airport]}
        assert LANS[airport] in production.policies()


@pytest.mark.parametrize("airport", CAMERAS)
def test_a_picture_comes_through_the_esp_of_the_hosts_kernel(
    production: Production, airport: str
) -> None:
    errors, before = production.errors(), received(production, airport)
    picture = production.picture(CAMERAS[airport])
    assert picture.startswith(b"\xff\xd8")
    assert f"{airport} 20".encode() in picture
    assert received(production, airport) >= before + len(picture)
    assert production.errors() == errors, "the kernel threw nothing away"


def received(production: Production, airport: str) -> int:
    """Count the bytes that the kernel decrypted; fewer than before if a tunnel was replaced."""
    states = production.states_with(PEERS[airport])
    return sum(state.bytes for state in states if state.destination == HUB)


def test_a_container_on_a_bridge_network_reads_the_status_and_fetches_a_picture(
    production: Production,
) -> None:
    """A web service, as the README has it: both directories, read-only."""
    program = (
        "import json, sys, urllib.request as u; "
        "print(json.load(open('/cache/vpn-status.json'))['connections']['kspb_vpn']['status']); "
        f"print(u.urlopen('http://{CAMERAS['kspb']}/snapshot.jpg', timeout=20).read())"
    )
    printed = production.run(
        f"docker run --rm --cap-drop ALL --group-add 10001 --volume {FOLDER}/config:/config:ro "
        f"--volume {FOLDER}/cache:/cache:ro --entrypoint python vpn-reconciler -c {program!r}"
    )
    assert printed.startswith("up\n")
    assert "kspb 20" in printed


def test_the_reconciler_hears_of_its_container_and_nothing_complains(
    production: Production,
) -> None:
    status = production.status()
    assert status.container is not None
    assert status.container.state == "running"
    assert status.reconciler.errors == ()
    fresh(
        lambda: all(c.health_check == "pass" for c in production.status().connections.values()),
        UP_S,
        "all cameras answer its probes",
    )


# What may come out of a tunnel


def unasked(production: Production) -> int:
    table = json.loads(production.run("nft --json list counters table inet vpn_gateway"))
    counters = [one["counter"] for one in table["nftables"] if "counter" in one]
    return sum(int(one["packets"]) for one in counters if one["name"] == "unasked")


@pytest.mark.parametrize("airport", CAMERAS)
def test_what_comes_out_of_kernel_esp_unasked_is_dropped_and_only_by_the_filter(
    production: Production, airport: str
) -> None:
    fresh(lambda: filter_is_in_force(production), UP_S, "the filter is in force")
    before = unasked(production)
    assert not production.opens(airport)
    assert unasked(production) > before

    def harmed() -> bool:
        production.run("nft delete table inet vpn_gateway", check=False)
        return production.opens(airport)

    fresh(harmed, UP_S, "without the filter the site is let in")
    fresh(lambda: not production.opens(airport), UP_S, "the reconciler has loaded it again")
    production.wait_for_picture(airport)


def filter_is_in_force(production: Production) -> bool:
    found = production.status().packet_filter
    return found is not None and found.as_declared


def test_what_is_declared_may_come_out_of_kernel_esp_and_nobody_elses(
    production: Production,
) -> None:
    def allow(airports: Airports) -> None:
        airports["kspb"]["vpn"]["allow_inbound"] = ["tcp/22"]

    before, spis = production.run(f"cat {AIRPORTS_PATH}"), production.spis(*CAMERAS)
    production.edit(allow)
    try:
        fresh(lambda: production.opens("kspb"), UP_S, "the declared port answers")
        assert not any(production.opens(airport) for airport in others("kspb"))
    finally:
        production.write_airports(before)
    fresh(lambda: not production.opens("kspb"), UP_S, "it is closed again")
    assert production.spis(*CAMERAS) == spis


# An edit of the file


def test_an_added_airport_comes_up_and_a_removed_one_is_gone_and_no_other_loses_a_packet(
    production: Production,
) -> None:
    def add(airports: Airports) -> None:
        airports[LATER] = declaration(LATER, production.psks[LATER], LATER_LAN) | cameras(LATER)

    spis = production.spis(*CAMERAS)
    with production.pinging(*CAMERAS) as losses:
        production.sites("up", "--detach", LATER)
        try:
            production.edit(add)
            fresh(lambda: production.is_up(LATER), UP_S, "the added airport is up")
            production.wait_for_picture(LATER)
            production.edit(lambda airports: airports.pop(LATER))
            fresh(lambda: production.connection(LATER) is None, SOON_S, "not in the status")
            fresh(lambda: nothing_left(production, LATER_LAN, LATER_PEER), SOON_S, "gone")
            assert production.picture(LATER_CAMERA) == b""
        finally:
            production.sites("rm", "--stop", "--force", LATER)
    assert_nothing_lost(losses)
    assert production.spis(*CAMERAS) == spis


def nothing_left(production: Production, lan: str, peer: str) -> bool:
    """Neither in the kernel nor in charon."""
    connections = production.run(
        "docker exec gateway swanctl --list-conns --uri unix:///run/vici/charon.vici"
    )
    routes = production.run("ip route show table 220")
    seen = (connections, routes, production.policies())
    return not production.states_with(peer) and not any(lan in text for text in seen)


def test_a_changed_lifetime_replaces_the_child_tunnel_and_no_packet_is_lost(
    production: Production,
) -> None:
    def shorten(airports: Airports) -> None:
        airports["kspb"]["vpn"]["lifetime"] = 1800

    untouched, old = production.spis(*others("kspb")), production.spis("kspb")
    with production.pinging(*CAMERAS) as losses:
        production.edit(shorten)
        fresh(lambda: not production.spis("kspb") & old, UP_S, "only the new child tunnel")
    assert_nothing_lost(losses, replaced="kspb")
    assert production.is_up("kspb")
    assert production.spis(*others("kspb")) == untouched


def test_a_changed_key_shuts_the_site_out_until_it_has_it_too(production: Production) -> None:
    def change(airports: Airports) -> None:
        airports["s51"]["vpn"]["psk"] = production.psks["s51"]

    untouched = production.spis(*others("s51"))
    production.psks["s51"] = new_psk()
    with production.pinging(*others("s51")) as losses:
        production.edit(change)
        fresh(lambda: not production.spis("s51"), SOON_S, "s51 is cut")
        fresh(lambda: reason(production, "s51") == "wrong-psk", SOON_S, "the reason is told")
        production.write_secret("s51")
        production.sites("restart", "s51")
        fresh(lambda: production.is_up("s51"), UP_S, "s51 is up with the new key")
    assert_nothing_lost(losses)
    assert production.spis(*others("s51")) == untouched


def reason(production: Production, airport: str) -> str:
    connection = production.connection(airport)
    return connection.reason_code if connection else ""


def test_a_broken_file_and_a_broken_airport_change_nothing_and_are_reported(
    production: Production,
) -> None:
    spis, good = production.spis(*CAMERAS), production.run(f"cat {AIRPORTS_PATH}")
    airports = json.loads(good)["airports"]
    airports["kczk"]["vpn"]["remote_subnet"] = "192.168.2.1/24"
    try:
        production.write_airports(good[:-20])
        fresh(lambda: not production.status().configuration.valid, SOON_S, "the fault is told")
        production.declare(airports)
        fresh(
            lambda: "kczk" in production.status().configuration.airports_invalid,
            SOON_S,
            "the faulty airport is named",
        )
        assert all(production.is_up(airport) for airport in CAMERAS)
    finally:
        production.write_airports(good)
    assert production.spis(*CAMERAS) == spis


# Faults: tunnels return by themselves


def wait_until_replaced(production: Production, old: set[str]) -> None:
    """Wait until the kernel has only new tunnels, and they carry pictures."""
    fresh(lambda: not production.spis(*CAMERAS) & old, START_S, "nothing of the old is left")
    production.wait_until_all_up(START_S)


def test_all_return_after_charon_was_killed(production: Production) -> None:
    old = production.spis(*CAMERAS)
    production.kill("gateway")
    wait_until_replaced(production, old)


def test_what_was_removed_while_charon_was_dead_is_not_left_in_the_kernel(
    production: Production,
) -> None:
    old, before = production.spis(*CAMERAS), production.run(f"cat {AIRPORTS_PATH}")
    production.run("docker pause reconciler")
    production.kill("gateway")
    production.edit(lambda airports: airports.pop("kspb"))
    production.run("docker unpause reconciler")
    try:
        fresh(
            lambda: nothing_left(production, LANS["kspb"], PEERS["kspb"]), START_S, "kspb is gone"
        )
    finally:
        production.write_airports(before)
    wait_until_replaced(production, old)


def test_the_tunnels_do_not_notice_that_the_reconciler_was_killed(production: Production) -> None:
    spis, started = production.spis(*CAMERAS), started_at(production, "reconciler")
    with production.pinging(*CAMERAS) as losses:
        production.kill("reconciler")
        fresh(lambda: started_at(production, "reconciler") != started, UP_S, "it was restarted")
        production.run(f"rm {STATUS_PATH}")
        fresh(lambda: all(map(production.is_up, CAMERAS)), UP_S, "and says that all are up")
    assert_nothing_lost(losses)
    assert production.spis(*CAMERAS) == spis


def started_at(production: Production, container: str) -> str:
    return production.run(f"docker inspect --format '{{{{.State.StartedAt}}}}' {container}")


def test_a_site_that_was_cut_off_is_reported_and_comes_back(production: Production) -> None:
    untouched = production.spis(*others("kspb"))
    production.inside("site-kspb", f"ip rule add priority 1 to {HUB} blackhole")
    try:
        fresh(lambda: reason(production, "kspb") != "", UP_S, "kspb is down, with a reason")
        assert all(production.is_up(airport) for airport in others("kspb"))
    finally:
        production.inside("site-kspb", f"ip rule delete priority 1 to {HUB} blackhole")
    production.wait_until_all_up()
    assert production.spis(*others("kspb")) == untouched


def test_all_return_after_docker_engine_was_restarted(production: Production) -> None:
    old = production.spis(*CAMERAS)
    production.run("systemctl restart docker", timeout_s=START_S)
    wait_until_replaced(production, old)


def test_all_return_after_the_host_was_rebooted(production: Production) -> None:
    old = production.spis(*CAMERAS)
    production.machine.reboot()
    wait_until_replaced(production, old)


def test_all_return_after_the_host_lost_power(production: Production) -> None:
    old = production.spis(*CAMERAS)
    production.machine.lose_power()
    wait_until_replaced(production, old)


# The choice


def deploy_with(production: Production, data_plane: str) -> None:
    production.run(f"echo DATAPLANE={data_plane} >{FOLDER}/.env")
    production.compose("up", "--detach")


def test_dataplane_says_where_packets_are_encrypted(production: Production) -> None:
    try:
        for data_plane in ("userspace", "kernel"):
            deploy_with(production, data_plane)
            fresh(
                lambda plane=data_plane: production.status().daemon.data_plane == plane,  # type: ignore[misc]
                UP_S,
                "the status says which",
            )
            production.wait_until_all_up(START_S)
            assert production.has_tun_device() == (data_plane == "userspace")
            assert bool(production.states()) == (data_plane == "kernel")
    finally:
        production.run(f"rm {FOLDER}/.env")  # the kernel, which is what runs now, is the default
