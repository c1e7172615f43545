"""What each container of the running stack may do, as the kernel and Docker tell it."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.docker import docker, eventually, run, volume_path
from tests.e2e.stack import GATEWAY, PAUSE, PREFIX, PROJECT, RECONCILER, Stack
from tests.processes import CAPABILITIES, NET_ADMIN, NET_BIND_SERVICE, capabilities, processes

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

PROXY, WEB, STARTER = f"{PREFIX}docker-proxy", f"{PREFIX}web", f"{PREFIX}starter"
FILTER = f"{PREFIX}filter"
HUB = (GATEWAY, RECONCILER, FILTER, PROXY, WEB, PAUSE, STARTER)
# What each holds, and may have at most. The filter's agent has none; nft has it from its file.
HELD = {GATEWAY: NET_ADMIN}
MOST = {GATEWAY: NET_ADMIN | NET_BIND_SERVICE, FILTER: NET_ADMIN}
AS_ROOT = {PROXY, STARTER}  # the engine's socket belongs to root
USER = 10001


def inspected(container: str) -> Any:
    return json.loads(docker("inspect", container))[0]


def names() -> list[str]:
    label = f"label=com.docker.compose.project={PROJECT}"
    return docker("ps", "--all", "--filter", label, "--format", "{{.Names}}").split()


@pytest.mark.usefixtures("stack")
def test_no_container_of_the_hub_has_escaped_these_tests() -> None:
    strangers = {n for n in names() if "site-" not in n and "router-" not in n} - {*HUB}
    assert strangers == set()


@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize("container", HUB)
def test_every_process_runs_without_capabilities_as_an_ordinary_user_and_gains_nothing(
    container: str,
) -> None:
    found = processes(container)
    assert found
    for status in found.values():
        uids = {int(uid) for uid in status["Uid"].split()}
        assert uids == ({0} if container in AS_ROOT else {USER}), status["Name"]
        assert status["NoNewPrivs"] == ("0" if container == FILTER else "1"), status["Name"]
        held, most = HELD.get(container, 0), MOST.get(container, 0)
        expected = {**dict.fromkeys(CAPABILITIES, held), "CapBnd": most}
        assert capabilities(status) == expected or status["Name"] == "nft", status["Name"]


@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize("container", HUB)
def test_the_root_file_system_can_not_be_written(container: str) -> None:
    [pid, *_] = processes(container)
    mounts = Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
    [options] = [line.split()[5] for line in mounts if line.split()[4] == "/"]
    assert "ro" in options.split(",")


@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize("container", HUB)
def test_nothing_is_privileged_or_sees_the_hosts_processes(container: str) -> None:
    host = inspected(container)["HostConfig"]
    assert host["Privileged"] is False
    assert (host["PidMode"], host["UTSMode"], host["UsernsMode"]) == ("", "", "")
    assert host["IpcMode"] == "private"
    assert host["CapDrop"] == ["ALL"]
    assert not [one for one in host["SecurityOpt"] or [] if "unconfined" in one]


@pytest.mark.usefixtures("stack")
def test_dockers_socket_is_mounted_where_it_is_needed_and_nowhere_else() -> None:
    having = {
        name
        for name in names()
        if any("docker.sock" in mount["Source"] for mount in inspected(name)["Mounts"])
    }
    assert having == {PROXY, STARTER}


def test_charons_socket_is_for_two_containers_only(stack: Stack) -> None:
    volume = f"{PROJECT}_vici"
    having = {
        name
        for name in names()
        if any(mount.get("Name") == volume for mount in inspected(name)["Mounts"])
    }
    assert having == {GATEWAY, RECONCILER}
    folder = volume_path(volume)
    assert (folder.stat().st_uid, stat.S_IMODE(folder.stat().st_mode)) == (USER, 0o700)
    socket = (folder / "charon.vici").stat()
    assert (socket.st_uid, socket.st_mode & stat.S_IRWXO) == (USER, 0)
    assert stack.status().daemon.reachable


@pytest.mark.usefixtures("stack")
def test_the_filters_socket_is_the_reconcilers_and_charon_may_only_read_what_was_loaded() -> None:
    having = {
        name: mount["RW"]
        for name in names()
        for mount in inspected(name)["Mounts"]
        if mount.get("Name") == f"{PROJECT}_filter"
    }
    assert having == {FILTER: True, RECONCILER: False, GATEWAY: False}


def test_whatever_lies_on_the_volumes_that_hold_keys_is_for_its_owner_only(stack: Stack) -> None:
    seen = set[str]()
    for volume in ("state", "config"):
        folder = volume_path(f"{PROJECT}_{volume}")
        for path in (folder, *folder.rglob("*")):
            found = path.lstat()
            mode = 0o700 if stat.S_ISDIR(found.st_mode) else 0o600
            assert (found.st_uid, oct(stat.S_IMODE(found.st_mode))) == (USER, oct(mode)), path
            seen.add(path.name)
    assert {"swanctl.conf", "mark.key", "accepted.json", "history.jsonl"} <= seen
    secrets = [*(stack.folder / "secrets").iterdir()]
    assert secrets
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets} == {0o600}
    assert stack.airports_file.stat().st_mode & stat.S_IRWXO == 0


@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize("container", HUB)
def test_only_the_ports_of_ike_are_open_to_others(container: str) -> None:
    bindings = inspected(container)["HostConfig"]["PortBindings"] or {}
    opened = {port for port, hosts in bindings.items() if hosts[0]["HostIp"] != "127.0.0.1"}
    assert opened == ({"500/udp", "4500/udp"} if container == PAUSE else set())


def test_the_reconciler_works_where_no_shell_can_be_run(stack: Stack) -> None:
    other = f"{PREFIX}shell-less"
    variables = inspected(RECONCILER)["Config"]["Env"]
    shells = ("/usr/bin/dash", "/usr/bin/bash")
    docker("stop", RECONCILER)
    before = stack.status().timestamp
    try:
        docker(
            *(
                "run",
                "--detach",
                "--name",
                other,
                "--volumes-from",
                RECONCILER,
                "--cap-drop",
                "ALL",
            ),
            *("--security-opt", "no-new-privileges:true", "--read-only"),
            *("--network", f"container:{PAUSE}", "--health-interval", "2s"),
            *(part for variable in variables for part in ("--env", variable)),
            *(part for shell in shells for part in ("--volume", f"/dev/null:{shell}:ro")),
            "vpn-reconciler",
        )
        for shell in ("sh", "bash", "dash", "rbash"):
            command = ("docker", "exec", other, shell, "-c", "echo it runs")
            assert "it runs" not in run(*command, check=False), "there is a shell after all"
        health = ("inspect", "--format", "{{.State.Health.Status}}", other)
        eventually(lambda: docker(*health).strip() == "healthy", 120, "Docker finds it healthy")
        eventually(lambda: stack.status().timestamp > before, 60, "it writes the status")
        stack.wait_until_all_up()
    finally:
        docker("rm", "--force", other)
        docker("start", RECONCILER)
        stack.wait_until_ready(60)
