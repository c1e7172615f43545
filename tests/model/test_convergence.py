"""Whatever happens, and in whatever order: at last everything is as declared, and nobody else's."""

import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from random import Random

import pytest

from tests.model.examples import fault_of, shrink, told, where
from tests.model.stage import Stage
from tests.model.steps import Remove, RestartCharon, Round, Settle, Step, random_steps

STEPS_AN_EXAMPLE = 150
# More of it, other examples, or one of them again: see CONTRIBUTING.md.
SECONDS = float(os.environ.get("MODEL_SECONDS", "8"))
FROM = int(os.environ.get("MODEL_FROM", "1"))
SEED = int(os.environ.get("MODEL_SEED", "0"))


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave out what costs time and is not the matter here."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.timeout(SECONDS + 120)
def test_whatever_happens_everything_is_as_declared_at_last(tmp_path: Path) -> None:
    began_s = time.monotonic()
    steps_done = 0
    for seed in [SEED] if SEED else count(FROM):
        steps = random_steps(Random(seed), STEPS_AN_EXAMPLE)  # noqa: S311
        fault = fault_of(steps, tmp_path)
        if fault is not None:
            shrunk = shrink(steps, tmp_path)
            why = where(fault_of(shrunk, tmp_path) or fault)
            pytest.fail(f"MODEL_SEED={seed}: {why}\n[\n{told(shrunk)}\n]", pytrace=False)
        steps_done += len(steps)
        if time.monotonic() - began_s > SECONDS:
            break
    print(f"up to MODEL_SEED={seed}: {steps_done} steps")


@dataclass(frozen=True)
class Raise:
    """A step that is a fault in itself."""

    def do(self, _: Stage) -> None:
        raise ValueError("seven")


def test_a_failing_example_is_made_short_and_readable(tmp_path: Path) -> None:
    steps = random_steps(Random(7), 12)  # noqa: S311
    shrunk = shrink([*steps[:5], Raise(), *steps[5:]], tmp_path)
    assert told(shrunk) == "    Raise(),"
    fault = fault_of(shrunk, tmp_path)
    assert fault is not None
    assert "ValueError at" in where(fault)


def test_an_example_that_ends_well_has_no_fault(tmp_path: Path) -> None:
    steps: list[Step] = [Remove("kspb"), Round("timer"), RestartCharon(saved=True), Settle()]
    assert fault_of(steps, tmp_path) is None
