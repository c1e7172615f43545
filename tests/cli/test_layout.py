"""Columns stand below each other whatever characters are in them, and nothing is too wide."""

import pytest

from reconciler.layout import Row, cut, fitted_table, indented, table, width, wrap
from reconciler.terminal import clipped

ROWS = (Row(("NAME", "WHY")), Row(("kspb", "the site has another key than the declared one")))


@pytest.mark.parametrize(
    ("text", "columns"), [("kspb", 4), ("東京", 4), ("e\u0301", 1), ("ü", 1), ("", 0)]
)
def test_a_text_is_as_wide_as_it_is_seen(text: str, columns: int) -> None:
    assert width(text) == columns


@pytest.mark.parametrize(
    ("text", "columns", "expected"),
    [("kspb", 4, "kspb"), ("kspbx", 4, "ksp…"), ("東京東", 4, "東…"), ("kspb", 0, "")],
)
def test_what_does_not_fit_is_cut_and_says_so(text: str, columns: int, expected: str) -> None:
    assert cut(text, columns) == expected


def test_lines_are_broken_between_words_and_long_words_in_themselves() -> None:
    assert wrap("one two three", 7) == ["one two", "three"]
    assert wrap("a/very/long/path", 6) == ["a/very", "/long/", "path"]
    assert wrap("東京羽田", 3) == ["東", "京", "羽", "田"]
    assert wrap("東京", 1) == ["東", "京"], "narrower than a character: no endless loop"
    assert wrap("", 5) == [""]


def test_a_text_that_takes_too_many_lines_is_cut_in_the_last() -> None:
    assert wrap("one two three four", 5, most_lines=2) == ["one", "two…"]


def test_columns_are_padded_by_what_is_seen() -> None:
    assert table(("A", "B"), [("東京", "x"), ("kspb", "y")]) == ["A     B", "東京  x", "kspb  y"]


@pytest.mark.parametrize("columns", [30, 40, 60])
def test_the_last_column_is_wrapped_within_itself(columns: int) -> None:
    heading, lines = fitted_table(ROWS, columns, 4)
    assert all(width(line) <= columns for line in (*heading, *lines))
    start = lines[0].index("the site")
    assert start == heading[0].index("WHY") == 6
    assert all(line.startswith(" " * start) for line in lines[1:])
    assert " ".join(line[start:] for line in lines) == ROWS[1].cells[-1]


def test_where_the_last_column_has_no_room_it_stands_below() -> None:
    _, lines = fitted_table(ROWS, 24, 9)
    assert lines == ["kspb", "    the site has another", "    key than the", "    declared one"]


def test_without_a_width_every_row_is_one_line() -> None:
    assert [len(lines) for lines in fitted_table(ROWS, 0, 1)] == [1, 1]


def test_a_text_behind_a_beginning_is_wrapped_below_itself() -> None:
    assert indented("one two three", 12, "- ", "  ") == ["- one two", "  three"]
    assert indented("one two three", 0, "- ", "  ") == ["- one two three"]


def test_a_colour_takes_no_room() -> None:
    made = Row(("up", "x"), {0: "32"}).line([4, 1])
    assert made == "\x1b[32mup\x1b[0m    x"


@pytest.mark.parametrize(
    ("line", "columns", "expected"),
    [
        ("kspb", 4, "kspb"),
        ("kspb", 3, "ksp"),
        ("\x1b[31mdown\x1b[0m", 4, "\x1b[31mdown\x1b[0m"),
        ("\x1b[31mdown\x1b[0m", 2, "\x1b[31mdo\x1b[0m"),
        ("東京", 3, "東"),
    ],
)
def test_a_line_is_clipped_where_the_terminal_ends_and_its_colour_too(
    line: str, columns: int, expected: str
) -> None:
    assert clipped(line, columns) == expected
