"""vpn-status.json on the volume that a web page reads."""

import threading
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from reconciler.core.status import Status
from reconciler.errors import StatusError
from reconciler.files import read_within, write_atomically


def read_status(path: Path) -> Status:
    """Read a status document. Raises StatusError if there is none or it is damaged."""
    try:
        return _parse(path, path.read_bytes())
    except OSError as error:
        raise StatusError(f"{path}: {error.strerror}") from error


def _parse(path: Path, content: bytes) -> Status:
    try:
        return Status.model_validate_json(content)
    except ValidationError as error:
        raise StatusError(f"{path}: is damaged ({error.error_count()} faults)") from error


def read_earlier(
    path: Path, patience_s: float = 2.0, read: Callable[[Path], bytes] = Path.read_bytes
) -> Status | None:
    """Read what was written before our start; None if nothing was.

    Raises StatusError, also if reading takes longer than we are patient.
    """
    try:
        return _parse(path, read_within(patience_s, "status-recall", lambda: read(path)))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StatusError(f"{path}: {error.strerror}") from error


def write_status(path: Path, status: Status) -> None:
    """Replace the file whole, readable for everybody. Raises StatusError; the old one stays."""
    try:
        write_atomically(path, status.model_dump_json(indent=1).encode() + b"\n", 0o644)
    except OSError as error:
        raise StatusError(f"{path}: {error.strerror}") from error


class StatusWriter:
    """Writes in a thread of its own, so that a volume that stalls holds up nothing else.

    While a write hangs, later documents wait in its place, the newest one only.
    """

    def __init__(
        self,
        path: Path,
        patience_s: float = 2.0,
        write: Callable[[Path, Status], None] = write_status,
    ) -> None:
        self._path = path
        self._patience_s = patience_s
        self._write = write
        self._changed = threading.Condition()
        self._waiting: Status | None = None
        self._error: StatusError | None = None
        self._busy = False
        self._stalled = False

    def write(self, status: Status) -> None:
        """Replace the file. Raises StatusError, also if that takes longer than we are patient."""
        with self._changed:
            self._waiting = status
            if not self._busy:
                self._busy = True
                threading.Thread(target=self._run, name="status-file", daemon=True).start()
            elif self._stalled:
                raise self._still_stalled()
            self._stalled = not self._changed.wait_for(lambda: not self._busy, self._patience_s)
            if self._stalled:
                raise self._still_stalled()
            if self._error is not None:
                raise self._error

    def _still_stalled(self) -> StatusError:
        return StatusError(f"{self._path}: a write that was begun does not end; is the disk well?")

    def _run(self) -> None:
        """Write what is waiting, until nothing is."""
        while (status := self._take()) is not None:
            error = None
            try:
                self._write(self._path, status)
            except StatusError as caught:
                error = caught
            with self._changed:
                self._error = error

    def _take(self) -> Status | None:
        with self._changed:
            status, self._waiting = self._waiting, None
            if status is None:
                self._busy = False
                self._stalled = False
                self._changed.notify_all()
            return status
