"""OpenBSD's iked, which is OpenIKED elsewhere: iked.conf.

Syntax: iked.conf(5), https://man.openbsd.org/iked.conf.5 (OpenIKED 7.4). The key is written in hex,
so no character of it needs escaping.
"""

from collections.abc import Iterable

from reconciler.core.crypto import Suite
from reconciler.core.far_side import PLACEHOLDER, FarSide
from reconciler.core.model import IpNetwork
from reconciler.core.routers.base import Router, lacking

_CIPHERS = {
    "aes128": "aes-128",
    "aes192": "aes-192",
    "aes256": "aes-256",
    "3des": "3des",
    "aes128gcm16": "aes-128-gcm",
    "aes256gcm16": "aes-256-gcm",
}
_HASHES = {
    "sha1": "hmac-sha1",
    "sha256": "hmac-sha2-256",
    "sha384": "hmac-sha2-384",
    "sha512": "hmac-sha2-512",
}
_GROUPS = (2, 5, 14, 15, 16, 17, 18, 19, 20, 21, 31)


def _fault(suite: Suite) -> str:
    return lacking(suite, _CIPHERS, _GROUPS)


def _body(far: FarSide, key: str) -> Iterable[str]:
    secret = f'"{key}"' if key == PLACEHOLDER else f"0x{key.encode().hex()}"
    yield f"set dpd_check_interval {far.dpd_s}"
    for version in sorted(far.families):
        yield ""
        yield from _policy(far, version, secret)


def _policy(far: FarSide, version: int, secret: str) -> Iterable[str]:
    suite, hash_ = far.suite, _HASHES[far.suite.hash.keyword]
    cipher, group = _CIPHERS[suite.cipher.keyword], suite.group.keyword
    auth = "" if suite.cipher.aead else f" auth {hash_}"
    name, family = (far.name, "inet") if version == 4 else (f"{far.name}-6", "inet6")
    role = "passive" if far.hub_dials else "active"
    yield f'ikev2 "{name}" {role} tunnel esp {family} \\'
    yield from (_flow(lan, hub) for lan, hub in far.pairs if lan.version == version)
    yield f"""\
  peer {far.hub_address or "any"} \\
  ikesa{auth} enc {cipher} prf {hash_} group {group} \\
  childsa{auth} enc {cipher} group {group} \\
  srcid "{far.site_id}" dstid "{far.hub_id}" \\
  ikelifetime {far.ike_lifetime_s} lifetime {far.child_lifetime_s} bytes 0 \\
  psk {secret}"""


def _flow(lan: IpNetwork, hub: IpNetwork) -> str:
    return f"  from {lan} to {hub} \\"


OPENBSD = Router(
    name="openbsd",
    title="OpenBSD iked (OpenIKED)",
    versions="OpenBSD 7.0 and later, OpenIKED 7.x, iked.conf",
    sources=("iked.conf(5), https://man.openbsd.org/iked.conf.5 (OpenIKED 7.4)",),
    where=(
        "1. Add it to /etc/iked.conf, owner root, mode 600.",
        "2. iked -n (checks it); rcctl enable iked; rcctl restart iked",
        "3. pf.conf: pass on enc0 from the hub's network to the cameras, "
        "and no nat-to for what enters the tunnel.",
    ),
    body=_body,
    algorithm_fault=_fault,
    everything=False,
    needs_address=False,
)
