"""One question to one address, against real sockets on this machine."""

import asyncio
import errno
import random
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from reconciler.core.camera_url import CameraUrl, parse_camera_url
from reconciler.core.probing import Kind, Probe, Result
from reconciler.edges import ask as edge
from reconciler.edges.ask import ask
from tests.edges.camera import JPEG, PICTURE, RTSP_OK, TestCamera

HERE = ip_address("127.0.0.1")
LAN = (ip_network("127.0.0.0/30"),)
PASSWORD = "s3cr3t-Pass"  # noqa: S105 - of no camera
DIGEST = 'Digest realm="cam", nonce="abc", qop="auth"'


@pytest.fixture
def camera() -> Iterator[TestCamera]:
    with TestCamera().running() as running:
        yield running


def probe(kind: Kind, port: int, url: str = "") -> Probe:
    found = parse_camera_url(url) if url else None
    assert found is None or isinstance(found, CameraUrl)
    return Probe(("kspb_vpn", 0), kind, HERE, port, 30.0, found, LAN)


def asked(one: Probe, patience_s: float = 5.0) -> Result:
    return asyncio.run(ask(one, patience_s))


def picture_of(camera: TestCamera, scheme: str = "http", patience_s: float = 5.0) -> Result:
    url = f"{scheme}://admin:{PASSWORD}@127.0.0.1:{camera.port}/a.jpg"
    return asked(probe("http", camera.port, url), patience_s)


def word_of(camera: TestCamera, patience_s: float = 5.0) -> Result:
    url = f"rtsp://admin:{PASSWORD}@127.0.0.1:{camera.port}/s"
    return asked(probe("rtsp", camera.port, url), patience_s)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


# TCP and ping


def test_a_port_that_is_open_is_a_success_with_its_round_trip(camera: TestCamera) -> None:
    found = asked(probe("tcp", camera.port))
    assert (found.success, found.detail) == (True, "accepts the connection")
    assert 0 < found.round_trip_s < 2


def test_a_port_that_is_closed_is_a_failure_that_says_so() -> None:
    assert asked(probe("tcp", free_port())).detail == "refuses the connection"


@pytest.mark.parametrize(
    ("number", "success", "words"),
    [
        (errno.EHOSTUNREACH, False, "a router says that it is not there"),
        (errno.ENETUNREACH, False, "a router says that it is not there"),
        (errno.EMFILE, None, "too many open files"),
        (errno.ENOBUFS, None, "no buffer space available"),
    ],
)
def test_what_is_our_own_trouble_is_no_failure_of_the_camera(
    monkeypatch: pytest.MonkeyPatch, number: int, success: bool | None, words: str
) -> None:
    async def fails(*_: object) -> socket.socket:
        raise OSError(number, "whatever", PASSWORD)

    monkeypatch.setattr(edge, "_connect", fails)
    found = asked(probe("tcp", 1))
    assert (found.success, words in found.detail) == (success, True)
    assert PASSWORD not in found.detail


def test_a_ping_is_answered_or_it_is_said_that_this_machine_does_not_allow_it() -> None:
    found = asked(probe("ping", 0))
    if _may_ping():
        assert (found.success, found.detail) == (True, "answers the ping")
    else:
        assert found.success is None
        assert "ping_group_range" in found.detail


class PingSocket(socket.socket):
    """An ICMP socket as far as it is one to us: what it is connected to answers."""

    far: socket.socket

    def connect(self, address: Any) -> None:
        assert address == ("127.0.0.1", 0)
        super().connect(self.far.getsockname())


@pytest.mark.parametrize("answers", [True, False], ids=["answers", "only others answer"])
def test_a_ping_is_known_again_by_what_it_carries(
    monkeypatch: pytest.MonkeyPatch, answers: bool
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
        far.bind(("127.0.0.1", 0))
        near = PingSocket(socket.AF_INET, socket.SOCK_DGRAM)
        near.far = far
        near.setblocking(False)
        monkeypatch.setattr(edge, "_icmp_socket", lambda _version: near)

        def reply() -> None:
            packet, peer = far.recvfrom(100)
            assert packet[0] == 8
            assert edge._checksum(packet) == 0
            for made in (b"", b"\x00" * 24, packet, *([b"\x00" + packet[1:]] if answers else [])):
                far.sendto(made, peer)

        thread = threading.Thread(target=reply)
        thread.start()
        found = asked(probe("ping", 0), 0.5)
        thread.join(5)
    assert found.success is answers
    assert found.detail == ("answers the ping" if answers else "no answer within 0.5 s")


def _may_ping() -> bool:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP).close()
    except PermissionError:
        return False
    return True


