"""One round: read, observe, decide, act, report. Level-triggered; the reasons are only logged."""

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from reconciler.act import act
from reconciler.core.actions import Action, Outcome, Remove, StartChild
from reconciler.core.backoff import after_attempt, hold_back
from reconciler.core.check import Decision, Fault, HubFacts, decide, unreadable
from reconciler.core.diff import diff
from reconciler.core.observed import Observed, Unobserved
from reconciler.core.render import Hub, render
from reconciler.core.status import (
    ConnectionStatus,
    Status,
)
from reconciler.core.swanctl import swanctl_text
from reconciler.errors import IkeUnreachable, ManifestError, StateError, StatusError
from reconciler.report import Look, Memory, make_status
from reconciler.world import World

log = logging.getLogger(__name__)
# So many actions at most, then the status is written and the next round follows at once.
ACTIONS_A_ROUND = 500
# These events tell of SAs only; after anything else the connections are looked at as well.
_SHALLOW = frozenset(
    {"ike-updown", "child-updown", "ike-rekey", "child-rekey", "ike-update", "failure logged"}
)


@dataclass(frozen=True, slots=True)
class Report:
    """A finished round. `more`: actions are left over, so the next round follows at once."""

    status: Status
    status_written: bool
    observed: Observed | Unobserved
    outcomes: tuple[Outcome, ...]
    more: bool
    took_s: float


def look(world: World, memory: Memory, *, deep: bool, allow_removals: bool = False) -> Look:
    """Read the declaration and charon, and plan. Changes nothing."""
    errors: list[str] = []
    accepted, accepted_known = _accepted(world, errors)
    observed = _observe(world, deep=deep)
    decision = _decide(world, observed, accepted, allow_removals=allow_removals)
    decision = replace(decision, faults=(*decision.faults, *world.mount_faults()))
    hub = Hub(world.settings.hub_id, world.state.mark_key(), world.settings.dpd_delay_seconds)
    desired = render(decision.sites.values(), hub)
    planned: list[Action] = []
    if isinstance(observed, Observed):
        failed = {name: attempts.count for name, attempts in memory.attempts.items()}
        planned = diff(desired, observed, failed)
        complete = decision.readable and (accepted_known or not decision.invalid)
        if not complete:
            # An airport that can't be read may be the one behind an undeclared connection.
            planned = [action for action in planned if not isinstance(action, Remove)]
    return Look(decision, desired, observed, tuple(planned), accepted, tuple(errors))


def run_round(
    world: World, memory: Memory, reasons: Iterable[str], *, allow_removals: bool = False
) -> tuple[Memory, Report]:
    """Make one round. Never raises for what the outside does; bugs propagate."""
    began_s = time.monotonic()
    reasons = tuple(sorted(reasons))
    seen = look(world, memory, deep=not set(reasons) <= _SHALLOW, allow_removals=allow_removals)
    errors = [*seen.errors, *_remember(world, seen)]
    due = hold_back(seen.planned, memory.attempts, world.clock.monotonic_s())
    outcomes = _carry_out(world, due[:ACTIONS_A_ROUND])
    observed = _observe(world, deep=False) if outcomes else seen.observed
    memory = _after(world, memory, seen, outcomes, observed)
    status = make_status(world, memory, seen, observed, reasons, outcomes, errors)
    status, written = _write_status(world, status)
    memory = _told(memory, status, observed)
    took_s = time.monotonic() - began_s
    _log_round(memory, reasons, outcomes, took_s)
    more = len(due) > len(outcomes)
    return memory, Report(status, written, observed, tuple(outcomes), more, took_s)


def _accepted(world: World, errors: list[str]) -> tuple[dict[str, object], bool]:
    """Read the last good declarations, and whether they could be known at all."""
    try:
        accepted = world.state.read_accepted()
    except StateError as error:
        errors.append(str(error))
        return {}, False
    return accepted, bool(accepted)


def _observe(world: World, *, deep: bool) -> Observed | Unobserved:
    try:
        return world.ike.observe(deep=deep)
    except IkeUnreachable as error:
        return Unobserved(str(error))


def _decide(
    world: World,
    observed: Observed | Unobserved,
    accepted: Mapping[str, object],
    *,
    allow_removals: bool,
) -> Decision:
    algorithms = observed.algorithms if isinstance(observed, Observed) else None
    hub = HubFacts(world.settings.hub_id, world.read_hub_networks(), algorithms)
    try:
        document = world.read_document()
    except ManifestError as error:
        return unreadable(Fault(world.settings.config_path.name, str(error)), accepted, hub)
    return decide(document, accepted, hub, allow_removals=allow_removals)


def _remember(world: World, seen: Look) -> list[str]:
    """Write what must survive us, before acting: charon's own start then finds the new state."""
    errors = []
    try:
        if seen.decision.readable and seen.decision.accepted != seen.accepted_before:
            world.state.write_accepted(seen.decision.accepted)
        if seen.decision.readable or seen.decision.sites:
            world.state.write_swanctl(swanctl_text(seen.desired.values()))
    except StateError as error:
        errors.append(str(error))
        log.exception("state not written")
    return errors


def _carry_out(world: World, actions: Iterable[Action]) -> list[Outcome]:
    outcomes = []
    for action in actions:
        if world.stopping():
            break
        outcome = act(action, world.ike)
        outcomes.append(outcome)
        _log_action(outcome)
    return outcomes


def _after(
    world: World,
    memory: Memory,
    seen: Look,
    outcomes: Iterable[Outcome],
    observed: Observed | Unobserved,
) -> Memory:
    """Carry attempts and failures on; whatever is no longer declared or needed is forgotten."""
    wanted = {action.name for action in seen.planned if isinstance(action, StartChild)}
    attempts = {name: kept for name, kept in memory.attempts.items() if name in wanted}
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
    if isinstance(observed, Observed) and memory.daemon_since not in ("", observed.daemon.since):
        previous = _all_down(previous, world.clock.now())
    return replace(memory, attempts=attempts, failures=failures, previous=previous)


def _all_down(previous: Mapping[str, ConnectionStatus], now: int) -> dict[str, ConnectionStatus]:
    """Take note that charon was restarted, with which every tunnel ended."""
    gone = {"status": "down", "last_disconnected": now, "since": now}
    return {
        name: status.model_copy(update=gone) if status.status == "up" else status
        for name, status in previous.items()
    }


def _told(memory: Memory, status: Status, observed: Observed | Unobserved) -> Memory:
    """Remember what was seen; a look that failed leaves the memory of the last good one."""
    rounds = memory.rounds + 1
    last_valid = status.configuration.last_valid
    memory = replace(memory, rounds=rounds, last_valid=last_valid)
    if isinstance(observed, Unobserved):
        return memory
    seen = status.connections
    failures = {n: words for n, words in memory.failures.items() if seen[n].status != "up"}
    since = observed.daemon.since
    return replace(memory, previous=seen, daemon_since=since, failures=failures)


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
