"""Faults of files, and of what people do to charon by hand."""

import contextlib
import re
import time

from faults.fault import Fault, Play
from tests.docker import eventually, run
from tests.e2e.stack import saved_section, toggle_lifetime

_LASTS_S = 25.0
_SWAPS, _SWAPS_S = 100, 10.0


def full(play: Play) -> None:
    """No byte can be written where the status file is; an edit comes into force all the same."""
    filler = play.stage.cache / "filler"
    play.undo.callback(filler.unlink, missing_ok=True)
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1024))
    _edit_meanwhile(play)
    filler.unlink()
    play.counts_from_here()


def read_only(play: Play) -> None:
    """As after a fault of the disk; an edit comes into force all the same."""
    play.undo.callback(_remount, play, "rw")
    _remount(play, "ro")
    _edit_meanwhile(play)
    _remount(play, "rw")
    play.counts_from_here()


def _remount(play: Play, how: str) -> None:
    # Somebody may be writing at this moment.
    cache = str(play.stage.cache)
    eventually(lambda: run("mount", "-o", f"remount,{how},noatime", cache) == "", 10, how)


def stalled(play: Play) -> None:
    """Freeze the file system: who writes waits. An edit comes into force all the same."""
    cache = str(play.stage.cache)
    play.undo.callback(run, "fsfreeze", "--unfreeze", cache, check=False)
    run("fsfreeze", "--freeze", cache)
    _edit_meanwhile(play)
    run("fsfreeze", "--unfreeze", cache)
    play.counts_from_here()


def _edit_meanwhile(play: Play) -> None:
    """Only after a round that has tried to write."""
    play.let_pass(_LASTS_S)
    play.stage.edit_and_wait(within_s=10)
    code, text = play.stage.http("/healthz")
    assert code == 200, f"the loop must turn: {text}"
    code, text = play.stage.http("/status")
    assert code == 200, f"the status must be had by HTTP: {text}"


def swapped_often(play: Play) -> None:
    """Replace it 100 times, by turns with two contents; the last one counts."""
    stage = play.stage
    rounds = stage.status().reconciler.round
    due_s = time.monotonic()
    for _ in range(_SWAPS):
        stage.edit(toggle_lifetime)
        due_s += _SWAPS_S / _SWAPS
        time.sleep(max(0.0, due_s - time.monotonic()))
    play.counts_from_here()
    stage.edit(toggle_lifetime)
    play.heal()
    made = stage.status().reconciler.round - rounds
    play.points.append(f"{made} rounds")


def edited(play: Play) -> None:
    """Put a child of another name into the connection."""
    text = _saved(play)
    connection = saved_section(text, "kspb_vpn")
    other = re.sub(r"(children \{\s+)(\S+) \{", r"\1by-hand {", connection, count=1)
    assert other != connection, "nothing was edited"
    play.stage.swanctl(text.replace(connection, other))


def unloaded(play: Play) -> None:
    text = _saved(play)
    play.stage.swanctl(text.replace(saved_section(text, "kspb_vpn"), ""))


def duplicated(play: Play) -> None:
    """Load the same connection again, under a second name."""
    text = _saved(play)
    connection = saved_section(text, "kspb_vpn")
    copy = connection.replace("kspb_vpn {", "kspb_copy {", 1)
    play.stage.swanctl(text.replace(connection, connection + copy))


def _saved(play: Play) -> str:
    """Return the connections as charon loads them; swanctl loads no keys here."""
    return play.stage.saved_connections().read_text().partition("secrets {")[0]


FAULTS = (
    Fault(
        "status-volume-full",
        "the status file's volume is full for 25 s; meanwhile airports.json is edited",
        full,
        30,
        counted_from="when there is room again",
    ),
    Fault(
        "status-volume-read-only",
        "the status file's volume is read-only for 25 s; meanwhile airports.json is edited",
        read_only,
        30,
        counted_from="when it can be written again",
    ),
    Fault(
        "status-volume-stalled",
        "the status file's volume stalls for 25 s; meanwhile airports.json is edited",
        stalled,
        30,
        counted_from="when it goes on",
    ),
    Fault(
        "swapped-often",
        "airports.json is replaced 100 times in 10 s",
        swapped_often,
        15,
        ("kspb",),
        counted_from="the last replacement",
    ),
    Fault("edited-by-hand", "a connection is edited with swanctl", edited, 35, ("kspb",)),
    Fault("unloaded-by-hand", "a connection is unloaded with swanctl", unloaded, 35, ("kspb",)),
    Fault("duplicated-by-hand", "a connection is doubled with swanctl", duplicated, 35, ("kspb",)),
)
