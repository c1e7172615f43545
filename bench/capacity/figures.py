"""What the samples amount to, as tables for docs/capacity.md."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from bench.capacity.samples import Sample

MIB = 2**20


@dataclass(frozen=True, slots=True)
class Limit:
    """What a container may use at most. The processor in cores."""

    memory_bytes: int
    cores: float


@dataclass(frozen=True, slots=True)
class Run:
    """The samples of one run, by container, and the limits in force."""

    samples: Mapping[str, Sequence[Sample]]
    limits: Mapping[str, Limit]


def by_service(samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    """Sort samples by container; the order of the containers stays."""
    found: dict[str, list[Sample]] = {}
    for one in samples:
        found.setdefault(one.service, []).append(one)
    return found


def cores(samples: Sequence[Sample]) -> list[tuple[float, float]]:
    """Return the processor use between each sample and the one before, by time."""
    return [
        (after.at_s, (after.cpu_s - before.cpu_s) / (after.at_s - before.at_s))
        for before, after in pairwise(samples)
    ]


def growth_bytes_per_hour(samples: Sequence[Sample]) -> float:
    """Return the slope of the process's memory in the second half, when all has warmed up."""
    half = samples[len(samples) // 2 :]
    slope, _ = statistics.linear_regression(
        [one.at_s for one in half], [float(one.resident_bytes) for one in half]
    )
    return slope * 3600


def tables(run: Run) -> str:
    """Return memory, processor, and what else may leak."""
    return "\n\n".join((_memory(run), _processor(run), _handles(run)))


def _memory(run: Run) -> str:
    rows = []
    for service, samples in run.samples.items():
        limit = run.limits[service].memory_bytes
        used = [one.working_set_bytes for one in samples]
        rows.append(
            (
                service,
                f"{limit / MIB:.0f}",
                f"{min(used) / MIB:.1f}",
                f"{statistics.mean(used) / MIB:.1f}",
                f"{max(used) / MIB:.1f}",
                f"{used[-1] / MIB:.1f}",
                f"{max(used) / limit * 100:.0f} %",
                f"{max(one.memory_bytes for one in samples) / MIB:.1f}",
                f"{samples[-1].resident_bytes / MIB:.1f}",
                f"{growth_bytes_per_hour(samples) / MIB:+.1f}",
            )
        )
    head = (
        *("memory, MiB", "limit", "min", "mean", "max", "last", "max of limit"),
        *("with cached files, max", "process (RSS), last", "growth of RSS an hour"),
    )
    return _table(head, rows)


def _processor(run: Run) -> str:
    rows = []
    for service, samples in run.samples.items():
        first, last = samples[0], samples[-1]
        used_s, mean = last.cpu_s - first.cpu_s, _mean_cores(samples)
        limit = run.limits[service].cores
        periods = last.periods - first.periods
        throttled = last.throttled_periods - first.throttled_periods
        rows.append(
            (
                service,
                f"{limit:.2f}",
                f"{mean:.3f}",
                f"{max(value for _, value in cores(samples)):.3f}",
                f"{mean / limit * 100:.0f} %",
                f"{used_s:.1f}",
                f"{throttled / periods * 100 if periods else 0:.1f} %",
            )
        )
    head = (
        *("processor, cores", "limit", "mean", "max of 5 s", "mean of limit", "seconds used"),
        "periods throttled",
    )
    return _table(head, rows)


def _mean_cores(samples: Sequence[Sample]) -> float:
    first, last = samples[0], samples[-1]
    return (last.cpu_s - first.cpu_s) / (last.at_s - first.at_s)


def _handles(run: Run) -> str:
    def span(samples: Sequence[Sample], what: Callable[[Sample], int]) -> tuple[str, str]:
        values = [what(one) for one in samples]
        half = len(values) // 2
        return (
            f"{min(values[:half])} to {max(values[:half])}",
            f"{min(values[half:])} to {max(values[half:])}",
        )

    rows = [
        (service, *span(samples, lambda s: s.descriptors), *span(samples, lambda s: s.threads))
        for service, samples in run.samples.items()
    ]
    head = ("", "descriptors, first half", "second half", "threads, first half", "second half")
    return _table(head, rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
