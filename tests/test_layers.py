"""Which file may import what: a decision can't reach the outside, and edges know no other edge."""

import ast
from collections.abc import Iterable
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "reconciler"
CORE = sorted((PACKAGE / "core").rglob("*.py"))
EDGES = sorted((PACKAGE / "edges").glob("*.py"))
PURE = {
    *{"base64", "bisect", "collections", "dataclasses", "datetime", "difflib", "enum", "functools"},
    *{"hashlib", "hmac", "ipaddress", "itertools", "json", "math", "re", "typing", "unicodedata"},
    "pydantic",
    "urllib.parse",  # but nothing else of urllib
}
EDGES_MAY_USE_OF_OURS = {
    "reconciler",
    "reconciler.core",
    "reconciler.errors",
    "reconciler.files",
    "reconciler.ports",
}
# What speaks one wire for several edges: VICI's translation, which is pure, and the way to Docker.
SHARED_BY = {
    "containers.py": {"docker_api"},
    "container_events.py": {"docker_api"},
    "vici_client.py": {"vici_codec"},
    "vici_attempts.py": {"vici_codec"},
    "vici_events.py": {"vici_attempts", "vici_codec"},
    "state.py": {"lock"},
}


def imports(path: Path) -> set[str]:
    """Name every module that is imported, at whatever place in the file."""
    return set(_imports(ast.parse(path.read_text())))


def _imports(tree: ast.AST) -> Iterable[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "write absolute imports, so that this test can judge them"
            module = node.module or ""
            if module in {"reconciler", "reconciler.edges", "reconciler.core"}:
                yield from (f"{module}.{alias.name}" for alias in node.names)
            else:
                yield module
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            assert name not in {"__import__", "import_module"}, "no import in disguise"


def test_there_is_something_to_judge() -> None:
    assert len(CORE) > 8
    assert len(EDGES) > 8


@pytest.mark.parametrize("path", CORE, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_core_imports_only_pure_modules_and_itself(path: Path) -> None:
    for name in imports(path):
        pure = name in PURE or name.split(".")[0] in PURE
        assert pure or name.startswith("reconciler.core."), name


@pytest.mark.parametrize("path", CORE, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_core_opens_nothing_and_prints_nothing(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"open", "print", "input", "exec", "eval"}


@pytest.mark.parametrize("path", EDGES, ids=lambda path: path.name)
def test_an_edge_imports_no_other_edge_and_nothing_that_decides(path: Path) -> None:
    for name in imports(path):
        if name.split(".")[0] != "reconciler":
            continue
        if name.startswith("reconciler.edges."):
            other = name.removeprefix("reconciler.edges.")
            assert other in SHARED_BY.get(path.name, set()), name
        else:
            allowed = name in EDGES_MAY_USE_OF_OURS or name.startswith("reconciler.core.")
            assert allowed or name == "reconciler.__version__", name


@pytest.mark.parametrize(
    ("module", "importers"),
    [
        (
            "docker",
            {f"edges/{name}.py" for name in ("containers", "container_events", "docker_api")},
        ),
        ("inotify_simple", {"edges/file_watch.py"}),
        ("prometheus_client", {"edges/metrics.py", "edges/probe_metrics.py", "edges/http.py"}),
        ("dns", {"edges/dns.py"}),
        ("vici", {"edges/vici_client.py", "edges/vici_events.py", "edges/vici_codec.py"}),
    ],
)
def test_each_outside_world_has_its_own_edges(module: str, importers: set[str]) -> None:
    found = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if module in {name.split(".")[0] for name in imports(path)}
    }
    assert found == importers
