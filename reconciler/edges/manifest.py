"""airports.json as bytes on disk: read whole, and noticed when it changes."""

import json
import threading
from collections.abc import Callable
from pathlib import Path

from inotify_simple import INotify, flags

from reconciler.errors import ManifestError

LARGEST_BYTES = 64 * 1024 * 1024
_POLL_S = 2.0
_EVENTS = flags.CLOSE_WRITE | flags.MOVED_TO | flags.MOVED_FROM | flags.DELETE


def read_document(path: Path) -> object:
    """Read and parse the file. Raises ManifestError with what is wrong and where."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
        if len(content) > LARGEST_BYTES:
            raise ManifestError(f"is larger than {LARGEST_BYTES} bytes")
        if not content.strip():
            raise ManifestError("is empty; write an object with the key airports")
        return _parse(content.decode("utf-8-sig"))
    except FileNotFoundError as error:
        raise ManifestError("does not exist") from error
    except OSError as error:
        raise ManifestError(f"can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ManifestError(f"is not UTF-8 at byte {error.start}") from error
    except RecursionError as error:
        raise ManifestError("is nested too deeply") from error
    except ValueError as error:
        raise ManifestError(f"is not JSON: {error}") from error


class _Object(dict[str, object]):
    """A JSON object that remembers which keys it was given twice; the last value counts."""

    def __init__(self, pairs: list[tuple[str, object]]) -> None:
        super().__init__(pairs)
        seen: set[str] = set()
        self.doubles = list[str]()
        for key, _ in pairs:
            if key in seen:
                self.doubles.append(key)
            seen.add(key)


def _parse(text: str) -> object:
    """Raise ManifestError if an airport stands in the file twice: one of them would be lost."""
    document = json.loads(text, object_pairs_hook=_Object)
    airports = document.get("airports") if isinstance(document, _Object) else None
    if isinstance(airports, _Object) and airports.doubles:
        raise ManifestError(f"has airports twice: {', '.join(airports.doubles)}; keep one of each")
    return document


def mounted_as_file(path: Path, mounts: Path = Path("/proc/self/mountinfo")) -> bool:
    """Tell whether the file itself is a mount point.

    Such a mount shows the old file for ever once an editor or a deployment replaces it by rename.
    """
    try:
        points = [line.split()[4] for line in mounts.read_text().splitlines()]
    except (OSError, IndexError):
        return False
    return str(path) in points


class ManifestWatch:
    """Wakes the loop when the file changes: by inotify at once, by a look at it every 2 s anyhow.

    The look also finds what inotify can't tell: a directory that appears later, a link that is
    turned elsewhere, a network file system.
    """

    def __init__(self, path: Path, wake: Callable[[str], None]) -> None:
        self._thread = threading.Thread(target=self._run, name="manifest-watch", daemon=True)
        self._path = path
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
                self._wake("airports.json changed")

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
