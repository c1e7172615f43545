"""Fuzzing, coverage-guided: `python -m tests.fuzz --inputs 100000 --target airports vici`.

A failing input is left under tests/fuzz/found/; put it, as small as it gets, into a test.
"""

import argparse
import hashlib
import importlib
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz import bench
from tests.fuzz.targets import TARGETS

FOUND = Path(__file__).parent / "found"
# One input may take so long before it counts as a hang, on a machine that does other things, too.
LONGEST_S = 30
MOST_MB = 2048
LONGEST_BYTES = 4096
_DONE = re.compile(r"^(?:Done |#|stat::number_of_executed_units:\s+)(\d+)", re.MULTILINE)
_NO_ATHERIS = (
    "atheris is not installed, so the mutations are blind. There are wheels for Linux on x86-64 "
    "with Python 3.11 to 3.13, which `make fuzz` installs."
)


def main() -> int:
    """Run the targets one after another, each with as many inputs."""
    parser = argparse.ArgumentParser(description="Coverage-guided fuzzing of what comes in.")
    parser.add_argument("--inputs", type=int, default=100_000, help="of each target")
    parser.add_argument("--target", nargs="+", choices=TARGETS, dest="targets")
    parser.add_argument("--blind", action="store_true", help="without looking at the coverage")
    options = parser.parse_args()
    blind = options.blind
    if not blind and importlib.util.find_spec("atheris") is None:
        print(_NO_ATHERIS)
        blind = True
    FOUND.mkdir(exist_ok=True)
    results = [_run(target, options.inputs, blind=blind) for target in options.targets or TARGETS]
    total = sum(count for count, _ in results)
    failed = [
        target
        for target, (_, well) in zip(options.targets or TARGETS, results, strict=True)
        if not well
    ]
    print(f"{total} inputs in all; failed: {', '.join(failed) or 'none'}")
    return 1 if failed else 0


def _run(target: str, inputs: int, *, blind: bool) -> tuple[int, bool]:
    """Return how many inputs were tried, and whether all went well."""
    with (
        tempfile.TemporaryDirectory(prefix=f"corpus-{target}-") as corpus,
        tempfile.TemporaryDirectory(prefix="fuzz-", dir=bench.memory()) as directory,
    ):
        for seed in importlib.import_module(f"tests.fuzz.{target}").seeds():
            (Path(corpus) / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
        began_s = time.monotonic()
        command = [sys.executable, "-m", *_arguments(target, corpus, inputs, blind=blind)]
        count, tail = 0, list[str]()
        environment = {**os.environ, bench.DIRECTORY: directory}
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment
        ) as child:
            assert child.stdout is not None
            for raw in child.stdout:
                line = raw.decode(errors="replace")
                tail = [*tail[-40:], line]
                if found := _DONE.match(line):
                    count = int(found[1])
                    print(f"{target}: {line}", end="", flush=True)
        took_s = time.monotonic() - began_s
        if child.returncode:
            print("".join(tail))
        words = "ok" if child.returncode == 0 else f"FAILED; see {FOUND}"
        print(f"{target}: {count} inputs, {count / took_s:.0f} a second: {words}", flush=True)
        return count, child.returncode == 0


def _arguments(target: str, corpus: str, inputs: int, *, blind: bool) -> list[str]:
    prefix = f"{FOUND}/{target}-"
    if blind:
        return ["tests.fuzz.blind", target, corpus, str(inputs), prefix, str(LONGEST_S)]
    return [
        *("tests.fuzz.cover", target, corpus),
        *(f"-runs={inputs}", f"-timeout={LONGEST_S}", f"-rss_limit_mb={MOST_MB}"),
        *(f"-max_len={LONGEST_BYTES}", f"-artifact_prefix={prefix}"),
    ]


if __name__ == "__main__":
    sys.exit(main())
