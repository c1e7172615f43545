"""A charon in a container, and whether it is there to be asked; for tests and benchmarks."""

from pathlib import Path

from reconciler.edges.vici_client import ViciClient
from reconciler.errors import IkeUnreachable
from tests.docker import docker


def answers(socket: Path) -> bool:
    """Ask charon for something."""
    client = ViciClient(str(socket))
    try:
        client.observe(deep=False)
    except IkeUnreachable:
        return False
    finally:
        client.close()
    return True


def start_charon(name: str, *options: str) -> None:
    """Start one by itself; without a filter, as nobody tells it who may send what."""
    docker(
        *("run", "--detach", "--name", name, "--cap-drop", "ALL", "--cap-add", "NET_ADMIN"),
        *("--cap-add", "NET_BIND_SERVICE", "--device", "/dev/net/tun"),
        *("--env", "DATAPLANE=userspace", "--env", "PACKET_FILTER=no"),
        *(*options, "vpn-charon"),
    )
