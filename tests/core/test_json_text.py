"""A change of one place leaves every other character of the file as it was."""

import json
import random
from typing import Any

import pytest

from reconciler.core.json_text import JsonTextError, add_element, add_member, remove_member

EXAMPLE = """\
{
    "site": "ours",
    "airports": {
        "kspb": {"name": "Scappoose", "other":  [1,2 , 3]},

        "kczk": {
            "name": "Cascade Locks",
            "webcams": [
                {"name": "River", "url": "http://192.168.2.1/a"}
            ]
        }
    }
}
"""


def test_a_member_is_written_as_its_neighbours_are() -> None:
    found = add_member(EXAMPLE, ["airports"], "kxyz", {"vpn": {"enabled": True}})
    added = """,
        "kxyz": {
            "vpn": {
                "enabled": true
            }
        }"""
    at = found.index(added)
    assert found[:at] + found[at + len(added) :] == EXAMPLE


def test_in_an_object_on_one_line_it_stays_on_that_line() -> None:
    found = add_member(EXAMPLE, ["airports", "kspb"], "vpn", {"enabled": True})
    assert '"other":  [1,2 , 3], "vpn": {"enabled": true}},\n' in found


def test_an_element_is_added_to_a_list() -> None:
    found = add_element(EXAMPLE, ["airports", "kczk", "webcams"], {"name": "B"})
    assert json.loads(found)["airports"]["kczk"]["webcams"][1] == {"name": "B"}
    assert '"http://192.168.2.1/a"},\n                {\n                    "name": "B"' in found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"airports":{}}', '{"airports":{\n  "k":1\n}}'),
        ('{"airports":{"a":1}}', '{"airports":{"a":1, "k":1}}'),
        ('{\r\n\t"airports": {}\r\n}', '{\r\n\t"airports": {\r\n\t\t"k": 1\r\n\t}\r\n}'),
        ('{\n"airports": {\n"a": 1\n}\n}', '{\n"airports": {\n"a": 1,\n"k": 1\n}\n}'),
    ],
)
def test_line_ends_indentation_and_colons_are_the_files_own(text: str, expected: str) -> None:
    assert add_member(text, ["airports"], "k", 1) == expected


def test_words_of_other_languages_stay_readable() -> None:
    assert '"Zürich"' in add_member(EXAMPLE, ["airports"], "lszh", {"name": "Zürich"})


@pytest.mark.parametrize("gone", ["a", "b", "c"])
@pytest.mark.parametrize(
    "text",
    ['{"x": {"a": 1, "b": {"z": []}, "c": "}"}}', '{"x": {\n "a": 1,\n "b": 2,\n "c": 3\n}}'],
)
def test_a_removed_member_leaves_valid_text(text: str, gone: str) -> None:
    found, expected = remove_member(text, ["x", gone]), json.loads(text)
    del expected["x"][gone]
    assert json.loads(found) == expected


def test_the_last_member_of_all_leaves_an_empty_object() -> None:
    assert remove_member('{"x": {\n  "a": 1\n}}', ["x", "a"]) == '{"x": {}}'


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (["nothing"], "there is no 'nothing'"),
        (["airports", "kczk", "name"], "is not an object"),
        (["airports", "kczk", "webcams"], "is not an object"),
    ],
)
def test_a_place_that_is_not_there_is_told(path: list[str], words: str) -> None:
    with pytest.raises(JsonTextError, match=words):
        add_member(EXAMPLE, path, "x", 1)


def test_the_later_of_two_equal_keys_is_changed_as_it_is_the_one_that_counts() -> None:
    found = add_member('{"x": {}, "x": {"a": 1}}', ["x"], "b", 2)
    assert json.loads(found) == {"x": {"a": 1, "b": 2}}


def _document(luck: random.Random, depth: int = 3) -> Any:
    if depth == 0 or luck.random() < 0.3:
        return luck.choice([1, -2.5e3, 'a"b}]{,\\', "", None, True, [], {}, "ü\n"])
    keys = luck.sample(["a", "b c", 'q"', "{", "ä", "vpn"], luck.randint(0, 4))
    if luck.random() < 0.3:
        return [_document(luck, depth - 1) for _ in keys]
    return {key: _document(luck, depth - 1) for key in keys}


def _places(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(value, dict):
        return []
    deeper = [place for key, inner in value.items() for place in _places(inner, (*path, key))]
    return [path, *deeper]


def _at(document: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        document = document[key]
    return document


@pytest.mark.parametrize("seed", range(150))
def test_what_is_put_in_and_taken_out_again_leaves_no_trace(seed: int) -> None:
    luck = random.Random(seed)  # noqa: S311 - only to vary the input
    document = {"top": _document(luck), "other": _document(luck)}
    indent = luck.choice([None, 1, 2, 4, "\t"])
    text = json.dumps(document, indent=indent, ensure_ascii=luck.random() < 0.5)
    for path in _places(document):
        added = add_member(text, path, "new key", {"deep": [1, {"er": "x"}]})
        expected = json.loads(text)
        _at(expected, path)["new key"] = {"deep": [1, {"er": "x"}]}
        assert json.loads(added) == expected
        assert remove_member(added, [*path, "new key"]) == text
