"""What must survive us: the key of the marks, the last good declarations, charon's own copy."""

import json
import os
import secrets
import stat
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from reconciler.core.nesting import is_too_deep
from reconciler.core.orders import Orders
from reconciler.edges.lock import Lock, alone
from reconciler.errors import StateError
from reconciler.files import write_atomically

_KEY_BYTES = 32
_FILE_MODE = 0o600
# A round takes 5 s of acting and some seconds of looking at most.
_PATIENCE_S = 15.0
_WAY_OUT = (
    "restore it from a backup, or make a new one, with which every site is cut once: "
    "reconciler apply --new-mark-key"
)


def orders_file(directory: Path) -> Path:
    """Where the orders of an operator are kept; a change of it is a reason for a round."""
    return directory / "orders.json"


class State:
    """Files on two volumes: `directory` is ours alone, `swanctl_file` is read by charon, too."""

    def __init__(self, directory: Path, swanctl_file: Path, *, read_only: bool = False) -> None:
        self._directory = directory
        self._key_file = directory / "mark.key"
        self._accepted_file = directory / "accepted.json"
        self._orders_file = orders_file(directory)
        self._swanctl_file = swanctl_file
        self._read_only = read_only
        self._key = b""
        self._accepted: Mapping[str, Any] | None = None
        self._orders = Orders()

    def mark_key(self, *, may_make: bool) -> bytes:
        """Return the key of the marks; it is read once. Raises StateError.

        `may_make`: charon has nothing under a mark of ours, so a new key harms nobody. Otherwise a
        lost key is not replaced: with a new one every connection would look changed.
        """
        try:
            if not self._key_file.exists() or (self._key and self._is_damaged()):
                self._replace_key(may_make=may_make)
            if not self._key:
                self._key = self._key_file.read_bytes()
        except OSError as error:
            raise StateError(f"{self._key_file}: {error.strerror}") from error
        if len(self._key) != _KEY_BYTES:
            self._key = b""
            raise StateError(f"{self._key_file}: is damaged; {_WAY_OUT}")
        return self._key

    def _is_damaged(self) -> bool:
        return len(self._key_file.read_bytes()) != _KEY_BYTES

    def _replace_key(self, *, may_make: bool) -> None:
        if not self._key and not may_make:
            raise StateError(f"{self._key_file}: is missing; {_WAY_OUT}")
        key = self._key or secrets.token_bytes(_KEY_BYTES)
        if self._read_only:
            self._key = key
        else:
            if self._key:
                self._key_file.unlink(missing_ok=True)  # it is damaged; ours is whole
            self._write_key(key)

    def make_new_key(self) -> None:
        """Replace a lost or damaged key. Every connection looks changed afterwards.

        Raises StateError, also if the key is whole: one who runs would go on with the old one.
        """
        self._key = b""
        try:
            if self._key_file.exists() and not self._is_damaged():
                raise StateError(f"{self._key_file}: is there and whole; nothing was replaced")
            self._key_file.unlink(missing_ok=True)
            self._write_key(secrets.token_bytes(_KEY_BYTES))
        except OSError as error:
            raise StateError(f"{self._key_file}: {error.strerror}") from error

    def _write_key(self, key: bytes) -> None:
        """Create the file exclusively, so that two of us never work with two keys."""
        draft = self._key_file.with_suffix(f".{secrets.token_hex(8)}")
        write_atomically(draft, key, _FILE_MODE)
        try:
            os.link(draft, self._key_file)
        except FileExistsError:
            pass  # another one was faster; its key counts
        finally:
            draft.unlink()

    def read_accepted(self) -> Mapping[str, Any]:
        """Read the last good declarations; none if there are none yet. Raises StateError.

        A file that is lost or damaged while we run is known from memory, and is written again.
        """
        try:
            accepted = json.loads(self._accepted_file.read_bytes())
        except FileNotFoundError:
            return self._accepted or {}
        except (OSError, ValueError, RecursionError) as error:
            return self._remembered(f"{self._accepted_file}: can't be read", error)
        if not isinstance(accepted, dict):
            return self._remembered(f"{self._accepted_file}: is not an object")
        if is_too_deep(accepted):
            return self._remembered(f"{self._accepted_file}: is nested too deeply")
        self._accepted = accepted
        return accepted

    def _remembered(self, fault: str, cause: Exception | None = None) -> Mapping[str, Any]:
        if self._accepted is None:
            raise StateError(fault) from cause
        return self._accepted

    def write_accepted(self, accepted: Mapping[str, Any]) -> None:
        """Remember these declarations as the last good ones. Raises StateError."""
        self._replace(self._accepted_file, json.dumps(accepted))
        self._accepted = accepted

    def read_orders(self) -> Orders:
        """Read what was asked for by command line. Raises StateError; see `last_orders`."""
        try:
            self._orders = Orders.model_validate_json(self._orders_file.read_bytes())
        except FileNotFoundError:
            self._orders = Orders()
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is damaged"
            raise StateError(
                f"{self._orders_file}: can't be read ({why}); restore it, or delete it, "
                "which ends every pause"
            ) from error
        return self._orders

    @property
    def last_orders(self) -> Orders:
        """The last orders that could be read, so that damage to the file ends no pause."""
        return self._orders

    def change_orders(self, change: Callable[[Orders], Orders]) -> None:
        """Change the orders; one who changes them at the same time waits. Raises StateError."""
        with alone(self._orders_file.with_suffix(".lock"), _PATIENCE_S):
            changed = change(self.read_orders())
            self._replace(self._orders_file, changed.model_dump_json(indent=1))

    @property
    def lead(self) -> Lock:
        """The lock of the one reconciler that keeps this hub; others stand by."""
        return Lock(self._directory / "lead.lock")

    def alone(self) -> AbstractContextManager[None]:
        """Return a context in which no other process makes a round. It raises StateError."""
        return alone(self._directory / "round.lock", _PATIENCE_S)

    def write_swanctl(self, text: str) -> None:
        """Write what charon loads at its own start, if it changed. Raises StateError."""
        self._replace(self._swanctl_file, text)

    def _replace(self, path: Path, text: str) -> None:
        content = text.encode()
        try:
            if _is_written(path, content):
                return
            if path.is_dir() and not path.is_symlink():
                path.rename(path.with_name(f"{path.name}.in-the-way-{secrets.token_hex(4)}"))
            write_atomically(path, content, _FILE_MODE)
        except OSError as error:
            raise StateError(f"{path}: {error.strerror}") from error


def _is_written(path: Path, content: bytes) -> bool:
    """Whether the file is as it should be; what can't be read is not, and will be replaced."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        return mode == _FILE_MODE and path.read_bytes() == content
    except OSError:
        return False
