"""One real charon in a container, without a network that anybody else is on."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.edges.vici_client import ViciClient
from tests.charon import answers, start_charon
from tests.docker import docker, eventually, volume_path
from tests.real.real_charon import RealCharon, real_charon

NAME = "test-charon"


@pytest.fixture(scope="session")
def charon_socket() -> Iterator[Path]:
    docker("rm", "--force", "--volumes", NAME, check=False)
    docker("volume", "create", NAME)
    start_charon(NAME, "--volume", f"{NAME}:/run/vici", "--network", "none")
    socket = volume_path(NAME) / "charon.vici"
    try:
        eventually(lambda: socket.exists() and answers(socket), 20)
        yield socket
    except AssertionError:
        subprocess.run(["docker", "logs", NAME], check=False)
        raise
    finally:
        docker("rm", "--force", NAME)
        docker("volume", "rm", NAME)


@pytest.fixture
def ike(charon_socket: Path) -> Iterator[ViciClient]:
    """Give a client of a charon that has nothing loaded."""
    client = ViciClient(str(charon_socket))
    empty(client)
    yield client
    client.close()


@pytest.fixture(scope="session")
def real_hub() -> Iterator[tuple[RealCharon, Path]]:
    """Give a hub that can be killed, with sites, and where its saved connections lie."""
    with real_charon() as made:
        yield made


def empty(client: ViciClient) -> None:
    observed = client.observe(deep=False)
    for name in observed.connections:
        client.unload_connection(name)
        client.end_all(name)
    for secret_id in observed.secret_ids:
        client.unload_secret(secret_id)
