"""charon's events, on a connection of their own. They only wake the loop; a log line is kept."""

import contextlib
import re
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Any

from vici import Session

from reconciler.edges import vici_codec as codec
from reconciler.edges.vici_codec import BROKEN

TYPES = ("ike-updown", "child-updown", "ike-rekey", "child-rekey", "ike-update", "log")
_LISTEN_S = 1.0
_RECONNECT_S = 1.0
# charon's own words for a failed attempt, at log level 1 of releases 5.9 to 6.0.
_FAILURE = re.compile(
    r"MAC mismatched|no shared key found|no matching peer config|AUTHENTICATION_FAILED"
    r"|NO_PROPOSAL_CHOSEN|proposals? unacceptable|TS_UNACCEPTABLE|no acceptable traffic selectors"
    r"|traffic selectors .* (un|in)acceptable|no acceptable proposal|giving up after"
    r"|establishing CHILD_SA .* failed|failed to establish CHILD_SA|unable to install"
    r"|destroying half-open"
)


class EventListener:
    """Listens until stopped, and reconnects for ever.

    `wake` gets a reason; `note_failure` gets a connection's name and charon's words.
    """

    def __init__(
        self,
        path: str,
        wake: Callable[[str], None],
        note_failure: Callable[[str, str], None],
    ) -> None:
        self._thread = threading.Thread(target=self._run, name="vici-events", daemon=True)
        self._path = path
        self._wake = wake
        self._note_failure = note_failure
        self._stopping = threading.Event()

    def start(self) -> None:
        """Listen from now on."""
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.is_set():
            with contextlib.suppress(*BROKEN):
                self._listen()
            self._stopping.wait(_RECONNECT_S)

    def stop(self) -> None:
        """End within a second or so."""
        self._stopping.set()

    def _listen(self) -> None:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(self._path)
            try:
                self._listen_on(Session(connection))
            finally:
                self._wake("charon disconnected")

    def _listen_on(self, session: Session) -> None:
        registered = False
        for kind, message in session.listen(TYPES, _LISTEN_S):
            if self._stopping.is_set():
                return
            if not registered:
                # What happened while the events were being registered was not told: look.
                registered = True
                self._wake("charon connected")
            if kind is not None:
                self._take(kind.decode(), message)

    def _take(self, kind: str, message: Mapping[str, Any]) -> None:
        if kind != "log":
            self._wake(kind)
            return
        words = codec.text(message, "msg")
        if _FAILURE.search(words):
            self._note_failure(codec.text(message, "ikesa-name"), words)
            self._wake("failure logged")
