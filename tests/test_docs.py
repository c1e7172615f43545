"""The tables of the documentation say what the code says."""

from pathlib import Path

from reconciler.core.negotiated import FIXES, Flaw
from reconciler.core.reasons import FAILURES, MEANINGS, Code

REASONS = (Path(__file__).parents[1] / "docs" / "reasons.md").read_text()


def section(heading: str) -> str:
    return REASONS.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table of a section, without its head."""
    lines = [line for line in section(heading).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def expected(codes: tuple[Code, ...]) -> list[list[str]]:
    found = []
    for code in codes:
        meaning = MEANINGS[code]
        found.append([f"`{code}`", meaning.sentence, meaning.side.value, meaning.fix])
    return found


def test_every_failure_stands_in_the_table_with_sentence_side_and_fix() -> None:
    assert rows("Failures") == expected(FAILURES)


def test_so_does_every_state() -> None:
    assert rows("States") == expected(tuple(code for code in Code if code not in FAILURES))


def test_so_does_every_flaw_with_its_fix() -> None:
    told = [(row[0], row[-1]) for row in rows("Up, but not as declared")]
    assert told == [(f"`{flaw}`", FIXES[flaw]) for flaw in Flaw]
