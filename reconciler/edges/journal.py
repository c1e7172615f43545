"""The transitions of every connection, in a file on the state volume: one JSON object a line.

Lines are only added, by a thread of its own, so that a disk that is full, slow or stalled holds up
no round. Once the file is about twice as long as what is kept, it is written anew, whole. Only who
keeps the hub writes; anybody may read at any moment.
"""

import json
import logging
import os
import re
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import NamedTuple

from reconciler.core.transitions import (
    KEPT,
    Tail,
    Transition,
    is_kept,
    is_minor,
    minor_share,
    newest,
)
from reconciler.errors import StateError
from reconciler.files import read_within, sync_directory

log = logging.getLogger(__name__)
_FILE_MODE = 0o600
_REMOVED_KEPT_S = 30 * 86_400
# The file may grow by as much as is kept, and by so much in any case.
_SLACK_LINES = 1000
_MOST_WAITING = 20_000
_RECALLED_BYTES = 8_000_000
_STALLED_AFTER_S = 5.0
_BEGINS = b'{"connection_name":"'
_ADD = os.O_WRONLY | os.O_CREAT | os.O_APPEND
# Half a million lines are looked through at a start, so what is needed for that stands in front.
_STATUS = "up|down|connecting"
_HEAD = re.compile(
    rf'\{{"connection_name":"([A-Za-z0-9_-]{{1,63}})","from_status":"({_STATUS}|)",'
    rf'"to_status":"({_STATUS})","at":(\d{{1,15}}),"'.encode()
)


