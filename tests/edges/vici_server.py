"""A unix socket that speaks VICI's wire as charon does, and misbehaves on demand."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from vici.protocol import FiniteStream, Message, Packet, Transport

Answer = Callable[[dict[str, Any]], Mapping[str, Any]]
Stream = Callable[[dict[str, Any]], list[Mapping[str, Any]]]


class ViciServer:
    """Answers each request by name; `requests` is what was asked, in order.

    Attributes:
        answers: reply by command.
        streams: events by command, sent before the reply.
        unknown_events: types that this release does not have.
        subscribed: types that each connection has registered, in order of the connections.
        misbehave: done instead of answering the next request; gets the connection.

    """

    def __init__(self, path: Path) -> None:
        self.answers: dict[str, Answer] = {}
        self.streams: dict[str, tuple[str, Stream]] = {}
        self.unknown_events: set[str] = set()
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.misbehave: Callable[[socket.socket], None] | None = None
        self.connections: list[socket.socket] = []
        self.subscribed: list[set[str]] = []
        self.registered = threading.Semaphore(0)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(3)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Be gone, as charon after `kill -9`."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop()

    def drop(self) -> None:
        """Close every connection."""
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def emit(self, kind: str, message: Mapping[str, Any]) -> None:
        """Send an event to everybody who wants it."""
        for connection, wanted in zip(list(self.connections), self.subscribed, strict=False):
            if kind not in wanted:
                continue
            with suppress(OSError):
                Transport(connection).send(_event(kind, message))

    def names(self) -> list[str]:
        """Return the commands that were asked."""
        return [name for name, _ in self.requests]

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            wanted: set[str] = set()
            self.connections.append(connection)
            self.subscribed.append(wanted)
            threading.Thread(target=self._serve, args=(connection, wanted), daemon=True).start()

    def _serve(self, connection: socket.socket, wanted: set[str]) -> None:
        transport: Any = Transport(connection)
        with suppress(OSError), connection:
            while True:
                self._answer(transport, transport.receive(), wanted)

    def _answer(self, transport: Any, packet: bytes, wanted: set[str]) -> None:
        kind, length = struct.unpack("!BB", packet[:2])
        name, payload = packet[2 : 2 + length].decode(), packet[2 + length :]
        if name in self.unknown_events:
            transport.send(struct.pack("!B", Packet.EVENT_UNKNOWN))
            return
        if kind in (Packet.EVENT_REGISTER, Packet.EVENT_UNREGISTER):
            (wanted.add if kind == Packet.EVENT_REGISTER else wanted.discard)(name)
            transport.send(struct.pack("!B", Packet.EVENT_CONFIRM))
            self.registered.release()
            return
        message = Message.deserialize(FiniteStream(payload))
        self.requests.append((name, message))
        misbehave, self.misbehave = self.misbehave, None
        if misbehave is not None:
            misbehave(transport.socket)
            return
        if name in self.streams:
            event, stream = self.streams[name]
            for one in stream(message):
                transport.send(_event(event, one))
        elif name not in self.answers:
            transport.send(struct.pack("!B", Packet.CMD_UNKNOWN))
            return
        reply = self.answers[name](message) if name in self.answers else {}
        transport.send(struct.pack("!B", Packet.CMD_RESPONSE) + Message.serialize(reply))


def _event(kind: str, message: Mapping[str, Any]) -> bytes:
    name = kind.encode()
    head: bytes = struct.pack("!BB", Packet.EVENT, len(name)) + name
    return head + bytes(Message.serialize(message))


@contextmanager
def vici_server(path: Path) -> Iterator[ViciServer]:
    """Serve at the path until the end of the block."""
    server = ViciServer(path)
    try:
        yield server
    finally:
        server.close()
        path.unlink(missing_ok=True)
