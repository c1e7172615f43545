"""Every log call: a constant message, values as fields, and names where they belong."""

import ast
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.core.observed import IkeSa
from reconciler.core.reasons import Code, Failure
from reconciler.errors import IkeRefused
from tests.builders import vpn
from tests.edges.test_logs import logging_to
from tests.worlds import Bench

PACKAGE = Path(__file__).parents[2] / "reconciler"
LEVELS = {"debug", "info", "warning", "error", "exception", "critical", "log"}
NAMES = {"airport", "connection"}
# Lines with these messages concern one connection each.
ABOUT_ONE = {"action", "transition", "failed attempt", "configuration fault"}
ABOUT_THE_HUB = {"healing.py", "filtering.py"}


def calls() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef | None, ast.Call]]:
    """Yield file, function and call of everything that is logged."""
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text())
        parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _is_log_call(node):
                inside: ast.AST | None = node
                while inside is not None and not isinstance(inside, ast.FunctionDef):
                    inside = parents.get(inside)
                yield path.name, inside, node


def _is_log_call(node: ast.Call) -> bool:
    function = node.func
    return (
        isinstance(function, ast.Attribute)
        and function.attr in LEVELS
        and isinstance(function.value, ast.Name)
        and function.value.id in {"log", "logger", "logging"}
    )


def message(call: ast.Call) -> str:
    """Return the message, which must be written out."""
    assert isinstance(call.func, ast.Attribute)
    given = call.args[1:] if call.func.attr == "log" else call.args
    assert len(given) == 1, f"line {call.lineno}: one message and no arguments"
    assert isinstance(given[0], ast.Constant), f"line {call.lineno}: not constant"
    assert isinstance(given[0].value, str)
    return given[0].value


def fields(function: ast.AST | None, call: ast.Call) -> set[str]:
    """Return the names of the fields, which must be written out in the same function."""
    extra = next((word.value for word in call.keywords if word.arg == "extra"), None)
    if extra is None:
        return set()
    assert isinstance(extra, ast.Dict), f"line {call.lineno}: extra is to be a dict"
    assert [getattr(key, "value", None) for key in extra.keys] == ["fields"]
    given = extra.values[0]
    if isinstance(given, ast.Name):
        assert function is not None
        given = next(
            node.value
            for node in ast.walk(function)
            if isinstance(node, ast.Assign)
            and [getattr(target, "id", "") for target in node.targets] == [given.id]
        )
    assert isinstance(given, ast.Dict), f"line {call.lineno}: the fields are to be written out"
    names = [key.value for key in given.keys if isinstance(key, ast.Constant)]
    assert len(names) == len(given.keys), f"line {call.lineno}: no names that are not constant"
    return {str(name) for name in names}


CALLS = [*calls()]


def test_there_is_something_to_judge() -> None:
    assert len(CALLS) > 20
    assert {message(call) for _, _, call in CALLS} >= ABOUT_ONE | {"round", "round failed"}


@pytest.mark.parametrize(
    ("file", "function", "call"), CALLS, ids=[f"{name}:{call.lineno}" for name, _, call in CALLS]
)
def test_a_log_call_has_a_constant_message_and_names_what_it_is_about(
    file: str, function: ast.AST | None, call: ast.Call
) -> None:
    words = message(call)
    assert "%" not in words
    assert "{" not in words
    assert {word.arg for word in call.keywords} <= {"extra", "exc_info"}
    found = fields(function, call)
    assert not found & {"time", "level", "message", "error", "traceback"}, "these are taken"
    if found & NAMES or (words in ABOUT_ONE and file not in ABOUT_THE_HUB):
        assert found >= NAMES


def test_every_message_stands_in_the_documentation() -> None:
    page = (PACKAGE.parent / "docs" / "cli.md").read_text().split("\n### The log\n")[1]
    table = page.split("\n## ")[0]
    assert {words for _, _, call in CALLS if f"`{(words := message(call))}`" not in table} == set()


def test_nothing_is_printed_but_by_commands() -> None:
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id != "print", path


