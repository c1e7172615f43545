"""Every query of every dashboard, asked of a real Prometheus that scrapes the running stack.

What must give something at any time is asked while all is well. What is about trouble is asked in
that trouble: `IN` says which, and every query is in one of the two lists.
"""

import json
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.error import HTTPError

import pytest

from tests.docker import docker, eventually
from tests.e2e.monitoring import Prometheus
from tests.e2e.monitoring import prometheus as prometheus_beside
from tests.e2e.stack import (
    GATEWAY,
    PREFIX,
    RECONCILER,
    ROOT,
    Airports,
    Stack,
    declaration,
    new_psk,
)
from tests.grafana import DASHBOARDS, Asked, View, asked, offers, read, variables

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

RANGE_S = 900.0
SEEN_WITHIN_S = 75  # two scrapes, a round, and the least window of a rate

# Queries that give nothing while all is well, by what must be the case for them to give something.
IN: Mapping[str, frozenset[str]] = {
    "a site is cut": frozenset(
        {
            "fleet: Not up: why, since when, and who must act: A",
            "fleet: Alerts: A",
            "airport: Why it is not up, and who must act: A",
            "airport: Reasons: A",
            "airport: Failures by cause: A",
            "airport: annotation not up",
        }
    ),
    "the site is back": frozenset(
        {
            "fleet: Came up most often: A",
            "airport: annotation up",
        }
    ),
    "charon is gone": frozenset(
        {
            "fleet: Tunnels by state: B",
            "fleet: annotation charon does not answer",
        }
    ),
    "charon is back": frozenset(
        {
            "fleet: annotation charon started",
            "airport: annotation charon started",
        }
    ),
    "a site is silent and not as declared": frozenset(
        {
            "fleet: Up, but not as declared: A",
            "fleet: Up, but silent: A",
            "fleet: Actions: A",
            "airport: Reasons: B",
        }
    ),
    "nobody answers where the hub dials": frozenset({"airport: Next attempt of the hub in: A"}),
    "a tunnel is paused": frozenset({"airport: annotation paused"}),
    "a key is rotated": frozenset(
        {"airport: Rotation of the key: A", "airport: annotation key rotation"}
    ),
}


