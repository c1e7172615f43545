"""`airports.<id>.vpn.allow_inbound`: what the airport may open towards the hub's side.

Everything else that comes out of its tunnel unasked is dropped; replies always come through.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, Literal

from reconciler.core.mask import shown

Network = IPv4Network | IPv6Network
Protocol = Literal["tcp", "udp", "icmp"]
MOST_RULES = 50
_KEYS = ("protocol", "port", "to")
_PROTOCOLS = ("tcp", "udp", "icmp")
_TEXT = re.compile(r"(?P<protocol>[a-z]+)(/(?P<port>[0-9-]+))?")
_PORT = re.compile(r"(?P<first>[0-9]{1,5})(-(?P<last>[0-9]{1,5}))?")
_EXAMPLE = 'write like "tcp/21", "udp/5000-5010", "icmp", or as an object with protocol, port, to'

_PORT_SCHEMA = {"type": ["integer", "string"], "examples": [21, "50000-50100"]}
ALLOW_INBOUND_SCHEMA: dict[str, Any] = {
    "type": "array",
    "maxItems": MOST_RULES,
    "items": {
        "anyOf": [
            {"type": "string", "examples": ["tcp/21", "udp/5000-5010", "icmp"]},
            {
                "type": "object",
                "properties": {
                    "protocol": {"enum": list(_PROTOCOLS)},
                    "port": _PORT_SCHEMA,
                    "to": {"type": "string", "examples": ["10.0.0.5", "10.0.0.0/24"]},
                },
                "required": ["protocol"],
                "additionalProperties": False,
            },
        ]
    },
}


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a site may open: to the hub's own addresses, or to those of a network behind it."""

    protocol: Protocol
    first_port: int | None = None
    last_port: int | None = None
    to: Network | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for ports that make no sense."""
        if self.protocol == "icmp":
            if self.first_port is not None or self.last_port is not None:
                raise ValueError("icmp has no ports; leave them out")
            return
        if self.protocol not in ("tcp", "udp"):
            raise ValueError(f"{shown(self.protocol)} is no protocol; write tcp, udp or icmp")
        first, last = self.first_port, self.last_port
        if first is None or last is None or not 1 <= first <= last <= 65_535:
            raise ValueError(f"ports {first} to {last}: write two of 1 to 65535, the lower first")


def parse_allow_inbound(value: object) -> tuple[Allowed, ...]:
    """Read the list. Raises ValueError that names every wrong member."""
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise ValueError(f"{shown(value)} is not a list; {_EXAMPLE}")  # noqa: TRY004 - pydantic's way
    if len(value) > MOST_RULES:
        raise ValueError(f"has {len(value)} members; {MOST_RULES} at most")
    found, wrong = [], []
    for member in value:
        try:
            found.append(_parse(member))
        except ValueError as error:
            wrong.append(str(error))
    if wrong:
        raise ValueError("; ".join(wrong))
    return tuple(dict.fromkeys(found))


def _parse(member: object) -> Allowed:
    if isinstance(member, Allowed):
        return member
    if isinstance(member, Mapping):
        return _from_object(member)
    match = _TEXT.fullmatch(member.strip()) if isinstance(member, str) else None
    if match is None:
        raise ValueError(f"{shown(member)} is not understood; {_EXAMPLE}")
    return _allowed(match["protocol"], match["port"], None)


def _from_object(member: Mapping[str, object]) -> Allowed:
    unknown = [key for key in member if key not in _KEYS]
    if unknown:
        raise ValueError(f"unknown key {shown(unknown[0])}; known: {', '.join(_KEYS)}")
    return _allowed(member.get("protocol"), member.get("port"), member.get("to"))


def _allowed(protocol: object, port: object, to: object) -> Allowed:
    if protocol not in _PROTOCOLS:
        raise ValueError(f"protocol {shown(protocol)} is not known; write tcp, udp or icmp")
    where = None if to is None else _network(to)
    if protocol == "icmp":
        if port is not None:
            raise ValueError("icmp has no port; leave it out")
        return Allowed("icmp", None, None, where)
    if port is None:
        raise ValueError(f"{protocol} needs a port, like {protocol}/21")
    return Allowed("tcp" if protocol == "tcp" else "udp", *_ports(port), where)


def _ports(port: object) -> tuple[int, int]:
    match = None if isinstance(port, bool) else _PORT.fullmatch(str(port).strip())
    if match is None:
        raise ValueError(f"port {shown(port)} is not a port; write 21, or 50000-50100")
    first, last = int(match["first"]), int(match["last"] or match["first"])
    if not 1 <= first <= last <= 65535:
        raise ValueError(f"port {match[0]} is out of range; write 1 to 65535, the lower one first")
    return first, last


def _network(to: object) -> Network:
    text = to.strip() if isinstance(to, str) and "%" not in to else ""
    try:
        network = ip_network(text)
    except ValueError as error:
        hint = "write an address like 10.0.0.5, or a subnet like 10.0.0.0/24 without host bits"
        raise ValueError(f"to {shown(to)} is neither address nor subnet; {hint}") from error
    if network.is_multicast or network.is_loopback or network.is_unspecified:
        raise ValueError(f"to {network} can't be reached from a tunnel; leave `to` out for the hub")
    return network
