"""A small server in place of nginx: the page's own files and headers, and a made-up status."""

import contextlib
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

IMAGE = Path(__file__).parents[2] / "images" / "web"
PAGE = IMAGE / "page"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "application/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def headers() -> dict[str, str]:
    """Read the headers that nginx adds to every answer."""
    found = re.findall(
        r'^add_header (\S+) (?:"([^"]*)"|(\S+)) always;$',
        (IMAGE / "headers.conf").read_text(),
        re.MULTILINE,
    )
    return {name: quoted or plain for name, quoted, plain in found}


@dataclass
class Served:
    """What the status is just now. `code` other than 200: refused with it. `asked`: the requests.

    Attributes:
        gone: the connection is closed without an answer.

    """

    url: str = ""
    body: bytes = b"{}"
    code: int = 200
    etag: str = ""
    changed_s: float = 0
    gone: bool = False
    asked: list[dict[str, str]] = field(default_factory=list)

    def show(self, document: Any, etag: str = "") -> None:
        """Serve this document from now on."""
        self.body, self.etag, self.code = json.dumps(document).encode(), etag, 200


def _handler(served: Served) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            if path == "/vpn-status.json":
                self.status()
                return
            file = PAGE / (path.lstrip("/") or "index.html")
            known = file.is_file() and file.parent == PAGE
            self.answer(200 if known else 404, file.read_bytes() if known else b"", file.suffix)

        def status(self) -> None:
            served.asked.append({key.lower(): value for key, value in self.headers.items()})
            if served.gone:
                self.close_connection = True
                return
            same = bool(served.etag) and self.headers.get("If-None-Match") == served.etag
            self.answer(304 if same else served.code, b"" if same else served.body, ".json")

        def answer(self, code: int, body: bytes, suffix: str) -> None:
            self.send_response(code)
            for name, value in headers().items():
                self.send_header(name, value)
            self.send_header("Content-Type", TYPES.get(suffix, "application/json"))
            if served.etag:
                self.send_header("ETag", served.etag)
                self.send_header("Last-Modified", formatdate(served.changed_s, usegmt=True))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Not a line."""

    return Handler


@contextlib.contextmanager
def serving() -> Iterator[Served]:
    """Serve the page on a free port."""
    served = Served()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(served))
    server.daemon_threads = True
    served.url = f"http://127.0.0.1:{server.server_address[1]}/"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
