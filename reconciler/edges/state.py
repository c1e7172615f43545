"""What must survive us: the key of the marks, the last good declarations, charon's own copy."""

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reconciler.errors import StateError
from reconciler.files import write_atomically

_KEY_BYTES = 32


class State:
    """Files on two volumes: `directory` is ours alone, `swanctl_file` is read by charon, too."""

    def __init__(self, directory: Path, swanctl_file: Path) -> None:
        self._key_file = directory / "mark.key"
        self._accepted_file = directory / "accepted.json"
        self._swanctl_file = swanctl_file

    def mark_key(self) -> bytes:
        """Read the key, or make it. Raises StateError.

        Exclusive creation, so that two of us never work with two keys.
        """
        try:
            if not self._key_file.exists():
                self._make_key()
            key = self._key_file.read_bytes()
        except OSError as error:
            raise StateError(f"{self._key_file}: {error.strerror}") from error
        if len(key) != _KEY_BYTES:
            raise StateError(f"{self._key_file}: is damaged; remove it and a new one is made")
        return key

    def _make_key(self) -> None:
        draft = self._key_file.with_suffix(f".{secrets.token_hex(8)}")
        write_atomically(draft, secrets.token_bytes(_KEY_BYTES), 0o600)
        try:
            os.link(draft, self._key_file)
        except FileExistsError:
            pass  # another one was faster; its key counts
        finally:
            draft.unlink()

    def read_accepted(self) -> dict[str, Any]:
        """Read the last good declarations; none if there are none yet. Raises StateError."""
        try:
            accepted = json.loads(self._accepted_file.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise StateError(f"{self._accepted_file}: can't be read") from error
        if not isinstance(accepted, dict):
            raise StateError(f"{self._accepted_file}: is not an object")
        return accepted

    def write_accepted(self, accepted: Mapping[str, Any]) -> None:
        """Remember these declarations as the last good ones. Raises StateError."""
        self._replace(self._accepted_file, json.dumps(accepted))

    def write_swanctl(self, text: str) -> None:
        """Write what charon loads at its own start, if it changed. Raises StateError."""
        self._replace(self._swanctl_file, text)

    def _replace(self, path: Path, text: str) -> None:
        content = text.encode()
        try:
            if path.exists() and path.read_bytes() == content:
                return
            write_atomically(path, content, 0o600)
        except OSError as error:
            raise StateError(f"{path}: {error.strerror}") from error
