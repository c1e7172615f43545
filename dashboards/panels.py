"""What a Grafana dashboard is made of, as plain JSON values; only what our two dashboards use.

Everything that all panels should have alike is here: a data source that the viewer chooses, units,
what is shown without data, colours that the colour-blind can tell apart, and the places of panels.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

Json = dict[str, Any]

# The palette of Okabe and Ito: people who are colour-blind can tell these apart.
BLUE, SKY = "#0072B2", "#56B4E9"
ORANGE, VERMILION, PURPLE, GREY, DARK = "#E69F00", "#D55E00", "#CC79A7", "#999999", "#555555"

GRAFANA = "11.6.0"  # whose panels these are; newer releases convert them when they load them
SCHEMA_VERSION = 41  # of that release
LABEL_VALUES, QUERY_RESULT = 1, 3  # kinds of variables of Grafana's Prometheus data source
WIDTH = 24  # columns of Grafana's grid
SOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
TAGS = ["vpn"]
MIN_INTERVAL = "30s"  # two scrapes: a finer step shows nothing new
POINTS = 400  # of a course, however wide the screen is: each costs Prometheus a look at all tunnels


@dataclass(frozen=True)
class Query:
    """One query of a panel. `instant`: its value now, else its course."""

    expr: str
    legend: str = ""
    instant: bool = False
    table: bool = False

    def json(self, ref: str) -> Json:
        """Return the target as Grafana keeps it."""
        found: Json = {
            "datasource": SOURCE,
            "editorMode": "code",
            "expr": " ".join(self.expr.split()),
            "format": "table" if self.table else "time_series",
            "instant": self.instant,
            "range": not self.instant,
            "refId": ref,
        }
        return found | ({"legendFormat": self.legend} if self.legend else {})


@dataclass(frozen=True)
class Panel:
    """One panel without its place."""

    kind: str
    title: str
    description: str
    queries: tuple[Query, ...]
    unit: str
    width: int
    height: int
    no_value: str = "no data"
    defaults: Json = field(default_factory=dict)
    custom: Json = field(default_factory=dict)
    options: Json = field(default_factory=dict)
    overrides: tuple[Json, ...] = ()
    transformations: tuple[Json, ...] = ()

    def json(self, number: int, x: int, y: int) -> Json:
        """Return the panel at its place."""
        defaults: Json = {"unit": self.unit, "noValue": self.no_value, **self.defaults}
        if self.custom:
            defaults["custom"] = self.custom
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "pluginVersion": GRAFANA,
            "datasource": SOURCE,
            "gridPos": {"h": self.height, "w": self.width, "x": x, "y": y},
            "interval": MIN_INTERVAL,
            "maxDataPoints": POINTS,
            "targets": [
                query.json(ref) for ref, query in zip("ABCDEFGH", self.queries, strict=False)
            ],
            "fieldConfig": {"defaults": defaults, "overrides": list(self.overrides)},
            "options": self.options,
            "transformations": list(self.transformations),
        }


@dataclass(frozen=True)
class Section:
    """A row of the dashboard, and the panels under it."""

    title: str
    panels: tuple[Panel, ...]


# What values mean


@dataclass(frozen=True)
class Word:
    """What stands for a value, and in which colour."""

    text: str
    color: str = ""


def value_map(words: Mapping[str, Word]) -> Json:
    """Show words instead of values."""
    options: Json = {}
    for index, (value, word) in enumerate(words.items()):
        options[value] = {"index": index, "text": word.text}
        if word.color:
            options[value]["color"] = word.color
    return {"type": "value", "options": options}


YES_NO = value_map({"1": Word("yes", BLUE), "0": Word("no", VERMILION)})


def steps(*borders: tuple[float | None, str]) -> Json:
    """Color by thresholds; the first border is None."""
    return {
        "mode": "absolute",
        "steps": [{"value": border, "color": color} for border, color in borders],
    }


PLAIN = steps((None, BLUE))


def override(name: str, **properties: Any) -> Json:
    """Set properties of one field; `__` in a property's name stands for a dot."""
    return _override("byName", name, properties)


def override_of_query(ref: str, **properties: Any) -> Json:
    """Set properties of all that one query gives."""
    return _override("byFrameRefID", ref, properties)


def _override(matcher: str, which: str, properties: Json) -> Json:
    return {
        "matcher": {"id": matcher, "options": which},
        "properties": [
            {"id": key.replace("__", "."), "value": value} for key, value in properties.items()
        ],
    }


def shown_by_name(first_word: str) -> Json:
    """Set a field whose name is all that it has to say; its value is always 1."""
    runs = [value_map({"1": Word("runs", BLUE)})]
    return _override("byRegexp", f"/^{first_word} /", {"mappings": runs, "unit": "none"})


