"""`python -m faults`: play the faults, write docs/faults.md and faults/figures.json."""

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.machine import machine_facts
from bench.measure import say
from faults import charon, docker_faults, files, reconciler_faults, sites, table
from faults.fault import Fault, Run
from faults.play import play_once
from faults.stage import Stage

FAULTS: dict[str, Fault] = {
    fault.name: fault
    for module in (charon, docker_faults, reconciler_faults, sites, files)
    for fault in module.FAULTS
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Play what was asked for; 1 if anything failed."""
    options = _parser().parse_args(arguments)
    if options.add or options.table:
        for path in options.add or ():
            table.add(path)
        table.write([*FAULTS.values()])
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # clean up, too
    if os.geteuid() != 0:
        say("faults: needs root, as it kills processes of containers")
        return 2
    began_s = time.monotonic()
    faults = [FAULTS[name] for name in options.only or FAULTS]
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        failed = _play_all(Stage(Path(folder) / "stack"), faults, options.times)
    say(f"took {(time.monotonic() - began_s) / 60:.0f} min")
    for name in failed:
        say(f"FAILED: {name}; evidence: test-artifacts/fault-{name}-*")
    return 1 if failed else 0


def _play_all(stage: Stage, faults: list[Fault], times: int) -> list[str]:
    stage.folder.mkdir()
    failed = []
    with stage.standing():
        machine = machine_facts()
        for fault in faults:
            if reason := fault.needs():
                say(f"{fault.name}: skipped: {reason}")
                table.note_skipped(fault, reason)
                continue
            runs = _play(stage, fault, min(times, fault.at_most))
            table.note(fault, runs, machine)
            table.write([*FAULTS.values()])
            if any(run.failure for run in runs):
                failed.append(fault.name)
    table.write([*FAULTS.values()])
    return failed


def _play(stage: Stage, fault: Fault, times: int) -> list[Run]:
    """Play it several times; what goes wrong around it is a failure of the run, too."""
    runs: list[Run] = []
    try:
        with fault.around(stage):
            for number in range(1, times + 1):
                run = play_once(stage, fault, number)
                runs.append(run)
                say(f"{fault.name} {number}/{times}: {table.sentence(run)}")
                if run.failure:
                    stage.recover()
    except Exception as error:  # noqa: BLE001 - the next fault is to be played all the same
        say(f"{fault.name}: {type(error).__name__}: {error}")
        runs.append(Run((), {}, None, f"could not be played: {error}"))
        _start_anew(stage)
    return runs


def _start_anew(stage: Stage) -> None:
    try:
        stage.start_anew()
    except Exception as error:  # noqa: BLE001 - the next fault will say so, too
        say(f"the stack can't be started: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m faults",
        description="Play faults on real containers, and measure what each costs.",
        epilog="Needs root, Docker and the images of the project (scripts/setup). "
        "Exit codes: 0 all held; 1 some did not; 2 usage.",
    )
    parser.add_argument(
        "--only", nargs="*", choices=[*FAULTS], metavar="NAME", help=f"of {', '.join(FAULTS)}"
    )
    parser.add_argument(
        "--times", type=int, default=10, metavar="N", help="runs of each (default: %(default)s)"
    )
    parser.add_argument(
        "--table", action="store_true", help="only write docs/faults.md from the last figures"
    )
    parser.add_argument(
        "--add",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="only take over the rows of other faults.json, measured elsewhere, and write the page",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
