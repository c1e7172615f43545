"""A file that is noticed when it changes, whatever way it is replaced."""

import threading
from collections.abc import Callable
from pathlib import Path

from inotify_simple import INotify, flags

_POLL_S = 2.0
_EVENTS = flags.CLOSE_WRITE | flags.MOVED_TO | flags.MOVED_FROM | flags.DELETE


class FileWatch:
    """Wakes the loop when the file changes: by inotify at once, by a look at it every 2 s anyhow.

    The look also finds what inotify can't tell: a directory that appears later, a link that is
    turned elsewhere, a network file system.
    """

    def __init__(self, path: Path, reason: str, wake: Callable[[str], None]) -> None:
        self._thread = threading.Thread(target=self._run, name=reason, daemon=True)
        self._path = path
        self._reason = reason
        self._wake = wake
        self._stopping = threading.Event()
        self._known = self._signature()

    def stop(self) -> None:
        """End within the next two seconds."""
        self._stopping.set()

    def start(self) -> None:
        """Watch from now on."""
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.is_set():
            changed = self._wait_for_event()
            before, self._known = self._known, self._signature()
            if changed or self._known != before:
                self._wake(self._reason)

    def _wait_for_event(self) -> bool:
        """Wait up to two seconds. The watch is made anew each time the directory was replaced."""
        try:
            with INotify() as inotify:
                inotify.add_watch(self._path.parent, _EVENTS | flags.ONLYDIR)
                directory = self._path.parent.stat().st_ino
                while not self._stopping.is_set():
                    # Compared before each wait: it may have changed before the watch was there.
                    moved = self._path.parent.stat().st_ino != directory
                    if moved or self._signature() != self._known:
                        return True
                    events = inotify.read(timeout=int(_POLL_S * 1000))
                    if any(event.name == self._path.name for event in events):
                        return True
        except OSError:
            self._stopping.wait(_POLL_S)
        return False

    def _signature(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size
