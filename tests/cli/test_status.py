"""`reconciler status`: what is wrong comes first, for the tunnels asked for, on any terminal."""

import argparse
import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reconciler.core.reasons import Code, Side
from reconciler.core.status import ConnectionStatus, Status
from reconciler.edges.status_file import write_status
from reconciler.layout import width
from reconciler.show import seconds
from reconciler.terminal import wants_colour
from reconciler.text import View, status_text
from tests.cli.conftest import Installation
from tests.docker import eventually
from tests.edges.test_status_file import CONNECTION, status

NOW = int(time.time())


@pytest.fixture(autouse=True)
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the tests before took, the statuses of these are as old as they say."""
    monkeypatch.setattr(time, "time", lambda: float(NOW))


WRONG = "the site has another key than the declared one: from 203.0.113.9"


def tunnel(airport: str, **changes: object) -> ConnectionStatus:
    names = {"airport_id": airport, "connection_name": f"{airport}_vpn", "since": NOW - 7300}
    return CONNECTION.model_copy(update={**names, **changes})


def down(airport: str, **changes: object) -> ConnectionStatus:
    made = {
        "status": "down",
        "reason": WRONG,
        "reason_code": Code.WRONG_PSK,
        "who_must_act": Side.SITE,
    }
    return tunnel(airport, **{**made, **changes})


def document(*connections: ConnectionStatus, age_s: int = 0, **changes: object) -> Status:
    named = {one.connection_name: one for one in connections}
    return status(NOW - age_s).model_copy(update={"connections": named, **changes})


FLEET = (
    tunnel("kaaa"),
    tunnel("kbbb", health_check="fail"),
    down("kccc", status="connecting"),
    down("kddd"),
)


def first_words(text: str) -> list[str]:
    return [line.split()[0] for line in text.splitlines() if line.startswith("k")]


def test_what_is_down_comes_first_then_what_is_coming_then_what_is_not_well() -> None:
    assert first_words(status_text(document(*FLEET), NOW)) == ["kddd", "kccc", "kbbb", "kaaa"]


@pytest.mark.parametrize("columns", [44, 80, 120, 200])
@pytest.mark.parametrize("count", [3, 300])
def test_no_line_is_wider_than_the_terminal_and_the_reason_is_whole(
    columns: int, count: int
) -> None:
    fleet = [tunnel(f"k{n:03}") for n in range(count - 2)]
    fleet += [down("kddd"), down("東京", connection_name="haneda_vpn")]
    text = status_text(document(*fleet), NOW, View(columns=columns, colour=False))
    assert max(map(width, text.splitlines())) <= columns
    assert " ".join(text.split()).count(WRONG.split(":")[0].split()[-1]) >= 2
    heading = text.splitlines()[0]
    for line in text.splitlines():
        if line.startswith("kddd"):
            assert line[heading.index("STATUS") - 2 :].split()[:3] == ["down", "2h", "site"] or (
                line.split()[2:4] == ["down", "2h"]
            )
    assert ("SENT" in heading, "PEER" in heading) == (columns > 80, columns > 80)


def test_a_long_table_says_once_more_at_its_end_what_is_not_up() -> None:
    fleet = [*(tunnel(f"k{n:03}") for n in range(40)), down("kddd")]
    assert "not up: kddd 2h (site)" in status_text(document(*fleet), NOW).splitlines()
    assert "not up:" not in status_text(document(*fleet[-2:]), NOW)


def test_on_a_low_screen_what_is_wrong_stays_and_the_rest_is_counted() -> None:
    fleet = [*(tunnel(f"k{n:03}") for n in range(40)), down("kddd")]
    lines = status_text(document(*fleet), NOW, View(columns=80, rows=12)).splitlines()
    assert len(lines) <= 12
    assert lines[1].startswith("kddd")
    more = next(line for line in lines if line.startswith("… and"))
    listed = sum(line.startswith("k") for line in lines)
    assert more == f"… and {41 - listed} more tunnels"


def test_what_nobody_could_look_at_is_unknown_and_not_down() -> None:
    unseen = document(
        down("kddd", observed=False),
        daemon=status().daemon.model_copy(update={"reachable": False, "error": "no answer"}),
    )
    lines = status_text(unseen, NOW).splitlines()
    assert lines[0] == "charon can't be asked: no answer"
    assert lines[2].split()[2:4] == ["unknown", "-"], "since when nobody knows"


def test_an_old_status_is_marked_in_every_line_and_tells_the_times_of_then() -> None:
    lines = status_text(document(*FLEET, age_s=3600), NOW, View(stale=True)).splitlines()
    assert lines[0].startswith("STALE, written 60m ago: how it was then.")
    assert lines[2].split()[2:4] == ["down?", "61m"]


@pytest.mark.parametrize(
    ("choice", "environment", "terminal", "expected"),
    [
        ("auto", {}, True, True),
        ("auto", {}, False, False),
        ("auto", {"NO_COLOR": "1"}, True, False),
        ("auto", {"NO_COLOR": ""}, True, True),
        ("auto", {"TERM": "dumb"}, True, False),
        ("always", {"NO_COLOR": "1"}, False, True),
        ("never", {}, True, False),
    ],
)
def test_colours_are_for_terminals_that_want_them(
    choice: str, environment: dict[str, str], terminal: bool, expected: bool
) -> None:
    class Stream(type(sys.stdout)):  # type: ignore[misc]
        def isatty(self) -> bool:
            return terminal

    stream = Stream.__new__(Stream)
    assert wants_colour(choice, stream, environment) is expected


@pytest.fixture
def fleet(installation: Installation) -> Installation:
    configuration = status().configuration.model_copy(
        update={"airports_disabled": ("koff",), "airports_invalid": ("kbad",)}
    )
    write_status(installation.status, document(*FLEET, configuration=configuration))
    return installation


@pytest.mark.parametrize(
    ("arguments", "listed", "code"),
    [
        ([], ["kddd", "kccc", "kbbb", "kaaa"], 1),
        (["kaaa"], ["kaaa"], 0),
        (["kaaa_vpn", "kddd"], ["kddd", "kaaa"], 1),
        (["k[ab]*"], ["kbbb", "kaaa"], 0),
        (["--not-up"], ["kddd", "kccc"], 1),
        (["--not-up", "kaaa"], [], 0),
        (["--state", "down"], ["kddd"], 1),
        (["--state", "up"], ["kbbb", "kaaa"], 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_some_can_be_asked_for_and_the_code_is_about_those_that_are_named(
    fleet: Installation, arguments: list[str], listed: list[str], code: int
) -> None:
    answer = fleet.run("status", *arguments)
    assert (first_words(answer.out), answer.code) == (listed, code)
    as_json = fleet.run("status", "--json", *arguments)
    assert as_json.code == code
    assert sorted(json.loads(as_json.out)["connections"]) == sorted(f"{one}_vpn" for one in listed)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("kxxx", "'kxxx' is no connection or airport of this status"),
        ("koff", "koff: is switched off in airports.json, so there is no tunnel"),
        ("kbad", "kbad: its declaration has errors, so there is no tunnel"),
    ],
)
def test_a_name_without_a_tunnel_is_1_and_says_why(
    fleet: Installation, name: str, words: str
) -> None:
    answer = fleet.run("status", name)
    assert answer.code == 1
    assert words in answer.err


def test_colour_can_be_asked_for_in_a_pipe(fleet: Installation) -> None:
    assert "\x1b[31mdown" in fleet.run("status", "--colour=always").out
    assert "\x1b" not in fleet.run("status", "--color=auto").out


@pytest.mark.parametrize("text", ["", "x", "0", "-1", "1e9", "nan"])
def test_an_interval_is_seconds(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        seconds(text)


class Terminal:
    """A command on a terminal of its own; `seen` is all that it wrote."""

    def __init__(self, process: subprocess.Popen[bytes], descriptor: int) -> None:
        self.process = process
        self._descriptor = descriptor
        self.seen = ""

    def wait_for(self, words: str) -> None:
        def read() -> bool:
            try:
                self.seen += os.read(self._descriptor, 65536).decode(errors="replace")
            except BlockingIOError:
                pass
            except OSError:
                return True  # it has ended
            return words in self.seen

        eventually(read, 30, f"{words!r} on the terminal", every_s=0.02)
        assert words in self.seen

    def resize(self, columns: int, rows: int) -> None:
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(self._descriptor, termios.TIOCSWINSZ, size)


@contextmanager
def terminal(installation: Installation, *arguments: str) -> Iterator[Terminal]:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-m", "reconciler", *arguments, f"--status-file={installation.status}"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**environment, "TERM": "xterm"},
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        cwd=Path(__file__).parents[2],
    )
    os.close(theirs)
    os.set_blocking(ours, False)
    try:
        yield Terminal(process, ours)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_watching_draws_over_itself_and_gives_the_terminal_back(
    fleet: Installation, number: signal.Signals, code: int
) -> None:
    with terminal(fleet, "status", "--watch", "--interval", "0.2") as seen:
        seen.wait_for("2 of 4 up")
        assert seen.seen.startswith("\x1b[?1049h\x1b[?25l\x1b[H")
        write_status(fleet.status, document(*FLEET[:2]))
        seen.wait_for("2 of 2 up")
        fleet.status.unlink()
        seen.wait_for("No such file")
        assert "\x1b[2J" not in seen.seen, "clearing the screen is what flickers"
        seen.process.send_signal(number)
        assert seen.process.wait(10) == code
        seen.wait_for("\x1b[?25h\x1b[?1049l")


def test_watching_follows_the_size_of_the_terminal_at_once(fleet: Installation) -> None:
    with terminal(fleet, "status", "--watch", "--interval", "3600") as seen:
        seen.wait_for("2 of 4 up")
        assert "RECEIVED" not in seen.seen
        seen.resize(200, 24)
        seen.wait_for("RECEIVED")
