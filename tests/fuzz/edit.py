"""airports.json changed by us: one member more, or one less, and every other as it was."""

import json
from collections.abc import Iterator

from reconciler.core.json_text import JsonTextError, add_element, add_member, remove_member
from reconciler.edges.manifest import parse_document
from reconciler.errors import ManifestError
from tests.fuzz import airports
from tests.fuzz.source import Source

_ADDED = {"vpn": {"enabled": True, "psk": 'a}]"\\,é'}, "webcams": []}


def one_input(data: bytes) -> None:
    """Add and remove an airport, if the file can be read at all."""
    source = Source(data)
    key = "new-one" if source.byte() % 2 else source.text()
    content = airports.content(source.rest())
    try:
        before = parse_document(content)
    except ManifestError:
        return
    text = content.decode("utf-8-sig")
    try:
        added = add_member(text, ["airports"], key, _ADDED)
    except JsonTextError:
        assert not isinstance(before, dict) or not isinstance(before.get("airports"), dict)
        return
    assert isinstance(before, dict)
    others = {**before, "airports": {**before["airports"], key: _ADDED}}
    assert json.loads(added) == others
    removed = json.loads(remove_member(added, ["airports", key]))
    if key not in before["airports"]:
        assert removed == before
        assert [*removed["airports"]] == [*before["airports"]]
    _add_to_a_list(text)


def _add_to_a_list(text: str) -> None:
    whole = f'{{"list": [{text}], "last": 1}}'
    added = add_element(whole, ["list"], _ADDED)
    assert json.loads(added) == {"list": [json.loads(text), _ADDED], "last": 1}


def seeds() -> Iterator[bytes]:
    """Yield the same files as elsewhere."""
    yield from (b"\1" + seed for seed in airports.seeds())
    yield b"\1\1" + b'{\r\n\t"airports" : {\r\n\t\t"a":{}\r\n\t}\r\n}'
    yield b"\1\1" + b'{"airports":{}}'
