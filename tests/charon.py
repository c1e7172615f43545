"""Whether a charon is there to be asked; for tests and benchmarks."""

from pathlib import Path

from reconciler.edges.vici_client import ViciClient
from reconciler.errors import IkeUnreachable


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
