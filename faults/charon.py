"""Faults of charon, of its container, and of its control socket."""

import contextlib
import os
import secrets
import shutil
import socket
import threading
import time
from pathlib import Path

from faults.fault import ALL, Fault, Play
from faults.stage import Stage
from tests.docker import docker, eventually, pause, run
from tests.e2e.stack import GATEWAY, RECONCILER

_HUNG_S = 60.0
_HOG = "head -c 700m /dev/zero | tail >/dev/null"


def killed(play: Play) -> None:
    play.stage.kill(GATEWAY)


def hung(play: Play) -> None:
    """Stop it for a minute at most; less if a new one is started before."""
    process = play.stage.process_of(GATEWAY)
    run("kill", "-STOP", str(process))

    def replaced() -> bool:
        return time.monotonic() - play.began_s > _HUNG_S or not Path(f"/proc/{process}").exists()

    eventually(replaced, _HUNG_S + 5, "a new charon, or the minute is over")
    run("kill", "-CONT", str(process), check=False)


def paused(play: Play) -> None:
    play.undo.callback(docker, "unpause", GATEWAY, check=False)
    pause(GATEWAY)


def stopped_by_hand(play: Play) -> None:
    play.undo.callback(docker, "start", GATEWAY, check=False)
    docker("stop", GATEWAY)


def removed_and_made_again(play: Play) -> None:
    docker("rm", "--force", GATEWAY)
    play.stage.wait_until_container_is_told("missing", "unknown", "exited", within_s=35)
    play.stage.compose("up", "--detach", "--no-deps", "gateway")
    play.counts_from_here()


def out_of_memory(play: Play) -> None:
    """Another process in the container takes the memory; the kernel is told whom to kill first."""
    process = play.stage.process_of(GATEWAY)
    Path(f"/proc/{process}/oom_score_adj").write_text("1000")
    docker("exec", GATEWAY, "sh", "-c", _HOG, check=False)
    killed_by_kernel = docker("inspect", "--format", "{{.State.OOMKilled}}", GATEWAY).strip()
    play.stage.wait_for_new_process(GATEWAY, process, 60)
    play.points.append(f"OOMKilled {killed_by_kernel}")


def volumes_emptied(play: Play) -> None:
    for folder in (play.stage.saved_connections().parent, play.stage.vici_socket().parent):
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    play.stage.kill(GATEWAY)


def broken_syntax(play: Play) -> None:
    path = play.stage.saved_connections()
    path.write_text(path.read_text().replace("}", "{", 3) + "\nsecrets {{{ = = }\n")
    play.stage.kill(GATEWAY)


def broken_garbage(play: Play) -> None:
    play.stage.saved_connections().write_bytes(secrets.token_bytes(100_000))
    play.stage.kill(GATEWAY)


def broken_directory(play: Play) -> None:
    path = play.stage.saved_connections()
    play.undo.callback(_remove_directory, path)
    path.unlink()
    path.mkdir()
    (path / "something").write_text("in the way\n")
    play.stage.kill(GATEWAY)


def _remove_directory(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)


def broken_unreadable(play: Play) -> None:
    path = play.stage.saved_connections()
    play.undo.callback(path.unlink, missing_ok=True)
    os.chown(path, 0, 0)
    path.chmod(0)
    play.stage.kill(GATEWAY)


def socket_gone(play: Play) -> None:
    """Delete it: nobody can connect to charon any more; the reconciler, too, must connect anew."""
    play.stage.vici_socket().unlink()
    play.stage.kill(RECONCILER)


def socket_stale(play: Play) -> None:
    """Leave what a process that is gone leaves behind; the reconciler must connect anew."""
    _put_in_place(play.stage, listening=False).close()
    play.stage.kill(RECONCILER)


def socket_mute(play: Play) -> None:
    """Take connections and say nothing; the reconciler must connect anew."""
    listener = _put_in_place(play.stage, listening=True)
    threading.Thread(target=_take_and_say_nothing, args=(listener,), daemon=True).start()
    play.undo.callback(listener.close)
    play.stage.kill(RECONCILER)


def _put_in_place(stage: Stage, *, listening: bool) -> socket.socket:
    path = stage.vici_socket()
    path.unlink()
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(path))
    stage.own(path)
    path.chmod(0o770)
    if listening:
        made.listen(64)
    return made


def _take_and_say_nothing(listener: socket.socket) -> None:
    taken = []
    with contextlib.suppress(OSError):
        while True:
            taken.append(listener.accept())


_BROKEN = "charon is killed while what it loads at its start is broken: "

FAULTS = (
    Fault("charon-killed", "charon is killed", killed, 45, ALL),
    Fault("broken-syntax", f"{_BROKEN}syntax errors", broken_syntax, 45, ALL),
    Fault("broken-garbage", f"{_BROKEN}random bytes", broken_garbage, 45, ALL),
    Fault("broken-directory", f"{_BROKEN}a directory in its place", broken_directory, 45, ALL),
    Fault("broken-unreadable", f"{_BROKEN}no rights to read it", broken_unreadable, 45, ALL),
    Fault("charon-hung", "charon hangs (SIGSTOP) for 60 s", hung, 90, ALL),
    Fault("container-paused", "its container is paused", paused, 60, ALL),
    Fault("container-stopped", "its container is stopped by hand", stopped_by_hand, 60, ALL),
    Fault(
        "container-recreated",
        "its container is removed, and made again when that was noticed",
        removed_and_made_again,
        45,
        ALL,
        counted_from="when it was made again",
    ),
    Fault("out-of-memory", "the kernel kills charon for want of memory", out_of_memory, 60, ALL),
    Fault(
        "volumes-emptied", "its volumes are emptied, then it is killed", volumes_emptied, 45, ALL
    ),
    Fault("vici-gone", "its VICI socket is deleted", socket_gone, 90, ALL),
    Fault("vici-stale", "its VICI socket is one that nobody listens on", socket_stale, 90, ALL),
    Fault("vici-mute", "its VICI socket takes connections and never answers", socket_mute, 90, ALL),
)