@pytest.mark.parametrize("data", [b"", b"\x08\x00\x00\x00\x00\x00\x00\x01" + b"\xff" * 16])
def test_a_packet_with_its_checksum_adds_up_to_nothing(data: bytes) -> None:
    made = edge._checksum(data)
    assert edge._checksum(data + made.to_bytes(2, "big")) == 0


# HTTP


def test_a_picture_is_a_success_and_its_whole_is_not_read(camera: TestCamera) -> None:
    camera.answer = lambda _: PICTURE + b"x" * 5_000_000
    found = picture_of(camera)
    assert (found.success, found.detail) == (True, "image/jpeg")
    [request] = camera.requests
    assert request.startswith("GET /a.jpg HTTP/1.1\r\nHost: 127.0.0.1:")
    assert "Authorization" not in request, "nobody asked for the password"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "has nothing at this path"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>", "answers with text/html"),
        (b"SSH-2.0-OpenSSH_9\r\n\r\n", "answers with something strange"),
        (b"", "answers with something strange"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 5000 + b"\r\n", "answers with something strange"),
        (b"\x00" * 100_000, "answers with something strange"),
    ],
    ids=["not found", "a page", "ssh", "nothing", "endless headers", "noise"],
)
def test_anything_else_is_a_failure(camera: TestCamera, answer: bytes, words: str) -> None:
    camera.answer = answer
    found = picture_of(camera)
    assert found.success is False
    assert words in found.detail


def test_a_camera_that_hangs_is_given_up(camera: TestCamera) -> None:
    camera.answer = None
    one = probe("http", camera.port, f"http://127.0.0.1:{camera.port}/a.jpg")
    found = asked(one, 0.3)
    assert (found.success, found.detail) == (False, "no answer within 0.3 s")


@pytest.mark.parametrize("challenge", ['Basic realm="cam"', DIGEST], ids=["basic", "digest"])
def test_user_and_password_are_proved_when_they_are_asked_for(
    camera: TestCamera, challenge: str
) -> None:
    def answer(request: str) -> bytes:
        if "Authorization: " in request:
            return PICTURE
        return f"HTTP/1.1 401 No\r\nWWW-Authenticate: {challenge}\r\n\r\n".encode()

    camera.answer = answer
    assert picture_of(camera).success
    assert len(camera.requests) == 2
    assert PASSWORD not in "".join(camera.requests)


def test_a_wrong_password_is_told_after_one_try(camera: TestCamera) -> None:
    camera.answer = f"HTTP/1.1 401 No\r\nWWW-Authenticate: {DIGEST}\r\n\r\n".encode()
    found = picture_of(camera)
    assert (found.success, found.detail) == (False, "refuses user and password (status 401)")
    assert len(camera.requests) == 2


def redirect(location: str) -> Callable[[str], bytes]:
    def answer(request: str) -> bytes:
        if request.startswith("GET /a.jpg "):
            return f"HTTP/1.1 302 Found\r\nLocation: {location}\r\n\r\n".encode()
        return PICTURE

    return answer


def test_a_redirect_within_the_lan_is_followed(camera: TestCamera) -> None:
    for location in ("/b.jpg", f"http://127.0.0.1:{camera.port}/b.jpg"):
        camera.answer = redirect(location)
        assert picture_of(camera).success
        assert camera.requests[-1].startswith("GET /b.jpg ")


@pytest.mark.parametrize(
    "location",
    [
        *(
            "http://127.0.0.9/b.jpg",
            "http://example.org/b.jpg",
            "//8.8.8.8/b.jpg",
            "ftp://127.0.0.1/",
        ),
        *("http://010.0.0.1/", "", "javascript:1", "http://[::1]/", "https://admin:x@10.0.0.1/"),
    ],
    ids=repr,
)
def test_one_that_leads_out_of_it_is_not(camera: TestCamera, location: str) -> None:
    camera.answer = redirect(location)
    found = picture_of(camera)
    assert (found.success, found.detail) == (False, "redirects to outside of the airport's LAN")
    assert len(camera.requests) == 1


