"""The tunnels end in the host's own network, as in production; a web service is on a bridge of it.

charon listens on other ports here than 500 and 4500, which a demo or another test may hold.
"""

import json
import os
import secrets
import socket
import subprocess
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from reconciler.core.nft_script import TABLE, nft_script
from reconciler.core.packet_filter import FilterRules, SiteRules
from tests.docker import docker, eventually, run

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]

NAMES = HUB, SITE, WEB = "test-host-hub", "test-host-site", "test-host-web"
NETWORKS = {SITE: ("10.214.10.0/28", "10.214.10.1"), WEB: ("10.214.11.0/28", "10.214.11.1")}
LAN, CAMERA = "192.168.91.0/24", "192.168.91.100"
PORT, NAT_PORT = 1500, 14500
USER = 10001

RULES = FilterRules((SiteRules("khost_vpn", (ip_network(LAN),)),))

STRONGSWAN = f"""\
include /etc/strongswan.userspace.conf
charon {{
  port = {PORT}
  port_nat_t = {NAT_PORT}
}}
"""
SWANCTL = """\
connections {{
  site {{
    version = 2
    proposals = aes256gcm128-sha256-modp2048
    local {{
      auth = psk
      id = vpn.aviationwx.org
    }}
    remote {{
      auth = psk
      id = khost.remote
    }}
    children {{
      lan {{
        local_ts = 0.0.0.0/0
        remote_ts = {lan}
        esp_proposals = aes256gcm128-modp2048,aes256gcm128
      }}
    }}
  }}
}}
secrets {{
  ike-site {{
    id = khost.remote
    secret = "{psk}"
  }}
}}
"""
FETCH = f"""
import sys, urllib.request
sys.stdout.buffer.write(urllib.request.urlopen("http://{CAMERA}/snapshot.jpg", timeout=10).read())
"""
OPTIONS = f"""
import socket
camera = socket.create_connection(("{CAMERA}", 554), 10)
camera.sendall(b"OPTIONS rtsp://{CAMERA}/stream1 RTSP/1.0\\r\\nCSeq: 1\\r\\n\\r\\n")
print(camera.recv(1000).decode())
"""


def write(path: Path, text: str) -> None:
    path.write_text(text)
    os.chown(path, USER, USER)
    path.chmod(0o600)


def remove() -> None:
    for name in NAMES:
        docker("rm", "--force", name, check=False)
    for name in NETWORKS:
        docker("network", "rm", name, check=False)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """Run a hub on the host, a site that dials it, and a web service on a bridge network."""
    psk = secrets.token_urlsafe(32)
    folder = tmp_path / "vpn"
    folder.mkdir()
    write(folder / "strongswan.conf", STRONGSWAN)
    write(folder / "swanctl.conf", SWANCTL.format(lan=LAN, psk=psk))
    write(tmp_path / "psk", psk)
    for above in (folder, *folder.parents):
        if above.is_relative_to(tmp_path.parents[1]):
            above.chmod(0o755)
    remove()
    for name, (subnet, gateway) in NETWORKS.items():
        docker("network", "create", "--subnet", subnet, "--gateway", gateway, name)
    rights = ("--cap-drop", "ALL", "--cap-add", "NET_ADMIN", "--cap-add", "NET_BIND_SERVICE")
    tunnel = (*rights, "--device", "/dev/net/tun")
    try:
        docker(
            *("run", "--detach", "--name", HUB, "--network", "host", *tunnel),
            *("--volume", f"{folder}:/etc/vpn:ro"),
            *("--env", "STRONGSWAN_CONF=/etc/vpn/strongswan.conf"),
            *("--entrypoint", "with-capabilities", "vpn-charon", "charon-systemd"),
        )
        assert TABLE not in nft("list", "tables"), (
            "a filter is in force on this host: stop that first"
        )
        nft("-f", "-", stdin=nft_script(RULES))
        docker(
            *("run", "--detach", "--name", SITE, "--network", SITE, *tunnel),
            *("--volume", f"{tmp_path / 'psk'}:/run/secrets/psk:ro"),
            *("--env", "PSK_FILE=/run/secrets/psk", "--env", "AIRPORT=khost"),
            *("--env", f"LAN={LAN}", "--env", f"CAMERA={CAMERA}"),
            *("--env", f"HUB_ADDRESS={NETWORKS[SITE][1]}", "--env", f"HUB_PORT={NAT_PORT}"),
            "vpn-site",
        )
        docker(
            *("run", "--detach", "--name", WEB, "--network", WEB, "--cap-drop", "ALL"),
            *("--entrypoint", "sleep", "vpn-reconciler", "600"),
        )
        yield WEB
    finally:
        nft("delete", "table", *TABLE.split(), check=False)
        for name in NAMES:
            print(name, run("docker", "logs", name, both=True, check=False)[-3000:])
        docker("stop", "--time", "5", HUB, check=False)  # it takes its routes along
        remove()


def nft(*words: str, stdin: str = "", check: bool = True) -> str:
    """Run the hub's nft, on the host's network."""
    command = ("exec", "--interactive", HUB, "with-capabilities", "nft", *words)
    return docker(*command, stdin=stdin.encode(), check=check)


def unasked() -> int:
    printed = nft("list", "counter", *TABLE.split(), "unasked")
    return int(printed.split("packets")[1].split()[0])


def from_web(program: str) -> bytes:
    command = ["docker", "exec", WEB, "python", "-c", program]
    return subprocess.run(command, capture_output=True, check=False).stdout


def test_a_container_on_a_bridge_network_reaches_cameras_over_http_and_rtsp_by_the_hosts_routes(
    web: str,
) -> None:
    eventually(lambda: b"khost 20" in from_web(FETCH), 60, "a picture", every_s=1)
    assert b"RTSP/1.0 200 OK" in from_web(OPTIONS)
    seen = [line for line in docker("logs", SITE).splitlines() if "camera: " in line]
    assert seen
    own = NETWORKS[web][0].rpartition(".")[0]
    assert not [line for line in seen if f"camera: {own}." in line], "it is hidden by the host"


def test_the_filter_keeps_a_site_from_the_hosts_ports_and_from_its_containers(web: str) -> None:
    eventually(lambda: b"khost 20" in from_web(FETCH), 60, "a picture", every_s=1)
    bridge = json.loads(docker("inspect", WEB))[0]["NetworkSettings"]["Networks"][WEB]
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
        for address in (NETWORKS[WEB][1], bridge["IPAddress"]):
            before = unasked()
            assert not opens(address, port), address
            assert unasked() > before, address
        nft("delete", "table", *TABLE.split())
        assert opens(NETWORKS[WEB][1], port), "it was the filter that kept it out"


def opens(address: str, port: int) -> bool:
    """Connect from the site's LAN, through its tunnel."""
    program = (
        f"import socket; socket.create_connection(({address!r}, {port}), 4, ({CAMERA!r}, 0)); "
        "print('open')"
    )
    return "open" in docker("exec", SITE, "python3", "-c", program, check=False)
