"""One reconciler on its bench for a whole run of a target, and all that is told after a round."""

import atexit
import io
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import copy, deepcopy
from functools import cache
from pathlib import Path
from typing import Any

from reconciler.core.families import Snapshot, parts
from reconciler.core.mask import Mask
from reconciler.core.status import Status
from reconciler.edges.logs import HumanFormatter, JsonFormatter, hide
from reconciler.round import Report
from reconciler.text import status_text
from tests.fake_ike import FakeIke
from tests.fuzz import oracles
from tests.fuzz.airports import BYSTANDERS, judge_message
from tests.worlds import Bench, FakeClock

# Names a place that whoever started the fuzzer removes: that one ends without a last word.
DIRECTORY = "FUZZ_DIRECTORY"
_COLOUR = re.compile("\x1b\\[(3[13]|0)m")


class StrictIke(FakeIke):
    """A charon that reads every message as it goes over the wire."""

    def load_connection(self, name: str, settings: Mapping[str, Any]) -> None:
        judge_message({name: settings})
        super().load_connection(name, settings)


class _Strict(logging.StreamHandler[io.StringIO]):
    """Hides no fault of a formatter."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - its name there
        raise AssertionError(record.msg)


def memory() -> Path | None:
    """Return where files are in memory; None: nowhere."""
    found = Path("/dev/shm")  # noqa: S108 - nothing but made-up values is written there
    return found if os.access(found, os.W_OK) else None


@cache
def directory() -> Path:
    """Return a place in memory, if there is one: each round writes several files."""
    if given := os.environ.get(DIRECTORY):
        return Path(given)
    made = tempfile.mkdtemp(prefix="fuzz-", dir=memory())
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return Path(made)


def fresh() -> Bench:
    """Return a reconciler that knows nothing, and finds nothing on its volumes."""
    for name in ("config", "cache", "state", "vpn"):
        shutil.rmtree(directory() / name, ignore_errors=True)
    return Bench(directory(), ike=StrictIke(), clock=FakeClock())


@contextmanager
def listening() -> Iterator[io.StringIO]:
    """Collect the log, in both formats."""
    stream = io.StringIO()
    handlers: list[logging.Handler] = []
    for formatter in (JsonFormatter(), HumanFormatter()):
        handler = _Strict(stream)
        handler.setFormatter(formatter)
        handlers.append(handler)
    ours = logging.getLogger("reconciler")
    before, ours.handlers, ours.propagate = ours.handlers, handlers, False
    level = ours.level
    ours.setLevel(logging.DEBUG)
    try:
        yield stream
    finally:
        ours.handlers, ours.propagate = before, True
        ours.setLevel(level)
        hide(Mask())


@cache
def _with_bystander() -> tuple[Bench, dict[Path, bytes]]:
    """Return a reconciler with one good airport, whose tunnel is up, and its files."""
    made = fresh()
    made.declare(bystander=BYSTANDERS)
    made.rounds(2)
    made.ike.dial_in("bystander_vpn")
    made.round()
    files = [path for path in directory().rglob("*") if path.is_file()]
    return made, {path: path.read_bytes() for path in files}


def with_bystander() -> Bench:
    """Return one whose only tunnel is up, and which has been so for some rounds."""
    first, files = _with_bystander()
    made = fresh()
    for path, content in files.items():
        path.write_bytes(content)
        path.chmod(0o600)
    made.ike, made.memory, made.clock = deepcopy(first.ike), first.memory, copy(first.clock)
    return made


def judge_round(bench: Bench, report: Report) -> Status:
    """Look at all that a round tells: status, metrics and what the command line shows."""
    content = bench.settings.status_file.read_bytes()
    oracles.assert_untold(content)
    oracles.strict_json(content)
    status = Status.model_validate_json(content)
    assert status == report.status
    text = "".join(parts(Snapshot(report.status, report.tallies)))
    oracles.assert_untold(text)
    found = oracles.samples(text)
    tunnels = {
        (labels["airport"], labels["connection"])
        for name, labels in ((name, dict(labels)) for name, labels in found)
        if name == "vpn_connection_desired"
    }
    assert tunnels == {(one.airport_id, name) for name, one in status.connections.items()}
    shown = status_text(status, bench.clock.now())
    oracles.assert_untold(shown)
    assert all(map(str.isprintable, shown.split("\n"))), "the terminal would be told more"
    return status


def judge_log(stream: io.StringIO) -> None:
    """Every line is one line; those that begin as JSON are that."""
    oracles.assert_untold(stream.getvalue())
    for line in _COLOUR.sub("", stream.getvalue()).split("\n"):
        assert line.isprintable(), line
        if line.startswith("{"):
            assert isinstance(oracles.strict_json(line, halves=True), dict)
