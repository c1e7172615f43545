"""The host as the containers see it: `preflight` of the reconciler, `--check` of charon."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders import document, vpn
from tests.docker import docker

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]

ROOT = Path(__file__).parents[2]
VOLUME = "test-preflight"
RIGHTS = (
    *("--cap-drop", "ALL", "--cap-add", "NET_ADMIN", "--cap-add", "NET_BIND_SERVICE"),
    *("--device", "/dev/net/tun"),
)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Make the two directories of an installation, readable and writable for the reconciler."""
    for name in ("config", "cache"):
        (tmp_path / name).mkdir()
        os.chown(tmp_path / name, 10001, 10001)
    file = tmp_path / "config" / "airports.json"
    file.write_text(json.dumps(document(kspb=vpn())))
    os.chown(file, 0, 10001)
    file.chmod(0o640)
    yield tmp_path
    docker("volume", "rm", "--force", VOLUME)


def preflight(folder: Path, *more: str) -> tuple[int, dict[str, str]]:
    """Run it as compose.yaml runs the reconciler, in a network of its own."""
    command = [
        *("docker", "run", "--rm", "--network", "none", "--cap-drop", "ALL", "--read-only"),
        *("--security-opt", "no-new-privileges:true", "--user", "10001:10001", *more),
        *("--volume", f"{folder / 'config'}:/config:ro", "--volume", f"{folder / 'cache'}:/cache"),
        *("--volume", f"{VOLUME}:/var/lib/reconciler", "--tmpfs", "/etc/vpn:uid=10001"),
        *("vpn-reconciler", "preflight", "--json"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    findings = json.loads(done.stdout)["findings"]
    return done.returncode, {finding["subject"]: finding["level"] for finding in findings}


def check(*more: str) -> tuple[int, str]:
    command = ["docker", "run", "--rm", "--network", "none", *more, "vpn-charon", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_an_installation_as_documented_lacks_nothing_and_needs_no_capability(folder: Path) -> None:
    code, levels = preflight(folder)
    assert code == 0, levels
    for subject in ("airports.json", "tun", "UDP 500, 4500", "memory", "open files"):
        assert levels[subject] == "ok"
    assert {"cache", "state", "charon's copy", "declaration"}.isdisjoint(levels)


@pytest.mark.parametrize(
    ("path", "subject"), [("cache", "cache"), ("config/airports.json", "airports.json")]
)
def test_what_belongs_to_root_alone_is_missing(folder: Path, path: str, subject: str) -> None:
    os.chown(folder / path, 0, 0)
    (folder / path).chmod(0o700)
    code, levels = preflight(folder)
    assert code == 1
    assert {name for name, level in levels.items() if level == "missing"} == {subject}


def test_too_few_open_files_are_missing(folder: Path) -> None:
    code, levels = preflight(folder, "--ulimit", "nofile=1000:1000")
    assert code == 1
    assert levels["open files"] == "missing"


def test_settings_of_a_network_of_its_own_are_seen(folder: Path) -> None:
    sysctl = ("--sysctl", "net.ipv4.ip_forward=1", "--sysctl", "net.ipv4.ping_group_range=1 0")
    code, levels = preflight(folder, *sysctl)
    assert code == 0
    assert (levels["ip_forward"], levels["ping_group_range"]) == ("warning", "warning")
    sysctl = (
        *("--sysctl", "net.ipv4.ip_forward=0"),
        *("--sysctl", "net.ipv4.ping_group_range=0 2147483647"),
    )
    levels = preflight(folder, *sysctl)[1]
    assert (levels["ip_forward"], levels["ping_group_range"]) == ("ok", "ok")


def test_charons_check_says_which_data_plane_it_would_use_and_starts_nothing() -> None:
    code, said = check(*RIGHTS, "--env", "DATAPLANE=userspace")
    assert (code, said) == (0, "data plane: userspace (as DATAPLANE says)\n")
    code, said = check(*RIGHTS)
    assert code == 0
    assert said.startswith(("data plane: kernel (", "data plane: userspace ("))
    assert "charon" not in said


def test_charons_check_says_what_is_wrong() -> None:
    code, said = check(*RIGHTS[:-2], "--env", "DATAPLANE=userspace")
    assert code == 1
    assert "there is no /dev/net/tun" in said
    code, said = check(*RIGHTS, "--env", "DATAPLANE=carrier-pigeon")
    assert code == 1
    assert "must be auto, kernel or userspace" in said


def test_scripts_preflight_puts_both_together_and_names_an_engine_that_is_missing(
    folder: Path,
) -> None:
    """Whether the ports of this machine are free depends on what else runs here."""
    environment = {
        **os.environ,
        "COMPOSE_FILE": "compose.yaml",
        "COMPOSE_PROJECT_NAME": VOLUME,
        "NAME_PREFIX": f"{VOLUME}-",
        "AIRPORTS_DIR": str(folder / "config"),
        "CACHE_DIR": str(folder / "cache"),
    }

    def run(*command: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=ROOT, env=environment | more, capture_output=True, text=True, check=False
        )

    try:
        done = run("scripts/preflight")
    finally:
        run("docker", "compose", "down", "--volumes", "--timeout", "1")
    lines = done.stdout.splitlines()
    assert any(line.startswith("ok       Docker Engine") for line in lines), done
    assert any(line.startswith("ok       data plane") for line in lines), done
    assert any(line.startswith("ok       airports.json") for line in lines), done
    assert (lines[-1], done.returncode) in {("nothing is missing", 0), ("something is missing", 1)}
    gone = run("scripts/preflight", DOCKER_HOST="unix:///nowhere/docker.sock")
    assert gone.returncode == 1
    assert "missing  Docker Engine" in gone.stdout
