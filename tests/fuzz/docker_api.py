"""What Docker's API answers: any status, any bytes, any JSON."""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import docker
from requests import PreparedRequest, Response
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

from reconciler.core.actions import RestartContainer
from reconciler.edges import container_events
from reconciler.edges.container_events import ContainerEvents
from reconciler.edges.containers import Containers
from reconciler.errors import ContainerRefused
from tests.fuzz import bench, oracles
from tests.fuzz.source import Source

_STATES = ("running", "exited", "paused", "created", "restarting", "dead", "removing", "\x1b[2J")
_KEYS = (
    *("Name", "Id", "Created", "Image", "RestartCount", "State", "HostConfig", "Config", "Mounts"),
    *("message", "Action", "Actor", "Attributes", "Health", "ExitCode", "OOMKilled", "StartedAt"),
    *("Env", "Status", "NetworkMode", "exitCode"),
)
_GOOD: dict[str, Any] = {
    "Name": "/gateway",
    "RestartCount": 2,
    "State": {
        "Status": "running",
        "ExitCode": 0,
        "OOMKilled": False,
        "StartedAt": "2026-11-25T12:00:00.123456789Z",
        "Health": {"Status": "healthy"},
    },
    "Config": {"Env": [f"PSK={oracles.SECRET}"], "Image": "vpn-gateway"},
    "HostConfig": {"NetworkMode": "host"},
    "Mounts": [{"Type": "volume", "Name": "vpn", "Destination": "/run/vpn"}],
}


class _Adapter(BaseAdapter):
    """Answers every request with the same."""

    def __init__(self, status: int, content: bytes) -> None:
        super().__init__()
        self._status, self._content = status, content

    def send(self, request: PreparedRequest, *_: object, **__: object) -> Response:
        made = Response()
        made.status_code, made._content, made.request = self._status, self._content, request
        made.headers = CaseInsensitiveDict({"Content-Type": "application/json"})
        made.url = str(request.url)
        return made

    def close(self) -> None:
        """Nothing is open."""


def _answer(source: Source) -> Any:
    match source.byte() % 4:
        case 0:
            return source.value()
        case 1:
            return {source.pick(_KEYS): source.value() for _ in range(source.byte() % 5)}
        case _:
            pass
    made: dict[str, Any] = {**_GOOD}
    inner: dict[str, Any] = {**_GOOD["State"]}
    for _ in range(source.byte() % 4):
        where = made if source.byte() % 2 else inner
        key = source.pick([*where])
        where[key] = source.pick(_STATES) if key == "Status" else source.value()
    return {**made, "State": inner} if source.byte() % 4 else made


class _Answered(Containers):
    """The edge, with a client whose answers are there already."""

    def __init__(self, adapter: _Adapter) -> None:
        super().__init__("tcp://127.0.0.1:1", "gateway")
        self._adapter = adapter

    def _connected(self, timeout_s: int) -> docker.APIClient:
        client = docker.APIClient(base_url="tcp://127.0.0.1:1", version="1.43", timeout=timeout_s)
        client.mount("http://", self._adapter)
        self._client = client
        return client


def one_input(data: bytes) -> None:
    """Ask everything that is ever asked, and make a round with what was said."""
    source = Source(data)
    status = source.pick((200, 200, 200, 204, 301, 400, 403, 404, 409, 500, 999))
    content = source.rest() if source.byte() % 4 == 3 else json.dumps(_answer(source)).encode()
    containers = _Answered(_Adapter(status, content))
    for ask in (containers.inspect, containers.engine):
        with suppress(ContainerRefused):
            oracles.assert_untold(json.dumps(ask()))
    with suppress(ContainerRefused):
        containers.carry_out(RestartContainer("gateway", "test"))
    with bench.listening() as log:
        _events(content)
        seen = containers.observe()
        if seen is None or seen.state == "unknown":
            return
        reconciler = bench.with_bystander()
        reconciler.container = containers  # type: ignore[assignment]
        bench.judge_round(reconciler, reconciler.round())
        reconciler.ike.reachable = False
        reconciler.age(30)
        bench.judge_round(reconciler, reconciler.round())
    bench.judge_log(log)


def _events(content: bytes) -> None:
    wakes: list[str] = []
    events = ContainerEvents("tcp://127.0.0.1:1", "gateway", wakes.append)
    try:
        event: Mapping[str, Any] = json.loads(content)
        events._take(event)
    except container_events._BROKEN:
        return
    assert all(wake.removeprefix("container ") in container_events.EVENTS for wake in wakes)


def seeds() -> Iterator[bytes]:
    """Yield real answers, and choices at random."""
    yield b"\0\3" + json.dumps(_GOOD).encode()
    yield b"\7\3" + b'{"message": "No such container: gateway"}'
    yield b"\0\3" + b'{"Action": "die", "Actor": {"Attributes": {"exitCode": "137"}}}'
    yield b"\0\3" + b'{"Action": "health_status: unhealthy"}'
    yield from (bytes((0, 0, *((3 * i + 7 * j) % 256 for j in range(60)))) for i in range(16))
