"""From a declared site to exactly what charon is told, and the mark by which it is known again.

The mark has three parts of eight hex digits, each a keyed hash: what a running IKE_SA depends on
(identities and key), what a running CHILD_SA depends on, and what only the next negotiation depends
on (the hub's one proposal list, addresses, timers). So a look at charon tells not only *that*
something drifted but *what*, also after our restart. Keyed, because the first part covers the PSK
and the mark is no secret.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr

from reconciler.core.crypto import Suite, hub_proposals
from reconciler.core.model import IpAddress, IpNetwork, Site
from reconciler.core.packet_filter import Allowed

_PART_DIGITS = 8
_IKE_PORT, _NAT_PORT = 500, 4500
_OVER_TIME_S = 1440
_CHILD_PREFIX = "lan-"
_CHILD = re.compile(rf"{_CHILD_PREFIX}(?P<mark>[0-9a-f]{{{3 * _PART_DIGITS}}})")
# By VICI we name a secret <connection>#<mark>; a section of swanctl.conf can't hold a '#' and must
# begin with its type, so after charon's own start the same secret is ike-<connection>_<mark>.
# While a key is being replaced, the one that the hub does not answer with has -spare at the end.
_SPARE = "-spare"
_SECRET = re.compile(rf"(?P<name>.+)#(?P<mark>[0-9a-f]{{{3 * _PART_DIGITS}}})(?:{_SPARE})?")
_FILE_SECRET = re.compile(
    rf"ike-(?P<name>.+)_(?P<mark>[0-9a-f]{{{3 * _PART_DIGITS}}})(?:{_SPARE})?"
)

Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Mark:
    """What one connection was rendered from, in three keyed hashes."""

    ike: str
    child: str
    later: str

    def __str__(self) -> str:
        return self.ike + self.child + self.later

    @classmethod
    def parse(cls, digits: str) -> "Mark":
        """Split the 24 digits of a mark."""
        return cls(digits[:8], digits[8:16], digits[16:])


@dataclass(frozen=True, slots=True)
class Hub:
    """The hub's side of every tunnel.

    Attributes:
        hub_id: IKE identity of the hub.
        mark_key: key of the marks, kept on the state volume.
        dpd_delay_s: seconds of silence after which a peer is asked for a sign of life.

    """

    hub_id: str
    mark_key: bytes = field(repr=False)
    dpd_delay_s: int = 20
    ike_rekey_s: int = 14_400


@dataclass(frozen=True, slots=True)
class Connection:
    """One tunnel as charon should have it. `psk` and `settings` never reach a log.

    Attributes:
        settings: the body of `load-conn`, which is the body of a swanctl.conf section, too. Only
            dicts, lists and texts: VICI knows no others.
        psk: the key that the hub proves itself with.
        spare_psk: while a key is being replaced, the other one that a site may use.
        ike_marks: first part of the mark under `psk` and under `spare_psk`: both are right.
        next_mark: the one of them that belongs to `vpn.next_psk`; empty if there is none.
        rekey_after: SAs established before (unix seconds) are to be renewed.
        declaration: marks of all that is declared, whichever key is answered with.
        allow_inbound: what the site may open. No part of the mark: charon knows nothing of it.

    """

    name: str
    airport_id: str
    remote_id: str
    remote_subnets: tuple[IpNetwork, ...]
    local_subnets: tuple[IpNetwork, ...]
    remote_address: IpAddress | None
    hub_id: str
    suite: Suite
    mark: Mark
    settings: Message = field(repr=False)
    psk: bytes = field(repr=False)
    ike_marks: frozenset[str] = frozenset()
    spare_psk: bytes | None = field(default=None, repr=False)
    next_mark: str = ""
    rekey_after: int = 0
    declaration: str = ""
    allow_inbound: tuple[Allowed, ...] = ()

    @property
    def remote_addresses(self) -> tuple[str, ...]:
        """Where charon may look for the site."""
        return tuple(self.settings["remote_addrs"])

    @property
    def child_name(self) -> str:
        """The CHILD_SA's name carries the mark, so a running SA tells what it was built from."""
        return f"{_CHILD_PREFIX}{self.mark}"

    @property
    def secret_id(self) -> str:
        """Id of the PSK in `load-shared`; it is loaded last and so says the load is whole."""
        return f"{self.name}#{self.mark}"

    @property
    def spare_secret_id(self) -> str:
        """Id of the other key, which is loaded before: charon answers with the last one."""
        return self.secret_id + _SPARE

    @property
    def file_secret_id(self) -> str:
        """Id of the same PSK when charon loaded it from swanctl.conf by itself."""
        return f"ike-{self.name}_{self.mark}"

    @property
    def file_spare_secret_id(self) -> str:
        """Id of the other key in swanctl.conf."""
        return self.file_secret_id + _SPARE

    def towards(self, host: str, port: int, instead_of: str) -> Message:
        """Return the settings for one attempt at where the site is seen now, behind NAT or not.

        `instead_of`: unique id of the IKE_SA to be replaced. charon would start a child over an
        IKE_SA whose settings are the same, so they differ from those of any attempt before.
        """
        ports = (
            {} if port == _IKE_PORT else {"local_port": str(_NAT_PORT), "remote_port": str(port)}
        )
        over_time_s = _OVER_TIME_S + int(instead_of) % _OVER_TIME_S
        # The second address shows in list-conns that these settings were left behind.
        once = {"remote_addrs": [host, "%any"], "over_time": f"{over_time_s}s"}
        return {**self.settings, **once, **ports}


