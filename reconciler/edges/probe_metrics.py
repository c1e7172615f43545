"""The metrics of probes, read from the prober at each scrape.

A result that is too old to say anything is left out: a prober that died must not look well. When
each probe was last made is told for ever, and when the prober last turned.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from reconciler.core.probing import OF_CONNECTION, Key, ProbeRecord
from reconciler.core.status import ConnectionStatus, Status

_LABELS = ["airport", "connection"]


class Prober(Protocol):
    """What is asked of the prober."""

    last_turn: int
    results: dict[str, int]

    def records(self) -> Mapping[Key, ProbeRecord]:
        """Return the results so far."""


class ProbeMetrics(Collector):
    """Metrics of one prober. `status`: the last one, for names."""

    def __init__(
        self,
        registry: CollectorRegistry,
        prober: Prober,
        status: Callable[[], Status | None],
        monotonic_s: Callable[[], float],
    ) -> None:
        self._prober, self._status, self._monotonic_s = prober, status, monotonic_s
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Yield what there is."""
        yield GaugeMetricFamily(
            "vpn_prober_last_turn_timestamp_seconds",
            "When the thread that probes last turned.",
            value=self._prober.last_turn,
        )
        probes = CounterMetricFamily("vpn_probes", "Probes by result.", labels=["result"])
        for result, count in self._prober.results.items():
            probes.add_metric([result], count)
        yield probes
        status = self._status()
        connections = status.connections if status is not None else {}
        records, now_s = self._prober.records(), self._monotonic_s()
        yield from _of_connections(connections, records, now_s)
        yield _of_cameras(connections, records, now_s)


def _of_connections(
    connections: Mapping[str, ConnectionStatus], records: Mapping[Key, ProbeRecord], now_s: float
) -> Iterable[Metric]:
    success = GaugeMetricFamily(
        "vpn_connection_probe_success", "1: the last probe was answered.", labels=_LABELS
    )
    took = GaugeMetricFamily(
        "vpn_connection_probe_round_trip_seconds", "Of the last answered probe.", labels=_LABELS
    )
    last_run = GaugeMetricFamily(
        "vpn_connection_probe_last_run_timestamp_seconds",
        "When the last probe was made.",
        labels=_LABELS,
    )
    for name, connection in connections.items():
        record = records.get((name, OF_CONNECTION))
        if record is None or record.last is None:
            continue
        labels = [connection.airport_id, name]
        last_run.add_metric(labels, record.last_run)
        if record.last.success is not None and record.is_fresh(now_s):
            success.add_metric(labels, record.last.success)
            if record.last.success:
                took.add_metric(labels, record.last.round_trip_s)
    return success, took, last_run


def _of_cameras(
    connections: Mapping[str, ConnectionStatus], records: Mapping[Key, ProbeRecord], now_s: float
) -> Metric:
    """Tell of each camera by its name; where names are equal or missing, by its number as well."""
    up = GaugeMetricFamily(
        "vpn_camera_up",
        "1: the camera answers through the tunnel as it should.",
        labels=[*_LABELS, "camera"],
    )
    for name, connection in connections.items():
        taken: set[str] = set()
        for number, camera in enumerate(connection.cameras):
            label = camera.name or f"camera {number + 1}"
            while label in taken:
                label = f"{label} ({number + 1})"
            taken.add(label)
            record = records.get((name, number))
            health = record.health(now_s) if record is not None else "unknown"
            if health != "unknown":
                up.add_metric([connection.airport_id, name, label], health == "pass")
    return up
