"""Checks a dashboard against the types that Grafana publishes in its foundation SDK.

The SDK reads a dashboard and forgets what it does not know; it does not check what it reads. So a
dashboard is well if nothing is forgotten, and if what was read has the types that are declared.
"""

import enum
import json
import types
import typing
from collections.abc import Iterator
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard


def faults(document: dict[str, Any]) -> list[str]:
    """Return what Grafana would not know, and what has another type than it expects."""
    register_default_plugins()
    model = Dashboard.from_json(document)
    return [*_forgotten(document, _written(model), ""), *_wrong(model, "")]


def _written(model: Any) -> Any:
    return json.loads(JSONEncoder().encode(model))


def _reads(document: dict[str, Any], kind: Any) -> bool:
    model = kind.from_json(document)
    return not [*_forgotten(document, _written(model), ""), *_wrong(model, "")]


def _forgotten(before: Any, after: Any, where: str) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            if key in after:
                yield from _forgotten(value, after[key], f"{where}.{key}")
            else:
                yield f"{where}.{key}: not known to Grafana"
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from _forgotten(one, other, f"{where}[{index}]")
    elif before != after:
        yield f"{where}: {before!r} became {after!r}"


def _wrong(model: Any, where: str) -> Iterator[str]:
    """Compare the attributes of a model with what their annotations say."""
    hints = typing.get_type_hints(type(model), include_extras=False)
    for name, hint in hints.items():
        value = getattr(model, name, None)
        path = f"{where}.{name}"
        if not _fits(value, hint):
            yield f"{path}: {value!r} is no {hint}"
        yield from _inside(value, path)


def _inside(value: Any, where: str) -> Iterator[str]:
    if isinstance(value, list):
        for index, one in enumerate(value):
            yield from _inside(one, f"{where}[{index}]")
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from _inside(one, f"{where}.{key}")
    elif _is_model(value):
        yield from _wrong(value, where)


def _is_model(value: Any) -> bool:
    ours = type(value).__module__.startswith("grafana_foundation_sdk.models")
    return ours and not isinstance(value, enum.Enum)


def _fits(value: Any, hint: Any) -> bool:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any or hint is object:
        return True
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, one) for one in arguments)
    if origin is typing.Literal:
        return value in arguments
    if origin is list:
        return isinstance(value, list) and all(_fits(one, arguments[0]) for one in value)
    if origin is dict:
        return isinstance(value, dict) and all(_fits(v, arguments[1]) for v in value.values())
    return _is(value, hint)


def _is(value: Any, hint: Any) -> bool:
    if not isinstance(hint, type):
        return True  # a TypeVar or the like, which says nothing
    if isinstance(value, dict) and hasattr(hint, "from_json"):
        return _reads(value, hint)  # the SDK leaves some parts unread
    if issubclass(hint, enum.Enum):
        return value in [one.value for one in hint]
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)