def journal_file(directory: Path) -> Path:
    """Where the transitions are kept."""
    return directory / "history.jsonl"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: what became of which connection."""

    connection: str
    airport: str
    transition: Transition


def _line(entry: Entry) -> bytes:
    one = entry.transition
    values = {
        "connection_name": entry.connection,
        "from_status": one.from_status,
        "to_status": one.to_status,
        "at": one.at,
        "airport_id": entry.airport,
        "reason_code": one.reason_code,
        "reason": one.reason,
    }
    return json.dumps(values, separators=(",", ":")).encode() + b"\n"


class _Head(NamedTuple):
    """What a look through the file takes of a line."""

    connection: str
    minor: bool
    at: int
    line: bytes


def _head(line: bytes) -> _Head | None:
    """Look at the beginning and the end of a line; None: it is damaged, or not yet whole."""
    match = _HEAD.match(line)
    if match is None or not line.endswith(b"}\n") or b"\0" in line:
        return None
    name, before, after, at = match.groups()
    return _Head(name.decode(), is_minor(before.decode(), after.decode()), int(at), line)


def _entry(line: bytes) -> Entry | None:
    """Read one line; None if it is damaged, or not yet whole."""
    match = _HEAD.match(line) if _head(line) is not None else None
    if match is None:
        return None
    try:
        found = json.loads(line)
        texts = [found.get(key) for key in ("airport_id", "reason_code", "reason")]
        # Half a character could be written into no status.
        sound = all(isinstance(text, str) and text.encode() is not None for text in texts)
    except (ValueError, RecursionError):
        return None
    before = [found[key] for key in ("connection_name", "from_status", "to_status", "at")]
    if not sound or [str(one).encode() for one in before] != [*match.groups()]:
        return None
    name, from_status, to_status, at = before
    return Entry(name, texts[0], Transition(int(at), from_status, to_status, *texts[1:]))


def read_journal(path: Path) -> Iterator[Entry]:
    """Yield what can be read, in the order of time; none if there is no file. Raises StateError."""
    try:
        with path.open("rb") as file:
            yield from filter(None, map(_entry, file))
    except FileNotFoundError:
        return
    except OSError as error:
        raise StateError(f"{path}: {error.strerror}") from error


def _is_half(line: bytes) -> bool:
    """Tell what a kill, or a full volume, leaves behind at the end from damage."""
    begun = line.startswith(_BEGINS) or _BEGINS.startswith(line)
    return begun and line.isascii() and b"\0" not in line and not line.endswith(b"\n")


@dataclass(slots=True)
class _Survey:
    """What a walk through the file found. `kept`: lines by connection, and by whether minor."""

    lines: int = 0
    damaged: int = 0
    whole_bytes: int = 0
    half_bytes: int = 0
    kept: Counter[tuple[str, bool]] = field(default_factory=Counter)
    last_at: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Path) -> "_Survey":
        found = cls()
        with path.open("rb") as file:
            for line in file:
                found._add(line)
        return found

    def _add(self, line: bytes) -> None:
        head = _head(line)
        if head is None and _is_half(line):
            self.half_bytes = len(line)
            return
        self.lines += 1
        self.whole_bytes += len(line)
        self.damaged += head is None
        if head is not None:
            self.kept[head.connection, head.minor] += 1
            self.last_at[head.connection] = head.at

    @property
    def room_lines(self) -> int:
        """How much more may be added before it is as long again as what is kept."""
        names = {name for name, _ in self.kept}
        kept = sum(min(KEPT, self.kept[name, True] + self.kept[name, False]) for name in names)
        return 2 * kept - self.lines


class Journal:
    """The file, as the one who keeps the hub writes it."""

    def __init__(
        self,
        path: Path,
        *,
        patience_s: float = 2.0,
        sync: Callable[[int], None] = os.fdatasync,
        unix_s: Callable[[], float] = time.time,
        slack_lines: int = _SLACK_LINES,
        recalled_bytes: int = _RECALLED_BYTES,
    ) -> None:
        self._path = path
        self._patience_s = patience_s
        self._sync = sync
        self._unix_s = unix_s
        self._slack_lines = slack_lines
        self._recalled_bytes = recalled_bytes
        self._changed = threading.Condition()
        self._waiting: deque[Entry] = deque(maxlen=_MOST_WAITING)
        self._tails: Mapping[str, Tail] = {}
        self._airports: Mapping[str, str] = {}
        self._busy_since_s: float | None = None
        self._trouble = ""
        self._news: list[str] = []
        self._damaged = False
        # The writing thread's own.
        self._last_tails: Mapping[str, Tail] = {}
        self._last_airports: Mapping[str, str] = {}
        self._known: tuple[int, int] | None = None
        self._room_lines = slack_lines

    # The round's thread

    def recall(self, most: int) -> dict[str, Tail]:
        """Read the newest transitions of each connection. Raises StateError."""
        try:
            return read_within(self._patience_s, "history-recall", lambda: self._tails_of(most))
        except OSError as error:
            raise StateError(f"{self._path}: {error.strerror}") from error

    def _tails_of(self, most: int) -> dict[str, Tail]:
        """Look at the end of the file: what is older, the last status knows as well."""
        found: dict[str, list[_Head]] = {}
        for line in self._last_lines():
            head = _head(line)
            if head is not None:
                found.setdefault(head.connection, []).append(head)
            elif not _is_half(line):
                self._damaged = True
        return {name: self._read(newest(tail, most)) for name, tail in found.items()}

    def _last_lines(self) -> list[bytes]:
        try:
            with self._path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - self._recalled_bytes))
                lines = file.readlines()
        except FileNotFoundError:
            return []
        return lines[1:] if size > self._recalled_bytes else lines

    def _read(self, heads: Iterable[_Head]) -> Tail:
        found = [_entry(head.line) for head in heads]
        self._damaged |= None in found
        return tuple(entry.transition for entry in found if entry is not None)

    @property
    def waits(self) -> bool:
        """Whether something is left over from before."""
        return bool(self._waiting) or self._damaged

    def add(
        self, new: Mapping[str, Tail], tails: Mapping[str, Tail], airports: Mapping[str, str]
    ) -> None:
        """Have it written, and try again what could not be written before. Waits for nothing.

        `tails`, `airports`: of every connection, the newest transitions and the airport's id.
        """
        with self._changed:
            self._tails, self._airports = tails, airports
            self._waiting.extend(
                Entry(name, airports.get(name, ""), one)
                for name, ones in new.items()
                for one in ones
            )
            if (self._waiting or self._damaged) and self._busy_since_s is None:
                self._busy_since_s = time.monotonic()
                threading.Thread(target=self._run, name="history", daemon=True).start()

    def errors(self) -> list[str]:
        """Say what keeps it from being written, as long as it does; and once, what was damaged."""
        with self._changed:
            news, self._news = self._news, []
            since_s = self._busy_since_s
            if since_s is not None and time.monotonic() - since_s > _STALLED_AFTER_S:
                news.append(f"{self._path}: a write that was begun does not end; is the disk well?")
            elif self._trouble:
                news.append(self._trouble)
            return news

    def flush(self) -> bool:
        """Wait until what was added is written, if that does not take too long."""
        with self._changed:
            return self._changed.wait_for(lambda: self._busy_since_s is None, self._patience_s)

    # The thread that writes

    def _run(self) -> None:
        while (batch := self._take()) is not None:
            try:
                self._write(batch)
                batch = []
                if self._room_lines < 0:
                    self._renew()
            except OSError as error:
                self._room_lines = max(0, self._room_lines)
                self._failed(batch, f"{self._path}: {error.strerror}")
                return
            self._went_well()

    def _take(self) -> list[Entry] | None:
        """Return what is to be written; None: nothing, and who adds more starts a new thread."""
        with self._changed:
            batch = [*self._waiting]
            self._waiting.clear()
            self._last_tails, self._last_airports = self._tails, self._airports
            if batch or self._damaged:
                return batch
            self._rest()
            return None

    def _rest(self) -> None:
        self._busy_since_s = None
        self._changed.notify_all()

    def _failed(self, batch: list[Entry], trouble: str) -> None:
        """Keep it for the next time; told in the log when it begins only."""
        with self._changed:
            newer = [*self._waiting]
            self._waiting.clear()
            self._waiting.extend([*batch, *newer])
            began, self._trouble = not self._trouble, trouble
            self._rest()
        if began:
            log.warning("history not written", extra={"fields": {"cause": trouble}})

    def _went_well(self) -> None:
        with self._changed:
            ended, self._trouble = bool(self._trouble), ""
            self._busy_since_s = time.monotonic()
        if ended:
            log.info("history is written again")

    def _write(self, batch: list[Entry]) -> None:
        """Add lines. What can't be written whole is taken back."""
        if self._identity() != self._known or self._damaged:
            self._repair()
        if not batch:
            return
        descriptor = os.open(self._path, _ADD | os.O_CLOEXEC, _FILE_MODE)
        try:
            size = os.fstat(descriptor).st_size
            lines = [*map(_line, batch if size else self._first(batch))]
            try:
                _write_all(descriptor, b"".join(lines))
                self._sync(descriptor)
            except OSError:
                with suppress(OSError):
                    os.ftruncate(descriptor, size)
                raise
        finally:
            os.close(descriptor)
        if not size:
            sync_directory(self._path.parent)
        self._known = self._identity()
        self._room_lines -= len(lines)

    def _identity(self) -> tuple[int, int] | None:
        """Tell whether the file is the one that we left; None: there is none."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_size

    def _repair(self) -> None:
        """Look through a file that is not as we left it. Half a line at the end is cut off."""
        self._room_lines = self._slack_lines
        if self._path.is_dir():
            aside = self._path.with_name(f"{self._path.name}.in-the-way-{token_hex(4)}")
            self._path.rename(aside)
        if self._identity() is not None:
            found = _Survey.of(self._path)
            if found.damaged:
                self._save_from_damage(found)
            elif found.half_bytes:
                os.truncate(self._path, found.whole_bytes)
            self._room_lines = self._slack_lines + found.room_lines
        self._damaged = False

    def _first(self, batch: list[Entry]) -> list[Entry]:
        """Return what is in memory beside the batch: a new file, or a lost one, begins so."""
        remembered = [
            Entry(name, self._last_airports.get(name, ""), one)
            for name, tail in self._last_tails.items()
            for one in tail
        ]
        remembered.sort(key=lambda entry: entry.transition.at)
        known = {*remembered}
        return [*remembered, *(entry for entry in batch if entry not in known)]

    def _save_from_damage(self, found: _Survey) -> None:
        """Begin anew with the lines that are whole, and leave the damaged file behind."""
        aside = self._path.with_name(f"{self._path.name}.damaged")
        self._renew(aside)
        said = {"damaged_lines": found.damaged, "lines": found.lines, "left_as": str(aside)}
        log.warning("history was damaged", extra={"fields": said})
        with self._changed:
            self._news.append(
                f"{self._path}: {found.damaged} of {found.lines} lines were damaged; "
                f"it is begun anew with the others, and left as {aside}"
            )

    def _renew(self, aside: Path | None = None) -> None:
        """Write what is kept into a new file, and put it in the place of the old one.

        `aside`: where the old one goes, instead of one that was left there before.
        """
        draft = self._path.with_name(f".{self._path.name}.draft")
        lines = 0
        try:
            with draft.open("wb") as target:
                os.fchmod(target.fileno(), _FILE_MODE)
                for line in self._kept_lines(_Survey.of(self._path)):
                    target.write(line)
                    lines += 1
                target.flush()
                self._sync(target.fileno())
            if aside is not None:
                self._path.replace(aside)
            draft.replace(self._path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        sync_directory(self._path.parent)
        self._known = self._identity()
        self._room_lines = max(self._slack_lines, lines)

    def _kept_lines(self, found: _Survey) -> Iterator[bytes]:
        """Walk through the file a second time, knowing how many of each there are."""
        after, now = found.kept.copy(), self._unix_s()
        declared = self._last_tails.keys()
        with self._path.open("rb") as file:
            for line in file:
                head = _head(line)
                if head is None:
                    continue
                name = head.connection
                after[name, head.minor] -= 1
                if name not in declared and now - found.last_at[name] > _REMOVED_KEPT_S:
                    continue
                share = minor_share(found.kept[name, False], KEPT)
                if is_kept(head, after[name, True], after[name, False], share, KEPT):
                    yield line


def _write_all(descriptor: int, content: bytes) -> None:
    """Write all of it; on a full volume a part may have been taken before that shows."""
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
