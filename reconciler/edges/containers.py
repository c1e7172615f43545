"""The container that holds charon, through the Docker API: looked at, started, unpaused, restarted.

Every call has a short deadline, because the loop waits for it.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import docker
from docker.errors import APIError, DockerException, NotFound
from requests.exceptions import RequestException, Timeout

from reconciler.core.actions import (
    ContainerAction,
    RestartContainer,
    StartContainer,
    UnpauseContainer,
)
from reconciler.core.reasons import printable
from reconciler.core.status import ContainerStatus
from reconciler.edges.docker_api import connect
from reconciler.errors import ContainerRefused

_LOOK_S = 2
_ACT_S = 4
# A charon that hangs does not heed SIGTERM; one that hears it needs far less for its goodbyes.
_STOP_S = 2
_LONGEST_WORDS = 200
_LONGEST_STATE = 40
# What Docker, or the package that asks it, may raise; the last ones where an answer has not the
# shape that the package takes for granted.
BROKEN = (
    *(DockerException, RequestException, OSError),
    *(ValueError, TypeError, KeyError, AttributeError, RecursionError),
)
_ENGINE = ("Version", "ApiVersion", "MinAPIVersion", "Os", "Arch", "KernelVersion", "GitCommit")
# Of what inspect tells: nothing that could hold a secret, such as the environment's values.
_SHOWN: dict[str, tuple[str, ...]] = {
    "State": (
        *("Status", "Running", "Paused", "Restarting", "OOMKilled", "Dead", "ExitCode", "Error"),
        *("StartedAt", "FinishedAt", "Health"),
    ),
    "HostConfig": (
        *("NetworkMode", "RestartPolicy", "CapAdd", "CapDrop", "Privileged", "ReadonlyRootfs"),
        *("SecurityOpt", "Devices", "Memory", "NanoCpus", "Tmpfs", "Init"),
    ),
    "Config": ("Image", "User", "Entrypoint", "Cmd", "Healthcheck", "StopTimeout"),
}


class Containers:
    """One container. Without a Docker API everything else goes on, and it is said."""

    def __init__(self, docker_host: str, container: str) -> None:
        self._docker_host = docker_host
        self._container = container
        self._client: docker.APIClient | None = None

    def observe(self) -> ContainerStatus | None:
        """Inspect the container; None if no Docker API is configured."""
        if not self._docker_host:
            return None
        try:
            found = self._connected(_LOOK_S).inspect_container(self._container)
        except NotFound:
            return ContainerStatus(name=self._container, state="missing")
        except BROKEN as error:
            self._close()
            return ContainerStatus(name=self._container, state="unknown", error=_words(error))
        if not isinstance(found, dict):
            words = "Docker API: an answer that is no object"
            return ContainerStatus(name=self._container, state="unknown", error=words)
        return _status(self._container, found)

    def inspect(self) -> dict[str, Any]:
        """Return what may be shown of the container. Raises ContainerRefused."""
        return _shown(self._ask(lambda client: client.inspect_container(self._container)))

    def engine(self) -> dict[str, Any]:
        """Return the engine's versions. Raises ContainerRefused."""
        found = self._ask(lambda client: client.version())
        return {key: found[key] for key in _ENGINE if key in found}

    def _ask(self, question: Callable[[docker.APIClient], Any]) -> dict[str, Any]:
        if not self._docker_host:
            raise ContainerRefused("no Docker API is configured (DOCKER_HOST)")
        try:
            found = question(self._connected(_LOOK_S))
        except BROKEN as error:
            self._close()
            raise ContainerRefused(_words(error)) from error
        return found if isinstance(found, dict) else {}

    def close(self) -> None:
        """Let go of the connection."""
        self._close()

    def carry_out(self, action: ContainerAction) -> None:
        """Return when Docker has done it, after some seconds at most. Raises ContainerRefused."""
        try:
            client = self._connected(_ACT_S)
            match action:
                case StartContainer():
                    client.start(action.name)
                case UnpauseContainer():
                    client.unpause(action.name)
                case RestartContainer():
                    client.restart(action.name, timeout=_STOP_S)
        except BROKEN as error:
            self._close()
            raise ContainerRefused(_words(error)) from error

    def _connected(self, timeout_s: int) -> docker.APIClient:
        if self._client is None:
            self._client = connect(self._docker_host, _LOOK_S)
        self._client.timeout = timeout_s
        return self._client

    def _close(self) -> None:
        if self._client is not None:
            self._client.close()
        self._client = None


def _shown(found: dict[str, Any]) -> dict[str, Any]:
    """Reduce what inspect tells to what matters and may be shown."""
    shown: dict[str, Any] = {
        key: found[key]
        for key in ("Name", "Id", "Created", "Image", "RestartCount")
        if key in found
    }
    for part, keys in _SHOWN.items():
        values = found.get(part)
        if isinstance(values, dict):
            shown[part] = {key: values[key] for key in keys if key in values}
    config = found.get("Config")
    variables = config.get("Env") if isinstance(config, dict) else None
    variables = variables if isinstance(variables, list) else ()
    shown["variables"] = sorted(str(one).partition("=")[0] for one in variables)
    mounts = found.get("Mounts")
    shown["mounts"] = [
        {key: mount.get(key) for key in ("Type", "Name", "Source", "Destination", "RW")}
        for mount in (mounts if isinstance(mounts, list) else ())
        if isinstance(mount, dict)
    ]
    return shown


def _words(error: Exception) -> str:
    """Say it in one line: Docker's own words, if there are any."""
    if isinstance(error, APIError) and error.status_code == 403:
        return "Docker API: 403, its proxy refuses; has it the same CHARON_CONTAINER?"
    if isinstance(error, APIError):
        words = printable(" ".join(str(error.explanation).split()), _LONGEST_WORDS)
        return f"Docker API: {error.status_code} {words}"
    if isinstance(error, Timeout) or isinstance(error.__context__, Timeout):
        return "Docker API: no answer in time"
    if not isinstance(error, DockerException | RequestException | OSError):
        return f"Docker API: an answer that can't be understood ({type(error).__name__})"
    return f"Docker API: {printable(' '.join(str(error).split()), _LONGEST_WORDS)}"


def _status(name: str, found: dict[str, object]) -> ContainerStatus:
    state = found.get("State")
    state = state if isinstance(state, dict) else {}
    health = state.get("Health")
    return ContainerStatus(
        name=name,
        state=printable(str(state.get("Status", "unknown")), _LONGEST_STATE),
        health=printable(str(health.get("Status", "")), _LONGEST_STATE)
        if isinstance(health, dict)
        else "",
        restart_count=_number(found.get("RestartCount")),
        exit_code=_number(state.get("ExitCode")),
        out_of_memory=state.get("OOMKilled") is True,
        started_at=_unix(str(state.get("StartedAt", ""))),
    )


def _number(value: object) -> int:
    """Return a whole number of Docker's, which are of 32 bits; 0 if it is none."""
    return value if isinstance(value, int) and -(2**31) <= value < 2**31 else 0


def _unix(text: str) -> int:
    """Read Docker's times, which have nanoseconds; the year 1 is its never."""
    try:
        return max(0, int(datetime.fromisoformat(text[:19] + "+00:00").timestamp()))
    except ValueError:
        return 0
