"""What the rules files, and the files that test them, say."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
RULES = ROOT / "manifests" / "prometheus" / "rules"
TESTS = Path(__file__).parent
_METRIC = re.compile(r"\b(?:[a-z]+:)?vpn_[a-z_]+(?::[a-z0-9]+)?")


@dataclass(frozen=True)
class Alert:
    """One alert rule."""

    name: str
    expression: str
    after: str
    labels: dict[str, str]
    annotations: dict[str, str]


@dataclass(frozen=True)
class Case:
    """One expectation of a test: that an alert fires, or that it keeps quiet."""

    alert: str
    fires: bool
    metrics: frozenset[str]  # that the test feeds


def metrics_in(expression: str) -> frozenset[str]:
    """Return the names of metrics, recorded ones included."""
    return frozenset(_METRIC.findall(expression))


def rules() -> list[dict[str, Any]]:
    documents = [yaml.safe_load(path.read_text()) for path in sorted(RULES.glob("*.yml"))]
    return [rule for each in documents for group in each["groups"] for rule in group["rules"]]


def recorded() -> dict[str, str]:
    """Return the expressions of what is recorded, by name."""
    return {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}


def alerts() -> list[Alert]:
    return [
        Alert(
            rule["alert"],
            rule["expr"],
            rule.get("for", "0s"),
            rule.get("labels", {}),
            rule.get("annotations", {}),
        )
        for rule in rules()
        if "alert" in rule
    ]


def sources_of(expression: str) -> frozenset[str]:
    """Return the metrics that an expression is made from, recorded ones taken apart."""
    expressions, found = recorded(), set[str]()
    for name in metrics_in(expression):
        found |= sources_of(expressions[name]) if name in expressions else {name}
    return frozenset(found) | ({"up"} if re.search(r"\bup\{", expression) else set())


def rule_tests() -> list[Path]:
    return sorted(TESTS.glob("*.yml"))


def cases(path: Path) -> Iterator[Case]:
    """Yield what one file of tests expects."""
    for test in yaml.safe_load(path.read_text())["tests"]:
        fed = frozenset(one["series"].partition("{")[0] for one in test["input_series"])
        for expected in test.get("alert_rule_test", ()):
            yield Case(expected["alertname"], bool(expected.get("exp_alerts")), fed)
        for expected in test.get("promql_expr_test", ()):
            for sample in expected.get("exp_samples", ()):
                name = re.search(r'alertname="(\w+)"', sample["labels"])
                if name and 'alertstate="firing"' in sample["labels"]:
                    yield Case(name.group(1), True, fed)
