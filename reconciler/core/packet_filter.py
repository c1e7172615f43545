"""What may come out of a tunnel: default deny, as values and as one nftables script.

Only packets that come out of a tunnel are judged. The table is our own; nobody else's is touched,
and what it accepts may still be dropped by others. docs/decisions/0029 says why it is as it is.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Network
from itertools import pairwise
from typing import Any, TypeVar

from reconciler.core.allow_inbound import Allowed as Allowed
from reconciler.core.mask import shown
from reconciler.core.model import NAME_PATTERN, IpNetwork, parse_subnet

TABLE = "inet vpn_gateway"
COUNTERS = ("redirects", "spoofed", "unasked")
_T = TypeVar("_T")
_PROTOCOLS_HINT = "write tcp, udp or icmp"
_HOOKS = ("input", "forward")


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
        _set(self, "subnets", tuple(sorted(set(self.subnets), key=_network_order)))
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


def _network_order(network: IpNetwork) -> tuple[int, int, int]:
    return network.version, int(network.network_address), network.prefixlen


def _allowed_order(allowed: Allowed) -> tuple[object, ...]:
    to = (0, 0, 0) if allowed.to is None else _network_order(allowed.to)
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


# ---- nftables ----


def nft_script(rules: FilterRules) -> str:
    """Return what `nft -f` puts in force at once or not at all, whatever was there before."""
    networks = [network for site in rules.sites for network in site.subnets]
    lines = [
        "# Made by the reconciler: what may come out of a tunnel.",
        f"add table {TABLE}",
        f"delete table {TABLE}",
        f"table {TABLE} {{",
        *(f"  counter {name} {{ }}" for name in COUNTERS),
        *_sets(networks),
        *(line for site in rules.sites for line in _site_chain(site)),
        *_dispatch(rules),
        *_tunnel_chain(),
        *(line for hook in _HOOKS for line in _base_chain(hook)),
        "}",
    ]
    return "\n".join([*lines, ""])


def _sets(networks: Iterable[IpNetwork]) -> Iterator[str]:
    outermost = _outermost(networks)
    for family, kind in ((4, "ipv4_addr"), (6, "ipv6_addr")):
        members = [str(network) for network in outermost if network.version == family]
        yield from _container(f"set sites{family}", kind, members)


def _container(head: str, kind: str, members: list[str]) -> Iterator[str]:
    yield f"  {head} {{"
    yield f"    type {kind}"
    yield "    flags interval"
    if members:
        yield f"    elements = {{ {', '.join(members)} }}"
    yield "  }"


def _outermost(networks: Iterable[IpNetwork]) -> list[IpNetwork]:
    """Leave out what lies inside another one; the kernel's sets take no overlap."""
    kept: list[IpNetwork] = []
    for network in sorted(set(networks), key=_network_order):
        if not kept or not _within(network, kept[-1]):
            kept.append(network)
    return kept


def _within(inner: IpNetwork, outer: IpNetwork) -> bool:
    return inner.version == outer.version and outer.overlaps(inner)


def _site_chain(site: SiteRules) -> Iterator[str]:
    """Judge a packet from an address of this site that is no reply."""
    yield f"  chain {_chain(site)} {{"
    for word, inside in _by_family(site.subnets):
        # An error about a connection to somebody else would harm that one.
        # (ICMP and ICMPv6 by number: names need a file that not every image has.)
        yield (
            f"    ct state related ct direction reply meta l4proto {{ 1, 58 }} "
            f"ct original {word} daddr {inside} accept"
        )
    for allowed in site.allowed:
        yield from (f"    {rule}" for rule in _rules(allowed))
    yield "  }"


def _rules(allowed: Allowed) -> Iterator[str]:
    network = allowed.to
    to = "fib daddr type local" if network is None else f"{_word(network)} daddr {network}"
    if allowed.protocol != "icmp":
        yield f"{to} {allowed.protocol} dport {allowed.first_port}-{allowed.last_port} accept"
        return
    if network is None or network.version == 4:
        yield f"{to} icmp type echo-request accept"
    if network is None or network.version == 6:
        yield f"{to} icmpv6 type echo-request accept"


def _dispatch(rules: FilterRules) -> Iterator[str]:
    """Lead from a source address to the chain of its site, or of each whose LAN holds it."""
    chains: dict[IpNetwork, str] = {}
    for network, sites in _by_outermost(rules.sites):
        chains[network] = _chain(sites[0])
        if len(sites) > 1:
            chains[network] = f"shared_{len(chains)}"
            yield f"  chain {chains[network]} {{"
            for site in sites:
                for word, inside in _by_family(site.subnets):
                    yield f"    {word} saddr {inside} jump {_chain(site)}"
            yield "  }"
    for family, kind in ((4, "ipv4_addr"), (6, "ipv6_addr")):
        members = [f"{n} : jump {chain}" for n, chain in chains.items() if n.version == family]
        yield from _container(f"map chains{family}", f"{kind} : verdict", members)


def _by_outermost(sites: Iterable[SiteRules]) -> Iterator[tuple[IpNetwork, list[SiteRules]]]:
    """Group the sites by the outermost networks that hold their subnets."""
    held = [(network, site) for site in sites for network in site.subnets]
    outer: IpNetwork | None = None
    holders: list[SiteRules] = []
    for network, site in sorted(held, key=lambda pair: _network_order(pair[0])):
        if outer is None or not _within(network, outer):
            if outer is not None:
                yield outer, holders
            outer, holders = network, []
        if site not in holders:
            holders.append(site)
    if outer is not None:
        yield outer, holders


def _tunnel_chain() -> Iterator[str]:
    yield "  chain from_tunnel {"
    yield "    icmp type redirect counter name redirects drop"
    yield "    icmpv6 type nd-redirect counter name redirects drop"
    yield "    ip saddr != @sites4 counter name spoofed drop"
    yield "    ip6 saddr != @sites6 counter name spoofed drop"
    yield "    ct state established ct direction reply accept"
    yield "    ip saddr vmap @chains4"
    yield "    ip6 saddr vmap @chains6"
    yield "    counter name unasked drop"
    yield "  }"


def _base_chain(hook: str) -> Iterator[str]:
    """Judge what charon's own device brings, and what the kernel unwrapped in tunnel mode.

    In transport mode the kernel unwraps for others, such as the networks of a Docker swarm.
    """
    yield f"  chain {hook} {{"
    yield f"    type filter hook {hook} priority filter - 10; policy accept;"
    yield '    iifname "ipsec*" goto from_tunnel'
    yield "    meta ipsec exists ipsec in ip saddr 0.0.0.0/0 goto from_tunnel"
    yield "    meta ipsec exists ipsec in ip6 saddr ::/0 goto from_tunnel"
    yield "  }"


def _chain(site: SiteRules) -> str:
    return f"site_{site.connection}"


def _word(network: IpNetwork) -> str:
    return "ip" if isinstance(network, IPv4Network) else "ip6"


def _by_family(networks: Iterable[IpNetwork]) -> Iterator[tuple[str, str]]:
    """Yield the keyword of each family, and its networks as one expression."""
    outermost = _outermost(networks)
    for word in ("ip", "ip6"):
        members = [str(network) for network in outermost if _word(network) == word]
        if members:
            yield word, members[0] if len(members) == 1 else f"{{ {', '.join(members)} }}"
