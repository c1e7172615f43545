"""The latest lines of a log: bounded, and never in anybody's way."""

import json
import logging
import os
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from reconciler.core.mask import Mask
from reconciler.core.routine import is_routine
from reconciler.edges import logs as logs_module
from reconciler.edges.logs import JsonFormatter
from reconciler.edges.recent_log import (
    RecentLog,
    RecentLogHandler,
    charon_line,
    earlier,
    read_recent,
    recent_file,
)
from reconciler.recent import CHARON, RecentLogs, charon_said
from tests.docker import eventually


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return recent_file(tmp_path, "reconciler")


@pytest.fixture
def recent(path: Path) -> Iterator[RecentLog]:
    recent = RecentLog(path, most_bytes=1000, pause_s=0.01)
    recent.start()
    yield recent
    recent.stop()


def lines(path: Path) -> list[str]:
    try:
        return read_recent(path).decode().splitlines()
    except FileNotFoundError:
        return []


def test_lines_are_there_soon_and_only_we_may_read_them(recent: RecentLog, path: Path) -> None:
    recent.add("one")
    recent.add("two")
    eventually(lambda: lines(path) == ["one", "two"], 5)
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_file_never_grows_beyond_its_bound(recent: RecentLog, path: Path) -> None:
    def written(number: int) -> bool:
        return f"line {number:04}" in (lines(path) or [""])[-1]

    for number in range(400):
        recent.add(f"line {number:04} {'x' * 40}")
        if number % 10 == 9:
            eventually(partial(written, number), 5, every_s=0.005)
    assert earlier(path).stat().st_size < 2000
    assert sum(file.stat().st_size for file in path.parent.iterdir()) < 4000
    assert lines(path)[-1].startswith("line 0399")


def test_the_latest_bytes_begin_with_a_whole_line(path: Path) -> None:
    earlier(path).write_text("one\ntwo\n")
    path.write_text("three\nfour\n")
    assert read_recent(path) == b"one\ntwo\nthree\nfour\n"
    assert read_recent(path, 13) == b"three\nfour\n"


def test_a_file_that_can_not_be_written_costs_lines_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "away" / "x.log"
    recent = RecentLog(path, pause_s=0.01)
    recent.start()
    recent.add("lost")
    path.parent.mkdir()

    def written() -> bool:
        recent.add("kept")
        return "kept" in lines(path)

    eventually(written, 5)
    recent.stop()


def test_a_disk_that_stalls_holds_up_nobody_and_what_is_too_much_is_counted(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stalled, released = threading.Event(), threading.Event()
    write = os.write

    def stall(descriptor: int, content: bytes) -> int:
        stalled.set()
        released.wait()
        return write(descriptor, content)

    monkeypatch.setattr("reconciler.edges.recent_log.os.write", stall)
    recent = RecentLog(path, pause_s=0.0)
    recent.start()
    recent.add("first")
    assert stalled.wait(5)
    for number in range(700):
        recent.add(str(number))
    released.set()
    eventually(lambda: "left out" in (lines(path) or [""])[-1], 5)
    assert json.loads(lines(path)[-1])["count"] == 200
    recent.stop()


def test_what_still_waits_is_written_at_the_end(path: Path) -> None:
    recent = RecentLog(path, pause_s=60)
    recent.start()
    recent.add("one")
    eventually(lambda: lines(path) == ["one"], 5)
    recent.add("two")
    recent.stop()
    assert lines(path) == ["one", "two"]


def test_a_link_is_not_followed(recent: RecentLog, path: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("")
    path.symlink_to(target)
    recent.add("one")
    recent.stop()
    assert target.read_text() == ""


def test_our_own_lines_are_as_in_the_log(recent: RecentLog, path: Path) -> None:
    handler = RecentLogHandler(recent, JsonFormatter())
    record = logging.LogRecord("x", logging.INFO, "", 0, "action", None, None)
    record.fields = {"connection": "kspb_vpn"}
    handler.emit(record)
    eventually(lambda: lines(path), 5)
    assert json.loads(lines(path)[0])["connection"] == "kspb_vpn"


@pytest.mark.parametrize(
    ("connection", "words", "routine"),
    [
        ("kspb_vpn", "sending DPD request", True),
        ("kspb_vpn", "generating INFORMATIONAL request 7 [ ]", True),
        ("kspb_vpn", "parsed INFORMATIONAL response 7 [ ]", True),
        ("kspb_vpn", "sending packet: from 10.0.0.1[500] to 10.0.0.2[500] (76 bytes)", True),
        ("kspb_vpn", "parsed INFORMATIONAL request 2 [ D ]", False),
        ("kspb_vpn", "parsed INFORMATIONAL response 2 [ N(AUTH_FAILED) ]", False),
        ("", "received packet: from 10.0.0.2[500] to 10.0.0.1[500] (76 bytes)", False),
        ("kspb_vpn", "giving up after 3 retransmits", False),
    ],
)
def test_signs_of_life_of_known_peers_are_not_kept(
    connection: str, words: str, routine: bool
) -> None:
    assert is_routine(connection, words) is routine


def test_what_charon_said_of_one_connection_begins_before_it_had_a_name(tmp_path: Path) -> None:
    logs = RecentLogs(tmp_path)
    logs.start()
    logs.hear("IKE", "", "12", "10.0.0.2 is initiating an IKE_SA")
    logs.hear("IKE", "", "13", "10.0.0.3 is initiating an IKE_SA")
    logs.hear("IKE", "kspb_vpn", "12", "tried 1 shared key for 'x', but MAC mismatched\x1b[2J")
    logs.hear("IKE", "kspb_vpn", "12", "sending DPD request")
    logs.stop()
    said = charon_said(tmp_path, "kspb_vpn", 10)
    assert [line.words for line in said] == [
        "10.0.0.2 is initiating an IKE_SA",
        "tried 1 shared key for 'x', but MAC mismatched?[2J",
    ]
    assert len(charon_said(tmp_path, "kspb_vpn", 1)) == 1
    assert charon_said(tmp_path, "kczk_vpn", 10) == ()
    recent_file(tmp_path, CHARON).write_text(
        'garbage\n[]\n{}\n{"ike_sa": 7, "connection": "kspb_vpn"}\n'
    )
    assert charon_said(tmp_path, "kspb_vpn", 10) == ()
    assert charon_said(tmp_path / "none", "kspb_vpn", 10) == ()


def test_a_line_of_charons_is_one_line() -> None:
    assert "\n" not in charon_line("IKE", "kspb_vpn", "1", "a\nb")


def test_a_key_in_what_charon_says_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "correct-horse-battery-0001"
    monkeypatch.setattr(logs_module, "_mask", Mask().also([key]))
    logs = RecentLogs(tmp_path)
    logs.start()
    logs.hear("CFG", "", "12", f"looking for peer configs matching '{key}'")
    logs.stop()
    assert key not in recent_file(tmp_path, CHARON).read_text()


def test_a_line_that_can_not_be_formatted_harms_nobody(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    handler = RecentLogHandler(RecentLog(path), logs_module.JsonFormatter())
    record = logging.LogRecord("x", logging.INFO, "x", 1, "%d of %d", ("one",), None)
    handler.handle(record)
