"""Docker's events about charon's container. They only wake the loop.

A stream that is silent is told from one that is dead by a ping on a connection of its own. Streams
end: the proxy cuts them after a time. Whatever was missed in between is found by the look that
follows each new stream.
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

import docker
from docker.errors import DockerException, StreamParseError
from docker.types import CancellableStream
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

from reconciler.core.backoff import delay_s
from reconciler.edges.docker_api import connect

log = logging.getLogger(__name__)
# Those of a container's life. Not exec_…: each health check makes three of them.
EVENTS = (
    *("create", "start", "restart", "die", "kill", "stop", "oom", "pause", "unpause"),
    *("rename", "destroy", "health_status"),
)
_ENDED = ("die", "oom")
_TIMEOUT_S = 2
_PING_EVERY_S = 10.0
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 10.0
# The last ones: what came is no JSON, or not what an event looks like.
_BROKEN = (
    *(DockerException, RequestException, HTTPError, OSError, ValueError),
    *(StreamParseError, AttributeError, TypeError, KeyError, RecursionError),
)


class ContainerEvents:
    """Listens until stopped, and reconnects for ever. `wake` gets a reason."""

    def __init__(self, docker_host: str, container: str, wake: Callable[[str], None]) -> None:
        self._docker_host = docker_host
        self._container = container
        self._wake = wake
        self._stopping = threading.Event()
        self._stream: CancellableStream[Any] | None = None
        self._threads = [
            threading.Thread(target=self._listen_for_ever, name="docker-events", daemon=True),
            threading.Thread(target=self._ping_for_ever, name="docker-ping", daemon=True),
        ]

    def start(self) -> None:
        """Listen from now on, if there is a Docker API."""
        for thread in self._threads if self._docker_host else ():
            thread.start()

    def stop(self) -> None:
        """End within a second or so."""
        self._stopping.set()
        self._cut()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end; whether it came."""
        started = [thread for thread in self._threads if thread.ident is not None]
        for thread in started:
            thread.join(timeout_s)
        return not any(thread.is_alive() for thread in started)

    def _listen_for_ever(self) -> None:
        failed = 0
        while not self._stopping.is_set():
            failed = 0 if self._listen() else failed + 1
            pause_s = delay_s(max(1, failed), 0.5, _FIRST_PAUSE_S)
            self._stopping.wait(min(pause_s, _LONGEST_PAUSE_S))

    def _listen(self) -> bool:
        """Listen to one stream to its end; False if there was none."""
        client = None
        try:
            client = connect(self._docker_host, _TIMEOUT_S)
            filters = {"type": "container", "container": self._container, "event": [*EVENTS]}
            self._stream = client.events(decode=True, filters=filters)
        except _BROKEN:
            self._close(client)
            return False
        # What happened before the stream began was not told: look.
        self._wake("docker connected")
        try:
            for event in () if self._stopping.is_set() else self._stream:
                self._take(event)
        except _BROKEN:
            pass  # as good as its end
        finally:
            self._stream = None
            self._close(client)
        self._wake("docker disconnected")
        return True

    def _take(self, event: Mapping[str, Any]) -> None:
        # "health_status: unhealthy"
        action = str(event.get("Action", "")).partition(":")[0]
        if action not in EVENTS:
            return
        if action in _ENDED:
            attributes = event.get("Actor", {}).get("Attributes", {})
            fields = {"event": action, "exit_code": attributes.get("exitCode", "")}
            log.warning("container event", extra={"fields": fields})
        self._wake(f"container {action}")

    def _ping_for_ever(self) -> None:
        client = None
        while not self._stopping.wait(_PING_EVERY_S):
            if self._stream is None:
                continue
            try:
                client = client or connect(self._docker_host, _TIMEOUT_S)
                client.ping()
            except _BROKEN as error:
                log.warning("docker is silent", extra={"fields": {"cause": type(error).__name__}})
                self._close(client)
                client = None
                self._cut()

    def _cut(self) -> None:
        """End the stream from another thread."""
        stream = self._stream
        if stream is not None:
            # It may have ended, and lost its socket, in this moment.
            with contextlib.suppress(*_BROKEN):
                stream.close()

    def _close(self, client: docker.APIClient | None) -> None:
        if client is not None:
            with contextlib.suppress(*_BROKEN):
                client.close()
