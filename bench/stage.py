"""Containers of a benchmark: a hub, and sites that dial it; all gone afterwards, come what may."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.fleet import sites_swanctl
from bench.measure import say
from reconciler.edges.vici_client import ViciClient
from tests.charon import answers
from tests.docker import docker, eventually, volume_path

HUB, SITES, RECONCILER, SCRAPER = "bench-hub", "bench-sites", "bench-reconciler", "bench-scraper"
NETWORK = "bench-net"
VICI, SHARED, SITES_CONFIG = "bench-vici", "bench-shared", "bench-sites-config"
HUB_ADDRESS = "198.18.0.2"  # of the range for benchmarks of networks (RFC 2544)
SHARED_INSIDE = Path("/shared")
_SUBNET = "198.18.0.0/24"
_FOLDERS = ("config", "cache", "state", "peer")


@dataclass(frozen=True, slots=True)
class Hub:
    """A charon without connections. `shared`: the volume that it and the reconciler see."""

    socket: Path
    shared: Path
    pid: int
    user: int

    def own(self, path: Path) -> None:
        """Give a file to the user that runs in the containers."""
        os.chown(path, self.user, self.user)

    def replace(self, path: Path, text: str) -> None:
        """Write a file as editors and deployments do: beside it, then renamed."""
        draft = self.draft(path, text)
        draft.replace(path)

    def draft(self, path: Path, text: str) -> Path:
        """Write the file that is to take the place of `path`."""
        draft = path.with_name(f".{path.name}.draft")
        draft.write_text(text)
        self.own(draft)
        return draft

    def renew(self) -> None:
        """Forget everything that is in files."""
        for folder in _FOLDERS:
            shutil.rmtree(self.shared / folder, ignore_errors=True)
            (self.shared / folder).mkdir()
            self.own(self.shared / folder)


def clean_up() -> None:
    """Remove everything of ours, of this run or of one that was killed."""
    docker("rm", "--force", "--volumes", SCRAPER, RECONCILER, SITES, HUB, check=False)
    docker("volume", "rm", "--force", VICI, SHARED, SITES_CONFIG, check=False)
    docker("network", "rm", NETWORK, check=False)


@contextmanager
def hub(*limits: str) -> Iterator[Hub]:
    """Start a charon with nothing loaded, on a network that leads nowhere."""
    clean_up()
    try:
        docker("network", "create", "--internal", "--subnet", _SUBNET, NETWORK)
        docker("volume", "create", VICI)
        docker("volume", "create", SHARED)
        volumes = ("--volume", f"{VICI}:/run/vici", "--volume", f"{SHARED}:{SHARED_INSIDE}")
        _start_charon(HUB, "--ip", HUB_ADDRESS, *volumes, *limits)
        socket = volume_path(VICI) / "charon.vici"
        eventually(lambda: answers(socket), 30, "charon answers")
        user = socket.parent.stat().st_uid
        made = Hub(socket, volume_path(SHARED), process_of(HUB), user)
        made.renew()
        yield made
    except Exception:
        _show_logs(HUB, SITES)
        raise
    finally:
        clean_up()


def _show_logs(*names: str) -> None:
    for name in names:
        say(f"--- the last that {name} said")
        subprocess.run(["docker", "logs", "--tail", "20", name], stdout=sys.stderr, check=False)


def start_sites(count: int) -> None:
    """Start one more charon which plays that many sites, all of which dial the hub."""
    say(f"{count} sites dial in")
    docker("volume", "create", SITES_CONFIG)
    docker("create", "--name", SITES, "--volume", f"{SITES_CONFIG}:/etc/vpn", "vpn-charon")
    docker("rm", SITES)  # the volume now has the folder of the image, with its owner
    folder = volume_path(SITES_CONFIG)
    path = folder / "swanctl.conf"
    path.write_text(sites_swanctl(range(count), HUB_ADDRESS))
    os.chown(path, folder.stat().st_uid, folder.stat().st_gid)
    path.chmod(0o600)
    _start_charon(SITES, "--volume", f"{SITES_CONFIG}:/etc/vpn:ro")


def live_tunnels(client: ViciClient) -> int:
    """Count the names that have a CHILD_SA through which packets pass."""
    return len({sa.name for sa in client.observe(deep=False).sas if sa.carrying_children})


def inspect(name: str) -> dict[str, Any]:
    """Return what the engine knows of a container."""
    found: list[dict[str, Any]] = json.loads(docker("inspect", name))
    return found[0]


def process_of(name: str) -> int:
    """Return the container's first process, as this machine numbers it."""
    return int(inspect(name)["State"]["Pid"])


def _start_charon(name: str, *options: str) -> None:
    docker(
        *("run", "--detach", "--name", name, "--network", NETWORK, "--cap-drop", "ALL"),
        *("--cap-add", "NET_ADMIN", "--cap-add", "NET_BIND_SERVICE", "--device", "/dev/net/tun"),
        *("--env", "DATAPLANE=userspace", "--no-healthcheck", *options, "vpn-charon"),
    )
