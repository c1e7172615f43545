"""The model of tests/model against a real charon, with two sites that dial for real."""

import os
import time
from pathlib import Path
from random import Random

import pytest

from tests.model import steps as model
from tests.model.examples import told, where
from tests.model.stage import Stage
from tests.model.steps import Settle, Step, random_steps
from tests.real.real_charon import RealCharon
from tests.worlds import FakeClock

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

WITH_SITES = ("kspb", "kczk")
STEPS_AN_EXAMPLE = 100
EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "3"))
FROM = int(os.environ.get("MODEL_FROM", "1"))
# What only the fake can play, or what would only cost time here.
_NOT_HERE = (model.ForeignSa, model.Move, model.RefuseChildren, model.SetClock, model.ComeAndGo)


class SkippingClock(FakeClock):
    """Real time, and what was skipped of the pauses."""

    def now(self) -> int:
        return int(time.time() + self.elapsed_s)

    def monotonic_s(self) -> float:
        return time.monotonic() + self.elapsed_s


def suits(step: Step) -> bool:
    """Tell whether real sites on one address, with IPv4 alone, can take part."""
    if isinstance(step, model.SiteDoes):
        return step.what in ("hang_up", "close_child") and step.airport in WITH_SITES
    if isinstance(step, model.Dial):
        return step.airport in WITH_SITES
    if isinstance(step, model.Edit):
        return step.key != "remote_address" and "fd00" not in str(step.value)
    return not isinstance(step, _NOT_HERE)


@pytest.mark.parametrize("seed", range(FROM, FROM + EXAMPLES))
def test_whatever_happens_a_real_charon_is_as_declared_at_last(
    real_hub: tuple[RealCharon, Path], tmp_path: Path, seed: int
) -> None:
    hub, saved = real_hub
    saved.unlink(missing_ok=True)
    hub.restart(0)
    steps = [step for step in random_steps(Random(seed), 2 * STEPS_AN_EXAMPLE) if suits(step)]  # noqa: S311
    steps = [*steps[:STEPS_AN_EXAMPLE], Settle()]
    done: list[Step] = []
    try:
        stage = Stage(tmp_path, hub, SkippingClock(), with_sites=WITH_SITES, swanctl_file=saved)
        for step in steps:
            done.append(step)
            step.do(stage)
    except Exception as error:  # noqa: BLE001 - whatever escapes is a fault
        pytest.fail(f"seed {seed}: {where(error)}\n[\n{told(done)}\n]", pytrace=False)
