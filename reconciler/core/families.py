"""The metrics that a status makes, as text for Prometheus. Counters of the loop are elsewhere.

Nothing is claimed that was not seen: while charon can't be reached, what would have to be asked of
it is absent. A family of tunnels is one row of a table, so that thousands are written quickly.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from reconciler.core.packet_filter import COUNTERS, FilterState
from reconciler.core.reasons import FAILURES
from reconciler.core.status import (
    ConnectionStatus,
    ContainerStatus,
    DaemonStatus,
    FilterStatus,
    Status,
)
from reconciler.core.tally import Tally

CONTAINER_STATES = (
    *("created", "running", "paused", "restarting", "removing", "exited", "dead"),
    *("missing", "unknown"),
)
PRIORITIES = ("critical", "high", "medium", "low")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a scrape tells of. Replaced as a whole, so that a scrape never sees half a round."""

    status: Status
    tallies: Mapping[str, Tally] = field(default_factory=dict)


class _One(NamedTuple):
    """A connection with its labels as text; `more` leaves room for one more."""

    labels: str
    more: str
    status: ConnectionStatus
    tally: Tally


@dataclass(frozen=True, slots=True)
class _Row:
    """A family with one series for each connection.

    `seen`: only while charon is seen. A value of None: no series.
    """

    name: str
    help: str
    value: Callable[[_One], int | None]
    seen: bool = True

    def samples(self, ones: Iterable[_One]) -> Iterator[str]:
        """Write one line for each."""
        for one in ones:
            value = self.value(one)
            if value is not None:
                yield f"{self.name}{one.labels} {value}\n"


@dataclass(frozen=True, slots=True)
class _Set:
    """A family with one more label. `values`: the whole set, in which one is 1; or only what is."""

    name: str
    help: str
    label: str
    current: Callable[[_One], Iterable[str]]
    values: tuple[str, ...] = ()
    seen: bool = True

    def samples(self, ones: Iterable[_One]) -> Iterator[str]:
        """Write the lines of each."""
        for one in ones:
            current = tuple(self.current(one))
            for value in (self.values or current) if current else ():
                label = f'{self.label}="{value}"'
                yield f"{self.name}{one.more}{label}}} {int(value in current)}\n"


_CONNECTIONS: tuple[_Row | _Set, ...] = (
    _Row("vpn_connection_desired", "1: should exist.", lambda _: 1, seen=False),
    _Row(
        "vpn_connection_up",
        "1: covers every declared subnet.",
        lambda one: int(one.status.status == "up"),
    ),
    _Set(
        *("vpn_connection_state", "1 for the state it is in.", "state"),
        lambda one: (one.status.status,),
        values=("up", "down", "connecting"),
    ),
    _Row(
        "vpn_connection_last_transition_timestamp_seconds",
        "When the state last changed; 0: never.",
        lambda one: one.status.since,
    ),
    _Row(
        "vpn_connection_established_timestamp_seconds",
        "Since when it is up, or when it last came up; 0: never.",
        lambda one: one.status.last_connected,
    ),
    _Row(
        "vpn_connection_last_received_timestamp_seconds",
        "When something last came from the site; 0: never.",
        lambda one: one.status.last_received_at,
    ),
    _Row(
        "vpn_connection_hard_expiry_timestamp_seconds",
        "When the newest data tunnel ends unless its keys are renewed; only while there is one.",
        lambda one: one.status.child_expires_at or None,
    ),
    _Set(
        *("vpn_connection_health", "1 for what the packets tell.", "health"),
        lambda one: (one.status.health_check,),
        values=("pass", "fail", "unknown"),
    ),
    _Set(
        *("vpn_connection_reason", "1: why it is not up.", "reason"),
        lambda one: (one.status.reason_code,) if one.status.reason_code else (),
    ),
    _Row(
        "vpn_connection_degraded",
        "1: up, but not as declared.",
        lambda one: int(one.status.degraded),
    ),
    _Set(
        *("vpn_connection_degraded_reason", "1: what is not as declared.", "reason"),
        lambda one: dict.fromkeys(flaw.code.value for flaw in one.status.degraded_reasons),
    ),
    _Row(
        "vpn_connection_received_bytes_total",
        "Bytes from the site.",
        lambda one: one.tally.passed.received_bytes,
    ),
    _Row(
        "vpn_connection_sent_bytes_total",
        "Bytes to the site.",
        lambda one: one.tally.passed.sent_bytes,
    ),
    _Row(
        "vpn_connection_received_packets_total",
        "Packets from the site.",
        lambda one: one.tally.passed.received_packets,
    ),
    _Row(
        "vpn_connection_sent_packets_total",
        "Packets to the site.",
        lambda one: one.tally.passed.sent_packets,
    ),
    _Row(
        "vpn_connection_establishments_total",
        "Times it came up.",
        lambda one: one.status.establishments,
    ),
    _Row(
        "vpn_connection_attempts",
        "Attempts at what is not reached yet.",
        lambda one: max((made.count for made in one.status.attempts), default=0),
        seen=False,
    ),
    _Row(
        "vpn_connection_next_attempt_timestamp_seconds",
        "When the hub tries next; 0: nothing is due.",
        lambda one: one.status.next_attempt,
        seen=False,
    ),
    _Row(
        "vpn_connection_paused",
        "1: left alone by order.",
        lambda one: int(one.status.paused),
        seen=False,
    ),
    _Set(
        "vpn_connection_key_rotation",
        "1 for the stage; only while two keys are declared.",
        "stage",
        lambda one: (one.status.key_rotation,) if one.status.key_rotation else (),
        values=("unknown", "old", "switching", "new"),
        seen=False,
    ),
)


