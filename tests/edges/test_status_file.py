"""vpn-status.json: readers never see half a file, and a failed write leaves the old one."""

import errno
import json
import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reconciler.core.status import (
    ConfigurationStatus,
    ConnectionStatus,
    DaemonStatus,
    LoopStatus,
    Status,
)
from reconciler.edges.status_file import StatusWriter, read_earlier, read_status, write_status
from reconciler.errors import StatusError
from tests.docker import eventually

CONNECTION = ConnectionStatus(
    airport_id="kspb",
    connection_name="kspb_vpn",
    status="up",
    last_connected=1_750_000_000,
    last_disconnected=0,
    uptime_seconds=60,
    health_check="unknown",
    remote_subnets=("192.168.1.0/24",),
)


def status(timestamp: int = 1_750_000_060, tunnels: int = 1) -> Status:
    return Status(
        timestamp=timestamp,
        connections={f"k{n}_vpn": CONNECTION for n in range(tunnels)},
        daemon=DaemonStatus(reachable=True, version="6.0.1"),
        configuration=ConfigurationStatus(
            path="/config/airports.json", valid=True, last_read=1, last_valid=1, airports_declared=1
        ),
        reconciler=LoopStatus(version="0", round=1, reasons=("start",)),
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "vpn-status.json"


def test_what_is_written_is_read_back(path: Path) -> None:
    write_status(path, status())
    assert read_status(path) == status()


def test_the_contract_stands_in_the_file_as_the_web_page_reads_it(path: Path) -> None:
    write_status(path, status())
    document = json.loads(path.read_text())
    assert document["timestamp"] == 1_750_000_060
    tunnel = document["connections"]["k0_vpn"]
    assert {key: tunnel[key] for key in list(tunnel)[:7]} == {
        "airport_id": "kspb",
        "connection_name": "kspb_vpn",
        "status": "up",
        "last_connected": 1_750_000_000,
        "last_disconnected": 0,
        "uptime_seconds": 60,
        "health_check": "unknown",
    }


def test_everybody_may_read_it_and_only_we_may_write(path: Path) -> None:
    write_status(path, status())
    assert path.stat().st_mode & 0o7777 == 0o644


def test_a_reader_in_a_tight_loop_never_fails_during_a_thousand_rewrites(path: Path) -> None:
    write_status(path, status(0, tunnels=0))
    done, seen, failures = threading.Event(), set[int](), list[Exception]()

    def read_on() -> None:
        while not done.is_set():
            try:
                found = json.loads(path.read_bytes())
                assert len(found["connections"]) == found["timestamp"] % 7
                seen.add(found["timestamp"])
            except (OSError, ValueError, AssertionError) as error:
                failures.append(error)

    reader = threading.Thread(target=read_on)
    reader.start()
    for number in range(1, 1001):
        write_status(path, status(number, tunnels=number % 7))
    done.set()
    reader.join()
    assert failures == []
    assert len(seen) > 10
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@contextmanager
def no_room_for(size_bytes: int) -> Iterator[None]:
    """Let every larger write of this process fail, as on a full volume."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_on_a_full_volume_the_old_file_stays_and_no_other_is_left_behind(path: Path) -> None:
    write_status(path, status(1))
    with no_room_for(100), pytest.raises(StatusError, match=r"vpn-status\.json: "):
        write_status(path, status(2))
    assert read_status(path) == status(1)
    assert list(path.parent.iterdir()) == [path]
    write_status(path, status(3))
    assert read_status(path) == status(3)


def test_into_a_missing_directory_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(StatusError, match="No such file or directory"):
        write_status(tmp_path / "missing" / "vpn-status.json", status())
    assert list(tmp_path.iterdir()) == []


def test_below_a_file_nothing_is_written(path: Path) -> None:
    path.write_text("a file")
    with pytest.raises(StatusError, match="Not a directory"):
        write_status(path / "vpn-status.json", status())


def test_a_directory_in_the_files_place_stays_and_no_file_is_left_behind(path: Path) -> None:
    path.mkdir()
    with pytest.raises(StatusError, match="Is a directory"):
        write_status(path, status())
    assert list(path.parent.iterdir()) == [path]
    assert list(path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"timestamp": 1}', b"\xff"], ids=repr)
def test_a_damaged_file_is_an_error_that_says_so(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(StatusError, match="is damaged"):
        read_status(path)


def test_a_missing_file_is_an_error(path: Path) -> None:
    with pytest.raises(StatusError, match="No such file"):
        read_status(path)


def test_keys_of_a_later_release_do_not_matter(path: Path) -> None:
    write_status(path, status())
    document = json.loads(path.read_text())
    document["later"] = 1
    document["connections"]["k0_vpn"]["weather"] = {"ok": True}
    path.write_text(json.dumps(document))
    assert read_status(path) == status()


class StallingDisk:
    """A disk that can be stalled: who writes then waits until it goes on."""

    def __init__(self) -> None:
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.written: list[int] = []

    def write(self, path: Path, document: Status) -> None:
        assert self.goes_on.wait(30)
        write_status(path, document)
        self.written.append(document.timestamp)


def test_a_writer_writes_before_it_returns_and_passes_errors_on(tmp_path: Path) -> None:
    writer = StatusWriter(tmp_path / "vpn-status.json")
    for number in range(20):
        writer.write(status(number))
        assert read_status(tmp_path / "vpn-status.json").timestamp == number
    lost = StatusWriter(tmp_path / "missing" / "vpn-status.json")
    with pytest.raises(StatusError, match="No such file"):
        lost.write(status())
    (tmp_path / "missing").mkdir()
    lost.write(status())


def thread_names() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


def test_a_disk_that_stalls_holds_nobody_up_and_gets_the_newest_status_in_the_end(
    path: Path,
) -> None:
    disk = StallingDisk()
    writer = StatusWriter(path, write=disk.write)
    writer.write(status(1))
    disk.goes_on.clear()
    for number in (2, 3, 4):
        with pytest.raises(StatusError, match="does not end"):
            writer.write(status(number))
    assert read_status(path).timestamp == 1
    disk.goes_on.set()
    eventually(lambda: disk.written == [1, 2, 4], 5, "the one that hung, then the newest")
    assert read_status(path).timestamp == 4
    eventually(lambda: "status-file" not in thread_names(), 5, "the thread has ended")
    writer.write(status(5))
    assert read_status(path).timestamp == 5


def test_what_is_read_at_the_start_is_the_status_of_earlier_or_none(path: Path) -> None:
    assert read_earlier(path) is None
    assert read_earlier(path.parent / "missing" / path.name) is None
    write_status(path, status())
    assert read_earlier(path) == status()
    path.write_bytes(b"{")
    with pytest.raises(StatusError, match="is damaged"):
        read_earlier(path)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE])
def test_a_volume_in_trouble_is_an_error_at_the_start(path: Path, number: int) -> None:
    def fail(_: Path) -> bytes:
        raise OSError(number, os.strerror(number))

    with pytest.raises(StatusError, match=os.strerror(number)):
        read_earlier(path, read=fail)


def test_a_volume_that_stalls_does_not_hold_up_the_start(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(StatusError, match="reading it does not end; is the disk well"):
        read_earlier(path, patience_s=0.05)
    os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
    eventually(lambda: "status-recall" not in thread_names(), 5, "the thread has ended")
