"""Real sites that fail in every way, and what is then said of them: one hub, whole rounds.

All sites begin at once; each test waits for its own.
"""

import contextlib
import json
import secrets
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from reconciler.core.reasons import Code
from reconciler.core.status import ConnectionStatus, Status
from reconciler.edges.manifest import read_document
from reconciler.edges.state import State
from reconciler.edges.status_file import write_status
from reconciler.edges.vici_client import ViciClient
from reconciler.edges.vici_events import EventListener
from reconciler.memory import Memory
from reconciler.round import run_round
from reconciler.settings import Settings
from reconciler.world import Evidence, World
from tests.builders import document, vpn
from tests.charon import answers, start_charon
from tests.docker import docker, eventually, volume_path

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]

HUB, NETWORK, PREFIX = "test-reasons-hub", "test-reasons", "10.214.17"
SITE_NAME = "test-reasons-"
HUB_ADDRESS = f"{PREFIX}.2"
SWANCTL_AT = ("--uri", "unix:///run/vici/charon.vici")
OTHER_PSK = "another-correct-horse-battery"


Check = Callable[[ConnectionStatus], bool]


@dataclass(frozen=True)
class Site:
    """One airport: how it is declared, and how its site is really set up; None: there is none."""

    number: int
    declared: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] | None = field(default_factory=dict)
    psk: str = ""

    @property
    def address(self) -> str:
        return f"{PREFIX}.{100 + self.number}"


def address(number: int) -> dict[str, str]:
    return {"remote_address": f"{PREFIX}.{100 + number}"}


SITES = {
    "wellbehaved": Site(1),
    "wrongpsk": Site(2, psk=OTHER_PSK),
    "stranger": Site(3, environment={"SITE_ID": "somebody.else"}),
    "wronghub": Site(4, environment={"HUB_ID": "other.hub"}),
    "ikemismatch": Site(5, environment={"IKE_PROPOSAL": "aes128-sha256-modp1024"}),
    "espmismatch": Site(6, environment={"ESP_PROPOSAL": "aes128-sha256"}),
    "selectors": Site(7, environment={"LAN": "10.99.7.0/24", "CAMERA": "10.99.7.1"}),
    "nobody": Site(8, address(8), environment=None),
    "never": Site(9, environment=None),
    "rotating": Site(10),
    "dialledpsk": Site(11, address(11), {"MODE": "respond"}, OTHER_PSK),
    "dialledike": Site(
        12, address(12), {"MODE": "respond", "IKE_PROPOSAL": "aes128-sha256-modp1024"}
    ),
    "elsewhere": Site(13, {"remote_address": f"{PREFIX}.250"}),
    "dies": Site(14),
    "restarts": Site(15),
    "closes": Site(16),
    "rekeys": Site(17),
    "narrow": Site(
        18, {"local_subnet": ["10.1.0.0/16", "10.2.0.0/16"]}, {"HUB_SUBNET": "10.1.0.0/16"}
    ),
    "othersuite": Site(19, environment={"IKE_PROPOSAL": "aes256-sha256-modp3072"}),
    "cbc": Site(
        20,
        {"encryption": "aes256-sha256", "dh_group": 15},
        {"IKE_PROPOSAL": "aes256-sha256-modp3072", "ESP_PROPOSAL": "aes256-sha256"},
    ),
}


