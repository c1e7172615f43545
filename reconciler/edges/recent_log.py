"""The latest lines of a log, in two files on the state volume, for whoever looks for a cause.

Written by a thread of its own: a volume that stalls or is full holds up nobody, and costs lines.
Each batch opens the file anew, so two processes can write the same one.
"""

import contextlib
import json
import logging
import os
import threading
from collections import deque
from datetime import UTC, datetime
from pathlib import Path

from reconciler.core.reasons import printable

_MOST_BYTES = 1_000_000
_MOST_WAITING = 500
_PAUSE_S = 1.0
_AT_THE_END_S = 2.0
_MODE = 0o600
_LONGEST_WORDS = 1000


def recent_file(directory: Path, name: str) -> Path:
    """Where the latest lines of a log are; older ones are beside it, under `.1`."""
    return directory / f"{name}.recent.log"


def earlier(path: Path) -> Path:
    """Where the lines before those are."""
    return path.with_name(f"{path.name}.1")


def read_recent(path: Path, most_bytes: int = 2 * _MOST_BYTES) -> bytes:
    """Return the latest lines, at most so many bytes of them. Raises OSError if there are none."""
    before = _content_or_nothing(earlier(path))
    try:
        latest = path.read_bytes()
    except FileNotFoundError:
        # It was full, and has been put aside, perhaps in this moment.
        before, latest = earlier(path).read_bytes(), b""
    content = (before + latest)[-most_bytes:]
    if len(content) < most_bytes:
        return content
    return content.partition(b"\n")[2]


def _content_or_nothing(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


class RecentLog:
    """Appends lines to a file that never grows beyond its bound."""

    def __init__(self, path: Path, most_bytes: int = _MOST_BYTES, pause_s: float = _PAUSE_S):
        self._thread = threading.Thread(target=self._run, name=path.name, daemon=True)
        self._path = path
        self._most_bytes = most_bytes
        self._pause_s = pause_s
        self._lock = threading.Lock()
        self._waiting: deque[str] = deque()
        self._lost = 0
        self._news = threading.Event()
        self._stopping = threading.Event()

    def start(self) -> None:
        """Write from now on."""
        self._thread.start()

    def add(self, line: str) -> None:
        """Have a line written soon. Never waits and never fails; what is too much is counted."""
        with self._lock:
            if len(self._waiting) < _MOST_WAITING:
                self._waiting.append(line)
            else:
                self._lost += 1
        self._news.set()

    def stop(self) -> None:
        """Write what still waits, and end within two seconds."""
        self._stopping.set()
        self._news.set()
        if self._thread.ident is not None:
            self._thread.join(_AT_THE_END_S)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._news.wait()
            self._news.clear()
            self._write()
            self._stopping.wait(self._pause_s)
        self._write()

    def _write(self) -> None:
        with self._lock:
            lines, self._waiting = [*self._waiting], deque()
            lost, self._lost = self._lost, 0
        if lost:
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            lines.append(json.dumps({"time": now, "message": "lines left out", "count": lost}))
        if lines:
            # It may not even be told: that would be one more line.
            with contextlib.suppress(OSError):
                self._append("".join(f"{line}\n" for line in lines).encode(errors="replace"))

    def _append(self, content: bytes) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self._path, flags, _MODE)
        try:
            os.write(descriptor, content)
            full = os.fstat(descriptor).st_size >= self._most_bytes
        finally:
            os.close(descriptor)
        if full:
            self._path.replace(earlier(self._path))


class RecentLogHandler(logging.Handler):
    """Hands the log's lines on, formatted."""

    def __init__(self, recent: RecentLog, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self._recent = recent

    def emit(self, record: logging.LogRecord) -> None:
        """Format one line. What can't be formatted ends nobody who only wanted to tell it."""
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - whatever a line is made of
            self.handleError(record)
            return
        self._recent.add(line)


def charon_line(group: str, connection: str, unique_id: str, words: str) -> str:
    """Write one line of charon's log as ours are written."""
    line = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "group": group,
        "connection": connection,
        "ike_sa": unique_id,
        "words": printable(words, _LONGEST_WORDS),
    }
    return json.dumps(line)