def test_the_password_goes_to_no_other_address_of_the_lan(camera: TestCamera) -> None:
    with TestCamera().running() as other:
        elsewhere = f"http://127.0.0.2:{other.port}/b.jpg"
        camera.answer = redirect(elsewhere)
        one = probe("http", camera.port, f"http://u:{PASSWORD}@127.0.0.1:{camera.port}/a.jpg")
        place = edge._redirected(one, edge._place_of(one), elsewhere)
    assert place is not None
    assert (place.url.user, place.url.password) == ("", "")


def test_redirects_in_a_circle_end(camera: TestCamera) -> None:
    camera.answer = b"HTTP/1.1 302 Found\r\nLocation: /a.jpg\r\n\r\n"
    assert picture_of(camera).detail == "redirects without end"


def test_a_certificate_of_the_cameras_own_making_is_taken_and_that_is_said(
    tmp_path: Path,
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(tmp_path))
    with TestCamera(tls=context).running() as camera:
        found = picture_of(camera, scheme="https")
        assert found.success
        assert found.detail == "image/jpeg; its certificate is not checked"


def test_a_camera_that_speaks_no_tls_is_told(camera: TestCamera) -> None:
    camera.answer = b"hello\r\n\r\n"
    with TestCamera(answer=None).running() as deaf:
        found = asked(probe("http", deaf.port, f"https://127.0.0.1:{deaf.port}/"), 0.5)
    assert found.success is False


def certificate(folder: Path) -> Path:
    path = folder / "camera.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-subj", "/CN=camera", "-keyout", str(path), "-out", str(folder / "cert.pem")),
        ],
        check=True,
        capture_output=True,
    )
    path.write_text(path.read_text() + (folder / "cert.pem").read_text())
    return path


# RTSP


def test_a_camera_that_answers_over_rtsp_is_a_success(camera: TestCamera) -> None:
    camera.answer = RTSP_OK
    found = word_of(camera)
    assert (found.success, found.detail) == (True, "answers over RTSP")
    [request] = camera.requests
    assert request.startswith(f"OPTIONS rtsp://127.0.0.1:{camera.port}/s RTSP/1.0\r\nCSeq: 1\r\n")
    assert PASSWORD not in request


def test_one_that_asks_for_user_and_password_gets_the_proof(camera: TestCamera) -> None:
    def answer(request: str) -> bytes:
        if "Authorization: Digest " in request:
            return RTSP_OK
        return f"RTSP/1.0 401 No\r\nWWW-Authenticate: {DIGEST}\r\n\r\n".encode()

    camera.answer = answer
    assert word_of(camera).success
    assert ["CSeq: 2" in request for request in camera.requests] == [False, True]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"RTSP/1.0 404 Not Found\r\n\r\n", "has nothing at this path"),
        (b"RTSP/1.0 401 No\r\n\r\n", "refuses user and password"),
        (PICTURE, "does not speak RTSP"),
        (b"\r\n\r\n", "answers with something strange"),
    ],
)
def test_any_other_answer_over_rtsp_is_a_failure(
    camera: TestCamera, answer: bytes, words: str
) -> None:
    camera.answer = answer
    found = word_of(camera)
    assert (found.success, words in found.detail) == (False, True)


def test_whatever_a_camera_says_there_is_a_result_and_no_key_in_it(camera: TestCamera) -> None:
    dice = random.Random(11)  # noqa: S311 - always the same
    pieces = [
        *(b"HTTP/1.1 ", b"RTSP/1.0 ", b"200 OK", b"401 X", b"302 Y", b"\r\n", b"\n", b"\r\n\r\n"),
        *(b"Location: ", b"http://", b"127.0.0.1", b"/a.jpg", b"WWW-Authenticate: ", b"Digest "),
        *(b'realm="', b'nonce="', b'"', b"\xff", b"\x00", b"Content-Type: image/jpeg", JPEG[:10]),
    ]
    for _ in range(80):
        camera.answer = b"".join(dice.choices(pieces, k=dice.randrange(1, 14)))
        for found in (picture_of(camera, patience_s=0.05), word_of(camera, 0.05)):
            assert found.success in (True, False)
            assert found.detail.isprintable()
            assert PASSWORD not in found.detail
