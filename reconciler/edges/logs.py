"""Log lines: JSON for machines, one readable line for people on a terminal.

Messages are constant; values travel as fields in `extra={"fields": …}`. Every value is masked, and
so are the texts of errors: this is the last place where a key that got into one can be covered.
"""

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from math import isfinite
from types import TracebackType
from typing import Any, TextIO

from reconciler.core.check import printable
from reconciler.core.mask import Mask

log = logging.getLogger(__name__)
_COLOURS = {"WARNING": "\x1b[33m", "ERROR": "\x1b[31m", "CRITICAL": "\x1b[31m"}


_mask = Mask()


def hide(mask: Mask) -> None:
    """Cover these keys in every line from now on."""
    global _mask
    _mask = mask


def masked(text: str) -> str:
    """Cover the keys in what is told otherwise."""
    return _mask.text(text)


def tell_uncaught(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Log what ends the process instead of Python's own words, which are not masked."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    log.critical("unexpected error", exc_info=(kind, error, trace))


def configure_logging(log_format: str, level: str, stream: TextIO = sys.stderr) -> None:
    """Set the one handler. `log_format`: json, text, or auto (text on a terminal)."""
    human = log_format == "text" or (log_format == "auto" and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(HumanFormatter() if human else JsonFormatter())
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)


def _fields(record: logging.LogRecord) -> Mapping[str, Any]:
    fields = getattr(record, "fields", {})
    return _masked(fields) if isinstance(fields, Mapping) else {}


def _masked(value: Any) -> Any:
    """Mask every text, as deep as it stands; what is no number is written as text anyway."""
    match value:
        case str():
            return _mask.text(value)
        case bool() | int() | None:
            return value
        case float() if isfinite(value):
            return value
        case Mapping():
            return {str(key): _masked(one) for key, one in value.items()}
        case list() | tuple():
            return [*map(_masked, value)]
        case _:
            return _mask.text(str(value))


def _chain(error: BaseException | None) -> str:
    """Put the whole chain of causes on one line; tracebacks could show values of locals."""
    links = []
    while error is not None:
        links.append(f"{type(error).__name__}: {error}")
        error = error.__cause__ or error.__context__
    return " <- ".join(links)


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return time, level, message and fields, and the error's chain and place."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": _mask.text(record.getMessage()),
            **_fields(record),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = _mask.text(_chain(record.exc_info[1]))
            line["traceback"] = _mask.text(self.formatException(record.exc_info)).splitlines()
        return json.dumps(line)


class HumanFormatter(logging.Formatter):
    """One line with time, level, message and fields, in colour."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and below it the traceback of an unexpected error."""
        time = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S")
        given = _fields(record).items()
        fields = printable(" ".join(f"{key}={value}" for key, value in given if value != ""))
        message = printable(_mask.text(record.getMessage()))
        colour = _COLOURS.get(record.levelname, "")
        reset = "\x1b[0m" if colour else ""
        line = f"{time} {colour}{record.levelname.lower():7}{reset} {message} {fields}"
        if record.exc_info and record.exc_info[1] is not None:
            line = f"{line}\n{_mask.text(self.formatException(record.exc_info))}"
        return line.rstrip()