class Hub:
    """charon in a container, and our rounds beside it. A thread makes them, so all is observed."""

    def __init__(self, directory: Path, vici: Path) -> None:
        for name in ("config", "cache", "state", "vpn"):
            (directory / name).mkdir()
        self.settings = Settings(
            config_path=directory / "config" / "airports.json",
            status_file=directory / "cache" / "vpn-status.json",
            state_dir=directory / "state",
            swanctl_file=directory / "vpn" / "swanctl.conf",
            vici_socket=vici,
            dpd_delay_seconds=10,
        )
        evidence = Evidence()
        self.ike = ViciClient(str(vici))
        self.world = World(
            settings=self.settings,
            ike=self.ike,
            state=State(self.settings.state_dir, self.settings.swanctl_file),
            read_document=lambda: read_document(self.settings.config_path),
            write_status=lambda status: write_status(self.settings.status_file, status),
            take_failures=evidence.take,
        )
        self.woken = threading.Event()
        self.listener = EventListener(str(vici), lambda _: self.woken.set(), evidence.note)
        self.status: Status | None = None
        self.failed: Exception | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        airports = {name: vpn(site.number, **site.declared) for name, site in SITES.items()}
        self.settings.config_path.write_text(json.dumps(document(**airports)))
        self.listener.start()
        self._thread.start()
        eventually(lambda: self.status, 10, "a first round")

    def stop(self) -> None:
        self._stopping.set()
        self.listener.stop()
        self._thread.join(10)
        self.ike.close()

    def _run(self) -> None:
        memory = Memory()
        try:
            while not self._stopping.is_set():
                memory, report = run_round(self.world, memory, {"test"})
                self.status = report.status
                self.woken.wait(1.0)
                self.woken.clear()
        except Exception as error:
            self.failed = error
            raise

    def of(self, airport: str) -> ConnectionStatus:
        assert self.failed is None
        assert self.status is not None
        return self.status.connections[f"{airport}_vpn"]

    def wait(self, airport: str, check: Check, within_s: float) -> None:
        def seen() -> bool:
            return check(self.of(airport))

        try:
            eventually(seen, within_s)
        except AssertionError as error:
            raise AssertionError(self.of(airport).model_dump_json(indent=1)) from error

    def wait_for_code(self, airport: str, code: str, within_s: float) -> ConnectionStatus:
        self.wait(airport, lambda one: one.reason_code == code, within_s)
        return self.of(airport)

    def wait_until_up(self, airport: str, within_s: float = 40) -> None:
        self.wait(airport, lambda one: one.status == "up", within_s)

    def strangers(self, from_address: str) -> list[tuple[str, str]]:
        assert self.status is not None
        return [
            (stranger.code.value, stranger.claimed_id)
            for stranger in self.status.strangers
            if stranger.remote_address == from_address
        ]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    directory = tmp_path_factory.mktemp("reasons")
    with contextlib.ExitStack() as stack:
        stack.callback(clear)
        clear()
        docker("network", "create", "--subnet", f"{PREFIX}.0/24", NETWORK)
        docker("volume", "create", HUB)
        network = ("--network", NETWORK, "--ip", HUB_ADDRESS)
        start_charon(HUB, *network, "--volume", f"{HUB}:/run/vici")
        vici = volume_path(HUB) / "charon.vici"
        eventually(lambda: vici.exists() and answers(vici), 20)
        hub = Hub(directory, vici)
        stack.callback(hub.stop)
        hub.start()
        # A key that charon holds beside ours, and loaded last: with that one the hub answers.
        hub.ike.load_secret("a-newer-key", "rotating.remote", OTHER_PSK.encode())
        for airport, site in SITES.items():
            if site.environment is not None:
                start_site(directory, airport, site)
        yield hub


def clear() -> None:
    listed = docker("ps", "--all", "--quiet", "--filter", f"name={SITE_NAME}")
    for name in listed.split():
        docker("rm", "--force", "--volumes", name)
    docker("network", "rm", NETWORK, check=False)
    docker("volume", "rm", HUB, check=False)


def start_site(directory: Path, airport: str, site: Site) -> None:
    psk = directory / f"{airport}.psk"
    psk.write_text(site.psk or str(vpn(site.number)["psk"]))
    psk.chmod(0o644)
    directory.chmod(0o755)
    environment = {
        "AIRPORT": airport,
        "HUB_ADDRESS": HUB_ADDRESS,
        "LAN": f"192.168.{site.number}.0/24",
        "CAMERA": f"192.168.{site.number}.100",
        "PSK_FILE": "/run/secrets/psk",
        "DPD_DELAY": "10s",
        **(site.environment or {}),
    }
    docker(
        *("run", "--detach", "--name", SITE_NAME + airport),
        *("--network", NETWORK, "--ip", site.address, "--cap-drop", "ALL"),
        *("--cap-add", "NET_ADMIN", "--cap-add", "NET_BIND_SERVICE"),
        *("--device", "/dev/net/tun", "--volume", f"{psk}:/run/secrets/psk:ro"),
        *(part for key, value in environment.items() for part in ("--env", f"{key}={value}")),
        "vpn-site",
    )


