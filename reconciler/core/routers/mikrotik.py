r"""MikroTik RouterOS 7: a script.

Syntax: "IPsec", https://help.mikrotik.com/docs/display/ROS/IPsec (RouterOS 7). Phase 1 (profile)
has no GCM there, so an AEAD suite can't be negotiated. In a quoted text `"`, `\`, `$` and `?` are
escaped: "Scripting", https://help.mikrotik.com/docs/display/ROS/Scripting.
"""

from collections.abc import Iterable

from reconciler.core.crypto import Suite
from reconciler.core.far_side import FarSide
from reconciler.core.routers.base import KeyRule, Router, in_bits

_CIPHERS = {"aes128": "aes-128", "aes192": "aes-192", "aes256": "aes-256", "3des": "3des"}
_HASHES = ("sha1", "sha256", "sha512")
_GROUPS = (2, 5, 14, 15, 16, 17, 18, 19, 20, 21)


def _fault(suite: Suite) -> str:
    if suite.cipher.keyword not in _CIPHERS:
        return f"its phase 1 has no {in_bits(suite.cipher.keyword)}"
    if suite.hash.keyword not in _HASHES:
        return f"its phase 2 has no {suite.hash.keyword}"
    if suite.group.number not in _GROUPS:
        return f"it has no group {suite.group.number}"
    return ""


def quoted(text: str) -> str:
    """Write a text as RouterOS reads it back."""
    return '"' + "".join(f"\\{c}" if c in '"\\$?' else c for c in text) + '"'


def _body(far: FarSide, key: str) -> Iterable[str]:
    suite, name = far.suite, far.name
    cipher, hash_ = _CIPHERS[suite.cipher.keyword], suite.hash.keyword
    group = suite.group.keyword
    esp = cipher if cipher == "3des" else f"{cipher}-cbc"
    address = f"address={far.hub_address} " if far.hub_address else ""
    yield f"""\
/ip ipsec profile
add name={name} enc-algorithm={cipher} hash-algorithm={hash_} prf-algorithm={hash_} \\
    dh-group={group} lifetime={far.ike_lifetime_s}s dpd-interval={far.dpd_s}s nat-traversal=yes
/ip ipsec proposal
add name={name} enc-algorithms={esp} auth-algorithms={hash_} pfs-group={group} \\
    lifetime={far.child_lifetime_s}s
/ip ipsec peer
add name={name} {address}exchange-mode=ike2 profile={name} \\
    passive={"yes" if far.hub_dials else "no"} send-initial-contact=yes
/ip ipsec identity
add peer={name} auth-method=pre-shared-key secret={quoted(key)} \\
    my-id=fqdn:{far.site_id} remote-id=fqdn:{far.hub_id} generate-policy=no
/ip ipsec policy"""
    if far.whole_world:
        for lan in far.lan:
            yield f'add action=none src-address={lan} dst-address={lan} comment="{name}: the LAN"'
    for lan, hub in far.pairs:
        yield (
            f"add peer={name} proposal={name} tunnel=yes action=encrypt level=unique "
            f"src-address={lan} dst-address={hub}"
        )
    yield from _no_nat(far)


def _no_nat(far: FarSide) -> Iterable[str]:
    """Masquerading would change the addresses before the policy sees them."""
    pairs = [pair for pair in far.pairs if pair[0].version == 4]
    if not pairs:
        return
    yield "/ip firewall nat"
    for lan, hub in pairs:
        yield (
            f"add chain=srcnat action=accept ipsec-policy=out,ipsec src-address={lan} "
            f'dst-address={hub} place-before=0 comment="{far.name}"'
        )


MIKROTIK = Router(
    name="mikrotik",
    title="MikroTik RouterOS",
    versions="RouterOS 7",
    sources=("IPsec, https://help.mikrotik.com/docs/display/ROS/IPsec (RouterOS 7)",),
    where=(
        "1. Paste it into the terminal, or: /import file-name=hub.rsc",
        "2. The firewall must let in what comes out of the tunnel: chain=forward action=accept "
        "ipsec-policy=in,ipsec, before the rule that drops.",
        "To see it: /ip ipsec active-peers print; /ip ipsec installed-sa print",
    ),
    body=_body,
    algorithm_fault=_fault,
    key_rule=KeyRule(),
    needs_address=False,
    warnings=("Without my-id it would send its address, which the hub refuses as unknown-id.",),
)
