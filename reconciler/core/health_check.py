"""`airports.<id>.vpn.health_check`: what is asked through the tunnel to know that it works."""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Literal

from reconciler.core.mask import shown

IpAddress = IPv4Address | IPv6Address
Kind = Literal["ping", "tcp"]
SHORTEST_INTERVAL_S, LONGEST_INTERVAL_S = 5, 3600
_KEYS = ("target", "kind", "port", "interval_s")
_WITH_PORT = re.compile(r"(\[(?P<six>[^\]]+)\]|(?P<four>[0-9.]+)):(?P<port>[0-9]{1,5})")
_EXAMPLE = "write an address of the LAN, like 192.168.1.1 (ping) or 192.168.1.100:80 (tcp)"


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """A declared probe. `port`: 0 for a ping. `interval_s`: 0 for the setting's."""

    target: IpAddress
    kind: Kind
    port: int = 0
    interval_s: int = 0


HEALTH_CHECK_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "string", "examples": ["192.168.1.1", "192.168.1.100:80"]},
        {
            "type": "object",
            "properties": {
                "target": {"type": "string", "examples": ["192.168.1.1"]},
                "kind": {"enum": ["ping", "tcp"]},
                "port": {"type": ["integer", "string"]},
                "interval_s": {"type": ["integer", "string"]},
            },
            "required": ["target"],
            "additionalProperties": False,
        },
        {"type": "null"},
    ]
}


def parse_health_check(value: object) -> HealthCheck | None:
    """Read the text or the object. Raises ValueError."""
    if value is None or isinstance(value, HealthCheck):
        return value
    if isinstance(value, dict):
        return _from_object(value)
    target, port = _target(value)
    return HealthCheck(target, "tcp" if port else "ping", port)


def _from_object(value: dict[str, object]) -> HealthCheck:
    unknown = [key for key in value if key not in _KEYS]
    if unknown:
        raise ValueError(f"unknown key {_shown(unknown[0])}; known: {', '.join(_KEYS)}")
    target, port = _target(value.get("target"))
    if value.get("port") is not None:
        port = _number("port", value["port"], 1, 65535)
    kind = value.get("kind", "tcp" if port else "ping")
    interval_s = 0
    if value.get("interval_s") is not None:
        lowest, highest = SHORTEST_INTERVAL_S, LONGEST_INTERVAL_S
        interval_s = _number("interval_s", value["interval_s"], lowest, highest)
    match kind:
        case "ping" if not port:
            return HealthCheck(target, "ping", 0, interval_s)
        case "ping":
            raise ValueError("a ping has no port; leave it out, or write kind tcp")
        case "tcp" if port:
            return HealthCheck(target, "tcp", port, interval_s)
        case "tcp":
            raise ValueError("kind tcp needs a port")
        case _:
            raise ValueError(f"kind {_shown(kind)} is not known; write ping or tcp")


def _target(value: object) -> tuple[IpAddress, int]:
    text = value.strip() if isinstance(value, str) else ""
    found = _WITH_PORT.fullmatch(text)
    host = (found["six"] or found["four"]) if found else text
    try:
        address = ip_address("" if "%" in host else host)
    except ValueError:
        raise ValueError(f"{_shown(value)} is no target; {_EXAMPLE}") from None
    port = _number("port", found["port"], 1, 65535) if found else 0
    return address, port


def _number(name: str, value: object, lowest: int, highest: int) -> int:
    text = str(value).strip()
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,6}", text):
        raise ValueError(f"{name} {_shown(value)} is not a whole number")
    if not lowest <= int(text) <= highest:
        raise ValueError(f"{name} {text} is out of range; write {lowest} to {highest}")
    return int(text)


def _shown(value: object) -> str:
    """Return the value for a message; not one with user and password, as a camera's URL has."""
    return "a value with an @" if "@" in str(value) else shown(value)
