"""Commands to charon over one VICI connection. Events have a connection of their own.

Rules, each from a measured trap: one thread per session; no command may wait for a peer
(`timeout=-1`); every read has a deadline, and after it the connection is dropped, because the
stream is out of step; a streamed reply is always read to its end.
"""

import contextlib
import errno
import socket
import struct
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from vici import Session
from vici.exception import CommandException

from reconciler.core.observed import IkeSa, Observed
from reconciler.core.render import mark_of_secret
from reconciler.edges import vici_codec as codec
from reconciler.errors import IkeLate, IkeNoAccess, IkeRefused, IkeUnreachable

T = TypeVar("T")
_ANSWER_S = 2.0
# What changes nothing and tells no secret, with the event by which the answer comes, if it does.
QUESTIONS = {
    "version": "",
    "stats": "",
    "get-shared": "",  # ids only; charon gives no key away
    "get-algorithms": "",
    "get-counters": "",
    "list-conns": "list-conn",
    "list-sas": "list-sa",
    "list-policies": "list-policy",
}
# No socket, no right to it, or nothing left of our own to open it with.
_NO_ACCESS = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM}
    | {errno.EMFILE, errno.ENFILE, errno.ENOMEM}
)


class DeadlineSocket(socket.socket):
    """A unix socket whose every read and write has a deadline, after which it is closed.

    The deadline is the kernel's (SO_RCVTIMEO): the `vici` package switches Python's own time-out
    off after the first byte. Closed, so that no later call waits a second time.
    """

    def __init__(self, path: str, deadline_s: float) -> None:
        super().__init__(socket.AF_UNIX, socket.SOCK_STREAM)
        self.deadline_s = deadline_s
        self.timed_out = False
        timeval = struct.pack("ll", int(deadline_s), int(deadline_s % 1 * 1e6))
        self.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
        self.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)
        try:
            self.connect(path)
        except OSError:
            self.close()
            raise

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """Read, or give up for good."""
        try:
            return super().recv(bufsize, flags)
        except BlockingIOError:
            self.timed_out = True
            self.close()
            raise TimeoutError(f"no answer within {self.deadline_s:g} s") from None