def lines_of(bench: Bench, level: str = "debug") -> list[dict[str, Any]]:
    """Play an eventful hour; return what is logged."""
    stream = io.StringIO()
    with logging_to(stream, "json", level):
        bench.declare(kspb=vpn(1), kczk=vpn(2), s51=vpn(3))
        bench.ike.faults = {"load_secret": IkeRefused("not now")}
        bench.rounds(2)
        bench.age(10)
        bench.round()
        for name in ("kspb_vpn", "kczk_vpn"):
            bench.ike.dial_in(name)
        bench.round()
        bench.ike.sas.clear()
        bench.evidence.note(Failure("kspb_vpn", Code.DEAD_PEER, "giving up", 1.0))
        bench.round()
        bench.declare(kspb=vpn(1), s51=vpn(3, remote_subnet="192.168.9.0/24"))
        bench.rounds(3)
        bench.restart_reconciler()
        bench.rounds(3)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_every_line_that_concerns_a_connection_names_it_and_its_airport(bench: Bench) -> None:
    lines = lines_of(bench)
    ids = {"kspb", "kczk", "s51"}
    concerned = [
        line for line in lines if any(id_ in str(value) for value in line.values() for id_ in ids)
    ]
    assert {line["message"] for line in concerned} == {"action", "transition", "failed attempt"}
    for line in concerned:
        assert line["airport"] in ids, line
        assert line["connection"] == f"{line['airport']}_vpn", line
        assert line["round"], line


def test_a_round_in_which_something_changed_is_one_line_with_its_counts(bench: Bench) -> None:
    lines = lines_of(bench, "info")
    rounds = [line for line in lines if line["message"] == "round"]
    assert {*rounds[0]} == {
        *("time", "level", "message", "round", "reasons", "up", "down", "connecting", "unknown"),
        *("actions", "failed", "failed_attempts", "took_s"),
    }
    first = rounds[0]
    assert (first["actions"], first["failed"], first["down"], first["reasons"]) == (3, 1, 3, "test")
    assert {line["round"] for line in lines if line["message"] == "transition"} <= {
        line["round"] for line in rounds
    }


def test_rounds_in_which_nothing_changes_say_nothing(three_up: Bench) -> None:
    stream = io.StringIO()
    with logging_to(stream, "json"):
        for _ in range(10):
            three_up.age(21)
            three_up.round()
    assert stream.getvalue() == ""


def test_a_tunnel_that_goes_down_is_a_warning_with_the_reason_and_back_is_good_news(
    three_up: Bench,
) -> None:
    stream = io.StringIO()
    with logging_to(stream, "json"):
        three_up.ike.sas = [sa for sa in three_up.ike.sas if sa.name != "kspb_vpn"]
        three_up.evidence.note(Failure("kspb_vpn", Code.DEAD_PEER, "giving up", 1.0))
        three_up.round()
        three_up.ike.dial_in("kspb_vpn")
        three_up.round()
    told = [json.loads(line) for line in stream.getvalue().splitlines()]
    down, _, up, _ = told
    assert (down["level"], down["message"], down["from"], down["to"]) == (
        *("warning", "transition", "up"),
        "down",
    )
    assert (down["reason_code"], down["reason"]) == ("dead-peer", "the site stopped answering")
    assert (up["level"], up["from"], up["to"]) == ("info", "down", "up")


def test_attempts_in_vain_are_told_once_and_not_for_hours(three_up: Bench) -> None:
    stream = io.StringIO()
    with logging_to(stream, "json"):
        for _ in range(30):
            three_up.ike.sas = [sa for sa in three_up.ike.sas if sa.name != "kspb_vpn"]
            three_up.evidence.note(
                Failure("kspb_vpn", Code.WRONG_PSK, "tried 1 shared key", three_up.clock.elapsed_s)
            )
            three_up.age(20)
            three_up.round()
            three_up.ike.dial_in("kspb_vpn", established_s=0)
            three_up.ike.sas = [
                sa if sa.name != "kspb_vpn" else _negotiating(sa) for sa in three_up.ike.sas
            ]
            three_up.round()
    told = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["from"], line["to"]) for line in told if line["message"] == "transition"] == [
        *(("up", "down"), ("down", "connecting"), ("connecting", "down"))
    ]
    assert len([line for line in told if line["message"] == "round"]) == 3


def _negotiating(sa: IkeSa) -> IkeSa:
    return replace(sa, state="CONNECTING", children=())
