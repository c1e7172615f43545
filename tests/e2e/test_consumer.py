"""A web page in PHP reads the status file while it is written, and always finds what it needs."""

import json
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.consumer.contract import read_for
from tests.consumer.writing import Write, forget_a_key, write_in_place, writing
from tests.docker import docker, eventually
from tests.e2e.stack import PREFIX, RECONCILER, Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
IMAGE = "vpn-test-consumer"
FOLDER = Path(__file__).parents[1] / "consumer"
NAME = "vpn-status.json"


@pytest.fixture(scope="module")
def php(whole_stack: Stack) -> str:
    """Build the image, upon the one that the stack has built."""
    context = docker("context", "inspect", "--format", "{{.Name}}").strip()
    builder = ("buildx", "--builder", context, "build", "--load", "--quiet")
    docker(*builder, "--tag", IMAGE, str(FOLDER))
    return IMAGE


def reading(folder: Path, seconds: float) -> subprocess.Popen[bytes]:
    """Let PHP read, as another user, from a directory that it can't write to."""
    return subprocess.Popen(
        [
            *("docker", "run", "--rm", "--name", f"{PREFIX}consumer", "--network", "none"),
            *("--read-only", "--cap-drop", "ALL", "--volume", f"{folder}:/cache:ro"),
            *(IMAGE, f"/cache/{NAME}", str(seconds)),
        ],
        stdout=subprocess.PIPE,
    )


def what_it_saw(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return dict(json.loads(printed))


def test_php_always_finds_what_it_relies_on_while_the_reconciler_is_at_work(
    stack: Stack, php: str
) -> None:
    first = stack.status().reconciler.round
    process = reading(stack.status_file.parent, 20)
    python = threading.Thread(target=lambda: found.update(read_for(stack.status_file, 15)))
    found: dict[str, Any] = {}
    python.start()
    while process.poll() is None:
        docker("kill", "--signal", "HUP", RECONCILER)
    python.join()
    saw = what_it_saw(process)
    assert (saw["faults"], found["faults"]) == ([], [])
    assert min(saw["reads"], found["reads"]) > 2000
    assert min(saw["documents"], found["documents"]) > 10
    assert stack.status().reconciler.round > first + 10


def test_php_sees_a_site_go_and_return(stack: Stack, php: str) -> None:
    """As the page does it: `connections[<name>].status == "up"`, and `last_connected`."""
    before = json.loads(stack.status_file.read_text())["connections"]["kspb_vpn"]["last_connected"]
    site = f"{PREFIX}site-kspb"
    docker("stop", site)
    try:
        eventually(lambda: not php_says_up(stack), 30, "down", every_s=1)
    finally:
        docker("start", site)
    eventually(lambda: php_says_up(stack), 60, "up again", every_s=1)
    after = json.loads(stack.status_file.read_text())["connections"]["kspb_vpn"]["last_connected"]
    assert after > before


def php_says_up(stack: Stack) -> bool:
    script = (
        "$s = json_decode(file_get_contents('/cache/vpn-status.json'), true); "
        "echo $s['connections']['kspb_vpn']['status'] == 'up' ? 'yes' : 'no';"
    )
    volume = ("--volume", f"{stack.status_file.parent}:/cache:ro")
    return docker("run", "--rm", *volume, "--entrypoint", "php", IMAGE, "-r", script) == "yes"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    return tmp_path


def test_php_never_sees_half_a_file_while_it_is_written_in_a_tight_loop(
    folder: Path, php: str
) -> None:
    with writing(folder / NAME):
        saw = what_it_saw(reading(folder, 10))
    assert saw["faults"] == []
    assert saw["reads"] > 1000
    assert saw["documents"] > 50


@pytest.mark.parametrize("write", [write_in_place, forget_a_key])
def test_and_php_would_notice_if_it_were_otherwise(folder: Path, php: str, write: Write) -> None:
    with writing(folder / NAME, write):
        assert what_it_saw(reading(folder, 20))["faults"] != []
