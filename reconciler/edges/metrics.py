"""/metrics: a view of the last round, plus counters of what the loop did.

The view is text made by core/families.py: prometheus-client would take many times as long. The
few counters of the loop are prometheus-client's.
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

from reconciler import __version__
from reconciler.core.actions import Action, ContainerAction, LoadFilter, Outcome, RestartContainer
from reconciler.core.families import Snapshot, parts
from reconciler.core.status import Status
from reconciler.core.tally import Tally

_ACTIONS = tuple(
    kind.__name__ for kind in (*Action.__args__, *ContainerAction.__args__, LoadFilter)
)
REASONS = (
    *("start", "timer", "airports.json changed", "orders changed", "failure logged"),
    *("probe changed", "names changed"),
    *("charon connected", "charon disconnected", "docker connected", "docker disconnected"),
    *("ike-updown", "child-updown", "ike-rekey", "child-rekey", "ike-update"),
    *("SIGHUP", "SIGTERM", "SIGINT"),
    *("container create", "container start", "container restart", "container die"),
    *("container kill", "container stop", "container oom", "container pause"),
    *("container unpause", "container rename", "container destroy", "container health_status"),
)


class Metrics:
    """All metrics of this process. Written by the loop, read by the HTTP threads, without locks."""

    def __init__(self) -> None:
        # Else each counter brings a second series, which Prometheus does not need.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._snapshot: Snapshot | None = None
        self._rounds = self._counter("vpn_rounds", "Rounds of the loop.", "result")
        self._wakes = self._counter("vpn_round_wakes", "Why rounds were made.", "reason")
        self._errors = self._counter(
            "vpn_round_errors", "What failed in rounds, beside actions and faults of airports.json."
        )
        self._durations = Histogram(
            "vpn_round_duration_seconds", "Time that a round took.", registry=self.registry
        )
        self._last_round = self._gauge(
            "vpn_last_complete_round_timestamp_seconds",
            "When a round with charon was last complete; 0: never.",
        )
        self._actions = self._counter(
            "vpn_actions", "Actions by kind and result.", "action", "result"
        )
        self._restarts = self._counter(
            "vpn_container_restarts",
            "Restarts of charon's container by the reconciler, not those by Docker.",
        )
        self._loads = self._counter(
            "vpn_configuration_reads", "Readings of airports.json.", "result"
        )
        self._status_errors = self._counter(
            "vpn_status_write_errors", "Failed writings of the status file."
        )
        self.leading = self._gauge("vpn_leading", "1: keeps this hub; 0: stands by for another.")
        self.log_listening = self._gauge(
            "vpn_log_listening",
            "0: charon says too much; its log is not listened to for a minute.",
        )
        self.log_listening.set(1)
        info = Gauge("vpn_build_info", "Version.", ["version"], registry=self.registry)
        info.labels(__version__).set(1)
        self._start_at_zero()

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, registry=self.registry)

    def _start_at_zero(self) -> None:
        for result in ("ok", "charon_unreachable", "failed"):
            self._rounds.labels(result)
        for reason in REASONS:
            self._wakes.labels(reason)
        for result in ("ok", "invalid"):
            self._loads.labels(result)
        for action in _ACTIONS:
            for result in ("accepted", "failed"):
                self._actions.labels(action, result)

    def publish(
        self,
        status: Status,
        tallies: Mapping[str, Tally],
        outcomes: Iterable[Outcome],
        took_s: float,
    ) -> None:
        """Take over a finished round."""
        self._rounds.labels("ok" if status.daemon.reachable else "charon_unreachable").inc()
        self._durations.observe(took_s)
        for reason in status.reconciler.reasons:
            self._wakes.labels(reason).inc()
        self._errors.inc(len(status.reconciler.errors))
        for outcome in outcomes:
            result = "accepted" if outcome.error is None else "failed"
            self._actions.labels(type(outcome.action).__name__, result).inc()
            if isinstance(outcome.action, RestartContainer) and outcome.error is None:
                self._restarts.inc()
        self._loads.labels("ok" if status.configuration.valid else "invalid").inc()
        if status.daemon.reachable:
            self._last_round.set(status.timestamp)
        self._snapshot = Snapshot(status, tallies)

    def count_failed_round(self) -> None:
        """Count a round that ended in a bug."""
        self._rounds.labels("failed").inc()

    def count_status_error(self) -> None:
        """Count a status file that could not be written."""
        self._status_errors.inc()

    def parts(self) -> Iterator[bytes]:
        """Yield the exposition in Prometheus' text format, a piece at a time: it may be large."""
        yield generate_latest(self.registry)
        snapshot = self._snapshot
        if snapshot is not None:
            for part in parts(snapshot):
                yield part.encode()

    def text(self) -> bytes:
        """Return the whole exposition."""
        return b"".join(self.parts())
