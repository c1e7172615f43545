"""What the router at an airport must be told, from the same declaration as the hub's side.

One value for every template: identities, algorithms, selectors and timers as the hub has them.
"""

from dataclasses import dataclass, field
from itertools import product

from reconciler.core.crypto import Suite
from reconciler.core.model import IpNetwork, Site
from reconciler.core.render import Hub

# charon renews at nine tenths at the latest. A site that would renew at about the same time makes
# two SAs out of one, so it is given twice the time: then it only does so when the hub has not.
_TIMES = 2
# Routers with a fixed margin of 540 s, doubled by chance (strongSwan's old default).
_LONGEST_MARGIN_S = 1200
_LONGEST_S = 86_400
PLACEHOLDER = "PUT-THE-KEY-HERE"


@dataclass(frozen=True, slots=True)
class FarSide:
    """One airport's router as it has to be set up.

    Attributes:
        lan: the airport's networks, which the router calls its local ones.
        hub_networks: what is behind the hub, which the router calls the remote ones.
        hub_address: where the hub is reached, name or address; empty if the hub dials and none
            was given.
        hub_dials: the hub calls the site, which then waits for it.
        key: the pre-shared key. While one is being replaced, the one to come.
        key_changes: a key is being replaced.

    """

    name: str
    airport_id: str
    site_id: str
    hub_id: str
    hub_address: str
    hub_dials: bool
    lan: tuple[IpNetwork, ...]
    hub_networks: tuple[IpNetwork, ...]
    suite: Suite
    ike_lifetime_s: int
    child_lifetime_s: int
    dpd_s: int
    key: str = field(repr=False)
    key_changes: bool = False

    @property
    def pairs(self) -> tuple[tuple[IpNetwork, IpNetwork], ...]:
        """Every local with every remote network of its family."""
        found = product(self.lan, self.hub_networks)
        return tuple((lan, hub) for lan, hub in found if lan.version == hub.version)

    @property
    def whole_world(self) -> bool:
        """Everything that leaves the LAN would enter the tunnel."""
        return any(network.prefixlen == 0 for network in self.hub_networks)

    @property
    def families(self) -> frozenset[int]:
        """IP versions inside the tunnel."""
        return frozenset(network.version for network in self.lan)


def far_side(site: Site, hub: Hub, hub_address: str) -> FarSide:
    """Turn a declared site round: what is remote for the hub is local for the site."""
    return FarSide(
        name=site.connection_name,
        airport_id=site.airport_id,
        site_id=site.remote_id,
        hub_id=hub.hub_id,
        hub_address=hub_address,
        hub_dials=site.remote_address is not None,
        lan=site.remote_subnets,
        hub_networks=site.local_subnets,
        suite=site.suite,
        ike_lifetime_s=later_than(hub.ike_rekey_s),
        child_lifetime_s=later_than(site.lifetime_s),
        dpd_s=hub.dpd_delay_s,
        key=(site.next_psk or site.psk).get_secret_value(),
        key_changes=site.next_psk is not None,
    )


def later_than(lifetime_s: int) -> int:
    """Return a lifetime after which a router renews later than the hub, which has this one."""
    return min(max(_TIMES * lifetime_s, lifetime_s + _LONGEST_MARGIN_S), _LONGEST_S)
