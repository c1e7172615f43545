"""docs/metrics.md says what is really exported, no more and no less."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from reconciler.core.actions import Action, ContainerAction
from reconciler.core.reasons import FAILURES
from reconciler.core.status import CameraStatus, Status
from reconciler.edges.metrics import REASONS, Metrics
from reconciler.edges.probe_metrics import ProbeMetrics
from tests.edges.status_samples import TALLIES, everything
from tests.edges.test_probes import OK, Told, probe

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "metrics.md").read_text()
OF_EACH_TUNNEL = {"airport", "connection"}
Described = dict[str, tuple[str, set[str]]]


def described() -> Described:
    """Return type and labels by name, as the tables of the page have them."""
    return {name: (kind, labels) for name, kind, labels, _ in rows()}


def rows() -> Iterator[tuple[str, str, set[str], str]]:
    for section in PAGE.split("\n## ")[1:]:
        common = OF_EACH_TUNNEL if section.startswith("Tunnels\n") else set()
        for line in section.splitlines():
            if not line.startswith("| `vpn_"):
                continue
            first, kind, labels, meaning = (cell.strip() for cell in line.strip("|").split("|"))
            name = re.fullmatch(r"`(vpn_\w+)`( \*)?", first)
            assert name, first
            yield name[1], kind, common | set(re.findall(r"`(\w+)`", labels)), meaning


def told(status: Status) -> str:
    """Return all that a reconciler tells that probes a tunnel and its camera."""
    metrics, (name, *_) = Metrics(), status.connections
    camera = {
        name: status.connections[name].model_copy(update={"cameras": (CameraStatus(name="North"),)})
    }
    found = status.model_copy(update={"connections": {**status.connections, **camera}})
    prober = Told((probe(name), OK), (probe(name, 0), OK))
    ProbeMetrics(metrics.registry, prober, lambda: found, lambda: 110.0)
    metrics.publish(found, TALLIES, (), 0.1)
    return metrics.text().decode()


def exported() -> dict[str, Metric]:
    families = text_string_to_metric_families(told(everything()))
    return {f.name + ("_total" if f.type == "counter" else ""): f for f in families}


def described_by(family: Metric) -> tuple[str, set[str]]:
    labels = {label for sample in family.samples for label in sample.labels} - {"le"}
    return family.type, labels


def test_each_metric_stands_on_the_page_once() -> None:
    names = [name for name, *_ in rows()]
    assert len(names) == len(set(names))
    assert len(names) > 40


def test_the_page_names_what_is_exported_with_type_and_labels() -> None:
    found = exported()
    assert all(family.samples for family in found.values()), "the sample status lacks something"
    assert described() == {name: described_by(family) for name, family in found.items()}


def test_a_star_marks_what_is_absent_while_charon_can_not_be_reached() -> None:
    found = everything()
    unseen = {n: c.model_copy(update={"observed": False}) for n, c in found.connections.items()}
    daemon = found.daemon.model_copy(update={"reachable": False})
    text = told(found.model_copy(update={"connections": unseen, "daemon": daemon}))
    there = {s.name for f in text_string_to_metric_families(text) for s in f.samples}
    starred = set(re.findall(r"^\| `(vpn_\w+)` \* \|", PAGE, re.MULTILINE))
    assert starred == {name for name in described() if name not in there} - {
        "vpn_round_duration_seconds"
    }


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("vpn_connection_state", "state"),
        ("vpn_connection_health", "health"),
        ("vpn_connection_key_rotation", "stage"),
        ("vpn_connection_rekeys_total", "sa"),
        ("vpn_container_health", "health"),
        ("vpn_daemon_workers_active", "priority"),
        ("vpn_configuration_reads_total", "result"),
        ("vpn_airports", "state"),
        ("vpn_rounds_total", "result"),
        ("vpn_actions_total", "result"),
    ],
)
def test_the_values_of_a_label_are_named(name: str, label: str) -> None:
    meaning = next(words for found, _, _, words in rows() if found == name).lower()
    values = {sample.labels[label] for sample in exported()[name].samples if label in sample.labels}
    assert values
    assert [value for value in values if not re.search(rf"\b{value}\b", meaning)] == []


def test_the_actions_are_explained() -> None:
    kinds = {kind.__name__ for kind in (*Action.__args__, *ContainerAction.__args__)}
    table = PAGE.split("`action` is one of:")[1]
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    assert {name for line in rows for name in re.findall(r"`(\w+)`", line.split(" | ")[0])} == kinds


def test_the_codes_are_those_of_the_page_of_reasons() -> None:
    samples = exported()["vpn_connection_failures_total"].samples
    assert {sample.labels["reason"] for sample in samples} == {code.value for code in FAILURES}


def test_every_reason_for_a_round_stands_on_the_page_of_the_status_and_begins_at_zero() -> None:
    lines = (DOCS / "status.md").read_text().splitlines()
    row = next(line for line in lines if "why the round was made" in line)
    words = re.findall(r"`([^`]+)`", row.split(" | ")[1])
    container = words.index("container")
    expected = {*words[:container], *(f"container {one}" for one in words[container + 1 :])}
    assert set(REASONS) == expected - {"apply"}  # which is a command of its own, without metrics
