"""A reconciler on its bench, empty or with three tunnels up."""

from pathlib import Path

import pytest

from tests.builders import vpn
from tests.worlds import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def three_up(bench: Bench) -> Bench:
    bench.declare(kspb=vpn(1), kczk=vpn(2), s51=vpn(3))
    bench.round()
    for name in ("kspb_vpn", "kczk_vpn", "s51_vpn"):
        bench.ike.dial_in(name)
    bench.round()
    assert {c.status for c in bench.status.connections.values()} == {"up"}
    bench.requests()
    return bench
