"""One round: read, observe, decide, act, report. Level-triggered; the reasons are only logged."""

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from reconciler.act import act
from reconciler.core.actions import Action, Load, Outcome, StartChild
from reconciler.core.backoff import after_attempt, hold_back
from reconciler.core.diff import settling
from reconciler.core.observed import Observed, Unobserved
from reconciler.core.status import (
    ConnectionStatus,
    Status,
)
from reconciler.core.swanctl import swanctl_text
from reconciler.errors import StateError, StatusError
from reconciler.look import Look, Memory, look, observe
from reconciler.report import make_status
from reconciler.world import World

log = logging.getLogger(__name__)
# Seconds of acting, after which the status is written and the next round follows at once.
ACT_FOR_S = 5.0
# charon tells its start by subtracting two clocks, so the second may differ between two looks.
_START_TIME_ERROR_S = 2
# These events tell of SAs only; after anything else the connections are looked at as well.
SHALLOW_REASONS = frozenset(
    {"ike-updown", "child-updown", "ike-rekey", "child-rekey", "ike-update", "failure logged"}
)


@dataclass(frozen=True, slots=True)
class Report:
    """A finished round.

    Attributes:
        more: actions are left over, so the next round follows at once.
        settling: an old CHILD_SA waits for its end, so the next round follows soon.

    """

    status: Status
    status_written: bool
    observed: Observed | Unobserved
    outcomes: tuple[Outcome, ...]
    more: bool
    settling: bool
    took_s: float


def run_round(
    world: World, memory: Memory, reasons: Iterable[str], *, allow_removals: bool = False
) -> tuple[Memory, Report]:
    """Make one round. Never raises for what the outside does; bugs propagate."""
    began_s = time.monotonic()
    reasons = tuple(sorted(reasons))
    seen = look(
        world, memory, deep=not set(reasons) <= SHALLOW_REASONS, allow_removals=allow_removals
    )
    unwritten = _remember(world, memory, seen)
    errors = [*seen.errors, *unwritten]
    memory = replace(memory, decided=seen.decided)
    due = hold_back(seen.planned, memory.attempts, world.clock.monotonic_s())
    outcomes, more = _carry_out(world, due)
    observed = observe(world, deep=False) if outcomes else seen.observed
    memory = _after(world, memory, seen, outcomes, observed)
    status = make_status(world, memory, seen, observed, reasons, outcomes, errors)
    status, written = _write_status(world, status)
    memory = _told(world, memory, status, observed)
    took_s = time.monotonic() - began_s
    _log_round(memory, reasons, outcomes, took_s)
    soon = isinstance(observed, Observed) and settling(seen.desired, observed)
    return memory, Report(status, written, observed, tuple(outcomes), more, soon, took_s)


def _remember(world: World, memory: Memory, seen: Look) -> list[str]:
    """Write what must survive us, before acting: charon's own start then finds the new state.

    Nothing is written that rests on doubt: not without knowing what was accepted before while an
    airport can't be read, and nothing is accepted whose algorithms charon was never asked about.
    """
    decided = seen.decided
    if not seen.sure or (seen.shallow and decided is memory.decided):
        return []
    try:
        world.state.write_swanctl(swanctl_text(decided.desired.values()))
        asked = decided.hub.algorithms is not None
        if asked and decided.decision.readable:
            world.state.write_accepted(decided.decision.accepted)
    except StateError as error:
        log.exception("state not written")
        return [str(error)]
    return []


def _carry_out(world: World, actions: Iterable[Action]) -> tuple[list[Outcome], bool]:
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
        outcomes.append(outcome)
        _log_action(outcome)
        if isinstance(action, Load) and outcome.error is not None:
            not_loaded.add(action.name)
    return outcomes, False


def _after(
    world: World,
    memory: Memory,
    seen: Look,
    outcomes: Iterable[Outcome],
    observed: Observed | Unobserved,
) -> Memory:
    """Carry attempts and failures on; whatever is no longer declared or needed is forgotten."""
    wanted = {action.name for action in seen.planned if isinstance(action, StartChild)}
    carried = _carried(observed) - wanted
    attempts = {
        name: kept
        for name, kept in memory.attempts.items()
        if name in seen.desired and name not in carried
    }
    for outcome in outcomes:
        if isinstance(outcome.action, StartChild):
            attempts[outcome.action.name] = after_attempt(
                outcome.action,
                attempts.get(outcome.action.name),
                world.clock.monotonic_s(),
                world.jitter(),
            )
    failures = {**memory.failures, **world.take_failures()}
    for outcome in outcomes:
        if outcome.error is not None:
            failures[outcome.action.name] = outcome.error
    failures = {name: words for name, words in failures.items() if name in seen.desired}
    previous = memory.previous
    if _restarted(world, memory, observed):
        previous = _all_down(previous, world.clock.now())
    return replace(memory, attempts=attempts, failures=failures, previous=previous)


def _carried(observed: Observed | Unobserved) -> set[str]:
    """Name the connections through which packets pass: their attempts have succeeded."""
    if isinstance(observed, Unobserved):
        return set()
    return {sa.name for sa in observed.sas if sa.carrying_children}


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
    gone = {"status": "down", "last_disconnected": now, "since": now}
    return {
        name: status.model_copy(update=gone) if status.status == "up" else status
        for name, status in previous.items()
    }


def _told(world: World, memory: Memory, status: Status, observed: Observed | Unobserved) -> Memory:
    """Remember what was seen; a look that failed leaves the memory of the last good one."""
    rounds = memory.rounds + 1
    last_valid = status.configuration.last_valid
    memory = replace(memory, rounds=rounds, last_valid=last_valid)
    if isinstance(observed, Unobserved):
        return memory
    seen = status.connections
    failures = {n: words for n, words in memory.failures.items() if seen[n].status != "up"}
    looked_s = world.clock.monotonic_s()
    return replace(memory, previous=seen, looked_s=looked_s, failures=failures)


def _write_status(world: World, status: Status) -> tuple[Status, bool]:
    try:
        world.write_status(status)
    except StatusError as error:
        log.exception("status not written")
        errors = (*status.reconciler.errors, str(error))
        loop = status.reconciler.model_copy(update={"errors": errors})
        return status.model_copy(update={"reconciler": loop}), False
    return status, True


def _log_action(outcome: Outcome) -> None:
    action = outcome.action
    fields = {
        "action": type(action).__name__,
        "connection": action.name,
        "cause": action.cause,
        "outcome": outcome.error or "accepted",
    }
    level = logging.INFO if outcome.error is None else logging.WARNING
    log.log(level, "action", extra={"fields": fields})


def _log_round(
    memory: Memory, reasons: tuple[str, ...], outcomes: list[Outcome], took_s: float
) -> None:
    fields = {
        "round": memory.rounds,
        "reasons": ", ".join(reasons),
        "actions": len(outcomes),
        "failed": sum(outcome.error is not None for outcome in outcomes),
        "took_s": round(took_s, 3),
    }
    log.log(logging.INFO if outcomes else logging.DEBUG, "round", extra={"fields": fields})
