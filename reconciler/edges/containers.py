"""The container that holds charon, through the Docker API: only looked at."""

import docker
from docker.errors import DockerException
from requests.exceptions import RequestException

from reconciler.core.status import ContainerStatus

_TIMEOUT_S = 2


class Containers:
    """Looks at one container. Without a Docker API everything else goes on, and it is said."""

    def __init__(self, docker_host: str, container: str) -> None:
        self._docker_host = docker_host
        self._container = container
        self._client: docker.APIClient | None = None

    def observe(self) -> ContainerStatus | None:
        """Inspect the container; None if no Docker API is configured."""
        if not self._docker_host:
            return None
        try:
            if self._client is None:
                self._client = docker.APIClient(
                    base_url=self._docker_host, version="auto", timeout=_TIMEOUT_S
                )
            found = self._client.inspect_container(self._container)
        except (DockerException, RequestException) as error:
            self._client = None
            return ContainerStatus(
                name=self._container, state="unknown", error=f"Docker API: {type(error).__name__}"
            )
        return _status(self._container, found)


def _status(name: str, found: dict[str, object]) -> ContainerStatus:
    state = found.get("State")
    state = state if isinstance(state, dict) else {}
    health = state.get("Health")
    restarts = found.get("RestartCount")
    return ContainerStatus(
        name=name,
        state=str(state.get("Status", "unknown")),
        health=str(health.get("Status", "")) if isinstance(health, dict) else "",
        restart_count=restarts if isinstance(restarts, int) else 0,
        exit_code=int(state.get("ExitCode") or 0),
        out_of_memory=bool(state.get("OOMKilled")),
    )
