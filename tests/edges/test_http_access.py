"""Token and certificate of the HTTP endpoint: real files, a real socket, real TLS."""

import io
import os
import shutil
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest

from reconciler.edges.http import Access, HttpServer, json_answer, metrics_answer, plain
from reconciler.edges.http_access import AccessError, Certificate, Token
from reconciler.errors import UsageError
from reconciler.health import ask as ask_health
from reconciler.health import get
from reconciler.service import http_access
from reconciler.settings import Settings
from tests.docker import eventually
from tests.edges.certificates import write_certificate
from tests.edges.test_logs import logging_to

TOKEN = "c0ffee5ec2e7c0ffee5ec2e7"  # noqa: S105 - a test's own
ROUTES = {
    "/metrics": lambda: metrics_answer(b"vpn_daemon_reachable 1.0\n"),
    "/status": lambda: json_answer(b'{"timestamp": 1}'),
    "/healthz": lambda: plain(True, "the loop turns"),
    "/readyz": lambda: plain(False, "no round with charon yet"),
}


@contextmanager
def serving(access: Access, *, patience_s: float = 30) -> Iterator[HttpServer]:
    server = HttpServer(("127.0.0.1", 0), ROUTES, access, patience_s=patience_s)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    folder = tmp_path_factory.mktemp("tls")
    made = {name: write_certificate(folder, name) for name in ("hub.example", "new.example")}
    made["locked.example"] = write_certificate(folder, "locked.example", "-passout", "pass:x")
    return made


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    return path


