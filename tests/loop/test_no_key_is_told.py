"""Whatever fails, and wherever a key got to: nobody is told of it, nor of a part of it.

Keys are put for real into every place where they may get to. Then the log in both formats, the
status, the metrics, the answers by HTTP, the journal and what commands print are searched for them,
plain and disguised.
"""

import io
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter

from reconciler.core.mask import Mask
from reconciler.core.reasons import Code, Failure
from reconciler.edges import logs
from reconciler.edges.http import Answer
from reconciler.edges.metrics import Metrics
from reconciler.errors import IkeRefused, IkeUnreachable
from reconciler.loop import Loop
from reconciler.service import _end_when_a_thread_dies
from reconciler.wakes import Wakes
from reconciler.world import World
from tests.builders import document, vpn
from tests.docker import eventually
from tests.edges.test_logs import logging_to
from tests.leaks import ODD, PSK, leaked
from tests.worlds import Bench

KEYS = [PSK, ODD]


@contextmanager
def both_formats(stream: io.StringIO) -> Iterator[None]:
    """Log everything twice: as JSON, and for people."""
    with logging_to(stream, "json", "debug"):
        handler = logging.StreamHandler(stream)
        handler.setFormatter(logs.HumanFormatter())
        logging.getLogger().addHandler(handler)
        yield


def _body(answer: Answer) -> bytes:
    body = answer[2]
    return body if isinstance(body, bytes) else b"".join(body)


class Told:
    """All that one reconciler says."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.stream = io.StringIO()
        self.metrics, self.wakes, self.stopping = Metrics(), Wakes(), threading.Event()
        self.answers = list[bytes]()

    def rounds(self) -> None:
        """Let the loop make a round or two, whether they fail or not."""
        with both_formats(self.stream):
            loop = Loop(self.world, self.wakes, self.metrics, self.stopping)
            thread = threading.Thread(target=loop.run)
            thread.start()
            try:
                eventually(lambda: self._made() > 0, 20, "a round")
                self.answers = [_body(loop.health.healthy()), _body(loop.status_answer())]
            finally:
                self.stopping.set()
                self.wakes.wake("SIGTERM")
                thread.join(20)

    def _made(self) -> float:
        results = ("ok", "charon_unreachable", "failed")
        find = self.metrics.registry.get_sample_value
        return sum(find("vpn_rounds_total", {"result": result}) or 0 for result in results)

    @property
    def world(self) -> World:
        return replace(self.bench.world, hide=logs.hide, stopping=self.stopping.is_set)

    def check(self, *keys: str) -> str:
        """Find no key anywhere; return the log."""
        log = self.stream.getvalue()
        directory = self.bench.settings.status_file.parent
        places = {
            "log": log,
            "metrics": self.metrics.text().decode(),
            "http": b"".join(self.answers).decode(),
            "status": "".join(path.read_text() for path in directory.iterdir()),
            "journal": "".join(
                path.read_text() for path in self.bench.settings.state_dir.glob("history*")
            ),
        }
        for place, text in places.items():
            found = leaked(text, *keys)
            assert not found, f"{found!r} of a key is in: {place}: {text[-3000:]}"
        return log


@pytest.fixture
def told(bench: Bench) -> Told:
    bench.keep_journal()
    return Told(bench)


@pytest.fixture(autouse=True)
def _own_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put back what is masked, which is a matter of the whole process."""
    monkeypatch.setattr(logs, "_mask", logs._mask)


TEXT = json.dumps(document(kspb=vpn(1, psk=PSK), kczk=vpn(2, psk=ODD)), indent=1)
FILES = {
    "cut off": TEXT[: TEXT.index(PSK) + 20],
    "a comma too many": TEXT.replace("}", ",}", 1),
    "quotes missing": TEXT.replace(f'"{PSK}"', PSK),
    "only the key": PSK,
    "only the key as text": json.dumps(PSK),
    "a list": json.dumps([PSK]),
    "no UTF-8": TEXT.encode("utf-16").decode("latin-1"),
    "airports is the key": json.dumps({"airports": PSK}),
    "an airport is the key": json.dumps({"airports": {"kspb": PSK}}),
    "vpn is the key": json.dumps({"airports": {"kspb": {"vpn": PSK}}}),
    "twice": TEXT.replace('"kczk"', '"kspb"'),
    "nested": "[" * 100_000 + PSK,
    "a number": TEXT.replace(f'"{PSK}"', "9" * 5000),
}


@pytest.mark.parametrize("content", FILES.values(), ids=FILES)
@pytest.mark.parametrize("known", [True, False], ids=["in force", "never seen"])
def test_a_file_that_can_not_be_used(told: Told, content: str, known: bool) -> None:
    if known:
        told.bench.declare(kspb=vpn(1, psk=PSK), kczk=vpn(2, psk=ODD))
        told.bench.round()
    told.bench.settings.config_path.write_bytes(content.encode(errors="surrogateescape"))
    told.rounds()
    assert "configuration fault" in told.check(*KEYS)


