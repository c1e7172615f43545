"""The reconciler's only way to Docker: one container is looked at and mended, and nothing else."""

import contextlib
import socket

import pytest

from tests.docker import docker, eventually, volume_path
from tests.e2e.stack import GATEWAY, PROJECT, RECONCILER, Stack

pytestmark = pytest.mark.e2e

OURS = f"/v1.41/containers/{GATEWAY}"
OTHERS = f"/v1.41/containers/{RECONCILER}"
REFUSED = 403
# haproxy itself finds these malformed.
MALFORMED = 400


def send(request: str) -> int:
    """Send a request as it stands and return the code of the answer, 0 for none."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(volume_path(f"{PROJECT}_docker") / "docker.sock"))
        connection.sendall(request.encode())
        answer = connection.recv(4096).decode(errors="replace")
    return int(answer.split()[1]) if answer else 0


def ask(method: str, target: str, *headers: str, version: str = "1.1", body: str = "") -> int:
    lines = [f"{method} {target} HTTP/{version}", "Host: docker", *headers]
    return send("\r\n".join([*lines, "Connection: close", "", body]))


@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize(
    "target",
    [
        *["/_ping", "/version", "/v1.41/_ping", "/v1.41/version"],
        *["/events?until=1", "/v1.41/events?until=1"],
        *[f"/containers/{GATEWAY}/json", f"{OURS}/json"],
    ],
)
def test_what_the_reconciler_looks_at_is_let_through(target: str) -> None:
    assert ask("GET", target) == 200


@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize(
    ("target", "code"),
    [
        (f"{OURS}/start", 304),  # it is running
        (f"/containers/{GATEWAY}/start", 304),
        (f"/v1.24/containers/{GATEWAY}/start", 304),
        (f"{OURS}/unpause", 500),  # it is not paused
    ],
)
def test_what_mends_the_container_is_let_through(target: str, code: int) -> None:
    """The codes are the engine's own."""
    assert ask("POST", target, "Content-Length: 0") == code
    assert ask("POST", target) == code


def test_a_restart_is_let_through_and_done(stack: Stack) -> None:
    since = stack.status().daemon.running_since
    assert ask("POST", f"{OURS}/restart?t=2") == 204
    eventually(lambda: stack.status().daemon.running_since > since + 2, 30, "a new charon")
    stack.wait_until_all_up(60)


@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize(
    ("method", "target"),
    [
        # Other containers, and lists of them
        *[("GET", f"/containers/{RECONCILER}/json"), ("GET", f"{OTHERS}/json")],
        *[("POST", f"{OTHERS}/{what}") for what in ("start", "restart", "unpause")],
        *[("GET", "/containers/json"), ("GET", "/v1.41/containers/json?all=1")],
        *[("POST", "/containers/create"), ("POST", f"/containers/create?name={GATEWAY}")],
        *[("POST", "/containers/prune"), ("GET", f"{OURS}x/json"), ("GET", "/containers//json")],
        ("POST", f"/containers/{GATEWAY.replace('-', '.')}/start"),
        # Everything else of this one
        *[
            ("POST", f"{OURS}/{what}")
            for what in (
                *("stop", "kill", "pause", "exec", "attach", "resize", "update", "rename", "wait"),
                *("copy", "start/", "restarts", "checkpoints", "prestart", "commit"),
            )
        ],
        *[
            ("GET", f"{OURS}/{what}")
            for what in (
                *("logs", "archive?path=/", "export", "top", "stats", "changes", "attach/ws"),
                *("start", "restart", "unpause", "", "json/"),
            )
        ],
        *[("PUT", f"{OURS}/archive?path=/"), ("HEAD", f"{OURS}/archive?path=/")],
        *[(method, f"{OURS}/json") for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS")],
        *[(method, f"{OURS}/start") for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "HEAD")],
        *[("DELETE", f"/containers/{GATEWAY}"), ("CONNECT", f"{OURS}/start")],
        *[("TRACE", "/_ping"), ("POST", "/_ping"), ("POST", "/events"), ("BREW", "/version")],
        # The rest of the engine
        *[("GET", path) for path in ("/images/json", "/info", "/secrets", "/volumes", "/networks")],
        *[
            ("GET", path)
            for path in ("/", "/system/df", "/swarm", "/plugins", "/distribution/x/json")
        ],
        *[("POST", path) for path in ("/build", "/images/create?fromImage=x", "/volumes/create")],
        *[("POST", path) for path in ("/session", "/grpc", "/auth", "/swarm/init", "/commit")],
        *[("POST", "/exec/0123456789ab/start"), ("GET", "/exec/0123456789ab/json")],
        # Tricks with the path
        ("GET", f"/containers/{GATEWAY}/../{RECONCILER}/json"),
        ("GET", f"/containers/{GATEWAY}/../json"),
        ("GET", f"/containers/{RECONCILER}/../{GATEWAY}/json"),
        ("POST", f"/containers/{RECONCILER}/./{GATEWAY}/start"),
        ("GET", f"/containers/{GATEWAY}%2f..%2f{RECONCILER}/json"),
        ("GET", f"/containers/{GATEWAY}/%2e%2e/{RECONCILER}/json"),
        ("GET", f"/containers/%2e%2e/containers/{GATEWAY}/json"),
        ("POST", f"/containers/{RECONCILER}%2fstart%3f/{GATEWAY}/start"),
        ("POST", f"/containers/{RECONCILER}%00/{GATEWAY}/start"),
        ("GET", f"/containers/{GATEWAY.replace('g', '%67')}/json"),
        ("GET", f"//containers/{GATEWAY}/json"),
        ("GET", f"//containers/{RECONCILER}/json"),
        ("GET", f"/containers//{GATEWAY}/json"),
        ("POST", f"{OURS}//start"),
        ("POST", f"{OURS}/start;x"),
        ("GET", f"/v1.41/../containers/{RECONCILER}/json"),
        ("GET", f"/v1.41/v1.41/containers/{GATEWAY}/json"),
        ("GET", f"/x/containers/{GATEWAY}/json"),
        ("GET", f"/images/x?/containers/{GATEWAY}/json"),
        ("GET", f"/V1.41/containers/{GATEWAY}/json"),
        ("GET", f"http://docker/containers/{RECONCILER}/json"),
        ("GET", f"http://docker/containers/{GATEWAY}/json"),
        ("GET", f"http://x?/containers/{GATEWAY}/json"),
        ("OPTIONS", "*"),
        # Versions that take a container's configuration in the body of start
        *[
            ("POST", f"/v{version}/containers/{GATEWAY}/{what}")
            for version in ("1.23", "1.12", "1.1", "1.0", "0.99", "1.023", "1.24.1", "1.9", "")
            for what in ("start", "restart?t=2", "unpause")
        ],
        # Further words where none are needed
        ("POST", f"{OURS}/start?checkpoint=x"),
        ("POST", f"{OURS}/start?detachKeys=x"),
        ("POST", f"{OURS}/start?t=2"),
        ("POST", f"{OURS}/unpause?x=1"),
        *[
            ("POST", f"{OURS}/restart?{query}")
            for query in ("signal=KILL", "t=2&signal=KILL", "t=", "t=100", "t=-1", "t=2&t=3", "T=2")
        ],
        ("GET", f"{OURS}/json?size=1"),
    ],
)
def test_everything_else_is_refused(method: str, target: str) -> None:
    for version in ("1.1", "1.0"):
        assert ask(method, target, version=version) in {REFUSED, MALFORMED}


