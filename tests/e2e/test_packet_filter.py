"""What may come out of a tunnel is what is declared, whatever somebody does to the filter."""

import json

import pytest

from reconciler.core.status import FilterStatus
from tests.docker import docker, eventually
from tests.e2e.stack import GATEWAY, PAUSE, PREFIX, SITES, Stack, assert_nothing_lost

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

FILTER = f"{PREFIX}filter"
PORT = 9580  # the reconciler listens there, on every address of the hub's network
TABLE = ("table", "inet", "vpn_gateway")
# A look comes at the latest with the next round by the timer (21 s); a failed one pauses first.
MENDED_S = 45


def hub_address() -> str:
    """Return an address of the hub to which only the tunnel leads from a site."""
    networks = json.loads(docker("inspect", PAUSE))[0]["NetworkSettings"]["Networks"]
    (found,) = [one["IPAddress"] for name, one in networks.items() if name.endswith("_outside")]
    return str(found)


def opens(stack: Stack, airport: str, port: int = PORT) -> bool:
    """Try to connect from an airport's LAN, through its tunnel."""
    return connects(stack, f"{PREFIX}site-{airport}", hub_address(), port)


def connects(stack: Stack, container: str, address: str, port: int) -> bool:
    script = f"exec 3<>/dev/tcp/{address}/{port} && echo open"
    return "open" in stack.inside(container, "timeout", "3", "bash", "-c", script, check=False)


def told(stack: Stack) -> FilterStatus:
    found = stack.status().packet_filter
    assert found is not None
    return found


def nft(*words: str, check: bool = True) -> str:
    return docker("exec", GATEWAY, "with-capabilities", "nft", *words, check=check)


@pytest.mark.parametrize(
    "harm",
    [("delete", *TABLE), ("insert", "rule", *TABLE[1:], "from_tunnel", "accept")],
    ids=["taken away", "opened"],
)
def test_a_table_that_somebody_harms_is_made_good(stack: Stack, harm: tuple[str, ...]) -> None:
    eventually(lambda: told(stack).as_declared, MENDED_S, "the filter is in force")
    loads = 'vpn_actions_total{action="LoadFilter",result="accepted"}'
    before = stack.metric(loads)
    assert before is not None

    def harmed() -> bool:
        """Until the site is let in: a round may fall between the two and make it good at once."""
        nft(*harm, check=False)
        return opens(stack, "kspb")

    eventually(harmed, 60, "the site is let in")
    eventually(lambda: not opens(stack, "kspb"), MENDED_S, "the filter is back")
    eventually(lambda: (stack.metric(loads) or 0) > before, 10, "and that was counted")
    for airport, camera in SITES.items():
        assert f"{airport} 20".encode() in stack.picture(camera)


def test_an_agent_that_is_gone_costs_no_packet_is_told_and_is_asked_again(stack: Stack) -> None:
    with stack.pinging(*SITES.values()) as losses:
        docker("stop", "--time", "5", FILTER)
        try:
            eventually(lambda: told(stack).state == "unknown", MENDED_S, "it is told")
            assert "filter.sock" in told(stack).error
            assert not opens(stack, "kspb"), "the rules stay"
            assert stack.is_up("kspb_vpn")
        finally:
            docker("start", FILTER)
    assert_nothing_lost(losses)
    eventually(lambda: told(stack).as_declared, 120, "it is in force again, and known to be")


def test_charon_starts_behind_the_filter(stack: Stack) -> None:
    """After a reboot nobody has loaded anything yet, and the reconciler may be away."""
    eventually(lambda: told(stack).as_declared, MENDED_S, "the filter is in force")
    docker("stop", "--time", "5", f"{PREFIX}reconciler", FILTER)
    try:
        nft("delete", *TABLE)
        docker("restart", "--time", "5", GATEWAY)
        listed = eventually(lambda: nft("list", *TABLE, check=False), 20, "it is loaded")
        assert "192.168.1.0/24" in listed, "as it was loaded last"
        camera = SITES["kspb"]
        eventually(lambda: connects(stack, PAUSE, camera, 80), 90, "replies come through")
        assert not opens(stack, "kspb")
    finally:
        docker("start", FILTER, f"{PREFIX}reconciler")
    stack.wait_until_ready()
    stack.wait_until_all_up(90)