def parts(snapshot: Snapshot) -> Iterator[str]:
    """Write one family after the other."""
    status = snapshot.status
    yield from _daemon(status.daemon)
    yield from _container(status.container)
    yield from _packet_filter(status.packet_filter)
    yield from _configuration(status)
    yield from _connections(snapshot)


def _family(name: str, kind: Literal["gauge", "counter"], text: str, samples: Iterable[str]) -> str:
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n{''.join(samples)}"


def _gauge(name: str, text: str, value: int) -> str:
    return _family(name, "gauge", text, [f"{name} {int(value)}\n"])


def _gauges(name: str, text: str, label: str, values: Mapping[str, int]) -> str:
    lines = (f'{name}{{{label}="{key}"}} {int(value)}\n' for key, value in values.items())
    return _family(name, "gauge", text, lines)


def escaped(value: str) -> str:
    """Write a label's value as the format wants it."""
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _connections(snapshot: Snapshot) -> Iterator[str]:
    ones = [
        _one(status, snapshot.tallies.get(name, _NOTHING))
        for name, status in snapshot.status.connections.items()
    ]
    seen = [one for one in ones if one.status.observed]
    for family in _CONNECTIONS:
        kind: Literal["gauge", "counter"] = "counter" if family.name.endswith("_total") else "gauge"
        lines = family.samples(seen if family.seen else ones)
        yield _family(family.name, kind, family.help, lines)
    name, text = "vpn_connection_rekeys_total", "Keys renewed in place."
    yield _family(name, "counter", text, _rekeys(name, seen))
    name, text = "vpn_connection_failures_total", "Failures by reason."
    yield _family(name, "counter", text, _failures(name, ones))
    yield _gauge(
        "vpn_strangers",
        "Peers of the last day that fit no declared tunnel.",
        len(snapshot.status.strangers),
    )


_NOTHING = Tally()


def _one(status: ConnectionStatus, tally: Tally) -> _One:
    airport, connection = escaped(status.airport_id), escaped(status.connection_name)
    labels = f'{{airport="{airport}",connection="{connection}"'
    return _One(labels + "}", labels + ",", status, tally)


def _rekeys(name: str, ones: Iterable[_One]) -> Iterator[str]:
    for one in ones:
        yield f'{name}{one.more}sa="ike"}} {one.tally.ike_rekeys}\n'
        yield f'{name}{one.more}sa="child"}} {one.tally.child_rekeys}\n'


def _failures(name: str, ones: Iterable[_One]) -> Iterator[str]:
    """Tell of every code: `increase()` does not see a series rise that begins at 1."""
    for one in ones:
        counts = one.status.failures
        for code in FAILURES:
            yield f'{name}{one.more}reason="{code}"}} {counts.get(code, 0)}\n'


