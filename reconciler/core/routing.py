"""Which way leads to a camera: through its airport's tunnel, directly, or nowhere.

The whole judgement is made from values: the URL, what is known of its name, and the subnets of all
tunnels. Nothing is asked here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address

from reconciler.core.camera_url import BadUrl, CameraUrl
from reconciler.core.model import IpAddress, IpNetwork, Site
from reconciler.core.names import Resolution


class Route(StrEnum):
    """The verdict on one camera, in a form that programs can rely on."""

    TUNNEL = "tunnel"
    DIRECT = "direct"
    OUTSIDE_LAN = "outside-lan"
    OTHER_TUNNEL = "other-tunnel"
    NO_TUNNEL = "no-tunnel"
    HUB_ITSELF = "hub-itself"
    AMBIGUOUS = "ambiguous"
    UNRESOLVED = "unresolved"
    RESOLVER_DOWN = "resolver-down"
    PENDING = "pending"
    INVALID_URL = "invalid-url"


# These are as they should be; anything else is a mistake, or is not known yet.
GOOD = frozenset({Route.TUNNEL, Route.DIRECT})
# These are wrong whatever a name server says.
MISTAKES = frozenset(
    {Route.OUTSIDE_LAN, Route.OTHER_TUNNEL, Route.HUB_ITSELF, Route.AMBIGUOUS, Route.INVALID_URL}
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Where a camera's URL leads, and why. `connection`: whose tunnel it is, if one."""

    route: Route
    reason: str
    addresses: tuple[IpAddress, ...] = ()
    connection: str = ""


@dataclass(frozen=True, slots=True)
class Lan:
    """The tunnel of the camera's own airport."""

    connection: str
    subnets: tuple[IpNetwork, ...]


class Tunnels:
    """The subnets of all tunnels, found by address whatever their number."""

    def __init__(self, lans: Iterable[Lan]) -> None:
        self._by_length: dict[tuple[int, int], dict[int, str]] = {}
        for lan in lans:
            for subnet in lan.subnets:
                of_length = self._by_length.setdefault((subnet.version, subnet.prefixlen), {})
                of_length.setdefault(int(subnet.network_address), lan.connection)

    def of(self, address: IpAddress) -> str:
        """Return whose tunnel leads to the address; empty if none does."""
        number, bits = int(address), address.max_prefixlen
        for (version, length), of_length in self._by_length.items():
            if version != address.version:
                continue
            start = number >> (bits - length) << (bits - length)
            if start in of_length:
                return of_length[start]
        return ""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a camera is judged against.

    Attributes:
        tunnels: of all airports.
        hub: the hub's own networks and addresses.
        names: what is known of host names.

    """

    tunnels: Tunnels = field(default_factory=lambda: Tunnels(()))
    hub: Sequence[IpNetwork] = ()
    names: Mapping[str, Resolution] = field(default_factory=dict)
    now_s: float = 0.0


def lans_of(sites: Iterable[Site]) -> dict[str, Lan]:
    """Return each airport's own tunnel, by airport id."""
    return {site.airport_id: Lan(site.connection_name, site.remote_subnets) for site in sites}


def judge(
    url: CameraUrl | BadUrl, own: Lan | None, around: Surroundings, *, anybody: bool = False
) -> Verdict:
    """Say which way leads to a camera.

    `own`: the tunnel of its airport; None: it has none. `anybody`: no airport is meant, so every
    tunnel is right.
    """
    if isinstance(url, BadUrl):
        return Verdict(Route.INVALID_URL, url.reason)
    if url.readings:
        verdict = _by_address(url.readings, own, around, anybody=anybody)
        if len(url.readings) > 1:
            both = " or ".join(map(str, url.readings))
            text = f"programs read the address differently, as {both}; write the one that is meant"
            verdict = Verdict(Route.AMBIGUOUS, text, url.readings)
    else:
        verdict = _by_name(url.host, own, around, anybody=anybody)
    return replace(verdict, reason="; ".join((verdict.reason, *url.notes)))


