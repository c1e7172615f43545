"""`python -m bench`: run the benchmarks, print a table, write the figures as JSON."""

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from bench.cases import cold, observe, one_edit
from bench.machine import machine_facts
from bench.measure import Result, say, table
from bench.memory import memory
from bench.recovery import recovery
from bench.scrape import scrape

BENCHMARKS: dict[str, Callable[[int], Result]] = {
    "cold": cold,
    "edit": one_edit,
    "observe": observe,
    "scrape": scrape,
    "memory": memory,
    "recovery-1": partial(recovery, 1),
    "recovery-200": partial(recovery, 200),
}
RESULTS = Path(__file__).parent / "results"
_FEWEST_RUNS = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # clean up, too
    began_s = time.monotonic()
    facts = machine_facts()
    results = {name: BENCHMARKS[name](options.runs) for name in options.only or BENCHMARKS}
    path = _write(results, {"runs": options.runs, "machine": facts})
    print(table([*results.values()]))
    print(f"\nbelow 1 is better for the reconciler; all figures: {path}")
    say(f"took {time.monotonic() - began_s:.0f} s")
    return 0


def _write(results: dict[str, Result], around: dict[str, object]) -> Path:
    now = datetime.now(UTC)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{now:%Y%m%dT%H%M%SZ}.json"
    benchmarks = {name: result.as_json() for name, result in results.items()}
    document = {"date": now.isoformat(timespec="seconds"), **around, "benchmarks": benchmarks}
    path.write_text(json.dumps(document, indent=1) + "\n")
    return path


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Compare the reconciler with swanctl on the same charon, in ratios of one run.",
        epilog="Needs root, the Docker engine and the images of the project (scripts/setup). "
        "The containers are removed at the end. Nothing is asserted about time.",
    )
    parser.add_argument(
        "--only", action="append", choices=[*BENCHMARKS], help="one benchmark; may be repeated"
    )
    parser.add_argument(
        "--runs",
        type=_runs,
        default=7,
        metavar="N",
        help=f"runs of each side, at least {_FEWEST_RUNS} (default: %(default)s)",
    )
    return parser


def _runs(text: str) -> int:
    runs = int(text)
    if runs < _FEWEST_RUNS:
        raise argparse.ArgumentTypeError(f"at least {_FEWEST_RUNS}")
    return runs


if __name__ == "__main__":
    sys.exit(main())
