"""The container that holds charon, over Docker's API."""

import gc
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.core.actions import (
    ContainerAction,
    RestartContainer,
    StartContainer,
    UnpauseContainer,
)
from reconciler.core.status import ContainerStatus
from reconciler.edges import containers as edge
from reconciler.edges.containers import Containers
from reconciler.errors import ContainerRefused
from tests.docker import eventually
from tests.edges.docker_server import DockerServer, docker_server

# The docker package leaves a socket on which nobody listens to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


@pytest.fixture(autouse=True)
def garbage_collected() -> Iterator[None]:
    yield
    gc.collect()


START = StartContainer("gateway", "stopped")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[DockerServer]:
    with docker_server(tmp_path / "docker.sock") as server:
        yield server


@pytest.fixture
def containers(server: DockerServer) -> Containers:
    return Containers(server.host, "gateway")


def seen(containers: Containers) -> ContainerStatus:
    found = containers.observe()
    assert found is not None
    assert found.name == "gateway"
    return found


def test_no_connection_is_held_between_two_questions(
    server: DockerServer, containers: Containers
) -> None:
    """Docker's proxy ends idle ones, and a dead one would be held until the next question."""

    def descriptors() -> list[str]:
        return sorted(entry.name for entry in Path("/proc/self/fd").iterdir())

    before = descriptors()
    for _ in range(2):
        seen(containers)
        containers.engine()
        containers.carry_out(START)
    assert len(server.connections) >= 7, "the first is for the version"
    eventually(lambda: descriptors() == before, 5, "all are closed", every_s=0.02)


def test_without_a_docker_api_nothing_is_claimed() -> None:
    assert Containers("", "gateway").observe() is None


def test_a_docker_api_that_does_not_answer_is_said_and_asked_again() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        containers = Containers(f"tcp://127.0.0.1:{taken.getsockname()[1]}", "gateway")
        for _ in range(2):
            found = seen(containers)
            assert found.state == "unknown"
            assert found.error.startswith("Docker API: ")


@pytest.mark.parametrize(
    "state", ["created", "running", "paused", "restarting", "removing", "exited", "dead"]
)
def test_every_state_of_docker_is_told(
    server: DockerServer, containers: Containers, state: str
) -> None:
    server.container = {"State": {"Status": state}}
    assert seen(containers).state == state


def test_one_that_does_not_exist_is_missing_and_not_unknown(
    server: DockerServer, containers: Containers
) -> None:
    server.container = None
    assert (seen(containers).state, seen(containers).error) == ("missing", "")


def test_exit_code_memory_health_restarts_and_start_are_told(
    server: DockerServer, containers: Containers
) -> None:
    state = {
        "Status": "exited",
        "ExitCode": 137,
        "OOMKilled": True,
        "StartedAt": "2025-06-15T15:06:40.123456789Z",
        "Health": {"Status": "unhealthy"},
    }
    server.container = {"State": state, "RestartCount": 3}
    assert seen(containers) == ContainerStatus(
        name="gateway",
        state="exited",
        exit_code=137,
        out_of_memory=True,
        started_at=1_750_000_000,
        health="unhealthy",
        restart_count=3,
    )


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00Z", "", "yesterday"])
def test_one_that_was_never_started_has_no_time_of_its_start(
    server: DockerServer, containers: Containers, text: str
) -> None:
    server.container = {"State": {"Status": "created", "StartedAt": text}}
    assert seen(containers).started_at == 0


@pytest.mark.parametrize(
    ("action", "request_"),
    [
        (START, "/containers/gateway/start"),
        (UnpauseContainer("gateway", "paused"), "/containers/gateway/unpause"),
        (RestartContainer("gateway", "hung"), "/containers/gateway/restart?t=2"),
    ],
)
def test_each_action_is_one_request_as_the_proxy_lets_through(
    server: DockerServer, containers: Containers, action: ContainerAction, request_: str
) -> None:
    containers.carry_out(action)
    assert server.posts == [request_]


