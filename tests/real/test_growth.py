"""Rounds and reconnects leave nothing behind. `make capacity` makes many more of them."""

from pathlib import Path

import pytest

from bench.capacity.growth import grown, growth
from bench.capacity.stage import Place, stage

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

ROUNDS, RECONNECTS = 300, 50


def test_after_rounds_and_reconnects_nothing_holds_more_descriptors_threads_or_memory(
    tmp_path: Path,
) -> None:
    place = Place("test-growth", "198.18.18")
    with stage(place, tmp_path / "stage", count=5, containers=2, hasty=True) as here:
        seen = growth(here, ROUNDS, RECONNECTS)
    assert seen.rounds >= ROUNDS
    assert grown(seen) == []
