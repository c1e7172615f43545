"""/metrics: a view of the last report, plus counters of what the loop did.

Nothing is claimed that was not seen: while charon can't be reached, the series about tunnels and
daemon are absent, except `vpn_daemon_reachable` 0. Byte counters go on across rekeys, because each
CHILD_SA's own count is added up by difference.
"""

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from reconciler import __version__
from reconciler.core.actions import Action, ContainerAction, Outcome, RestartContainer
from reconciler.core.observed import Observed, Unobserved
from reconciler.core.reasons import FAILURES
from reconciler.core.status import ConnectionStatus, ContainerStatus, Status

_LABELS = ["airport", "connection"]
_STATES = ("up", "down", "connecting")
_STAGES = ("unknown", "old", "switching", "new")
_CONTAINER_STATES = (
    *("created", "running", "paused", "restarting", "removing", "exited", "dead"),
    *("missing", "unknown"),
)
_ACTIONS = tuple(kind.__name__ for kind in (*Action.__args__, *ContainerAction.__args__))


class Traffic:
    """Bytes per connection since our start, from the counters of its CHILD_SAs.

    An SA is known again by its SPI: unique ids begin anew when charon does.
    """

    def __init__(self) -> None:
        self._last: dict[str, tuple[int, int]] | None = None
        self.totals: dict[str, tuple[int, int]] = {}

    def add(self, observed: Observed, names: Iterable[str]) -> None:
        """Add what each CHILD_SA carried since the last look."""
        wanted = set(names)
        seen: dict[str, tuple[int, int]] = {}
        for sa in observed.sas:
            for child in sa.children if sa.name in wanted else ():
                count = (child.received_bytes, child.sent_bytes)
                seen[child.spi_in] = count
                self._add(sa.name, count, self._before(child.spi_in, count))
        self._last = seen
        self.totals = {name: self.totals.get(name, (0, 0)) for name in wanted}

    def _before(self, spi: str, count: tuple[int, int]) -> tuple[int, int]:
        """Return the last count; at our first look, what is there belongs to an earlier one."""
        return count if self._last is None else self._last.get(spi, (0, 0))

    def _add(self, name: str, count: tuple[int, int], before: tuple[int, int]) -> None:
        received, sent = self.totals.get(name, (0, 0))
        gained = [max(0, now - then) for now, then in zip(count, before, strict=True)]
        self.totals[name] = (received + gained[0], sent + gained[1])


