"""Peers that mean harm, at the hub's own ports: nobody else's tunnel suffers.

That another site's identity is of no use without its key: see test_tunnels.py.
"""

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.docker import docker, eventually
from tests.e2e.stack import (
    ELSEWHERE,
    ELSEWHERE_HOST,
    GATEWAY,
    NETWORK_PREFIX,
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
ATTACKER = f"{PREFIX}attacker"
LAN, CAMERA = "192.168.77.0/24", "192.168.77.100"
# The hub's address on one airport's network, and all addresses of that.
FLOODED_ADDRESS, FORGED = f"{NETWORK_PREFIX}.2.2", f"{NETWORK_PREFIX}.2.0/28"
# Of each address charon lets 50 in half-way; then it wants to see a cookie.
MANY = 300


@contextlib.contextmanager
def place_to_attack_from(network: str) -> Iterator[str]:
    docker("rm", "--force", ATTACKER, check=False)
    docker(
        *("run", "--detach", "--name", ATTACKER, "--network", network),
        *("--entrypoint", "sleep", "vpn-base", "infinity"),
    )
    try:
        yield ATTACKER
    finally:
        docker("rm", "--force", ATTACKER)


@pytest.fixture
def attacker() -> Iterator[str]:
    """Elsewhere, from where only the published ports are seen."""
    with place_to_attack_from(ELSEWHERE) as name:
        yield name


@pytest.fixture
def neighbour() -> Iterator[str]:
    """On one airport's network, where nobody's NAT hides from which addresses packets come."""
    with place_to_attack_from(f"{PROJECT}_kczk") as name:
        yield name


@pytest.fixture(scope="module", autouse=True)
def _the_log_is_heard_again(whole_stack: Stack) -> Iterator[None]:
    """In a flood the reconciler turns deaf for a minute: what follows must not begin in it."""
    yield
    wait_until_the_log_is_heard(whole_stack)


def wait_until_the_log_is_heard(stack: Stack) -> None:
    eventually(lambda: stack.metric("vpn_log_listening") == 1, 120, "charon's log is heard")


@contextlib.contextmanager
def attacked(
    stack: Stack,
    attacker: str,
    how: str,
    for_s: int,
    rate: int,
    more: str,
    target: str = ELSEWHERE_HOST,
) -> Iterator[list[int]]:
    """Send hostile packets meanwhile, to the end; their number is filled in afterwards."""
    process = stack.process_of(attacker)
    program = [sys.executable, str(ROOT / "tests" / "e2e" / "hostile_ike.py"), how]
    sent: list[int] = []
    with subprocess.Popen(
        [
            *("nsenter", f"--net=/proc/{process}/ns/net", *program),
            *(target, str(for_s), str(rate), more),
        ],
        stdout=subprocess.PIPE,
    ) as child:
        yield sent
        printed, _ = child.communicate(timeout=for_s + 60)
    assert child.returncode == 0
    sent.append(int(printed))


def assert_the_status_is_true(stack: Stack) -> None:
    """See that it is new and says that all is well, and that charon and packets say the same."""
    now = time.time()
    eventually(lambda: stack.status().timestamp >= now, 40, "a new status")
    stack.wait_until_all_up()
    for airport, camera in SITES.items():
        assert len(stack.sas(f"{airport}_vpn")) >= 1
        assert f"{airport} 20".encode() in stack.picture(camera)


def test_in_a_flood_of_half_open_attempts_tunnels_stay_and_a_new_site_gets_in(
    stack: Stack, neighbour: str
) -> None:
    """From all addresses of an airport's network, its own among them; the new site is elsewhere."""
    psk, ids, process = new_psk(), stack.ike_ids(), stack.process_of(GATEWAY)

    def add(airports: Airports) -> None:
        airports["kxyz"] = declaration("kxyz", psk, LAN)

    def half_open() -> int:
        return stack.observe().daemon.half_open_ike_sas

    with (
        attacked(stack, neighbour, "flood", 60, 100, FORGED, FLOODED_ADDRESS) as sent,
        stack.edited(add),
    ):
        eventually(lambda: half_open() >= MANY, 40, "the flood is here")
        with stack.site("kxyz", psk, LAN, CAMERA):
            eventually(lambda: stack.is_up("kxyz_vpn"), 60, "kxyz is up")
            assert half_open() >= MANY, "the flood has not ended meanwhile"
            eventually(lambda: b"kxyz 20" in stack.picture(CAMERA), 20, "kxyz's picture")
            for airport, camera in SITES.items():
                assert f"{airport} 20".encode() in stack.picture(camera)
    assert sent[0] > 1000
    assert stack.process_of(GATEWAY) == process, "charon is the same"
    assert {name: id_ for name, id_ in stack.ike_ids().items() if name in ids} == ids
    assert_the_status_is_true(stack)


def test_malformed_packets_by_the_thousand_end_no_tunnel_and_not_charon(
    stack: Stack, attacker: str
) -> None:
    ids, process = stack.ike_ids(), stack.process_of(GATEWAY)
    before = len(stack.container_log(GATEWAY))
    with attacked(stack, attacker, "malformed", 25, 1000, "airports") as sent:
        pass
    said = "\n".join(stack.container_log(GATEWAY)[before:])
    assert sent[0] > 5000
    assert "parsing failed" in said, "charon has seen them"
    assert stack.process_of(GATEWAY) == process, "charon is the same"
    assert stack.ike_ids() == ids
    # While they pour in, packets may be lost: ESP comes through the same socket as IKE.
    with stack.pinging(*SITES.values()) as losses:
        assert_the_status_is_true(stack)
    assert_nothing_lost(losses)


def test_a_site_that_asks_for_more_than_its_lan_gets_its_lan_and_reaches_for_nobody_else(
    stack: Stack,
) -> None:
    """It claims all airports' LANs, and has every address of them."""
    psk = new_psk()

    def add(airports: Airports) -> None:
        airports["kxyz"] = declaration("kxyz", psk, LAN)

    with (
        stack.pinging(*SITES.values()) as losses,
        stack.edited(add),
        stack.site("kxyz", psk, "192.168.0.0/16", CAMERA),
    ):
        eventually(lambda: stack.is_up("kxyz_vpn"), 40, "kxyz is up")
        eventually(lambda: b"kxyz 20" in stack.picture(CAMERA), 20, "kxyz's picture")
        negotiated = {
            str(subnet)
            for sa in stack.sas("kxyz_vpn")
            for child in sa.carrying_children
            for subnet in child.remote_subnets
        }
        assert negotiated == {LAN}
        for airport, camera in SITES.items():
            assert f"{airport} 20".encode() in stack.picture(camera)
        assert stack.picture("192.168.88.100") == b"", "an address of nobody's LAN"
        connection = stack.connection("kxyz_vpn")
        assert connection is not None
        assert connection.remote_subnets == (LAN,)
    assert_nothing_lost(losses)
