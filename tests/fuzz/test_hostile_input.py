"""Every target with a few inputs, always the same ones: the long runs are `make fuzz`."""

import importlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS

# So many inputs take a second or two each.
_INPUTS = dict.fromkeys(TARGETS, 150) | {"rounds": 40, "docker_api": 40, "state": 30, "events": 60}


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_breaks_it(name: str) -> None:
    target = importlib.import_module(f"tests.fuzz.{name}")
    seeds = st.sampled_from([*target.seeds()])
    cut = st.tuples(seeds, st.integers(0, 400), st.binary(max_size=40))
    damaged = cut.map(lambda made: made[0][: made[1]] + made[2] + made[0][made[1] + len(made[2]) :])

    @settings(
        max_examples=_INPUTS[name], derandomize=True, database=None, deadline=None, print_blob=False
    )
    @given(st.one_of(st.binary(max_size=200), damaged))
    def try_it(data: bytes) -> None:
        target.one_input(data)

    for seed in target.seeds():
        target.one_input(seed)
    try_it()


def test_every_target_is_run() -> None:
    folder = Path(__file__).parent
    found = {path.stem for path in folder.glob("*.py") if "\ndef one_input(" in path.read_text()}
    assert found == {*TARGETS}
