"""The Grafana dashboards are whole and true to what is exported. No Grafana runs here."""

import itertools
import json
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from dashboards.__main__ import documents
from dashboards.queries import FIX_MAP, REASON_MAP, SIDE_MAP
from reconciler.core.reasons import MEANINGS
from tests.grafana import (
    DASHBOARDS,
    FOLDER,
    Asked,
    Json,
    View,
    asked,
    metrics_of,
    offers,
    panels,
    read,
    seconds,
    variables,
)
from tests.grafana_types import faults

ROOT = Path(__file__).parents[1]
METRICS = (ROOT / "docs" / "metrics.md").read_text()
KINDS = {"stat", "timeseries", "state-timeline", "table"}  # none of them is deprecated
VARIABLES = {
    "fleet": {"datasource", "show", "rows", "worst"},
    "airport": {"datasource", "airport", "connection"},
}
MACROS = {
    *("__interval", "__interval_ms", "__rate_interval", "__range"),
    *("__all", "__url_time_range", "__data", "__field"),
}
COLORBLIND_SAFE = {
    *("#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00", "#CC79A7", "#999999", "#555555"),
    "text",
}

each = pytest.mark.parametrize("name", DASHBOARDS)


def everywhere(value: Any) -> list[tuple[str, Any]]:
    """Return every key and its value, however deep."""
    if isinstance(value, dict):
        below = itertools.chain.from_iterable(everywhere(one) for one in value.values())
        return [*value.items(), *below]
    if isinstance(value, list):
        return list(itertools.chain.from_iterable(everywhere(one) for one in value))
    return []


@each
def test_the_file_is_what_the_generator_makes(name: str) -> None:
    text = (FOLDER / "dashboards" / f"{name}.json").read_text()
    assert text == documents()[f"{name}.json"], "run: .venv/bin/python -m dashboards"


def test_there_is_no_other_dashboard() -> None:
    found = {file.stem for file in (FOLDER / "dashboards").iterdir()}
    assert found == set(DASHBOARDS) == {Path(file).stem for file in documents()}


@each
def test_grafana_knows_every_key_and_takes_every_value(name: str) -> None:
    assert faults(read(name)) == []


def _misspell_an_option(one: Json) -> None:
    one["options"]["shwoValue"] = one["options"].pop("showValue")


def _take_no_choice(one: Json) -> None:
    one["options"]["showValue"] = "sometimes"


def _give_a_text_for_a_number(one: Json) -> None:
    one["gridPos"]["h"] = "8"


def _misspell_a_format(one: Json) -> None:
    one["targets"][0]["format"] = "tabel"


@pytest.mark.parametrize(
    "spoil",
    [_misspell_an_option, _take_no_choice, _give_a_text_for_a_number, _misspell_a_format],
)
def test_this_check_finds_what_grafana_would_not_take(spoil: Any) -> None:
    dashboard = deepcopy(read("fleet"))
    spoil(next(one for one in panels(dashboard) if one["type"] == "state-timeline"))
    assert len(faults(dashboard)) == 1


@each
def test_the_dashboard_is_found_again_and_is_not_edited_by_chance(name: str) -> None:
    dashboard = read(name)
    assert dashboard["uid"] == f"vpn-{name}"
    assert dashboard["editable"] is False
    assert dashboard["tags"] == ["vpn"]
    assert dashboard["schemaVersion"] >= 39
    assert "id" not in dashboard


@each
def test_ids_titles_and_ref_ids_are_there_once(name: str) -> None:
    numbers = [one["id"] for one in read(name)["panels"]]
    titles = [one["title"] for one in panels(read(name))]
    assert len(set(numbers)) == len(numbers)
    assert len(set(titles)) == len(titles)
    for panel in panels(read(name)):
        refs = [target["refId"] for target in panel["targets"]]
        assert refs
        assert len(set(refs)) == len(refs)