def ask(server: HttpServer, path: str, *authorization: str) -> tuple[int, str, bytes]:
    """Return code, challenge and body."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        headers = {"Authorization": authorization[0]} if authorization else {}
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.getheader("WWW-Authenticate", ""), answer.read()
    finally:
        connection.close()


def replace_file(path: Path, text: str) -> None:
    draft = path.with_suffix(".draft")
    draft.write_text(text)
    draft.replace(path)


# The token


def test_with_a_token_metrics_and_status_are_for_who_sends_it(token_file: Path) -> None:
    with serving(Access(Token(token_file).allows)) as server:
        for path in ("/metrics", "/status", "/status?x"):
            assert ask(server, path, f"Bearer {TOKEN}")[0] == 200
            assert ask(server, path, f"bearer  {TOKEN} ")[0] == 200
            code, challenge, body = ask(server, path)
            assert (code, challenge) == (401, 'Bearer realm="reconciler"')
            assert b"Authorization: Bearer" in body
            assert b"timestamp" not in body


@pytest.mark.parametrize(
    "header",
    [
        *("", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Bearer x{TOKEN}"),
        *(f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN.upper()}", "Bearer \xff\xfe", f"Bearer,{TOKEN}"),
    ],
)
def test_anything_but_the_token_is_refused(token_file: Path, header: str) -> None:
    with serving(Access(Token(token_file).allows)) as server:
        assert ask(server, "/metrics", header)[0] == 401


def test_the_health_checks_need_no_token(token_file: Path) -> None:
    with serving(Access(Token(token_file).allows)) as server:
        assert ask(server, "/healthz")[0] == 200
        assert ask(server, "/readyz")[0] == 503
        assert ask_health(f"127.0.0.1:{server.port}") == (True, "the loop turns")


def test_a_renewed_token_holds_from_the_next_request_on(token_file: Path) -> None:
    with serving(Access(Token(token_file).allows)) as server, logging_to(io.StringIO(), "json"):
        replace_file(token_file, "another-token-another-token")
        assert ask(server, "/status", f"Bearer {TOKEN}")[0] == 401
        assert ask(server, "/status", "Bearer another-token-another-token")[0] == 200


def test_a_token_that_is_spoilt_later_is_reported_once_and_the_old_one_holds(
    token_file: Path,
) -> None:
    lines = io.StringIO()
    with serving(Access(Token(token_file).allows)) as server, logging_to(lines, "json"):
        for text in ("", "short"):
            replace_file(token_file, text)
            assert [ask(server, "/status", f"Bearer {TOKEN}")[0] for _ in range(3)] == [200] * 3
        token_file.unlink()
        assert ask(server, "/status", f"Bearer {TOKEN}")[0] == 200
        assert ask(server, "/status")[0] == 401
    told = lines.getvalue()
    assert told.count('"http access kept"') == 3
    for why in ("is empty", "holds no usable token", "No such file or directory"):
        assert why in told
    assert TOKEN not in told


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"short\n", "holds no usable token"),
        (b"two tokens in one line, with blanks", "holds no usable token"),
        (b"c0ffee5ec2e7c0ff\nc0ffee5ec2e7c0ff", "holds no usable token"),
        ("schlüssel-schlüssel-schlüssel".encode(), "holds no usable token"),
        (b"x" * 5000, "is larger than 4096 bytes"),
    ],
)
def test_a_token_file_without_a_usable_token_is_refused(
    tmp_path: Path, content: bytes, why: str
) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        http_access(Settings(http_token_file=str(path)))
    assert str(caught.value).startswith(f"HTTP_TOKEN_FILE={path}: {why}")
    assert "c0ffee" not in str(caught.value)


def test_a_file_that_is_missing_unreadable_or_no_file_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, why in (
        (tmp_path / "none", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (tmp_path / "pipe", "is no regular file"),
    ):
        with pytest.raises(AccessError) as caught:
            Token(path)
        assert str(caught.value).startswith(f"HTTP_TOKEN_FILE={path}: {why}")


# TLS


def served_name(server: HttpServer, trusted: Path) -> str:
    """Shake hands as a client that trusts one certificate; return the name it is made out for."""
    context = ssl.create_default_context(cafile=str(trusted))
    name = trusted.stem
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection,
        context.wrap_socket(connection, server_hostname=name) as wrapped,
    ):
        certificate = wrapped.getpeercert()
    assert certificate
    return str(dict(entry[0] for entry in certificate["subject"])["commonName"])  # type: ignore[misc]


def test_over_tls_everything_is_served_and_the_health_check_asks_so_too(
    pairs: dict[str, tuple[Path, Path]], token_file: Path
) -> None:
    certificate, key = pairs["hub.example"]
    settings = Settings(
        http_token_file=str(token_file),
        http_tls_certificate=str(certificate),
        http_tls_key=str(key),
    )
    with serving(http_access(settings)) as server:
        listen = f"127.0.0.1:{server.port}"
        assert ask_health(listen, tls=True) == (True, "the loop turns")
        assert get(listen, "/status", tls=True)[0] == 401
        assert get(listen, "/status", tls=True, token_file=str(token_file))[0] == 200
        assert served_name(server, certificate) == "hub.example"
        well, words = ask_health(listen)
        assert not well
        assert words.startswith(f"does not answer at {listen}")


def test_who_speaks_no_tls_gets_nothing_and_is_no_bug(pairs: dict[str, tuple[Path, Path]]) -> None:
    certificate = Certificate(*pairs["hub.example"])
    lines = io.StringIO()
    with serving(Access(context=certificate.context)) as server, logging_to(lines, "json"):
        with pytest.raises((OSError, HTTPException)):
            ask(server, "/status")
        assert served_name(server, pairs["hub.example"][0]) == "hub.example"
    assert "request failed" not in lines.getvalue()


def test_a_renewed_certificate_is_served_without_a_restart(
    pairs: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    certificate, key = tmp_path / "hub.pem", tmp_path / "hub.key"
    shutil.copy(pairs["hub.example"][0], certificate)
    shutil.copy(pairs["hub.example"][1], key)
    lines = io.StringIO()
    with (
        serving(Access(context=Certificate(certificate, key).context)) as server,
        logging_to(lines, "json"),
    ):
        assert served_name(server, pairs["hub.example"][0]) == "hub.example"
        # One after the other, as most renew them: between the two they do not fit.
        shutil.copy(pairs["new.example"][0], certificate)
        assert served_name(server, pairs["hub.example"][0]) == "hub.example"
        assert "the key is not of this certificate" in lines.getvalue()
        shutil.copy(pairs["new.example"][1], key)
        assert served_name(server, pairs["new.example"][0]) == "new.example"
        assert '"http access renewed"' in lines.getvalue()


def test_a_silent_client_before_the_handshake_keeps_nobody_waiting(
    pairs: dict[str, tuple[Path, Path]],
) -> None:
    access = Access(context=Certificate(*pairs["hub.example"]).context)
    with (
        serving(access, patience_s=1) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=30) as silent,
    ):
        assert ask_health(f"127.0.0.1:{server.port}", tls=True)[0]
        eventually(lambda: silent.recv(100) == b"", 30, "the silent one is hung up on")


def test_certificate_and_key_that_can_not_be_used_are_named(
    pairs: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    certificate, key = pairs["hub.example"]
    empty, text = tmp_path / "empty", tmp_path / "text"
    empty.touch()
    text.write_text("not a certificate")
    for given, words in (
        ((tmp_path / "none", key), "HTTP_TLS_CERTIFICATE"),
        ((certificate, tmp_path / "none"), "HTTP_TLS_KEY"),
        ((empty, key), "is empty"),
        ((certificate, empty), "is empty"),
        ((text, key), "write PEM"),
        ((certificate, text), "write PEM"),
        ((certificate, pairs["new.example"][1]), "the key is not of this certificate"),
        (pairs["locked.example"], "unencrypted"),
    ):
        with pytest.raises(UsageError, match="HTTP_TLS") as caught:
            http_access(Settings(http_tls_certificate=str(given[0]), http_tls_key=str(given[1])))
        assert words in str(caught.value)