def mark_of_child(child_name: str) -> Mark | None:
    """Return the mark in a child's name; None if the child is not ours."""
    match = _CHILD.fullmatch(child_name)
    return Mark.parse(match["mark"]) if match else None


def mark_of_secret(secret_id: str) -> tuple[str, Mark] | None:
    """Return connection and mark of a secret's id; None if the secret is not ours."""
    match = _SECRET.fullmatch(secret_id) or _FILE_SECRET.fullmatch(secret_id)
    return (match["name"], Mark.parse(match["mark"])) if match else None


def is_spare(secret_id: str) -> bool:
    """Tell whether it is the key that the hub accepts and does not answer with."""
    return secret_id.endswith(_SPARE)


def render(
    sites: Iterable[Site], hub: Hub, answered_with_next: Collection[str] = ()
) -> dict[str, Connection]:
    """Render every site, by connection name. The proposal list is one for all.

    `answered_with_next`: connections whose site has switched to `vpn.next_psk`.
    """
    sites = list(sites)
    proposals = hub_proposals(site.suite for site in sites)
    return {
        site.connection_name: _render_one(
            site, hub, proposals, with_next=site.connection_name in answered_with_next
        )
        for site in sorted(sites, key=lambda site: site.connection_name)
    }


def mark_under(site: Site, hub: Hub, psk: SecretStr) -> str:
    """Return the first part of the site's mark if its key is this one."""
    key = psk.get_secret_value().encode()
    return _digest(hub.mark_key, [site.connection_name, _identities(site, hub), key.hex()])


def _render_one(site: Site, hub: Hub, proposals: tuple[str, ...], *, with_next: bool) -> Connection:
    psk, spare = site.psk, site.next_psk
    if with_next and spare is not None:
        psk, spare = spare, psk
    other = None if spare is None else spare.get_secret_value().encode()
    who, later, child = _identities(site, hub), _later(site, hub, proposals), _child_settings(site)
    mark = Mark(
        mark_under(site, hub, psk),
        _digest(hub.mark_key, child),
        _digest(hub.mark_key, later if other is None else [later, other.hex()]),
    )
    children = {f"{_CHILD_PREFIX}{mark}": child}
    ike_marks = frozenset({mark.ike, *([mark_under(site, hub, spare)] if spare else [])})
    return Connection(
        name=site.connection_name,
        airport_id=site.airport_id,
        remote_id=site.remote_id,
        remote_subnets=site.remote_subnets,
        local_subnets=site.local_subnets,
        remote_address=site.remote_address,
        hub_id=hub.hub_id,
        suite=site.suite,
        mark=mark,
        settings={**later, **who, "children": children},
        psk=psk.get_secret_value().encode(),
        ike_marks=ike_marks,
        spare_psk=other,
        next_mark=mark_under(site, hub, site.next_psk) if site.next_psk else "",
        rekey_after=site.rekey_after,
        declaration="".join([*sorted(ike_marks), mark.child, _digest(hub.mark_key, later)]),
        allow_inbound=site.allow_inbound,
    )


def _identities(site: Site, hub: Hub) -> dict[str, Any]:
    """Return what, when changed, makes a running IKE_SA one between other parties."""
    return {
        "version": "2",
        "local": {"auth": "psk", "id": hub.hub_id},
        "remote": {"auth": "psk", "id": site.remote_id},
    }


def _later(site: Site, hub: Hub, proposals: tuple[str, ...]) -> dict[str, Any]:
    """Return what a running IKE_SA keeps as it was negotiated, and the next one takes over."""
    address = str(site.remote_address) if site.remote_address else "%any"
    return {
        "proposals": list(proposals),
        "local_addrs": ["%any"],
        "remote_addrs": [address],
        # With "replace", a site that dials anew whenever an IKE_SA is closed never comes to rest.
        "unique": "no",
        "send_certreq": "no",
        "mobike": "no",
        "dpd_delay": f"{hub.dpd_delay_s}s",
        "rekey_time": f"{hub.ike_rekey_s}s",
    }


def _child_settings(site: Site) -> dict[str, Any]:
    return {
        "mode": "tunnel",
        "local_ts": [str(subnet) for subnet in site.local_subnets],
        "remote_ts": [str(subnet) for subnet in site.remote_subnets],
        "esp_proposals": list(site.suite.esp_proposals),
        # Rekeyed well before the hard limit; charon spreads the moment by the difference.
        "rekey_time": f"{site.lifetime_s * 9 // 10}s",
        "life_time": f"{site.lifetime_s}s",
        "start_action": "none",
        "dpd_action": "clear",
        "close_action": "none",
    }


def _digest(key: bytes, value: object) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()[:_PART_DIGITS]
