"""The far side's configurations in the hands of the programs that they are written for.

strongSwan's, in both forms, make a tunnel through which a picture is fetched. Libreswan parses its
own and agrees on keys with the hub. OpenIKED parses its own. Their ESP, and OpenIKED's daemon, need
a kernel with IPsec, which the machines that run these tests may not have.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from reconciler.core.far_side import FarSide, far_side
from reconciler.core.render import render
from reconciler.core.routers import ROUTERS
from reconciler.core.routers.base import site_config
from reconciler.core.swanctl import swanctl_text
from reconciler.edges.vici_client import ViciClient
from tests.builders import HUB, decided, vpn
from tests.charon import answers, start_charon
from tests.core.test_routers import SUITES
from tests.docker import docker, eventually, run, volume_path

pytestmark = pytest.mark.real

HUB_NAME, SITE, NETWORK = "router-hub", "router-site", "router-net"
VICI, SAVED, FILES = "router-hub-vici", "router-hub-saved", "router-files"
SUBNET, HUB_ADDRESS = "198.18.9.0/24", "198.18.9.2"
INSIDE, CAMERA = "10.99.0.1", "192.168.1.100"
IMAGES = Path(__file__).parent / "routers"
AWKWARD = """quote"s 'n' \\back $money #hash {brace} ; = <tag> % ?0123456789"""
RIGHTS = ("--cap-add", "NET_ADMIN", "--device", "/dev/net/tun")
PICTURE = b"\xff\xd8\xff\xfe\x00\x06kspb\xff\xd9"


@dataclass
class Lab:
    """A hub that has one airport, and whatever router dials it."""

    client: ViciClient

    def declare(self, **changes: object) -> FarSide:
        """Load the airport into the hub; return its far side."""
        body = {"local_subnet": "10.99.0.0/24", "psk": AWKWARD, **changes}
        decision = decided(kspb=vpn(1, **body))
        assert not decision.errors, decision.errors
        wanted = render(decision.sites.values(), HUB)
        path = volume_path(SAVED) / "swanctl.conf"
        path.write_text(swanctl_text(wanted.values()))
        os.chown(path, 10001, 10001)
        uri = "unix:///run/vici/charon.vici"
        docker(
            *("exec", HUB_NAME, "swanctl", "--load-all", "--noprompt"),
            *("--file", "/etc/vpn/swanctl.conf", "--uri", uri),
        )
        return far_side(decision.sites["kspb"], HUB, HUB_ADDRESS)

    def established(self) -> bool:
        sas = self.client.observe(deep=False).sas
        return any(sa.live and sa.remote_id == "kspb.remote" for sa in sas)

    def up(self) -> bool:
        sas = self.client.observe(deep=False).sas
        return any(sa.carrying_children for sa in sas)

    def picture(self) -> bytes:
        """Fetch it from inside the hub's network."""
        pid = docker("inspect", "--format", "{{.State.Pid}}", HUB_NAME).strip()
        script = (
            "import sys, urllib.request as u; sys.stdout.write("
            f"u.urlopen('http://{CAMERA}/snapshot.jpg', timeout=3).read().hex())"
        )
        found = run("nsenter", f"--net=/proc/{pid}/ns/net", "python3", "-c", script, check=False)
        return bytes.fromhex(found)

    def log(self) -> str:
        return docker("logs", HUB_NAME, both=True)


@pytest.fixture(scope="module")
def hub() -> Iterator[Lab]:
    clean_up()
    try:
        docker("network", "create", "--internal", "--subnet", SUBNET, NETWORK)
        for volume in (VICI, SAVED, FILES):
            docker("volume", "create", volume)
        start_charon(
            *(HUB_NAME, "--network", NETWORK, "--ip", HUB_ADDRESS),
            *("--volume", f"{VICI}:/run/vici", "--volume", f"{SAVED}:/etc/vpn:ro"),
        )
        socket = volume_path(VICI) / "charon.vici"
        eventually(lambda: socket.exists() and answers(socket), 20, "the hub answers")
        pid = docker("inspect", "--format", "{{.State.Pid}}", HUB_NAME).strip()
        run("nsenter", f"--net=/proc/{pid}/ns/net", "ip", "address", "add", INSIDE, "dev", "lo")
        client = ViciClient(str(socket))
        yield Lab(client)
        client.close()
    finally:
        clean_up()


@pytest.fixture
def lab(hub: Lab) -> Iterator[Lab]:
    yield hub
    docker("rm", "--force", "--volumes", SITE, check=False)
    hub.client.end_all("kspb_vpn")
    eventually(lambda: not hub.client.observe(deep=False).sas, 10, "the hub is empty again")


def clean_up() -> None:
    docker("rm", "--force", "--volumes", SITE, HUB_NAME, check=False)
    docker("volume", "rm", "--force", VICI, SAVED, FILES, check=False)
    docker("network", "rm", NETWORK, check=False)


def image(router: str) -> str:
    """Build the image of a router; what has not changed comes from the cache."""
    name = f"vpn-test-{router}"
    folder = IMAGES / router
    command = ("docker", "buildx", "build", "--load", "--quiet", "--tag", name)
    run(*command, str(folder), timeout_s=600)
    return name


def write_files(files: dict[str, str]) -> Path:
    """Put files where the site's container finds them."""
    folder = volume_path(FILES)
    for name, content in files.items():
        (folder / name).write_text(content)
        (folder / name).chmod(0o600)
        os.chown(folder / name, 10001, 10001)
    return folder


