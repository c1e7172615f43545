"""A camera for tests: says over HTTP or RTSP what it is told to, and keeps what it was asked."""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

Answer = bytes | Callable[[str], bytes]
JPEG = b"\xff\xd8\xff\xe0" + b"x" * 2000
PICTURE = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n\r\n" + JPEG
RTSP_OK = b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nPublic: OPTIONS, DESCRIBE\r\n\r\n"


@dataclass
class TestCamera:
    """`answer`: bytes, or what makes them of a request; None: never answers."""

    __test__ = False

    answer: Answer | None = PICTURE
    tls: ssl.SSLContext | None = None
    requests: list[str] = field(default_factory=list)
    connections: int = 0
    most_at_once: int = 0

    def __post_init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = int(self._server.getsockname()[1])
        self._lock = threading.Lock()
        self._open = 0
        self._stopping = False

    @contextlib.contextmanager
    def running(self) -> Iterator["TestCamera"]:
        threading.Thread(target=self._serve, daemon=True).start()
        try:
            yield self
        finally:
            self._stopping = True
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            self._server.close()

    def _serve(self) -> None:
        while not self._stopping:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with self._lock:
            self.connections += 1
            self._open += 1
            self.most_at_once = max(self.most_at_once, self._open)
        try:
            with contextlib.suppress(OSError):
                connection.settimeout(10)
                if self.tls is not None:
                    connection = self.tls.wrap_socket(connection, server_side=True)
                self._answer_requests(connection)
        finally:
            connection.close()
            with self._lock:
                self._open -= 1

    def _answer_requests(self, connection: socket.socket) -> None:
        while request := self._request(connection):
            self.requests.append(request)
            if self.answer is None:
                time.sleep(10)
                return
            made = self.answer if isinstance(self.answer, bytes) else self.answer(request)
            connection.sendall(made)
            if not made.startswith(b"RTSP"):
                return

    def _request(self, connection: socket.socket) -> str:
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(4096)
            if not more:
                return ""
            data += more
        return data.decode()
