"""The latest lines of our own log and of charon's, kept for `diagnose` and `explain`."""

import json
import logging
from pathlib import Path

from reconciler.core.explain import CharonLine
from reconciler.core.routine import is_routine
from reconciler.edges.logs import JsonFormatter, masked
from reconciler.edges.recent_log import (
    RecentLog,
    RecentLogHandler,
    charon_line,
    read_recent,
    recent_file,
)

OWN, CHARON = "reconciler", "charon"
_TAIL_BYTES = 400_000


class RecentLogs:
    """Both of them, while `run` is at work."""

    def __init__(self, state_dir: Path) -> None:
        self._own = RecentLog(recent_file(state_dir, OWN))
        self._charon = RecentLog(recent_file(state_dir, CHARON))
        self._handler = RecentLogHandler(self._own, JsonFormatter())

    def start(self) -> None:
        """Keep lines from now on."""
        self._own.start()
        self._charon.start()
        logging.getLogger().addHandler(self._handler)

    def hear(self, group: str, connection: str, unique_id: str, words: str) -> None:
        """Take one line of charon's log."""
        if not is_routine(connection, words):
            self._charon.add(charon_line(group, connection, unique_id, masked(words)))

    def stop(self) -> None:
        """Write what still waits."""
        logging.getLogger().removeHandler(self._handler)
        self._own.stop()
        self._charon.stop()


def charon_said(state_dir: Path, connection: str, most: int) -> tuple[CharonLine, ...]:
    """Return charon's latest lines about one connection; none if there are none to be had.

    What it said before it knew whose attempt it was belongs to that connection, too.
    """
    try:
        lines = read_recent(recent_file(state_dir, CHARON), _TAIL_BYTES).splitlines()
    except OSError:
        return ()
    said = [_read(line) for line in lines]
    ids = {one["ike_sa"] for one in said if one.get("connection") == connection}
    return tuple(
        CharonLine(
            time=one.get("time", ""), ike_sa=one["ike_sa"], words=masked(one.get("words", ""))
        )
        for one in said
        if one.get("ike_sa") in ids and one.get("connection") in (connection, "")
    )[-most:]


def _read(line: bytes) -> dict[str, str]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    texts = isinstance(found, dict) and all(isinstance(one, str) for one in found.values())
    return found if texts and "ike_sa" in found else {}
