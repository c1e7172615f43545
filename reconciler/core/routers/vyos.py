"""VyOS 1.4 and 1.3, and Ubiquiti's EdgeRouter, which come from one ancestor: set commands.

Syntax: 1.4: interface-definitions/vpn_ipsec.xml.in, https://github.com/vyos/vyos-1x (branch
sagitta, c3f688653); 1.3: templates/vpn/ipsec, https://github.com/vyos/vyatta-cfg-vpn (e376591).
EdgeOS 2.0: "EdgeRouter - Policy-Based Site-to-Site IPsec VPN",
https://help.ui.com/hc/en-us/articles/115011377588.
All three hand the key to strongSwan in double quotes, or without any.
"""

from collections.abc import Iterable
from functools import partial

from reconciler.core.crypto import CIPHERS, GROUPS, Suite
from reconciler.core.far_side import FarSide
from reconciler.core.routers.base import KeyRule, Router, in_bits, lacking

_KEY = KeyRule(forbidden="'\"\\ #$`!?")
_EDGE_CIPHERS = ("aes128", "aes256", "aes128gcm16", "aes256gcm16", "3des")
_EDGE_GROUPS = (2, 5, 14, 15, 16, 19, 20, 21)


def _groups(far: FarSide, *, prf: bool) -> Iterable[str]:
    suite, cipher, hash_ = far.suite, in_bits(far.suite.cipher.keyword), far.suite.hash.keyword
    ike, esp = f"set vpn ipsec ike-group {far.name}", f"set vpn ipsec esp-group {far.name}"
    yield f"{ike} key-exchange ikev2"
    yield f"{ike} lifetime {far.ike_lifetime_s}"
    yield f"{ike} dead-peer-detection action {'clear' if far.hub_dials else 'restart'}"
    yield f"{ike} dead-peer-detection interval {far.dpd_s}"
    yield f"{ike} dead-peer-detection timeout {far.dpd_s * 4}"
    yield f"{ike} proposal 1 encryption {cipher}"
    yield f"{ike} proposal 1 hash {hash_}"
    if prf:
        yield f"{ike} proposal 1 prf prf{hash_}"
    yield f"{ike} proposal 1 dh-group {suite.group.number}"
    yield f"{esp} lifetime {far.child_lifetime_s}"
    yield f"{esp} mode tunnel"
    yield f"{esp} pfs dh-group{suite.group.number}"
    yield f"{esp} proposal 1 encryption {cipher}"
    yield f"{esp} proposal 1 hash {hash_}"


def _role(far: FarSide) -> str:
    return "respond" if far.hub_dials else "initiate"


def _vyos_14(far: FarSide, key: str) -> Iterable[str]:
    psk = f"set vpn ipsec authentication psk {far.name}"
    peer = f"set vpn ipsec site-to-site peer {far.name}"
    ike = f"set vpn ipsec ike-group {far.name}"
    yield "set vpn ipsec interface eth0"
    yield from _groups(far, prf=True)
    yield f"{ike} close-action {'none' if far.hub_dials else 'start'}"
    yield f"{ike} disable-mobike"
    yield f"{psk} id {far.site_id}"
    yield f"{psk} id {far.hub_id}"
    yield f"{psk} secret '{key}'"
    yield f"{peer} authentication mode pre-shared-secret"
    yield f"{peer} authentication local-id {far.site_id}"
    yield f"{peer} authentication remote-id {far.hub_id}"
    yield f"{peer} connection-type {_role(far)}"
    yield f"{peer} default-esp-group {far.name}"
    yield f"{peer} ike-group {far.name}"
    yield f"{peer} local-address any"
    yield f"{peer} remote-address {far.hub_address or 'any'}"
    yield from (f"{peer} tunnel 1 local prefix {lan}" for lan in far.lan)
    yield from (f"{peer} tunnel 1 remote prefix {hub}" for hub in far.hub_networks)


