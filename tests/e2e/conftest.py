"""One stack for all e2e tests; each test leaves it as it found it: three tunnels, all up."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

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
    ROOT,
    Stack,
)


@pytest.fixture(scope="session")
def whole_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("stack"))
    with demo_set_aside():
        stack.demo("down")
        make_elsewhere()
        try:
            stack.demo_output = stack.demo("up")
            yield stack
        finally:
            keep_evidence(stack, "end")
            stack.demo("down")
            remove_elsewhere()


@contextmanager
def demo_set_aside() -> Iterator[None]:
    """Stop a demo that runs here, as it holds UDP 500 and 4500; afterwards start it again."""
    label = "label=com.docker.compose.project=demo"
    running = docker("ps", "--quiet", "--filter", label).split()
    compose = ("docker", "compose", "--project-name", "demo", "--file", "compose.demo.yaml")
    command = [*compose, "--project-directory", str(ROOT)]
    if running:
        subprocess.run([*command, "stop", "--timeout", "5"], cwd=ROOT, check=True)
    try:
        yield
    finally:
        if running:
            subprocess.run([*command, "start"], cwd=ROOT, check=True)


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
