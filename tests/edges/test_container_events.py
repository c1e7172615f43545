"""Docker's events only wake the loop, and each new stream does so too."""

import gc
import queue
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.edges import container_events as edge
from reconciler.edges.container_events import EVENTS, ContainerEvents
from tests.docker import eventually
from tests.edges.docker_server import DockerServer, docker_server

# The docker package leaves a socket on which nobody listens to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


@pytest.fixture(autouse=True)
def garbage_collected() -> Iterator[None]:
    yield
    gc.collect()


DEADLINE_S = 5.0


class Listening:
    """A listener that is started, and what it told."""

    def __init__(self, host: str) -> None:
        self.woken: queue.Queue[str] = queue.Queue()
        self.events = ContainerEvents(host, "gateway", self.woken.put)
        self.events.start()

    def expect(self, reason: str) -> None:
        assert self.woken.get(timeout=DEADLINE_S) == reason

    def end(self) -> None:
        self.events.stop()
        assert self.events.join(2), "it ends within a second or so"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "docker.sock"


@pytest.fixture
def server(path: Path) -> Iterator[DockerServer]:
    with docker_server(path) as server:
        yield server


@pytest.fixture
def listening(server: DockerServer) -> Iterator[Listening]:
    listening = Listening(server.host)
    listening.expect("docker connected")
    eventually(lambda: server.streams, DEADLINE_S)
    yield listening
    listening.end()


@pytest.mark.parametrize("action", EVENTS)
def test_every_event_of_the_container_s_life_wakes_by_its_name(
    server: DockerServer, listening: Listening, action: str
) -> None:
    server.emit(action)
    listening.expect(f"container {action}")


def test_the_reasons_are_few_whatever_an_event_says(
    server: DockerServer, listening: Listening
) -> None:
    """They become labels of a metric."""
    server.emit("health_status: unhealthy")
    listening.expect("container health_status")
    server.emit("health_status: healthy")
    listening.expect("container health_status")


def test_health_checks_do_not_wake(server: DockerServer, listening: Listening) -> None:
    for action in ("exec_create: check-charon", "exec_start: check-charon", "exec_die", "top"):
        server.emit(action)
    server.emit("die", exitCode="137")
    listening.expect("container die")


def test_only_events_of_that_container_are_asked_for(
    server: DockerServer, listening: Listening
) -> None:
    assert listening.woken.empty()
    (filters,) = server.filters
    assert filters["container"] == ["gateway"]
    assert filters["type"] == ["container"]
    assert not [name for name in filters["event"] if name.startswith("exec")]


def test_the_end_of_charon_is_logged_with_its_exit_code(
    server: DockerServer, listening: Listening, caplog: pytest.LogCaptureFixture
) -> None:
    server.emit("die", exitCode="137")
    listening.expect("container die")
    (record,) = [r for r in caplog.records if r.message == "container event"]
    assert record.__dict__["fields"] == {"event": "die", "exit_code": "137"}


def test_a_stream_that_was_cut_is_begun_anew_and_wakes_once(
    server: DockerServer, listening: Listening
) -> None:
    server.end_stream()
    listening.expect("docker disconnected")
    listening.expect("docker connected")
    eventually(lambda: len(server.streams) == 2, DEADLINE_S)
    server.emit("start")
    listening.expect("container start")


def test_an_engine_that_starts_later_is_found(path: Path) -> None:
    listening = Listening(f"unix://{path}")
    with docker_server(path):
        listening.expect("docker connected")
        listening.end()


def test_an_engine_that_went_away_and_came_back_is_found(path: Path) -> None:
    with docker_server(path) as server:
        listening = Listening(server.host)
        listening.expect("docker connected")
    listening.expect("docker disconnected")
    with docker_server(path):
        listening.expect("docker connected")
        listening.end()


def test_a_silent_stream_of_a_dead_engine_is_found_out_by_ping(
    server: DockerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge, "_PING_EVERY_S", 0.1)
    monkeypatch.setattr(edge, "_TIMEOUT_S", 0.3)
    listening = Listening(server.host)
    listening.expect("docker connected")
    eventually(lambda: server.pings >= 2, DEADLINE_S)
    assert listening.woken.empty(), "an answered ping says nothing"
    server.mute.set()
    listening.expect("docker disconnected")
    server.mute.clear()
    listening.expect("docker connected")
    listening.end()


def test_without_a_docker_api_there_is_nothing_to_listen_to() -> None:
    events = ContainerEvents("", "gateway", lambda _: None)
    events.start()
    events.stop()
    assert events.join(0)


@pytest.mark.parametrize(
    "nonsense",
    [b"}{ no JSON\n", "a word", ["a", "list"], 3, {"Action": "die", "Actor": None}],
    ids=repr,
)
def test_an_event_that_is_none_begins_a_new_stream_and_ends_no_thread(
    server: DockerServer, listening: Listening, nonsense: object
) -> None:
    server.streams[-1].put(nonsense)
    server.streams[-1].put(b"")  # the end, with all ceremony
    server.end_stream()
    listening.expect("docker disconnected")
    listening.expect("docker connected")
    eventually(lambda: len(server.streams) == 2, DEADLINE_S)
    server.emit("start")
    listening.expect("container start")
