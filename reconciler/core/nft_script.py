"""The packet filter in nftables: as a whole, and as the change from one set of rules to another.

Only packets that come out of a tunnel are judged. The table is our own; nobody else's is touched,
and what it accepts may still be dropped by others. docs/decisions/0029 says why it is as it is.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network

from reconciler.core.model import IpNetwork
from reconciler.core.packet_filter import (
    COUNTERS,
    Allowed,
    FilterRules,
    SiteRules,
    network_order,
)

TABLE = "inet vpn_gateway"
_HOOKS = ("input", "forward")
_FAMILIES = ((4, "ipv4_addr"), (6, "ipv6_addr"))


@dataclass(frozen=True, slots=True)
class _Contents:
    """What depends on the rules; the rest of the table is always the same.

    Attributes:
        chains: the rules of each chain; none jumps to a later one.
        sources: the networks from which a site may send.
        jumps: the chain that judges what comes from a network.

    """

    chains: Mapping[str, tuple[str, ...]]
    sources: tuple[IpNetwork, ...]
    jumps: Mapping[IpNetwork, str]


def nft_script(rules: FilterRules) -> str:
    """Return what `nft -f` puts in force at once or not at all, whatever was there before.

    Linux fills the sets of a new table a moment after its rules begin to judge (seen with 6.18), so
    of many packets a second one may be lost. Where the table is known, load the change instead.
    """
    made = _contents(rules)
    lines = [
        "# Made by the reconciler: what may come out of a tunnel.",
        f"add table {TABLE}",
        f"delete table {TABLE}",
        f"table {TABLE} {{",
        *(f"  counter {name} {{ }}" for name in COUNTERS),
        *_whole("set sites", "", _by_version(made.sources, str)),
        *(line for name, rules in made.chains.items() for line in _chain(name, rules)),
        *_whole("map chains", " : verdict", _by_version(made.jumps, _jump(made))),
        *_chain("from_tunnel", _FROM_TUNNEL),
        *(line for hook in _HOOKS for line in _chain(hook, _base_chain(hook))),
        "}",
    ]
    return "\n".join([*lines, ""])


def nft_change(before: FilterRules, after: FilterRules) -> str:
    """Return what makes a table with the one set of rules one with the other; empty: nothing does.

    What stays is not touched, and so no packet of a site that stays is lost. (But where a LAN
    comes to be shared, or is shared no more, what its site may open can be dropped just then.)
    """
    old, new = _contents(before), _contents(after)
    changed = {name: rules for name, rules in new.chains.items() if old.chains.get(name) != rules}
    gone = [name for name in old.chains if name not in new.chains]
    jumps_before, jumps_after = old.jumps.items(), new.jumps.items()
    # The innermost chain goes last: nobody may jump to it any more by then.
    lines = [
        *_elements("delete", "chains", (network for network, _ in jumps_before - jumps_after), str),
        *_elements("delete", "sites", set(old.sources) - set(new.sources), str),
        *(f"add chain {TABLE} {name}" for name in changed if name not in old.chains),
        *(f"flush chain {TABLE} {name}" for name in [*changed, *gone] if name in old.chains),
        *(f"delete chain {TABLE} {name}" for name in gone),
        *(f"add rule {TABLE} {name} {rule}" for name, rules in changed.items() for rule in rules),
        *_elements("add", "sites", set(new.sources) - set(old.sources), str),
        *_elements(
            "add", "chains", (network for network, _ in jumps_after - jumps_before), _jump(new)
        ),
    ]
    return "\n".join([*lines, ""]) if lines else ""


def parts(listing: str) -> frozenset[str]:
    """Return the chains, sets and maps of a listed table. Their order tells nothing."""
    return frozenset(listing.replace("\n\n", "\n").split("\n\t}"))


def _contents(rules: FilterRules) -> _Contents:
    chains = {_name(site): tuple(_site_rules(site)) for site in rules.sites}
    jumps: dict[IpNetwork, str] = {}
    for network, sites in _by_outermost(rules.sites):
        jumps[network] = _name(sites[0])
        if len(sites) > 1:
            jumps[network] = _shared_name(network)
            chains[jumps[network]] = tuple(_shared_rules(sites))
    networks = (network for site in rules.sites for network in site.subnets)
    return _Contents(chains, tuple(_outermost(networks)), jumps)


# ---- Text ----


def _chain(name: str, rules: Iterable[str]) -> Iterator[str]:
    yield f"  chain {name} {{"
    yield from (f"    {rule}" for rule in rules)
    yield "  }"


def _whole(head: str, value: str, members: Mapping[int, list[str]]) -> Iterator[str]:
    """Declare a container for each family, with what is in it."""
    for version, kind in _FAMILIES:
        yield f"  {head}{version} {{"
        yield f"    type {kind}{value}"
        yield "    flags interval"
        if members[version]:
            yield f"    elements = {{ {', '.join(members[version])} }}"
        yield "  }"


def _elements(
    do: str, container: str, networks: Iterable[IpNetwork], write: Callable[[IpNetwork], str]
) -> Iterator[str]:
    ordered = sorted(networks, key=network_order)
    for version, members in _by_version(ordered, write).items():
        if members:
            yield f"{do} element {TABLE} {container}{version} {{ {', '.join(members)} }}"


def _by_version(
    networks: Iterable[IpNetwork], write: Callable[[IpNetwork], str]
) -> dict[int, list[str]]:
    members: dict[int, list[str]] = {version: [] for version, _ in _FAMILIES}
    for network in networks:
        members[network.version].append(write(network))
    return members


def _jump(contents: _Contents) -> Callable[[IpNetwork], str]:
    return lambda network: f"{network} : jump {contents.jumps[network]}"


# ---- Rules ----

_FROM_TUNNEL = (
    "icmp type redirect counter name redirects drop",
    "icmpv6 type nd-redirect counter name redirects drop",
    "ip saddr != @sites4 counter name spoofed drop",
    "ip6 saddr != @sites6 counter name spoofed drop",
    "ct state established ct direction reply accept",
    "ip saddr vmap @chains4",
    "ip6 saddr vmap @chains6",
    "counter name unasked drop",
)


def _base_chain(hook: str) -> Iterator[str]:
    """Judge what charon's own device brings, and what the kernel unwrapped in tunnel mode.

    In transport mode the kernel unwraps for others, such as the networks of a Docker swarm.
    """
    yield f"type filter hook {hook} priority filter - 10; policy accept;"
    yield 'iifname "ipsec*" goto from_tunnel'
    yield "meta ipsec exists ipsec in ip saddr 0.0.0.0/0 goto from_tunnel"
    yield "meta ipsec exists ipsec in ip6 saddr ::/0 goto from_tunnel"


def _site_rules(site: SiteRules) -> Iterator[str]:
    """Judge a packet from an address of this site that is no reply."""
    for word, inside in _by_family(site.subnets):
        # An error about a connection to somebody else would harm that one.
        # (ICMP and ICMPv6 by number: names need a file that not every image has.)
        yield (
            f"ct state related ct direction reply meta l4proto {{ 1, 58 }} "
            f"ct original {word} daddr {inside} accept"
        )
    for allowed in site.allowed:
        yield from _rules(allowed)


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


def _shared_rules(sites: Iterable[SiteRules]) -> Iterator[str]:
    """Lead on from a network in which several sites have a part."""
    for site in sites:
        for word, inside in _by_family(site.subnets):
            yield f"{word} saddr {inside} jump {_name(site)}"


def _name(site: SiteRules) -> str:
    return f"site_{site.connection}"


def _shared_name(network: IpNetwork) -> str:
    return f"shared{network.version}_{int(network.network_address):x}_{network.prefixlen}"


# ---- Networks ----


def _outermost(networks: Iterable[IpNetwork]) -> list[IpNetwork]:
    """Leave out what lies inside another one; the kernel's sets take no overlap."""
    kept: list[IpNetwork] = []
    for network in sorted(set(networks), key=network_order):
        if not kept or not _within(network, kept[-1]):
            kept.append(network)
    return kept


def _within(inner: IpNetwork, outer: IpNetwork) -> bool:
    return inner.version == outer.version and outer.overlaps(inner)


def _by_outermost(sites: Iterable[SiteRules]) -> Iterator[tuple[IpNetwork, list[SiteRules]]]:
    """Group the sites by the outermost networks that hold their subnets."""
    held = [(network, site) for site in sites for network in site.subnets]
    outer: IpNetwork | None = None
    holders: list[SiteRules] = []
    for network, site in sorted(held, key=lambda pair: network_order(pair[0])):
        if outer is None or not _within(network, outer):
            if outer is not None:
                yield outer, holders
            outer, holders = network, []
        if site not in holders:
            holders.append(site)
    if outer is not None:
        yield outer, holders


def _word(network: IpNetwork) -> str:
    return "ip" if isinstance(network, IPv4Network) else "ip6"


def _by_family(networks: Iterable[IpNetwork]) -> Iterator[tuple[str, str]]:
    """Yield the keyword of each family, and its networks as one expression."""
    outermost = _outermost(networks)
    for word in ("ip", "ip6"):
        members = [str(network) for network in outermost if _word(network) == word]
        if members:
            yield word, members[0] if len(members) == 1 else f"{{ {', '.join(members)} }}"
