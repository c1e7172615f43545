"""An HTTP proxy that leads to cameras behind tunnels and nowhere else.

For programs that are not in the hub's network: `GET http://…` for pictures, `CONNECT` for anything
else, such as HTTPS and RTSP. It adds nothing, keeps nothing, and logs no request: they hold keys.
"""

import asyncio
import contextlib
import logging
import re
from collections.abc import Callable

from reconciler.core.camera_url import CameraUrl, parse_camera_url
from reconciler.core.model import IpAddress

log = logging.getLogger(__name__)
MOST_CONNECTIONS = 256
_LARGEST_HEAD_BYTES = 32 * 1024
_HEAD_WITHIN_S, _CONNECT_WITHIN_S, _IDLE_S = 10.0, 10.0, 120.0
_CHUNK_BYTES = 64 * 1024
_FIRST_LINE = re.compile(r"([A-Z]{3,10}) (\S+) HTTP/1\.[01]\Z")
_HOP_HEADERS = ("proxy-", "connection:", "keep-alive:")

# Takes a URL and returns the address behind a tunnel, or says in words why there is none.
Judge = Callable[[CameraUrl], IpAddress | str]


class CameraProxy:
    """Serves until it is closed."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._open = 0
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; return the port. Raises OSError if that is taken."""
        limit = _LARGEST_HEAD_BYTES
        self._server = await asyncio.start_server(self._serve, host, port, limit=limit)
        return int(self._server.sockets[0].getsockname()[1])

    def close(self) -> None:
        """Take no more connections."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open > MOST_CONNECTIONS:
                await _refuse(writer, "503 Service Unavailable", "too many connections")
            else:
                await self._forward(reader, writer)
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
            pass  # one of the two ends is gone, or never said what it wanted
        finally:
            self._open -= 1
            await _close(writer)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(_HEAD_WITHIN_S):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, _, headers = head.partition("\r\n")
        asked = _FIRST_LINE.match(first)
        url = _url(asked[1], asked[2]) if asked else None
        if asked is None or url is None or url.port is None:
            text = "ask for CONNECT host:port, or GET http://host/path"
            await _refuse(writer, "400 Bad Request", text)
            return
        found = self._judge(url)
        if isinstance(found, str):
            await _refuse(writer, "403 Forbidden", found)
            return
        try:
            async with asyncio.timeout(_CONNECT_WITHIN_S):
                far = await asyncio.open_connection(str(found), url.port)
        except (OSError, TimeoutError):
            await _refuse(writer, "504 Gateway Timeout", "the camera does not answer")
            return
        try:
            if asked[1] == "CONNECT":
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                far[1].write(_request(asked[1], url, headers).encode("latin-1"))
            await _both_ways((reader, writer), far)
        finally:
            await _close(far[1])


def _url(method: str, target: str) -> CameraUrl | None:
    text = f"tcp://{target}/" if method == "CONNECT" else target
    url = parse_camera_url(text)
    if not isinstance(url, CameraUrl) or url.scheme not in ("tcp", "http"):
        return None
    return url


def _request(method: str, url: CameraUrl, headers: str) -> str:
    """Say to the camera what was said to us, without what was for us alone."""
    lines = [line for line in headers.split("\r\n") if line]
    kept = [line for line in lines if not line.lower().startswith(_HOP_HEADERS)]
    return "\r\n".join([f"{method} {url.target} HTTP/1.1", *kept, "Connection: close", "", ""])


async def _both_ways(
    near: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    far: tuple[asyncio.StreamReader, asyncio.StreamWriter],
) -> None:
    """Carry bytes until one end has closed, and the other has said the rest."""
    out = asyncio.ensure_future(_carry(near[0], far[1]))
    back = asyncio.ensure_future(_carry(far[0], near[1]))
    try:
        await back
    finally:
        out.cancel()
        with contextlib.suppress(asyncio.CancelledError, OSError, EOFError, TimeoutError):
            await out


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        async with asyncio.timeout(_IDLE_S):
            data = await reader.read(_CHUNK_BYTES)
        if not data:
            if writer.can_write_eof():
                writer.write_eof()
            return
        writer.write(data)
        await writer.drain()


async def _refuse(writer: asyncio.StreamWriter, status: str, text: str) -> None:
    body = f"{text}\n".encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
    await writer.drain()


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(5):
            await writer.wait_closed()
