"""Text in columns, as wide as it is seen: some characters take two columns, some none."""

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

_GAP = "  "
_BELOW = "    "
_CUT = "…"
# A column narrower than this can't be read.
_NARROWEST = 24
_NOTHING = ("", "-")
_NO_WIDTH = frozenset({"Mn", "Me", "Cf"})


def width(text: str) -> int:
    """Count the columns that a text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(map(_width_of, text))


def _width_of(character: str) -> int:
    if unicodedata.category(character) in _NO_WIDTH:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, columns: int) -> str:
    """Return the text if it fits, else as much of it as fits, with a sign that it was longer."""
    if width(text) <= columns:
        return text
    return _beginning(text, columns - 1).rstrip() + _CUT if columns > 0 else ""


def _beginning(text: str, columns: int) -> str:
    used = 0
    for index, character in enumerate(text):
        used += _width_of(character)
        if used > columns:
            return text[:index]
    return text


def wrap(text: str, columns: int, most_lines: int = 0) -> list[str]:
    """Break between words; only a word that is longer than a line is broken in itself.

    `most_lines`: the last of them is cut; 0: as many as it takes.
    """
    lines = list(_lines(text, max(1, columns)))
    if most_lines and len(lines) > most_lines:
        rest = " ".join(lines[most_lines - 1 :])
        lines = [*lines[: most_lines - 1], cut(rest, columns)]
    return lines or [""]


def _lines(text: str, columns: int) -> Iterator[str]:
    line = ""
    for word in text.split():
        joined = f"{line} {word}" if line else word
        if width(joined) <= columns:
            line = joined
            continue
        if line:
            yield line
        line = word
        while width(line) > columns:
            # At least one character a line, or it would never end.
            piece = _beginning(line, columns) or line[0]
            yield piece
            line = line[len(piece) :]
    if line:
        yield line


def indented(text: str, columns: int, first: str, later: str) -> list[str]:
    """Wrap a text behind a beginning; the lines after the first begin otherwise."""
    if not columns:
        return [first + text]
    lines = wrap(text, columns - max(width(first), width(later)))
    return [first + lines[0], *(later + line for line in lines[1:])]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table. `codes`: by number of the cell, how a terminal is to show it."""

    cells: tuple[str, ...]
    codes: Mapping[int, str] = field(default_factory=dict)

    def line(self, widths: Sequence[int]) -> str:
        """Put the cells beside each other."""
        padded = [
            paint(cell, self.codes.get(number, "")) + " " * (columns - width(cell))
            for number, (cell, columns) in enumerate(zip(self.cells, widths, strict=True))
        ]
        return _GAP.join(padded).rstrip()


def paint(text: str, code: str) -> str:
    """Have a terminal show the text in a certain way; without a code as it is."""
    return f"\x1b[{code}m{text}\x1b[0m" if code else text


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return one line for each row, however wide."""
    made = [Row(tuple(headings)), *(Row(tuple(row)) for row in rows)]
    widths = _widths(made)
    return [row.line(widths) for row in made]


def _widths(rows: Iterable[Row]) -> list[int]:
    return [max(map(width, column)) for column in zip(*(row.cells for row in rows), strict=True)]


def room_for_last(rows: Iterable[Row], columns: int) -> int:
    """Return how many columns the others leave for the last one."""
    *others, _ = _widths(rows)
    return columns - sum(others) - len(_GAP) * len(others)


def fitted_table(rows: Sequence[Row], columns: int, most_lines: int) -> list[list[str]]:
    """Return the lines of each row, the first of which is the heading.

    The last column takes what the others leave, and is wrapped to `most_lines` at most; where that
    is too little to read, it stands below. No `columns`: a line may be of any length.
    """
    widths = _widths(rows)
    room = room_for_last(rows, columns)
    before = columns - room
    if not columns:
        return [[row.line(widths)] for row in rows]
    if room < _NARROWEST:
        return [_with_the_last_below(row, widths, columns, most_lines) for row in rows]
    found = []
    for row in rows:
        first, *more = wrap(row.cells[-1], room, most_lines)
        line = Row((*row.cells[:-1], first), row.codes).line(widths)
        found.append([line, *(" " * before + one for one in more)])
    return found


def _with_the_last_below(
    row: Row, widths: Sequence[int], columns: int, most_lines: int
) -> list[str]:
    line = Row(row.cells[:-1], row.codes).line(widths[:-1])
    if row.cells[-1] in _NOTHING:
        return [line]
    return [line, *(_BELOW + one for one in wrap(row.cells[-1], columns - 4, most_lines))]