@each
def test_panels_stay_in_the_grid_and_cover_no_other(name: str) -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in read(name)["panels"]:
        place = panel["gridPos"]
        assert 0 <= place["x"] <= place["x"] + place["w"] <= 24
        columns = range(place["x"], place["x"] + place["w"])
        lines = range(place["y"], place["y"] + place["h"])
        for cell in itertools.product(columns, lines):
            assert cell not in taken, f"{panel['title']} is on {taken[cell]}"
            taken[cell] = panel["title"]


@each
def test_every_panel_says_what_it_shows_in_which_unit_and_what_no_data_means(name: str) -> None:
    for panel in panels(read(name)):
        assert panel["type"] in KINDS, panel["title"]
        assert len(panel["description"]) > 25, panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["unit"], panel["title"]
        assert defaults["noValue"], panel["title"]
        assert seconds(panel["interval"]) >= 15, panel["title"]


@each
def test_gaps_stay_gaps(name: str) -> None:
    for panel in panels(read(name)):
        if panel["type"] in ("timeseries", "state-timeline"):
            assert panel["fieldConfig"]["defaults"]["custom"]["spanNulls"] is False


@each
def test_no_data_source_is_written_into_it(name: str) -> None:
    sources = [value for key, value in everywhere(read(name)) if key == "datasource"]
    assert sources
    assert all(one == {"type": "prometheus", "uid": "${datasource}"} for one in sources)
    assert variables(read(name))["datasource"]["type"] == "datasource"


@each
def test_only_known_variables_and_macros_are_used(name: str) -> None:
    assert set(variables(read(name))) == VARIABLES[name]
    text = json.dumps(read(name))
    used = {a or b for a, b in re.findall(r"\$(?:\{(\w+)[^}]*\}|([A-Za-z_]\w*))", text)}
    assert used <= VARIABLES[name] | MACROS


@each
def test_colors_are_those_that_the_color_blind_can_tell_apart(name: str) -> None:
    colors = {
        value
        for key, value in everywhere(read(name))
        if key in ("color", "fixedColor", "iconColor") and isinstance(value, str)
    }
    assert colors <= COLORBLIND_SAFE


@each
def test_nothing_is_asked_twice(name: str) -> None:
    queries = [(one.expr, one.instant) for one in asked(name)]
    assert len(set(queries)) == len(queries)


@each
def test_rates_are_taken_over_the_rate_interval_or_the_whole_range(name: str) -> None:
    for one in asked(name):
        windows = re.findall(r"\[([^\]]+)\]", one.expr)
        assert set(windows) <= {"$__rate_interval", "$__range"}, one.where


@each
def test_every_metric_is_documented(name: str) -> None:
    exprs = [one.expr for one in asked(name)] + list(offers(name).values())
    used = set().union(*(metrics_of(expr) for expr in exprs)) - {"ALERTS", "ALERTS_FOR_STATE"}
    assert used
    documented = set(re.findall(r"`(vpn_\w+)`", METRICS))
    plain = {re.sub(r"(?<=_seconds)_(bucket|sum|count)$", "", metric) for metric in used}
    assert plain <= documented, sorted(plain - documented)


@each
def test_every_override_and_column_meets_a_series(name: str) -> None:
    """A misspelt name in an override is no error to Grafana: it just does nothing."""
    for panel in panels(read(name)):
        names = possible_names(panel)
        for one in panel["fieldConfig"]["overrides"]:
            if one["matcher"]["id"] == "byName":
                assert one["matcher"]["options"] in names, panel["title"]
            if one["matcher"]["id"] == "byFrameRefID":
                refs = {target["refId"] for target in panel["targets"]}
                assert one["matcher"]["options"] in refs, panel["title"]
        for sort in panel["options"].get("sortBy", []):
            assert sort["displayName"] in names, panel["title"]


def possible_names(panel: Json) -> set[str]:
    """Return what the fields of a panel can be called."""
    names: set[str] = set()
    for change in panel["transformations"]:
        options = change["options"]
        names |= {options["renameByName"].get(key, key) for key in options["indexByName"]}
    for target in panel["targets"]:
        legend = target.get("legendFormat", "")
        is_label = re.fullmatch(r"\{\{\w+\}\}", legend)
        names |= words_about(target["expr"]) if is_label else {legend}
    return names


