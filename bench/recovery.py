"""How long the tunnels are gone when charon is killed: with the reconciler, and without it.

Both sides are the same container with the same saved connections, which charon loads at its own
start. Without the reconciler that is all there is, so it is the limit for anybody.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from bench.fleet import CAMERA, HUB_LAN_ADDRESS, airport_id, manifest
from bench.measure import Result, interleave, ratio_of_medians
from bench.stage import (
    HOLDER,
    HUB,
    HUB_LIMITS,
    RECONCILER,
    SAVED,
    SITES,
    Hub,
    hub,
    inspect,
    live_tunnels,
    process_of,
    start_reconciler,
    start_sites,
    status_of,
    up_in_status,
)
from reconciler.edges.vici_client import ViciClient
from reconciler.errors import IkeRefused, IkeUnreachable
from tests.charon import answers
from tests.docker import docker, eventually, run

SAVED_INSIDE = Path("/etc/vpn/swanctl.conf")
RESYNC_S = 30
# Docker waits longer before each restart of a container that has run for less than ten seconds.
_RUN_BEFORE_S = 12.0
_POLL_S = 0.05
_REDIAL_S = 0.2
_PATIENCE_S = 180
# The sites ask again soon, so that the figures show the hub and not their pauses.
_IMPATIENT = {
    "retransmit_timeout = 2.0": "retransmit_timeout = 0.3",
    "retransmit_base = 1.5": "retransmit_base = 1.0",
    "retransmit_tries = 3": "retransmit_tries = 20",
}
_STRONGSWAN_CONF = Path(__file__).parents[1] / "images" / "charon" / "strongswan.conf"


class Sites:
    """Sites that notice the loss of the hub at once, and dial until they are in again."""

    def __init__(self, socket: Path, count: int) -> None:
        self._client = ViciClient(str(socket))
        self._names = [airport_id(number) for number in range(count)]
        self._stopping = threading.Event()
        self._lost = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sites", daemon=True)
        self._thread.start()

    def lose(self) -> None:
        """Forget every tunnel, and dial anew."""
        self._lost.set()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(_REDIAL_S):
            if self._lost.is_set():
                self._lost.clear()
                for name in self._names:
                    self._client.end_all(name)
            dialling = {sa.name for sa in self._client.observe(deep=False).sas}
            for name in self._names:
                if name not in dialling:
                    with suppress(IkeRefused):
                        self._client.start_child(name, "lan")


class Fleet:
    """A hub under its restart policy, its sites, and a reconciler that is there or not."""

    def __init__(self, stage: Hub, sites: Sites, count: int) -> None:
        self._stage = stage
        self._sites = sites
        self._count = count
        self._client = ViciClient(str(stage.socket), deadline_s=2.0)

    def with_reconciler(self) -> float:
        """Measure one loss while the reconciler runs."""
        docker("start", RECONCILER)
        began = time.time()
        self._wait(lambda: status_of(self._stage)["timestamp"] > began, "a new status")
        self._wait(lambda: up_in_status(self._stage) == self._count, "all up in the status")
        return self._measure()

    def without(self) -> float:
        """Measure one loss while charon is alone."""
        docker("stop", RECONCILER)
        return self._measure()

    def _measure(self) -> float:
        self._wait(self._all_up, "all tunnels up")
        self._wait(lambda: _has_run_s(HUB) > _RUN_BEFORE_S, "the hub has run for a while")
        charon = process_of(HUB)
        began_s = time.monotonic()
        os.kill(charon, signal.SIGKILL)
        self._sites.lose()
        pinger = _first_ping() if self._count == 1 else None
        self._wait(self._all_up, "all tunnels up again")
        ended_s = time.monotonic()
        if process_of(HUB) == charon:
            raise RuntimeError("charon was not restarted")
        if pinger is not None:
            ended_s = max(ended_s, float(pinger.communicate(timeout=_PATIENCE_S)[0]))
        return ended_s - began_s

    def _all_up(self) -> bool:
        try:
            return live_tunnels(self._client) == self._count
        except IkeUnreachable:
            return False

    def _wait(self, check: Callable[[], bool], what: str) -> None:
        eventually(check, _PATIENCE_S, what, every_s=_POLL_S)


def recovery(count: int, runs: int) -> Result:
    """Kill charon with so many live tunnels."""
    restart = ("--restart", "unless-stopped", "--volume", f"{SAVED}:/etc/vpn:ro")
    with _fleet(count, *restart) as fleet:
        sides = {
            "with the reconciler": fleet.with_reconciler,
            "charon alone, same saved file": fleet.without,
        }
        ours, limit = interleave(f"recovery of {count}", sides, runs)
    ends = "INSTALLED at the hub, and a ping through it" if count == 1 else "INSTALLED at the hub"
    facts = {"from": "kill -9 of charon", "until": f"every CHILD_SA is {ends}"}
    title = f"charon killed, {count} live tunnel{'s' if count > 1 else ''}"
    return Result(title, (ours, limit), (ratio_of_medians(ours, limit),), facts)


@contextmanager
def _fleet(count: int, *options: str) -> Iterator[Fleet]:
    with hub(*HUB_LIMITS, *options, held=True) as stage:
        document = json.dumps(manifest(count))
        stage.replace(stage.shared / "config" / "airports.json", document)
        volume = ("--volume", f"{SAVED}:{SAVED_INSIDE.parent}")
        start_reconciler(HOLDER, SAVED_INSIDE, RESYNC_S, *volume)
        eventually(lambda: _declared(stage) == count, 60, "all loaded")
        sites = Sites(_start_impatient_sites(stage, count), count)
        try:
            yield Fleet(stage, sites, count)
        finally:
            sites.stop()


def _declared(stage: Hub) -> int:
    return len(status_of(stage).get("connections", {}))


def _start_impatient_sites(stage: Hub, count: int) -> Path:
    text = _STRONGSWAN_CONF.read_text()
    for patient, impatient in _IMPATIENT.items():
        if patient not in text:
            raise RuntimeError(f"{_STRONGSWAN_CONF} has no {patient!r}")
        text = text.replace(patient, impatient)
    path = stage.shared / "peer" / "strongswan.conf"
    stage.replace(path, text)
    socket = start_sites(count, "--volume", f"{path}:/etc/strongswan.conf:ro")
    eventually(lambda: answers(socket), 30, "the sites' charon answers")
    _inside(SITES, "ip", "address", "add", f"{CAMERA}/32", "dev", "lo")
    _inside(HOLDER, "ip", "address", "add", f"{HUB_LAN_ADDRESS}/32", "dev", "lo")
    return socket


def _inside(container: str, *command: str) -> None:
    run(*_network_of(container), *command)


def _network_of(container: str) -> tuple[str, ...]:
    return ("nsenter", f"--net=/proc/{process_of(container)}/ns/net")


def _first_ping() -> subprocess.Popen[str]:
    """Ping the first site's camera from now on; the first answer's time is printed."""
    command = (*_network_of(HOLDER), sys.executable, "-m", "bench.first_ping", CAMERA)
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _has_run_s(container: str) -> float:
    started = str(inspect(container)["State"]["StartedAt"])
    # Docker gives nanoseconds.
    begun = datetime.fromisoformat(started[:19] + "+00:00")
    return (datetime.now(UTC) - begun).total_seconds()
