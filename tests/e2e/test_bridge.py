"""compose.bridge.yaml: published ports and a NAT in between, and nothing on the host's network."""

import json
import subprocess
from collections.abc import Iterator

import pytest

from reconciler.core.observed import IkeSa
from tests.docker import docker, eventually, run
from tests.e2e.stack import (
    PROJECT,
    ROOT,
    Stack,
    declaration,
    keep_evidence,
    left_over,
    make_elsewhere,
    new_psk,
    remove_elsewhere,
    set_aside,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

PREFIX, BRIDGE = "bridge-", "vpn-bridge-test"
HTTP_PORT, PROXY_PORT = 9582, 9586
ELSEWHERE, SUBNET, HOST, SITE = "bridge-elsewhere", "10.214.12.0/28", "10.214.12.1", "10.214.12.9"
LAN, CAMERA = "192.168.81.0/24", "192.168.81.100"
SERVICES = ("pause", "gateway", "reconciler", "camera-proxy", "docker-proxy", "starter")


def compose(stack: Stack, *arguments: str) -> None:
    file = str(ROOT / "compose.bridge.yaml")
    command = ["docker", "compose", "--file", file, "--profile", "camera-proxy", *arguments]
    done = subprocess.run(
        command, env=stack.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Deploy it as docs/docker-desktop.md says, with one site that dials the published ports."""
    stack = Stack(tmp_path_factory.mktemp("bridge"), PREFIX, BRIDGE, HTTP_PORT)
    stack.environment |= {
        "AIRPORTS_DIR": str(stack.folder),
        "CACHE_DIR": str(stack.folder / "cache"),
        "LISTEN": f"127.0.0.1:{HTTP_PORT}",
        "PROXY_LISTEN": f"127.0.0.1:{PROXY_PORT}",
    }
    psk = new_psk()
    stack.make_folders({"kbri": declaration("kbri", psk, LAN)})
    with set_aside(), set_aside(PROJECT):
        compose(stack, "down", "--volumes", "--timeout", "3")
        make_elsewhere(ELSEWHERE, SUBNET, HOST)
        try:
            compose(stack, "up", "--detach")
            where = {"NETWORK": ELSEWHERE, "ADDRESS": SITE, "HUB_ADDRESS": HOST}
            with stack.site("kbri", psk, LAN, CAMERA, **where):
                eventually(stack.status_file.exists, 150, "a status")
                stack.wait_until_all_up(90)
                yield stack
        finally:
            keep_evidence(stack, "bridge")
            compose(stack, "down", "--volumes", "--timeout", "3")
            remove_elsewhere(ELSEWHERE)
    assert left_over(BRIDGE) == []


def the_sa(stack: Stack) -> IkeSa:
    (sa,) = stack.sas("kbri_vpn")
    return sa


def is_carried(stack: Stack) -> bool:
    return stack.is_up("kbri_vpn") and b"kbri 20" in stack.picture(CAMERA)


def test_a_site_that_dials_the_published_ports_brings_its_picture(bridge: Stack) -> None:
    assert b"kbri 20" in bridge.picture(CAMERA)


def test_the_nat_of_the_published_ports_is_seen_and_its_address_told(bridge: Stack) -> None:
    """Docker may hand a packet on by a process of its own, and then its address is the bridge's."""
    networks = f'{{{{json (index .NetworkSettings.Networks "{BRIDGE}_outside")}}}}'
    outside = json.loads(docker("inspect", "--format", networks, bridge.pause))
    assert outside["IPAddress"] != HOST
    sa = eventually(lambda: the_sa(bridge), 10, "one IKE_SA")
    assert sa.nat_seen
    connection = bridge.connection("kbri_vpn")
    assert connection is not None
    assert connection.remote_address in (outside["Gateway"], SITE)
    assert connection.remote_address == sa.remote_host


def test_the_camera_proxy_brings_the_picture_to_programs_on_the_host(bridge: Stack) -> None:
    proxy = f"http://127.0.0.1:{PROXY_PORT}"
    fetch = ("curl", "--silent", "--fail", "--max-time", "10", "--proxy", proxy)
    picture = subprocess.run(
        [*fetch, f"http://{CAMERA}/snapshot.jpg"], capture_output=True, check=True
    ).stdout
    assert b"kbri 20" in picture


def test_only_pause_has_a_network_and_none_is_the_hosts(bridge: Stack) -> None:
    networks = {}
    for name in SERVICES:
        container = f"{PREFIX}{name}"
        mode = docker("inspect", "--format", "{{.HostConfig.NetworkMode}}", container).strip()
        networks[name] = mode
    pause = docker("inspect", "--format", "{{.Id}}", bridge.pause).strip()
    inside = f"container:{pause}"
    assert networks == {
        "pause": f"{BRIDGE}_outside",
        **dict.fromkeys(("gateway", "reconciler", "camera-proxy"), inside),
        **dict.fromkeys(("docker-proxy", "starter"), "none"),
    }


def test_a_restarted_gateway_leaves_the_reconciler_its_network_and_the_site_is_back(
    bridge: Stack,
) -> None:
    before = bridge.process_of(bridge.reconciler)
    old = the_sa(bridge).unique_id, bridge.status().daemon.running_since
    docker("restart", "--time", "5", bridge.gateway)
    eventually(lambda: bridge.status().daemon.running_since > old[1], 30, "charon is a new one")
    eventually(lambda: is_carried(bridge), 60, "the picture is back")
    assert bridge.process_of(bridge.reconciler) == before
    assert bridge.http("/healthz")[0] == 200


def test_what_the_engine_starts_before_the_owner_of_the_network_comes_up_all_the_same(
    bridge: Stack,
) -> None:
    """When Docker Engine starts, it starts the containers in no order, and each only once."""
    inside = [f"{PREFIX}{name}" for name in ("gateway", "reconciler", "camera-proxy")]
    docker("stop", "--time", "5", *reversed(inside), bridge.pause)
    for name in inside:
        assert "cannot join network" in run("docker", "start", name, both=True, check=False)
    docker("start", bridge.pause)
    eventually(lambda: all(map(bridge.process_of, inside)), 30, "all run")
    eventually(lambda: bridge.http("/readyz")[0] == 200, 60, "the reconciler is ready")
    eventually(lambda: is_carried(bridge), 60, "the picture is back")