class ViciClient:
    """The `Ike` port, spoken to a real charon."""

    def __init__(self, path: str, deadline_s: float = 5.0) -> None:
        self._path = path
        self._deadline_s = deadline_s
        self._socket: DeadlineSocket | None = None
        self._session: Session | None = None
        self._algorithms: frozenset[str] = frozenset()
        self._aborted = False
        self._late = False

    def observe(self, *, deep: bool) -> Observed:
        """Look at daemon, connections, marks and SAs in that order. Raises IkeUnreachable only."""
        try:
            return self._call(lambda session: self._observe(session, deep=deep))
        except IkeRefused as error:
            refused = f"VICI at {self._path}: a question was refused: {error}"
            raise IkeUnreachable(refused) from error

    def load_connection(self, name: str, settings: Mapping[str, Any]) -> None:
        """Send `load-conn`."""
        self._call(lambda session: session.load_conn({name: settings}))

    def unload_connection(self, name: str) -> None:
        """Send `unload-conn`."""
        with _ignored("not found"):
            self._call(lambda session: session.unload_conn({"name": name}))

    def load_secret(self, secret_id: str, owner: str, psk: bytes) -> None:
        """Send `load-shared`.

        The only owner is the site: with the hub's id among them every site's key opens every site.
        """
        message = {"id": secret_id, "type": "IKE", "data": psk, "owners": [owner]}
        self._call(lambda session: session.load_shared(message))

    def unload_secret(self, secret_id: str) -> None:
        """Send `unload-shared`, which succeeds for unknown ids as well."""
        self._call(lambda session: session.unload_shared({"id": secret_id}))

    def start_child(self, name: str, child_name: str) -> None:
        """Send `initiate` without waiting for the peer."""
        self._control("initiate", {"ike": name, "child": child_name, "timeout": "-1"})

    def rekey_ike(self, unique_id: str) -> None:
        """Send `rekey` for one IKE_SA, which only queues the exchange."""
        with _ignored("no matching"):
            self._call(lambda session: session.rekey({"ike-id": unique_id}))

    def rekey_child(self, unique_id: str) -> None:
        """Send `rekey` for one CHILD_SA, which only queues the exchange."""
        with _ignored("no matching"):
            self._call(lambda session: session.rekey({"child-id": unique_id}))

    def end_child(self, unique_id: str) -> None:
        """Send `terminate` for one CHILD_SA without waiting for the peer."""
        with _ignored("no matching"):
            self._control("terminate", {"child-id": unique_id, "timeout": "-1"})

    def end_ike(self, unique_id: str) -> None:
        """Send `terminate` for one IKE_SA; its DELETE is retransmitted if it gets lost."""
        with _ignored("no matching"):
            self._control("terminate", {"ike-id": unique_id, "timeout": "-1"})

    def end_all(self, name: str) -> None:
        """Send `terminate` by name, forced: the SAs are gone when this returns."""
        with _ignored("no matching"):
            self._control("terminate", {"ike": name, "force": "yes", "timeout": "-1"})

    def answers(self) -> bool:
        """Send `version` on a connection of its own."""
        client = ViciClient(self._path, min(self._deadline_s, _ANSWER_S))
        try:
            client._call(lambda session: session.version())
        except IkeUnreachable:
            return False
        except IkeRefused:
            pass  # that is an answer, too
        finally:
            client.close()
        return True

    def read(self, question: str, **criteria: str) -> list[dict[str, Any]]:
        """Ask one of QUESTIONS and return the whole answer as charon gives it, in texts."""
        event, message = QUESTIONS[question], dict(criteria)
        if not event:
            return [self._call(lambda session: codec.shown(session.request(question, message)))]
        return self._call(
            lambda session: [
                codec.shown(codec.sections(told))
                for told in [*session.streamed_request(question, event, message)]
            ]
        )

    def close(self) -> None:
        """Drop the connection; the next call makes a new one."""
        used, self._socket, self._session = self._socket, None, None
        if used is not None:
            with contextlib.suppress(OSError):
                used.shutdown(socket.SHUT_RDWR)
            used.close()

    def abort(self) -> None:
        """Give up for good, from any thread: calls in progress and to come fail at once."""
        self._aborted = True
        self.close()

    def _control(self, command: str, message: Mapping[str, str]) -> None:
        self._call(
            lambda session: [*session.streamed_request(command, "control-log", dict(message))]
        )

    def _observe(self, session: Session, *, deep: bool) -> Observed:
        daemon = codec.daemon(session.version(), session.stats())
        if not self._algorithms:
            self._algorithms = codec.algorithms(session.get_algorithms())
        secret_ids = frozenset(codec.texts(session.get_shared(), "keys"))
        listed = _listed(session, {}) if deep else {}
        return Observed(
            daemon=daemon,
            connections=_children(listed) if deep else _connections(session, secret_ids),
            secret_ids=secret_ids,
            sas=_sas(session),
            algorithms=self._algorithms,
            remote_addresses={
                name: codec.texts(message, "remote_addrs") for name, message in listed.items()
            },
        )

    def _call(self, request: Callable[[Session], T]) -> T:
        """Make one request; once more on a new connection if an old one turns out to be gone.

        After charon's restart the old connection is dead while the new daemon is well. Requests
        can be repeated, because each says what shall be, and not what shall change.
        """
        fresh = self._session is None
        try:
            return self._try(request)
        except IkeUnreachable:
            if fresh or self._late:
                raise
            return self._try(request)

    def _try(self, request: Callable[[Session], T]) -> T:
        self._late = False
        try:
            return request(self._connected())
        except CommandException as error:
            raise IkeRefused(str(error).removeprefix("Command failed: ")) from error
        except codec.BROKEN as error:
            used = self._socket  # abort() may take it away at any moment
            # EAGAIN: the queue of those who want to connect, or the one of what we say, stays full.
            full = isinstance(error, BlockingIOError)
            self._late = full or (used is not None and used.timed_out)
            self.close()
            reason = f"no answer within {self._deadline_s:g} s" if self._late else str(error)
            barred = isinstance(error, OSError) and error.errno in _NO_ACCESS
            kind = IkeNoAccess if barred else IkeLate if self._late else IkeUnreachable
            raise kind(f"VICI at {self._path}: {reason}") from error

    def _connected(self) -> Session:
        if self._aborted:
            raise IkeUnreachable("stopping")
        if self._session is None:
            self._socket = DeadlineSocket(self._path, self._deadline_s)
            self._session = Session(self._socket)
            self._algorithms = frozenset()
        return self._session


def _connections(session: Session, secret_ids: frozenset[str]) -> dict[str, frozenset[str] | None]:
    """Name the connections; ask for the children only where no mark vouches for them."""
    names = codec.texts(session.get_conns(), "conns")
    marked = {found[0] for id_ in secret_ids if (found := mark_of_secret(id_)) is not None}
    return {
        name: None if name in marked else _children(_listed(session, {"ike": name})).get(name)
        for name in names
    }


def _children(listed: Mapping[str, codec.Raw]) -> dict[str, frozenset[str] | None]:
    return {name: codec.child_names(message) for name, message in listed.items()}


def _listed(session: Session, criteria: Mapping[str, str]) -> dict[str, codec.Raw]:
    return {
        name: message
        for event in [*session.list_conns(dict(criteria))]
        for name, message in codec.sections(event).items()
    }


def _sas(session: Session) -> tuple[IkeSa, ...]:
    """List every SA, waiting for busy ones: `noblock` would skip them as if they were gone."""
    return tuple(
        codec.ike_sa(name, message)
        for event in [*session.list_sas()]
        for name, message in codec.sections(event).items()
    )


@contextlib.contextmanager
def _ignored(words: str) -> Any:
    """Take "it is not there" for success where the aim was that it be gone."""
    try:
        yield
    except IkeRefused as error:
        if words not in str(error):
            raise
