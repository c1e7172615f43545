"""What is said about a round: from values and a clock to the status document."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from reconciler import __version__
from reconciler.core.about import Camera
from reconciler.core.actions import Outcome, goal_of
from reconciler.core.backoff import Attempts
from reconciler.core.camera_url import CameraUrl
from reconciler.core.check import Decision
from reconciler.core.mask import Mask
from reconciler.core.observed import Observed, Unobserved
from reconciler.core.orders import Order
from reconciler.core.probing import OF_CONNECTION, ProbeRecord, why_unprobed
from reconciler.core.render import Connection
from reconciler.core.routing import Route, Verdict
from reconciler.core.status import (
    AttemptStatus,
    CameraStatus,
    ConfigurationStatus,
    ConnectionStatus,
    ContainerStatus,
    DaemonStatus,
    FaultStatus,
    FilterStatus,
    LoopStatus,
    ProbeStatus,
    Status,
)
from reconciler.core.summary import Hints, summarise_connections
from reconciler.core.tally import Tally
from reconciler.core.traffic import Health, health
from reconciler.look import Look
from reconciler.memory import Memory
from reconciler.world import World


@dataclass(frozen=True, slots=True)
class Done:
    """What was done in a round.

    Attributes:
        observed: charon, as it was seen last.
        more: actions are left over.
        container, packet_filter: None: there is none to see to.

    """

    observed: Observed | Unobserved
    outcomes: tuple[Outcome, ...] = ()
    more: bool = False
    container: ContainerStatus | None = None
    packet_filter: FilterStatus | None = None


def make_status(
    world: World,
    memory: Memory,
    seen: Look,
    done: Done,
    reasons: tuple[str, ...],
    errors: Iterable[str],
    counted_before: Mapping[str, Tally],
) -> Status:
    """Put the whole document together. `counted_before`: the tallies of the last one."""
    now = world.clock.now()
    return Status(
        timestamp=now,
        connections=summarise_connections(
            seen.desired,
            seen.decision,
            done.observed,
            memory.previous,
            _hints(world, memory, seen, now, counted_before),
            now,
        ),
        daemon=_daemon_status(done.observed, seen.decided.mask),
        container=done.container,
        packet_filter=done.packet_filter,
        strangers=memory.record.strangers,
        configuration=_configuration_status(world, seen.decision, memory, now),
        reconciler=LoopStatus(
            version=__version__,
            round=memory.rounds + 1,
            reasons=reasons,
            actions=tuple(map(describe, done.outcomes)),
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
            failures=memory.record.of(name),
            health=_health(world, seen, memory.previous.get(name), name, now_s),
            probe=_probe_status(seen.probe_records.get((name, OF_CONNECTION)))
            or _probed_elsewhere(world, memory.previous.get(name)),
            carries=name in seen.excused,
            cameras=_cameras(world, seen, memory.previous.get(name), connection, now_s),
            tally=memory.tallies.of.get(name, Tally()),
            tally_before=counted_before.get(name),
            transitions=memory.tails.get(name, ()),
        )
        for name, connection in seen.desired.items()
    }


def _health(
    world: World, seen: Look, before: ConnectionStatus | None, name: str, now_s: float
) -> Health:
    """Go by the probe where one runs, also if it says nothing; else by the packets that pass."""
    if before is not None and _probed_elsewhere(world, before) is not None:
        return before.health_check
    probes = seen.sights.probes.get(name, ())
    if world.probe is not None and any(probe.key[1] == OF_CONNECTION for probe in probes):
        record = seen.probe_records.get((name, OF_CONNECTION))
        return record.health(now_s) if record is not None else "unknown"
    return health(seen.flows.get(name), now_s)


def _probed_elsewhere(world: World, before: ConnectionStatus | None) -> ProbeStatus | None:
    """Return what another reconciler found a moment ago: `apply` does not probe, `run` does."""
    settings = world.settings
    if world.probe is not None or not settings.makes_probes:
        return None
    if before is None or before.probe is None:
        return None
    recent = world.clock.now() - before.probe.last_run <= 2 * settings.probe_interval_seconds
    return before.probe if recent else None


def _probe_status(record: ProbeRecord | None) -> ProbeStatus | None:
    if record is None or record.last is None or record.probe.kind not in ("ping", "tcp"):
        return None
    return ProbeStatus(
        target=record.probe.target,
        kind="tcp" if record.probe.port else "ping",
        success=record.last.success is True,
        round_trip_s=round(record.last.round_trip_s, 6),
        last_run=record.last_run,
        failures_in_a_row=record.failures_in_a_row,
        detail=record.last.detail,
    )


def _cameras(
    world: World,
    seen: Look,
    before: ConnectionStatus | None,
    connection: Connection,
    now_s: float,
) -> tuple[CameraStatus, ...] | None:
    """Say of each camera where it is and whether it answers; None: they are not known."""
    airport_id = connection.airport_id
    cameras = seen.sights.cameras.get(airport_id)
    if cameras is None:
        return () if airport_id in seen.decision.about else None
    verdicts = seen.sights.verdicts[airport_id]
    elsewhere = before.cameras if before and _probed_elsewhere(world, before) else ()
    told = []
    for number, (camera, verdict) in enumerate(zip(cameras, verdicts, strict=True)):
        record = seen.probe_records.get((connection.name, number))
        told.append(
            CameraStatus(
                name=camera.name,
                url=camera.url,
                route=verdict.route,
                route_reason=verdict.reason,
                addresses=tuple(map(str, verdict.addresses)),
                **_answer(world, camera, verdict, record, elsewhere[number : number + 1], now_s),
            )
        )
    return tuple(told)


def _answer(
    world: World,
    camera: Camera,
    verdict: Verdict,
    record: ProbeRecord | None,
    elsewhere: tuple[CameraStatus, ...],
    now_s: float,
) -> dict[str, Any]:
    if verdict.route is not Route.TUNNEL:
        return {}
    if record is not None and record.last is not None:
        return {
            "health_check": record.health(now_s),
            "last_checked": record.last_run,
            "detail": record.last.detail,
        }
    for before in elsewhere:
        if (before.name, before.url) == (camera.name, camera.url):
            return before.model_dump(include={"health_check", "last_checked", "detail"})
    if world.probe is None:
        return {"detail": "not asked: probes are switched off"}
    reason = why_unprobed(camera.link) if isinstance(camera.link, CameraUrl) else ""
    return {"detail": f"not asked: {reason}" if reason else "not asked yet"}


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


def _daemon_status(observed: Observed | Unobserved, mask: Mask) -> DaemonStatus:
    if isinstance(observed, Unobserved):
        return DaemonStatus(reachable=False, error=mask.text(observed.reason))
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
