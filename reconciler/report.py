"""What is said about a round: from values and a clock to the status document."""

from collections.abc import Iterable

from reconciler import __version__
from reconciler.core.actions import Outcome
from reconciler.core.check import Decision
from reconciler.core.observed import Observed, Unobserved
from reconciler.core.status import (
    ConfigurationStatus,
    ContainerStatus,
    DaemonStatus,
    FaultStatus,
    Hints,
    LoopStatus,
    Status,
    summarise_connections,
)
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
) -> Status:
    """Put the whole document together."""
    now = world.clock.now()
    return Status(
        timestamp=now,
        connections=summarise_connections(
            seen.desired, seen.decision, observed, memory.previous, _hints(world, memory, now), now
        ),
        daemon=_daemon_status(observed),
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


def _hints(world: World, memory: Memory, now: int) -> dict[str, Hints]:
    elapsed_s = world.clock.monotonic_s()
    names = memory.failures.keys() | memory.attempts.keys()
    hints = {}
    for name in names:
        attempts = memory.attempts.get(name)
        due = now + max(0, round(attempts.next_s - elapsed_s)) if attempts else 0
        hints[name] = Hints(memory.failures.get(name, ""), due)
    return hints


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
