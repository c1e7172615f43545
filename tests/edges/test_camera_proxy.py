"""The proxy for programs outside of the hub's network, against real sockets."""

import asyncio
import contextlib
import http.client
import json
import logging
import socket
import threading
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from reconciler.core.camera_url import CameraUrl, parse_camera_url
from reconciler.core.model import IpAddress
from reconciler.edges.camera_proxy import MOST_CONNECTIONS, CameraProxy
from reconciler.edges.dns import Names, Resolver
from reconciler.proxy import Ways
from reconciler.settings import Settings
from tests.builders import document, vpn
from tests.edges.camera import JPEG, RTSP_OK, TestCamera
from tests.edges.test_ask import free_port

HERE = ip_address("127.0.0.1")
PASSWORD = "s3cr3t-Pass"  # noqa: S105 - of no camera


def judge(url: CameraUrl) -> IpAddress | str:
    return HERE if url.host in ("127.0.0.1", "cam.example.org") else "direct: not here"


@pytest.fixture
def port() -> Iterator[int]:
    """Run a proxy in a thread."""
    ready, loop = threading.Event(), asyncio.new_event_loop()
    found: list[int] = []

    async def start() -> None:
        found.append(await proxy.start("127.0.0.1", 0))
        ready.set()

    def run() -> None:
        loop.run_until_complete(start())
        loop.run_forever()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0.1))
        loop.close()

    proxy = CameraProxy(judge)
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(5)
    yield found[0]
    loop.call_soon_threadsafe(proxy.close)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)


@pytest.fixture
def camera() -> Iterator[TestCamera]:
    with TestCamera().running() as running:
        yield running


def get(port: int, url: str, **headers: str) -> tuple[int, bytes]:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as client:
        client.request("GET", url, headers=headers)
        answer = client.getresponse()
        return answer.status, answer.read()


def said(port: int, text: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        client.sendall(text)
        client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(65536), b""))


def test_a_picture_comes_through_and_the_camera_is_asked_as_if_directly(
    port: int, camera: TestCamera
) -> None:
    url = f"http://127.0.0.1:{camera.port}/a.jpg?x=1"
    proof = {"Authorization": "Basic abc", "Proxy-Authorization": "Basic mine"}
    assert get(port, url, **proof) == (200, JPEG)
    [request] = camera.requests
    assert request.startswith("GET /a.jpg?x=1 HTTP/1.1\r\n")
    assert "Authorization: Basic abc" in request
    assert "Proxy-Authorization" not in request


def test_anything_goes_over_a_tunnel_that_is_asked_for(port: int, camera: TestCamera) -> None:
    camera.answer = RTSP_OK
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        client.sendall(f"CONNECT cam.example.org:{camera.port} HTTP/1.1\r\n\r\n".encode())
        assert client.recv(100) == b"HTTP/1.1 200 Connection established\r\n\r\n"
        for number in (1, 2):
            client.sendall(f"OPTIONS rtsp://cam/ RTSP/1.0\r\nCSeq: {number}\r\n\r\n".encode())
            assert client.recv(1000) == RTSP_OK


def test_a_large_answer_comes_whole(port: int, camera: TestCamera) -> None:
    body = b"x" * 3_000_000
    camera.answer = b"HTTP/1.1 200 OK\r\n\r\n" + body
    assert get(port, f"http://127.0.0.1:{camera.port}/")[1] == body


@pytest.mark.parametrize("host", ["8.8.8.8", "localhost", "example.org", "[::1]"])
def test_what_is_behind_no_tunnel_cannot_be_reached(port: int, host: str) -> None:
    assert get(port, f"http://{host}/a.jpg")[0] == 403
    assert said(port, f"CONNECT {host}:443 HTTP/1.1\r\n\r\n".encode()).startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize(
    "text",
    [
        *(b"GET / HTTP/1.1\r\n\r\n", b"GET ftp://127.0.0.1/ HTTP/1.1\r\n\r\n", b"\r\n\r\n"),
        *(b"CONNECT 127.0.0.1 HTTP/1.1\r\n\r\n", b"CONNECT 127.0.0.1:99999 HTTP/1.1\r\n\r\n"),
        *(b"nonsense\r\n\r\n", b"GET http://a\x00b/ HTTP/1.1\r\n\r\n", b"\xff" * 100 + b"\r\n\r\n"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_would(port: int, text: bytes) -> None:
    assert said(port, text).startswith(b"HTTP/1.1 400 ")


def test_heads_without_end_are_given_up(port: int) -> None:
    assert said(port, b"GET http://127.0.0.1/ HTTP/1.1\r\n" + b"X: y\r\n" * 10_000) == b""


def test_a_camera_that_is_off_is_told_as_that(port: int) -> None:
    assert get(port, f"http://127.0.0.1:{free_port()}/")[0] == 504


def test_there_is_an_end_to_how_many_are_served_at_once(port: int) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(MOST_CONNECTIONS):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), 10))
        assert get(port, "http://127.0.0.1:1/")[0] == 503
    assert said(port, b"nonsense\r\n\r\n").startswith(b"HTTP/1.1 ")


def test_no_request_is_logged(
    port: int, camera: TestCamera, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    get(port, f"http://u:{PASSWORD}@127.0.0.1:{camera.port}/{PASSWORD}?k={PASSWORD}")
    get(port, f"http://u:{PASSWORD}@8.8.8.8/{PASSWORD}")
    assert PASSWORD not in caplog.text


# What is behind a tunnel


def test_the_file_says_what_can_be_reached_and_a_broken_one_changes_nothing(
    tmp_path: Path,
) -> None:
    path = tmp_path / "airports.json"
    path.write_text(json.dumps(document(kspb=vpn(1))))
    ways = Ways(Settings(config_path=path), Names(Resolver()))

    def to(text: str) -> str:
        url = parse_camera_url(text)
        assert isinstance(url, CameraUrl)
        return str(ways.to(url))

    assert to("http://192.168.1.9/").startswith("no-tunnel: ")
    ways.read()
    assert to("http://192.168.1.9/") == "192.168.1.9"
    assert to("http://8.8.8.8/") == "direct: only cameras behind a tunnel can be reached here"
    path.write_text("{")
    ways.read()
    assert to("http://192.168.1.9/") == "192.168.1.9"
    path.write_text(json.dumps(document(kczk=vpn(2))))
    ways.read()
    assert to("http://192.168.1.9/").startswith("no-tunnel: ")
    assert to("http://192.168.2.9/") == "192.168.2.9"
