"""The HTTP endpoint: /metrics, /healthz, /readyz and /status, each from what is in memory.

A client gets so many bytes to ask with and so many seconds in all; of many the oldest must go.
"""

import io
import logging
import socket
import ssl
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import SocketIO
from socketserver import TCPServer

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

log = logging.getLogger(__name__)

# Status, type, body. A body in pieces may be large, and is never held whole if it is compressed.
Answer = tuple[int, str, bytes | Iterable[bytes]]
_GZIP = 16 + zlib.MAX_WBITS
_FASTEST = 1
_SILENCE_S = 10.0
_PATIENCE_S = 30.0
_LARGEST_REQUEST_BYTES = 16384
_MOST_AT_ONCE = 16


def plain(good: bool, text: str) -> Answer:
    """Answer a health check: 200 or 503, and a sentence."""
    return _text(HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE, text)


def _text(code: HTTPStatus, text: str) -> Answer:
    return code, "text/plain; charset=utf-8", text.encode() + b"\n"


def json_answer(body: bytes) -> Answer:
    """Answer with a JSON document."""
    return HTTPStatus.OK, "application/json", body


def metrics_answer(body: bytes | Iterable[bytes]) -> Answer:
    """Answer with Prometheus' text format."""
    return HTTPStatus.OK, CONTENT_TYPE_PLAIN_0_0_4, body


@dataclass(frozen=True, slots=True)
class Access:
    """Who is answered, and how. All but the `open_paths` need what `allows` finds in the header.

    `context` is asked for each connection, so that a renewed certificate is used from then on.
    """

    allows: Callable[[str], bool] = lambda _authorization: True
    context: Callable[[], ssl.SSLContext] | None = None
    open_paths: frozenset[str] = frozenset({"/healthz", "/readyz"})


class HttpServer:
    """Serves until stopped, each request in a thread of its own."""

    def __init__(
        self,
        address: tuple[str, int],
        routes: dict[str, Callable[[], Answer]],
        access: Access = Access(),
        *,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        kind = _Server6 if ":" in address[0] else _Server
        self._server = kind(address, _handler(routes, access))
        self._server.context, self._server.patience_s = access.context, patience_s
        self._thread = threading.Thread(target=self._server.serve_forever, name="http", daemon=True)

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Serve from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Close the port."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 32
    context: Callable[[], ssl.SSLContext] | None = None
    patience_s = _PATIENCE_S

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._since_s: dict[socket.socket, float] = {}  # the oldest first
        self._lock = threading.Lock()
        super().__init__(address, handler)

    def finish_request(self, request: socket.socket, client_address: tuple[str, int]) -> None:  # type: ignore[override]
        """Serve one connection, in its own thread: here a slow handshake holds up nobody."""
        with self._lock:
            # A socket that TLS has taken over is another one, but of the same connection.
            own = request.dup()
            crowd = [*self._since_s]
            self._since_s[own] = time.monotonic()
        try:
            for oldest in crowd[: len(crowd) + 1 - _MOST_AT_ONCE]:
                _end(oldest)
            if len(crowd) < 2 * _MOST_AT_ONCE:
                self._serve(request, client_address)
        finally:
            with self._lock:
                del self._since_s[own]
                own.close()

    def _serve(self, request: socket.socket, client_address: tuple[str, int]) -> None:
        if self.context is None:
            return super().finish_request(request, client_address)
        request.settimeout(_SILENCE_S)
        with self.context().wrap_socket(request, server_side=True) as wrapped:
            return super().finish_request(wrapped, client_address)

    def service_actions(self) -> None:
        """End who takes too long, as the base class looks here twice a second."""
        with self._lock:
            late_s = time.monotonic() - self.patience_s
            for connection, since_s in self._since_s.items():
                if since_s < late_s:
                    _end(connection)

    def server_bind(self) -> None:
        """Bind without asking a name server for our own name, as the base class does."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    def handle_error(self, request: object, client_address: object) -> None:
        """Note what went wrong, unless only the client went away."""
        error = sys.exc_info()[1]
        if not isinstance(error, ConnectionError | TimeoutError | ssl.SSLError):
            log.error("request failed", exc_info=error)


class _Server6(_Server):
    address_family = socket.AF_INET6


def _end(connection: socket.socket) -> None:
    """Let whoever waits for this connection find that it has ended."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class _Bounded(io.RawIOBase):
    """What a client sends, up to a size."""

    def __init__(self, raw: SocketIO) -> None:
        self._raw, self.left_bytes = raw, _LARGEST_REQUEST_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        part = self._raw.read(min(len(buffer), self.left_bytes)) or b""
        self.left_bytes -= len(part)
        buffer[: len(part)] = part
        return len(part)

    def close(self) -> None:
        self._raw.close()
        super().close()


def _handler(
    routes: dict[str, Callable[[], Answer]], access: Access
) -> type[BaseHTTPRequestHandler]:
    def answer(path: str, authorization: str) -> Answer:
        route = routes.get(path)
        if route is None:
            return _text(HTTPStatus.NOT_FOUND, "try " + " ".join(routes))
        if path not in access.open_paths and not access.allows(authorization):
            return _text(HTTPStatus.UNAUTHORIZED, "send the token: Authorization: Bearer ...")
        return route()

    class Handler(BaseHTTPRequestHandler):
        timeout = _SILENCE_S
        server_version = "reconciler"
        sys_version = ""

        def setup(self) -> None:
            super().setup()
            self.rfile.close()
            self._sent = _Bounded(self.connection.makefile("rb", buffering=0))
            self.rfile = io.BufferedReader(self._sent)

        def do_GET(self) -> None:
            if self._sent.left_bytes == 0:
                self.send_error(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
                return
            authorization = self.headers.get("Authorization", "")
            code, content_type, body = answer(self.path.split("?")[0], authorization)
            parts = (body,) if isinstance(body, bytes) else body
            gzip = accepts_gzip(self.headers.get("Accept-Encoding", ""))
            sent = _gzipped(parts) if gzip else b"".join(parts)
            self.send_response(code)
            self.send_header("Content-Type", content_type)
            if gzip:
                self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(sent)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("Vary", "Accept-Encoding")
            if code == HTTPStatus.UNAUTHORIZED:
                self.send_header("WWW-Authenticate", 'Bearer realm="reconciler"')
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(sent)

        do_HEAD = do_GET  # noqa: N815 - the base class's name

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Scrapes are not worth a line."""

    return Handler


def accepts_gzip(header: str) -> bool:
    """Read `Accept-Encoding`."""
    for offer in header.lower().split(","):
        name, _, weight = (word.strip() for word in offer.partition(";"))
        if name in ("gzip", "*"):
            return weight.replace(" ", "").removeprefix("q=").strip("0.") != "" or not weight
    return False


def _gzipped(parts: Iterable[bytes]) -> bytes:
    compressor = zlib.compressobj(_FASTEST, wbits=_GZIP)
    return b"".join([*map(compressor.compress, parts), compressor.flush()])