def _daemon(daemon: DaemonStatus) -> Iterator[str]:
    reachable = daemon.reachable
    yield _gauge("vpn_daemon_reachable", "1: charon answered at the last round.", reachable)
    if not reachable:
        return
    name, text = "vpn_daemon_info", "charon's version, and where ESP is done."
    version, plane = escaped(daemon.version), escaped(daemon.data_plane)
    yield _family(name, "gauge", text, [f'{name}{{version="{version}",data_plane="{plane}"}} 1\n'])
    yield _gauge(
        "vpn_daemon_start_timestamp_seconds",
        "When charon was started, give or take two seconds; 0: not known.",
        daemon.running_since,
    )
    yield _gauge("vpn_daemon_ike_sas", "IKE_SAs in charon.", daemon.ike_sas)
    yield _gauge("vpn_daemon_half_open_ike_sas", "Half-open IKE_SAs.", daemon.half_open_ike_sas)
    yield _gauge("vpn_daemon_workers_idle", "Idle worker threads.", daemon.workers_idle)
    yield _gauge("vpn_daemon_workers", "Worker threads.", daemon.workers_total)
    yield _gauge("vpn_daemon_queued_jobs", "Jobs that wait for a worker.", daemon.queued_jobs)
    yield _gauge("vpn_daemon_scheduled_jobs", "Jobs for a later time.", daemon.scheduled_jobs)
    for name, text, values in (
        ("vpn_daemon_workers_active", "Busy worker threads.", daemon.workers_active),
        ("vpn_daemon_queue_jobs", "Jobs that wait for a worker.", daemon.queues),
    ):
        by_priority = {priority: values.get(priority, 0) for priority in PRIORITIES}
        yield _gauges(name, text, "priority", by_priority)


def _container(container: ContainerStatus | None) -> Iterator[str]:
    """Say nothing of a container that nobody was asked about."""
    if container is None:
        return
    yield _gauges(
        "vpn_container_state",
        "1 for the state that Docker tells.",
        "state",
        {state: container.state == state for state in CONTAINER_STATES},
    )
    yield _gauge(
        "vpn_container_healing_held",
        "1: charon's container is ill, but the budget of the hour is used up.",
        container.budget_used_up,
    )
    yield _gauge(
        "vpn_container_next_attempt_timestamp_seconds",
        "When it is next acted upon; 0: nothing is due.",
        container.next_attempt,
    )
    if container.state in ("missing", "unknown"):
        return
    health = container.health or "none"
    yield _gauges(
        "vpn_container_health",
        "1 for what its health check tells; none: it has none.",
        "health",
        {one: health == one for one in ("healthy", "unhealthy", "starting", "none")},
    )
    yield _gauge(
        "vpn_container_docker_restarts",
        "Restarts by Docker, since the container was made.",
        container.restart_count,
    )


def _packet_filter(found: FilterStatus | None) -> Iterator[str]:
    """Say nothing of a filter that is not ours to keep."""
    if found is None:
        return
    yield _gauges(
        "vpn_packet_filter_state",
        "1 for the state that the packet filter is in.",
        "state",
        {state.value: found.state is state for state in FilterState},
    )
    yield _gauge(
        "vpn_packet_filter_as_declared",
        "1: in force, and by the latest declarations.",
        found.as_declared,
    )
    name, text = "vpn_packet_filter_dropped_packets_total", "Packets from sites, dropped, by cause."
    counts = {cause: found.dropped_packets.get(cause, 0) for cause in COUNTERS}
    lines = (f'{name}{{cause="{cause}"}} {count}\n' for cause, count in counts.items())
    yield _family(name, "counter", text, lines)


def _configuration(status: Status) -> Iterator[str]:
    found = status.configuration
    yield _gauge("vpn_status_timestamp_seconds", "Time of the last status.", status.timestamp)
    yield _gauge("vpn_configuration_valid", "1: airports.json has no error.", found.valid)
    yield _gauge(
        "vpn_configuration_last_valid_timestamp_seconds",
        "When airports.json last had no error; 0: never.",
        found.last_valid,
    )
    yield _gauge("vpn_removals_held", "Removals that wait for a yes.", len(found.removals_held))
    yield _gauges(
        "vpn_airports",
        "Airports by declaration.",
        "state",
        {
            "declared": found.airports_declared,
            "disabled": len(found.airports_disabled),
            "invalid": len(found.airports_invalid),
        },
    )