def swanctl(airport: str, *arguments: str) -> None:
    docker("exec", SITE_NAME + airport, "swanctl", *arguments, *SWANCTL_AT)


@pytest.mark.parametrize(
    ("airport", "code", "side", "words"),
    [
        ("wrongpsk", "wrong-psk", "site", "MAC mismatched"),
        ("wronghub", "unknown-id", "site", "no matching peer config found"),
        ("elsewhere", "unknown-id", "site", "no matching peer config found"),
        ("espmismatch", "proposal-mismatch", "site", "received proposals: ESP:AES_CBC_128"),
        ("selectors", "selector-mismatch", "site", "10.99.7.0/24 unacceptable"),
        ("rotating", "refused-by-site", "site", "N(AUTH_FAILED)"),
        ("dialledpsk", "refused-by-site", "site", "received AUTHENTICATION_FAILED"),
        ("dialledike", "proposal-mismatch", "site", "received NO_PROPOSAL_CHOSEN"),
        ("nobody", "no-answer", "network", "peer not responding"),
        ("never", "never-dialled-in", "site", ""),
    ],
)
def test_a_tunnel_that_is_not_up_says_why_and_who_must_act(
    hub: Hub, airport: str, code: str, side: str, words: str
) -> None:
    found = hub.wait_for_code(airport, code, 45)
    assert found.status in ("down", "connecting")
    assert found.who_must_act == side
    assert words in found.last_error
    assert bool(words) == any(count > 0 for count in found.failures.values())
    # Whoever dials before the other side listens gets no answer at first; that is true as well.
    assert found.failures.keys() <= {code, Code.NO_ANSWER}, found.failures


def test_a_site_that_calls_the_hub_by_another_name_reads_both(hub: Hub) -> None:
    text = hub.wait_for_code("wronghub", "unknown-id", 30).reason
    assert "it calls the hub 'other.hub' instead of 'vpn.aviationwx.org'" in text


def test_a_site_that_calls_from_elsewhere_reads_both_addresses(hub: Hub) -> None:
    text = hub.wait_for_code("elsewhere", "unknown-id", 30).reason
    assert f"{PREFIX}.250 is declared as its address" in text
    assert SITES["elsewhere"].address in text


def test_a_peer_with_an_identity_that_is_not_declared_is_a_stranger(hub: Hub) -> None:
    expected = [("unknown-id", "somebody.else")]
    eventually(lambda: hub.strangers(SITES["stranger"].address) == expected, 30)


def test_a_peer_whose_ike_proposals_do_not_fit_is_known_by_its_address(hub: Hub) -> None:
    expected = [("proposal-mismatch", "")]
    eventually(lambda: hub.strangers(SITES["ikemismatch"].address) == expected, 30)


def test_a_peer_that_speaks_ikev1_is_told_apart(hub: Hub) -> None:
    transform = struct.pack("!BBHBBH", 0, 0, 8, 1, 1, 0)
    proposal = struct.pack("!BBHBBBB", 0, 0, 16, 1, 1, 0, 1) + transform
    security = struct.pack("!BBHII", 0, 0, 12 + len(proposal), 1, 1) + proposal
    header = secrets.token_bytes(8) + bytes(8)
    header += struct.pack("!BBBBII", 1, 0x10, 2, 0, 0, 28 + len(security))
    ours = send(header + security)
    eventually(lambda: ("wrong-ike-version", "") in hub.strangers(ours), 30)


def test_a_peer_that_begins_and_then_says_nothing_more_is_half_open(hub: Hub) -> None:
    """Charon gives it 30 s."""
    ours = send(ike_sa_init())
    eventually(lambda: ("half-open", "") in hub.strangers(ours), 60)


