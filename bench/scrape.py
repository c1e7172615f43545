"""What a scrape costs beside a full observation, and whether a round keeps it waiting."""

import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.fleet import HUB_ID, manifest
from bench.measure import Ratio, Result, Series, interleave, ratio_of_medians, say
from bench.ours import stopwatch
from bench.recorded import recorded_daemon
from reconciler.edges.http import HttpServer, metrics_answer
from reconciler.edges.metrics import Metrics
from reconciler.edges.vici_client import ViciClient
from reconciler.look import look
from reconciler.memory import Memory
from reconciler.round import Report, run_round
from reconciler.settings import Settings
from reconciler.wiring import real_world
from reconciler.world import World
from tests.fake_ike import FakeIke

SIZES = (100, 1000, 10_000)
_PATIENCE_S = 60.0
# A client of its own, as its reading would hold up the server's process.
_SCRAPER = """
import http.client, json, sys, time
port = int(sys.argv[1])
for line in sys.stdin:
    began_s = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/metrics", headers={"Accept-Encoding": line.strip()})
    body = connection.getresponse().read()
    took_s = time.perf_counter() - began_s
    connection.close()
    print(json.dumps([took_s, len(body)]), flush=True)
"""


class Scraper:
    """Asks for /metrics from a process of its own."""

    def __init__(self, port: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SCRAPER, str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.communicate()

    def scrape(self, encoding: str = "gzip") -> tuple[float, int]:
        """Return seconds until the whole answer was there, and its size."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(encoding + "\n")
        self._process.stdin.flush()
        took_s, size = json.loads(self._process.stdout.readline())
        return float(took_s), int(size)


class Reconciler:
    """A reconciler in this process, whose rounds find everything as declared and up."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.metrics = Metrics()
        self._memory = Memory()

    def round(self) -> float:
        """Make one as on the timer, publish it, and return its seconds."""
        self._memory, report = run_round(self.world, self._memory, {"timer"})
        self.metrics.publish(report.status, report.tallies, report.outcomes, report.took_s)
        _check(report)
        return report.took_s


def _check(report: Report) -> None:
    up = sum(one.status == "up" for one in report.status.connections.values())
    errors = report.status.reconciler.errors
    if up != len(report.status.connections) or report.outcomes or errors:
        raise RuntimeError(f"{up} up, {len(report.outcomes)} actions, errors: {errors}")


@contextmanager
def _reconciler(count: int) -> Iterator[Reconciler]:
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            config_path=Path(folder) / "airports.json",
            status_file=Path(folder) / "vpn-status.json",
            state_dir=Path(folder),
            swanctl_file=Path(folder) / "swanctl.conf",
            vici_socket=Path(folder) / "charon.vici",
            docker_host="",
            hub_id=HUB_ID,
        )
        settings.config_path.write_text(json.dumps(manifest(count)))
        world = replace(real_world(settings), read_hub_networks=dict)
        desired = look(replace(world, ike=FakeIke()), Memory(), deep=False).desired
        with recorded_daemon(settings.vici_socket, desired.values()):
            yield Reconciler(world)
            world.ike.close()


def scrape(runs: int) -> Result:
    """Compare at every size, and show the growth."""
    found = {count: _at(count, runs) for count in SIZES}
    series = tuple(one for at in found.values() for one in at.series)
    ratios = tuple(one for at in found.values() for one in at.ratios)
    facts = {key: value for at in found.values() for key, value in at.facts.items()}
    growth = tuple(
        Ratio(
            f"growth from {small:,} to {large:,} connections: {what}",
            round(found[large].series[n].median / found[small].series[n].median, 2),
        )
        for n, what in enumerate(("scrape", "observation"))
        for small, large in pairwise(SIZES)
    )
    return Result("a scrape of /metrics beside a full observation", series, ratios + growth, facts)


def _at(count: int, runs: int) -> Result:
    with _reconciler(count) as ours:
        say(f"{count} connections, all up")
        ours.round()
        client = ViciClient(str(ours.world.settings.vici_socket))
        ours.world.ike.close()  # the daemon serves one client at a time
        server = HttpServer(
            ("127.0.0.1", 0), {"/metrics": lambda: metrics_answer(ours.metrics.parts())}
        )
        server.start()
        try:
            with Scraper(server.port) as scraper:
                return _measure(count, runs, ours, client, scraper)
        finally:
            server.stop()


def _measure(
    count: int, runs: int, ours: Reconciler, client: ViciClient, scraper: Scraper
) -> Result:
    def observation() -> float:
        began_s = stopwatch()
        seen = client.observe(deep=True)
        took_s = stopwatch() - began_s
        if (len(seen.connections), len(seen.sas)) != (count, count):
            raise RuntimeError(f"saw {len(seen.connections)} connections, {len(seen.sas)} SAs")
        return took_s

    sides = {
        f"{count}: scrape": lambda: scraper.scrape()[0],
        f"{count}: full observation": observation,
    }
    told, observed = interleave("scrape", sides, runs)
    client.close()
    alone, scraped, meanwhile = _rounds(ours, scraper, runs)
    series = (
        *(told, observed),
        Series(f"{count}: scrape while a round runs", tuple(meanwhile)),
        Series(f"{count}: round alone", tuple(alone)),
        Series(f"{count}: round while scraped without a pause", tuple(scraped)),
    )
    facts = {
        f"{count}: lines": ours.metrics.text().count(b"\n"),
        f"{count}: bytes, bytes compressed": [scraper.scrape(kind)[1] for kind in ("", "gzip")],
        f"{count}: scrapes answered while {runs} rounds ran": len(meanwhile),
    }
    return Result("", series, (ratio_of_medians(told, observed),), facts)


def _rounds(
    ours: Reconciler, scraper: Scraper, runs: int
) -> tuple[list[float], list[float], list[float]]:
    """Make rounds, every other one under scrapes; return the times of both, and of the scrapes."""
    alone: list[float] = []
    scraped: list[float] = []
    meanwhile: list[float] = []
    for _ in range(runs):
        alone.append(ours.round())
        ended = threading.Event()

        def scraped_round(ended: threading.Event = ended) -> None:
            scraped.append(ours.round())
            ended.set()

        thread = threading.Thread(target=scraped_round)
        thread.start()
        while not ended.is_set():
            took_s = scraper.scrape()[0]
            if not ended.is_set():  # what was answered after the end proves nothing
                meanwhile.append(took_s)
        thread.join(_PATIENCE_S)
    return alone, scraped, meanwhile
