"""A token and a certificate for the HTTP endpoint, each from files that may be replaced meanwhile.

What is faulty at the start is an error; later it is logged, and the last good one stays.
"""

import hmac
import logging
import os
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from reconciler.files import NotRegularError, read_regular

log = logging.getLogger(__name__)

T = TypeVar("T")
_SHORTEST = 16
_LARGEST_BYTES = 4096
_LARGEST_FILE_BYTES = 1024 * 1024
_SCHEME = "bearer"


class AccessError(ValueError):
    """A file can't be used; the text names the setting and says what would be right."""


class _Files(Generic[T]):
    """What was read from files, and is read again when one of them has changed."""

    def __init__(self, settings: dict[str, Path], read: Callable[[], T]) -> None:
        self._settings, self._read = settings, read
        self._lock = threading.Lock()
        self._seen = self._look()
        self._value = read()

    def current(self) -> T:
        """Return what the files say, or last said without a fault."""
        with self._lock:
            if (seen := self._look()) != self._seen:
                self._seen = seen
                try:
                    self._value = self._read()
                except AccessError as error:
                    log.warning("http access kept", extra={"fields": {"cause": str(error)}})
                else:
                    names = " ".join(self._settings)
                    log.info("http access renewed", extra={"fields": {"settings": names}})
            return self._value

    def _look(self) -> tuple[object, ...]:
        return tuple(_fingerprint(path) for path in self._settings.values())


def _fingerprint(path: Path) -> object:
    try:
        found = path.stat()
    except OSError as error:
        return error.errno
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


class Token:
    """Lets in who sends the token of a file: `Authorization: Bearer <token>`."""

    def __init__(self, path: Path) -> None:
        """Read the file. Raises AccessError."""
        self._files = _Files({"HTTP_TOKEN_FILE": path}, lambda: _read_token(path))

    def allows(self, authorization: str) -> bool:
        """Whether the header holds the token; how long that takes tells nothing of the token."""
        scheme, _, given = authorization.partition(" ")
        same = hmac.compare_digest(given.strip().encode("latin-1"), self._files.current())
        return same and scheme.lower() == _SCHEME


class Certificate:
    """What a TLS connection needs of the server."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Read both files. Raises AccessError."""
        settings = {"HTTP_TLS_CERTIFICATE": certificate, "HTTP_TLS_KEY": key}
        self._files = _Files(settings, lambda: _read_certificate(certificate, key))

    def context(self) -> ssl.SSLContext:
        """Return it as the files are now, for one more connection."""
        return self._files.current()


def _read(setting: str, path: Path, most_bytes: int) -> bytes:
    try:
        content = read_regular(path, most_bytes)
    except NotRegularError as error:
        raise AccessError(f"{setting}={path}: {error.strerror}") from error
    except OSError as error:
        readable = f"user {os.getuid()} must be able to read it"
        raise AccessError(f"{setting}={path}: {error.strerror}; {readable}") from error
    if not content.strip():
        raise AccessError(f"{setting}={path}: is empty")
    if len(content) > most_bytes:
        raise AccessError(f"{setting}={path}: is larger than {most_bytes} bytes")
    return content


def _read_token(path: Path) -> bytes:
    token = _read("HTTP_TOKEN_FILE", path, _LARGEST_BYTES).strip()
    # The token itself is in no message.
    if not _SHORTEST <= len(token) <= _LARGEST_BYTES or any(not 0x21 <= c <= 0x7E for c in token):
        hint = "as `openssl rand -hex 32` prints"
        raise AccessError(
            f"HTTP_TOKEN_FILE={path}: holds no usable token; write one line of {_SHORTEST} or "
            f"more letters, digits and signs, without blanks, {hint}"
        )
    return token


def _read_certificate(certificate: Path, key: Path) -> ssl.SSLContext:
    _read("HTTP_TLS_CERTIFICATE", certificate, _LARGEST_FILE_BYTES)
    _read("HTTP_TLS_KEY", key, _LARGEST_FILE_BYTES)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # Without the password it would ask for one at the terminal.
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        raise AccessError(_why(certificate, key, error)) from error
    return context


def _why(certificate: Path, key: Path, error: ssl.SSLError) -> str:
    pair = f"HTTP_TLS_CERTIFICATE={certificate}, HTTP_TLS_KEY={key}"
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"{pair}: the key is not of this certificate"
    advice = (
        "write PEM: the certificate with those between it and the root, and its key, unencrypted"
    )
    return f"{pair}: can't be used ({error.reason or 'no PEM'}); {advice}"
