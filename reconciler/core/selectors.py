"""Which traffic selectors are taken, so that no two sites can claim the same packets.

Two sites whose (local x remote) selectors intersect share one policy in charon, and packets
silently reach the newest one; so the second claim is refused.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import collapse_addresses

from reconciler.core.model import IpNetwork, Site

# One claimed interval: (first address, last address, airport id).
_Claim = tuple[int, int, str]


class Claims:
    """The selectors taken so far. Remote intervals of one local selector never overlap."""

    def __init__(self) -> None:
        self._by_local: dict[IpNetwork, dict[int, list[_Claim]]] = {}

    def holder(self, site: Site) -> tuple[str, IpNetwork] | None:
        """Return the airport that holds some of these selectors, and which subnet of ours it is."""
        for local in site.local_subnets:
            for taken_local, claims in self._by_local.items():
                if taken_local.version == local.version and taken_local.overlaps(local):
                    for remote in site.remote_subnets:
                        other = _overlapping(claims.get(remote.version, []), remote)
                        if other is not None and other != site.airport_id:
                            return other, remote
        return None

    def take(self, site: Site) -> None:
        """Claim the selectors of a site that nobody else holds."""
        for local in site.local_subnets:
            claims = self._by_local.setdefault(local, {})
            # The widest first: a site may name a subnet and a part of it.
            for remote in sorted(site.remote_subnets, key=lambda subnet: subnet.prefixlen):
                if _overlapping(claims.get(remote.version, []), remote) is None:
                    insort(claims.setdefault(remote.version, []), _claim(remote, site.airport_id))


def _claim(network: IpNetwork, airport_id: str) -> _Claim:
    return int(network.network_address), int(network.broadcast_address), airport_id


def _overlapping(claims: Sequence[_Claim], network: IpNetwork) -> str | None:
    """Find who holds part of the network; claims are disjoint and sorted."""
    first, last, _ = _claim(network, "")
    index = bisect_left(claims, (first, 0, ""))
    for claim in claims[max(0, index - 1) : index + 1]:
        if claim[0] <= last and claim[1] >= first:
            return claim[2]
    return None


@dataclass(frozen=True, slots=True)
class Overlap:
    """A remote subnet meets a network of the hub. `swallows`: all of it would enter the tunnel."""

    remote: IpNetwork
    name: str
    network: IpNetwork
    swallows: bool


def overlaps(site: Site, hub_networks: Mapping[str, IpNetwork]) -> Iterable[Overlap]:
    """Yield where packets for the hub's own networks would go into the tunnel instead."""
    for remote in site.remote_subnets:
        for name, network in sorted(hub_networks.items()):
            if network.version == remote.version and network.overlaps(remote):
                swallows = network.prefixlen >= remote.prefixlen
                yield Overlap(remote, name, network, swallows)


def uncovered(declared: Iterable[IpNetwork], have: Iterable[IpNetwork]) -> tuple[IpNetwork, ...]:
    """Name the declared subnets that the others together do not cover."""
    have = tuple(have)
    v4 = list(collapse_addresses(subnet for subnet in have if subnet.version == 4))
    v6 = list(collapse_addresses(subnet for subnet in have if subnet.version == 6))
    return tuple(
        subnet
        for subnet in declared
        if not any(subnet.subnet_of(cover) for cover in (v4 if subnet.version == 4 else v6))  # type: ignore[arg-type]
    )
