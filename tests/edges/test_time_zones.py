"""Names of time zones come from this machine's list."""

import zoneinfo
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.edges.time_zones import read_time_zones


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    zoneinfo.reset_tzpath([tmp_path])
    yield tmp_path
    zoneinfo.reset_tzpath()


def test_places_are_known_and_nothing_else_is(folder: Path) -> None:
    for name in ("Made/Up", "Made_Up", "localtime", "Factory"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"TZif2")
    (folder / "Made" / "notes.txt").write_text("no zone")
    known = read_time_zones()
    assert {"Made/Up", "Made_Up"} <= known
    assert not known & {"localtime", "posixrules", "Factory", "Made/notes.txt", ""}


def test_a_machine_without_a_list_knows_none_of_its_own(folder: Path) -> None:
    assert not {name for name in read_time_zones() if (folder / name).exists()}