class Metrics:
    """All metrics of this process."""

    def __init__(self) -> None:
        # Else each counter brings a second series, which Prometheus does not need.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._traffic = Traffic()
        self._status: Status | None = None
        self._rounds = Counter(
            "vpn_rounds", "Rounds of the loop.", ["result"], registry=self.registry
        )
        self._wakes = Counter(
            "vpn_round_wakes",
            "Reasons for which rounds were made.",
            ["reason"],
            registry=self.registry,
        )
        self._durations = Histogram(
            "vpn_round_duration_seconds", "Time that a round took.", registry=self.registry
        )
        self._last_round = Gauge(
            "vpn_last_complete_round_timestamp_seconds",
            "When a round with charon was last complete; 0: never.",
            registry=self.registry,
        )
        self._actions = Counter(
            "vpn_actions",
            "Actions by kind and result.",
            ["action", "result"],
            registry=self.registry,
        )
        self._restarts = Counter(
            "vpn_container_restarts",
            "Restarts of charon's container by the reconciler, not those by Docker.",
            registry=self.registry,
        )
        self._loads = Counter(
            "vpn_configuration_reads",
            "Readings of airports.json.",
            ["result"],
            registry=self.registry,
        )
        self._status_errors = Counter(
            "vpn_status_write_errors",
            "Failed writings of the status file.",
            registry=self.registry,
        )
        self.leading = Gauge(
            "vpn_leading", "1: keeps this hub; 0: stands by for another.", registry=self.registry
        )
        self.log_listening = Gauge(
            "vpn_log_listening",
            "0: charon says too much; its log is not listened to for a minute.",
            registry=self.registry,
        )
        self.log_listening.set(1)
        info = Gauge("vpn_build_info", "Version.", ["version"], registry=self.registry)
        info.labels(__version__).set(1)
        self._start_at_zero()
        self.registry.register(_Snapshot(self))

    def _start_at_zero(self) -> None:
        for result in ("ok", "charon_unreachable", "failed"):
            self._rounds.labels(result)
        for result in ("ok", "invalid"):
            self._loads.labels(result)
        for action in _ACTIONS:
            for result in ("accepted", "failed"):
                self._actions.labels(action, result)

    def publish(
        self,
        status: Status,
        observed: Observed | Unobserved,
        outcomes: Iterable[Outcome],
        took_s: float,
    ) -> None:
        """Take over a finished round."""
        complete = isinstance(observed, Observed)
        self._rounds.labels("ok" if complete else "charon_unreachable").inc()
        self._durations.observe(took_s)
        for reason in status.reconciler.reasons:
            self._wakes.labels(reason).inc()
        for outcome in outcomes:
            result = "accepted" if outcome.error is None else "failed"
            self._actions.labels(type(outcome.action).__name__, result).inc()
            if isinstance(outcome.action, RestartContainer) and outcome.error is None:
                self._restarts.inc()
        self._loads.labels("ok" if status.configuration.valid else "invalid").inc()
        if isinstance(observed, Observed):
            self._last_round.set(status.timestamp)
            self._traffic.add(observed, status.connections)
        self._status = status

    def count_failed_round(self) -> None:
        """Count a round that ended in a bug."""
        self._rounds.labels("failed").inc()

    def count_status_error(self) -> None:
        """Count a status file that could not be written."""
        self._status_errors.inc()

    def text(self) -> bytes:
        """Return the exposition in Prometheus' text format."""
        return generate_latest(self.registry)

    def collect(self) -> Iterator[Metric]:
        """Yield what the last status says."""
        if self._status is None:
            return
        yield from _daemon(self._status)
        yield from _container(self._status.container)
        yield from _configuration(self._status)
        yield from _connections(self._status.connections)
        yield from _reasons(self._status)
        if self._status.daemon.reachable:
            yield from _traffic(self._status.connections, self._traffic.totals)


class _Snapshot(Collector):
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics.collect()


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _daemon(status: Status) -> Iterator[Metric]:
    daemon = status.daemon
    yield _gauge("vpn_daemon_reachable", "1: charon answered at the last round.", daemon.reachable)
    if not daemon.reachable:
        return
    yield _gauge("vpn_daemon_ike_sas", "IKE_SAs in charon.", daemon.ike_sas)
    yield _gauge("vpn_daemon_half_open_ike_sas", "Half-open IKE_SAs.", daemon.half_open_ike_sas)
    yield _gauge("vpn_daemon_workers_idle", "Idle worker threads.", daemon.workers_idle)
    yield _gauge("vpn_daemon_workers", "Worker threads.", daemon.workers_total)
    yield _gauge("vpn_daemon_queued_jobs", "Jobs that wait for a worker.", daemon.queued_jobs)


def _container(container: ContainerStatus | None) -> Iterator[Metric]:
    """Say nothing of a container that nobody was asked about."""
    if container is None:
        return
    state = GaugeMetricFamily(
        "vpn_container_state", "1 for the state that Docker tells.", labels=["state"]
    )
    for name in _CONTAINER_STATES:
        state.add_metric([name], container.state == name)
    yield state
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


def _configuration(status: Status) -> Iterator[Metric]:
    found = status.configuration
    yield _gauge("vpn_status_timestamp_seconds", "Time of the last status.", status.timestamp)
    yield _gauge("vpn_configuration_valid", "1: airports.json has no error.", found.valid)
    yield _gauge(
        "vpn_configuration_last_valid_timestamp_seconds",
        "When airports.json last had no error; 0: never.",
        found.last_valid,
    )
    yield _gauge("vpn_removals_held", "Removals that wait for a yes.", len(found.removals_held))
    airports = GaugeMetricFamily("vpn_airports", "Airports by declaration.", labels=["state"])
    airports.add_metric(["declared"], found.airports_declared)
    airports.add_metric(["disabled"], len(found.airports_disabled))
    airports.add_metric(["invalid"], len(found.airports_invalid))
    yield airports


