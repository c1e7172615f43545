"""Play one fault once, and tell what it did."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from subprocess import SubprocessError

from faults.fault import Fault, Play, Run, ping_every_s
from faults.notice import Notice, Watch, first_log_line
from faults.pings import Pings
from faults.stage import Stage
from reconciler.errors import ReconcilerError
from tests.e2e.stack import ARTIFACTS, keep_evidence

Lost = dict[str, list[float]]
# Before the fault everything must have been well for that long, after it the pings go on for that.
_CALM_S = 1.0
_AFTER_S = 1.0
_WELL_WITHIN_S = 60.0


def play_once(stage: Stage, fault: Fault, number: int) -> Run:
    """Return what was measured; a failure is part of that, and its evidence is kept."""
    cameras = dict(stage.cameras)
    stage.forget_earlier_faults()
    with _observed(stage) as (pings, watch):
        play = Play(stage, pings, fault.deadline_s)
        try:
            _wait_until_well(stage, pings)
            failure = _failure_of(fault, play)
            pings.stop()
            lost = {
                airport: pings.of(camera).lost(play.began_s) for airport, camera in cameras.items()
            }
            failure = failure or _innocent_losses(fault, lost)
            if failure:
                _keep(stage, f"fault-{fault.name}-{number}", failure, watch, lost)
            noticed = _noticed(stage, watch, play.began)
        finally:
            play.undo.close()
    counts = {airport: len(times) for airport, times in lost.items()}
    return Run(tuple(play.healed_s), counts, noticed, failure, tuple(play.points))


@contextmanager
def _observed(stage: Stage) -> Iterator[tuple[Pings, Watch]]:
    pings, watch = Pings(), Watch(stage.status_file)
    for airport, camera in stage.cameras.items():
        pings.add(camera, ping_every_s(airport))
    pings.start()
    watch.start()
    try:
        yield pings, watch
    finally:
        watch.stop()
        pings.stop()


def _wait_until_well(stage: Stage, pings: Pings) -> None:
    Play(stage, pings, _WELL_WITHIN_S).heal()
    time.sleep(_CALM_S)


def _failure_of(fault: Fault, play: Play) -> str:
    """Play it and wait until it is healed; return what went wrong, if anything did."""
    play.begins()
    try:
        fault.play(play)
        if not play.healed_s:
            play.heal()
    except (AssertionError, ReconcilerError, OSError, SubprocessError) as error:
        return str(error) or type(error).__name__
    time.sleep(_AFTER_S)
    return ""


def _innocent_losses(fault: Fault, lost: Lost) -> str:
    hurt = [f"{a} {len(times)}" for a, times in lost.items() if times and a not in fault.hits]
    return f"pings were lost that the fault must not cost: {', '.join(hurt)}" if hurt else ""


def _noticed(stage: Stage, watch: Watch, began: float) -> Notice | None:
    signs = [watch.first_sign(began), first_log_line(stage.reconciler, began)]
    return min((sign for sign in signs if sign), key=lambda sign: sign.after_s, default=None)


def _keep(stage: Stage, name: str, failure: str, watch: Watch, lost: Lost) -> None:
    """Keep what was seen, for whoever looks into it."""
    keep_evidence(stage, name)
    folder = ARTIFACTS / name
    (folder / "failure.txt").write_text(failure + "\n")
    behind_s = time.time() - time.monotonic()
    moments = {
        airport: [f"{datetime.fromtimestamp(at_s + behind_s, UTC):%H:%M:%S.%f}" for at_s in times]
        for airport, times in lost.items()
    }
    (folder / "lost-pings.json").write_text(json.dumps(moments, indent=1) + "\n")
    lines = (json.dumps({"seen": at, **document}) for at, document in watch.versions())
    (folder / "status-versions.jsonl").write_text("\n".join(lines) + "\n")