def _peer_13(far: FarSide, key: str) -> Iterable[str]:
    peer = f"set vpn ipsec site-to-site peer {far.hub_address}"
    yield f"{peer} authentication mode pre-shared-secret"
    yield f"{peer} authentication pre-shared-secret '{key}'"
    yield f"{peer} authentication id '@{far.site_id}'"
    yield f"{peer} authentication remote-id '@{far.hub_id}'"
    yield f"{peer} connection-type {_role(far)}"
    yield f"{peer} default-esp-group {far.name}"
    yield f"{peer} ike-group {far.name}"
    yield f"{peer} ikev2-reauth no"
    yield f"{peer} local-address any"
    for number, (lan, hub) in enumerate(far.pairs, 1):
        yield f"{peer} tunnel {number} local prefix {lan}"
        yield f"{peer} tunnel {number} remote prefix {hub}"


def _vyos_13(far: FarSide, key: str) -> Iterable[str]:
    close = "none" if far.hub_dials else "restart"
    yield "set vpn ipsec ipsec-interfaces interface eth0"
    yield from _groups(far, prf=False)
    yield f"set vpn ipsec ike-group {far.name} close-action {close}"
    yield f"set vpn ipsec ike-group {far.name} ikev2-reauth no"
    yield f"set vpn ipsec ike-group {far.name} mobike disable"
    yield from _peer_13(far, key)


def _edgerouter(far: FarSide, key: str) -> Iterable[str]:
    yield "set vpn ipsec auto-firewall-nat-exclude enable"
    yield from _groups(far, prf=False)
    yield f"set vpn ipsec ike-group {far.name} ikev2-reauth no"
    yield from _peer_13(far, key)


def _all_ours(suite: Suite) -> str:
    """Every cipher that can be declared stands in their lists, in bits."""
    return lacking(suite, (cipher.keyword for cipher in CIPHERS.values()), GROUPS)


_PASTE = (
    "1. configure",
    "2. Paste the lines below. eth0 is the interface towards the internet; put yours.",
    "3. Exempt the tunnel from NAT: a `nat source rule` before the masquerading one, "
    "for the networks below, with `exclude`.",
    "4. commit; save; exit",
    "To see it: show vpn ipsec sa",
)
_SOURCE_13 = (
    "vyatta-cfg-vpn, templates/vpn/ipsec, https://github.com/vyos/vyatta-cfg-vpn (1.3, e376591)"
)

VYOS = Router(
    name="vyos",
    title="VyOS",
    versions="VyOS 1.4 and later; for 1.3 take vyos-1.3",
    sources=(
        "interface-definitions/vpn_ipsec.xml.in, https://github.com/vyos/vyos-1x "
        "(branch sagitta, which is 1.4)",
    ),
    where=_PASTE,
    body=_vyos_14,
    algorithm_fault=_all_ours,
    key_rule=_KEY,
    needs_address=False,
)
VYOS_13 = Router(
    name="vyos-1.3",
    title="VyOS",
    versions="VyOS 1.2 and 1.3",
    sources=(_SOURCE_13,),
    where=_PASTE,
    body=_vyos_13,
    algorithm_fault=_all_ours,
    key_rule=_KEY,
    everything=False,
)
EDGEROUTER = Router(
    name="edgerouter",
    title="Ubiquiti EdgeRouter",
    versions="EdgeOS 2.0",
    sources=(
        "EdgeRouter - Policy-Based Site-to-Site IPsec VPN, "
        "https://help.ui.com/hc/en-us/articles/115011377588 (EdgeOS 2.0)",
        _SOURCE_13,
    ),
    where=(
        "1. configure",
        "2. Paste the lines below.",
        "3. commit; save; exit",
        "To see it: show vpn ipsec sa",
    ),
    body=_edgerouter,
    algorithm_fault=partial(lacking, ciphers=_EDGE_CIPHERS, groups=_EDGE_GROUPS),
    key_rule=_KEY,
    everything=False,
    ipv6=False,
    warnings=(
        "The @ makes the identity an FQDN. Without it EdgeOS may send its address, and the hub "
        "refuses that as unknown-id.",
    ),
)
