"""The terminal that is written to: whether there is one, how large, in colour, and a page on it."""

import os
import select
import shutil
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn, TextIO

from reconciler.layout import width

_ENTER = "\x1b[?1049h\x1b[?25l"  # a screen of its own, no cursor
_LEAVE = "\x1b[?25h\x1b[?1049l"
_HOME, _CLEAR_LINE, _CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"
_RESET = "\x1b[0m"


def wants_colour(choice: str, stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Decide by `always`, `never` or `auto`: on a terminal, unless NO_COLOR is set."""
    if choice != "auto":
        return choice == "always"
    plain = environment.get("NO_COLOR") or environment.get("TERM") == "dumb"
    return stream.isatty() and not plain


def columns_of(stream: TextIO) -> int:
    """Return how wide the terminal is; 0: it is none, and lines may be of any length."""
    return shutil.get_terminal_size().columns if stream.isatty() else 0


def clipped(line: str, columns: int) -> str:
    """Cut a line, escape sequences included, so that the terminal never wraps it."""
    if width(line) <= columns:
        return line
    seen, found, rest = 0, "", line
    while rest:
        if rest.startswith("\x1b["):
            sequence, _, rest = rest.partition("m")
            found += sequence + "m"
            continue
        wide = width(rest[0])
        if seen + wide > columns:
            return found + (_RESET if "\x1b[" in found else "")
        seen, found, rest = seen + wide, found + rest[0], rest[1:]
    return found


class Screen:
    """A page that is drawn over itself: nothing is cleared before it is written anew."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._woken, self._waker = os.pipe()

    def draw(self, page: Callable[[int, int], Iterable[str]]) -> None:
        """Write the lines that `page` gives for so many columns and rows."""
        columns, rows = shutil.get_terminal_size()
        lines = [clipped(line, columns) + _CLEAR_LINE for line in page(columns, rows)][:rows]
        self._stream.write(_HOME + "\r\n".join(lines) + _CLEAR_BELOW)
        self._stream.flush()

    def wait(self, seconds: float) -> None:
        """Wait so long, or until the terminal has another size."""
        ready, _, _ = select.select([self._woken], [], [], seconds)
        if ready:
            os.read(self._woken, 1024)

    def _resized(self, _number: int, _frame: FrameType | None) -> None:
        os.write(self._waker, b".")

    def close(self) -> None:
        """Let go of what was opened for waiting."""
        os.close(self._woken)
        os.close(self._waker)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show a screen of its own meanwhile; what was there before comes back, however it ends."""
        before = {
            signal.SIGTERM: signal.signal(signal.SIGTERM, _end),
            signal.SIGWINCH: signal.signal(signal.SIGWINCH, self._resized),
        }
        self._stream.write(_ENTER)
        try:
            yield
        finally:
            self._stream.write(_LEAVE)
            self._stream.flush()
            for number, handler in before.items():
                signal.signal(number, handler)
            self.close()


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)
