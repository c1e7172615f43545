"""One question to one address: a ping, a TCP connection, a picture over HTTP, a word over RTSP.

Cameras have certificates of their own making, so none is checked; what a probe tells is that the
camera answers, not that it is who it says. Nothing made here holds user, password or path.
"""

import asyncio
import errno
import os
import secrets
import socket
import ssl
import struct
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from reconciler.core.camera_answers import (
    REDIRECTS,
    Head,
    authorization,
    judge_picture,
    judge_status,
    parse_head,
)
from reconciler.core.camera_url import CameraUrl, parse_camera_url
from reconciler.core.model import IpAddress
from reconciler.core.probing import Probe, Result

_LARGEST_HEAD_BYTES = 16 * 1024
_FIRST_BYTES = 16
_MOST_REDIRECTS = 3
_AGENT = "vpn-reconciler-probe"
_ECHO = {4: (8, 0), 6: (128, 129)}  # request and reply
_TLS_SCHEMES = frozenset({"https", "rtsps"})
# Where our own machine fails, and the camera is not to blame.
_OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})
_BROKEN = (OSError, EOFError, asyncio.LimitOverrunError, ValueError)


class _UnableError(Exception):
    """The attempt could not be made here; the text says why."""


async def ask(probe: Probe, patience_s: float) -> Result:
    """Make one attempt. Never raises for what the outside does."""
    began_s = time.monotonic()
    try:
        async with asyncio.timeout(patience_s):
            good, detail, took_s = await _KINDS[probe.kind](probe)
    except TimeoutError:
        return Result(False, time.monotonic() - began_s, f"no answer within {patience_s:g} s")
    except _UnableError as error:
        return Result(None, 0.0, str(error))
    except OSError as error:
        unable = error.errno in _OURS
        return Result(None if unable else False, time.monotonic() - began_s, _words(error))
    except _BROKEN as error:
        text = f"answers with something strange ({type(error).__name__})"
        return Result(False, time.monotonic() - began_s, text)
    return Result(good, took_s, detail)


def _words(error: OSError) -> str:
    """Say it without an address or a host: the text of an OSError may hold more."""
    if isinstance(error, ssl.SSLError):
        return f"TLS fails ({error.reason or type(error).__name__})"
    if error.errno == errno.ECONNREFUSED:
        return "refuses the connection"
    if error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
        return "no way leads there: a router says that it is not there"
    return os.strerror(error.errno).lower() if error.errno else type(error).__name__


_Answer = tuple[bool, str, float]


async def _connect(address: IpAddress, port: int) -> socket.socket:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(sock, (str(address), port))
    except BaseException:
        sock.close()
        raise
    return sock


async def _tcp(probe: Probe) -> _Answer:
    began_s = time.monotonic()
    sock = await _connect(probe.address, probe.port)
    took_s = time.monotonic() - began_s
    # Without lingering: thousands of connections that are only opened and closed leave none behind.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    return True, "accepts the connection", took_s


async def _ping(probe: Probe) -> _Answer:
    """Send one echo request over an unprivileged ICMP socket; the kernel fills in its id."""
    version = probe.address.version
    request, reply = _ECHO[version]
    with _icmp_socket(version) as sock:
        loop, mark = asyncio.get_running_loop(), secrets.token_bytes(16)
        header = struct.pack("!BBHHH", request, 0, 0, 0, 1)
        packet = header[:2] + struct.pack("!H", _checksum(header + mark)) + header[4:] + mark
        sock.connect((str(probe.address), 0))  # at once, and not by asyncio: that would resolve it
        began_s = time.monotonic()
        await loop.sock_sendall(sock, packet)
        while True:
            answer = await loop.sock_recv(sock, 2048)
            if len(answer) >= 8 and answer[0] == reply and answer[8:24] == mark:
                return True, "answers the ping", time.monotonic() - began_s


def _icmp_socket(version: int) -> socket.socket:
    family, protocol = (
        (socket.AF_INET, socket.IPPROTO_ICMP)
        if version == 4
        else (socket.AF_INET6, socket.IPPROTO_ICMPV6)
    )
    try:
        sock = socket.socket(family, socket.SOCK_DGRAM, protocol)
    except PermissionError:
        raise _UnableError(
            "pings are not allowed here: the sysctl net.ipv4.ping_group_range must hold our group"
        ) from None
    sock.setblocking(False)
    return sock


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a request goes, and what for. A redirect leads to another one."""

    address: IpAddress
    port: int
    url: CameraUrl


@dataclass(slots=True)
class _Talk:
    """One connection that text goes over."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def head_of_answer(self, request: str) -> Head:
        """Send a request and read the head of what is answered. Raises ValueError."""
        self.writer.write(request.encode("utf-8", "replace"))
        await self.writer.drain()
        head = parse_head(await self.reader.readuntil(b"\r\n\r\n"))
        if head is None:
            raise ValueError("no answer of this protocol")
        return head

    async def close(self) -> None:
        """Drop the connection: what else it has to say is not wanted."""
        self.writer.transport.abort()
        await asyncio.sleep(0)


