"""airports.json changed by us: whole, with a copy, and never over somebody else's change."""

import os
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.edges.manifest_writer import change_manifest
from reconciler.errors import ManifestError

NOW = datetime(2026, 11, 25, 18, 0, 5, 7, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "airports.json"
    file.write_text("before")
    file.chmod(0o640)
    return file


def append(text: str) -> str:
    return text + " and after"


def test_the_file_is_changed_and_a_copy_of_it_kept(path: Path) -> None:
    backup = change_manifest(path, append, NOW)
    assert path.read_text() == "before and after"
    assert backup == path.with_name("airports.json.20261125T180005.000007Z.bak")
    assert backup.read_text() == "before"
    assert sorted(path.parent.iterdir()) == [path, backup]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
def test_mode_and_owner_stay(path: Path, mode: int) -> None:
    path.chmod(mode)
    if os.geteuid() == 0:
        os.chown(path, 10001, 10001)
    before = path.stat()
    backup = change_manifest(path, append, NOW)
    assert backup is not None
    for file in (path, backup):
        assert stat.S_IMODE(file.stat().st_mode) == mode
        assert (file.stat().st_uid, file.stat().st_gid) == (before.st_uid, before.st_gid)


def test_a_reader_sees_the_old_file_or_the_new_one(path: Path) -> None:
    inode = path.stat().st_ino
    with path.open() as reader:
        change_manifest(path, append, NOW)
        assert reader.read() == "before"
    assert path.stat().st_ino != inode


def test_a_change_by_somebody_else_meanwhile_wins(path: Path) -> None:
    def change(text: str) -> str:
        path.write_text("theirs")
        return append(text)

    with pytest.raises(ManifestError, match="changed by somebody else meanwhile"):
        change_manifest(path, change, NOW)
    assert path.read_text() == "theirs"
    assert [*path.parent.iterdir()] == [path]


def test_a_link_stays_a_link(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.json"
    link.symlink_to(path)
    change_manifest(link, append, NOW)
    assert link.is_symlink()
    assert path.read_text() == "before and after"


def test_a_byte_order_mark_stays_and_is_no_part_of_the_text(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbfbefore")
    change_manifest(path, append, NOW)
    assert path.read_bytes() == b"\xef\xbb\xbfbefore and after"


def test_line_ends_stay(path: Path) -> None:
    path.write_bytes(b"a\r\nb\n")
    change_manifest(path, append, NOW)
    assert path.read_bytes() == b"a\r\nb\n and after"


def test_a_file_that_is_not_there_is_made_without_a_copy(tmp_path: Path) -> None:
    path = tmp_path / "airports.json"
    assert change_manifest(path, lambda text: f"[{text}]", NOW) is None
    assert path.read_text() == "[]"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt])
def test_a_change_that_fails_changes_nothing(path: Path, fault: type[BaseException]) -> None:
    def change(_text: str) -> str:
        raise fault

    with pytest.raises(fault):
        change_manifest(path, change, NOW)
    assert [*path.parent.iterdir()] == [path]


def test_a_copy_of_the_same_moment_is_not_overwritten(path: Path) -> None:
    change_manifest(path, append, NOW)
    with pytest.raises(ManifestError, match="File exists"):
        change_manifest(path, append, NOW)
    assert path.read_text() == "before and after"


def test_an_owner_that_can_not_be_kept_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refuse)
    with pytest.raises(ManifestError, match="do it as root, or as that user"):
        change_manifest(path, append, NOW)
    assert [*path.parent.iterdir()] == [path]


@pytest.mark.parametrize("content", [b"\xff", b"ok"])
def test_what_can_not_be_read_or_written_is_told(
    path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(content)
    real: Callable[..., int] = os.open

    def read_only(name: object, flags: int, *more: int) -> int:
        if flags & os.O_CREAT:
            raise OSError(30, "Read-only file system")
        return real(name, flags, *more)

    monkeypatch.setattr(os, "open", read_only)
    with pytest.raises(ManifestError, match=r"is not UTF-8|Read-only file system"):
        change_manifest(path, append, NOW)
    assert path.read_bytes() == content
