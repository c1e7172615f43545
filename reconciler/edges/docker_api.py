"""The way to Docker's API that all who ask it share."""

import docker


def connect(docker_host: str, timeout_s: int) -> docker.APIClient:
    """Return a client in the version that the engine speaks. Raises what `docker` raises.

    Each request gets a connection of its own. The package keeps one per path for the next time,
    and whoever answers closes it in between: dead ones would be held until then.
    """
    client = docker.APIClient(base_url=docker_host, version="auto", timeout=timeout_s)
    client.close()  # what asked for the version; the client goes on
    client.headers["Connection"] = "close"
    return client
