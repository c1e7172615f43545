"""What all templates share: a router, what it can't do, and how its text begins."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from reconciler.core.crypto import Suite, parse_cipher_and_hash, parse_group
from reconciler.core.far_side import FarSide

# Tried in this order when a router lacks what is declared.
_SUGGESTED = ("aes256gcm128", "aes128gcm128", "aes256-sha256", "aes256-sha512", "aes128-sha256")
_SUGGESTED_GROUPS = (14, 19, 16, 5)
_ASCII = frozenset(map(chr, range(0x20, 0x7F)))
_ENCODED = ("0x", "0s")


class Unfit(Exception):  # noqa: N818 - says what it is
    """A router that can't be set up as declared; `reasons` says why, and what would do."""

    def __init__(self, reasons: Iterable[str]) -> None:
        self.reasons = tuple(reasons)
        super().__init__("; ".join(self.reasons))


@dataclass(frozen=True, slots=True)
class KeyRule:
    """Which keys a router takes as they are.

    Attributes:
        any_text: it can write every character, so nothing else applies.
        forbidden: characters that the router, or the way in, does not take.
        plain_start: a key that begins with 0x or 0s would be read as an encoded one.
        shortest: so many characters at least.

    """

    any_text: bool = False
    forbidden: str = ""
    plain_start: bool = True
    shortest: int = 1

    def fault(self, key: str) -> str:
        """Say why the key won't do, never what it is; nothing if it will."""
        if self.any_text:
            return ""
        if not set(key) <= _ASCII:
            return "the key has characters beyond ASCII"
        if found := sorted(set(key) & set(self.forbidden)):
            names = ", ".join("blanks" if c == " " else c for c in found)
            return f"the key has {names}, which it does not take"
        if self.plain_start and key[:2].lower() in _ENCODED:
            return "the key begins with 0x or 0s, which it reads as an encoded key"
        if key != key.strip():
            return "the key begins or ends with a blank, which it cuts off"
        if len(key) < self.shortest:
            return f"the key must have at least {self.shortest} characters"
        return ""


@dataclass(frozen=True, slots=True)
class Router:
    """One kind of router, and how its configuration is written.

    Attributes:
        name: as it stands on the command line.
        versions: for which releases of it.
        sources: what the syntax was taken from, with the release.
        where: where the text goes, line by line; NAME stands for the connection.
        body: writes the configuration; the second value is the key, or what stands for it.
        algorithm_fault: says what it lacks of a suite; nothing if it has all.
        everything: it can have 0.0.0.0/0 as remote network and still keep its LAN apart.
        needs_address: the hub's address is needed even if the hub dials.
        comment: how a line of comment begins.
        warnings: what is particular to it.

    """

    name: str
    title: str
    versions: str
    sources: tuple[str, ...]
    where: tuple[str, ...]
    body: Callable[[FarSide, str], Iterable[str]]
    algorithm_fault: Callable[[Suite], str] = lambda _: ""
    key_rule: KeyRule = KeyRule(any_text=True)
    everything: bool = True
    ipv6: bool = True
    needs_address: bool = True
    comment: str = "#"
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SiteConfig:
    """What is printed."""

    text: str
    warnings: tuple[str, ...]


def site_config(router: Router, far: FarSide, key: str) -> SiteConfig:
    """Write the router's configuration. Raises Unfit. `key`: what stands where the key belongs."""
    if reasons := [*_unfit(router, far)]:
        raise Unfit(reasons)
    warnings = (*router.warnings, *_warnings(far))
    lines = [*_header(router, far, warnings), "", *router.body(far, key)]
    return SiteConfig("\n".join(line.rstrip() for line in lines) + "\n", warnings)


