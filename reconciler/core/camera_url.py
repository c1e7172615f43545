"""What a camera's URL means: scheme, host, port, and the keys in it.

People copy these URLs from vendors' pages, with keys in them, so the reader is patient where every
program agrees on the meaning, and refuses where programs differ. No text made here holds user,
password, path, query or fragment; what of a URL may be shown, about.py says.
"""

import re
import unicodedata
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

from reconciler.core.model import IpAddress

LONGEST_URL = 4096
DEFAULT_PORTS = {
    "http": 80,
    "https": 443,
    "rtsp": 554,
    "rtspt": 554,
    "rtspu": 554,
    "rtsps": 322,
    "rtmp": 1935,
    "rtmps": 443,
    "ws": 80,
    "wss": 443,
    "ftp": 21,
    "ftps": 990,
    "mms": 1755,
}
_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{0,31}):(?P<slashes>/*)")
_HOST_AND_MORE = re.compile(r"(\[[^\]/]+\]|[\w.-]+\.[\w-]+)(:\d+)?([/?#].*)?\Z", re.DOTALL)
_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\Z")
_NUMBER = re.compile(r"(0[xX][0-9a-fA-F]*|[0-9]+)\Z")
# Programs of the two standards for names in other scripts read these differently.
_DEVIATIONS = frozenset("ßς\u200c\u200d")


@dataclass(frozen=True, slots=True)
class CameraUrl:
    """A camera's URL, understood.

    Attributes:
        host: address as text, or name in lower case and ASCII; a dot at its end is kept.
        readings: what a literal address means: two where programs differ; none for a name.
        port: declared, or the scheme's own; None: the scheme has none.
        target: path and query, as they stand in a request.
        notes: what is unusual about it.

    """

    scheme: str
    host: str
    readings: tuple[IpAddress, ...]
    port: int | None
    target: str = field(repr=False)
    user: str = field(repr=False)
    password: str = field(repr=False)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BadUrl:
    """A URL that can't be used, and what would be right."""

    reason: str


class _BadError(ValueError):
    """What is wrong with the URL, in words without the URL."""


@dataclass(frozen=True, slots=True)
class _Split:
    scheme: str
    user_info: str
    host_and_port: str
    path: str
    query: str
    notes: tuple[str, ...]

    @property
    def has_late_at(self) -> bool:
        """Whether an @ stands where a password may have been cut in two."""
        return not self.user_info and "@" in self.path + self.query


def parse_camera_url(text: object) -> CameraUrl | BadUrl:
    """Read a URL. Never raises, whatever it is given."""
    if not isinstance(text, str):
        return BadUrl("is not a text")
    try:
        return _understood(_split(text))
    except _BadError as error:
        return BadUrl(str(error))


def _split(text: str) -> _Split:
    stripped = text.strip()
    notes = ("blanks around it",) if stripped != text else ()
    if not stripped:
        raise _BadError("is empty")
    if len(stripped) > LONGEST_URL:
        raise _BadError(f"is longer than {LONGEST_URL} characters")
    if any(unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in stripped):
        raise _BadError("has a control character; remove it")
    scheme, rest, more_notes = _scheme_of(stripped)
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    after = rest[len(authority) :].partition("#")[0]
    path, _, query = after.partition("?")
    user_info, _, host_and_port = authority.rpartition("@")
    if "\\" in authority:
        raise _BadError("has a backslash before the path, which programs read differently")
    return _Split(scheme, user_info, host_and_port, path or "/", query, notes + more_notes)


def _scheme_of(text: str) -> tuple[str, str, tuple[str, ...]]:
    found = _SCHEME.match(text)
    if found and len(found["slashes"]) == 2:
        return found["scheme"].lower(), text[found.end() :], ()
    if found and (found["slashes"] or found["scheme"].lower() in DEFAULT_PORTS):
        raise _BadError("write two slashes after the colon, as in http://")
    bare = text.removeprefix("//")
    if _HOST_AND_MORE.match(bare):
        return "http", bare, ("no scheme, taken for http",)
    raise _BadError("has no scheme; write it like http://192.168.1.100/snapshot.jpg")


def _understood(split: _Split) -> CameraUrl:
    name, port = _host_and_port(split)
    host, readings, notes = _host(name)
    if not readings and split.has_late_at and "." not in host:
        raise _BadError(_at_hint())
    if port is None:
        port = DEFAULT_PORTS.get(split.scheme)
    user, _, password = split.user_info.partition(":")
    return CameraUrl(
        scheme=split.scheme,
        host=host,
        readings=readings,
        port=port,
        target=_target(split),
        user=_unquoted(user),
        password=_unquoted(password),
        notes=split.notes + notes,
    )


def _host_and_port(split: _Split) -> tuple[str, int | None]:
    text = split.host_and_port
    if text.startswith("["):
        name, bracket, tail = text.partition("]")
        if not bracket or (tail and not tail.startswith(":")):
            raise _BadError("the brackets around the IPv6 address are not closed")
        return name + bracket, _port(tail[1:], split)
    if text.count(":") > 1:
        if re.fullmatch(r"[0-9A-Fa-f:.]+(%.*)?", text):
            raise _BadError("an IPv6 address needs brackets, as in http://[fd00::1]/")
        raise _BadError("has more than one colon after the user; write : in a password as %3A")
    name, _, port = text.partition(":")
    return name, _port(port, split)


def _port(text: str, split: _Split) -> int | None:
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,8}", text):
        if "@" in split.path + split.query:
            raise _BadError(_at_hint())
        raise _BadError("the port is not a number")
    if not 0 < int(text) < 65536:
        raise _BadError("the port is not between 1 and 65535")
    return int(text)


def _at_hint() -> str:
    return "an @ stands after the host; in a password write / as %2F, ? as %3F, # as %23, @ as %40"


def _host(name: str) -> tuple[str, tuple[IpAddress, ...], tuple[str, ...]]:
    """Return the host, the addresses it stands for if it is a literal, and notes."""
    if name.startswith("["):
        return _ipv6(name.strip("[]"))
    if not name:
        raise _BadError("has no host")
    if "%" in name:
        raise _BadError("the host has a percent sign; write the host itself plainly")
    plain = _ascii(name)
    if _NUMBER.match(plain.rstrip(".").rpartition(".")[2]):
        return _ipv4(plain.removesuffix("."))
    return _name(plain), (), ()


def _ipv6(text: str) -> tuple[str, tuple[IpAddress, ...], tuple[str, ...]]:
    bare, percent, _ = text.partition("%")
    try:
        address = IPv6Address(bare)
    except ValueError:
        raise _BadError("what is in brackets is not an IPv6 address") from None
    notes = ("has a zone, which means something on one machine only",) if percent else ()
    mapped = address.ipv4_mapped
    return str(mapped or address), (mapped or address,), notes


def _ipv4(text: str) -> tuple[str, tuple[IpAddress, ...], tuple[str, ...]]:
    """Read every form that programs take for an IPv4 address: 192.168.1.10, 0xC0A8010A, 010.0.0.1.

    C's inet_aton reads a leading zero as octal; many other programs read it as decimal.
    """
    parts = text.split(".")
    if not all(map(_NUMBER.match, parts)):
        raise _BadError("ends in a number, but is not an IPv4 address")
    readings = tuple(dict.fromkeys(filter(None, (_like_c(parts), _like_people(parts)))))
    if not readings:
        raise _BadError("is not an IPv4 address; write four numbers from 0 to 255")
    plain = text == str(readings[0])
    notes = () if plain else (f"unusual way to write {' or '.join(map(str, readings))}",)
    return str(readings[-1]), readings, notes


def _like_c(parts: list[str]) -> IPv4Address | None:
    if len(parts) > 4:
        return None
    try:
        numbers = [_number(part) for part in parts]
    except ValueError:
        return None
    *bytes_, last = numbers
    if any(byte > 255 for byte in bytes_) or last >= 256 ** (5 - len(parts)):
        return None
    return IPv4Address(sum(byte << (24 - 8 * i) for i, byte in enumerate(bytes_)) + last)


def _number(text: str) -> int:
    if len(text) > 16:
        raise ValueError(text)
    if text[:2].lower() == "0x":
        return int(text[2:] or "0", 16)
    return int(text, 8 if text.startswith("0") else 10)


def _like_people(parts: list[str]) -> IPv4Address | None:
    if len(parts) != 4 or not all(part.isdecimal() and len(part) <= 4 for part in parts):
        return None
    numbers = [int(part) for part in parts]
    return IPv4Address(bytes(numbers)) if max(numbers) <= 255 else None


def _ascii(name: str) -> str:
    if name.isascii():
        return name.lower()
    normal = unicodedata.normalize("NFKC", name).lower().replace("\u3002", ".")
    if _DEVIATIONS & {*name, *normal}:
        raise _BadError("programs read a letter of the host differently; write its xn-- form")
    try:
        return normal.encode("idna").decode()
    except UnicodeError:
        raise _BadError("the host is no name that can be written in ASCII") from None


def _name(name: str) -> str:
    labels = name.removesuffix(".").split(".")
    if len(name) > 254 or not all(map(_LABEL.match, labels)):
        raise _BadError("the host is neither an address nor a name")
    return name


def _target(split: _Split) -> str:
    text = f"{split.path}?{split.query}" if split.query else split.path
    return "".join(
        c if "!" <= c <= "~" else "".join(f"%{byte:02X}" for byte in c.encode()) for c in text
    )


def _unquoted(text: str) -> str:
    plain = _PERCENT.sub(lambda found: bytes([int(found[1], 16)]), text.encode())
    return plain.decode(errors="replace")
