"""Two reconcilers on one hub: one keeps it, the other stands by. Real processes, no charon."""

import errno
import fcntl
import os
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reconciler.core.reasons import Code, Failure
from reconciler.edges.lock import Lock
from reconciler.edges.recent_log import recent_file
from reconciler.loop import Health
from reconciler.service import wait_for_the_lead
from tests.docker import eventually
from tests.edges.vici_server import vici_server
from tests.worlds import Bench


@contextmanager
def running(directory: Path, name: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    flags = [
        f"--config-path={directory / 'airports.json'}",
        f"--status-file={directory / name}",
        f"--state-dir={directory}",
        f"--swanctl-file={directory / 'swanctl.conf'}",
        f"--vici-socket={directory / 'no.vici'}",
        f"--listen=127.0.0.1:{port}",
        "--docker-host=",
    ]
    with (directory / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "reconciler", "run", *flags], stdout=log, stderr=log
        )
    try:
        yield process, port
    finally:
        process.kill()
        process.wait()


def asked(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


def leads(port: int) -> bool:
    return "vpn_leading 1.0" in asked(port, "/metrics")[1]


def test_the_second_stands_by_and_takes_over_when_the_first_is_killed(tmp_path: Path) -> None:
    with running(tmp_path, "first") as (first, port):
        eventually(lambda: leads(port), 20, "the first keeps the hub")
        eventually(lambda: (tmp_path / "first").exists(), 10, "it made a round")
        with running(tmp_path, "second") as (_, other):
            eventually(lambda: "standing by" in asked(other, "/healthz")[1], 20, "it stands by")
            assert asked(other, "/healthz")[0] == 200
            assert asked(other, "/readyz")[0] == 503
            assert not leads(other)
            assert not (tmp_path / "second").exists(), "one that stands by makes no rounds"
            first.kill()
            eventually(lambda: leads(other), 10, "the second takes over")
            eventually(lambda: (tmp_path / "second").exists(), 10, "it makes rounds")


def test_what_charon_says_is_kept_once(tmp_path: Path) -> None:
    """Both hear it, and both have the same file."""
    line = {"group": "IKE", "level": "1", "thread": "1", "ikesa-uniqueid": "7", "msg": "a word"}
    kept = recent_file(tmp_path, "charon")
    with vici_server(tmp_path / "no.vici") as server, running(tmp_path, "first") as (_, port):
        eventually(lambda: leads(port), 20, "the first keeps the hub")
        with running(tmp_path, "second") as (second, other):
            eventually(lambda: "standing by" in asked(other, "/healthz")[1], 20, "it stands by")
            eventually(
                lambda: sum("log" in wanted for wanted in server.subscribed) == 2, 20, "both listen"
            )
            server.emit("log", line)
            eventually(kept.exists, 10, "it is kept")
            second.terminate()  # which writes what still waits
            assert second.wait(timeout=10) == 0
    assert kept.read_text().count("a word") == 1


def test_one_that_stands_by_ends_at_sigterm_and_writes_nothing(tmp_path: Path) -> None:
    lead = Lock(tmp_path / "lead.lock")
    assert lead.take()
    with running(tmp_path, "second") as (second, port):
        eventually(lambda: "standing by" in asked(port, "/healthz")[1], 20, "it stands by")
        second.terminate()
        assert second.wait(timeout=10) == 0
    assert not (tmp_path / "second").exists()
    lead.release()


def test_a_lock_is_free_again_when_it_is_released(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first, second = Lock(path), Lock(path)
    assert first.take()
    assert not second.take(patience_s=0.1)
    first.release()
    assert second.take()


@pytest.mark.parametrize("missing", ["folder/lock", "file/lock"])
def test_a_volume_that_can_hold_no_lock_keeps_nobody_from_anything(
    tmp_path: Path, missing: str
) -> None:
    (tmp_path / "file").write_text("")
    assert Lock(tmp_path / missing).take()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EIO])
def test_a_volume_that_knows_no_locks_keeps_nobody_from_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(_descriptor: int, _operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    descriptors = len([*Path("/proc/self/fd").iterdir()])
    assert Lock(tmp_path / "lock").take(patience_s=0.1)
    assert len([*Path("/proc/self/fd").iterdir()]) == descriptors


def test_what_was_noted_while_standing_by_is_not_counted_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    lead, health, stopping = bench.world.state.lead, Health(60), threading.Event()
    assert lead.take()
    led = list[bool]()
    waiting = threading.Thread(
        target=lambda: led.append(wait_for_the_lead(bench.world, health, stopping))
    )
    waiting.start()
    eventually(lambda: b"standing by" in health.healthy()[2], 10, "it stands by")
    bench.evidence.note(Failure("kspb_vpn", Code.REFUSED_BY_SITE, "N(AUTH_FAILED)", 1.0))
    lead.release()
    waiting.join(10)
    assert led == [True]
    assert bench.evidence.take() == ()


def test_what_was_noted_before_the_first_takes_the_lead_counts(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.evidence.note(Failure("kspb_vpn", Code.REFUSED_BY_SITE, "N(AUTH_FAILED)", 1.0))
    assert wait_for_the_lead(bench.world, Health(60), threading.Event())
    assert len(bench.evidence.take()) == 1
