"""Interleaved runs of several sides, and what they amount to."""

import statistics
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

Side = Callable[[], float]
_UNITS = {"ms": 1000.0, "MiB": 1 / 2**20}


def say(text: str) -> None:
    """Print a line of progress; the result itself goes to standard output."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


@dataclass(frozen=True, slots=True)
class Series:
    """The figures of one side. `unit`: s or bytes; shown as ms or MiB."""

    name: str
    figures: tuple[float, ...]
    unit: str = "s"

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.figures)

    def as_json(self) -> dict[str, Any]:
        """Return all figures and their summary."""
        summary = {"min": min(self.figures), "median": self.median, "max": max(self.figures)}
        return {**asdict(self), **summary}

    def row(self) -> tuple[str, ...]:
        """Return the summary for people."""
        shown = "ms" if self.unit == "s" else "MiB"
        values = (min(self.figures), self.median, max(self.figures))
        return (self.name, *(f"{value * _UNITS[shown]:.1f}" for value in values), shown)


@dataclass(frozen=True, slots=True)
class Ratio:
    """How ours compares: below 1, ours is faster or smaller."""

    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Result:
    """One benchmark. `facts`: what was measured on, and what was checked outside the timing."""

    name: str
    series: tuple[Series, ...]
    ratios: tuple[Ratio, ...]
    facts: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Return everything."""
        return {
            "series": [series.as_json() for series in self.series],
            "ratios": {ratio.name: ratio.value for ratio in self.ratios},
            "facts": dict(self.facts),
        }


def interleave(title: str, sides: Mapping[str, Side], runs: int) -> tuple[Series, ...]:
    """Run A B B A …; one run of each goes before and is not counted.

    A side times itself and returns seconds, so that it can prepare and check untimed.
    """
    figures: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(runs + 1):
        order = [*sides][:: 1 if turn % 2 else -1]
        took = {name: sides[name]() for name in order}
        told = ", ".join(f"{name} {took_s * 1000:.1f} ms" for name, took_s in took.items())
        say(f"{title} {'warm-up' if turn == 0 else f'{turn}/{runs}'}: {told}")
        if turn:
            for name, took_s in took.items():
                figures[name].append(took_s)
    return tuple(Series(name, tuple(values)) for name, values in figures.items())


def ratio_of_medians(ours: Series, peer: Series) -> Ratio:
    """Compare two series."""
    return Ratio(
        f"ratio of medians: {ours.name} / {peer.name}", round(ours.median / peer.median, 3)
    )


def table(results: list[Result]) -> str:
    """Lay everything out for people."""
    lines = []
    head = ("", "min", "median", "max", "")
    for result in results:
        rows = [head, *(series.row() for series in result.series)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
        lines.append(f"\n{result.name}")
        lines += [
            "  "
            + row[0].ljust(widths[0])
            + "".join(
                "  " + cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)
            )
            for row in rows
        ]
        lines += [f"  {ratio.name} = {ratio.value:.2f}" for ratio in result.ratios]
        lines += [f"  {key}: {value}" for key, value in result.facts.items()]
    return "\n".join(lines)
