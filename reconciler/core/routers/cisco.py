"""Cisco IOS-XE: a route-based tunnel whose selectors come from an access list (multi-SA VTI).

Syntax: Cisco-IOS-XE-crypto.yang, https://github.com/YangModels/yang (vendor/cisco/xe/1761);
"FlexVPN and Internet Key Exchange Version 2 Configuration Guide, Cisco IOS XE 17" and
"Security for VPNs with IPsec Configuration Guide: Multi-SA Support for SVTI" (16.12 and later),
https://www.cisco.com/c/en/us/support/ios-nx-os-software/ios-xe-17/series.html.
"""

from collections.abc import Iterable
from ipaddress import ip_address

from reconciler.core.crypto import Suite
from reconciler.core.far_side import FarSide
from reconciler.core.model import IpNetwork
from reconciler.core.routers.base import KeyRule, Router, Unfit, in_bits

_IKE = {
    "aes128": "aes-cbc-128",
    "aes192": "aes-cbc-192",
    "aes256": "aes-cbc-256",
    "aes128gcm16": "aes-gcm-128",
    "aes256gcm16": "aes-gcm-256",
    "3des": "3des",
}
_ESP = {
    "aes128": "esp-aes",
    "aes192": "esp-aes 192",
    "aes256": "esp-aes 256",
    "aes128gcm16": "esp-gcm",
    "aes256gcm16": "esp-gcm 256",
    "3des": "esp-3des",
}
_HMAC = {
    "sha1": "esp-sha-hmac",
    "sha256": "esp-sha256-hmac",
    "sha384": "esp-sha384-hmac",
    "sha512": "esp-sha512-hmac",
}
_GROUPS = (2, 14, 15, 16, 19, 20, 21)


def _fault(suite: Suite) -> str:
    if suite.cipher.keyword not in _IKE:
        return f"it has no {in_bits(suite.cipher.keyword)} for IKE"
    if suite.group.number not in _GROUPS:
        return f"it has no group {suite.group.number}"
    return ""


def _acl(network: IpNetwork) -> str:
    if network.prefixlen == 0:
        return "any"
    return f"{network.network_address} {network.hostmask}"


def _body(far: FarSide, key: str) -> Iterable[str]:
    try:
        ip_address(far.hub_address)
    except ValueError as error:
        message = "it takes the hub's address as a number only; give --hub-address one"
        raise Unfit([message]) from error
    suite, name, hash_ = far.suite, far.name, far.suite.hash.keyword
    middle = f" prf {hash_}" if suite.cipher.aead else f" integrity {hash_}\n prf {hash_}"
    transform = _ESP[suite.cipher.keyword]
    if not suite.cipher.aead:
        transform += f" {_HMAC[hash_]}"
    yield f"""\
crypto ikev2 proposal {name}
 encryption {_IKE[suite.cipher.keyword]}
{middle}
 group {suite.group.number}
!
crypto ikev2 policy {name}
 match fvrf any
 proposal {name}
!
crypto ikev2 keyring {name}
 peer hub
  address {far.hub_address}
  pre-shared-key {key}
!
crypto ikev2 profile {name}
 match identity remote fqdn {far.hub_id}
 identity local fqdn {far.site_id}
 authentication remote pre-share
 authentication local pre-share
 keyring local {name}
 lifetime {far.ike_lifetime_s}
 dpd {far.dpd_s} 5 periodic
!
crypto ipsec transform-set {name} {transform}
 mode tunnel
!
crypto ipsec profile {name}
 set transform-set {name}
 set ikev2-profile {name}
 set pfs group{suite.group.number}
 set security-association lifetime seconds {far.child_lifetime_s}
 set security-association lifetime kilobytes disable"""
    yield from (" responder-only",) if far.hub_dials else ()
    yield f"!\nip access-list extended {name}"
    for lan, hub in far.pairs:
        yield f" permit ip {_acl(lan)} {_acl(hub)}"
    yield f"""\
!
interface Tunnel500
 description {name}
 ip unnumbered GigabitEthernet1
 tunnel source GigabitEthernet1
 tunnel mode ipsec ipv4
 tunnel destination {far.hub_address}
 tunnel protection ipsec policy ipv4 {name}
 tunnel protection ipsec profile {name}
!"""
    yield from _routes(far)


def _routes(far: FarSide) -> Iterable[str]:
    for hub in far.hub_networks:
        if hub.prefixlen == 0:
            yield "! Route what the hub fetches from into the tunnel, as it is not declared:"
            yield "! ip route NETWORK MASK Tunnel500"
        else:
            yield f"ip route {hub.network_address} {hub.netmask} Tunnel500"
    yield "end"


CISCO = Router(
    name="cisco-iosxe",
    title="Cisco IOS-XE",
    versions="IOS-XE 16.12 and later (multi-SA VTI)",
    sources=(
        "Cisco-IOS-XE-crypto.yang, https://github.com/YangModels/yang (vendor/cisco/xe/1761)",
        "FlexVPN and Internet Key Exchange Version 2 Configuration Guide, Cisco IOS XE 17, "
        "https://www.cisco.com/c/en/us/support/ios-nx-os-software/ios-xe-17/series.html",
    ),
    where=(
        "1. configure terminal",
        "2. Paste the lines below. GigabitEthernet1 is the interface towards the internet; "
        "put yours.",
        "3. write memory",
        "To see it: show crypto ikev2 sa; show crypto ipsec sa",
    ),
    body=_body,
    algorithm_fault=_fault,
    key_rule=KeyRule(forbidden=" ?\"'!\\|"),
    ipv6=False,
    comment="!",
    warnings=(
        "Without `identity local fqdn` it would send its address, "
        "which the hub refuses as unknown-id.",
    ),
)