def colored(colors: Mapping[str, str]) -> tuple[Json, ...]:
    """Give series fixed colours, so that a state looks the same everywhere."""
    return tuple(
        override(name, color={"mode": "fixed", "fixedColor": color})
        for name, color in colors.items()
    )


def link(title: str, url: str) -> Json:
    """Make a field a link."""
    return {"title": title, "url": url, "targetBlank": False}


# Kinds of panels


def timeseries(
    title: str,
    description: str,
    *queries: Query,
    unit: str,
    width: int = 12,
    height: int = 8,
    calcs: Sequence[str] = ("lastNotNull", "max"),
    stacked: bool = False,
    bars: bool = False,
    minimum: float | None = 0,
    maximum: float | None = None,
    decimals: int | None = None,
    colors: Mapping[str, str] | None = None,
    no_value: str = "no data",
) -> Panel:
    """Draw courses as lines, or as bars where things are counted. A gap in the data stays a gap."""
    custom: Json = {
        "drawStyle": "bars" if bars else "line",
        "fillOpacity": 70 if bars else 15 if stacked else 0,
        "lineWidth": 0 if bars else 2,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
        "axisSoftMin": 0,
    }
    limits = {"min": minimum, "max": maximum, "decimals": decimals}
    return Panel(
        "timeseries",
        title,
        description,
        queries,
        unit,
        width,
        height,
        no_value=no_value,
        defaults={
            "color": {"mode": "palette-classic-by-name"},
            **{name: value for name, value in limits.items() if value is not None},
        },
        custom=custom,
        options={
            "legend": {
                "showLegend": True,
                "displayMode": "table",
                "placement": "bottom",
                "calcs": list(calcs),
                "sortBy": "Max" if "max" in calcs else "Total",
                "sortDesc": True,
            },
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        overrides=colored(colors or {}),
    )


def stat(
    title: str,
    description: str,
    *queries: Query,
    unit: str,
    width: int,
    height: int = 4,
    colors: Json = PLAIN,
    mappings: Sequence[Json] = (),
    overrides: tuple[Json, ...] = (),
    background: bool = False,
    no_value: str = "not known",
) -> Panel:
    """Show values of this moment, large."""
    return Panel(
        "stat",
        title,
        description,
        queries,
        unit,
        width,
        height,
        no_value=no_value,
        defaults={
            "color": {"mode": "thresholds"},
            "thresholds": colors,
            "mappings": list(mappings),
        },
        options={
            "colorMode": "background_solid" if background else "value",
            "graphMode": "none",
            "justifyMode": "auto",
            "orientation": "auto",
            "textMode": "value_and_name" if len(queries) > 1 else "auto",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        },
        overrides=overrides,
    )


def state_timeline(
    title: str,
    description: str,
    *queries: Query,
    mappings: Sequence[Json],
    width: int = 24,
    height: int = 8,
    links: Sequence[Json] = (),
    overrides: tuple[Json, ...] = (),
    show_value: str = "auto",
    no_value: str = "no data",
) -> Panel:
    """Show states over time, one row a series. Where nothing is known, nothing is drawn."""
    return Panel(
        "state-timeline",
        title,
        description,
        queries,
        "none",
        width,
        height,
        no_value=no_value,
        defaults={
            "color": {"mode": "thresholds"},
            "thresholds": steps((None, GREY)),
            "mappings": list(mappings),
            **({"links": list(links)} if links else {}),
        },
        custom={"fillOpacity": 85, "lineWidth": 0, "spanNulls": False, "insertNulls": False},
        options={
            "alignValue": "left",
            "mergeValues": True,
            "rowHeight": 0.8,
            "showValue": show_value,
            "perPage": 20,
            "legend": {"showLegend": True, "displayMode": "list", "placement": "bottom"},
            "tooltip": {"mode": "single", "sort": "none"},
        },
        overrides=overrides,
    )


def table(
    title: str,
    description: str,
    query: Query,
    columns: Mapping[str, str],
    *,
    unit: str = "none",
    width: int = 24,
    height: int = 9,
    sort: str = "",
    descending: bool = False,
    overrides: tuple[Json, ...] = (),
    no_value: str = "no data",
) -> Panel:
    """Show one instant query as a table with pages. `columns`: fields in order, and their heads."""
    return Panel(
        "table",
        title,
        description,
        (replace(query, instant=True, table=True),),
        unit,
        width,
        height,
        no_value=no_value,
        defaults={"color": {"mode": "fixed", "fixedColor": "text"}},
        custom={"align": "left", "filterable": True},
        options={
            "showHeader": True,
            "cellHeight": "sm",
            "footer": {"show": False, "reducer": ["sum"], "enablePagination": True},
            **({"sortBy": [{"displayName": sort, "desc": descending}]} if sort else {}),
        },
        overrides=overrides,
        transformations=(
            {
                "id": "organize",
                "options": {
                    "excludeByName": {"Time": True, "Value": "Value" not in columns},
                    "indexByName": {name: index for index, name in enumerate(columns)},
                    "renameByName": {name: head for name, head in columns.items() if name != head},
                },
            },
        ),
    )


# Variables, annotations, the whole


def datasource_variable() -> Json:
    """Let the viewer choose the Prometheus; so no data source is written into a dashboard."""
    return {
        "name": "datasource",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
        "refresh": 1,
        "regex": "",
        "hide": 0,
        "multi": False,
        "includeAll": False,
        "current": {},
        "options": [],
    }


def query_variable(name: str, label: str, expr: str, kind: int = LABEL_VALUES) -> Json:
    """Offer what Prometheus knows in the time range that is shown."""
    expr = " ".join(expr.split())
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "definition": expr,
        "query": {
            "qryType": kind,
            "query": expr,
            "refId": "PrometheusVariableQueryEditor-VariableQuery",
        },
        "refresh": 2,
        "regex": "",
        "sort": 1,
        "hide": 0,
        "multi": False,
        "includeAll": False,
        "current": {},
        "options": [],
    }


