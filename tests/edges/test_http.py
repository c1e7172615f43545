"""The HTTP endpoint, over a real socket."""

import gzip
import json
import re
import socket
import threading
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path

import pytest

from reconciler.edges.http import (
    Answer,
    HttpServer,
    accepts_gzip,
    json_answer,
    metrics_answer,
    plain,
)
from tests.docker import eventually


def broken() -> Answer:
    raise RuntimeError("a bug in a route")


@pytest.fixture(scope="module")
def server() -> Iterator[HttpServer]:
    server = HttpServer(
        ("127.0.0.1", 0),
        {
            "/metrics": lambda: metrics_answer(b"vpn_daemon_reachable 1.0\n"),
            "/healthz": lambda: plain(True, "the loop turns"),
            "/readyz": lambda: plain(False, "no round with charon yet"),
            "/status": lambda: json_answer(b'{"timestamp": 1}'),
            "/large": lambda: metrics_answer(b'vpn_x{n="%d"} 1\n' % n for n in range(5000)),
            "/broken": broken,
        },
    )
    server.start()
    yield server
    server.stop()


def ask(
    server: HttpServer, path: str, method: str = "GET", encoding: str = "identity"
) -> tuple[HTTPResponse, bytes]:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=5)
    try:
        connection.request(method, path, headers={"Accept-Encoding": encoding})
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("path", "code", "content_type", "body"),
    [
        ("/metrics", 200, "text/plain; version=", b"vpn_daemon_reachable 1.0\n"),
        ("/healthz", 200, "text/plain", b"the loop turns\n"),
        ("/readyz", 503, "text/plain", b"no round with charon yet\n"),
        ("/status", 200, "application/json", b'{"timestamp": 1}'),
        ("/status?pretty", 200, "application/json", b'{"timestamp": 1}'),
    ],
)
def test_every_route_answers(
    server: HttpServer, path: str, code: int, content_type: str, body: bytes
) -> None:
    response, found = ask(server, path)
    assert (response.status, found) == (code, body)
    assert str(response.headers["Content-Type"]).startswith(content_type)
    assert response.headers["Content-Length"] == str(len(body))
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ["/metrics", "/status", "/healthz", "/large"])
def test_who_takes_gzip_gets_it_and_everybody_gets_the_same(server: HttpServer, path: str) -> None:
    plain_one, body = ask(server, path)
    packed, smaller = ask(server, path, encoding="deflate, gzip;q=1.0")
    assert "Content-Encoding" not in plain_one.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.headers["Vary"] == plain_one.headers["Vary"] == "Accept-Encoding"
    assert packed.headers["Content-Length"] == str(len(smaller))
    assert gzip.decompress(smaller) == body


def test_gzip_makes_a_large_page_small(server: HttpServer) -> None:
    bodies = [ask(server, "/large", encoding=kind)[1] for kind in ("identity", "gzip")]
    assert len(bodies[0]) > 4 * len(bodies[1])


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        *(("", False), ("identity", False), ("deflate, br", False), ("xgzip", False)),
        *(("gzip", True), ("GZIP", True), ("br, gzip", True), ("*", True)),
        *(("gzip;q=0.5", True), ("gzip; q = 1", True)),
        *(("gzip;q=0", False), ("gzip;q=0.000", False), ("gzip; q=0.0, br", False)),
    ],
)
def test_gzip_is_sent_to_who_asks_for_it(header: str, *, accepted: bool) -> None:
    assert accepts_gzip(header) is accepted


@pytest.mark.parametrize("path", ["/", "/favicon.ico", "/metrics/", "/../etc/passwd"])
def test_anything_else_is_404_and_names_what_there_is(server: HttpServer, path: str) -> None:
    response, body = ask(server, path)
    assert response.status == 404
    assert b"/metrics /healthz /readyz /status" in body


@pytest.mark.parametrize(("path", "code"), [("/status", 200), ("/readyz", 503), ("/x", 404)])
def test_head_answers_like_get_without_a_body(server: HttpServer, path: str, code: int) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(f"HEAD {path} HTTP/1.0\r\n\r\n".encode())
        head, _, body = connection.makefile("rb").read().partition(b"\r\n\r\n")
    assert head.split()[1] == str(code).encode()
    assert f"Content-Length: {len(ask(server, path)[1])}".encode() in head.splitlines()
    assert body == b""


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_can_be_changed_from_here(server: HttpServer, method: str) -> None:
    assert ask(server, "/status", method)[0].status == 501


