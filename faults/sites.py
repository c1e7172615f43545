"""Faults of sites and of the network between."""

import contextlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime

from bench.fleet import HUB_LAN, airport_id, manifest, sites_swanctl
from faults.fault import ALL, Fault, Play
from faults.stage import Stage
from tests.docker import docker, eventually, volume_path
from tests.e2e.stack import NETWORK_PREFIX, PAUSE, PREFIX, PROJECT, ROOT, Airports, new_psk

KSPB, KCZK, ROUTER = f"{PREFIX}site-kspb", f"{PREFIX}site-kczk", f"{PREFIX}router-s51"
FLEET, FLEET_CONFIG = f"{PREFIX}fleet", f"{PREFIX}fleet-config"
FLEET_SIZE = 50
_HAMMERING_S = 30.0
_HUB_AWAY_S = 20.0
_LOSSY_S = 60.0
_RAN_FOR_GOOD_S = 11.0
_URI = "unix:///run/vici/charon.vici"
_HAMMER = f"while :; do swanctl --initiate --child lan --timeout 1 --uri {_URI}; done"


def cut(play: Play, for_s: float) -> None:
    """Nothing gets in or out of the site's router."""
    rules = [
        [chain, way, "eth0", "-j", "DROP"] for chain, way in (("INPUT", "-i"), ("OUTPUT", "-o"))
    ]
    _with_rules(play, KSPB, rules, for_s)


def lossy(play: Play) -> None:
    chance = ["-m", "statistic", "--mode", "random", "--probability", "0.2", "-j", "DROP"]
    rules = [["INPUT", "-i", "eth0", *chance], ["OUTPUT", "-o", "eth0", *chance]]
    _with_rules(play, KSPB, rules, _LOSSY_S)


def _with_rules(play: Play, container: str, rules: list[list[str]], for_s: float) -> None:
    stage = play.stage
    for rule in rules:
        stage.inside(container, "iptables", "-I", *rule)
        undo = ("iptables", "-D", *rule)
        play.undo.callback(stage.inside, container, *undo, check=False)
    play.let_pass(for_s)
    for rule in rules:
        stage.inside(container, "iptables", "-D", *rule)
    play.counts_from_here()


def site_moves(play: Play) -> None:
    """Give the router another address; it tells nobody."""
    _move(play, KCZK, f"{NETWORK_PREFIX}.2.3", f"{NETWORK_PREFIX}.2.5")


def site_behind_nat_moves(play: Play) -> None:
    """Give another address to the router that hides the site, which can't know."""
    _move(play, ROUTER, f"{NETWORK_PREFIX}.3.3", f"{NETWORK_PREFIX}.3.5")


def _move(play: Play, container: str, old: str, new: str) -> None:
    play.undo.callback(play.stage.move, container, new, old)
    play.stage.move(container, old, new)


def reboots(play: Play) -> None:
    # Docker waits longer each time before it starts again what ran for less than 10 s.
    eventually(lambda: _runs_for_s(KSPB) > _RAN_FOR_GOOD_S, 30, "the router has run for a while")
    play.begins()
    play.stage.kill(KSPB)


def _runs_for_s(container: str) -> float:
    """Return how long its first process has run."""
    started = docker("inspect", "--format", "{{.State.StartedAt}}", container).strip()
    began = datetime.fromisoformat(f"{started[:19]}Z")
    return (datetime.now(UTC) - began).total_seconds()


def hammers(play: Play) -> None:
    """Somebody without the key claims to be kspb, as fast as charon can dial."""
    stage, psk = play.stage, new_psk()
    more = {"SITE_ID": "kspb.remote"}
    with stage.site("hostile", psk, "192.168.78.0/24", "192.168.78.100", **more) as site:
        play.begins()
        eventually(lambda: docker("exec", site, "test", "-S", "/run/vici/charon.vici") == "", 20)
        docker("exec", "--detach", site, "sh", "-c", _HAMMER)
        play.let_pass(_HAMMERING_S)
        refusals = stage.container_text(site).count("AUTHENTICATION_FAILED")
        assert refusals > _HAMMERING_S / 2, f"only {refusals} attempts were refused"
        assert len(stage.sas("kspb_vpn")) == 1, "the hostile site got in"
    play.points.append(f"{refusals} attempts refused")
    play.counts_from_here()


@contextlib.contextmanager
def fleet_behind_one_nat(stage: Stage) -> Iterator[None]:
    """One charon that plays fifty sites, behind the router that hides s51, too."""
    declared = manifest(FLEET_SIZE)["airports"]
    docker("volume", "create", FLEET_CONFIG)
    docker("create", "--name", FLEET, "--volume", f"{FLEET_CONFIG}:/etc/vpn", "vpn-charon")
    docker("rm", FLEET)  # the volume now has the folder of the image, with its owner
    path = volume_path(FLEET_CONFIG) / "swanctl.conf"
    hub = f"{NETWORK_PREFIX}.3.2"
    path.write_text(sites_swanctl(range(FLEET_SIZE), hub).replace(HUB_LAN, "0.0.0.0/0"))
    stage.own(path)
    path.chmod(0o600)
    # Declared first: a charon that was refused does not dial again by itself.
    names = {f"{airport}_vpn" for airport in declared}
    stage.edit(lambda airports: airports.update(declared))
    eventually(lambda: names <= stage.look().connections.keys(), 30, "the fleet is loaded")
    docker(
        *("run", "--detach", "--name", FLEET, "--network", f"{PROJECT}_s51-inside"),
        *("--cap-drop", "ALL", "--cap-add", "NET_ADMIN", "--cap-add", "NET_BIND_SERVICE"),
        *("--device", "/dev/net/tun", "--volume", f"{FLEET_CONFIG}:/etc/vpn:ro"),
        *("--volume", f"{ROOT}/faults/inside/fleet:/usr/local/bin/fleet:ro"),
        *("--env", f"HUB={hub}", "--env", f"VIA={NETWORK_PREFIX}.4.2"),
        *("--env", f"SITES={FLEET_SIZE}", "--no-healthcheck", "--restart", "unless-stopped"),
        *("--entrypoint", "with-capabilities", "vpn-site", "fleet"),
    )
    try:
        for number in range(FLEET_SIZE):
            stage.cameras[airport_id(number)] = f"10.0.{number}.10"
        yield
    finally:
        for number in range(FLEET_SIZE):
            stage.cameras.pop(airport_id(number), None)
        _remove_step_by_step(stage, list(declared))
        docker("rm", "--force", FLEET)
        docker("volume", "rm", FLEET_CONFIG, check=False)


