"""One round: read, observe, decide, act, report. Level-triggered; the reasons are only logged."""

import logging
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from reconciler.act import act
from reconciler.core.actions import Action, EndIke, Load, Outcome
from reconciler.core.backoff import after_round, hold_back
from reconciler.core.diff import look_again_s
from reconciler.core.failures import FailureRecord, Now, record
from reconciler.core.ladder import SILENT
from reconciler.core.mask import Mask
from reconciler.core.observed import Observed, Unobserved
from reconciler.core.probing import OF_CONNECTION
from reconciler.core.reasons import HUB_REFUSED, Code, Failure
from reconciler.core.sights import probes_of
from reconciler.core.status import (
    ConnectionStatus,
    Status,
)
from reconciler.core.summary import just_came_up
from reconciler.core.swanctl import swanctl_text
from reconciler.core.tally import Tally, count
from reconciler.core.traffic import was_answered
from reconciler.core.transitions import Tail, grown, transitions
from reconciler.core.why import reason
from reconciler.errors import StateError, StatusError
from reconciler.filtering import keep_filter
from reconciler.healing import heal_container
from reconciler.look import Look, look, marks_of, observe
from reconciler.memory import Memory
from reconciler.report import make_status
from reconciler.round_log import RoundLog
from reconciler.world import World

log = logging.getLogger(__name__)
# Seconds of acting, after which the status is written and the next round follows at once.
ACT_FOR_S = 5.0
# charon tells its start by subtracting two clocks, so the second may differ between two looks.
_START_TIME_ERROR_S = 2
_JUST_CAME_UP_S = 0.5
# These events tell of SAs only; after anything else the connections are looked at as well.
SHALLOW_REASONS = frozenset(
    {"ike-updown", "child-updown", "ike-rekey", "child-rekey", "ike-update", "failure logged"}
    | {"probe changed", "names changed"}
)


@dataclass(frozen=True, slots=True)
class Report:
    """A finished round.

    Attributes:
        more: actions are left over, so the next round follows at once.
        look_again_s: an SA has just come up or waits for its end, so the next round follows soon.

    """

    status: Status
    status_written: bool
    observed: Observed | Unobserved
    outcomes: tuple[Outcome, ...]
    more: bool
    look_again_s: float | None
    took_s: float
    tallies: Mapping[str, Tally] = field(default_factory=dict)


def run_round(
    world: World, memory: Memory, reasons: Iterable[str], *, allow_removals: bool = False
) -> tuple[Memory, Report]:
    """Make one round, alone. Never raises for what the outside does; bugs propagate.

    But for StateError, where another process does not let us be alone.
    """
    with world.state.alone():
        return _run_round(world, memory, reasons, allow_removals=allow_removals)


def _run_round(
    world: World, memory: Memory, reasons: Iterable[str], *, allow_removals: bool
) -> tuple[Memory, Report]:
    began_s, asked_s = time.monotonic(), world.clock.monotonic_s()
    reasons = tuple(sorted(reasons))
    failures = world.take_failures()
    memory = replace(memory, refused_s=_refusals(failures))
    seen = look(
        world, memory, deep=not set(reasons) <= SHALLOW_REASONS, allow_removals=allow_removals
    )
    unwritten = _remember(world, memory, seen)
    errors = [
        *filter(None, [memory.lost, world.why_deaf(), world.why_not_probed()]),
        *seen.errors,
        *unwritten,
        *(world.journal.errors() if world.journal else []),
    ]
    memory = replace(
        memory,
        decided=seen.decided,
        answers=seen.decided.answers,
        flows=seen.flows,
        sights=seen.sights,
        excused=seen.excused,
        unsaved=bool(unwritten),
    )
    counted_before = memory.tallies.of
    memory = _counted(world, memory, seen.observed, seen.desired, asked_s)
    due = hold_back(seen.planned, seen.attempts, world.clock.monotonic_s())
    mask = seen.decided.mask
    failures = tuple(_masked_failure(mask, failure) for failure in failures)
    errors = [*map(mask.text, errors)]
    said = RoundLog(memory.rounds + 1, seen.desired, memory.previous)
    said.failures(failures)
    outcomes, more = _carry_out(world, mask, said, due)
    observed = seen.observed
    if outcomes:
        asked_s, observed = world.clock.monotonic_s(), observe(world, deep=False)
        memory = _counted(world, memory, observed, seen.desired, asked_s)
    memory = _after(world, memory, seen, outcomes, observed)
    memory = replace(memory, record=_recorded(world, memory, seen, failures, outcomes))
    healed = heal_container(world, memory.healing, observed, asked_s)
    memory = replace(memory, healing=healed.healing)
    filtered = keep_filter(world, memory.filtering, seen)
    memory = replace(memory, filtering=filtered.filtering)
    done = (*outcomes, *healed.outcomes, *filtered.outcomes)
    status = make_status(
        *(world, memory, seen, observed, reasons, done, errors, healed.container), counted_before
    ).model_copy(update={"packet_filter": filtered.status})
    _probe(world, seen, status, observed)
    status, new = _with_transitions(world, memory, status)
    status, written = _write_status(world, status)
    _write_history(world, status, new)
    news = said.transitions(new, memory.tails)
    memory = _told(world, memory, status, observed)
    took_s = time.monotonic() - began_s
    said.round(status, done, len(failures), took_s, news=news)
    again_s = None
    if isinstance(observed, Observed):
        paused = seen.orders.paused(world.clock.now())
        again_s = look_again_s(seen.desired, observed, paused)
    if any(map(just_came_up, status.connections.values())):
        again_s = _JUST_CAME_UP_S
    tallies = memory.tallies.of
    return memory, Report(status, written, observed, done, more, again_s, took_s, tallies)


