"""Memory of the reconciler and of charon with live tunnels, under the limits of production."""

import json
import re
import time
from pathlib import Path
from typing import Any

from bench.cgroup import usage
from bench.fleet import manifest
from bench.measure import Ratio, Result, Series, say
from bench.stage import (
    HUB,
    HUB_LIMIT,
    HUB_LIMITS,
    RECONCILER,
    RECONCILER_LIMIT,
    SCRAPER,
    SHARED_INSIDE,
    Hub,
    hub,
    process_of,
    start_reconciler,
    start_sites,
    status_of,
    up_in_status,
)
from tests.docker import docker, eventually

TUNNELS = 100
SAMPLES, EVERY_S = 40, 1.0  # long enough for one health check, whose process counts too
RESYNC_S = 5
_SCRAPING = """
import itertools, time, urllib.request
for turn in itertools.count(1):
    for page in ("metrics", "status"):
        urllib.request.urlopen(f"http://127.0.0.1:9580/{page}").read()
    print(turn, flush=True)
    time.sleep(1)
"""


def memory(_runs: int) -> Result:
    """Sample both while rounds, scrapes and a health check go on."""
    with hub(*HUB_LIMITS) as stage:
        document = json.dumps(manifest(TUNNELS))
        stage.replace(stage.shared / "config" / "airports.json", document)
        start_reconciler(HUB, SHARED_INSIDE / "state" / "swanctl.conf", RESYNC_S)
        _start_scraper()
        # A plain charon that is refused does not dial again, so all must be loaded before.
        eventually(
            lambda: len(status_of(stage).get("connections", {})) == TUNNELS, 60, "all loaded"
        )
        start_sites(TUNNELS)
        eventually(lambda: up_in_status(stage) == TUNNELS, 120, "status says up", every_s=1)
        series = _sample()
        facts = _facts(stage)
    ratios = (
        Ratio(
            "reconciler, largest figure / 256 MB", _share("reconciler", series, RECONCILER_LIMIT)
        ),
        Ratio("charon, largest figure / 512 MB", _share("charon", series, HUB_LIMIT)),
    )
    return Result(f"memory at {TUNNELS} live tunnels", series, ratios, facts)


def _share(who: str, series: tuple[Series, ...], limit: int) -> float:
    """Compare with the limit. Shared files count in RSS for all, in a container for the first."""
    mine = [max(one.figures) for one in series if one.name.startswith(who)]
    return round(max(mine) / limit, 3)


def _sample() -> tuple[Series, ...]:
    say(f"sampling memory for {SAMPLES * EVERY_S:.0f} s")
    figures: dict[str, list[float]] = {}
    for _ in range(SAMPLES):
        for who, container in (("reconciler", RECONCILER), ("charon", HUB)):
            pid = process_of(container)
            figures.setdefault(f"{who}, process (RSS)", []).append(_resident(pid))
            for what, value in _charged(pid).items():
                figures.setdefault(f"{who}, container ({what})", []).append(value)
        time.sleep(EVERY_S)
    return tuple(Series(name, tuple(values), "bytes") for name, values in figures.items())


def _resident(pid: int) -> float:
    match = re.search(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return float(match[1]) * 1024 if match else 0.0


def _charged(pid: int) -> dict[str, float]:
    """Read what the kernel charges to the container, files it has read included."""
    seen = usage(pid)
    found = {"now": float(seen.memory_bytes)}
    return found if seen.peak_bytes is None else {**found, "peak": float(seen.peak_bytes)}


def _facts(stage: Hub) -> dict[str, Any]:
    status = status_of(stage)
    return {
        "tunnels up in the status file": up_in_status(stage),
        "data plane": status["daemon"]["data_plane"],
        "rounds made": status["reconciler"]["round"],
        "scrapes answered": int(docker("logs", "--tail", "1", SCRAPER) or 0),
        "limits in force": "reconciler 256 MB and 0.5 CPU, charon 512 MB and 1.0 CPU",
    }


def _start_scraper() -> None:
    """Ask the reconciler for everything, every second."""
    docker(
        *("run", "--detach", "--name", SCRAPER, "--network", f"container:{HUB}"),
        *("--restart", "on-failure", "--entrypoint", "python", "vpn-reconciler", "-c", _SCRAPING),
    )
