r"""FortiGate, FortiOS: commands of its CLI.

Syntax: "config vpn ipsec phase1-interface" and "phase2-interface", FortiOS 7.4 CLI Reference,
https://docs.fortinet.com/document/fortigate/7.4.1/cli-reference; the choices also in Fortinet's own
https://github.com/fortinet-ansible-dev/ansible-galaxy-fortios-collection (f3cc3222).
In a quoted text `"` and `\` are escaped.
"""

from collections.abc import Iterable
from ipaddress import ip_address

from reconciler.core.crypto import Suite
from reconciler.core.far_side import FarSide
from reconciler.core.model import IpNetwork
from reconciler.core.routers.base import KeyRule, Router, lacking

_CIPHERS = {
    "aes128": "aes128",
    "aes192": "aes192",
    "aes256": "aes256",
    "3des": "3des",
    "aes128gcm16": "aes128gcm",
    "aes256gcm16": "aes256gcm",
    "chacha20poly1305": "chacha20poly1305",
}
_GROUPS = (2, 5, 14, 15, 16, 17, 18, 19, 20, 21, 31, 32)
_LONGEST_NAME = 15


def _fault(suite: Suite) -> str:
    return lacking(suite, _CIPHERS, _GROUPS)


def quoted(text: str) -> str:
    """Write a text as FortiOS reads it back."""
    return '"' + "".join(f"\\{c}" if c in '"\\' else c for c in text) + '"'


def _name(far: FarSide) -> str:
    return far.name[:_LONGEST_NAME]


def _gateway(far: FarSide) -> Iterable[str]:
    if not far.hub_address:
        yield "    set type dynamic"
        return
    try:
        ip_address(far.hub_address)
    except ValueError:
        yield "    set type ddns"
        yield f"    set remotegw-ddns {quoted(far.hub_address)}"
    else:
        yield "    set type static"
        yield f"    set remote-gw {far.hub_address}"


def _body(far: FarSide, key: str) -> Iterable[str]:
    suite, name = far.suite, _name(far)
    cipher, hash_ = _CIPHERS[suite.cipher.keyword], suite.hash.keyword
    ike = f"{cipher}-prf{hash_}" if suite.cipher.aead else f"{cipher}-{hash_}"
    dial = "disable" if far.hub_dials else "enable"
    yield f"""\
config vpn ipsec phase1-interface
  edit "{name}\""""
    yield from _gateway(far)
    yield f"""\
    set interface "wan1"
    set ike-version 2
    set authmethod psk
    set psksecret {quoted(key)}
    set localid-type fqdn
    set localid "{far.site_id}"
    set peertype one
    set peerid "{far.hub_id}"
    set proposal {ike}
    set dhgrp {suite.group.number}
    set keylife {far.ike_lifetime_s}
    set nattraversal enable
    set dpd on-idle
    set dpd-retryinterval {far.dpd_s}
    set auto-negotiate {dial}
    set net-device disable
    set add-route disable
  next
end
config vpn ipsec phase2-interface"""
    for number, (lan, hub) in enumerate(far.pairs, 1):
        yield from _phase2(far, f"{name}-{number}", lan, hub)
    yield "end"
    yield from _routes(far, name)
    yield from _policies(name)


def _phase2(far: FarSide, name: str, lan: IpNetwork, hub: IpNetwork) -> Iterable[str]:
    suite, dial = far.suite, "disable" if far.hub_dials else "enable"
    cipher = _CIPHERS[suite.cipher.keyword]
    six = "6" if lan.version == 6 else ""
    yield f"""\
  edit "{name}"
    set phase1name "{_name(far)}"
    set proposal {cipher if suite.cipher.aead else f"{cipher}-{suite.hash.keyword}"}
    set pfs enable
    set dhgrp {suite.group.number}
    set keylifeseconds {far.child_lifetime_s}
    set auto-negotiate {dial}
    set keepalive {dial}
    set src-addr-type subnet{six}
    set src-subnet{six} {_network(lan)}
    set dst-addr-type subnet{six}
    set dst-subnet{six} {_network(hub)}
  next"""


def _network(network: IpNetwork) -> str:
    if network.version == 6:
        return str(network)
    return f"{network.network_address} {network.netmask}"


def _routes(far: FarSide, name: str) -> Iterable[str]:
    """Not for 0.0.0.0/0: that would send the site's internet traffic into the tunnel."""
    routes = [hub for hub in far.hub_networks if hub.prefixlen and hub.version == 4]
    if not routes:
        yield "# Add a static route for what the hub fetches from, with the device of this tunnel."
        return
    yield "config router static"
    for hub in routes:
        yield f"""\
  edit 0
    set dst {_network(hub)}
    set device "{name}"
  next"""
    yield "end"


def _policies(name: str) -> Iterable[str]:
    yield f"""\
config firewall policy
  edit 0
    set name "{name}-in"
    set srcintf "{name}"
    set dstintf "lan"
    set srcaddr "all"
    set dstaddr "all"
    set action accept
    set schedule "always"
    set service "ALL"
    set nat disable
  next
end"""


FORTIGATE = Router(
    name="fortigate",
    title="FortiGate",
    versions="FortiOS 7.0 and later",
    sources=(
        "config vpn ipsec phase1-interface, phase2-interface, FortiOS CLI Reference, "
        "https://docs.fortinet.com/document/fortigate/7.4.1/cli-reference (7.4)",
    ),
    where=(
        "1. Paste it into the CLI. wan1 is the interface towards the internet, lan the one of the "
        "cameras; put yours.",
        "2. Narrow dstaddr of the policy to the cameras.",
        "To see it: diagnose vpn ike gateway list; diagnose vpn tunnel list",
    ),
    body=_body,
    algorithm_fault=_fault,
    key_rule=KeyRule(forbidden="?", shortest=6),
    needs_address=False,
    warnings=(
        "Without localid-type fqdn it chooses the type by itself, and the hub may refuse it as "
        "unknown-id.",
    ),
)
