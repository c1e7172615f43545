"""Keep keys out of what is said: a key that is known is covered wherever it turns up.

The texts of faults, refusals and errors are made of what others wrote: an operator may have put the
key into the wrong line, a router may call itself by it. So every such text is masked before it is
told, and whoever complains of a value shows it only if it can't be a key (`shown`). What `diagnose`
hands out goes through `redact.py` too, which is another net on purpose: docs/decisions/0022.
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

COVER = "***"
# As many characters of a key in a row are covered; of a shorter key, only the whole word.
_RUN = 8
_STEP = 4
_SHORTEST = 4
# What is longer can't be a key, which is of 1024 bytes at most, and is remembered in part.
_LONGEST = 2000
# So long a text may be a key that stands in the wrong place.
_LONGEST_SHOWN = 19
_ADDRESS = re.compile(r"[0-9A-Fa-f]*[.:][0-9A-Fa-f.:]*(/[0-9]{1,3})?\Z")
_LONGEST_ADDRESS = 43
_KEY_NAME = re.compile(r"psk|secret|passw|passphrase|^key$", re.IGNORECASE)
_WORD = re.compile(r"[^\s\"'`\\,;:=()\[\]{}<>]+")
# What may go on in one word with a part of a key; base64 ends with equals signs.
_JOINED_BEFORE = re.compile(r"[A-Za-z0-9+/_-]")
_JOINED_AFTER = re.compile(r"[A-Za-z0-9+/=_-]")


def shown(value: object) -> str:
    """Return the value as it may stand in a message, or what it is if it might be a key."""
    text = value if isinstance(value, str) else repr(value)
    address = len(text) <= _LONGEST_ADDRESS and _ADDRESS.match(text)
    if len(text) <= _LONGEST_SHOWN or address:
        return repr(value)
    return f"{'a text' if isinstance(value, str) else 'a value'} of {len(text)} characters"


def keys_in(airports: object) -> Iterator[str]:
    """Yield what stands, or seems to be meant, as a key in `airports` of airports.json."""
    for airport in airports.values() if isinstance(airports, Mapping) else ():
        vpn = airport.get("vpn") if isinstance(airport, Mapping) else None
        if isinstance(vpn, Mapping):
            yield from keys_of(vpn)


def keys_of(vpn: Mapping[Any, Any]) -> Iterator[str]:
    """Yield the keys of one airport, however its object looks otherwise."""
    for name, value in vpn.items():
        if _KEY_NAME.search(str(name)) and not str(name).endswith("_file"):
            yield from _texts(value)


def _texts(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case list() | tuple():
            for one in value:
                yield from _texts(one)
        case Mapping():
            for one in value.values():
                yield from _texts(one)
        case int() | float() if not isinstance(value, bool):
            yield str(value)
        case _:
            pass


@dataclass(frozen=True, slots=True)
class Mask:
    """Covers the keys that it knows, whole and in part, and in the usual disguises."""

    keys: frozenset[str] = field(default=frozenset(), repr=False)
    _runs: frozenset[str] = field(default=frozenset(), repr=False)
    _words: frozenset[str] = field(default=frozenset(), repr=False)

    def also(self, keys: Iterable[str]) -> "Mask":
        """Return a mask that knows these as well. What was a key once is covered for good."""
        new = {key[:_LONGEST] for key in keys if len(key) >= _SHORTEST} - self.keys
        if not new:
            return self
        runs, words = set[str](), set[str]()
        for key in new:
            if len(key) < _RUN:
                words.update(form for form in _forms(key) if len(form) < _RUN)
            runs.update(_runs_of(key))
        return Mask(self.keys | new, self._runs | runs, self._words | words)

    def text(self, text: str) -> str:
        """Return the text with every key covered."""
        if not self._runs and not self._words:
            return text
        covered = [*self._covered(text)]
        for begin, end in reversed(_joined(text, covered)):
            text = text[:begin] + COVER + text[end:]
        return text

    def _covered(self, text: str) -> Iterator[tuple[int, int]]:
        runs = self._runs
        for at in range(len(text) - _RUN + 1):
            if text[at : at + _RUN] in runs:
                yield at, at + _RUN
        if self._words:
            for match in _WORD.finditer(text):
                if match[0].strip(".!?") in self._words:
                    yield match.span()


def _joined(text: str, spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Put together what touches, and go on to the end of the word on both sides."""
    found: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if found and end <= found[-1][1]:
            continue  # to walk through the same word for each of its spans would take for ever
        while begin > 0 and _JOINED_BEFORE.match(text[begin - 1]):
            begin -= 1
        while end < len(text) and _JOINED_AFTER.match(text[end]):
            end += 1
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((begin, end))
    return found


def _runs_of(key: str) -> Iterator[str]:
    for form in _forms(key):
        if len(form) >= _RUN:
            yield from (form[at : at + _RUN] for at in range(0, len(form) - _RUN + 1, _STEP))
            yield form[-_RUN:]
    for form in _disguises(key):
        if len(form) >= _RUN:
            yield form[:_RUN]


def _forms(key: str) -> set[str]:
    """Return the key as it is, and as JSON, Python and its bytes show it, also one in another."""
    whole = key.encode(errors="surrogatepass")
    forms = {
        key,
        json.dumps(key)[1:-1],
        json.dumps(key, ensure_ascii=False)[1:-1],
        repr(key)[1:-1],
        repr(whole)[2:-1],
        key.encode("unicode_escape").decode("ascii"),
    }
    return forms | {form.replace("\\", "\\\\") for form in forms}


def _disguises(key: str) -> Iterator[str]:
    """Yield hexadecimal and base64, the latter also from within a longer text."""
    whole = key.encode(errors="surrogatepass")
    yield whole.hex()
    yield whole.hex().upper()
    for before, unsure in ((0, 0), (1, 2), (2, 3)):
        padded = b"\0" * before + whole
        sure = base64.b64encode(padded[: len(padded) // 3 * 3]).decode()[unsure:]
        yield sure
        yield sure.translate(str.maketrans("+/", "-_"))
