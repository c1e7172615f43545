"""The dashboards as Grafana would use them: which queries they make, with its variables put in.

Nothing here runs Grafana. What it puts in for its variables and macros is written down from its
documentation.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "manifests" / "grafana"
DASHBOARDS = ("fleet", "airport")

Json = dict[str, Any]


def read(name: str) -> Json:
    """Return one dashboard."""
    return dict(json.loads((FOLDER / "dashboards" / f"{name}.json").read_text()))


def panels(dashboard: Json) -> list[Json]:
    """Return its panels, the rows left out."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def variables(dashboard: Json) -> dict[str, Json]:
    return {variable["name"]: variable for variable in dashboard["templating"]["list"]}


@dataclass(frozen=True)
class Asked:
    """One query, and where it stands."""

    where: str
    expr: str
    instant: bool
    min_step: str
    points: int


def asked(name: str) -> list[Asked]:
    """Return every query of panels and annotations of one dashboard."""
    return [*_of_panels(name), *_of_annotations(name)]


def _of_panels(name: str) -> Iterator[Asked]:
    for panel in panels(read(name)):
        for target in panel["targets"]:
            where = f"{name}: {panel['title']}: {target['refId']}"
            yield Asked(
                where, target["expr"], target["instant"], panel["interval"], panel["maxDataPoints"]
            )


def _of_annotations(name: str) -> Iterator[Asked]:
    for one in read(name)["annotations"]["list"]:
        yield Asked(f"{name}: annotation {one['name']}", one["expr"], False, one["step"], 100)


def offers(name: str) -> dict[str, str]:
    """Return the queries of the variables of one dashboard."""
    found = variables(read(name)).items()
    return {key: one["query"]["query"] for key, one in found if one["type"] == "query"}


@dataclass(frozen=True)
class View:
    """What somebody looks at: the shown time, and what is chosen in the variables."""

    start: float
    end: float
    chosen: Mapping[str, str]
    scrape_interval_s: float = 15

    @property
    def range_s(self) -> float:
        return self.end - self.start

    def step_s(self, query: Asked) -> float:
        """Return the distance of points: no more than wanted, none finer than the minimum."""
        return max(seconds(query.min_step), self.range_s / query.points)

    def put_in(self, expr: str, step_s: float) -> str:
        """Replace variables and macros; fail on one that is not known."""
        rate_interval_s = max(step_s + self.scrape_interval_s, 4 * self.scrape_interval_s)
        values = {
            "__interval": f"{step_s:.0f}s",
            "__interval_ms": f"{step_s * 1000:.0f}",
            "__rate_interval": f"{rate_interval_s:.0f}s",
            "__range": f"{max(1, self.range_s):.0f}s",
            **self.chosen,
        }
        # What begins with a digit is no variable, but a group of label_replace().
        pattern = r"\$(?:\{(\w+)(?::\w+)?\}|([A-Za-z_]\w*))"
        return re.sub(pattern, lambda found: values[found[1] or found[2]], expr)


def seconds(text: str) -> float:
    """Return 30 for `30s`."""
    return float(text.removesuffix("s"))


def metrics_of(expr: str) -> set[str]:
    """Return the names of metrics in a query."""
    return set(re.findall(r"\b(?:vpn_\w+|ALERTS\w*)", re.sub(r'"[^"]*"', "", expr)))
