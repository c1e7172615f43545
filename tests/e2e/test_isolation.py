"""A hostile site: what it reaches without the packet filter, it does not reach with it.

Its packets go through a real tunnel. tests/real/test_packets_out_of_a_tunnel.py has the attacks for
which a site's own IPsec would have to be tampered with, such as false sources.
"""

import contextlib
import json
import sys
from collections.abc import Iterator

import pytest

from reconciler.core.nft_script import TABLE
from reconciler.core.packet_filter import FilterState, FilterView
from reconciler.edges.filter_client import FilterClient
from reconciler.errors import FilterUnreachable
from tests.docker import docker, eventually, run, volume_path
from tests.e2e.stack import (
    GATEWAY,
    NETWORK_PREFIX,
    PAUSE,
    PREFIX,
    PROJECT,
    ROOT,
    SITES,
    Airports,
    Stack,
    assert_nothing_lost,
    declaration,
    new_psk,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

FILTER, WEB = f"{PREFIX}filter", f"{PREFIX}web"
EVIL, EVIL_LAN, EVIL_CAMERA = "kevil", "192.168.77.0/24", "192.168.77.100"
HUB = f"{NETWORK_PREFIX}.1.2"
MANY_PORTS = (
    *(f"tcp/{number}" for number in (*range(1, 201), 443, 2375, 3000, 5432, 6379, 8080, 9090)),
    *("tcp/9580", "tcp/9585", "tcp/9680", "udp/53"),
)


def scan(stack: Stack, site: str, source: str, target: str, *ports: str, within_s: float) -> object:
    """Scan from the LAN of a site; the answer is by port: open or closed."""
    program = [sys.executable, str(ROOT / "tests" / "e2e" / "scanner.py")]
    return json.loads(stack.inside(site, *program, source, target, str(within_s), *ports))


def look() -> FilterView | None:
    """Ask the agent itself, not the reconciler."""
    try:
        return FilterClient(volume_path(f"{PROJECT}_filter") / "filter.sock").look()
    except FilterUnreachable:
        return None


def unasked() -> int:
    view = eventually(look, 60, "the agent answers")
    assert view is not None
    return view.dropped["unasked"]


def in_force() -> bool:
    view = look()
    return view is not None and view.state is FilterState.IN_FORCE


def nft(stack: Stack, *words: str) -> str:
    """Run the gateway's nft as root, as an operator would."""
    process = stack.process_of(GATEWAY)
    return run("nsenter", f"--target={process}", "--net", "--mount", "nft", *words)


@contextlib.contextmanager
def without_filter(stack: Stack) -> Iterator[None]:
    """Take the table away, and for a while whoever could bring it back."""
    docker("stop", "--time", "5", FILTER)
    try:
        nft(stack, "delete", "table", *TABLE.split())
        yield
    finally:
        docker("start", FILTER)
        eventually(in_force, 90, "the reconciler has loaded the filter again")


@pytest.fixture(scope="module")
def evil_psk() -> str:
    return new_psk()


@pytest.fixture(scope="module")
def evil(whole_stack: Stack, evil_psk: str) -> Iterator[str]:
    """Run a site that is declared like any other one, and tries what it likes."""
    stack = whole_stack

    def add(airports: Airports) -> None:
        airports[EVIL] = declaration(EVIL, evil_psk, EVIL_LAN)

    with stack.site(EVIL, evil_psk, EVIL_LAN, EVIL_CAMERA) as name, stack.edited(add):
        stack.wait_until_all_up()
        yield name


@pytest.fixture
def forwarding(stack: Stack) -> Iterator[str]:
    """Let the hub forward, as a production host with Docker does, and return the web's address.

    The neighbour has a way back, so that a connection to it could come about.
    """
    network = f"{PROJECT}_outside"
    addresses = {
        name: docker(
            *(
                "inspect",
                "--format",
                f'{{{{(index .NetworkSettings.Networks "{network}").IPAddress}}}}',
            ),
            name,
        ).strip()
        for name in (PAUSE, WEB)
    }
    way_back = (EVIL_LAN, "via", addresses[PAUSE])
    stack.inside(PAUSE, "sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
    stack.inside(WEB, "ip", "route", "add", *way_back)
    yield addresses[WEB]
    stack.inside(WEB, "ip", "route", "delete", *way_back)
    stack.inside(PAUSE, "sysctl", "-q", "-w", "net.ipv4.ip_forward=0")


def test_a_site_reaches_hub_neighbours_and_other_sites_only_without_the_filter(
    stack: Stack, evil: str, forwarding: str
) -> None:
    targets = {HUB: "tcp/9580", forwarding: "tcp/8080", SITES["kspb"]: "tcp/80"}
    with without_filter(stack):
        for target, port in targets.items():
            found = scan(stack, evil, EVIL_CAMERA, target, *MANY_PORTS, within_s=20)
            assert isinstance(found, dict)
            assert found[port] == "open", target
            assert found["tcp/7"] == "closed", target
            assert found["udp/53"] == "closed", target
    with stack.pinging(*SITES.values(), EVIL_CAMERA) as losses:
        for target in targets:
            before = unasked()
            assert scan(stack, evil, EVIL_CAMERA, target, *MANY_PORTS, within_s=4) == {}, target
            assert unasked() >= before + len(MANY_PORTS)
    assert_nothing_lost(losses)
    for airport, camera in {**SITES, EVIL: EVIL_CAMERA}.items():
        assert f"{airport} 20".encode() in stack.picture(camera)


def test_a_declared_port_is_open_to_that_site_only_and_only_as_long_as_it_is_declared(
    stack: Stack, evil: str
) -> None:
    def found(site: str, source: str, *ports: str) -> object:
        return scan(stack, site, source, HUB, *ports, within_s=4)

    def allow(airports: Airports) -> None:
        airports[EVIL]["vpn"]["allow_inbound"] = ["tcp/9580"]

    before = stack.ike_ids()
    assert found(evil, EVIL_CAMERA, "tcp/9580") == {}
    with stack.edited(allow):
        eventually(
            lambda: found(evil, EVIL_CAMERA, "tcp/9580", "tcp/9585") == {"tcp/9580": "open"},
            60,
            "the declared port answers, and no other",
        )
        assert found(f"{PREFIX}site-kspb", SITES["kspb"], "tcp/9580") == {}
    eventually(lambda: found(evil, EVIL_CAMERA, "tcp/9580") == {}, 60, "it is closed again")
    assert stack.ike_ids() == before, "no tunnel was touched"


def test_other_peoples_rules_stay_as_they_are(stack: Stack, evil: str) -> None:
    def theirs() -> str:
        tables = [line.split(maxsplit=1)[1] for line in nft(stack, "list", "tables").splitlines()]
        others = [table for table in tables if table != TABLE]
        return "".join(nft(stack, "--stateless", "list", "table", *t.split()) for t in others)

    rule = "table ip theirs { chain input { type filter hook input priority 0; policy accept; }; }"
    nft(stack, rule)
    try:
        before = theirs()
        assert "table ip theirs {" in before
        with without_filter(stack):
            pass
        assert theirs() == before
    finally:
        nft(stack, "delete", "table", "ip", "theirs")


def test_a_site_that_asks_for_more_than_it_declared_gets_what_it_declared(
    stack: Stack, evil: str
) -> None:
    def dial_with(local: str) -> None:
        path, uri = "/etc/vpn/swanctl.conf", "unix:///run/vici/charon.vici"
        edit = f"sed 's|local_ts = .*|local_ts = {local}|' {path} >/tmp/new && cat /tmp/new >{path}"
        docker("exec", evil, "sh", "-c", edit)
        docker("exec", evil, "swanctl", "--load-conns", "--file", path, "--uri", uri)
        docker("exec", evil, "swanctl", "--terminate", "--ike", "hub", "--uri", uri, check=False)

    def selectors() -> set[str]:
        children = [child for sa in stack.sas(f"{EVIL}_vpn") for child in sa.children]
        return {str(network) for child in children for network in child.remote_subnets}

    old = stack.ike_ids()[f"{EVIL}_vpn"]
    stack.inside(evil, "ip", "address", "add", "192.168.1.77/32", "dev", "lo")
    dial_with("0.0.0.0/0")
    try:
        eventually(
            lambda: stack.ike_ids().get(f"{EVIL}_vpn", old) != old and selectors(), 60, "a new SA"
        )
        assert selectors() == {EVIL_LAN}
        assert scan(stack, evil, "192.168.1.77", HUB, "tcp/9580", within_s=4) == {}
    finally:
        dial_with(EVIL_LAN)
        stack.inside(evil, "ip", "address", "delete", "192.168.1.77/32", "dev", "lo")
        stack.wait_until_all_up()
