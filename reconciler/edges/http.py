"""The HTTP endpoint: /metrics, /healthz, /readyz and /status, each from what is in memory."""

import logging
import socket
import sys
import threading
import zlib
from collections.abc import Callable, Iterable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

log = logging.getLogger(__name__)

# Status, type, body. A body in pieces may be large, and is never held whole if it is compressed.
Answer = tuple[int, str, bytes | Iterable[bytes]]
_GZIP = 16 + zlib.MAX_WBITS
_FASTEST = 1


def plain(good: bool, text: str) -> Answer:
    """Answer a health check: 200 or 503, and a sentence."""
    code = HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE
    return code, "text/plain; charset=utf-8", text.encode() + b"\n"


def json_answer(body: bytes) -> Answer:
    """Answer with a JSON document."""
    return HTTPStatus.OK, "application/json", body


def metrics_answer(body: bytes | Iterable[bytes]) -> Answer:
    """Answer with Prometheus' text format."""
    return HTTPStatus.OK, CONTENT_TYPE_PLAIN_0_0_4, body


class HttpServer:
    """Serves until stopped, each request in a thread of its own."""

    def __init__(self, address: tuple[str, int], routes: dict[str, Callable[[], Answer]]) -> None:
        kind = _Server6 if ":" in address[0] else _Server
        self._server = kind(address, _handler(routes))
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

    def server_bind(self) -> None:
        """Bind without asking a name server for our own name, as the base class does."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    def handle_error(self, request: object, client_address: object) -> None:
        """Note what went wrong, unless only the client went away."""
        error = sys.exc_info()[1]
        if not isinstance(error, ConnectionError | TimeoutError):
            log.error("request failed", exc_info=error)


class _Server6(_Server):
    address_family = socket.AF_INET6


def _handler(routes: dict[str, Callable[[], Answer]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10
        server_version = "reconciler"
        sys_version = ""

        def do_GET(self) -> None:
            route = routes.get(self.path.split("?")[0])
            known = "try " + " ".join(routes)
            missing = HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", known.encode() + b"\n"
            code, content_type, body = route() if route else missing
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
