"""Keys and passwords: which there are, how they may be written, and where they stand.

Two defences that know nothing of each other: what is shown of a declaration is a list of what may
be shown; and every known secret, in every usual spelling, is looked for in whatever is handed out.
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from reconciler.core.about import public_url, shown_name
from reconciler.core.model import UnreadableKey, Vpn

MASK = b"***"
# Shorter ones can't be told from other text: "up", say. They are only left out by their place.
SHORTEST_BYTES = 6
_GUESSED_SHORTEST_BYTES = 8
_SECRET_KEY = re.compile(
    r"psk|secret|passw|passphrase|pwd|token|credential|(api|private|access|mark|auth)[_-]?key",
    re.IGNORECASE,
)
_PAIR_IN_TEXT = re.compile(r'"([^"\\]*)"\s*:\s*"((?:[^"\\]|\\.)*)"')
_USER_INFO = re.compile(r"://([^/?#\s@]*(?:@[^/?#\s@]*)*)@")
_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_SHOWN = tuple(key for key in Vpn.model_fields if key not in ("psk", "next_psk"))
_LONGEST_TEXT = 300
_SWANCTL_SECRET = re.compile(r'^\s*secret\S*\s*=\s*"?([^"\n]*)"?\s*$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Secret:
    """Something that nobody may see, and where it stands."""

    where: str
    value: bytes = field(repr=False)


def spellings(value: bytes) -> frozenset[bytes]:
    """Return the ways in which a secret may be written down."""
    found = {value, value.strip(), *_encoded(value)}
    try:
        text = value.decode()
    except UnicodeDecodeError:
        found.add(repr(value)[2:-1].encode())
    else:
        found |= {form.encode(errors="replace") for form in _escaped(text)}
    return frozenset(form for form in found if len(form) >= SHORTEST_BYTES)


def _encoded(value: bytes) -> Iterator[bytes]:
    yield value.hex().encode()
    yield value.hex().upper().encode()
    for alphabet in (base64.b64encode, base64.urlsafe_b64encode):
        yield alphabet(value).rstrip(b"=")
        for offset in range(3):  # as a part of something longer that was encoded as a whole
            encoded = alphabet(bytes(offset) + value)
            inner = encoded[(0, 2, 3)[offset] : (offset + len(value)) // 3 * 4]
            if len(inner) >= _GUESSED_SHORTEST_BYTES:
                yield inner


def _escaped(text: str) -> Iterator[str]:
    for plain in (False, True):
        once = json.dumps(text, ensure_ascii=not plain)[1:-1]
        yield once
        yield json.dumps(once, ensure_ascii=not plain)[1:-1]
    yield repr(text)[1:-1]
    yield repr(text.encode())[2:-1]
    for safe in (frozenset[int](), frozenset(b"/")):
        escaped = "".join(
            chr(byte) if byte in _SAFE | safe else f"%{byte:02X}" for byte in text.encode()
        )
        yield escaped
        yield re.sub("%..", lambda match: match[0].lower(), escaped)
        yield escaped.replace("%20", "+")
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    yield escaped
    yield escaped.replace('"', "&quot;").replace("'", "&#x27;")


class Finder:
    """Finds many secrets at once, in one walk over the text."""

    def __init__(self, secrets: Iterable[Secret]) -> None:
        self.too_short: list[str] = []
        self._by_beginning: dict[bytes, dict[bytes, str]] = {}
        for secret in secrets:
            if len(secret.value.strip()) < SHORTEST_BYTES:
                self.too_short.append(secret.where)
                continue
            for form in spellings(secret.value):
                forms = self._by_beginning.setdefault(form[:SHORTEST_BYTES], {})
                forms.setdefault(form, secret.where)
        self._sorted = {
            beginning: sorted(forms.items(), key=lambda item: -len(item[0]))
            for beginning, forms in self._by_beginning.items()
        }

    def found_in(self, content: bytes) -> list[str]:
        """Name the secrets that stand in it, by where they come from."""
        return sorted({where for _, _, where in self._hits(content)})

    def masked(self, content: bytes) -> tuple[bytes, list[str]]:
        """Return the content with every secret masked, and which ones were."""
        pieces, end, found = [], 0, set()
        for start, length, where in self._hits(content):
            if start >= end:
                pieces += [content[end:start], MASK]
            end = max(end, start + length)
            found.add(where)
        return b"".join([*pieces, content[end:]]), sorted(found)

    def _hits(self, content: bytes) -> Iterator[tuple[int, int, str]]:
        beginnings, size = self._sorted, SHORTEST_BYTES
        places = (
            at for at in range(len(content) - size + 1) if content[at : at + size] in beginnings
        )
        for at in places:
            for form, where in beginnings[content[at : at + size]]:
                if content.startswith(form, at):
                    yield at, len(form), where
                    break


def secrets_of_document(document: object, where: str) -> Iterator[Secret]:
    """Name every key of a declaration, and what else in the file looks like a secret.

    The file is shared with others, so there may be passwords that are not ours in it.
    """
    if isinstance(document, Mapping):
        for key, value in document.items():
            place = f"{where}.{key}"
            if isinstance(value, str) and _is_key(str(key), value):
                yield Secret(place, value.encode(errors="surrogatepass"))
            elif _SECRET_KEY.search(str(key)):
                yield from _guessed(value, place)
            yield from secrets_of_document(value, place)
    elif isinstance(document, list):
        for number, value in enumerate(document):
            yield from secrets_of_document(value, f"{where}[{number}]")
    elif isinstance(document, str):
        yield from secrets_of_url(document, where)


def _is_key(name: str, value: str) -> bool:
    """Tell a key; also one that was put where the path of its file belongs."""
    if name in ("psk", "next_psk"):
        return bool(value)
    return name in ("psk_file", "next_psk_file") and not value.startswith("/")


def _guessed(value: object, where: str) -> Iterator[Secret]:
    """Take what stands under a key that sounds secret, unless it names a file or is too short."""
    values = value if isinstance(value, list) else [value]
    for one in values if not where.endswith(("_file", "_path")) else ():
        if isinstance(one, str) and len(one) >= _GUESSED_SHORTEST_BYTES:
            yield Secret(where, one.encode(errors="surrogatepass"))


def secrets_of_broken_json(text: str, where: str) -> Iterator[Secret]:
    """Name the secrets of a declaration that can't be parsed, as far as pairs can be told in it."""
    for match in _PAIR_IN_TEXT.finditer(text):
        try:
            value = json.loads(f'"{match[2]}"')
        except ValueError:
            value = match[2]
        yield from secrets_of_document({match[1]: value}, where)
    yield from secrets_of_url(text, where)