def _by_name(host: str, own: Lan | None, around: Surroundings, *, anybody: bool) -> Verdict:
    if host.rstrip(".") == "localhost" or host.rstrip(".").endswith(".localhost"):
        return Verdict(Route.HUB_ITSELF, "localhost is whichever machine reads it")
    known = around.names.get(host)
    if known is None or (known.answered_s is None and not known.failure):
        return Verdict(Route.PENDING, "the name has not been looked up yet")
    if known.is_stale(around.now_s):
        return Verdict(Route.RESOLVER_DOWN, f"the name can't be looked up: {known.failure}")
    if not known.addresses:
        return Verdict(Route.UNRESOLVED, known.absent or "the name has no address")
    verdict = _by_address(known.addresses, own, around, anybody=anybody)
    if known.failure:
        age_s = around.now_s - (known.answered_s or 0.0)
        text = f"{verdict.reason}; by an answer of {_minutes(age_s)} ago, as the name can't be "
        return replace(verdict, reason=f"{text}looked up: {known.failure}")
    return verdict


def _minutes(seconds: float) -> str:
    return f"{max(1, round(seconds / 60))} min"


def _by_address(
    addresses: tuple[IpAddress, ...], own: Lan | None, around: Surroundings, *, anybody: bool
) -> Verdict:
    found = {one: _of_one(one, own, around, anybody=anybody) for one in addresses}
    kinds = {(verdict.route, verdict.connection) for verdict in found.values()}
    if len(kinds) == 1:
        verdict = found[addresses[0]]
        return replace(verdict, addresses=addresses)
    said = ", ".join(f"{one} is {verdict.route}" for one, verdict in [*found.items()][:4])
    return Verdict(Route.AMBIGUOUS, f"its addresses lead different ways: {said}", addresses)


def _of_one(address: IpAddress, own: Lan | None, around: Surroundings, *, anybody: bool) -> Verdict:
    if nowhere := _nowhere(address, around):
        return nowhere
    if own is not None and (subnet := _holder(address, own.subnets)):
        return _in_own(address, subnet, own)
    if other := around.tunnels.of(address):
        if anybody:
            return Verdict(Route.TUNNEL, f"{address} is in the LAN of {other}", (), other)
        text = f"{address} is in the LAN of {other}, which is another airport's tunnel"
        return Verdict(Route.OTHER_TUNNEL, text, (), other)
    if network := _holder(address, around.hub):
        return Verdict(Route.DIRECT, f"{address} is in {network}, a network of the hub itself")
    if address.is_global:
        return Verdict(Route.DIRECT, f"{address} is a public address in no tunnel's LAN")
    if own is None:
        whose = "no airport declares" if anybody else "the airport has no tunnel"
        text = f"{address} is a private address, and {whose}"
        return Verdict(Route.NO_TUNNEL, f"{text} its LAN" if anybody else text)
    lan = ", ".join(map(str, own.subnets))
    text = f"{address} is outside the airport's declared LAN {lan}; correct one of them"
    return Verdict(Route.OUTSIDE_LAN, text)


def _nowhere(address: IpAddress, around: Surroundings) -> Verdict | None:
    """Find addresses that no packet to a camera can have."""
    if address.is_loopback or address.is_unspecified:
        return Verdict(Route.HUB_ITSELF, f"{address} is whichever machine reads it")
    if any(net.num_addresses == 1 and net.network_address == address for net in around.hub):
        return Verdict(Route.HUB_ITSELF, f"{address} is the hub's own address")
    if address.is_link_local:
        return Verdict(Route.OUTSIDE_LAN, f"{address} is link-local, which no tunnel carries")
    if address.is_multicast or address == IPv4Address("255.255.255.255"):
        return Verdict(Route.OUTSIDE_LAN, f"{address} is for many receivers; no tunnel carries it")
    return None


def _in_own(address: IpAddress, subnet: IpNetwork, own: Lan) -> Verdict:
    ends = {subnet.network_address, subnet.broadcast_address}
    if not isinstance(address, IPv6Address) and subnet.prefixlen < 31 and address in ends:
        text = f"{address} is the first or last address of {subnet}, which no camera has"
        return Verdict(Route.OUTSIDE_LAN, text)
    return Verdict(Route.TUNNEL, f"{address} is in the LAN {subnet}", (), own.connection)


def _holder(address: IpAddress, networks: Iterable[IpNetwork]) -> IpNetwork | None:
    for network in networks:
        if network.version == address.version and address in network:
            return network
    return None
