"""charon's events, on a connection of their own. They wake the loop, and tell of failures."""

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from vici import Session
from vici.exception import EventUnknownException

from reconciler.core.flood import Flood, Limits
from reconciler.core.reasons import HUB_REFUSED, Failure
from reconciler.core.tally import EndedChild, passed_through
from reconciler.edges import vici_codec as codec
from reconciler.edges.vici_attempts import SETTLE_S, SaMemory, name_of, section_of
from reconciler.edges.vici_codec import BROKEN

log = logging.getLogger(__name__)
LOG = "log"
# The log comes last: while it pours, answers to further registrations would wait behind it.
TYPES = ("ike-updown", "child-updown", "ike-rekey", "child-rekey", "ike-update", LOG)
# From release 6.0.3; an older charon refuses the whole registration.
ALERT = "alert"
_LINE = ("group", "ikesa-name", "ikesa-uniqueid", "msg")
_RECONNECT_S = 1.0
# The same failure of the same connection wakes once in this time, however often it comes; so do
# those of all strangers together. They are counted all the same. But a site that refuses us may be
# replacing its key, and is followed at once.
_QUIET_S = 10.0


class _Heard(socket.socket):
    """Notes that charon lives whenever it says anything, be it only that it will tell events."""

    def __init__(self, note_life: Callable[[], None]) -> None:
        super().__init__(socket.AF_UNIX)
        self._note_life = note_life

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        said = super().recv(bufsize, flags)
        if said:
            self._note_life()
        return said


class EventListener:
    """Listens until stopped, and reconnects for ever.

    `wake` gets a reason; `note_failure` gets each failure; `note_deaf` gets why charon's log is not
    listened to, and nothing once it is again; `note_ended` gets the last word about a CHILD_SA;
    `note_life` is called whenever charon tells anything;
    `hear` gets each line of that log: its group, the connection's name if it has one, the
    IKE_SA's unique id, and the words.
    """

    def __init__(
        self,
        path: str,
        wake: Callable[[str], None],
        note_failure: Callable[[Failure], None],
        note_deaf: Callable[[str], None] = lambda _: None,
        limits: Limits | None = None,
        note_ended: Callable[[EndedChild], None] = lambda _: None,
        hear: Callable[[str, str, str, str], None] = lambda *_: None,
        note_life: Callable[[], None] = lambda: None,
    ) -> None:
        self._thread = threading.Thread(target=self._run, name="vici-events", daemon=True)
        self._path = path
        self._wake = wake
        self._note_failure = note_failure
        self._note_deaf = note_deaf
        self._note_ended = note_ended
        self._limits = limits or Limits()
        self._hear = hear
        self._note_life = note_life
        self._deaf_until_s: float | None = None
        self._stopping = threading.Event()
        self._types: tuple[str, ...] = (ALERT, *TYPES)
        self._memory = SaMemory()
        self._woken_s: dict[tuple[str, str], float] = {}

    def start(self) -> None:
        """Listen from now on."""
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                if self._listen():
                    continue
            except EventUnknownException:
                if self._types != TYPES:
                    self._types = TYPES
                    continue  # at once, without the alerts
            except BROKEN:
                pass
            self._stopping.wait(_RECONNECT_S)
            self._types = (ALERT, *TYPES)

    def stop(self) -> None:
        """End within a second or so."""
        self._stopping.set()

    def _listen(self) -> bool:
        """Listen as long as it goes well; True: go on at once, with or without the log."""
        deaf = self._deaf_until_s is not None
        types = [kind for kind in self._types if not deaf or kind != LOG]
        with _Heard(self._note_life) as connection:
            connection.connect(self._path)
            events = Session(connection).listen(types, SETTLE_S)
            try:
                self._listen_to(events)
            finally:
                # Or all that still waits would be read, to find charon's answer to our farewell.
                with contextlib.suppress(*BROKEN):
                    connection.shutdown(socket.SHUT_RDWR)
                with contextlib.suppress(*BROKEN):
                    events.close()
        # Who is flooded even without the log takes a breath.
        return deaf != (self._deaf_until_s is not None)

    def _listen_to(self, events: Iterator[tuple[bytes | None, Mapping[str, Any] | None]]) -> None:
        first = next(events)
        # What happened while the events were being registered was not told: look.
        self._wake("charon connected")
        # Unique ids begin anew when charon does.
        self._memory = SaMemory()
        flood = Flood(self._limits, time.monotonic())
        try:
            self._take(*first)
            for event in events:
                if self._stopping.is_set() or self._hears_again():
                    return
                self._take(*event)
                if flood.swells(time.monotonic()):
                    self._turn_deaf()
                    return
        finally:
            self._tell(float("inf"))
            self._wake("charon disconnected")

    def _turn_deaf(self) -> None:
        limits = self._limits
        if self._deaf_until_s is None:
            why = (
                f"charon's log is not listened to for {limits.quiet_s:g} s: "
                f"more than {limits.most_a_second} lines a second"
            )
            log.warning("flooded", extra={"fields": {"cause": why}})
            self._note_deaf(why)
        self._deaf_until_s = time.monotonic() + limits.quiet_s

    def _hears_again(self) -> bool:
        if self._deaf_until_s is None or time.monotonic() < self._deaf_until_s:
            return False
        log.info("charon's log is listened to again")
        self._deaf_until_s = None
        self._note_deaf("")
        return True

    def _take(self, kind: bytes | None, message: Mapping[str, Any] | None) -> None:
        now_s = time.monotonic()
        if kind is not None and message is not None:
            self._memory.take(kind.decode(), message, now_s)
            for ended in _ended_children(kind, message, now_s):
                self._note_ended(ended)
            if kind == b"log":
                group, name, *others = (codec.text(message, key) for key in _LINE)
                self._hear(group, name_of(name), *others)
            if kind not in (b"log", b"alert") and _concerns_a_tunnel(message):
                self._wake(kind.decode())
        self._tell(now_s)

    def _tell(self, now_s: float) -> None:
        for failure in self._memory.due(now_s):
            self._note_failure(failure)
            key = (failure.connection, failure.code if failure.connection else "")
            quiet_s = 0.0 if failure.code in HUB_REFUSED else _QUIET_S
            if failure.at_s - self._woken_s.get(key, float("-inf")) >= quiet_s:
                self._woken_s[key] = failure.at_s
                self._wake("failure logged")


def _concerns_a_tunnel(message: Mapping[str, Any]) -> bool:
    """Tell whether there is something to see; a peer that was not let in has changed nothing."""
    name, about = section_of(message)
    never_up = codec.text(about, "state") == "CONNECTING"
    return bool(name) and not never_up


def _ended_children(kind: bytes, message: Mapping[str, Any], now_s: float) -> Iterator[EndedChild]:
    """Read the final counts, which no later look can see."""
    if kind not in (b"child-updown", b"child-rekey") or codec.text(message, "up") == "yes":
        return
    name, about = section_of(message)
    for told in codec.section(about, "child-sas").values():
        found = told if isinstance(told, Mapping) else {}
        child = codec.child_sa(codec.section(found, "old") if kind == b"child-rekey" else found)
        if name and child.spi_in:
            born_s = now_s - child.installed_s
            yield EndedChild(name, child.spi_in, passed_through(child), born_s)
