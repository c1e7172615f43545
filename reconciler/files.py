"""Files that others read while we write them, and reading from a volume that may stall."""

import errno
import os
import stat
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TypeVar

_Found = TypeVar("_Found")


class NotRegularError(OSError):
    """What has that name is a directory, a pipe or a device."""

    def __init__(self) -> None:
        """Say so, as the system says other things."""
        super().__init__(errno.EINVAL, "is no regular file")


def read_regular(path: str | Path, most_bytes: int) -> bytes:
    """Read a file whole, or one byte more than the most, so that the caller can tell.

    Waits for nobody who might write to a pipe. Raises OSError, and ValueError for what is no path.
    """
    with open(path, "rb", opener=_open_at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise NotRegularError
        return file.read(most_bytes + 1)


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)


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
