"""What the figures were measured on."""

import os
import platform

from tests.docker import docker

_SHOW = "cat /etc/debian_version; swanctl --version 2>&1 | grep strongSwan"


def machine_facts() -> dict[str, object]:
    """Return cores, memory, kernel and versions; nothing that names the machine."""
    debian, swanctl = _inside("vpn-charon", "sh", "-c", _SHOW).splitlines()[:2]
    return {
        "cores": len(os.sched_getaffinity(0)),
        "memory_mib": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20,
        "architecture": platform.machine(),
        "kernel": platform.release().partition("-")[0],
        "docker": docker("version", "--format", "{{.Server.Version}}").strip(),
        "debian_of_the_images": debian,
        "strongswan": swanctl.split()[1],
        "load_before": os.getloadavg()[0],
        "python": platform.python_version(),
        "python_of_the_image": _inside("vpn-reconciler", "python", "--version").split()[1],
    }


def _inside(image: str, program: str, *arguments: str) -> str:
    return docker("run", "--rm", "--network", "none", "--entrypoint", program, image, *arguments)