def _remove_step_by_step(stage: Stage, airports: list[str]) -> None:
    """No step is a mass removal, which would be held."""
    left = airports
    while left:
        step = max(2, (len(left) + 3) * 3 // 10)
        going, left = left[:step], left[step:]

        def remove(airports: Airports, going: list[str] = going) -> None:
            for airport in going:
                del airports[airport]

        stage.edit(remove)
        names = {f"{airport}_vpn" for airport in going}
        eventually(lambda names=names: not names & stage.look().connections.keys(), 30, "removed")  # type: ignore[misc]


def fleet_reconnects(play: Play) -> None:
    """All fifty lose their power, and dial together when it is back."""
    stage = play.stage
    process = stage.process_of(FLEET)
    stage.kill(FLEET)
    stage.wait_for_new_process(FLEET, process, 20)
    play.counts_from_here()


def hub_address_gone(play: Play) -> None:
    """Every address of the hub, and with them its routes; later they are back as they were."""
    stage = play.stage
    addresses = [
        (entry["ifname"], f"{address['local']}/{address['prefixlen']}", address.get("broadcast"))
        for entry in json.loads(stage.inside(PAUSE, "ip", "-json", "-4", "address"))
        if entry["ifname"] != "lo" and not entry["ifname"].startswith("ipsec")
        for address in entry["addr_info"]
    ]
    routes = stage.inside(PAUSE, "ip", "-4", "route", "show", "default").splitlines()

    def back() -> None:
        for device, address, broadcast in addresses:
            words = ["broadcast", broadcast] if broadcast else []
            stage.inside(PAUSE, "ip", "address", "replace", address, *words, "dev", device)
        for route in routes:
            stage.inside(PAUSE, "ip", "route", "replace", *route.split())

    play.undo.callback(back)
    for device, address, _ in addresses:
        stage.inside(PAUSE, "ip", "address", "delete", address, "dev", device)
    play.let_pass(_HUB_AWAY_S)
    back()
    play.counts_from_here()


def answers_but_passes_nothing(play: Play) -> None:
    """Drop what comes out of the present tunnel, and of no other; IKE goes on."""
    stage = play.stage
    spis = [child.spi_in for sa in stage.sas("kspb_vpn") for child in sa.carrying_children]
    for spi in spis:
        # The first four bytes after the UDP header, which for IKE are zero.
        there = f"0>>22&0x3C@8=0x{spi}"
        rule = ["OUTPUT", "-p", "udp", "-m", "u32", "--u32", there, "-j", "DROP"]
        stage.inside(KSPB, "iptables", "-I", *rule)
        play.undo.callback(stage.inside, KSPB, "iptables", "-D", *rule, check=False)


FAULTS = (
    Fault(
        "site-cut-30s",
        "a site's network is cut for 30 s",
        lambda play: cut(play, 30),
        40,
        ("kspb",),
        counted_from="the end of the cut",
    ),
    Fault(
        "site-cut-5min",
        "a site's network is cut for 5 min",
        lambda play: cut(play, 300),
        40,
        ("kspb",),
        counted_from="the end of the cut",
    ),
    Fault("site-moves", "a site's address changes", site_moves, 60, ("kczk",)),
    Fault(
        "site-behind-nat-moves",
        "the address of the router that hides a site changes",
        site_behind_nat_moves,
        60,
        ("s51",),
    ),
    Fault("site-reboots", "a site reboots without a goodbye", reboots, 45, ("kspb",)),
    Fault(
        "wrong-key",
        "somebody with a wrong key claims to be a site, as fast as he can, for 30 s",
        hammers,
        30,
        counted_from="the end of it",
    ),
    Fault(
        "fleet-reconnects",
        "50 sites behind one NAT lose power, and dial together when it is back",
        fleet_reconnects,
        60,
        tuple(airport_id(number) for number in range(FLEET_SIZE)),
        counted_from="when the power is back",
        around=fleet_behind_one_nat,
    ),
    Fault(
        "hub-address-gone",
        "the hub's addresses are gone for 20 s",
        hub_address_gone,
        45,
        ALL,
        counted_from="when they are back",
    ),
    Fault(
        "lossy",
        "a site's line loses 20 % of the packets, each way, for 60 s",
        lossy,
        40,
        ("kspb",),
        counted_from="the end of it",
    ),
    Fault(
        "no-traffic",
        "a site answers IKE, and loses every packet of its tunnel",
        answers_but_passes_nothing,
        120,
        ("kspb",),
    ),
)
