"""airports.json written by us, which happens only when somebody asks for it.

Another program may change the file at any moment, and a mistake must be undone easily: so a copy is
kept, the file is replaced whole, and only if it is still the one that was read.
"""

import os
import shutil
import stat
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from reconciler.errors import ManifestError
from reconciler.files import sync_directory

_BOM = "\ufeff"


def change_manifest(path: Path, change: Callable[[str], str], now: datetime) -> Path | None:
    """Apply a change of text to the file; return the copy of what it was before.

    None if there was no file. Owner and mode stay. Raises ManifestError.
    """
    target = path.resolve()
    try:
        before = _read(target)
        text = (before or b"").decode()
        marked = text.startswith(_BOM)
        changed = change(text.removeprefix(_BOM))
        content = ((_BOM if marked else "") + changed).encode()
        return _replace(target, before, content, now)
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path}: is not UTF-8 at byte {error.start}") from error
    except OSError as error:
        raise ManifestError(f"{path}: can't be written: {error.strerror}") from error


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _replace(path: Path, before: bytes | None, content: bytes, now: datetime) -> Path | None:
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    backup = None
    try:
        _write_new(draft, content, 0o640)
        if before is not None:
            _same_rights(path, draft)
            backup = _copy(path, path.with_name(f"{path.name}.{now:%Y%m%dT%H%M%S.%fZ}.bak"))
        _refuse_if_changed(path, before)
        draft.replace(path)
    except BaseException:
        for made in filter(None, (draft, backup)):
            made.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)
    return backup


def _refuse_if_changed(path: Path, before: bytes | None) -> None:
    if _read(path) != before:
        raise ManifestError(f"{path}: was changed by somebody else meanwhile; try again")


def _write_new(path: Path, content: bytes, mode: int) -> None:
    """Create it, readable for nobody else until its rights are set."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
        os.fchmod(file.fileno(), mode)


def _copy(path: Path, backup: Path) -> Path:
    _write_new(backup, path.read_bytes(), 0o600)
    _same_rights(path, backup)
    return backup


def _same_rights(source: Path, copy: Path) -> None:
    """Give the copy owner, mode and access lists of the source. Raises ManifestError."""
    wanted = source.stat()
    try:
        os.chown(copy, wanted.st_uid, wanted.st_gid)
    except PermissionError as error:
        raise ManifestError(
            f"{source}: belongs to {wanted.st_uid}:{wanted.st_gid}, and that would be lost; "
            "do it as root, or as that user"
        ) from error
    copy.chmod(stat.S_IMODE(wanted.st_mode))
    with suppress(OSError):  # not every file system has them
        shutil.copystat(source, copy)
        os.utime(copy)
