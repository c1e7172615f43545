"""The containers of compose.yaml under other names, and sites that dial in.

Each site has its own address, identity, key and LAN; one charon plays many of them.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.fleet import HUB_ID, HUB_LAN, HUB_LAN_ADDRESS, airport_id, lan, manifest, psk
from bench.measure import say
from bench.stage import live_tunnels, process_of
from reconciler.edges.vici_client import ViciClient
from reconciler.errors import IkeRefused, IkeUnreachable
from tests.charon import answers, start_charon
from tests.docker import docker, eventually, run, volume_path

ROOT = Path(__file__).parents[2]
SERVICES = ("gateway", "filter", "reconciler", "docker-proxy")
PROFILES = {"web": ("web",), "camera-proxy": ("camera-proxy",)} | {
    "monitoring": ("prometheus", "alertmanager")
}
_USER = 10001
_FIRST_SITE = 10  # the last number of its address on the network
_MOST_PER_SITE = 250
_START_S, _DIAL_S = 600, 900


@dataclass(frozen=True, slots=True)
class Place:
    """Names and network, so that two stages may stand side by side."""

    project: str
    network: str

    def container(self, service: str) -> str:
        """Name a container."""
        return f"{self.project}-{service}"

    @property
    def hub(self) -> str:
        """The address that the sites dial."""
        return f"{self.network}.2"


@dataclass(frozen=True, slots=True)
class Sites:
    """One charon that plays several airports."""

    container: str
    address: str
    outer: str
    numbers: range
    vici: ViciClient

    def dial(self, number: int) -> None:
        """Begin a handshake; whether it succeeds is seen at the hub."""
        with contextlib.suppress(IkeRefused):
            self.vici.start_child(airport_id(number), "lan")


class Stage:
    """The running stack."""

    def __init__(
        self, place: Place, folder: Path, profiles: Sequence[str], settings: Mapping[str, str]
    ) -> None:
        self.place = place
        self.profiles = profiles
        self._settings = settings
        self._files = ["compose.yaml", "bench/capacity/compose.yaml"]
        self.sites: list[Sites] = []
        self.born: dict[str, int] = {}
        self.dialled_in_s = 0.0
        self._folder = folder

    @property
    def services(self) -> list[str]:
        """What runs, the pause container and the sites left out."""
        return [*SERVICES, *(name for one in self.profiles for name in PROFILES[one])]

    @property
    def hub(self) -> ViciClient:
        """A new connection to the gateway's charon; the caller closes it."""
        return ViciClient(str(self._volume("vici") / "charon.vici"))

    @property
    def numbers(self) -> range:
        """All airports that dial in."""
        return range(sum(len(site.numbers) for site in self.sites))

    def pid(self, service: str) -> int:
        """Return the first process of a service's container."""
        return process_of(self.place.container(service))

    def status(self) -> dict[str, Any]:
        """Read the status file; empty while there is none."""
        path = self._folder / "cache" / "vpn-status.json"
        found: dict[str, Any] = json.loads(path.read_bytes()) if path.exists() else {}
        return found

    def up(self) -> int:
        """Count the tunnels that the reconciler calls up."""
        connections = self.status().get("connections", {}).values()
        return sum(one["status"] == "up" for one in connections)

    def declare(self, count: int) -> None:
        """Write airports.json."""
        document = manifest(count)
        for airport in document["airports"].values():
            airport["vpn"]["local_subnet"] = HUB_LAN
        draft = self._folder / "config" / "draft"
        draft.write_text(json.dumps(document))
        os.chown(draft, 0, _USER)
        draft.chmod(0o640)
        draft.replace(draft.with_name("airports.json"))

    def compose(self, *arguments: str) -> None:
        """Run Compose with settings of ours only; those of whoever calls stay out."""
        files = [part for name in self._files for part in ("--file", name)]
        command = ("docker", "compose", "--progress", "quiet", "--env-file", os.devnull, *files)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "COMPOSE_PROJECT_NAME": self.place.project,
            "NAME_PREFIX": self.place.container(""),
            "SITES_NETWORK": self.place.network,
            "AIRPORTS_DIR": str(self._folder / "config"),
            "CACHE_DIR": str(self._folder / "cache"),
            "MONITORING_DIR": str(self._folder / "monitoring"),
            "COMPOSE_PROFILES": ",".join(self.profiles),
            **self._settings,
        }
        subprocess.run(
            [*command, "--project-directory", str(ROOT), *arguments],
            env=environment, cwd=ROOT, check=True, stdout=sys.stderr,
        )  # fmt: skip

    def make_hasty(self) -> None:
        """Start a reconciler that waits for nothing to join when it is woken."""
        self._files.append("bench/capacity/compose.hasty.yaml")

    def start(self, count: int) -> None:
        """Start the containers, with so many airports declared, and wait until all are loaded."""
        for name, owner in (("config", 0), ("cache", _USER), ("monitoring", 0)):
            folder = self._folder / name
            folder.mkdir(parents=True)
            os.chown(folder, owner, _USER)
        self.declare(count)
        self.compose("up", "--detach", "--no-build", "pause", *self.services)
        inside(self.pid("pause"), f"address add {HUB_LAN_ADDRESS}/32 dev lo")
        # A plain charon that is refused does not dial again, so all must be loaded before.
        eventually(lambda: self.loaded() == count, _START_S, "all loaded", every_s=1)
        self.born = {service: self.pid(service) for service in self.services}

    def start_sites(self, count: int, containers: int, over_s: float = 0) -> None:
        """Let so many airports dial in, one after the other, and wait until all are up."""
        say(f"{count} sites dial in from {containers} containers")
        share = -(-count // containers)
        if share > _MOST_PER_SITE:
            raise ValueError(f"{share} sites a container; {_MOST_PER_SITE} are the most")
        for n in range(containers):
            numbers = range(n * share, min((n + 1) * share, count))
            self.sites.append(self._start_sites(n, numbers))
        began_s = time.monotonic()
        for site in self.sites:
            for number in site.numbers:
                time.sleep(max(0.0, began_s + number * over_s / count - time.monotonic()))
                site.vici.load_secret(f"ike-{number}", _identity(number), psk(number).encode())
                site.vici.load_connection(airport_id(number), _dialling(site, number, self.place))
        eventually(lambda: self.live() == count, _DIAL_S, f"{count} tunnels are there", every_s=2)
        self.dialled_in_s = round(time.monotonic() - began_s, 1)
        eventually(lambda: self.up() == count, _DIAL_S, "the status says so", every_s=2)

    def loaded(self) -> int:
        """Count the connections that the hub has, by its own word; none if it can't be asked."""
        with contextlib.closing(self.hub) as hub, contextlib.suppress(IkeUnreachable):
            seen = hub.observe(deep=False)
            return min(len(seen.connections), len(seen.secret_ids))
        return 0

    def live(self) -> int:
        """Count the tunnels that the hub has, by its own word; none if it is too busy to tell."""
        with contextlib.closing(self.hub) as hub, contextlib.suppress(IkeUnreachable):
            return live_tunnels(hub)
        return 0

    def _start_sites(self, n: int, numbers: range) -> Sites:
        name = self.place.container(f"sites-{n}")
        address, outer = f"{self.place.network}.{_FIRST_SITE + n}", f"198.19.{n}"
        docker("volume", "create", name)
        network = ("--network", f"{self.place.project}_sites", "--ip", address)
        start_charon(*(name, *network, "--volume", f"{name}:/run/vici", "--no-healthcheck"))
        socket = volume_path(name) / "charon.vici"
        eventually(lambda: answers(socket), 60, f"{name} answers")
        site = Sites(name, address, outer, numbers, ViciClient(str(socket)))
        inside(
            process_of(name),
            *(f"address add {_outer(site, number)}/32 dev eth0" for number in numbers),
            *(f"address add {camera(number)}/32 dev lo" for number in numbers),
            # charon keeps such a route, but of many tunnels that share it the first to end ends it.
            f"route add {HUB_LAN} dev ipsec0 table 219",
            "rule add priority 219 lookup 219",
        )
        inside(self.pid("pause"), f"route add {outer}.0/24 via {address}")
        return site

    def _volume(self, name: str) -> Path:
        return volume_path(f"{self.place.project}_{name}")

    def clean_up(self) -> None:
        """Remove everything of ours, of this run or of one that was killed."""
        for site in self.sites:
            site.vici.close()
        mine = f"name=^/?{self.place.container('sites-')}"
        for name in docker("ps", "--all", "--quiet", "--filter", mine).split():
            docker("rm", "--force", "--volumes", name)
        self.compose("down", "--volumes", "--timeout", "2")
        for name in docker("volume", "ls", "--quiet", "--filter", mine).split():
            docker("volume", "rm", "--force", name)
        shutil.rmtree(self._folder, ignore_errors=True)


@contextlib.contextmanager
def stage(
    place: Place,
    folder: Path,
    count: int,
    containers: int,
    profiles: Sequence[str] = (),
    over_s: float = 0,
    settings: Mapping[str, str] | None = None,
    *,
    hasty: bool = False,
) -> Iterator[Stage]:
    """Run the stack with so many live tunnels; afterwards it is gone.

    `over_s`: all sites have begun to dial after so long; 0 is all at once. `settings`: of Compose.
    `hasty`: the loop makes no pause when it is woken.
    """
    made = Stage(place, folder, profiles, settings or {})
    if hasty:
        made.make_hasty()
    made.clean_up()
    try:
        made.start(count)
        made.start_sites(count, containers, over_s)
        yield made
    except Exception:
        for service in ("gateway", "reconciler"):
            say(f"--- the last that {service} said")
            last = docker(
                "logs", "--tail", "20", made.place.container(service), check=False, both=True
            )
            say(last)
        raise
    finally:
        made.clean_up()


def inside(pid: int, *commands: str) -> None:
    """Run commands of `ip` in the network of a process."""
    text = "".join(f"{command}\n" for command in commands)
    run(*network_of(pid), "ip", "-batch", "-", stdin=text.encode())


def network_of(pid: int) -> tuple[str, ...]:
    """Return what runs a command of this machine in the network of a process."""
    return ("nsenter", f"--net=/proc/{pid}/ns/net")


def camera(number: int) -> str:
    """Return the address of an airport's camera."""
    return lan(number, "10")


def _identity(number: int) -> str:
    return f"{airport_id(number)}.remote"


def _outer(site: Sites, number: int) -> str:
    return f"{site.outer}.{1 + number - site.numbers.start}"


def _dialling(site: Sites, number: int, place: Place) -> dict[str, Any]:
    """Return a router's configuration; it dials by itself, and does so again."""
    child = {
        "local_ts": [lan(number, "0/24")],
        "remote_ts": [HUB_LAN],
        "esp_proposals": ["aes256gcm128-modp2048"],
        "start_action": "start",
        "close_action": "start",
        "dpd_action": "restart",
    }
    return {
        "version": "2",
        "local_addrs": [_outer(site, number)],
        "remote_addrs": [place.hub],
        "mobike": "no",
        "keyingtries": "0",
        "dpd_delay": "30s",
        "proposals": ["aes256gcm128-sha256-modp2048"],
        "local": {"auth": "psk", "id": _identity(number)},
        "remote": {"auth": "psk", "id": HUB_ID},
        "children": {"lan": child},
    }
