"""The journal survives kills, full and slow disks, damage and time; what it keeps is bounded."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.core.transitions import Tail, Transition
from reconciler.edges import journal as module
from reconciler.edges.journal import Entry, Journal, journal_file, read_journal
from reconciler.errors import StateError
from tests.docker import eventually
from tests.edges.test_status_file import no_room_for, thread_names

NOW = 1_800_000_000
DOWN = Transition(NOW, "up", "down", "dead-peer", 'it said "bye\\" from 198.51.100.7, ünï')
UP = Transition(NOW + 60, "down", "up")
AIRPORTS = {"kspb_vpn": "kspb", "kczk_vpn": "kczk"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return journal_file(tmp_path)


@pytest.fixture
def journal(path: Path) -> Journal:
    return Journal(path)


def add(journal: Journal, *ones: Transition, name: str = "kspb_vpn") -> list[str]:
    """Hand it over, wait, and return what is told."""
    journal.add({name: ones} if ones else {}, {}, AIRPORTS)
    assert journal.flush()
    return journal.errors()


def read(path: Path, name: str = "kspb_vpn") -> list[Transition]:
    return [entry.transition for entry in read_journal(path) if entry.connection == name]


def test_what_is_added_is_read_back_in_its_order(journal: Journal, path: Path) -> None:
    assert add(journal, DOWN) == []
    assert add(journal, UP) == []
    assert [*read_journal(path)] == [Entry("kspb_vpn", "kspb", one) for one in (DOWN, UP)]
    assert path.stat().st_mode & 0o777 == 0o600
    assert all(line.isascii() for line in path.read_text().splitlines())


def test_nothing_is_written_when_nothing_changed(journal: Journal, path: Path) -> None:
    add(journal)
    assert not path.exists()
    add(journal, DOWN)
    before = path.stat()
    add(journal)
    assert path.stat() == before


def test_a_successor_goes_on_where_it_ended(path: Path) -> None:
    add(Journal(path), DOWN)
    successor = Journal(path)
    assert successor.recall(50) == {"kspb_vpn": (DOWN,)}
    add(successor, UP)
    assert read(path) == [DOWN, UP]


def test_without_a_file_nothing_is_recalled(journal: Journal, path: Path) -> None:
    assert journal.recall(50) == {}
    assert [*read_journal(path)] == []


@pytest.mark.parametrize("reads_first", [True, False])
def test_half_a_line_at_any_byte_costs_that_line_only(path: Path, reads_first: bool) -> None:
    add(Journal(path), DOWN)
    whole = path.read_bytes()
    add(Journal(path), UP)
    both = path.read_bytes()
    for end in range(len(whole), len(both)):
        path.write_bytes(both[:end])
        assert read(path) == [DOWN]
        successor = Journal(path)
        if reads_first:
            assert successor.recall(50) == {"kspb_vpn": (DOWN,)}
        assert add(successor, UP) == []
        assert path.read_bytes() == both
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


WRITER = """
import sys
from pathlib import Path
from reconciler.core.transitions import Transition
from reconciler.edges.journal import Journal
journal = Journal(Path(sys.argv[1]), slack_lines=20)
journal.recall(50)
number = int(sys.argv[2])
print("begun", flush=True)
while True:
    number += 1
    one = Transition(number, "up", "down", "dead-peer", "x" * (number % 300))
    journal.add({"kspb_vpn": (one,)}, {"kspb_vpn": (one,)}, {"kspb_vpn": "kspb"})
    journal.flush()
    print(number, flush=True)
