"""All sites dial at once, and charon has hardly any processor time: it gets on, one by one."""

from pathlib import Path

import pytest

from bench.capacity.stage import Place, stage
from tests.docker import docker, eventually, run

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

SITES, CONTAINERS = 400, 2
# Of a core; a handshake takes some 8 ms of one. A site gives up and begins anew after 16 s.
CPUS = "0.05"


def test_when_all_sites_dial_at_once_a_starved_charon_lets_them_in_and_is_not_restarted(
    tmp_path: Path,
) -> None:
    place = Place("test-storm", "198.18.19")
    gateway = place.container("gateway")
    with stage(place, tmp_path / "stage", count=SITES, containers=CONTAINERS) as here:
        docker("update", "--cpus", CPUS, gateway)
        killed = here.pid("gateway")
        run("kill", "-9", str(killed))
        eventually(lambda: here.pid("gateway") not in (0, killed), 30, "charon is there again")
        began = here.pid("gateway")
        eventually(lambda: here.live() == 0, 30, "it knows of no tunnel")
        eventually(lambda: here.live() == SITES, 240, "all are in", every_s=2)
        assert here.pid("gateway") == began, "somebody has restarted charon"
        eventually(lambda: here.up() == SITES, 120, "the status says so", every_s=1)
