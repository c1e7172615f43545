"""The alert rules are complete, documented and tested. promtool is asked in test_promtool.py."""

import re

import pytest

from tests.pages import anchors
from tests.prometheus.rules import (
    ROOT,
    Alert,
    alerts,
    cases,
    metrics_in,
    recorded,
    rule_tests,
    rules,
    sources_of,
)

SEVERITIES = {"critical", "warning", "info"}
SCOPES = {"tunnel", "hub", "reconciler", "target"}
DOCUMENTED = set(re.findall(r"`(vpn_[a-z_]+)`", (ROOT / "docs" / "metrics.md").read_text()))
MONITORING = (ROOT / "docs" / "monitoring.md").read_text()
ALL = pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert.name)


def row(alert: Alert) -> str:
    """Return the line of docs/monitoring.md that an alert must have."""
    said = re.sub(r"\{\{ \$labels\.(\w+) \}\}", r"*\1*", alert.annotations["summary"])
    page = alert.annotations["runbook"].removeprefix("docs/")
    cells = [
        f"`{alert.name}`",
        alert.labels["severity"],
        "at once" if alert.after == "0s" else alert.after,
    ]
    cells += [said, f"{alert.annotations['action']} [More]({page})"]
    return f"| {' | '.join(cells)} |"


def test_no_name_is_used_twice() -> None:
    names = [rule.get("alert") or rule["record"] for rule in rules()]
    assert len(names) == len(set(names))


@ALL
def test_an_alert_says_what_is_wrong_and_what_to_do(alert: Alert) -> None:
    assert alert.labels.keys() == {"severity", "scope"}
    assert alert.labels["severity"] in SEVERITIES
    assert alert.labels["scope"] in SCOPES
    assert alert.annotations.keys() == {"summary", "description", "action", "runbook"}
    assert "{{" not in alert.annotations["action"], "documentation shows it as it is"


@ALL
def test_its_runbook_leads_to_a_heading_that_is_there(alert: Alert) -> None:
    page, _, anchor = alert.annotations["runbook"].partition("#")
    assert anchor in anchors(ROOT / page), alert.annotations["runbook"]


@ALL
def test_an_alert_has_a_test_in_which_it_fires(alert: Alert) -> None:
    assert any(
        case.fires for path in rule_tests() for case in cases(path) if case.alert == alert.name
    )


@ALL
def test_an_alert_has_a_test_in_which_it_keeps_quiet_though_its_metrics_are_there(
    alert: Alert,
) -> None:
    quiet = [
        case
        for path in rule_tests()
        for case in cases(path)
        if case.alert == alert.name and not case.fires
    ]
    assert any(case.metrics & sources_of(alert.expression) for case in quiet)


def test_tests_name_no_alert_that_is_not_there() -> None:
    named = {case.alert for path in rule_tests() for case in cases(path)}
    assert named <= {alert.name for alert in alerts()}


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.get("alert") or rule["record"])
def test_the_metrics_of_a_rule_are_documented(rule: dict[str, str]) -> None:
    known = DOCUMENTED | recorded().keys()
    assert metrics_in(rule["expr"]) <= known, sorted(metrics_in(rule["expr"]) - known)


def test_the_documentation_has_every_alert_as_the_rules_have_it() -> None:
    section = MONITORING.split("\n## The alerts\n")[1].split("\n## ")[0]
    shown = [line for line in section.splitlines() if line.startswith("| `")]
    assert sorted(shown) == sorted(row(alert) for alert in alerts())
