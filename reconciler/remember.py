"""What a round hands to the next: from what was seen, done and told in it to a new memory."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from reconciler.core.actions import EndIke, Outcome
from reconciler.core.backoff import Attempts, Key, after_round
from reconciler.core.failures import FailureRecord, Now, record
from reconciler.core.ladder import SILENT
from reconciler.core.observed import Observed, Unobserved
from reconciler.core.probing import OF_CONNECTION
from reconciler.core.reasons import HUB_REFUSED, Code, Failure
from reconciler.core.status import ConnectionStatus, Status
from reconciler.core.tally import count
from reconciler.core.traffic import was_answered
from reconciler.core.why import reason
from reconciler.look import Look, marks_of
from reconciler.memory import Memory
from reconciler.world import World

# charon tells its start by subtracting two clocks, so the second may differ between two looks.
_START_TIME_ERROR_S = 2


def refusals(failures: Iterable[Failure]) -> dict[str, float]:
    """Tell when a site last had no use for the key with which the hub answered."""
    return {
        failure.connection: failure.at_s
        for failure in failures
        if failure.connection and failure.code in HUB_REFUSED
    }


def after_look(
    world: World, memory: Memory, seen: Look, looked_s: float, *, unsaved: bool
) -> Memory:
    """Take over what was read and seen. `looked_s`: when charon was asked."""
    memory = replace(
        memory,
        decided=seen.decided,
        answers=seen.decided.answers,
        flows=seen.flows,
        sights=seen.sights,
        excused=seen.excused,
        unsaved=unsaved,
    )
    return counted(world, memory, seen.observed, seen.desired, looked_s)


def counted(
    world: World,
    memory: Memory,
    observed: Observed | Unobserved,
    names: Collection[str],
    looked_s: float,
) -> Memory:
    """Count on. What ended is taken after the look, so that nothing falls in between."""
    if isinstance(observed, Unobserved):
        return memory
    tallies = count(memory.tallies, observed, world.take_ended(), names, looked_s)
    return replace(memory, tallies=tallies)


def after_acting(
    world: World,
    memory: Memory,
    seen: Look,
    failures: Iterable[Failure],
    outcomes: Collection[Outcome],
    observed: Observed | Unobserved,
) -> Memory:
    """Carry attempts and failures on; whatever is no longer declared or needed is forgotten."""
    previous = memory.previous
    if _restarted(world, memory, observed):
        previous = _all_down(previous, world.clock.now())
    memory = replace(memory, attempts=_attempts(world, seen, outcomes), previous=previous)
    return replace(memory, record=_recorded(world, memory, seen, failures, outcomes))


def after_telling(
    world: World, memory: Memory, status: Status, observed: Observed | Unobserved
) -> Memory:
    """Remember what was told; a look that failed leaves the memory of the last good one."""
    rounds = memory.rounds + 1
    last_valid = status.configuration.last_valid
    tails = {name: one.transitions for name, one in status.connections.items()}
    memory = replace(memory, rounds=rounds, last_valid=last_valid, lost="", tails=tails)
    if isinstance(observed, Unobserved):
        return memory
    up = (name for name, one in status.connections.items() if one.status == "up")
    return replace(
        memory,
        previous=status.connections,
        looked_s=world.clock.monotonic_s(),
        record=memory.record.recovered(up),
    )


def _attempts(world: World, seen: Look, outcomes: Collection[Outcome]) -> dict[Key, Attempts]:
    clock = world.clock
    unreached = {(name, SILENT) for name in seen.desired if not _is_well(world, seen, name)}
    if isinstance(seen.observed, Unobserved) or not seen.decided.keyed:
        unreached = set(seen.attempts)  # nothing is planned, but nothing was seen reached either
    return after_round(
        seen.attempts,
        seen.planned,
        outcomes,
        marks_of(seen.desired),
        clock.monotonic_s(),
        clock.now(),
        world.jitter,
        unreached,
    )


def _is_well(world: World, seen: Look, name: str) -> bool:
    """Tell whether what looked silent is over: packets come back, and answers to its probe do.

    What another camera answers after each new beginning must not make the count begin anew.
    """
    probed = world.probe is not None and any(
        probe.key[1] == OF_CONNECTION for probe in seen.sights.probes.get(name, ())
    )
    tally = seen.probe_records.get((name, OF_CONNECTION))
    answers = not probed or (tally is not None and tally.failures_in_a_row == 0)
    return answers and was_answered(seen.flows.get(name))


def _recorded(
    world: World,
    memory: Memory,
    seen: Look,
    failures: Iterable[Failure],
    outcomes: Iterable[Outcome],
) -> FailureRecord:
    """Add what failed, whether charon told of it or refused it to us."""
    now = Now(world.clock.now(), world.clock.monotonic_s())
    made = memory.record.restrict(seen.desired)
    made = record(made, failures, seen.desired, memory.previous, now)
    for outcome in outcomes:
        action = outcome.action
        if action.name not in seen.desired:
            continue
        if outcome.error is not None:
            made = made.refused(action.name, outcome.error)
        elif isinstance(action, EndIke) and not action.carried:
            made = made.closed_by_hub(action.name, action.cause, now.unix)
    return made


def _restarted(world: World, memory: Memory, observed: Observed | Unobserved) -> bool:
    """Tell whether charon has run for less time than has passed since we last saw it.

    By durations, so that a clock that is set does not look like a restart.
    """
    if isinstance(observed, Unobserved) or memory.looked_s is None:
        return False
    runs_for_s = world.clock.now() - observed.daemon.started_at
    passed_s = world.clock.monotonic_s() - memory.looked_s
    return 0 <= runs_for_s < passed_s - _START_TIME_ERROR_S


def _all_down(previous: Mapping[str, ConnectionStatus], now: int) -> dict[str, ConnectionStatus]:
    """Take note that charon was restarted, with which every tunnel ended."""
    why = reason(Code.CHARON_RESTARTED)
    gone = {
        "status": "down",
        "last_disconnected": now,
        "since": now,
        "reason": why.text,
        "reason_code": why.code,
        "who_must_act": why.side,
    }
    return {
        name: status.model_copy(update=gone) if status.status == "up" else status
        for name, status in previous.items()
    }