def list_variable(name: str, label: str, expr: str, regex: str) -> Json:
    """Keep a list that Prometheus gives anew for each time range; nobody sees or chooses it."""
    return query_variable(name, label, expr, QUERY_RESULT) | {
        "regex": regex,
        "sort": 0,
        "hide": 2,
        "multi": True,
        "includeAll": True,
        "current": {"text": ["All"], "value": ["$__all"]},
        "skipUrlSync": True,
    }


def choice_variable(name: str, label: str, choices: Mapping[str, str]) -> Json:
    """Offer fixed values, the first of them to begin with."""
    options = [
        {"text": text, "value": value, "selected": index == 0}
        for index, (text, value) in enumerate(choices.items())
    ]
    return {
        "name": name,
        "label": label,
        "type": "custom",
        "query": ", ".join(
            value if text == value else f"{text} : {value}" for text, value in choices.items()
        ),
        "hide": 0,
        "multi": False,
        "includeAll": False,
        "current": {"text": options[0]["text"], "value": options[0]["value"]},
        "options": options,
    }


def annotation(
    name: str, expr: str, color: str, title: str, text: str, *, value_is_time: bool = False
) -> Json:
    """Mark moments in all panels. `expr` must give a value then and at no other time."""
    return {
        "name": name,
        "datasource": SOURCE,
        "enable": True,
        "hide": False,
        "iconColor": color,
        "expr": " ".join(expr.split()),
        "step": MIN_INTERVAL,
        "titleFormat": title,
        "textFormat": text,
        "useValueForTime": value_is_time,
    }


def to_dashboard(title: str, uid: str) -> Json:
    """Link to another dashboard and keep the time range."""
    return {
        "title": title,
        "type": "link",
        "url": f"/d/{uid}?${{datasource:queryparam}}",
        "icon": "dashboard",
        "tooltip": "",
        "tags": [],
        "asDropdown": False,
        "targetBlank": False,
        "includeVars": False,
        "keepTime": True,
    }


@dataclass(frozen=True)
class Dashboard:
    """A whole dashboard."""

    uid: str
    title: str
    description: str
    since: str
    variables: tuple[Json, ...]
    annotations: tuple[Json, ...]
    links: tuple[Json, ...]
    sections: tuple[Section, ...]
    refresh: str = "30s"

    def json(self) -> Json:
        """Return the document that Grafana loads."""
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": TAGS,
            "editable": False,
            "graphTooltip": 1,
            "refresh": self.refresh,
            "schemaVersion": SCHEMA_VERSION,
            "timezone": "browser",
            "time": {"from": self.since, "to": "now"},
            "links": list(self.links),
            "templating": {"list": [datasource_variable(), *self.variables]},
            "annotations": {"list": list(self.annotations)},
            "panels": list(_placed(self.sections)),
        }


def _placed(sections: Iterable[Section]) -> Iterable[Json]:
    """Put panels side by side while they fit, then below the tallest of them."""
    number, y = 0, 0
    for section in sections:
        number += 1
        yield _row(number, section.title, y)
        x, y, tallest = 0, y + 1, 0
        for panel in section.panels:
            if x + panel.width > WIDTH:
                x, y, tallest = 0, y + tallest, 0
            number += 1
            yield panel.json(number, x, y)
            x, tallest = x + panel.width, max(tallest, panel.height)
        y += tallest


def _row(number: int, title: str, y: int) -> Json:
    return {
        "id": number,
        "type": "row",
        "title": title,
        "collapsed": False,
        "gridPos": {"h": 1, "w": WIDTH, "x": 0, "y": y},
        "panels": [],
    }
