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

from bench.fleet import HUB_ID, sites_swanctl
from bench.measure import say
from reconciler.edges.vici_client import ViciClient
from tests.charon import answers
from tests.docker import docker, eventually, volume_path

HUB, SITES, RECONCILER, SCRAPER = "bench-hub", "bench-sites", "bench-reconciler", "bench-scraper"
HOLDER = "bench-holder"
NETWORK = "bench-net"
VICI, SHARED, SITES_CONFIG = "bench-vici", "bench-shared", "bench-sites-config"
SAVED, SITES_VICI = "bench-saved", "bench-sites-vici"
HUB_ADDRESS = "198.18.0.2"  # of the range for benchmarks of networks (RFC 2544)
SHARED_INSIDE = Path("/shared")
HUB_LIMIT, RECONCILER_LIMIT = 512 * 2**20, 256 * 2**20
HUB_LIMITS = ("--memory", str(HUB_LIMIT), "--cpus", "1.0")
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
    docker("rm", "--force", "--volumes", SCRAPER, RECONCILER, SITES, HUB, HOLDER, check=False)
    volumes = (VICI, SHARED, SITES_CONFIG, SAVED, SITES_VICI)
    docker("volume", "rm", "--force", *volumes, check=False)
    docker("network", "rm", NETWORK, check=False)


@contextmanager
def hub(*options: str, held: bool = False) -> Iterator[Hub]:
    """Start a charon with nothing loaded, on a network that leads nowhere.

    `held`: a container beside it keeps network and address, so that it can be restarted.
    """
    clean_up()
    try:
        docker("network", "create", "--internal", "--subnet", _SUBNET, NETWORK)
        docker("volume", "create", VICI)
        docker("volume", "create", SHARED)
        volumes = ("--volume", f"{VICI}:/run/vici", "--volume", f"{SHARED}:{SHARED_INSIDE}")
        network: tuple[str, ...] = ("--network", NETWORK, "--ip", HUB_ADDRESS)
        if held:
            docker("run", "--detach", "--name", HOLDER, *network, "vpn-pause")
            network = ("--network", f"container:{HOLDER}")
        _start_charon(HUB, *network, *volumes, *options)
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


def start_sites(count: int, *options: str) -> Path:
    """Start one more charon which plays that many sites, all of which dial the hub.

    Return its socket.
    """
    say(f"{count} sites dial in")
    docker("volume", "create", SITES_CONFIG)
    docker("create", "--name", SITES, "--volume", f"{SITES_CONFIG}:/etc/vpn", "vpn-charon")
    docker("rm", SITES)  # the volume now has the folder of the image, with its owner
    folder = volume_path(SITES_CONFIG)
    path = folder / "swanctl.conf"
    path.write_text(sites_swanctl(range(count), HUB_ADDRESS))
    os.chown(path, folder.stat().st_uid, folder.stat().st_gid)
    path.chmod(0o600)
    docker("volume", "create", SITES_VICI)
    volumes = ("--volume", f"{SITES_CONFIG}:/etc/vpn:ro", "--volume", f"{SITES_VICI}:/run/vici")
    _start_charon(SITES, "--network", NETWORK, *volumes, *options)
    return volume_path(SITES_VICI) / "charon.vici"


def start_reconciler(network: str, swanctl_file: Path, resync_s: int, *options: str) -> None:
    """Run the image beside the hub, under the limits of production."""
    settings = {
        "CONFIG_PATH": SHARED_INSIDE / "config" / "airports.json",
        "STATUS_FILE": SHARED_INSIDE / "cache" / "vpn-status.json",
        "STATE_DIR": SHARED_INSIDE / "state",
        "SWANCTL_FILE": swanctl_file,
        "RESYNC_SECONDS": resync_s,
        "HUB_ID": HUB_ID,
    }
    environment = [word for key, value in settings.items() for word in ("--env", f"{key}={value}")]
    docker(
        *("run", "--detach", "--name", RECONCILER, "--network", f"container:{network}"),
        *("--memory", str(RECONCILER_LIMIT), "--cpus", "0.5", "--cap-drop", "ALL", "--read-only"),
        *("--volume", f"{VICI}:/run/vici", "--volume", f"{SHARED}:{SHARED_INSIDE}"),
        *(*environment, *options, "vpn-reconciler"),
    )


def status_of(stage: Hub) -> dict[str, Any]:
    """Read the reconciler's status file; empty while there is none."""
    path = stage.shared / "cache" / "vpn-status.json"
    status: dict[str, Any] = json.loads(path.read_bytes()) if path.exists() else {}
    return status


def up_in_status(stage: Hub) -> int:
    """Count the tunnels that the reconciler calls up."""
    connections = status_of(stage).get("connections", {}).values()
    return sum(connection["status"] == "up" for connection in connections)


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
        *("run", "--detach", "--name", name, "--cap-drop", "ALL"),
        *("--cap-add", "NET_ADMIN", "--cap-add", "NET_BIND_SERVICE", "--device", "/dev/net/tun"),
        *("--env", "DATAPLANE=userspace", "--no-healthcheck", *options, "vpn-charon"),
    )
