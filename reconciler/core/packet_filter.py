"""What may come out of a tunnel, as values. core/nft_script.py says it in nftables' words.

Default deny: docs/decisions/0029.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import Any, TypeVar

from reconciler.core.allow_inbound import Allowed as Allowed
from reconciler.core.mask import shown
from reconciler.core.model import NAME_PATTERN, IpNetwork, parse_subnet

COUNTERS = ("redirects", "spoofed", "unasked")
_T = TypeVar("_T")
_PROTOCOLS_HINT = "write tcp, udp or icmp"


@dataclass(frozen=True, slots=True)
class SiteRules:
    """The source addresses of one connection, and what it may open."""

    connection: str
    subnets: tuple[IpNetwork, ...]
    allowed: tuple[Allowed, ...] = ()

    def __post_init__(self) -> None:
        """Bring into one order, so that equal rules are equal values."""
        if not re.match(f"{NAME_PATTERN[:-1]}\\Z", self.connection):
            raise ValueError(f"{shown(self.connection)} is not the name of a connection")
        if not self.subnets:
            raise ValueError("has no subnets; name at least one")
        _set(self, "subnets", tuple(sorted(set(self.subnets), key=network_order)))
        _set(self, "allowed", tuple(sorted(set(self.allowed), key=_allowed_order)))


@dataclass(frozen=True, slots=True)
class FilterRules:
    """All that is in force at a time."""

    sites: tuple[SiteRules, ...] = ()

    def __post_init__(self) -> None:
        """Sort by name. Raises ValueError if one comes twice."""
        _set(self, "sites", tuple(sorted(self.sites, key=lambda site: site.connection)))
        names = [site.connection for site in self.sites]
        for name, following in pairwise(names):
            if name == following:
                raise ValueError(f"{name} comes twice")


class FilterState(StrEnum):
    """How the table in the kernel compares with what was loaded last."""

    IN_FORCE = "in-force"
    MISSING = "missing"
    DRIFTED = "drifted"
    UNKNOWN = "unknown"  # nothing was loaded since the agent started, or it could not look
    OFF = "off"  # PACKET_FILTER=no


@dataclass(frozen=True, slots=True)
class FilterView:
    """What is known of the filter. `loaded`: the digest of the rules that were loaded last."""

    loaded: str | None
    state: FilterState
    dropped: Mapping[str, int] = field(default_factory=dict)
    error: str = ""


def view_to_json(view: FilterView) -> dict[str, Any]:
    """Return the view as JSON values."""
    return {
        "loaded": view.loaded,
        "state": view.state.value,
        "dropped": dict(view.dropped),
        "error": view.error,
    }


def view_from_json(value: object) -> FilterView:
    """Read a view back. Raises ValueError."""
    members = _object(value, "view", ("loaded", "state", "dropped", "error"))
    loaded, dropped, error = members["loaded"], members["dropped"], members["error"]
    if not isinstance(loaded, str | None) or not isinstance(error, str):
        raise ValueError("view: loaded and error must be texts")  # noqa: TRY004
    if not isinstance(dropped, dict) or not all(type(n) is int for n in dropped.values()):
        raise ValueError("view.dropped: write an object of whole numbers")
    return FilterView(loaded, FilterState(members["state"]), dropped, error)


def _set(value: object, name: str, to: object) -> None:
    object.__setattr__(value, name, to)


def network_order(network: IpNetwork) -> tuple[int, int, int]:
    """Sort by family, then by address, the wider one first."""
    return network.version, int(network.network_address), network.prefixlen


def _allowed_order(allowed: Allowed) -> tuple[object, ...]:
    to = (0, 0, 0) if allowed.to is None else network_order(allowed.to)
    return allowed.protocol, allowed.first_port or 0, allowed.last_port or 0, to


# ---- JSON ----


def to_json(rules: FilterRules) -> dict[str, Any]:
    """Return the rules as JSON values; equal rules give equal values."""
    return {"sites": [_site_json(site) for site in rules.sites]}


def _site_json(site: SiteRules) -> dict[str, Any]:
    return {
        "connection": site.connection,
        "subnets": [str(network) for network in site.subnets],
        "allowed": [
            {
                "protocol": allowed.protocol,
                "first_port": allowed.first_port,
                "last_port": allowed.last_port,
                "to": None if allowed.to is None else str(allowed.to),
            }
            for allowed in site.allowed
        ],
    }


def from_json(value: object) -> FilterRules:
    """Read rules back. Raises ValueError that says where what is wrong.

    Nothing gets on as the text it came as: addresses and ports are read into numbers, a name has
    to be a connection's, a protocol one of three.
    """
    members = _object(value, "rules", ("sites",))
    sites = _each(members["sites"], "sites", _site)
    return _made("sites", lambda: FilterRules(sites))


def _site(value: object, path: str) -> SiteRules:
    members = _object(value, path, ("connection", "subnets", "allowed"))
    name = members["connection"]
    if not isinstance(name, str):
        raise ValueError(f"{path}.connection: is not a text")  # noqa: TRY004
    subnets = _each(members["subnets"], f"{path}.subnets", _network)
    allowed = _each(members["allowed"], f"{path}.allowed", _allowed)
    return _made(path, lambda: SiteRules(name, subnets, allowed))


def _allowed(value: object, path: str) -> Allowed:
    members = _object(value, path, ("protocol", "first_port", "last_port", "to"))
    protocol = members["protocol"]
    if protocol not in ("tcp", "udp", "icmp"):
        raise ValueError(f"{path}.protocol: {shown(protocol)} is no protocol; {_PROTOCOLS_HINT}")
    first = _port(members["first_port"], f"{path}.first_port")
    last = _port(members["last_port"], f"{path}.last_port")
    to = None if members["to"] is None else _network(members["to"], f"{path}.to")
    return _made(path, lambda: Allowed(protocol, first, last, to))


def _port(value: object, path: str) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{path}: {shown(value)} is not a whole number")  # noqa: TRY004
    return value


def _network(value: object, path: str) -> IpNetwork:
    return _made(path, lambda: parse_subnet(value))


def _object(value: object, path: str, names: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(value, dict) or set(value) != set(names):
        raise ValueError(f"{path}: write an object of {', '.join(names)}, and of nothing else")
    return value


def _each(value: object, path: str, read: Callable[[object, str], _T]) -> tuple[_T, ...]:
    if not isinstance(value, list):
        raise ValueError(f"{path}: is not a list")  # noqa: TRY004
    return tuple(read(member, f"{path}[{index}]") for index, member in enumerate(value))


def _made(path: str, make: Callable[[], _T]) -> _T:
    try:
        return make()
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def digest(rules: FilterRules) -> str:
    """Return what tells these rules from others, as short text."""
    text = json.dumps(to_json(rules), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]
