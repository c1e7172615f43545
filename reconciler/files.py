"""Files that others read while we write them, and reading from a volume that may stall."""

import errno
import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TypeVar

_Found = TypeVar("_Found")


def write_atomically(path: Path, content: bytes, mode: int) -> None:
    """Replace the file so that a reader sees the old or the new one, whole, also after a crash.

    Raises OSError; the old file then stays, and no temporary one is left behind.
    """
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make sure that names in it are on the disk, too."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_within(patience_s: float, thread_name: str, read: Callable[[], _Found]) -> _Found:
    """Read in a thread of its own, so that a volume that stalls does not hold us up.

    Raises OSError as `read` does, and if it takes longer than we are patient.
    """
    answer: SimpleQueue[_Found | OSError] = SimpleQueue()

    def run() -> None:
        try:
            answer.put(read())
        except OSError as error:
            answer.put(error)

    threading.Thread(target=run, name=thread_name, daemon=True).start()
    try:
        found = answer.get(timeout=patience_s)
    except Empty:
        raise OSError(errno.ETIMEDOUT, "reading it does not end; is the disk well?") from None
    if isinstance(found, OSError):
        raise found
    return found