FIELDS: dict[str, dict[str, Any]] = {
    "type": {"type": PSK},
    "remote_subnet": {"remote_subnet": PSK},
    "a list of subnets": {"remote_subnet": ["192.168.1.0/24", PSK, ODD]},
    "swapped": {"remote_subnet": PSK, "psk": "192.168.1.0/24"},
    "remote_id": {"remote_id": PSK + "!"},
    "connection_name": {"connection_name": PSK + "!"},
    "remote_address": {"remote_address": PSK},
    "encryption": {"encryption": PSK, "dh_group": ODD},
    "numbers": {"lifetime": PSK, "ike_version": ODD, "rekey_after": PSK},
    "the name of a key": {PSK: ODD},
    "a misspelt key": {"pskk": PSK, "psk": ...},
    "a line break": {"psk": PSK + "\n"},
    "a list": {"psk": [PSK, ODD]},
    "an object": {"psk": {"value": PSK}},
    "a file": {"psk": ..., "psk_file": "/" + PSK},
    "both": {"psk_file": PSK, "psk": ODD},
    "too long": {"psk": PSK * 50},
}


@pytest.mark.parametrize("changes", FIELDS.values(), ids=FIELDS)
def test_a_key_in_a_wrong_place_of_an_airport(told: Told, changes: dict[str, Any]) -> None:
    told.bench.declare(kspb=vpn(1, **{"psk": PSK, **changes}), kczk=vpn(2))
    told.rounds()
    assert "configuration fault" in told.check(*KEYS)


WORDS: dict[str, dict[str, Any]] = {
    "the airport's name": {"name": PSK},
    "in the airport's name": {"name": f"Scappoose {ODD}"},
    "a camera's name": {"webcams": [{"name": PSK, "url": "http://192.168.1.4/"}]},
    "a camera's path": {"webcams": [{"name": "North", "url": f"http://192.168.1.4/{PSK}"}]},
    "a camera's password": {"webcams": [{"name": "North", "url": f"http://a:{PSK}@192.168.1.4/"}]},
}


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
def test_a_key_in_what_people_read_of_an_airport(told: Told, words: dict[str, Any]) -> None:
    content = document(kspb=vpn(1, psk=PSK), kczk=vpn(2, psk=ODD))
    content["airports"]["kspb"] |= words
    told.bench.settings.config_path.write_text(json.dumps(content))
    told.rounds()
    told.check(*KEYS)
    assert told.bench.connection().airport_name or "webcams" in words


REFUSALS: dict[str, Exception] = {
    "refused": IkeRefused(f"loading shared key '{PSK}' failed"),
    "refused, as JSON": IkeRefused(json.dumps({"data": PSK, "other": ODD})),
    "refused, as bytes": IkeRefused(repr({"data": PSK.encode(), "other": ODD.encode()})),
    "unreachable": IkeUnreachable(f"VICI at /run/charon.vici: {PSK} {ODD!r}"),
}


@pytest.mark.parametrize("error", REFUSALS.values(), ids=REFUSALS)
@pytest.mark.parametrize("request_", ["load_connection", "load_secret", "observe"])
def test_charon_repeats_a_key(told: Told, error: Exception, request_: str) -> None:
    told.bench.declare(kspb=vpn(1, psk=PSK), kczk=vpn(2, psk=ODD))
    if request_ == "observe" and isinstance(error, IkeRefused):
        error = IkeUnreachable(str(error))
    told.bench.ike.faults = {request_: error}
    told.rounds()
    assert "***" in told.check(*KEYS)


def test_a_router_calls_itself_by_its_key(told: Told) -> None:
    told.bench.declare(kspb=vpn(1, psk=PSK))
    told.bench.round()
    for name, code in (("kspb_vpn", Code.WRONG_PSK), ("", Code.UNKNOWN_ID)):
        words = f"no matching peer config found for '{PSK}'"
        told.bench.evidence.note(
            Failure(name, code, words, 1.0, "198.51.100.7", claimed_id=PSK, asked_id=PSK)
        )
    told.rounds()
    log = told.check(PSK)
    assert "failed attempt" in log
    assert "***" in log
    assert told.bench.status.strangers[0].claimed_id == "***"


class Strict(BaseModel):
    """A model that shows what it was given, as pydantic's models do unless told not to."""

    psk: int


def _validation_error() -> None:
    Strict.model_validate({"psk": PSK, "other": ODD})


def _long_validation_error() -> None:
    """Of a long value pydantic shows the beginning and the end."""
    TypeAdapter(int).validate_python({"psk": PSK, "padding": "x" * 200, "next_psk": ODD})


def _json_error() -> None:
    json.loads(TEXT.replace(":", "", 3))


def _shown_document() -> None:
    try:
        _json_error()
    except json.JSONDecodeError as error:
        raise ValueError(error.doc) from error


