"""The HTTP endpoint, over a real socket."""

import gzip
import json
import socket
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse

import pytest

from reconciler.edges.http import (
    Answer,
    HttpServer,
    accepts_gzip,
    json_answer,
    metrics_answer,
    plain,
)


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
