"""`reconciler history`: the journal of transitions, for people and for programs."""

import argparse
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from reconciler.core.status import Status
from reconciler.core.transitions import KEPT, Transition, lasted_s, newest
from reconciler.edges.journal import Entry, journal_file, read_journal
from reconciler.edges.state import State
from reconciler.edges.status_file import read_status
from reconciler.errors import StatusError
from reconciler.layout import table
from reconciler.orders import connection_name, parse_duration_s
from reconciler.settings import Settings
from reconciler.text import duration

_HEADINGS = (
    *("TIME (UTC)", "AGO", "AIRPORT", "CONNECTION", "FROM", "TO", "LASTED"),
    "REASON",
)


@dataclass(frozen=True, slots=True)
class Row:
    """One transition, and how long it lasted; None: not known. `lasts`: it still does."""

    entry: Entry
    lasted_s: int | None
    lasts: bool


def options(parser: argparse.ArgumentParser) -> None:
    """Take the name, and since when."""
    parser.add_argument("name", metavar="NAME", nargs="?", help="connection or airport")
    parser.add_argument(
        "--since",
        dest="since_s",
        type=parse_duration_s,
        metavar="DURATION",
        help="only what happened in the last 30m, 2h, 7d, …",
    )


def history(settings: Settings, wanted: argparse.Namespace) -> dict[str, object]:
    """Return what happened, the newest first. Raises OrderError for a name that nobody has."""
    now = int(time.time())
    chains = _chains(settings, wanted.name)
    status = _status(settings, now)
    rows = [*_rows(chains, status, now)]
    rows.sort(key=lambda numbered: numbered[0], reverse=True)
    after = now - wanted.since_s if wanted.since_s else 0
    found = [row for _, row in rows if row.entry.transition.at >= after]
    return {"transitions": [*map(_json, found)], "text": _text(found, now)}


def _chains(settings: Settings, wanted: str | None) -> dict[str, list[tuple[int, Entry]]]:
    """Return the numbered entries of each connection that was asked for."""
    chains: dict[str, list[tuple[int, Entry]]] = {}
    for numbered in enumerate(read_journal(journal_file(settings.state_dir))):
        entry = numbered[1]
        if wanted in (None, entry.connection, entry.airport):
            chains.setdefault(entry.connection, []).append(numbered)
    if wanted in chains:
        return {wanted: chains[wanted]}  # not that of an airport of the same name
    if wanted is not None and not chains:
        connection_name(settings, State(settings.state_dir, settings.swanctl_file), wanted)
    return chains


def _status(settings: Settings, now: int) -> Status | None:
    """Return the present status; None, and a note, if nobody knows how things are now."""
    try:
        status = read_status(settings.status_file)
    except StatusError as error:
        note = str(error)
    else:
        if now - status.timestamp > 2 * settings.resync_seconds:
            note = f"{settings.status_file}: is stale; is the reconciler running?"
        elif not status.daemon.reachable:
            note = f"charon can't be asked: {status.daemon.error}"
        else:
            return status
    sys.stderr.write(f"note: what has happened since is not known: {note}\n")
    return None


def _rows(
    chains: dict[str, list[tuple[int, Entry]]], status: Status | None, now: int
) -> Iterator[tuple[int, Row]]:
    for name, chain in chains.items():
        known = status is not None and name in status.connections
        ones = [entry.transition for _, entry in chain]
        lasted = lasted_s(ones, now if known else None)
        kept = {id(one) for one in newest(ones, KEPT)}
        for (number, entry), (seconds, lasts) in zip(chain, lasted, strict=True):
            if id(entry.transition) in kept:
                yield number, Row(entry, seconds, lasts)


def _json(row: Row) -> dict[str, object]:
    one = row.entry.transition
    return {
        "at": one.at,
        "airport_id": row.entry.airport,
        "connection_name": row.entry.connection,
        "from_status": one.from_status,
        "to_status": one.to_status,
        "reason_code": one.reason_code,
        "reason": one.reason,
        "lasted_s": row.lasted_s,
        "lasts": row.lasts,
    }


def _text(rows: Sequence[Row], now: int) -> str:
    if not rows:
        return "no transition is recorded"
    return "\n".join(table(_HEADINGS, _cells(rows, now)))


def _cells(rows: Iterable[Row], now: int) -> Iterator[tuple[str, ...]]:
    for row in rows:
        one = row.entry.transition
        yield (
            _utc(one.at),
            duration(max(0, now - one.at)),
            row.entry.airport,
            row.entry.connection,
            one.from_status or "-",
            one.to_status,
            _lasted(row),
            _why(one),
        )


def _utc(at: int) -> str:
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (OverflowError, ValueError):
        return str(at)


def _lasted(row: Row) -> str:
    if row.lasted_s is None:
        return "-"
    return duration(row.lasted_s) + (" so far" if row.lasts else "")


def _why(one: Transition) -> str:
    return ": ".join(filter(None, (one.reason_code, one.reason))) or "-"