def parts(text: str) -> list[str]:
    """Split where it says which file comes next."""
    return re.split(r"^# ---- .*\n", text, flags=re.MULTILINE)[1:]


def start_site(image_name: str, script: str, *options: str) -> None:
    """Run a router with a camera on its LAN."""
    docker("rm", "--force", "--volumes", SITE, check=False)
    docker(
        *("run", "--detach", "--name", SITE, "--network", NETWORK, *RIGHTS, *options),
        *("--volume", f"{FILES}:/files", "--entrypoint", "sh", image_name, "-c", script),
    )
    pid = docker("inspect", "--format", "{{.State.Pid}}", SITE).strip()
    add = ("ip", "address", "add", f"{CAMERA}/24", "dev", "lo")
    run("nsenter", f"--net=/proc/{pid}/ns/net", *add)


def serve_picture() -> None:
    """Serve a picture on the site's LAN, by a process in the site's container."""
    (volume_path(FILES) / "snapshot.jpg").write_bytes(PICTURE)
    serve = ("python3", "-m", "http.server", "80", "--bind", CAMERA, "--directory", "/files")
    docker("exec", "--detach", "--user", "root", SITE, *serve)


def configuration(router: str, far: FarSide) -> str:
    return site_config(ROUTERS[router], far, far.key).text


SUITES_TO_TRY = [
    {},
    {"encryption": "aes256-sha512", "dh_group": 19},
    {"encryption": "chacha20poly1305-sha384", "dh_group": 31},
    {"encryption": "aes128gcm64", "dh_group": 21},
    {"local_subnet": None},
]


@pytest.mark.parametrize("changes", SUITES_TO_TRY, ids=str)
def test_strongswan_with_swanctl_makes_a_tunnel_with_a_picture_through_it(
    lab: Lab, changes: dict[str, object]
) -> None:
    far = lab.declare(**changes)
    write_files({"swanctl.conf": configuration("strongswan", far)})
    start_site(
        *("vpn-site", "exec with-capabilities start-charon"),
        *("--env", "DATAPLANE=userspace", "--volume", f"{FILES}:/etc/vpn:ro"),
    )
    eventually(lab.up, 20, "the tunnel is up")
    serve_picture()
    assert eventually(lab.picture, 15, "a picture") == PICTURE


def test_strongswan_with_ipsec_conf_makes_a_tunnel_with_a_picture_through_it(lab: Lab) -> None:
    far = lab.declare()
    conf, secrets = parts(configuration("strongswan-ipsec", far))
    write_files({"ipsec.conf": conf, "ipsec.secrets": secrets})
    start_site(
        image("strongswan-ipsec"),
        "cp /files/ipsec.conf /files/ipsec.secrets /etc/ && exec ipsec start --nofork",
    )
    eventually(lab.up, 20, "the tunnel is up")
    serve_picture()
    assert eventually(lab.picture, 15, "a picture") == PICTURE


def test_libreswan_takes_its_configuration_and_agrees_on_keys_with_the_hub(lab: Lab) -> None:
    far = lab.declare()
    conf, secrets = parts(configuration("libreswan", far))
    write_files({"hub.conf": conf, "hub.secrets": secrets})
    start_site(
        image("libreswan"),
        "cp /files/hub.* /etc/ipsec.d/ && ipsec addconn --checkconfig && echo it parses; "
        "exec /usr/libexec/ipsec/pluto --config /etc/ipsec.conf --nofork --stderrlog",
    )
    eventually(lambda: "listening for IKE messages" in logs(), 20, "pluto listens")
    docker("exec", SITE, "ipsec", "addconn", "--autoall", check=False)
    eventually(lab.established, 20, "IKE_SA with Libreswan")
    assert "it parses" in logs()
    assert "selected proposal: ESP:AES_GCM_16_256/MODP_2048" in lab.log() or lab.up()


def test_libreswan_knows_every_algorithm_that_is_written_for_it(lab: Lab) -> None:
    far = lab.declare()
    script = []
    for suite in SUITES:
        if ROUTERS["libreswan"].algorithm_fault(suite):
            continue
        found = configuration("libreswan", replace(far, suite=suite))
        for kind in ("ike", "esp"):
            match = re.search(rf"^  {kind}=(.*)$", found, re.MULTILINE)
            assert match
            script.append(f"algparse {kind}={match[1]} 2>&1 || true")
    write_files({"all.sh": "\n".join(dict.fromkeys(script)) + "\n"})
    start_site(image("libreswan"), "PATH=$PATH:/usr/libexec/ipsec sh /files/all.sh; sleep 60")
    count = len(dict.fromkeys(script))
    eventually(lambda: logs().count("algparse") + logs().count("_") >= count, 60, "all are tried")
    assert "ERROR" not in logs()
    assert count > 300


def test_openiked_takes_every_configuration_that_is_written_for_it(lab: Lab) -> None:
    far = lab.declare()
    texts = [configuration("openbsd", far)]
    for number, suite in enumerate(SUITES):
        if not ROUTERS["openbsd"].algorithm_fault(suite):
            one = replace(far, suite=suite, name=f"k{number}")
            texts.append(configuration("openbsd", one).partition("set dpd")[2].partition("\n")[2])
    write_files({"iked.conf": "\n".join(texts)})
    start_site(image("openbsd"), "cp /files/iked.conf /tmp/ && iked -n -f /tmp/iked.conf; sleep 60")
    assert "configuration OK" in eventually(logs, 20, "what iked says")
    assert len(texts) > 200


def logs() -> str:
    return docker("logs", SITE, both=True)