async def _open(place: _Place) -> _Talk:
    sock = await _connect(place.address, place.port)
    tls = _TLS if place.url.scheme in _TLS_SCHEMES else None
    name = place.url.host.rstrip(".") if tls is not None else None
    try:
        reader, writer = await asyncio.open_connection(
            sock=sock, ssl=tls, server_hostname=name, limit=_LARGEST_HEAD_BYTES
        )
    except BaseException:
        sock.close()
        raise
    return _Talk(reader, writer)


def _lenient_tls() -> ssl.SSLContext:
    """Take what old cameras have to offer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    return context


_TLS = _lenient_tls()


async def _http(probe: Probe) -> _Answer:
    """Fetch the beginning of a picture, over a few redirects within the LAN."""
    began_s = time.monotonic()
    place: _Place | None = _place_of(probe)
    for _ in range(_MOST_REDIRECTS + 1):
        if place is None:
            return False, "redirects to outside of the airport's LAN", time.monotonic() - began_s
        head, beginning = await _get(place)
        if head.status not in REDIRECTS:
            good, detail = judge_picture(head, beginning)
            return good, _said(detail, place), time.monotonic() - began_s
        place = _redirected(probe, place, head.header("location"))
    return False, "redirects without end", time.monotonic() - began_s


def _said(detail: str, place: _Place) -> str:
    if place.url.scheme in _TLS_SCHEMES:
        return f"{detail}; its certificate is not checked"
    return detail


def _place_of(probe: Probe) -> _Place:
    if probe.url is None:
        raise _UnableError("there is no URL to ask for")
    return _Place(probe.address, probe.port, probe.url)


def _redirected(probe: Probe, place: _Place, location: str) -> _Place | None:
    """Return where a redirect leads if that is in the LAN; keys go to the same address only."""
    if location.startswith("/") and not location.startswith("//"):
        path = "".join(c for c in location if "!" <= c <= "~")
        return replace(place, url=replace(place.url, target=path))
    url = parse_camera_url(location)
    if not isinstance(url, CameraUrl) or url.scheme not in ("http", "https"):
        return None
    port = url.port or 80
    same_host = url.host == place.url.host
    if len(url.readings) != 1 and not same_host:
        return None
    address = place.address if same_host else url.readings[0]
    if not any(address in net for net in probe.lan if net.version == address.version):
        return None
    if address == place.address:
        url = replace(url, user=place.url.user, password=place.url.password)
    return _Place(address, port, url)


async def _get(place: _Place) -> tuple[Head, bytes]:
    """Ask without a password, and once more with the proof that is asked for."""
    url = place.url
    head, beginning = await _get_once(place, "")
    if head.status == 401 and url.user:
        proof = _proof(head, "GET", url.target, url)
        if proof is not None:
            return await _get_once(place, proof)
    return head, beginning


def _proof(head: Head, method: str, uri: str, url: CameraUrl) -> str | None:
    challenges = tuple(value for name, value in head.headers if name == "www-authenticate")
    nonce = secrets.token_hex(8)
    return authorization(challenges, method, uri, url.user, url.password, nonce)


async def _get_once(place: _Place, proof: str) -> tuple[Head, bytes]:
    url = place.url
    talk = await _open(place)
    try:
        head = await talk.head_of_answer(
            f"GET {url.target} HTTP/1.1\r\nHost: {_host(place)}\r\nUser-Agent: {_AGENT}\r\n"
            "Accept: image/*, video/*, multipart/x-mixed-replace, */*;q=0.1\r\n"
            + (f"Authorization: {proof}\r\n" if proof else "")
            + "Connection: close\r\n\r\n"
        )
        beginning = await talk.reader.read(_FIRST_BYTES) if head.status == 200 else b""
    finally:
        await talk.close()
    return head, beginning


def _host(place: _Place) -> str:
    host = f"[{place.url.host}]" if ":" in place.url.host else place.url.host.rstrip(".")
    usual = {"http": 80, "https": 443}.get(place.url.scheme)
    return host if place.port == usual else f"{host}:{place.port}"


async def _rtsp(probe: Probe) -> _Answer:
    """Ask what the camera can do; that is the first thing every player asks."""
    began_s, place = time.monotonic(), _place_of(probe)
    url = place.url
    uri = f"rtsp{'s' if url.scheme == 'rtsps' else ''}://{_host(place)}{url.target}"
    request = f"OPTIONS {uri} RTSP/1.0\r\nCSeq: {{}}\r\nUser-Agent: {_AGENT}\r\n"
    talk = await _open(place)
    try:
        head = await talk.head_of_answer(request.format(1) + "\r\n")
        if head.status == 401 and url.user:
            proof = _proof(head, "OPTIONS", uri, url)
            if proof is not None:
                head = await talk.head_of_answer(
                    f"{request.format(2)}Authorization: {proof}\r\n\r\n"
                )
    finally:
        await talk.close()
    took_s = time.monotonic() - began_s
    if head.protocol != "RTSP":
        return False, "does not speak RTSP", took_s
    good = head.status == 200
    return good, _said("answers over RTSP" if good else judge_status(head.status), place), took_s


_KINDS: dict[str, Callable[[Probe], Awaitable[_Answer]]] = {
    "ping": _ping,
    "tcp": _tcp,
    "http": _http,
    "rtsp": _rtsp,
}
