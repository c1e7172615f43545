"""A reconciler that asks for a token and speaks TLS: Docker's health check, and Prometheus."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker import docker, eventually
from tests.edges.certificates import write_certificate

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

RECONCILER, PROMETHEUS, NETWORK = "test-guarded", "test-guarded-watcher", "test-guarded"
NAME = "vpn.example.org"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("http")
    folder.chmod(0o755)
    (folder / "token").write_text("c0ffee5ec2e7c0ffee5ec2e7\n")
    for path in write_certificate(folder, NAME):
        path.chmod(0o644)
    return folder


@pytest.fixture(scope="module")
def guarded(files: Path) -> Iterator[str]:
    """One that finds no charon, which does not matter here."""
    docker("rm", "--force", "--volumes", RECONCILER, check=False)
    docker("network", "rm", NETWORK, check=False)
    docker("network", "create", NETWORK)
    settings = {
        "LISTEN": "0.0.0.0:9580",
        "HTTP_TOKEN_FILE": "/http/token",
        "HTTP_TLS_CERTIFICATE": f"/http/{NAME}.pem",
        "HTTP_TLS_KEY": f"/http/{NAME}.key",
        "STATUS_FILE": "/tmp/vpn-status.json",  # noqa: S108 - in the container
    }
    docker(
        *("run", "--detach", "--name", RECONCILER, "--network", NETWORK, "--cap-drop", "ALL"),
        *("--health-interval", "2s", "--volume", f"{files}:/http:ro"),
        *(part for name, value in settings.items() for part in ("--env", f"{name}={value}")),
        "vpn-reconciler",
    )
    try:
        yield RECONCILER
    finally:
        docker("rm", "--force", "--volumes", RECONCILER)
        docker("network", "rm", NETWORK)


@contextlib.contextmanager
def prometheus(files: Path, **settings: str) -> Iterator[None]:
    docker("rm", "--force", "--volumes", PROMETHEUS, check=False)
    docker(
        *("run", "--detach", "--name", PROMETHEUS, "--network", NETWORK, "--cap-drop", "ALL"),
        *("--volume", f"{files}:/monitoring:ro", "--env", f"RECONCILERS={RECONCILER}:9580"),
        *(part for name, value in settings.items() for part in ("--env", f"{name}={value}")),
        "vpn-prometheus",
    )
    try:
        yield
    finally:
        docker("rm", "--force", "--volumes", PROMETHEUS)


def scraped() -> tuple[str, str]:
    """Return how the target is, and why; the first scrape may take 15 s to come."""
    found = docker(
        *("exec", PROMETHEUS, "curl", "--silent", "--fail", "--max-time", "8"),
        "http://127.0.0.1:9690/api/v1/targets",
    )
    targets = json.loads(found)["data"]["activeTargets"]
    return (targets[0]["health"], targets[0]["lastError"]) if targets else ("", "no target yet")


def test_dockers_health_check_asks_over_tls_and_needs_no_token(guarded: str) -> None:
    health = ("inspect", "--format", "{{.State.Health.Status}}", guarded)
    eventually(lambda: docker(*health).strip() == "healthy", 120, "Docker finds it healthy")


@pytest.mark.usefixtures("guarded")
def test_prometheus_scrapes_it_with_the_token_and_the_certificate(files: Path) -> None:
    settings = {"TOKEN_FILE": "/monitoring/token", "CA_FILE": f"/monitoring/{NAME}.pem"}
    with prometheus(files, **settings, SERVER_NAME=NAME):
        eventually(lambda: scraped() == ("up", ""), 120, "it is scraped")


@pytest.mark.usefixtures("guarded")
def test_prometheus_without_the_token_is_refused(files: Path) -> None:
    """So that the above is known to be able to fail."""
    with prometheus(files, CA_FILE=f"/monitoring/{NAME}.pem", SERVER_NAME=NAME):
        eventually(lambda: "401" in scraped()[1], 120, "it is refused")
