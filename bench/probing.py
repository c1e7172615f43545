"""What it costs to probe 1,000 connections every 30 s, and whether a round is late for it."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from ipaddress import ip_address

from bench.cases import CONNECTIONS, Bench
from bench.measure import Result, interleave, ratio_of_medians, say
from bench.ours import Rounds, logging_to, stopwatch, world_of
from bench.stage import hub
from reconciler.core.camera_url import CameraUrl, parse_camera_url
from reconciler.core.probing import OF_CONNECTION, Key, Kind, Probe
from reconciler.edges.ask import ask
from reconciler.edges.probes import Prober
from tests.docker import eventually

INTERVAL_S = 30.0
CAMERA_INTERVAL_S = 120.0
_WATCHED_S = 60.0
_CAMERAS = """
import asyncio, sys
PICTURE = b"HTTP/1.1 200 OK\\r\\nContent-Type: image/jpeg\\r\\n\\r\\n" + b"x" * 60000

async def answers(reader, writer):
    if await reader.readline():
        writer.write(PICTURE)
    writer.close()

async def hangs(reader, writer):
    await asyncio.sleep(60)

async def main():
    for kind in (answers, hangs):
        server = await asyncio.start_server(kind, "127.0.0.1", 0, backlog=4096)
        print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.sleep(3600)

asyncio.run(main())
"""


def probing(runs: int) -> Result:
    """Compare rounds with and without probes, and count the processor time of probes alone."""
    with cameras() as (answering, hanging), prober_running() as prober:
        shares = {
            "processor, connections": _share_of_a_core(prober, connection_probes(answering)),
            "processor, connections and a picture of each every 120 s": _share_of_a_core(
                prober, connection_probes(answering) | camera_probes(answering)
            ),
            "processor, connections, and no camera answers": _share_of_a_core(
                prober, connection_probes(answering) | camera_probes(hanging)
            ),
        }
        with hub() as stage, logging_to(stage.shared / "log"):
            bench = Bench(stage)
            bench.declare()
            rounds = Rounds(world_of(stage))
            rounds.until_nothing_is_left({"start"})

            def one_round(probes: dict[Key, Probe]) -> float:
                prober.watch({})
                prober.watch(probes)
                began_s = stopwatch()
                rounds.until_nothing_is_left({"timer"})
                return stopwatch() - began_s

            hung = connection_probes(answering) | camera_probes(hanging)
            sides = {
                "round, nothing is probed": lambda: one_round({}),
                "round, all are probed": lambda: one_round(connection_probes(answering)),
                "round, all cameras hang": lambda: one_round(hung),
            }
            series = interleave("probing", sides, max(runs, 11))
    alone, probed, hangs = series
    facts = {
        **{name: f"{share * 100:.1f} % of one core" for name, share in shares.items()},
        "before each round": "all probes are new, so they are made within five seconds",
    }
    ratios = (ratio_of_medians(probed, alone), ratio_of_medians(hangs, alone))
    return Result(
        f"probing {CONNECTIONS} connections every {INTERVAL_S:.0f} s", series, ratios, facts
    )


@contextlib.contextmanager
def cameras() -> Iterator[tuple[int, int]]:
    """Run cameras in another process: one port gives a picture, the other one never answers."""
    process = subprocess.Popen(
        [sys.executable, "-c", _CAMERAS], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline()), int(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


@contextlib.contextmanager
def prober_running() -> Iterator[Prober]:
    """Run the real prober, as `reconciler run` does."""
    prober = Prober(ask)
    prober.start()
    try:
        yield prober
    finally:
        prober.stop()
        prober.join(10)


def connection_probes(port: int) -> dict[Key, Probe]:
    """Return the probe of every connection; all lead to this machine."""
    return _probes(OF_CONNECTION, "tcp", port, INTERVAL_S)


def camera_probes(port: int) -> dict[Key, Probe]:
    """Return one camera of every connection."""
    return _probes(0, "http", port, CAMERA_INTERVAL_S)


def _probes(number: int, kind: Kind, port: int, interval_s: float) -> dict[Key, Probe]:
    url = parse_camera_url(f"http://127.0.0.1:{port}/snapshot.jpg")
    assert isinstance(url, CameraUrl)
    made = (
        Probe((f"n{n}", number), kind, ip_address("127.0.0.1"), port, interval_s, url)
        for n in range(CONNECTIONS)
    )
    return {probe.key: probe for probe in made}


def _share_of_a_core(prober: Prober, probes: dict[Key, Probe]) -> float:
    """Count the processor time of this process, in which nothing else is done, over a minute."""
    prober.watch({})
    prober.watch(probes)
    connections = {key for key in probes if key[1] == OF_CONNECTION}
    eventually(lambda: connections <= prober.records().keys(), 60, "all were probed once")
    say(f"probing for {_WATCHED_S:.0f} s")
    began_s, used_s = time.monotonic(), time.process_time()
    made = sum(prober.results.values())
    time.sleep(_WATCHED_S)
    took_s = time.monotonic() - began_s
    say(f"{sum(prober.results.values()) - made} probes")
    return (time.process_time() - used_s) / took_s