def _connections(connections: Mapping[str, ConnectionStatus]) -> Iterator[Metric]:
    desired = GaugeMetricFamily("vpn_connection_desired", "1: should exist.", labels=_LABELS)
    up = GaugeMetricFamily("vpn_connection_up", "1: covers every declared subnet.", labels=_LABELS)
    state = GaugeMetricFamily(
        "vpn_connection_state", "1 for the state it is in.", labels=[*_LABELS, "state"]
    )
    since = GaugeMetricFamily(
        "vpn_connection_last_transition_timestamp_seconds",
        "When the state last changed; 0: never.",
        labels=_LABELS,
    )
    for connection in connections.values():
        labels = [connection.airport_id, connection.connection_name]
        desired.add_metric(labels, 1)
        if connection.observed:
            up.add_metric(labels, connection.status == "up")
            since.add_metric(labels, connection.since)
            for name in _STATES:
                state.add_metric([*labels, name], connection.status == name)
    yield from (desired, up, state, since)
    yield from _remedies(connections)


def _remedies(connections: Mapping[str, ConnectionStatus]) -> Iterator[Metric]:
    attempts = GaugeMetricFamily(
        "vpn_connection_attempts", "Attempts at what is not reached yet.", labels=_LABELS
    )
    due = GaugeMetricFamily(
        "vpn_connection_next_attempt_timestamp_seconds",
        "When the hub tries next; 0: nothing is due.",
        labels=_LABELS,
    )
    paused = GaugeMetricFamily("vpn_connection_paused", "1: left alone by order.", labels=_LABELS)
    rotation = GaugeMetricFamily(
        "vpn_connection_key_rotation",
        "1 for the stage; only while two keys are declared.",
        labels=[*_LABELS, "stage"],
    )
    for connection in connections.values():
        labels = [connection.airport_id, connection.connection_name]
        attempts.add_metric(labels, max((one.count for one in connection.attempts), default=0))
        due.add_metric(labels, connection.next_attempt)
        paused.add_metric(labels, connection.paused)
        for stage in _STAGES if connection.key_rotation else ():
            rotation.add_metric([*labels, stage], connection.key_rotation == stage)
    yield from (attempts, due, paused, rotation)


def _reasons(status: Status) -> Iterator[Metric]:
    failures = CounterMetricFamily(
        "vpn_connection_failures", "Failures by reason.", labels=[*_LABELS, "reason"]
    )
    reason = GaugeMetricFamily(
        "vpn_connection_reason", "1: why it is not up.", labels=[*_LABELS, "reason"]
    )
    degraded = GaugeMetricFamily(
        "vpn_connection_degraded", "1: up, but not as declared.", labels=_LABELS
    )
    for connection in status.connections.values():
        labels = [connection.airport_id, connection.connection_name]
        for code in FAILURES:
            failures.add_metric([*labels, code], connection.failures.get(code, 0))
        if connection.observed:
            degraded.add_metric(labels, connection.degraded)
            if connection.reason_code:
                reason.add_metric([*labels, connection.reason_code], 1)
    yield from (failures, reason, degraded)
    strangers = len(status.strangers)
    yield _gauge("vpn_strangers", "Peers of the last day that fit no declared tunnel.", strangers)


def _traffic(
    connections: Mapping[str, ConnectionStatus], totals: Mapping[str, tuple[int, int]]
) -> Iterator[Metric]:
    received = CounterMetricFamily(
        "vpn_connection_received_bytes", "Bytes from the site.", labels=_LABELS
    )
    sent = CounterMetricFamily("vpn_connection_sent_bytes", "Bytes to the site.", labels=_LABELS)
    for connection in connections.values():
        labels = [connection.airport_id, connection.connection_name]
        total = totals.get(connection.connection_name, (0, 0))
        received.add_metric(labels, total[0])
        sent.add_metric(labels, total[1])
    yield from (received, sent)
