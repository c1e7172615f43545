"""Libreswan: ipsec.conf and ipsec.secrets.

Syntax: ipsec.conf(5) and ipsec.secrets(5) of Libreswan 5.2, https://libreswan.org/man/ipsec.conf.5.html;
the algorithms by its own `algparse`. The key is written in base64 (0s…).
"""

from base64 import b64encode
from collections.abc import Iterable

from reconciler.core.crypto import Suite
from reconciler.core.far_side import PLACEHOLDER, FarSide
from reconciler.core.model import IpNetwork
from reconciler.core.routers.base import Router, in_bits

_TAGS = {"8": "a", "12": "b", "16": "c"}
_HASHES = {"sha1": "sha1", "sha256": "sha2_256", "sha384": "sha2_384", "sha512": "sha2_512"}
# algparse refuses group 2 (not built in) and does not know group 32.
_GROUPS = (5, 14, 15, 16, 17, 18, 19, 20, 21, 31)
_MODP = {5: 1536, 14: 2048, 15: 3072, 16: 4096, 17: 6144, 18: 8192}


def _fault(suite: Suite) -> str:
    if "ccm" in suite.cipher.keyword:
        return f"it has no {in_bits(suite.cipher.keyword)} for IKE"
    if suite.group.number not in _GROUPS:
        return f"it has no group {suite.group.number}"
    return ""


def _cipher(suite: Suite) -> str:
    keyword, bits = suite.cipher.keyword, suite.cipher.key_bits
    if "gcm" in keyword:
        return f"aes_gcm_{_TAGS[keyword.partition('gcm')[2]]}_{bits}"
    return {"chacha20poly1305": "chacha20_poly1305", "3des": "3des"}.get(keyword, f"aes{bits}")


def _ike(suite: Suite) -> str:
    number = suite.group.number
    group = f"modp{_MODP[number]}" if number in _MODP else f"dh{number}"
    return f"{_cipher(suite)}-{_HASHES[suite.hash.keyword]}-{group}"


def _esp(suite: Suite) -> str:
    cipher = _cipher(suite)
    return cipher if suite.cipher.aead else f"{cipher}-{_HASHES[suite.hash.keyword]}"


def _subnets(side: str, networks: tuple[IpNetwork, ...]) -> str:
    if len(networks) == 1:
        return f"  {side}subnet={networks[0]}"
    return f"  {side}subnets={{{','.join(map(str, networks))}}}"


def _body(far: FarSide, key: str) -> Iterable[str]:
    secret = f'"{key}"' if key == PLACEHOLDER else f"0s{b64encode(key.encode()).decode()}"
    yield f"""\
# ---- /etc/ipsec.d/hub.conf
conn {far.name}
  ikev2=yes
  authby=secret
  type=tunnel
  left=%defaultroute
  leftid=@{far.site_id}"""
    yield _subnets("left", far.lan)
    yield f"""\
  right={far.hub_address or "%any"}
  rightid=@{far.hub_id}"""
    yield _subnets("right", far.hub_networks)
    yield f"""\
  ike={_ike(far.suite)}
  esp={_esp(far.suite)}
  pfs=yes
  ikelifetime={far.ike_lifetime_s}s
  salifetime={far.child_lifetime_s}s
  rekeymargin={far.child_lifetime_s // 10}s
  rekeyfuzz=0%
  dpddelay={far.dpd_s}s
  mobike=no
  narrowing=yes
  auto={"add" if far.hub_dials else "start"}"""
    if far.whole_world:
        yield from _bypass(far)
    yield f"""
# ---- /etc/ipsec.d/hub.secrets
@{far.site_id} @{far.hub_id} : PSK {secret}"""


def _bypass(far: FarSide) -> Iterable[str]:
    yield "\n# What stays on the LAN does not enter the tunnel."
    for number, lan in enumerate(far.lan):
        yield f"""\
conn {far.name}-lan{number}
  type=passthrough
  authby=never
  left=127.0.0.1
  leftsubnet={lan}
  right=127.0.0.2
  rightsubnet={lan}
  auto=ondemand"""


LIBRESWAN = Router(
    name="libreswan",
    title="Libreswan",
    versions="Libreswan 4.5 to 5.x, ipsec.conf and ipsec.secrets",
    sources=("ipsec.conf(5), ipsec.secrets(5), https://libreswan.org/man/ipsec.conf.5.html (5.2)",),
    where=(
        "1. Save the two parts as they are named, owner root, mode 600.",
        "2. ipsec rereadsecrets; ipsec add NAME; ipsec up NAME",
        "3. Exempt the tunnel from NAT: iptables -t nat -I POSTROUTING -m policy --dir out "
        "--pol ipsec -j ACCEPT",
    ),
    body=_body,
    algorithm_fault=_fault,
    needs_address=False,
)
