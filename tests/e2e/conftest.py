"""One stack for all e2e tests; each test leaves it as it found it: three tunnels, all up."""

import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.docker import docker
from tests.e2e.stack import (
    ARTIFACTS,
    ELSEWHERE,
    ELSEWHERE_HOST,
    ELSEWHERE_SUBNET,
    GATEWAY,
    PREFIX,
    RECONCILER,
    Stack,
)


@pytest.fixture(scope="session")
def whole_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    taken = docker("ps", "--quiet", "--filter", "publish=500/udp", "--filter", "name=^pause$")
    assert not taken, "the demo is running and holds UDP 500: make demo-down, then test again"
    folder = tmp_path_factory.mktemp("stack")
    stack = Stack(folder)
    stack.demo("down")
    make_elsewhere()
    try:
        stack.demo_output = stack.demo("up")
        yield stack
    finally:
        keep_evidence(stack, "end")
        stack.demo("down")
        remove_elsewhere()


def make_elsewhere() -> None:
    remove_elsewhere()
    docker(
        "network", "create", "--subnet", ELSEWHERE_SUBNET, "--gateway", ELSEWHERE_HOST, ELSEWHERE
    )


def remove_elsewhere() -> None:
    for name in docker("ps", "--all", "--quiet", "--filter", f"network={ELSEWHERE}").split():
        docker("rm", "--force", name)
    docker("network", "rm", ELSEWHERE, check=False)


@pytest.fixture
def stack(whole_stack: Stack, request: pytest.FixtureRequest) -> Iterator[Stack]:
    whole_stack.wait_until_all_up()
    failed_before = request.session.testsfailed
    yield whole_stack
    if request.session.testsfailed > failed_before:
        keep_evidence(whole_stack, request.node.name)


def keep_evidence(stack: Stack, name: str) -> None:
    """Keep logs, status and charon's own view, for whoever looks into a failure."""
    folder = ARTIFACTS / "".join(c if c.isalnum() or c in "-_" else "_" for c in name)[:80]
    folder.mkdir(parents=True, exist_ok=True)
    for container in docker(
        "ps", "--all", "--format", "{{.Names}}", "--filter", f"name={PREFIX}"
    ).split():
        with (folder / f"{container}.log").open("wb") as file:
            command = ["docker", "logs", "--timestamps", container]
            subprocess.run(command, stdout=file, stderr=file, check=False)
    if stack.status_file.exists():
        shutil.copy(stack.status_file, folder)
    uri = "unix:///run/vici/charon.vici"
    view = docker("exec", GATEWAY, "swanctl", "--list-sas", "--uri", uri, check=False)
    (folder / "list-sas.txt").write_text(view)
    plan = docker("exec", RECONCILER, "reconciler", "plan", check=False)
    (folder / "plan.txt").write_text(plan)
