"""The reconciler's only way to Docker: one container may be looked at, and nothing else."""

import pytest

from tests.docker import docker
from tests.e2e.stack import GATEWAY, PREFIX, RECONCILER, Stack

pytestmark = pytest.mark.e2e

PROXY = f"{PREFIX}docker-proxy"


def answer(method: str, path: str) -> str:
    """Return the code that the proxy answers with."""
    return docker(
        *(
            "exec",
            PROXY,
            "curl",
            "--silent",
            "--output",
            "/dev/null",
            "--write-out",
            "%{http_code}",
        ),
        *("--max-time", "5", "--path-as-is", "--request", method),
        *("--unix-socket", "/run/docker-proxy/docker.sock", f"http://docker{path}"),
    )


@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize(
    "path",
    ["/_ping", "/version", "/v1.41/version", "/events?until=1", f"/containers/{GATEWAY}/json"],
)
def test_what_the_reconciler_needs_is_let_through(path: str) -> None:
    assert answer("GET", path) == "200"


@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/containers/json"),
        ("GET", f"/containers/{RECONCILER}/json"),
        ("GET", f"/containers/{GATEWAY}/logs"),
        ("GET", f"/containers/{GATEWAY}/../{RECONCILER}/json"),
        ("GET", f"/containers/{GATEWAY}%2f..%2f{RECONCILER}/json"),
        ("GET", f"//containers/{RECONCILER}/json"),
        ("GET", f"/v1.41/../containers/{RECONCILER}/json"),
        ("GET", f"/x/containers/{GATEWAY}/json"),
        ("GET", "/images/json"),
        ("GET", "/info"),
        ("GET", "/secrets"),
        ("POST", f"/containers/{GATEWAY}/json"),
        ("POST", f"/containers/{GATEWAY}/stop"),
        ("POST", f"/containers/{GATEWAY}/restart"),
        ("POST", f"/containers/{GATEWAY}/exec"),
        ("POST", "/containers/create"),
        ("POST", "/build"),
        ("PUT", f"/containers/{GATEWAY}/archive?path=/"),
        ("DELETE", f"/containers/{GATEWAY}"),
    ],
)
def test_everything_else_is_refused(method: str, path: str) -> None:
    assert answer(method, path) == "403"


def test_the_status_tells_how_the_container_of_charon_is(stack: Stack) -> None:
    container = stack.status().container
    assert container is not None
    assert (container.name, container.state, container.error) == (GATEWAY, "running", "")


def test_without_the_proxy_everything_else_goes_on_and_it_is_said(stack: Stack) -> None:
    docker("stop", "--time", "1", PROXY)
    try:
        docker("kill", "--signal", "HUP", RECONCILER)
        stack.wait_until_container("unknown")
        assert stack.is_up("kspb_vpn")
    finally:
        docker("start", PROXY)
    docker("kill", "--signal", "HUP", RECONCILER)
    stack.wait_until_container("running")
