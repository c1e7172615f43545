"""The container that holds charon, while there is no Docker API to ask."""

import socket

from reconciler.edges.containers import Containers


def test_without_a_docker_api_nothing_is_claimed() -> None:
    assert Containers("", "gateway").observe() is None


def test_a_docker_api_that_does_not_answer_is_said_and_asked_again() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        containers = Containers(f"tcp://127.0.0.1:{taken.getsockname()[1]}", "gateway")
        for _ in range(2):
            found = containers.observe()
            assert found is not None
            assert (found.name, found.state) == ("gateway", "unknown")
            assert found.error.startswith("Docker API: ")
