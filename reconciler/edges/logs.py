"""Log lines: JSON for machines, one readable line for people on a terminal.

Messages are constant; values travel as fields in `extra={"fields": …}`.
"""

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

_COLOURS = {"WARNING": "\x1b[33m", "ERROR": "\x1b[31m", "CRITICAL": "\x1b[31m"}


def configure_logging(log_format: str, level: str, stream: TextIO = sys.stderr) -> None:
    """Set the one handler. `log_format`: json, text, or auto (text on a terminal)."""
    human = log_format == "text" or (log_format == "auto" and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(HumanFormatter() if human else JsonFormatter())
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)


def _fields(record: logging.LogRecord) -> Mapping[str, Any]:
    fields = getattr(record, "fields", {})
    return fields if isinstance(fields, Mapping) else {}


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
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = _chain(record.exc_info[1])
            line["traceback"] = self.formatException(record.exc_info).splitlines()
        return json.dumps(line, default=str)


class HumanFormatter(logging.Formatter):
    """One line with time, level, message and fields, in colour."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and below it the traceback of an unexpected error."""
        time = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S")
        fields = " ".join(f"{key}={value}" for key, value in _fields(record).items())
        colour = _COLOURS.get(record.levelname, "")
        reset = "\x1b[0m" if colour else ""
        line = f"{time} {colour}{record.levelname.lower():7}{reset} {record.getMessage()} {fields}"
        if record.exc_info and record.exc_info[1] is not None:
            line = f"{line}\n{self.formatException(record.exc_info)}"
        return line.rstrip()