@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (["Content-Length: 2"], "{}"),
        (["Transfer-Encoding: chunked"], "2\r\n{}\r\n0\r\n\r\n"),
        (["Transfer-Encoding: chunked"], "0\r\n\r\n"),
        (["Content-Length: 0", "Transfer-Encoding: chunked"], "2\r\n{}\r\n0\r\n\r\n"),
        (["Content-Length: 0", "Content-Length: 2"], "{}"),
        (["Upgrade: tcp"], ""),
        (["Upgrade: websocket"], ""),
    ],
)
@pytest.mark.parametrize("what", ["start", "restart?t=2", "unpause"])
def test_a_body_or_another_protocol_is_refused(what: str, headers: list[str], body: str) -> None:
    assert ask("POST", f"{OURS}/{what}", *headers, body=body) in {REFUSED, MALFORMED}


@pytest.mark.usefixtures("stack")
def test_a_second_request_on_the_same_connection_is_judged_as_the_first() -> None:
    allowed = "GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n"
    second = f"GET {OTHERS}/json HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n"
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(volume_path(f"{PROJECT}_docker") / "docker.sock"))
        connection.sendall((allowed + second).encode())
        answers = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answers.count(b"HTTP/1.1 200") == 1
    assert answers.count(b"HTTP/1.1 403") == 1


@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize(
    "query", ["", "?filters=%7B%7D", f"?filters=%7B%22container%22%3A%5B%22{RECONCILER}%22%5D%7D"]
)
def test_of_events_only_those_of_this_container_are_told_whatever_is_asked_for(query: str) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(1)
        connection.connect(str(volume_path(f"{PROJECT}_docker") / "docker.sock"))
        connection.sendall(f"GET /events{query} HTTP/1.1\r\nHost: docker\r\n\r\n".encode())
        told = b""

        def heard_of_the_gateway() -> bool:
            nonlocal told
            # The other's come first, so they would have been told by then.
            docker("exec", RECONCILER, "true")
            docker("exec", GATEWAY, "true")
            with contextlib.suppress(TimeoutError):
                while part := connection.recv(65536):
                    told += part
            return GATEWAY.encode() in told

        eventually(heard_of_the_gateway, 30, "an event of the gateway's container")
    assert RECONCILER.encode() not in told


@pytest.mark.usefixtures("stack")
def test_another_protocol_altogether_is_refused() -> None:
    assert send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") in {0, REFUSED, MALFORMED}
    assert send("GET /containers/json\r\n\r\n") in {0, REFUSED, MALFORMED}


def test_the_reconciler_has_no_other_way_to_docker(stack: Stack) -> None:
    mounts = docker("inspect", "--format", "{{json .Mounts}}", RECONCILER)
    assert "/var/run/docker.sock" not in mounts
    assert "/run/docker-proxy" in mounts
    found = docker("exec", RECONCILER, "find", "/", "-xdev", "-name", "docker*.sock", check=False)
    assert found.strip() == ""
    container = stack.status().container
    assert container is not None
    assert (container.name, container.state, container.error) == (GATEWAY, "running", "")