"""


def test_a_kill_at_any_moment_loses_nothing_that_was_written(path: Path) -> None:
    """Killed while it adds, and while it writes the file anew, which here is every 70 lines."""
    told = 0
    for attempt in range(5):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(told)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout
        assert process.stdout.readline() == "begun\n"
        for _ in range(40 + 37 * attempt):
            told = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        rest = process.communicate()[0].split("\n")
        told = max([told, *(int(line) for line in rest[:-1])])
        kept = [one.at for one in read(path)]
        assert kept[-1] in (told, told + 1)
        assert kept == [*range(kept[0], kept[-1] + 1)]
        assert len(kept) >= min(50, told)
        assert len(path.read_bytes().splitlines()) <= 122
        told = kept[-1]
    assert add(Journal(path), UP) == []
    assert {entry.name for entry in path.parent.iterdir()} <= {path.name, f".{path.name}.draft"}


@pytest.mark.parametrize("room", [0, 1, 100, 250])
def test_on_a_full_volume_it_is_told_and_written_when_there_is_room_again(
    journal: Journal, path: Path, room: int
) -> None:
    add(journal, DOWN)
    before = path.read_bytes()
    with no_room_for(len(before) + room):
        for _ in range(3):
            journal.add({}, {}, AIRPORTS)
            told = add(journal, *(Transition(n, "up", "down") for n in range(3)))
            assert told == [f"{path}: File too large"]
        assert path.read_bytes() == before
    assert add(journal) == []
    assert [one.at for one in read(path)] == [NOW, *range(3), *range(3), *range(3)]


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EIO, errno.ENOSPC])
def test_a_volume_that_takes_nothing_is_told_for_as_long_as_it_does(
    journal: Journal, path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> int:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refuse)
        for _ in range(3):
            assert add(journal, DOWN) == [f"{path}: {os.strerror(number)}"]
        assert add(journal) == [f"{path}: {os.strerror(number)}"]
    assert add(journal) == []
    assert add(journal) == []
    assert read(path) == [DOWN] * 3


def test_without_a_directory_it_is_told(tmp_path: Path) -> None:
    lost = Journal(journal_file(tmp_path / "missing"))
    assert "No such file or directory" in add(lost, DOWN)[0]
    (tmp_path / "missing").mkdir()
    assert add(lost) == []
    assert read(journal_file(tmp_path / "missing")) == [DOWN]


def test_what_can_not_be_read_is_an_error(tmp_path: Path, path: Path) -> None:
    path.mkdir()
    with pytest.raises(StateError, match="Is a directory"):
        Journal(path).recall(50)
    with pytest.raises(StateError, match="Is a directory"):
        [*read_journal(path)]


def test_a_directory_in_the_way_is_moved_aside(journal: Journal, path: Path) -> None:
    path.mkdir()
    assert add(journal, DOWN) == []
    assert read(path) == [DOWN]
    assert len([*path.parent.glob("*.in-the-way-*")]) == 1


class StallingDisk:
    """A disk that can be stalled."""

    def __init__(self) -> None:
        self.goes_on = threading.Event()

    def sync(self, descriptor: int) -> None:
        assert self.goes_on.wait(30)
        os.fdatasync(descriptor)


def test_a_disk_that_stalls_holds_nobody_up_is_told_and_gets_everything_in_the_end(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = StallingDisk()
    journal = Journal(path, patience_s=0.1, sync=disk.sync)
    monkeypatch.setattr(module, "_STALLED_AFTER_S", 0.2)
    began_s = time.monotonic()
    for number in range(100):
        journal.add({"kspb_vpn": (Transition(number, "up", "down"),)}, {}, AIRPORTS)
    assert time.monotonic() - began_s < 1
    eventually(lambda: "does not end" in "".join(journal.errors()), 5, "told")
    assert not journal.flush()
    assert sum(name == "history" for name in thread_names()) == 1
    disk.goes_on.set()
    eventually(lambda: len(read(path)) == 100, 5, "written")
    assert [one.at for one in read(path)] == [*range(100)]
    eventually(lambda: journal.errors() == [], 5, "no longer told")
    eventually(lambda: "history" not in thread_names(), 5, "the thread has ended")


def test_a_volume_that_stalls_does_not_hold_up_the_start(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(StateError, match="reading it does not end; is the disk well"):
        Journal(path, patience_s=0.05).recall(50)
    os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
    eventually(lambda: "history-recall" not in thread_names(), 5, "the thread has ended")


def test_what_waits_for_a_disk_is_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = StallingDisk()
    journal = Journal(path, patience_s=0.05, sync=disk.sync)
    journal.add({"kspb_vpn": (DOWN,)}, {}, AIRPORTS)
    many = tuple(Transition(number, "up", "down") for number in range(30_000))
    journal.add({"kczk_vpn": many}, {"kczk_vpn": many[-5:]}, AIRPORTS)
    assert len(journal._waiting) <= 20_000
    disk.goes_on.set()
    eventually(lambda: many[-1] in read(path, "kczk_vpn"), 60, "the newest are written")


GARBAGE = [
    b"{}\n",
    b"\0" * 512 + b"\n",
    b'{"connection_name":"kspb_vpn"}\n',
    b"\xff\xfe\n",
    b"garbage without an end",
    b'{"connection_name":"kspb_vpn","airport_id":"' + b"\0" * 200,
    b'{"connection_name":"kspb_vpn","airport_id":"k","at":1,"from_status":"up","to_status":"gone",'
    b'"reason_code":"","reason":""}\n',
    b'{"connection_name":"k\\ud","airport_id":"k","at":1,"from_status":"up","to_status":"down",'
    b'"reason_code":"","reason":""}\n',
]


@pytest.mark.parametrize("garbage", GARBAGE, ids=range(len(GARBAGE)))
def test_damage_is_told_once_what_is_whole_is_kept_and_the_damaged_file_is_left_behind(
    path: Path, garbage: bytes
) -> None:
    add(Journal(path), DOWN, UP)
    first, second = path.read_bytes().splitlines(keepends=True)
    damaged = first + second + garbage if not garbage.endswith(b"\n") else first + garbage + second
    path.write_bytes(damaged)
    successor = Journal(path)
    assert successor.recall(50) == {"kspb_vpn": (DOWN, UP)}
    aside = path.with_name("history.jsonl.damaged")
    assert add(successor) == [
        f"{path}: 1 of 3 lines were damaged; it is begun anew with the others, and left as {aside}"
    ]
    assert (read(path), aside.read_bytes()) == ([DOWN, UP], damaged)
    assert add(successor, UP) == []
    assert read(path) == [DOWN, UP, UP]
    assert {entry.name for entry in path.parent.iterdir()} == {path.name, aside.name}


def test_damage_done_while_it_runs_is_found_at_the_next_write(journal: Journal, path: Path) -> None:
    add(journal, DOWN)
    with path.open("ab") as file:
        file.write(b"oops\n")
    assert "1 of 2 lines were damaged" in add(journal, UP)[0]
    assert read(path) == [DOWN, UP]


@pytest.mark.parametrize("content", [None, b""], ids=["deleted", "emptied"])
def test_a_file_that_is_lost_while_it_runs_begins_with_what_is_in_memory(
    journal: Journal, path: Path, content: bytes | None
) -> None:
    add(journal, DOWN)
    path.unlink() if content is None else path.write_bytes(content)
    tails: dict[str, Tail] = {"kspb_vpn": (DOWN, UP)}
    journal.add({"kspb_vpn": (UP,)}, tails, AIRPORTS)
    assert journal.flush()
    assert read(path) == [DOWN, UP]


def test_a_file_that_was_put_back_from_a_backup_is_gone_on_with(
    journal: Journal, path: Path
) -> None:
    add(journal, DOWN)
    backup = path.read_bytes()
    add(journal, UP)
    path.write_bytes(backup)
    assert add(journal, UP) == []
    assert read(path) == [DOWN, UP]


def test_of_each_connection_50_are_kept_and_the_file_stays_small(path: Path) -> None:
    journal = Journal(path, slack_lines=10)
    sizes = set()
    tails: dict[str, Tail] = dict.fromkeys(AIRPORTS, (DOWN,))
    for number in range(400):
        for name in AIRPORTS:
            journal.add({name: (Transition(number, "up", "down"),)}, tails, AIRPORTS)
            assert journal.flush()
        sizes.add(len(path.read_bytes().splitlines()))
    assert max(sizes) <= 2 * 100 + 10
    for name in AIRPORTS:
        kept = [one.at for one in read(path, name)]
        assert kept == [*range(kept[0], 400)]
        assert len(kept) >= 50
    assert journal.errors() == []
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert path.stat().st_mode & 0o777 == 0o600


def test_attempts_in_vain_do_not_push_out_of_the_file_when_it_went_down(path: Path) -> None:
    journal = Journal(path, slack_lines=10)
    tails: dict[str, Tail] = {"kspb_vpn": (DOWN,)}
    journal.add({"kspb_vpn": (DOWN,)}, tails, AIRPORTS)
    for number in range(200):
        flap = (
            Transition(number, "down", "connecting", "negotiating"),
            Transition(number, "connecting", "down", "half-open"),
        )
        journal.add({"kspb_vpn": flap}, tails, AIRPORTS)
        assert journal.flush()
    assert read(path)[0] == DOWN
    assert len(read(path)) <= 2 * 50 + 10
    assert Journal(path).recall(5)["kspb_vpn"][0] == DOWN


def test_at_the_start_no_more_than_the_end_of_a_long_file_is_read(path: Path) -> None:
    add(Journal(path), *(Transition(number, "up", "down") for number in range(900)))
    found = Journal(path, recalled_bytes=2000).recall(50)["kspb_vpn"]
    assert 5 < len(found) < 30
    assert [one.at for one in found] == [*range(900 - len(found), 900)]
    assert Journal(path, recalled_bytes=path.stat().st_size).recall(50)["kspb_vpn"][-1].at == 899


def test_a_successor_that_finds_a_long_file_makes_it_short(path: Path) -> None:
    add(Journal(path), *(Transition(number, "up", "down") for number in range(900)))
    successor = Journal(path, slack_lines=10)
    add(successor, UP)
    assert len(read(path)) == 50


@pytest.mark.parametrize(("age_days", "kept"), [(1, True), (29, True), (31, False), (-400, True)])
def test_of_a_connection_that_was_removed_the_transitions_are_kept_for_30_days(
    path: Path, age_days: int, kept: bool
) -> None:
    """A clock that was set back makes them look as if they came from the future."""
    journal = Journal(path, slack_lines=1, unix_s=lambda: NOW + age_days * 86_400)
    add(journal, DOWN, name="kczk_vpn")
    for _ in range(200):
        journal.add({"kspb_vpn": (DOWN,)}, {"kspb_vpn": (DOWN,)}, AIRPORTS)
        assert journal.flush()
    assert len(read(path)) < 110
    assert bool(read(path, "kczk_vpn")) is kept


def test_a_file_that_can_not_be_written_anew_is_gone_on_with(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(path, slack_lines=5)
    for _ in range(54):
        add(journal, DOWN)

    def refuse(self: Path, target: Path) -> Path:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", refuse)
        told = [add(journal, DOWN) for _ in range(60)]
    assert [f"{path}: Permission denied"] in told
    assert len(read(path)) == 114, "none is lost, and none is there twice"
    for _ in range(10):
        add(journal, DOWN)
    assert len(read(path)) < 70
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_trouble_is_logged_when_it_begins_and_when_it_ends(
    journal: Journal, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with no_room_for(0):
        for _ in range(3):
            add(journal, DOWN)
    add(journal)
    assert [record.message for record in caplog.records] == [
        "history not written",
        "history is written again",
    ]


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    eventually(lambda: not {"history", "history-recall"} & thread_names(), 5)


def test_a_reader_never_fails_and_never_sees_half_a_line_during_rewrites(path: Path) -> None:
    journal = Journal(path, slack_lines=5)
    done, failures, reads = threading.Event(), list[str](), [0]

    def read_on() -> None:
        while not done.is_set():
            kept = [one.at for one in read(path)]
            if kept and kept != [*range(kept[0], kept[-1] + 1)]:
                failures.append(str(kept))
            reads[0] += 1

    reader = threading.Thread(target=read_on)
    reader.start()
    for number in range(500):
        one = Transition(number, "up", "down")
        journal.add({"kspb_vpn": (one,)}, {"kspb_vpn": (one,)}, AIRPORTS)
        assert journal.flush()
    done.set()
    reader.join()
    assert failures == []
    assert reads[0] > 10


@pytest.mark.parametrize(
    "ending",
    [
        ',"more":' + "[" * 200_000 + "]" * 200_000 + "}",
        ',"at":"x"}',
        ',"connection_name":["kspb_vpn"]}',
        ',"from_status":5}',
        ',"reason":"\\ud800"}',
    ],
    ids=["nested", "time", "name", "status", "half a character"],
)
def test_a_line_that_nothing_can_be_made_of_is_passed_over(path: Path, ending: str) -> None:
    add(Journal(path), DOWN, UP)
    first, second = path.read_text().splitlines()
    path.write_text(f"{first[:-1]}{ending}\n{second}\n")
    assert Journal(path).recall(50) == {"kspb_vpn": (UP,)}
    assert read(path) == [UP]