def secrets_of_url(text: str, where: str) -> Iterator[Secret]:
    """Name the password of a URL, as it stands there and as it is meant."""
    for match in _USER_INFO.finditer(text):
        _, colon, password = match[1].partition(":")
        if colon and password:
            yield Secret(where, password.encode(errors="surrogatepass"))
            meant = re.sub(
                rb"%([0-9A-Fa-f]{2})",
                lambda found: bytes([int(found[1], 16)]),
                password.encode(errors="surrogatepass"),
            )
            yield Secret(where, meant)


def without_user_info(text: str) -> str:
    """Return a URL without user and password."""
    return _USER_INFO.sub("://", text)


def secrets_of_swanctl(text: str, where: str) -> Iterator[Secret]:
    """Name the keys of swanctl.conf: plain, 0s… in base64 or 0x… in hex."""
    for match in _SWANCTL_SECRET.finditer(text):
        value = match[1]
        yield Secret(where, value.encode(errors="surrogatepass"))
        try:
            if value.startswith("0s"):
                yield Secret(where, base64.b64decode(value[2:]))
            elif value.startswith("0x"):
                yield Secret(where, bytes.fromhex(value[2:]))
        except ValueError:
            continue


def swanctl_without_secrets(text: str) -> str:
    """Return swanctl.conf with every key replaced."""
    return _SWANCTL_SECRET.sub('    secret = "(removed)"', text)


def shown_document(document: object) -> dict[str, Any]:
    """Reduce a parsed airports.json to what matters and may be shown."""
    airports = document.get("airports") if isinstance(document, Mapping) else None
    if not isinstance(airports, Mapping):
        return {"airports": f"({type(airports).__name__})"}
    return {"airports": {id_: _shown_airport(airport) for id_, airport in airports.items()}}


def _shown_airport(airport: object) -> object:
    if not isinstance(airport, Mapping):
        return f"({type(airport).__name__})"
    shown: dict[str, object] = {"name": shown_name(airport.get("name"))}
    if "vpn" in airport:
        shown["vpn"] = shown_vpn(airport["vpn"])
    webcams = airport.get("webcams")
    if isinstance(webcams, list):
        shown["webcams"] = [_shown_webcam(webcam) for webcam in webcams]
    return shown


def shown_vpn(vpn: object) -> object:
    """Show the keys that are known and hold no secret; of the others that they are there."""
    if not isinstance(vpn, Mapping):
        return f"({type(vpn).__name__})"
    shown = {key: _shown(vpn[key]) for key in _SHOWN if key in vpn}
    for key in ("psk_file", "next_psk_file"):
        if key in shown and not str(vpn[key]).startswith("/"):
            shown[key] = "(not a path; removed)"
    if "@" in str(vpn.get("health_check")):  # a camera's URL was pasted there
        shown["health_check"] = "(not a target; removed)"
    for key in ("psk", "next_psk"):
        if key in vpn:
            unread = isinstance(vpn[key], UnreadableKey)
            shown[key] = "(its file can't be read)" if unread else "(removed)"
    unknown = len([key for key in vpn if key not in Vpn.model_fields])
    return {**shown, **({"unknown keys": unknown} if unknown else {})}


def _shown_webcam(webcam: object) -> object:
    if not isinstance(webcam, Mapping):
        return f"({type(webcam).__name__})"
    url = webcam.get("url", "")
    shown_url = public_url(url) or ("(can't be shown)" if url else "")
    return {"name": shown_name(webcam.get("name")), "url": shown_url}


def _shown(value: object) -> object:
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return [_shown(one) for one in value[:_LONGEST_TEXT]]
    if isinstance(value, str):
        return value if len(value) <= _LONGEST_TEXT else value[:_LONGEST_TEXT] + "…"
    plain = value is None or isinstance(value, bool | int | float)
    return value if plain else f"({type(value).__name__})"
