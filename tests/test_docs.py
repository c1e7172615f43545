"""The tables of the documentation say what the code says."""

from pathlib import Path

from reconciler.core.negotiated import FIXES, Flaw
from reconciler.core.reasons import FAILURES, MEANINGS, Code
from reconciler.core.routing import Route

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


def test_so_does_every_flaw_with_its_fix_and_side() -> None:
    told = [(row[0], row[2], row[3]) for row in rows("Up, but not as declared")]
    assert told == [(f"`{flaw}`", FIXES[flaw], flaw.side.value) for flaw in Flaw]


def test_every_verdict_on_a_camera_stands_in_its_table() -> None:
    text = (Path(__file__).parents[1] / "docs" / "cameras.md").read_text()
    table = text.split("\n## Which way leads to a camera\n")[1].split("\n### ")[0]
    lines = [line for line in table.splitlines() if line.startswith("| `")][1:]
    assert [line.split("`")[1] for line in lines] == [route.value for route in Route]