def _key_error() -> None:
    dict[bytes, int]()[PSK.encode()]


def _in_the_locals() -> None:
    psk, other = PSK, ODD
    assert psk == other, (psk, other)


def _noted() -> None:
    error = OSError(28, "No space left", f"/tmp/{PSK}")  # noqa: S108
    error.add_note(f"while loading {ODD}")
    raise error


def _chained() -> None:
    try:
        _key_error()
    except KeyError as error:
        raise RuntimeError("a bug") from error


def _grouped() -> None:
    raise ExceptionGroup(PSK, [ValueError(ODD), TypeError(repr([PSK]))])


BUGS = [
    *(_validation_error, _long_validation_error, _json_error, _shown_document, _key_error),
    *(_in_the_locals, _noted, _chained, _grouped),
]


class Raising:
    """Raises at the next look at charon, in the midst of a round, with keys in its locals."""

    def __init__(self, bench: Bench, bug: Callable[[], None]) -> None:
        self._observe, self._bug = bench.ike.observe, bug

    def observe(self, *, deep: bool) -> Any:
        psk = PSK
        self._bug()
        return self._observe(deep=deep), psk


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_a_bug_in_a_round(told: Told, bug: Callable[[], None]) -> None:
    told.bench.declare(kspb=vpn(1, psk=PSK), kczk=vpn(2, psk=ODD))
    told.rounds()
    told.stopping.clear()
    told.bench.ike.observe = Raising(told.bench, bug).observe  # type: ignore[method-assign]
    told.metrics = Metrics()
    told.rounds()
    assert "round failed" in told.check(*KEYS)


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_a_bug_in_a_thread(log_format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    logs.hide(Mask().also(KEYS))
    stream = io.StringIO()
    with logging_to(stream, log_format):
        dead = _end_when_a_thread_dies(threading.Event(), Wakes())
        for bug in BUGS:
            thread = threading.Thread(target=bug, name=bug.__name__)
            thread.start()
            thread.join()
    assert len(dead) == len(BUGS)
    assert not leaked(stream.getvalue(), *KEYS), stream.getvalue()


def test_no_value_of_a_line_shows_a_key_however_deep_it_stands() -> None:
    logs.hide(Mask().also(KEYS))
    values: list[Any] = [PSK, [PSK], {"a": {"b": (ODD,)}}, {PSK}, PSK.encode(), ValueError(ODD)]
    for log_format in ("json", "text"):
        stream = io.StringIO()
        with logging_to(stream, log_format):
            for value in values:
                logs.log.warning("fault", extra={"fields": {"value": value, "count": 1}})
        assert not leaked(stream.getvalue(), *KEYS), stream.getvalue()
        assert stream.getvalue().count("***") >= len(values)


@dataclass(frozen=True)
class Commands:
    """The real command in a process of its own."""

    directory: Path

    def run(self, *arguments: str) -> str:
        environment = {
            **os.environ,
            "DOCKER_HOST": "",
            "CONFIG_PATH": str(self.directory / "airports.json"),
            "STATUS_FILE": str(self.directory / "vpn-status.json"),
            "STATE_DIR": str(self.directory),
            "SWANCTL_FILE": str(self.directory / "swanctl.conf"),
            "VICI_SOCKET": str(self.directory / "no.vici"),
        }
        done = subprocess.run(
            [sys.executable, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return done.stdout + done.stderr


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    return Commands(tmp_path)


@pytest.mark.parametrize(
    "command", ["validate", "plan", "apply", "status", "pause kspb", "history"]
)
def test_commands_on_a_file_with_keys_in_wrong_places(commands: Commands, command: str) -> None:
    bodies = [vpn(1, **{"psk": PSK, **changes}) for changes in FIELDS.values()]
    airports = {f"k{number}": body for number, body in enumerate(bodies)}
    (commands.directory / "airports.json").write_text(json.dumps(document(**airports)))
    commands.run("-m", "reconciler", "apply")
    printed = commands.run("-m", "reconciler", *command.split())
    assert printed.strip()
    assert not leaked(printed, *KEYS), printed


CRASH = """
import sys
from reconciler import cli
from reconciler.core import check
import reconciler.cli

def crash(*_):
    psk = {key!r}
    raise LookupError("unexpected " + repr([psk]))

reconciler.cli.decide = crash
sys.exit(cli.main(["validate", "--log-format", {log_format!r}]))
"""


@pytest.mark.parametrize("log_format", ["json", "text"])
@pytest.mark.parametrize("key", KEYS, ids=["plain", "odd"])
def test_a_bug_that_ends_a_command(commands: Commands, log_format: str, key: str) -> None:
    (commands.directory / "airports.json").write_text(json.dumps(document(kspb=vpn(1, psk=key))))
    printed = commands.run("-c", CRASH.format(key=key, log_format=log_format))
    assert "unexpected error" in printed
    assert "LookupError" in printed
    assert not leaked(printed.replace(f"psk = {key!r}", ""), key), printed
