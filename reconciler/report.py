"""What is said about a round: from values and a clock to the status document."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from reconciler import __version__
from reconciler.core.actions import Outcome, goal_of
from reconciler.core.backoff import Attempts
from reconciler.core.check import Decision
from reconciler.core.observed import Observed, Unobserved
from reconciler.core.orders import Order
from reconciler.core.render import Connection
from reconciler.core.status import (
    AttemptStatus,
    ConfigurationStatus,
    ContainerStatus,
    DaemonStatus,
    FaultStatus,
    Hints,
    LoopStatus,
    Status,
    summarise_connections,
)
from reconciler.core.tally import Tally
from reconciler.core.traffic import health
from reconciler.look import Look, Memory
from reconciler.world import World


def make_status(
    world: World,
    memory: Memory,
    seen: Look,
    observed: Observed | Unobserved,
    reasons: tuple[str, ...],
    outcomes: Iterable[Outcome],
    errors: Iterable[str],
    container: ContainerStatus | None,
    counted_before: Mapping[str, Tally],
) -> Status:
    """Put the whole document together. `counted_before`: the tallies of the last one."""
    now = world.clock.now()
    return Status(
        timestamp=now,
        connections=summarise_connections(
            seen.desired,
            seen.decision,
            observed,
            memory.previous,
            _hints(world, memory, seen, now, counted_before),
            now,
        ),
        daemon=_daemon_status(observed),
        strangers=memory.record.strangers,
        container=container,
        configuration=_configuration_status(world, seen.decision, memory, now),
        reconciler=LoopStatus(
            version=__version__,
            round=memory.rounds + 1,
            reasons=reasons,
            actions=tuple(describe(outcome) for outcome in outcomes),
            errors=tuple(errors),
        ),
    )


def _hints(
    world: World, memory: Memory, seen: Look, now: int, counted_before: Mapping[str, Tally]
) -> dict[str, Hints]:
    attempts: dict[str, list[AttemptStatus]] = {}
    for (name, goal), made in memory.attempts.items():
        attempts.setdefault(name, []).append(_attempt_status(goal, made, world, now))
    wanted: dict[str, set[str]] = {}
    for action in seen.planned:
        wanted.setdefault(action.name, set()).add(goal_of(action))
    now_s = world.clock.monotonic_s()
    return {
        name: replace(
            _hint(
                connection,
                attempts.get(name, []),
                wanted.get(name, set()),
                seen.orders.of(name),
                now,
            ),
            history=memory.record.of(name),
            health=health(seen.flows.get(name), now_s),
            tally=memory.tallies.of.get(name, Tally()),
            tally_before=counted_before.get(name),
        )
        for name, connection in seen.desired.items()
    }


def _hint(
    connection: Connection,
    attempts: list[AttemptStatus],
    wanted: set[str],
    order: Order,
    now: int,
) -> Hints:
    return Hints(
        next_attempt=min((a.next_attempt for a in attempts if a.goal in wanted), default=0),
        attempts=tuple(attempts),
        paused=order.is_paused(now),
        paused_until=order.paused_until if order.is_paused(now) else 0,
        rekey_after=max(order.rekey_after, connection.rekey_after),
        answered_mark=connection.mark.ike if connection.next_mark else "",
    )


def _attempt_status(goal: str, made: Attempts, world: World, now: int) -> AttemptStatus:
    wait_s = max(0, round(made.next_s - world.clock.monotonic_s()))
    return AttemptStatus(
        goal=goal,
        count=made.count,
        last_attempt=made.made_at,
        next_attempt=now + wait_s,
        made_for=made.made_for,
    )


def _daemon_status(observed: Observed | Unobserved) -> DaemonStatus:
    if isinstance(observed, Unobserved):
        return DaemonStatus(reachable=False, error=observed.reason)
    daemon = observed.daemon
    return DaemonStatus(
        reachable=True,
        version=daemon.version,
        running_since=daemon.started_at,
        data_plane=daemon.data_plane,
        workers_idle=daemon.workers_idle,
        workers_total=daemon.workers_total,
        queued_jobs=daemon.queued_jobs,
        ike_sas=daemon.ike_sas,
        half_open_ike_sas=daemon.half_open_ike_sas,
        scheduled_jobs=daemon.scheduled_jobs,
        workers_active=dict(daemon.workers_active),
        queues=dict(daemon.queues),
    )


def _configuration_status(
    world: World, decision: Decision, memory: Memory, now: int
) -> ConfigurationStatus:
    valid = decision.readable and not decision.errors
    return ConfigurationStatus(
        path=str(world.settings.config_path),
        valid=valid,
        last_read=now,
        last_valid=now if valid else memory.last_valid,
        airports_declared=len(decision.sites),
        airports_invalid=tuple(sorted(decision.invalid)),
        airports_disabled=decision.disabled,
        removals_held=decision.held,
        faults=tuple(
            FaultStatus(
                path=fault.path,
                message=fault.message,
                severity=fault.severity.value,
                airport_id=fault.airport_id,
            )
            for fault in decision.faults
        ),
    )


def describe(outcome: Outcome) -> str:
    """One line for people: what was done to which connection, why, and how it went."""
    action = outcome.action
    line = f"{type(action).__name__} {action.name}: {action.cause}"
    return line if outcome.error is None else f"{line} (failed: {outcome.error})"
