"""What must be true whatever came in. Written without the code that it judges."""

import json
import string
from collections.abc import Iterator, Mapping
from typing import Any, Never
from unicodedata import category

from prometheus_client.parser import text_string_to_metric_families

# No input holds it, so wherever it turns up, it was told.
SECRET = "Zq7-the-bystanders-own-key-Xw3"  # noqa: S105 - a made-up one
_BARE = frozenset(string.ascii_letters + string.digits + "_-./%*")


def _refuse(text: str) -> Never:
    raise AssertionError(f"{text} is no JSON")


def strict_json(text: str | bytes, *, halves: bool = False) -> Any:
    """Parse as other languages do: no NaN, no Infinity; `halves`: half characters, escaped."""
    plain = text if isinstance(text, str) else text.decode()
    found = json.loads(plain, parse_constant=_refuse)
    if not halves:
        json.dumps(found, ensure_ascii=False).encode()
    return found


def is_one_line(text: str) -> bool:
    """Tell whether a reader of lines, or a terminal, would take it for one plain line."""
    return text.isprintable() and text.splitlines() in ([], [text])


def is_harmless(text: str) -> bool:
    """Tell whether a name, in any script, disturbs nothing around it: no control, no line break."""
    wrong = {"Cc", "Cs", "Zl", "Zp"}
    turned = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
    return not (wrong & {*map(category, text)} or turned & {*text})


def assert_untold(text: str | bytes) -> None:
    """See that the key of the bystander is not in what is told."""
    secret = SECRET.encode() if isinstance(text, bytes) else SECRET
    assert secret not in text, "a key was told"  # type: ignore[operator]


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Parse an exposition as Prometheus does; no series may stand there twice."""
    found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, f"{key} stands there twice"
            found[key] = sample.value
    return found


def swanctl(text: str) -> dict[str, Any]:
    """Read a swanctl.conf as strongSwan's lexer does, as far as it may be used by us.

    `include`, references and escapes have a meaning there, so none of them may stand in it.
    """
    tokens = _tokens(text)
    found = _section(tokens, closed=False)
    assert next(tokens, None) is None
    return found


def _section(tokens: Iterator[str], *, closed: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for word in tokens:
        if word == "}":
            assert closed, "} without {"
            return found
        assert word[0] not in '{="', f"{word!r} where a name should be"
        assert word != "include", "a word of the grammar"
        assert word not in found, f"{word!r} stands there twice"
        match next(tokens, None):
            case "{":
                found[word] = _section(tokens, closed=True)
            case "=":
                value = next(tokens, "")
                assert value.startswith('"'), f"{value!r} is not quoted"
                found[word] = value[1:]
            case other:
                raise AssertionError(f"{other!r} after {word!r}")
    assert not closed, "{ without }"
    return found


def _tokens(text: str) -> Iterator[str]:
    at = 0
    while at < len(text):
        character = text[at]
        if character in " \t\n":
            at += 1
        elif character == "#":
            at = text.find("\n", at) if "\n" in text[at:] else len(text)
        elif character in "{}=":
            yield character
            at += 1
        elif character == '"':
            end = text.index('"', at + 1)
            assert "\\" not in text[at:end], "an escape"
            assert "\n" not in text[at:end], "a line break in a value"
            yield text[at:end]
            at = end + 1
        else:
            end = at
            while end < len(text) and text[end] in _BARE:
                end += 1
            assert end > at, f"{character!r} has a meaning of its own"
            yield text[at:end]
            at = end


def as_text(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Write a body of `load-conn` as the file would: lists joined by commas."""
    return {
        key: ",".join(v) if isinstance(v, list) else as_text(v) if isinstance(v, dict) else v
        for key, v in settings.items()
    }
