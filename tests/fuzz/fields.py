"""Each field of `vpn` by itself: refused, or the same when written and read again."""

import string
from collections.abc import Callable, Iterator
from typing import Any

from reconciler.core.crypto import parse_cipher_and_hash, parse_group
from reconciler.core.health_check import HealthCheck, parse_health_check
from reconciler.core.model import (
    _parse_address,
    _parse_bool,
    _parse_int,
    _parse_time,
    check_connection_name,
    check_identity,
    parse_subnet,
)
from tests.fuzz.source import Source

_PLAIN = frozenset(string.ascii_letters + string.digits + "-_.")


def _subnet(value: Any) -> None:
    found = parse_subnet(value)
    assert parse_subnet(str(found)) == found
    assert int(found.network_address) & int(found.hostmask) == 0


def _identity(value: Any) -> None:
    found = check_identity(str(value))
    assert set(found) <= _PLAIN
    assert 0 < len(found) <= 253


def _name(value: Any) -> None:
    check_connection_name(value)
    assert set(value) <= _PLAIN - {"."}
    assert 0 < len(value) <= 63


def _time(value: Any) -> None:
    assert 0 <= _parse_time(value) < 10**12


def _int(value: Any) -> None:
    assert 0 <= _parse_int(value) < 10**9


def _address(value: Any) -> None:
    found = _parse_address(value)
    assert _parse_address(str(found)) == found


def _health_check(value: Any) -> None:
    found = parse_health_check(value)
    assert found is None or isinstance(found, HealthCheck)
    if found is not None:
        written = {"target": str(found.target), "kind": found.kind}
        more = {"port": found.port or None, "interval_s": found.interval_s or None}
        assert parse_health_check({**written, **more}) == found


def _cipher(value: Any) -> None:
    cipher, hash_ = parse_cipher_and_hash(str(value))
    assert {*cipher.keyword, *hash_.keyword} <= _PLAIN


def _group(value: Any) -> None:
    assert parse_group(parse_group(value).number) == parse_group(value)


_FIELDS: tuple[Callable[[Any], object], ...] = (
    *(_subnet, _identity, _name, _time, _int, _address, _health_check, _cipher, _group),
    _parse_bool,
)
_REAL = (
    *("192.168.1.0/24", "fd00:1::/64", "kspb.remote", "kspb_vpn", "2026-11-25T12:00:00+01:00"),
    *("3600", "198.51.100.7", "2001:db8::7", "192.168.1.100:80", "[fd00::1]:80", "aes256-sha256"),
    *("modp2048", "14", "yes", "false"),
)


def one_input(data: bytes) -> None:
    """Read a value as each of the fields. A complaint is of one kind, and not long."""
    source = Source(data)
    value = _text(source) if source.byte() % 4 else source.value()
    for read in _FIELDS:
        complaint = ""
        try:
            read(value)
        except ValueError as error:
            complaint = str(error)
        assert len(complaint) < 500


def _text(source: Source) -> str:
    text = source.pick(_REAL)
    for _ in range(source.byte() % 4):
        at = source.byte() % (len(text) + 1)
        text = text[:at] + source.text() + text[at + source.byte() % 4 :]
    return text


def seeds() -> Iterator[bytes]:
    """Yield each real value, and choices at random."""
    yield from (bytes([1, number, 0]) for number in range(len(_REAL)))
    yield from (bytes((5 * i + 11 * j) % 256 for j in range(40)) for i in range(16))
