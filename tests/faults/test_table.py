"""The page of the faults: every fault has a row, and a row says what was measured."""

import json
from pathlib import Path

import pytest

from faults import table
from faults.__main__ import FAULTS
from faults.fault import Fault, Play, Run
from faults.notice import Notice
from faults.pings import Series


def nothing(_play: Play) -> None:
    """Is never played here."""


ONE = Fault("one", "one thing fails", nothing, 30, ("kspb",))
OTHER = Fault("other", "another thing fails", nothing, 30)
GOOD = Run((4.0,), {"kspb": 30, "kczk": 0}, Notice("log: told", 1.0))
MACHINE: dict[str, object] = {
    "cores": 2,
    "memory_mib": 8000,
    "kernel": "6.1",
    "strongswan": "6.0.1",
}


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(table, "FIGURES", tmp_path / "results" / "faults.json")
    monkeypatch.setattr(table, "PAGE", tmp_path / "faults.md")
    return tmp_path / "faults.md"


def row(page: Path, fault: Fault) -> str:
    table.write([ONE, OTHER])
    return next(line for line in page.read_text().splitlines() if f"`{fault.name}`" in line)


def test_a_row_gives_median_and_worst_and_how_it_was_noticed(page: Path) -> None:
    table.note(ONE, [GOOD, Run((6.0,), {"kspb": 50, "kczk": 0}, GOOD.noticed)], MACHINE)
    cells = [cell.strip() for cell in row(page, ONE).strip("|").split("|")]
    assert cells == [
        "`one`: one thing fails",
        "2.0 s, at worst 2.5 s",
        "nothing",
        "5.0 s, at worst 6.0 s",
        "log: told, after 1.0 s",
        "2",
    ]
    assert "2 virtual cores, 8 GiB, Linux 6.1, strongSwan 6.0.1" in page.read_text()


def test_figures_of_faults_that_are_not_played_stay(page: Path) -> None:
    table.note(ONE, [GOOD], MACHINE)
    before = row(page, ONE)
    table.note(OTHER, [GOOD], MACHINE)
    assert row(page, ONE) == before
    table.note_skipped(ONE, "can't be played here")
    assert row(page, ONE) == before


def test_a_fault_that_was_never_played_says_why(page: Path) -> None:
    assert "not measured yet" in row(page, ONE)
    table.note_skipped(ONE, "no engine to restart")
    assert "no engine to restart" in row(page, ONE)


def test_a_failed_run_and_an_innocent_loss_can_not_be_overlooked(page: Path) -> None:
    lossy = Run((4.0,), {"kspb": 1, "kczk": 3}, None, "pings were lost")
    table.note(ONE, [GOOD, lossy], MACHINE)
    assert "**3 pings**" in row(page, ONE)
    assert "**failed in 1**: pings were lost" in row(page, ONE)


def test_rows_measured_elsewhere_are_taken_over(page: Path, tmp_path: Path) -> None:
    table.note(ONE, [GOOD], MACHINE)
    elsewhere = tmp_path / "elsewhere.json"
    figures = json.loads(table.FIGURES.read_text())
    elsewhere.write_text(json.dumps({"other": figures["one"]}))
    table.add(elsewhere)
    assert "4.0 s" in row(page, ONE)
    assert "4.0 s" in row(page, OTHER)


def test_the_page_in_the_repository_is_what_its_figures_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = table.PAGE.read_text()
    monkeypatch.setattr(table, "PAGE", tmp_path / "faults.md")
    table.write([*FAULTS.values()])
    assert table.PAGE.read_text() == written, "run: python -m faults --table"


def test_only_recent_pings_tell_whether_a_tunnel_carries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("faults.pings.time.monotonic", lambda: 100.0)
    series = Series(0.05, 0.0, [99.2, 99.3, 99.5, 99.6, 99.9], bytearray([0, 0, 1, 1, 0]))
    assert series.carries(since_s=0.0), "what is under way is not lost yet"
    assert not series.carries(since_s=99.7), "what was sent before proves nothing"
    assert series.lost(since_s=99.25) == [99.3, 99.9]
    series.answered[3] = 0
    assert not series.carries(since_s=0.0)


def test_an_answer_counts_for_the_latest_ping_of_its_number() -> None:
    series = Series(0.05, 0.0, [float(n) for n in range(65540)], bytearray(65540))
    series.note_answer(3)
    series.note_answer(5)
    assert [n for n, answered in enumerate(series.answered) if answered] == [5, 65539]
