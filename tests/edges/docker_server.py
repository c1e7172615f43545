"""A Docker engine with one container, on a unix socket; it answers as it is told, or not at all."""

import contextlib
import json
import queue
import re
import socket
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit


class DockerServer(socketserver.ThreadingUnixStreamServer):
    """The engine.

    Attributes:
        container: what inspect answers; None: 404.
        errors: code and words by the last part of the path.
        mute: it accepts requests and never answers them.
        posts: what was asked to be done, with the query.
        version: the newest of the API that it speaks.
        inspected: the paths of what was inspected.
        streams: one queue for each stream of events, bytes as they are; None ends the stream.

    """

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), _Handler)
        self.host = f"unix://{path}"
        self.container: dict[str, Any] | None = {"State": {"Status": "running"}}
        self.errors: dict[str, tuple[int, str]] = {}
        self.mute = threading.Event()
        self.released = threading.Event()
        self.posts: list[str] = []
        self.version = "1.41"
        self.inspected: list[str] = []
        self.pings = 0
        self.filters: list[dict[str, list[str]]] = []
        self.streams: list[queue.Queue[object]] = []
        self.connections: list[socket.socket] = []

    def emit(self, action: str, **attributes: str) -> None:
        """Send an event on the newest stream."""
        actor = {"ID": "0123", "Attributes": attributes}
        self.streams[-1].put({"Type": "container", "Action": action, "Actor": actor})

    def end_stream(self) -> None:
        """End the newest stream as a proxy does: without a word."""
        self.streams[-1].put(None)


@contextlib.contextmanager
def docker_server(path: Path) -> Iterator[DockerServer]:
    server = DockerServer(path)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        for stream in server.streams:
            stream.put(None)
        server.shutdown()
        for connection in server.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        server.server_close()
        thread.join()
        path.unlink(missing_ok=True)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: DockerServer

    def setup(self) -> None:
        super().setup()
        self.server.connections.append(self.connection)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as inherited
        pass

    def do_GET(self) -> None:
        what = self._what()
        if what == "json":
            self.server.inspected.append(self.path)
        if what == "_ping":
            self.server.pings += 1
        if self._refused(what):
            return
        match what:
            case "version":
                self._answer(200, {"ApiVersion": self.server.version, "MinAPIVersion": "1.12"})
            case "_ping":
                self._answer(200, "OK")
            case "events":
                self._stream()
            case "json" if self.server.container is None:
                self._answer(404, {"message": "No such container: gateway"})
            case "json":
                self._answer(200, self.server.container)
            case _:
                self._answer(500, {"message": f"the test knows no {self.path}"})

    def do_POST(self) -> None:
        assert not int(self.headers.get("Content-Length") or 0), "the proxy refuses a body"
        self.server.posts.append(re.sub(r"^/v[0-9.]+", "", self.path))
        if not self._refused(self._what()):
            self._answer(204)

    def _what(self) -> str:
        return urlsplit(self.path).path.rpartition("/")[2]

    def _refused(self, what: str) -> bool:
        if self.server.mute.is_set():
            self.server.released.wait()
            self.close_connection = True
            return True
        if what not in self.server.errors:
            return False
        code, words = self.server.errors[what]
        self._answer(code, {"message": words})
        return True

    def _answer(self, code: int, body: object = None) -> None:
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        if self.close_connection:  # as the engine and its proxy do, when they are asked to
            self.send_header("Connection", "close")
        if code != 204:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if code != 204:
            self.wfile.write(data)

    def _stream(self) -> None:
        events: queue.Queue[object] = queue.Queue()
        self.server.filters.append(json.loads(parse_qs(urlsplit(self.path).query)["filters"][0]))
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        self.server.streams.append(events)
        self.close_connection = True
        with contextlib.suppress(OSError):
            while (event := events.get()) is not None:
                data = event if isinstance(event, bytes) else json.dumps(event).encode() + b"\n"
                self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