def _unfit(router: Router, far: FarSide) -> Iterable[str]:
    if not far.hub_address and (router.needs_address or not far.hub_dials):
        yield "it must know where the hub is; give --hub-address, or set HUB_ADDRESS"
    if lacking := router.algorithm_fault(far.suite):
        encryption, number = suggested(router, far.suite)
        yield f'{lacking}; declare "encryption": "{encryption}", "dh_group": {number}'
    if fault := router.key_rule.fault(far.key):
        yield f"{fault}; make a new one with `reconciler psk`"
    if far.whole_world and not router.everything:
        yield (
            "it can't have everything (0.0.0.0/0) as remote network without taking the site's "
            "internet traffic into the tunnel; declare local_subnet, the network that the hub "
            "fetches from"
        )
    if 6 in far.families and not router.ipv6:
        yield "this template has IPv4 only; take `generic` and enter the values by hand"


def suggested(router: Router, suite: Suite) -> tuple[str, int]:
    """Return `encryption` and `dh_group` that the router can: with the same group if possible."""
    numbers = dict.fromkeys((suite.group.number, *_SUGGESTED_GROUPS))
    for number in numbers:
        for encryption in _SUGGESTED:
            wanted = Suite(*parse_cipher_and_hash(encryption), parse_group(number))
            if not router.algorithm_fault(wanted):
                return encryption, number
    raise AssertionError(f"{router.name} can do nothing")


def _warnings(far: FarSide) -> Iterable[str]:
    if far.whole_world:
        yield (
            "The declaration has no local_subnet, so everything that leaves the LAN enters the "
            "tunnel, the site's internet traffic too. Declare local_subnet, the network that the "
            "hub fetches from, unless you mean that."
        )
    if far.key_changes:
        yield "The key is being replaced; this is the one to come (next_psk)."
    if far.hub_dials:
        yield "The hub dials this site: let UDP 500 and 4500 in, from the hub's address only."


def _header(router: Router, far: FarSide, warnings: Iterable[str]) -> Iterable[str]:
    def say(text: str) -> str:
        return f"{router.comment} {text}"

    yield say(f"{far.name}: the router of airport {far.airport_id}, {router.title}")
    yield say(f"For: {router.versions}")
    yield say(
        f"Written by `reconciler site-config {far.airport_id} --router {router.name}` from "
        "airports.json: don't edit, write it anew."
    )
    yield from (say(f"Syntax: {source}") for source in router.sources)
    yield from (say(f"Note: {warning}") for warning in warnings)
    yield from (say(line.replace("NAME", far.name)) for line in router.where)


def in_bits(keyword: str) -> str:
    """Spell a cipher with its tag in bits, as declarations and most routers do."""
    for mode in ("gcm", "ccm"):
        head, found, tag_bytes = keyword.partition(mode)
        if found:
            return f"{head}{mode}{int(tag_bytes) * 8}"
    return keyword


def lacking(suite: Suite, ciphers: Iterable[str], groups: Iterable[int]) -> str:
    """Name what a router lacks of a suite, when cipher and group are all that matters."""
    if suite.cipher.keyword not in set(ciphers):
        return f"it has no {in_bits(suite.cipher.keyword)}"
    if suite.group.number not in set(groups):
        return f"it has no group {suite.group.number}"
    return ""


def settings(far: FarSide) -> dict[str, object]:
    """Return the plain values, for programs and for the sheet that fits every router."""
    suite = far.suite
    integrity = "none (part of the cipher)" if suite.cipher.aead else suite.hash.keyword
    return {
        "connection": far.name,
        "role": "waits for the hub" if far.hub_dials else "dials the hub",
        "hub_address": far.hub_address,
        "ike_version": 2,
        "authentication": "pre-shared key",
        "local_id": far.site_id,
        "remote_id": far.hub_id,
        "id_type": "FQDN",
        "local_networks": [str(network) for network in far.lan],
        "remote_networks": [str(network) for network in far.hub_networks],
        "ike_encryption": in_bits(suite.cipher.keyword),
        "ike_integrity": integrity,
        "ike_prf": suite.hash.keyword,
        "ike_group": suite.group.number,
        "ike_lifetime_s": far.ike_lifetime_s,
        "esp_encryption": in_bits(suite.cipher.keyword),
        "esp_integrity": integrity,
        "esp_pfs_group": suite.group.number,
        "esp_lifetime_s": far.child_lifetime_s,
        "esp_mode": "tunnel",
        "dpd_s": far.dpd_s,
        "nat_traversal": True,
        "mobike": False,
    }
