"""charon's container fails in every way that Docker knows, and comes back without a person."""

import contextlib
import subprocess
import time
from collections.abc import Iterator

import pytest

from reconciler.core.status import ContainerStatus
from reconciler.edges.status_file import write_status
from reconciler.errors import IkeUnreachable
from tests.docker import docker, eventually, pause, run, volume_path
from tests.e2e.stack import (
    GATEWAY,
    PREFIX,
    PROJECT,
    RECONCILER,
    ROOT,
    SITES,
    Stack,
    assert_nothing_lost,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

PROXY = f"{PREFIX}docker-proxy"
ALL = {f"{airport}_vpn" for airport in SITES}
# A hung charon is noticed at the next look (21 s and 5 s of asking), has its deadline (20 s), is
# given 2 s to end, and the next look must come.
HUNG_S = 60.0
# A moment of patience (5 s), and the looks in between.
STOPPED_S = 20.0
# The sites notice the loss (5 s and 16 s) and dial anew.
DIAL_IN_S = 60.0


@pytest.fixture(autouse=True)
def without_memory_of_earlier_faults(stack: Stack) -> None:
    """Begin each test without a pause that an earlier one has earned."""
    docker("stop", "--time", "5", RECONCILER)
    status = stack.status()
    assert status.container is not None
    forgetful = {"attempts": 0, "attempt_times": (), "not_before": 0}
    container = status.container.model_copy(update=forgetful)
    write_status(stack.status_file, status.model_copy(update={"container": container}))
    docker("start", RECONCILER)
    stack.wait_until_ready()
    stack.wait_until_all_up()


@contextlib.contextmanager
def mended(stack: Stack, within_s: float, action: str = "") -> Iterator[None]:
    """Whatever is done to charon's container inside: afterwards all is as it was, in time."""
    done = actions(stack, action)
    yield
    eventually(lambda: works(stack), within_s, "charon answers, as its container runs")
    eventually(lambda: carried(stack) == ALL, DIAL_IN_S, "all sites have dialled in")
    stack.wait_until_all_up()
    with stack.pinging(*SITES.values()) as losses:
        for airport, camera in SITES.items():
            assert f"{airport} 20".encode() in stack.picture(camera)
    assert_nothing_lost(losses)
    assert carried(stack) == ALL
    if action:
        assert actions(stack, action) == done + 1, f"one {action} was enough"
        assert container(stack).last_action.startswith(action)
    assert (container(stack).problem, container(stack).held) == ("", "")


def carried(stack: Stack) -> set[str]:
    return {sa.name for sa in stack.observe().sas if sa.carrying_children}


def works(stack: Stack) -> bool:
    try:
        stack.observe()
    except IkeUnreachable:
        return False
    return docker("inspect", "--format", "{{.State.Status}}", GATEWAY).strip() == "running"


def actions(stack: Stack, action: str) -> float:
    series = f'vpn_actions_total{{action="{action}",result="accepted"}}'
    return stack.metric(series) or 0.0


def container(stack: Stack) -> ContainerStatus:
    found = stack.status().container
    assert found is not None
    return found


def pid_of(name: str) -> str:
    return docker("inspect", "--format", "{{.State.Pid}}", name).strip()


def is_fresh(stack: Stack) -> bool:
    return time.time() - stack.status().timestamp < 30


def test_a_hung_charon_is_restarted_after_its_deadline(stack: Stack) -> None:
    restarts = stack.metric("vpn_container_restarts_total")
    assert restarts is not None
    began_s = time.monotonic()
    with mended(stack, HUNG_S, "RestartContainer"):
        run("kill", "-STOP", pid_of(GATEWAY))
    assert time.monotonic() - began_s > 20, "not before its deadline"
    assert stack.metric("vpn_container_restarts_total") == restarts + 1


def test_a_paused_container_is_unpaused_and_its_charon_is_not_restarted(stack: Stack) -> None:
    since = stack.status().daemon.running_since
    with mended(stack, STOPPED_S, "UnpauseContainer"):
        pause(GATEWAY)
    assert abs(stack.status().daemon.running_since - since) <= 2


@pytest.mark.parametrize("how", [["stop", "--time", "5"], ["kill"]], ids=["stopped", "killed"])
def test_a_container_that_was_ended_by_hand_is_started_again(stack: Stack, how: list[str]) -> None:
    """Docker itself leaves such a container alone."""
    with mended(stack, STOPPED_S, "StartContainer"):
        docker(*how, GATEWAY)


def test_a_removed_container_is_missed_in_words_and_loaded_anew_when_it_is_back(
    stack: Stack,
) -> None:
    with mended(stack, STOPPED_S):
        docker("rm", "--force", GATEWAY)
        stack.wait_until_container("missing")
        assert "docker compose up --detach" in container(stack).problem
        assert stack.metric('vpn_container_state{state="missing"}') == 1
        assert is_fresh(stack)
        compose(stack, "up", "--detach", "gateway")


def test_a_container_that_is_being_replaced_is_left_to_whoever_replaces_it(stack: Stack) -> None:
    before = docker("inspect", "--format", "{{.Id}}", GATEWAY)
    done = actions(stack, "StartContainer")
    with mended(stack, STOPPED_S):
        compose(stack, "up", "--detach", "--force-recreate", "gateway")
    assert docker("inspect", "--format", "{{.Id}}", GATEWAY) != before
    assert actions(stack, "StartContainer") == done


def compose(stack: Stack, *arguments: str) -> None:
    command = ["docker", "compose", "--file", "compose.demo.yaml", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=stack.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_charon_that_ran_out_of_memory_comes_back_and_it_is_logged(stack: Stack) -> None:
    lines = len(stack.container_log(RECONCILER))
    since = stack.status().daemon.running_since
    docker("update", "--memory", "128m", "--memory-swap", "128m", GATEWAY)
    try:
        with mended(stack, STOPPED_S):
            # A file in memory belongs to no process, so charon is the largest that can be killed.
            fill = ["dd", "if=/dev/zero", "of=/tmp/hog", "bs=1M", "count=200"]
            docker("exec", GATEWAY, *fill, check=False)
            eventually(lambda: "137" in ended(stack, lines), 20, "its end is in the log")
            eventually(lambda: stack.status().daemon.running_since > since + 2, 30, "a new charon")
    finally:
        docker("update", "--memory", "512m", "--memory-swap", "1g", GATEWAY)


def ended(stack: Stack, lines: int) -> str:
    found = [line for line in stack.container_log(RECONCILER)[lines:] if '"die"' in line]
    return "\n".join(found)


def test_a_charon_whose_socket_is_gone_is_restarted_once_its_health_check_says_so_too(
    stack: Stack,
) -> None:
    """Whoever is connected still gets answers: so the reconciler is begun anew as well."""
    docker("stop", "--time", "5", RECONCILER)
    (volume_path(f"{PROJECT}_vici") / "charon.vici").unlink()
    docker("start", RECONCILER)
    eventually(lambda: container(stack).problem, 15, "it is noticed")
    with mended(stack, HUNG_S):
        pass
    assert container(stack).last_action.startswith("RestartContainer")


@pytest.mark.parametrize("how", ["stopped", "frozen"])
def test_without_the_docker_api_everything_else_goes_on_and_it_comes_back_by_itself(
    stack: Stack, how: str
) -> None:
    ids = stack.ike_ids()
    with stack.pinging(*SITES.values()) as losses:
        if how == "stopped":
            docker("stop", "--time", "1", PROXY)
        else:
            pids = docker("top", PROXY, "-o", "pid").split()[1:]
            run("kill", "-STOP", *pids)
        try:
            stack.wait_until_container("unknown")
            assert container(stack).error.startswith("Docker API: ")
            assert stack.is_up("kspb_vpn")
            with stack.edited(
                lambda airports: airports["kspb"].update(name="Scappoose Industrial")
            ):
                assert is_fresh(stack)
            assert stack.http("/healthz")[0] == 200
        finally:
            if how == "stopped":
                docker("start", PROXY)
            else:
                run("kill", "-CONT", *pids)
        stack.wait_until_container("running")
    assert_nothing_lost(losses)
    assert stack.ike_ids() == ids
    with mended(stack, STOPPED_S, "UnpauseContainer"):
        pause(GATEWAY)
