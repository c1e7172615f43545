"""`python -m bench.capacity`: load with traffic, or rounds and reconnects."""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from bench.capacity.figures import Limit, Run, by_service, tables
from bench.capacity.growth import grown, growth
from bench.capacity.plot import svg
from bench.capacity.samples import read, sample, write
from bench.capacity.stage import PROFILES, ROOT, Place, Stage, camera, network_of, stage
from bench.machine import machine_facts
from bench.measure import say
from bench.stage import inspect, process_of

LOAD, GROWTH = Place("capacity", "198.18.16"), Place("growth", "198.18.17")
RESULTS = Path(__file__).parents[1] / "results"


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what was asked for."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # clean up, too
    fault: int = options.run(options)
    return fault


def load(options: argparse.Namespace) -> int:
    """Watch every container while all tunnels carry traffic."""
    with tempfile.TemporaryDirectory(prefix="capacity-") as made, ExitStack() as stack:
        folder = Path(made) / "stage"
        profiles = [*PROFILES]
        settings = dict(one.split("=", 1) for one in options.set)
        how = (options.tunnels, options.containers, profiles, options.dial_over, settings)
        here = stack.enter_context(stage(LOAD, folder, *how))
        pids = {service: here.pid(service) for service in here.services}
        limits = {service: _limit(service) for service in here.services}
        fewest = [here.up()]
        with _traffic(here, options.ping_every, options.picture_every) as told:
            say(f"{options.tunnels} tunnels are up; sampling for {options.minutes} min")

            def tell(at_s: float) -> None:
                fewest.append(here.up())
                if int(at_s) % 60 < 5:
                    say(f"{at_s:.0f} s: {fewest[-1]} up")

            taken = sample(pids, options.minutes * 60, tell)
        traffic = json.loads(told[0])
        facts = {
            "machine": machine_facts(),
            "tunnels": options.tunnels,
            "minutes": options.minutes,
            "settings": settings,
            "dialled_over_s": options.dial_over,
            "a_ping_every_s": options.ping_every,
            "a_picture_every_s": options.picture_every,
            "all_dialled_in_after_s": here.dialled_in_s,
            "restarted_while_they_dialled": [n for n, pid in pids.items() if pid != here.born[n]],
            "fewest_up_in_the_status": min(fewest),
            "live_at_the_hub_at_the_end": here.live(),
            "rounds": here.status()["reconciler"]["round"],
            "data_plane": here.status()["daemon"]["data_plane"],
            "limits": {service: asdict(limit) for service, limit in limits.items()},
            "traffic": traffic,
        }
    out = RESULTS / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-capacity-{options.tunnels}"
    out.mkdir(parents=True)
    write(out / "samples.csv", taken)
    (out / "facts.json").write_text(json.dumps(facts, indent=1) + "\n")
    return _show(out)


def grow(options: argparse.Namespace) -> int:
    """Compare before and after many rounds and reconnects; 1 if anything has grown."""
    with (
        tempfile.TemporaryDirectory(prefix="capacity-") as made,
        stage(GROWTH, Path(made) / "stage", options.tunnels, 2, hasty=True) as here,
    ):
        seen = growth(here, options.rounds, options.reconnects)
    RESULTS.mkdir(exist_ok=True)
    out = RESULTS / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-growth.json"
    out.write_text(json.dumps(asdict(seen) | {"tunnels": options.tunnels}, indent=1) + "\n")
    print(f"{seen.rounds} rounds, {seen.reconnects} reconnects over {options.tunnels} tunnels")
    for service, before in seen.before.items():
        after = seen.after[service]
        for name, value in asdict(before).items():
            print(f"  {service}, {name}: {value} before, {getattr(after, name)} after")
    print(f"all figures: {out}")
    faults = grown(seen)
    print("\n".join(faults or ["nothing has grown"]))
    return 1 if faults else 0


def _show(folder: Path, picture: Path | None = None) -> int:
    facts = json.loads((folder / "facts.json").read_text())
    limits = {service: Limit(**limit) for service, limit in facts.pop("limits").items()}
    run = Run(by_service(read(folder / "samples.csv")), limits)
    title = f"{facts['tunnels']:,} live tunnels with traffic through all of them"
    (picture or folder / "plot.svg").write_text(svg(run, title))
    print(tables(run))
    print(json.dumps(facts, indent=1))
    print(f"all figures: {folder}")
    return 0


@contextmanager
def _traffic(here: Stage, *every_s: float) -> Iterator[list[str]]:
    """Let cameras answer and the hub ask, until the end; what it saw is filled in then."""
    told: list[str] = []
    with ExitStack() as stack:
        for site in here.sites:
            stack.enter_context(_program(process_of(site.container), "bench.capacity.cameras"))
        pace = [str(one) for one in every_s]
        addresses = [camera(number) for number in here.numbers]
        with _program(here.pid("pause"), "bench.capacity.traffic", *pace, *addresses) as asking:
            yield told
            asking.terminate()
            told.append(asking.communicate(timeout=120)[0])
            if asking.returncode:
                raise RuntimeError(f"the traffic ended with {asking.returncode}")


@contextmanager
def _program(pid: int, module: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = (*network_of(pid), sys.executable, "-m", module, *arguments)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _limit(service: str) -> Limit:
    """Ask the engine what is in force."""
    host = inspect(LOAD.container(service))["HostConfig"]
    return Limit(host["Memory"], host["NanoCpus"] / 1e9)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.capacity",
        description="What the limits of compose.yaml are good for. Needs root, the Docker engine "
        "and the images of the project (scripts/setup). Everything is removed at the end.",
    )
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("load", help="live tunnels with traffic, every container watched")
    command.add_argument("--tunnels", type=int, default=100, metavar="N")
    command.add_argument("--minutes", type=float, default=12, metavar="N")
    command.add_argument("--containers", type=int, default=4, metavar="N", help="of the sites")
    command.add_argument(
        "--dial-over",
        type=float,
        default=0,
        metavar="SECONDS",
        help="the sites begin to dial one after the other, so long (default: all at once)",
    )
    command.add_argument("--ping-every", type=float, default=1, metavar="SECONDS")
    command.add_argument("--picture-every", type=float, default=60, metavar="SECONDS")
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a variable of compose.yaml; may be repeated",
    )
    command.set_defaults(run=load)
    command = commands.add_parser("growth", help="rounds and reconnects: does anything grow?")
    command.add_argument("--tunnels", type=int, default=10, metavar="N")
    command.add_argument("--rounds", type=int, default=10_000, metavar="N")
    command.add_argument("--reconnects", type=int, default=1_000, metavar="N")
    command.set_defaults(run=grow)
    command = commands.add_parser("show", help="tables and picture of an earlier load")
    command.add_argument("folder", type=Path)
    command.add_argument("--picture", type=Path, metavar="FILE")
    command.set_defaults(run=lambda options: _show(options.folder, options.picture))
    return parser


if __name__ == "__main__":
    sys.exit(main())
