"""One machine for all: it boots once, and production is deployed there once."""

import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker import run
from tests.rehearsal.machine import QEMU, Disks, Machine
from tests.rehearsal.production import COMPOSE_FILE, ROOT, SITES_FILE, Production

ARTIFACTS = ROOT / "test-artifacts" / "rehearsal"
MAKING_S, TOTAL_S = 1800, 2100


def images() -> list[str]:
    """Name what the two compose files run."""
    named = [
        run("docker", "compose", "--file", str(file), "config", "--images").split()
        for file in (COMPOSE_FILE, SITES_FILE)
    ]
    return sorted({name for names in named for name in names})


def make_disks() -> Disks:
    """Make them, if need be; its progress goes to the terminal, as the first time takes minutes."""
    done = subprocess.run(
        [ROOT / "scripts" / "rehearsal-host", *images()],
        stdout=subprocess.PIPE,
        stderr=sys.__stderr__,
        text=True,
        timeout=MAKING_S,
        check=False,
    )
    assert done.returncode == 0, "the machine's disks could not be made; see above"
    host, store = done.stdout.splitlines()
    return Disks(Path(host), Path(store))


def what_is_missing() -> str:
    """Name what scripts/test-tools could not install; the host is one for amd64."""
    if platform.machine() != "x86_64":
        return "x86-64 processor"
    if not Path("/dev/loop-control").exists():
        return "loop device, which its disks are made by,"
    return ", ".join(tool for tool in (QEMU, "debootstrap", "ssh") if not shutil.which(tool))


@pytest.fixture(scope="session")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Production]:
    if missing := what_is_missing():
        pytest.skip(f"production was not rehearsed, as there is no {missing} here")
    machine = Machine(make_disks(), tmp_path_factory.mktemp("machine"))
    production = Production(machine)
    shutil.rmtree(ARTIFACTS, ignore_errors=True)
    try:
        machine.start()
        production.deadline_s = time.monotonic() + TOTAL_S
        production.deploy()
        production.start_sites()
        production.wait_until_all_up()
        yield production
    except BaseException:
        production.keep_evidence(ARTIFACTS / "start")
        raise
    finally:
        machine.stop()


@pytest.fixture
def production(everything: Production, request: pytest.FixtureRequest) -> Iterator[Production]:
    evidence = ARTIFACTS / re.sub(r"\W+", "-", request.node.name)
    failed_before = request.session.testsfailed
    try:
        assert time.monotonic() < everything.deadline_s, f"it takes longer than {TOTAL_S} s"
        everything.wait_until_all_up()
    except BaseException:
        everything.keep_evidence(evidence)
        raise
    yield everything
    if request.session.testsfailed > failed_before:
        everything.keep_evidence(evidence)