def ike_sa_init() -> bytes:
    """Make the first packet of an exchange: AES-GCM-256, SHA-256, MODP-2048."""
    transforms = (
        struct.pack("!BBHBBHHH", 3, 0, 12, 1, 0, 20, 0x800E, 256)
        + struct.pack("!BBHBBH", 3, 0, 8, 2, 0, 5)
        + struct.pack("!BBHBBH", 0, 0, 8, 4, 0, 14)
    )
    proposal = struct.pack("!BBHBBBB", 0, 0, 8 + len(transforms), 1, 1, 0, 3) + transforms
    security = struct.pack("!BBH", 34, 0, 4 + len(proposal)) + proposal
    public = struct.pack("!BBHHH", 40, 0, 8 + 256, 14, 0) + b"\x01" + secrets.token_bytes(255)
    nonce = struct.pack("!BBH", 0, 0, 4 + 32) + secrets.token_bytes(32)
    body = security + public + nonce
    header = secrets.token_bytes(8) + bytes(8)
    return header + struct.pack("!BBBBII", 33, 0x20, 34, 0x08, 0, 28 + len(body)) + body


def send(packet: bytes) -> str:
    """Send it to the hub from here, and return our address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect((HUB_ADDRESS, 500))
        sender.send(packet)
        return str(sender.getsockname()[0])


def test_a_site_that_loses_its_power_is_a_dead_peer(hub: Hub) -> None:
    hub.wait_until_up("dies")
    docker("kill", SITE_NAME + "dies")
    found = hub.wait_for_code("dies", "dead-peer", 60)
    assert (found.status, found.who_must_act) == ("down", "network")
    assert found.last_remote_address == SITES["dies"].address


def test_a_site_that_restarts_without_goodbye_replaces_its_tunnel(hub: Hub) -> None:
    hub.wait_until_up("restarts")
    docker("kill", SITE_NAME + "restarts")
    docker("start", SITE_NAME + "restarts")
    hub.wait("restarts", lambda one: one.failures.get("replaced") == 1, 30)  # type: ignore[call-overload]
    hub.wait_until_up("restarts")
    assert hub.of("restarts").reason == ""


def test_a_site_that_closes_its_tunnel_did_so_itself(hub: Hub) -> None:
    hub.wait("closes", lambda one: one.status == "up" and one.uptime_seconds >= 4, 40)
    docker("stop", "--time", "8", SITE_NAME + "closes")
    found = hub.wait_for_code("closes", "closed-by-site", 30)
    assert found.who_must_act == "site"


def test_renewed_keys_and_renewed_authentication_are_no_failures(hub: Hub) -> None:
    hub.wait_until_up("rekeys")
    swanctl("rekeys", "--rekey", "--ike", "hub")
    swanctl("rekeys", "--rekey", "--child", "lan")
    swanctl("rekeys", "--rekey", "--ike", "hub", "--reauth")
    before = hub.of("rekeys").since
    fresh = hub.of("wellbehaved").uptime_seconds
    # Time enough for everything to be told.
    hub.wait("wellbehaved", lambda one: one.uptime_seconds >= fresh + 5, 20)
    found = hub.of("rekeys")
    assert (found.status, found.since, found.failures) == ("up", before, {})


@pytest.mark.parametrize("airport", ["wellbehaved", "cbc"])
def test_a_tunnel_as_declared_is_up_without_a_remark(hub: Hub, airport: str) -> None:
    hub.wait_until_up(airport)
    found = hub.of(airport)
    assert (found.reason_code, found.who_must_act, found.degraded) == ("", "", False)
    assert found.degraded_reasons == ()


@pytest.mark.parametrize(
    ("airport", "code", "words"),
    [
        ("narrow", "narrowed-selectors", "10.2.0.0/16"),
        ("othersuite", "other-ike-algorithms", "AES_CBC_256, MODP_3072"),
    ],
)
def test_a_tunnel_that_is_up_but_not_as_declared_is_degraded(
    hub: Hub, airport: str, code: str, words: str
) -> None:
    hub.wait(airport, lambda one: one.status == "up" and one.degraded, 40)
    (flaw,) = hub.of(airport).degraded_reasons
    assert flaw.code == code
    assert words in flaw.text


def test_no_key_is_in_what_was_written(hub: Hub) -> None:
    """Runs last: by now charon has said everything that it says of keys."""
    written = hub.settings.status_file.read_text() + docker("logs", HUB, both=True)
    for site in SITES.values():
        assert str(vpn(site.number)["psk"]) not in written
    assert OTHER_PSK not in written
