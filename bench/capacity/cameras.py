"""The cameras of many airports: each address gives a picture that says whose it is.

A program of its own, because it runs in the network of the sites (nsenter). It
listens on port 80 of all addresses.
Usage: python -m bench.capacity.cameras
"""

import os
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer

PICTURE_BYTES = 60_000
_NOISE = os.urandom(PICTURE_BYTES)


def picture(address: str) -> bytes:
    """Return the beginning of a JPEG with the camera's address as its comment, and noise."""
    comment = address.encode()
    head = b"\xff\xd8\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
    return head + _NOISE[len(head) :]


class Camera(BaseHTTPRequestHandler):
    """Answers every path with the picture of the address that was asked."""

    timeout = 30

    def do_GET(self) -> None:
        body = picture(self.connection.getsockname()[0])
        self.send_response(200)
        self.send_header("Content-Type", "image/jpeg")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


class Server(ThreadingTCPServer):
    """Asks no name server for its own name."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of probes, which hang up without asking for anything."""


if __name__ == "__main__":
    Server(("0.0.0.0", 80), Camera).serve_forever()  # noqa: S104 - in the sites' own network