def words_about(expr: str) -> set[str]:
    """Return every word that is said of a query's metrics; values of labels are among them."""
    rows = [row for row in METRICS.splitlines() if row.startswith("|")]
    texts = [row for row in rows for name in metrics_of(expr) if f"`{name}`" in row]
    texts += [(ROOT / "docs" / f"{page}.md").read_text() for page in ("reasons", "status")]
    return set(re.findall(r"[\w-]+", " ".join(texts)))


def test_no_picture_of_the_fleet_draws_every_tunnel_and_tables_have_pages() -> None:
    for panel in panels(read("fleet")):
        if panel["type"] == "table":
            assert panel["options"]["footer"]["enablePagination"] is True
        for target in panel["targets"]:
            if "{{connection}}" in target.get("legendFormat", ""):
                assert re.search(r"topk\(10,|connection=~\"\$\{worst", target["expr"])


def test_words_for_reasons_are_those_of_the_product() -> None:
    for code, meaning in MEANINGS.items():
        assert REASON_MAP["options"][code]["text"] == meaning.sentence
        assert SIDE_MAP["options"][code]["text"] == meaning.side.value
        assert FIX_MAP["options"][code]["text"] == meaning.fix.replace("`", "")


@each
def test_every_panel_stands_in_the_documentation(name: str) -> None:
    text = (ROOT / "docs" / "dashboards.md").read_text()
    table = text.split(f"\n## VPN {name}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (.*?) \| .* \|$", table, re.MULTILINE)
    assert rows == ["panel", *(panel["title"] for panel in panels(read(name)))]


def test_links_lead_to_dashboards_that_exist_and_set_their_variables() -> None:
    uids = {f"vpn-{name}" for name in DASHBOARDS}
    found = 0
    for name in DASHBOARDS:
        for key, value in everywhere(read(name)):
            if key == "url":
                path, _, query = value.partition("?")
                assert path.removeprefix("/d/") in uids
                assert set(re.findall(r"var-(\w+)=", query)) <= VARIABLES["airport"]
                found += 1
    assert found > 3


def test_macros_are_put_in_as_grafana_documents_them() -> None:
    view = View(start=0, end=3600, chosen={"airport": "kspb", "show": "> 0"})
    query = Asked("here", "a", instant=False, min_step="30s", points=400)
    assert view.step_s(query) == 30
    assert View(0, 40_000, {}).step_s(query) == 100
    assert view.put_in('a{b="$airport"}[$__rate_interval] ${show:raw}', 30) == (
        'a{b="kspb"}[60s] > 0'
    )
    assert view.put_in("a[$__range] offset $__interval", 100) == "a[3600s] offset 100s"
    assert view.put_in("[$__rate_interval]", 100) == "[115s]"
    with pytest.raises(KeyError):
        view.put_in("$nothing", 30)


def test_the_table_of_queries_is_not_empty() -> None:
    assert all(isinstance(one, Asked) for name in DASHBOARDS for one in asked(name))
    assert sum(len(asked(name)) for name in DASHBOARDS) > 60


def test_provisioning_offers_the_data_source_and_keeps_the_dashboards() -> None:
    folder = FOLDER / "provisioning"
    source = settings(folder / "datasources" / "prometheus.yaml")
    assert (source["type"], source["access"]) == ("prometheus", "proxy")
    assert source["url"] == "${DATASOURCE_URL}"
    assert source["editable"] == "false"
    provider = settings(folder / "dashboards" / "vpn.yaml")
    assert (provider["type"], provider["allowUiUpdates"]) == ("file", "false")


def settings(file: Path) -> dict[str, str]:
    """Return the scalars of a YAML file in which each key stands once."""
    pairs = re.findall(r"^[ -]*(\w+): +(\S[^#\n]*?) *(?:#.*)?$", file.read_text(), re.MULTILINE)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)
