"""What the kernel says of the processes of a container."""

from collections.abc import Mapping
from pathlib import Path

from tests.docker import docker

NET_ADMIN, NET_BIND_SERVICE = 1 << 12, 1 << 10
CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


def processes(container: str) -> dict[int, Mapping[str, str]]:
    """Return /proc/PID/status of each of its processes, as this machine numbers them."""
    table = docker("top", container, "-eo", "pid").split()[1:]
    return {int(pid): status_of(int(pid)) for pid in table if Path(f"/proc/{pid}").exists()}


def status_of(pid: int) -> Mapping[str, str]:
    """Return the fields of /proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def capabilities(status: Mapping[str, str]) -> dict[str, int]:
    """Return the five sets as numbers."""
    return {name: int(status[name], 16) for name in CAPABILITIES}
