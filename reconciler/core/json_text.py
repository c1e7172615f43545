"""Change one place of a JSON text and leave every other character as it is.

People keep their file in their own way: indentation, order, keys of other programs. So a member is
put in or taken out as text, written the way its neighbours are.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_DECODER = json.JSONDecoder()
_BLANK = re.compile(r"[ \t\r\n]*")
_DEFAULT_INDENT = "  "


class JsonTextError(ValueError):
    """The place to be changed is not there, or is not what it should be."""


@dataclass(frozen=True, slots=True)
class _Item:
    """A member of an object, or an element of an array: where it begins and ends."""

    key: str | None
    start: int
    value_start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Container:
    """An object or an array: where its brackets are, and what it holds."""

    start: int
    end: int
    items: tuple[_Item, ...]


def add_member(text: str, path: Sequence[str], key: str, value: object) -> str:
    """Add a member at the end of the object at the path. Raises JsonTextError."""
    return _add(text, path, "{", f"{_dumped(key)}{_colon(text, path)}", value)


def add_element(text: str, path: Sequence[str], value: object) -> str:
    """Add an element at the end of the array at the path. Raises JsonTextError."""
    return _add(text, path, "[", "", value)


def remove_member(text: str, path: Sequence[str]) -> str:
    """Remove the member at the path. Raises JsonTextError."""
    container = _find(text, path[:-1], "{")
    index = _index(container, path[-1], path)
    item, items = container.items[index], container.items
    if len(items) == 1:
        return text[: container.start + 1] + text[container.end :]
    if index == len(items) - 1:
        return text[: items[index - 1].end] + text[item.end :]
    return text[: item.start] + text[items[index + 1].start :]


def _add(text: str, path: Sequence[str], bracket: str, head: str, value: object) -> str:
    container = _find(text, path, bracket)
    outer = _indentation(text, container.start)
    if container.items and not _own_line(text, container.items[-1].start):
        last = container.items[-1].end
        return f"{text[:last]}, {head}{_dumped(value)}{text[last:]}"
    inner = _indentation(text, container.items[-1].start) if container.items else None
    unit = _unit(text)
    inner = outer + unit if inner is None else inner
    line = _line_end(text) + inner
    body = head + _dumped(value, unit).replace("\n", line)
    if container.items:
        last = container.items[-1].end
        return f"{text[:last]},{line}{body}{text[last:]}"
    closing = _line_end(text) + outer
    return f"{text[: container.start + 1]}{line}{body}{closing}{text[container.end :]}"


def _find(text: str, path: Sequence[str], bracket: str) -> _Container:
    at = _skip(text, 0)
    for key in path:
        container = _container(text, at, "{", path)
        at = container.items[_index(container, key, path)].value_start
    return _container(text, at, bracket, path)


def _index(container: _Container, key: str, path: Sequence[str]) -> int:
    for index, item in reversed([*enumerate(container.items)]):
        if item.key == key:
            return index
    raise JsonTextError(f"{'.'.join(path)}: there is no {key!r}")


def _container(text: str, start: int, bracket: str, path: Sequence[str]) -> _Container:
    if text[start : start + 1] != bracket:
        kind = "an object" if bracket == "{" else "a list"
        raise JsonTextError(f"{'.'.join(path)}: is not {kind}")
    items = tuple(_items(text, start, bracket == "{"))
    return _Container(start, _skip(text, items[-1].end if items else start + 1), items)


def _items(text: str, start: int, is_object: bool) -> Iterator[_Item]:
    at = _skip(text, start + 1)
    while text[at] not in "}]":
        begin, key = at, None
        if is_object:
            key, at = _DECODER.raw_decode(text, at)
            at = _skip(text, _skip(text, at) + 1)
        _, end = _DECODER.raw_decode(text, at)
        yield _Item(key, begin, at, end)
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return found.end() if found else at


def _own_line(text: str, at: int) -> bool:
    """Tell whether only blanks stand before it on its line."""
    return not text[text.rfind("\n", 0, at) + 1 : at].strip() and "\n" in text[:at]


def _indentation(text: str, at: int) -> str:
    line = text[text.rfind("\n", 0, at) + 1 :]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _unit(text: str) -> str:
    """Return one step of indentation: that of the first indented line."""
    found = re.search(r"\n([ \t]+)[^ \t\r\n]", text)
    return found[1] if found else _DEFAULT_INDENT


def _line_end(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _colon(text: str, path: Sequence[str]) -> str:
    """Return what stands between key and value in this file."""
    for depth in range(len(path), -1, -1):
        for item in _find(text, path[:depth], "{").items:
            return text[item.start + len(_key_text(text, item)) : item.value_start]
    return ": "


def _key_text(text: str, item: _Item) -> str:
    _, end = _DECODER.raw_decode(text, item.start)
    return text[item.start : end]


def _dumped(value: object, unit: str | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=unit)
