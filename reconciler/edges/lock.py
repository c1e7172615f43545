"""Locks between processes, on files of the state volume; the kernel frees them with the process."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from reconciler.errors import StateError

_LOOK_S = 0.05


class Lock:
    """One lock. Whoever has it is alone until it is released or the process ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def take(self, patience_s: float = 0.0) -> bool:
        """Take the lock, or return False when another one has it for so long.

        A volume that can't even hold a lock keeps nobody from anything: it is told of elsewhere.
        """
        descriptor = self._open()
        if descriptor is None:
            return True
        until_s = time.monotonic() + patience_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= until_s:
                    os.close(descriptor)
                    return False
                time.sleep(_LOOK_S)
            except OSError:  # the volume knows no locks, like some of NFS
                os.close(descriptor)
                return True
            else:
                self._descriptor = descriptor
                return True

    def release(self) -> None:
        """Let the next one have it."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _open(self) -> int | None:
        """Open for reading, which is enough for a lock, also on a volume that can't be written."""
        for flags in (os.O_RDONLY | os.O_CREAT, os.O_RDONLY):
            with suppress(OSError):
                return os.open(self._path, flags | os.O_CLOEXEC, 0o600)
        return None


@contextmanager
def alone(path: Path, patience_s: float) -> Iterator[None]:
    """Be the only one meanwhile. Raises StateError if another one has the lock for too long."""
    lock = Lock(path)
    if not lock.take(patience_s):
        raise StateError(f"{path}: another reconciler has held it for {patience_s:g} s")
    try:
        yield
    finally:
        lock.release()