@pytest.fixture(scope="module")
def watched(whole_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with prometheus_beside(tmp_path_factory.mktemp("watched"), name=f"{PREFIX}grafana") as found:
        yield found


@pytest.fixture
def prometheus(stack: Stack, watched: Prometheus) -> Prometheus:
    return watched


def answer(prometheus: Prometheus, query: Asked, view: View) -> list[Any]:
    """Return the series that a panel or an annotation gets."""
    step_s = view.step_s(query)
    expr = view.put_in(query.expr, step_s)
    try:
        if query.instant:
            return prometheus.query(expr)
        return prometheus.query_range(expr, view.start, view.end, step_s)
    except HTTPError as error:
        raise AssertionError(f"{query.where}: {error.read().decode()}\n{expr}") from error


def offered(prometheus: Prometheus, query: str, view: View) -> list[str]:
    """Return what a variable offers."""
    expr = view.put_in(query, 30)
    if found := re.fullmatch(r"label_values\((.*), (\w+)\)", expr):
        times = {"start": str(view.start), "end": str(view.end)}
        path = f"/api/v1/label/{found[2]}/values"
        return list(prometheus.get(path, **{"match[]": found[1]}, **times)["data"])
    inner = expr.removeprefix("query_result(").removesuffix(")")
    assert inner != expr
    return [text_of(series) for series in prometheus.query(inner)]


def text_of(series: Any) -> str:
    """Write a series as Grafana does for query_result()."""
    labels = ",".join(f' {name}="{value}"' for name, value in series["metric"].items())
    return f"{{{labels} }} {series['value'][1]} {series['value'][0]}"


def view_of(prometheus: Prometheus, airport: str, show: str = "> 0") -> View:
    """Look at one airport, and in the fleet at what Grafana would choose."""
    end = time.time()
    chosen = {"airport": airport, "connection": f"{airport}_vpn", "show": show, "rows": "40"}
    view = View(end - RANGE_S, end, chosen)
    worst = variables(read("fleet"))["worst"]
    names = [
        found[1]
        for text in offered(prometheus, offers("fleet")["worst"], view)
        if (found := re.search(worst["regex"].strip("/"), text))
    ]
    return View(view.start, end, {**chosen, "worst": f"({'|'.join(names)})"})


def all_queries() -> list[Asked]:
    return [query for name in DASHBOARDS for query in asked(name)]


def loud() -> list[Asked]:
    quiet = frozenset().union(*IN.values())
    return [query for query in all_queries() if query.where not in quiet]


def wait_for(prometheus: Prometheus, queries: list[Asked], airport: str, show: str = "> 0") -> None:
    """Wait until each query has given something; none may fail, not even once."""
    missing = {query.where: query for query in queries}

    def none_is_missing() -> bool:
        view = view_of(prometheus, airport, show)
        for query in list(missing.values()):
            if answer(prometheus, query, view):
                del missing[query.where]
        return not missing

    try:
        eventually(none_is_missing, SEEN_WITHIN_S, every_s=3)
    except AssertionError as error:
        raise AssertionError(f"nothing for {sorted(missing)}") from error


def wait_in(prometheus: Prometheus, what: str, airport: str) -> None:
    wait_for(prometheus, [query for query in all_queries() if query.where in IN[what]], airport)


def test_every_query_is_in_one_of_the_lists_and_each_list_names_queries_that_exist() -> None:
    everywhere = [query.where for query in all_queries()]
    quiet = [where for wheres in IN.values() for where in wheres]
    assert len(set(everywhere)) == len(everywhere)
    assert len(set(quiet)) == len(quiet)
    assert set(quiet) <= set(everywhere)


def test_while_all_is_well_every_query_gives_something_but_those_about_trouble(
    stack: Stack, prometheus: Prometheus
) -> None:
    wait_for(prometheus, loud(), "kspb", show=">= 0")


def test_the_variables_offer_every_airport_and_its_connection(
    stack: Stack, prometheus: Prometheus
) -> None:
    view = view_of(prometheus, "kczk", show=">= 0")
    assert set(stack.airports()) <= set(offered(prometheus, offers("airport")["airport"], view))
    assert offered(prometheus, offers("airport")["connection"], view) == ["kczk_vpn"]
    assert set(view.chosen["worst"].strip("()").split("|")) >= set(stack.status().connections)


def test_a_site_that_is_cut_is_seen_with_its_reason_and_so_is_its_return(
    stack: Stack, prometheus: Prometheus
) -> None:
    site = f"{PREFIX}site-s51"
    docker("stop", "--time", "1", site)
    try:
        wait_in(prometheus, "a site is cut", "s51")
        view = view_of(prometheus, "s51")
        [row] = answer(prometheus, one("fleet: Not up: why, since when, and who must act: A"), view)
        told = stack.connection("s51_vpn")
        assert told is not None
        assert row["metric"]["airport"] == "s51"
        assert row["metric"]["reason"] == row["metric"]["must_act"] == told.reason_code
        assert float(row["value"][1]) == told.since * 1000
        assert number(prometheus, "airport: State now: A", view) == 1
        assert counts(prometheus, view)[:2] == [2, 1]
        assert "s51_vpn" in view.chosen["worst"]
    finally:
        docker("start", site)
    stack.wait_until_all_up()
    wait_in(prometheus, "the site is back", "s51")


def test_while_charon_is_gone_every_tunnel_is_not_known_and_none_is_down(
    stack: Stack, prometheus: Prometheus
) -> None:
    """Without its way to Docker the reconciler can't start charon again at once."""
    docker("stop", "--time", "2", f"{PREFIX}docker-proxy")
    docker("stop", "--time", "5", GATEWAY)
    try:
        wait_in(prometheus, "charon is gone", "kspb")
        view = view_of(prometheus, "kspb")
        assert number(prometheus, "airport: State now: A", view) == 6
        assert number(prometheus, "fleet: Tunnels now: F", view) == 3
        assert not answer(prometheus, one("fleet: Tunnels now: B"), view)
        rows = answer(prometheus, one("fleet: Not up: why, since when, and who must act: A"), view)
        assert {row["metric"]["reason"] for row in rows} == {"charon-unreachable"}
        assert len(rows) == 3
    finally:
        docker("start", f"{PREFIX}docker-proxy", GATEWAY)
    stack.wait_until_all_up(90)
    wait_in(prometheus, "charon is back", "kspb")


def test_a_site_that_is_silent_and_not_as_declared_is_seen(
    stack: Stack, prometheus: Prometheus
) -> None:
    psk, lan = new_psk(), "192.168.88.0/24"

    def add(airports: Airports) -> None:
        airports["kxyz"] = declaration("kxyz", psk, lan, local_subnet="10.99.0.0/16") | {
            "webcams": [{"name": "Nobody", "url": "http://192.168.88.7/snapshot.jpg"}]
        }

    with (
        stack.site("kxyz", psk, lan, "192.168.88.100", HUB_SUBNET="10.99.7.0/24"),
        stack.edited(add),
    ):
        eventually(lambda: stack.is_up("kxyz_vpn"), 30, "kxyz is up")
        wait_in(prometheus, "a site is silent and not as declared", "kxyz")
        view = view_of(prometheus, "kxyz")
        assert number(prometheus, "airport: State now: A", view) == 4


def test_the_next_attempt_of_the_hub_is_seen(stack: Stack, prometheus: Prometheus) -> None:
    def add(airports: Airports) -> None:
        airports["kfar"] = declaration(
            "kfar", new_psk(), "192.168.89.0/24", remote_address="10.214.1.13"
        )

    with stack.edited(add):
        wait_in(prometheus, "nobody answers where the hub dials", "kfar")


def test_a_paused_tunnel_is_seen_and_is_never_drawn_as_down(
    stack: Stack, prometheus: Prometheus
) -> None:
    def add(airports: Airports) -> None:
        airports["kpse"] = declaration("kpse", new_psk(), "192.168.90.0/24")

    with stack.edited(add):
        eventually(lambda: stack.connection("kpse_vpn") is not None, 10, "kpse is declared")
        docker("exec", RECONCILER, "reconciler", "pause", "kpse_vpn")
        wait_in(prometheus, "a tunnel is paused", "kpse")
        view = view_of(prometheus, "kpse")
        assert number(prometheus, "airport: State now: A", view) == 5
        assert number(prometheus, "fleet: Tunnels now: B", view) == 0
        assert number(prometheus, "fleet: Tunnels now: E", view) == 1


def test_a_disabled_airport_is_in_no_count_of_tunnels(stack: Stack, prometheus: Prometheus) -> None:
    def add(airports: Airports) -> None:
        airports["koff"] = declaration("koff", new_psk(), "192.168.91.0/24", enabled=False)

    before = stack.airports_file.read_text()
    airports = stack.airports()
    add(airports)
    stack.declare(airports)
    try:
        airports_now = one("fleet: Airports in airports.json: A")

        def disabled() -> float:
            view = view_of(prometheus, "kspb")
            found = answer(prometheus, airports_now, view)
            return sum(
                float(series["values"][-1][1])
                for series in found
                if series["metric"]["state"] == "disabled"
            )

        eventually(lambda: disabled() == 1, SEEN_WITHIN_S, "koff is disabled", every_s=3)
        view = view_of(prometheus, "koff", show=">= 0")
        assert counts(prometheus, view) == [3, 0, 0, 0, 0, 0]
        assert not answer(prometheus, one("airport: State over time: A"), view)
        assert "koff" not in view.chosen["worst"]
    finally:
        stack.write(before)


def test_the_stages_of_a_rotated_key_are_seen(stack: Stack, prometheus: Prometheus) -> None:
    def begin(airports: Airports) -> None:
        airports["kspb"]["vpn"]["next_psk"] = new_psk()

    with stack.edited(begin):
        wait_in(prometheus, "a key is rotated", "kspb")


def one(where: str) -> Asked:
    """Return the query that stands at one place."""
    return next(query for query in all_queries() if query.where == where)


def number(prometheus: Prometheus, where: str, view: View) -> float:
    """Return the one value of an instant query."""
    [series] = answer(prometheus, one(where), view)
    return float(series["value"][1])


def counts(prometheus: Prometheus, view: View) -> list[float]:
    """Return up, down, connecting, degraded, paused and not known."""
    return [number(prometheus, f"fleet: Tunnels now: {ref}", view) for ref in "ABCDEF"]


def test_the_monitoring_needs_no_image_that_must_be_pulled(stack: Stack) -> None:
    for file in ("compose.yaml", "compose.demo.yaml"):
        services = configuration(file, "monitoring")["services"]
        assert "prometheus" in services
        assert all(service["image"].startswith("vpn-") for service in services.values())


def test_grafana_is_for_this_machine_only_and_nobody_can_log_in(stack: Stack) -> None:
    production = configuration("compose.yaml", "grafana")["services"]["grafana"]
    assert production["network_mode"] == "host"
    assert production["environment"]["GF_SERVER_HTTP_ADDR"] == "127.0.0.1"
    demo = configuration("compose.demo.yaml", "grafana")["services"]["grafana"]
    assert [port["host_ip"] for port in demo["ports"]] == ["127.0.0.1"]
    for service in (production, demo):
        settings = service["environment"]
        assert settings["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
        assert settings["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
        assert not any("PASSWORD" in name for name in settings)


def configuration(file: str, profile: str) -> Any:
    """Return a Compose file as Compose understands it."""
    command = ("compose", "--file", str(ROOT / file), "--profile", profile)
    return json.loads(docker(*command, "config", "--format", "json"))