def _counted(
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


def _probe(world: World, seen: Look, status: Status, observed: Observed | Unobserved) -> None:
    """Have probed what is behind tunnels that are up, and nothing else."""
    if world.probe is not None and isinstance(observed, Observed):
        up = [name for name, one in status.connections.items() if one.status == "up"]
        world.probe(probes_of(seen.sights, up))


def _remember(world: World, memory: Memory, seen: Look) -> list[str]:
    """Write what must survive us, before acting: charon's own start then finds the new state.

    Nothing is written that rests on doubt: not without knowing what was accepted before while an
    airport can't be read, and nothing is accepted whose algorithms charon was never asked about.
    """
    decided = seen.decided
    saved = seen.shallow and decided is memory.decided and not memory.unsaved
    if saved or not seen.sure:
        return []
    try:
        world.state.write_swanctl(swanctl_text(decided.desired.values()))
        asked = decided.hub.algorithms is not None
        if asked and decided.decision.readable:
            world.state.write_accepted(decided.decision.accepted)
        # Last, so that orders that can't be read keep nothing else from being remembered.
        if seen.orders.connections.keys() - decided.desired.keys():
            world.state.change_orders(lambda orders: orders.restrict(decided.desired))
    except StateError as error:
        log.exception("state not written")
        return [str(error)]
    return []


def _carry_out(
    world: World, mask: Mask, said: RoundLog, actions: Iterable[Action]
) -> tuple[list[Outcome], bool]:
    """Return what became of the actions, and whether some are left over for the next round."""
    outcomes: list[Outcome] = []
    not_loaded: set[str] = set()
    until_s = world.clock.monotonic_s() + ACT_FOR_S
    for action in actions:
        if world.stopping() or world.clock.monotonic_s() >= until_s:
            return outcomes, True
        if action.name in not_loaded:
            continue  # what runs under the old declaration is all that this site has
        outcome = act(action, world.ike)
        if outcome.error is not None:
            outcome = replace(outcome, error=mask.text(outcome.error))
        outcomes.append(outcome)
        said.action(outcome)
        if isinstance(action, Load) and outcome.error is not None:
            not_loaded.add(action.name)
    return outcomes, False


def _masked_failure(mask: Mask, failure: Failure) -> Failure:
    """Cover keys: a router may call itself by one, and charon repeats what it was told."""
    return replace(
        failure,
        words=mask.text(failure.words),
        claimed_id=mask.text(failure.claimed_id),
        asked_id=mask.text(failure.asked_id),
    )


def _after(
    world: World,
    memory: Memory,
    seen: Look,
    outcomes: list[Outcome],
    observed: Observed | Unobserved,
) -> Memory:
    """Carry attempts on; whatever is no longer declared or needed is forgotten."""
    clock = world.clock
    unreached = {(name, SILENT) for name in seen.desired if not _is_well(world, seen, name)}
    if isinstance(seen.observed, Unobserved) or not seen.decided.keyed:
        unreached = set(seen.attempts)  # nothing is planned, but nothing was seen reached either
    attempts = after_round(
        seen.attempts,
        seen.planned,
        outcomes,
        marks_of(seen.desired),
        clock.monotonic_s(),
        clock.now(),
        world.jitter,
        unreached,
    )
    previous = memory.previous
    if _restarted(world, memory, observed):
        previous = _all_down(previous, world.clock.now())
    return replace(memory, attempts=attempts, previous=previous)


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


def _refusals(failures: Iterable[Failure]) -> dict[str, float]:
    """Tell when a site last had no use for the key with which the hub answered."""
    return {
        failure.connection: failure.at_s
        for failure in failures
        if failure.connection and failure.code in HUB_REFUSED
    }


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


def _told(world: World, memory: Memory, status: Status, observed: Observed | Unobserved) -> Memory:
    """Remember what was seen; a look that failed leaves the memory of the last good one."""
    rounds = memory.rounds + 1
    last_valid = status.configuration.last_valid
    tails = {name: one.transitions for name, one in status.connections.items()}
    memory = replace(memory, rounds=rounds, last_valid=last_valid, lost="", tails=tails)
    if isinstance(observed, Unobserved):
        return memory
    seen = status.connections
    made = memory.record.recovered(name for name, one in seen.items() if one.status == "up")
    looked_s = world.clock.monotonic_s()
    return replace(memory, previous=seen, looked_s=looked_s, record=made)


def _with_transitions(
    world: World, memory: Memory, status: Status
) -> tuple[Status, dict[str, Tail]]:
    """Add to the status what is new in it, and return that by connection."""
    seen = status.connections
    new = transitions(seen, memory.previous, memory.tails, world.clock.now())
    tails = grown(memory.tails, new, seen)
    changed = {
        name: one.model_copy(update={"transitions": tails[name]})
        for name, one in seen.items()
        if one.transitions != tails[name]
    }
    return status.model_copy(update={"connections": {**seen, **changed}}), new


def _write_history(world: World, status: Status, new: Mapping[str, Tail]) -> None:
    """Hand over what is new, once the status has it: what is lost by a kill is then made good."""
    if world.journal is None or not (new or world.journal.waits):
        return
    seen = status.connections
    tails = {name: one.transitions for name, one in seen.items()}
    world.journal.add(new, tails, {name: one.airport_id for name, one in seen.items()})


def _write_status(world: World, status: Status) -> tuple[Status, bool]:
    try:
        world.write_status(status)
    except StatusError as error:
        log.exception("status not written")
        errors = (*status.reconciler.errors, str(error))
        loop = status.reconciler.model_copy(update={"errors": errors})
        return status.model_copy(update={"reconciler": loop}), False
    return status, True
