"""`reconciler status`: the table, once or again and again, of all tunnels or of some."""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase

from reconciler.core.status import ConnectionStatus, Status
from reconciler.edges.status_file import read_status
from reconciler.errors import StatusError
from reconciler.layout import indented
from reconciler.settings import Settings
from reconciler.terminal import Screen, columns_of, wants_colour
from reconciler.text import View, state_of, status_text

_WATCH_S = 2.0
_STATES = ("up", "down", "connecting", "unknown")
_STALE = "is stale; is the reconciler running?"


def seconds(text: str) -> float:
    """Read the pause between two looks. Raises argparse.ArgumentTypeError."""
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0.2 <= found <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r}: write seconds, 0.2 to 3600")
    return found


def colour_option(parser: argparse.ArgumentParser) -> None:
    """Take whether to use colours."""
    parser.add_argument(
        "--colour",
        "--color",
        choices=["always", "never", "auto"],
        default="auto",
        help="auto: on a terminal, unless NO_COLOR is set",
    )


def status_options(parser: argparse.ArgumentParser) -> None:
    """Take what is to be shown, and how."""
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="only these connections or airports; * stands for anything",
    )
    state = parser.add_mutually_exclusive_group()
    state.add_argument("--not-up", action="store_true", help="only those that are not up")
    state.add_argument("--state", choices=_STATES, help="only those in this state")
    parser.add_argument("--watch", action="store_true", help="show it again and again")
    parser.add_argument(
        "--interval",
        dest="interval_s",
        type=seconds,
        default=_WATCH_S,
        metavar="SECONDS",
        help="with --watch: how often; default: 2",
    )
    colour_option(parser)


def is_stale(status: Status, settings: Settings, now: float) -> bool:
    """Tell whether it says nothing about now any more."""
    return now - status.timestamp > 2 * settings.resync_seconds


def status(settings: Settings, options: argparse.Namespace) -> int:
    """Show the status; the code is about the named tunnels, whichever of them are listed."""
    if options.watch:
        return _watch(settings, options)
    return _write(_read(settings, options), settings, options)


@dataclass(frozen=True, slots=True)
class _Look:
    """One reading of the status file.

    Attributes:
        status: with the named connections only; None: there is none.
        shown: the names of those to be listed.
        errors: what is to be said beside it.

    """

    code: int
    status: Status | None = None
    shown: frozenset[str] = frozenset()
    stale: bool = False
    errors: tuple[str, ...] = ()


def _read(settings: Settings, options: argparse.Namespace) -> _Look:
    try:
        status = read_status(settings.status_file)
    except StatusError as error:
        return _Look(4, errors=(str(error),))
    named, unknown = _named(status, options.names)
    stale = is_stale(status, settings, time.time())
    errors = [*unknown, *([f"{settings.status_file}: {_STALE}"] if stale else [])]
    known = status.daemon.reachable and (named.connections or status.configuration.valid)
    all_up = all(one.status == "up" for one in named.connections.values())
    code = 4 if stale else int(not (known and all_up and not unknown))
    shown = frozenset(_chosen(named, options))
    return _Look(code, named, shown, stale, tuple(errors))


def _named(status: Status, wanted: Iterable[str]) -> tuple[Status, list[str]]:
    """Keep what is asked for by name or pattern; say what there is not."""
    found: dict[str, ConnectionStatus] = {}
    unknown: list[str] = []
    for pattern in wanted:
        matching = {
            name: one
            for name, one in status.connections.items()
            if fnmatchcase(name, pattern) or fnmatchcase(one.airport_id, pattern)
        }
        found |= matching
        if not matching:
            unknown.append(_why_unknown(status, pattern))
    if not wanted:
        return status, []
    return status.model_copy(update={"connections": found}), unknown


def _why_unknown(status: Status, name: str) -> str:
    configuration = status.configuration
    if name in configuration.airports_disabled:
        return f"{name}: is switched off in airports.json, so there is no tunnel"
    if name in configuration.airports_invalid:
        return (
            f"{name}: its declaration has errors, so there is no tunnel: reconciler explain {name}"
        )
    return f"{name!r} is no connection or airport of this status"


def _chosen(status: Status, options: argparse.Namespace) -> Iterator[str]:
    for name, one in status.connections.items():
        if options.not_up and one.status == "up":
            continue
        if options.state is None or state_of(one) == options.state:
            yield name


def _write(look: _Look, settings: Settings, options: argparse.Namespace) -> int:
    """Print it once."""
    if look.status is not None:
        if options.json:
            listed = {n: c for n, c in look.status.connections.items() if n in look.shown}
            shown = look.status.model_copy(update={"connections": listed})
            text = json.dumps(shown.model_dump(mode="json"), indent=1)
        else:
            text = _text(look.status, look, options, rows=0, columns=columns_of(sys.stdout))
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    for error in look.errors:
        sys.stderr.write(f"reconciler: {error}\n")
    return look.code


def _text(
    status: Status, look: _Look, options: argparse.Namespace, *, rows: int, columns: int
) -> str:
    view = View(
        colour=wants_colour(options.colour, sys.stdout, os.environ),
        columns=columns,
        rows=rows,
        stale=look.stale,
        shown=look.shown,
        only=bool(options.names),
    )
    return status_text(status, int(time.time()), view)


def _watch(settings: Settings, options: argparse.Namespace) -> int:
    """Show it until interrupted. Where no terminal is, one after the other."""
    if options.json or not sys.stdout.isatty():
        while True:
            _write(_read(settings, options), settings, options)
            time.sleep(options.interval_s)

    def page(columns: int, rows: int) -> Iterable[str]:
        look = _read(settings, options)
        time_of_day = datetime.now(UTC).strftime("%H:%M:%S")
        head = (
            f"reconciler status at {time_of_day} UTC, every {options.interval_s:g} s, end: Ctrl-C"
        )
        # That it is stale stands in the table's first line.
        errors = [error for error in look.errors if not error.endswith(_STALE)]
        below = [line for error in errors for line in indented(error, columns, "", "  ")]
        if look.status is None:
            return [head, "", *below]
        room = rows - 2 - len(below)
        text = _text(look.status, look, options, rows=room, columns=columns)
        return [head, "", *text.splitlines(), *below]

    screen = Screen(sys.stdout)
    with screen.shown():
        while True:
            screen.draw(page)
            screen.wait(options.interval_s)