def test_docker_s_own_words_are_told_in_one_line(
    server: DockerServer, containers: Containers
) -> None:
    server.errors["start"] = (500, "driver failed\n  programming external connectivity" + "x" * 999)
    with pytest.raises(ContainerRefused) as caught:
        containers.carry_out(START)
    words = str(caught.value)
    assert words.startswith("Docker API: 500 driver failed programming external")
    assert len(words) < 250


def test_a_refusal_by_the_proxy_says_what_to_compare(
    server: DockerServer, containers: Containers
) -> None:
    server.errors = dict.fromkeys(("json", "start"), (403, "Forbidden"))
    assert "CHARON_CONTAINER" in seen(containers).error
    with pytest.raises(ContainerRefused, match="CHARON_CONTAINER"):
        containers.carry_out(START)


def test_one_that_vanished_between_look_and_action_is_a_refusal(
    server: DockerServer, containers: Containers
) -> None:
    server.errors["start"] = (404, "No such container: gateway")
    with pytest.raises(ContainerRefused, match="No such container"):
        containers.carry_out(START)


def test_an_engine_that_is_mute_is_given_up_and_asked_again_later(
    server: DockerServer, containers: Containers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge, "_LOOK_S", 0.2)
    monkeypatch.setattr(edge, "_ACT_S", 0.2)
    assert seen(containers).state == "running"
    server.mute.set()
    assert seen(containers) == ContainerStatus(
        name="gateway", state="unknown", error="Docker API: no answer in time"
    )
    with pytest.raises(ContainerRefused, match="no answer in time"):
        containers.carry_out(START)
    server.mute.clear()
    assert seen(containers).state == "running"


def test_an_engine_that_was_replaced_by_an_older_one_is_asked_in_its_own_words(
    server: DockerServer, containers: Containers
) -> None:
    assert seen(containers).state == "running"
    server.errors["json"] = (400, "client version 1.41 is too new. Maximum supported is 1.40")
    assert "too new" in seen(containers).error
    server.errors, server.version = {}, "1.40"
    assert seen(containers).state == "running"
    assert server.inspected[-1] == "/v1.40/containers/gateway/json"


def test_an_engine_that_was_restarted_is_asked_on_a_new_connection(tmp_path: Path) -> None:
    path = tmp_path / "docker.sock"
    containers = Containers(f"unix://{path}", "gateway")
    with docker_server(path):
        assert seen(containers).state == "running"
    assert seen(containers).state == "unknown"
    with docker_server(path):
        assert seen(containers).state == "running"


def test_for_a_reader_the_container_is_reduced_to_what_may_be_shown(
    server: DockerServer, containers: Containers
) -> None:
    server.container = {
        "Id": "0123",
        "RestartCount": 2,
        "State": {"Status": "running", "Pid": 7},
        "Config": {
            "Image": "vpn-charon",
            "Env": ["SECRET=x", "DATAPLANE=auto"],
            "Labels": {"a": 1},
        },
        "HostConfig": {"CapAdd": ["NET_ADMIN"], "LogConfig": {"Config": {"token": "x"}}},
        "Mounts": [{"Type": "volume", "Name": "vpn_vici", "Destination": "/run/vici", "Driver": 1}],
        "NetworkSettings": {},
    }
    assert containers.inspect() == {
        "Id": "0123",
        "RestartCount": 2,
        "State": {"Status": "running"},
        "Config": {"Image": "vpn-charon"},
        "HostConfig": {"CapAdd": ["NET_ADMIN"]},
        "variables": ["DATAPLANE", "SECRET"],
        "mounts": [
            {
                "Type": "volume",
                "Name": "vpn_vici",
                "Source": None,
                "Destination": "/run/vici",
                "RW": None,
            }
        ],
    }
    assert containers.engine() == {"ApiVersion": "1.41", "MinAPIVersion": "1.12"}
    containers.close()


def test_for_a_reader_it_is_said_why_the_container_can_not_be_seen(
    server: DockerServer, containers: Containers
) -> None:
    with pytest.raises(ContainerRefused, match="no Docker API is configured"):
        Containers("", "gateway").inspect()
    server.container = None
    with pytest.raises(ContainerRefused, match="404 No such container"):
        containers.inspect()
    containers.close()