def test_a_bug_in_one_route_leaves_the_server_running(server: HttpServer) -> None:
    with pytest.raises(OSError, match=r"closed|reset"):
        ask(server, "/broken")
    assert ask(server, "/healthz")[0].status == 200


def test_a_client_that_says_nothing_keeps_nobody_waiting(server: HttpServer) -> None:
    silent = HTTPConnection("127.0.0.1", server.port, timeout=5)
    silent.connect()
    assert ask(server, "/healthz")[0].status == 200
    silent.close()


# Clients that take more than their share


def connect(server: HttpServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=30)


def is_hung_up_on(connection: socket.socket) -> bool:
    """Whether the other end has closed, with or without an answer."""
    try:
        while connection.recv(65536):
            pass
    except ConnectionError:
        pass
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize("drip", [b"", b"X-Slow: 1\r\n"], ids=["silent", "a line at a time"])
def test_who_takes_too_long_is_hung_up_on(drip: bytes) -> None:
    """However it keeps the connection busy: the time is for all of it, not from byte to byte."""
    server = HttpServer(("127.0.0.1", 0), {"/x": lambda: plain(True, "x")}, patience_s=1)
    server.start()

    def drop() -> bool:
        try:
            slow.sendall(drip)
            slow.settimeout(0.1)
            return slow.recv(100) == b""
        except TimeoutError:
            return False
        except ConnectionError:
            return True

    try:
        with connect(server) as slow:
            slow.sendall(b"GET /x HTTP/1.0\r\n")
            eventually(drop, 30, "it is hung up on")
    finally:
        server.stop()


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /status HTTP/1.0\r\n" + b"X: " + b"y" * 40_000 + b"\r\n\r\n",
        b"GET /status HTTP/1.0\r\n" + b"".join(b"X-%d: 1\r\n" % n for n in range(90)) * 30,
        b"GET /" + b"a" * 60_000 + b" HTTP/1.0\r\n\r\n",
        b"\0" * 100_000,
    ],
    ids=["one long header", "many headers", "a long path", "no request at all"],
)
def test_a_request_that_is_too_large_is_refused_before_it_is_read(
    server: HttpServer, request_: bytes
) -> None:
    with connect(server) as connection:
        answer = b""
        try:
            connection.sendall(request_)
            while part := connection.recv(65536):
                answer += part
        except ConnectionError:
            pass  # what it had not read yet makes it a reset
        assert b'"timestamp"' not in answer
        assert not answer or re.match(rb"HTTP/1.0 4|<!DOCTYPE", answer), answer
    assert ask(server, "/healthz")[0].status == 200


def test_of_too_many_connections_the_oldest_must_go_and_a_newcomer_is_served(
    server: HttpServer,
) -> None:
    def served() -> bool:
        try:
            return ask(server, "/healthz")[0].status == 200
        except (OSError, HTTPException):
            return False  # so many at once that not even the oldest were gone yet

    idle = [connect(server) for _ in range(40)]
    try:
        eventually(served, 8, "a newcomer is served")
        idle[0].settimeout(8)  # earlier than it would be hung up on for its silence
        assert is_hung_up_on(idle[0])
    finally:
        for connection in idle:
            connection.close()


def test_when_all_are_gone_nothing_is_left_of_them(server: HttpServer) -> None:
    def threads() -> int:
        return sum("process_request" in thread.name for thread in threading.enumerate())

    def descriptors() -> int:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())

    eventually(lambda: threads() == 0, 30, "no connection is left of earlier tests")
    before = descriptors()
    for _ in range(3):
        idle = [connect(server) for _ in range(20)]
        for connection in idle:
            connection.close()
    eventually(lambda: threads() == 0, 30, "every thread ends")
    eventually(lambda: descriptors() <= before, 30, "every descriptor is closed")


def test_the_software_is_not_told_by_version(server: HttpServer) -> None:
    assert "Python" not in str(ask(server, "/healthz")[0].headers["Server"])


def test_a_port_that_is_taken_is_an_error_at_once(server: HttpServer) -> None:
    with pytest.raises(OSError, match="in use"):
        HttpServer(("127.0.0.1", server.port), {})


def test_after_the_stop_the_port_is_closed() -> None:
    server = HttpServer(("127.0.0.1", 0), {})
    server.start()
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        ask(server, "/healthz")


def test_the_status_is_json(server: HttpServer) -> None:
    assert json.loads(ask(server, "/status")[1]) == {"timestamp": 1}
