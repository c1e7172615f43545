"""Run examples, and make one that fails as short as possible."""

import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from tests.model.stage import Stage
from tests.model.steps import Step


def replay(steps: Sequence[Step], directory: Path) -> Stage:
    """Do all steps on a fresh stage. Raises what any of them raises."""
    with tempfile.TemporaryDirectory(dir=directory) as fresh:
        stage = Stage(Path(fresh))
        for step in steps:
            step.do(stage)
    return stage


def fault_of(steps: Sequence[Step], directory: Path) -> Exception | None:
    """Return what goes wrong in an example, if anything does."""
    try:
        replay(steps, directory)
    except Exception as error:  # noqa: BLE001 - whatever escapes is a fault
        return error
    return None


def shrink(steps: Sequence[Step], directory: Path, patience_s: float = 30) -> list[Step]:
    """Leave out what is not needed for the example to fail, as long as patience lasts."""
    until_s = time.monotonic() + patience_s
    steps, size = list(steps), len(steps) // 2
    while size and time.monotonic() < until_s:
        at = len(steps) - size
        while at > -size and time.monotonic() < until_s:
            fewer = steps[: max(at, 0)] + steps[at + size :]
            if fault_of(fewer, directory):
                steps = fewer
            at -= size
        size //= 2
    return steps


def where(error: BaseException) -> str:
    """Say what went wrong and in which line."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in frames[-3:]]
    return f"{type(error).__name__} at {', '.join(lines)}: {error}"


def told(steps: Sequence[Step]) -> str:
    """Return the example as the Python that makes it."""
    return "\n".join(f"    {step!r}," for step in steps)
