"""The tables of the documentation say what the code says."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from reconciler.cli import command_names
from reconciler.core.negotiated import FIXES, Flaw
from reconciler.core.reasons import FAILURES, MEANINGS, Code, Side
from reconciler.core.routers import ROUTERS
from reconciler.core.routing import Route
from reconciler.settings import Settings
from tests.pages import FENCE, anchors

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
REASONS = (ROOT / "docs" / "reasons.md").read_text()
SITE_PAGE = (ROOT / "docs" / "what-the-site-sees.md").read_text()


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


# What the person at the site can do something about, and what only she can see.
FOR_THE_SITE = [code for code in Code if MEANINGS[code].side in (Side.SITE, Side.NETWORK)]


@pytest.mark.parametrize("code", FOR_THE_SITE)
def test_what_the_site_must_act_upon_is_explained_to_the_site_and_linked(code: Code) -> None:
    assert f"\n### {code}\n" in SITE_PAGE
    assert f"(what-the-site-sees.md#{code})" in REASONS


def test_every_router_has_a_row_that_says_how_it_was_proved() -> None:
    page = (ROOT / "docs" / "remote-sites.md").read_text()
    table = [line for line in page.splitlines() if line.startswith("| `")][1:]
    found = [line.split("|")[1:3] for line in table]
    expected = [[f" `{name}` ", f" {one.title}: {one.versions} "] for name, one in ROUTERS.items()]
    assert found == expected
    assert all(cell.strip() for line in table for cell in line.strip("|").split("|"))


def test_every_command_stands_in_the_table_of_commands_in_the_order_of_help() -> None:
    table = (ROOT / "docs" / "cli.md").read_text().split("\n## run\n")[0]
    cells = [line.split(" | ")[0] for line in table.splitlines() if line.startswith("| [`")]
    assert re.findall(r"\[`([a-z-]+)`\]", "".join(cells)) == [*command_names()]


def test_every_setting_stands_in_its_table_with_its_default() -> None:
    table = (ROOT / "docs" / "cli.md").read_text().split("\n## Settings\n")[1]
    rows = re.findall(r"^\| `([A-Z_]+)` \| `?([^`|]+)`? \|", table, re.MULTILINE)
    defaults = Settings()
    values = [(one.name, getattr(defaults, one.name)) for one in fields(defaults)]
    assert rows == [
        (name.upper(), f"{value:g}" if isinstance(value, float) else str(value) or "none")
        for name, value in values
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_page_of_ours_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", page.read_text())):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        other = (page.parent / name).resolve() if name else page
        assert other.exists(), target
        assert not anchor or anchor in anchors(other), target
