"""Routers that are set up in a browser: UniFi, pfSense, OPNsense, and a sheet for any other.

UniFi: fields and their allowed values of Network 9,
https://github.com/ubiquiti-community/go-unifi (b2bf4ce, made from Ubiquiti's own field list);
"UniFi Gateway - Site-to-Site VPN with third-party gateways",
https://help.ui.com/hc/en-us/articles/7983431932439. It has no GCM.
pfSense: src/usr/local/www/vpn_ipsec_phase1.php and vpn_ipsec_phase2.php,
https://github.com/pfsense/pfsense (9363ac5b86); https://docs.netgate.com/pfsense/en/latest/vpn/ipsec/.
OPNsense: src/opnsense/mvc/app/{controllers,models}/OPNsense/IPsec, https://github.com/opnsense/core
(f95e81516e); its swanctl.conf ends with `include conf.d/*.conf`.
"""

from collections.abc import Iterable

from reconciler.core.crypto import Suite
from reconciler.core.far_side import FarSide
from reconciler.core.routers.base import KeyRule, Router, in_bits, lacking, settings
from reconciler.core.routers.strongswan import swanctl

_PASTED = KeyRule(plain_start=False)

# UniFi


_UNIFI_CIPHERS = {
    "aes128": "AES-128",
    "aes192": "AES-192",
    "aes256": "AES-256",
    "3des": "3DES",
}
_UNIFI_GROUPS = (2, 5, 14, 15, 16, 17, 18, 19, 20, 21, 31, 32)


def _unifi_fault(suite: Suite) -> str:
    return lacking(suite, _UNIFI_CIPHERS, _UNIFI_GROUPS)


def _unifi(far: FarSide, key: str) -> Iterable[str]:
    suite = far.suite
    cipher, hash_ = _UNIFI_CIPHERS[suite.cipher.keyword], suite.hash.keyword.upper()
    yield "Settings > VPN > Site-to-Site VPN > Create New"
    yield from _rows(
        ("VPN Type", "IPsec"),
        ("Name", far.name),
        ("Pre-Shared Key", key),
        ("Local IP", "the WAN that has the internet line"),
        ("Remote IP / Host", far.hub_address),
        ("VPN Method", "Policy Based"),
        ("Local Networks", _listed(far.lan)),
        ("Remote Networks", _listed(far.hub_networks)),
        ("Advanced", "Manual"),
        ("Key Exchange Version", "IKEv2"),
        ("IKE Encryption", cipher),
        ("IKE Hash", hash_),
        ("IKE DH Group", suite.group.number),
        ("IKE Lifetime", far.ike_lifetime_s),
        ("ESP Encryption", cipher),
        ("ESP Hash", hash_),
        ("ESP DH Group", suite.group.number),
        ("ESP Lifetime", far.child_lifetime_s),
        ("Perfect Forward Secrecy (PFS)", "on"),
        ("Local Authentication ID", far.site_id),
        ("Remote Authentication ID", far.hub_id),
        ("Route Distance", "leave as it is"),
    )
    yield "Dead peer detection and NAT traversal are always on, and have no field."


UNIFI = Router(
    name="unifi",
    title="Ubiquiti UniFi gateway",
    versions="UniFi Network 8 and 9 (Dream Machine, Cloud Gateway, UXG); names may differ a little",
    sources=(
        "UniFi Gateway - Site-to-Site VPN with third-party gateways, "
        "https://help.ui.com/hc/en-us/articles/7983431932439 (Network 9)",
        "the field list in https://github.com/ubiquiti-community/go-unifi (b2bf4ce)",
    ),
    where=("Set every field as it stands here. What is not named stays as it is.",),
    body=_unifi,
    algorithm_fault=_unifi_fault,
    key_rule=KeyRule(forbidden="\"' \\#$"),
    everything=False,
    ipv6=False,
    warnings=(
        "If Local Authentication ID stays off, the gateway sends its WAN address, and the hub "
        "refuses that as unknown-id. Switch both ids on.",
    ),
)

# pfSense


def _pfsense_cipher(suite: Suite) -> tuple[str, str]:
    """Return the two fields: algorithm and key length (for GCM: length of the tag)."""
    keyword = suite.cipher.keyword
    head, found, tag_bytes = keyword.partition("gcm")
    if found:
        return f"{head.upper()}-GCM", f"{int(tag_bytes) * 8} bits"
    if keyword == "chacha20poly1305":
        return "CHACHA20-POLY1305", "none"
    return "AES", f"{suite.cipher.key_bits} bits"


def _pfsense_fault(suite: Suite) -> str:
    if "ccm" in suite.cipher.keyword or suite.cipher.keyword == "3des":
        return f"it has no {in_bits(suite.cipher.keyword)}"
    return ""


def _pfsense(far: FarSide, key: str) -> Iterable[str]:
    suite = far.suite
    cipher, length = _pfsense_cipher(suite)
    hash_, group = suite.hash.keyword.upper(), suite.group.number
    start = "None (Responder Only)" if far.hub_dials else "Initiate at start (VTI or Tunnel Mode)"
    close = "Close connection and clear SA" if far.hub_dials else "Restart/Reconnect"
    yield "1. VPN > IPsec > Tunnels > Add P1"
    yield from _rows(
        ("Description", far.name),
        ("Key Exchange version", "IKEv2"),
        ("Internet Protocol", "IPv4, or what the internet line has"),
        ("Interface", "WAN"),
        ("Remote Gateway", far.hub_address or "0.0.0.0"),  # noqa: S104 - a field's value
        ("Authentication Method", "Mutual PSK"),
        ("My identifier", f"Fully qualified domain name: {far.site_id}"),
        ("Peer identifier", f"Fully qualified domain name: {far.hub_id}"),
        ("Pre-Shared Key", key),
        ("Encryption Algorithm", cipher),
        ("Key length", length),
        ("Hash Algorithm", f"{hash_} (for GCM and ChaCha it names the PRF)"),
        ("DH Group", group),
        ("Life Time", far.ike_lifetime_s),
        ("Rekey Time", "leave empty (90 % of Life Time)"),
        ("Reauth Time", "leave empty (off)"),
        ("Child SA Start Action", start),
        ("Child SA Close Action", close),
        ("NAT Traversal", "Auto"),
        ("MOBIKE", "Disable"),
        ("Split connections", "off"),
        ("Enable DPD", "on"),
        ("Delay", far.dpd_s),
        ("Max failures", "5"),
    )
    for number, (lan, hub) in enumerate(far.pairs, 1):
        yield ""
        yield f"{number + 1}. Show Phase 2 Entries > Add P2"
        yield from _rows(
            ("Description", f"{far.name} {number}"),
            ("Mode", "Tunnel IPv4" if lan.version == 4 else "Tunnel IPv6"),
            ("Local Network", f"Network: {lan}"),
            ("NAT/BINAT translation", "None"),
            ("Remote Network", f"Network: {hub}"),
            ("Protocol", "ESP"),
            ("Encryption Algorithms", f"only {cipher}, {length}"),
            ("Hash Algorithms", "none needed" if suite.cipher.aead else f"only {hash_}"),
            ("PFS key group", group),
            ("Life Time", far.child_lifetime_s),
            ("Rekey Time", "leave empty"),
            ("Rand Time", "leave empty"),
        )
    yield ""
    yield "Then: Apply Changes."
    yield "Firewall > Rules > IPsec: let pass from the hub's network to the cameras, nothing else."


PFSENSE = Router(
    name="pfsense",
    title="pfSense",
    versions="pfSense 2.6 and later, pfSense Plus 22.05 and later",
    sources=(
        "IPsec configuration, https://docs.netgate.com/pfsense/en/latest/vpn/ipsec/",
        "vpn_ipsec_phase1.php, vpn_ipsec_phase2.php, https://github.com/pfsense/pfsense "
        "(9363ac5b86)",
    ),
    where=(
        "Set every field as it stands here. What is not named stays as it is.",
        "There is no file to import: pfSense restores only its whole IPsec section, which would "
        "remove every other tunnel.",
    ),
    body=_pfsense,
    algorithm_fault=_pfsense_fault,
    key_rule=_PASTED,
    warnings=(
        "The default `My IP address` as My identifier is refused by the hub as unknown-id.",
        "With 0.0.0.0/0 as Remote Network keep VPN > IPsec > Advanced > Auto-exclude LAN "
        "address on.",
    ),
)

# OPNsense


_OPNSENSE_AES = ("aes128", "aes192", "aes256", "aes128gcm16", "aes192gcm16", "aes256gcm16")
_OPNSENSE_GROUPS = (14, 15, 16, 17, 18, 19, 20, 21, 31, 32)
_OPNSENSE_NAMES = {31: "x25519", 32: "x448"}


def _opnsense_group(suite: Suite) -> str:
    return _OPNSENSE_NAMES.get(suite.group.number, suite.group.keyword)


def _opnsense_fault(suite: Suite) -> str:
    """Only what its list of proposals has."""
    if suite.hash.keyword == "sha1":
        return "its list has sha1 for a few suites only"
    if suite.cipher.keyword == "chacha20poly1305":
        return lacking(suite, ["chacha20poly1305"], (31, 32))
    return lacking(suite, _OPNSENSE_AES, _OPNSENSE_GROUPS)


def _opnsense(far: FarSide, key: str) -> Iterable[str]:
    suite, group = far.suite, _opnsense_group(far.suite)
    ike = f"{suite.cipher.keyword}-{suite.hash.keyword}-{group}"
    esp = f"{suite.cipher.keyword}-{group}" if suite.cipher.aead else ike
    start, again = ("None", "Clear") if far.hub_dials else ("Start", "Start")
    yield "1. VPN > IPsec > Pre-Shared Keys > +"
    yield from _rows(
        ("Local Identifier", far.site_id),
        ("Remote Identifier", far.hub_id),
        ("Pre-Shared Key", key),
        ("Type", "PSK"),
        ("Description", far.name),
    )
    yield ""
    yield "2. VPN > IPsec > Connections > + (advanced mode on), then Save"
    yield from _rows(
        ("Enabled", "on"),
        ("Proposals", f"only {ike}"),
        ("Unique", "No (default)"),
        ("Version", "IKEv2"),
        ("MOBIKE", "off"),
        ("Local addresses", "leave empty"),
        ("Remote addresses", far.hub_address or "leave empty"),
        ("UDP encapsulation", "off"),
        ("Re-auth time (s)", "0"),
        ("Rekey time (s)", far.ike_lifetime_s * 9 // 10),
        ("Over time (s)", far.ike_lifetime_s // 10),
        ("DPD delay (s)", far.dpd_s),
        ("Send cert req", "off"),
        ("Keyingtries", "0"),
        ("Description", far.name),
    )
    yield ""
    yield "3. In the same connection: Local Authentication > +"
    yield from _rows(("Round", "0"), ("Authentication", "Pre-Shared Key"), ("ID", far.site_id))
    yield ""
    yield "4. Remote Authentication > +"
    yield from _rows(("Round", "0"), ("Authentication", "Pre-Shared Key"), ("Id", far.hub_id))
    yield ""
    yield "5. Children > + (advanced mode on)"
    yield from _rows(
        ("Mode", "Tunnel"),
        ("Policies", "on"),
        ("Start action", start),
        ("Close action", start),
        ("DPD action", again),
        ("ESP proposals", f"only {esp}"),
        ("Local", _listed(far.lan)),
        ("Remote", _listed(far.hub_networks)),
        ("Rekey time (s)", far.child_lifetime_s * 9 // 10),
        ("Description", far.name),
    )
    yield ""
    yield "6. Enable IPsec below the list, and Apply."
    yield "7. Firewall > Rules > IPsec: let pass from the hub's network to the cameras only."


OPNSENSE = Router(
    name="opnsense",
    title="OPNsense",
    versions="OPNsense 23.1 and later, VPN > IPsec > Connections",
    sources=(
        "IPsec, https://docs.opnsense.org/manual/vpnet.html",
        "forms and models of OPNsense/IPsec, https://github.com/opnsense/core (f95e81516e)",
    ),
    where=(
        "Set every field as it stands here. What is not named stays as it is.",
        "As a file instead: take the router opnsense-file.",
    ),
    body=_opnsense,
    algorithm_fault=_opnsense_fault,
    key_rule=_PASTED,
    warnings=("If ID stays empty, it sends its address, and the hub refuses that as unknown-id.",),
)
OPNSENSE_FILE = Router(
    name="opnsense-file",
    title="OPNsense, as a file",
    versions="OPNsense 23.1 and later",
    sources=(
        "ipsec.inc, https://github.com/opnsense/core (f95e81516e): swanctl.conf includes "
        "conf.d/*.conf",
        "swanctl.conf(5), https://docs.strongswan.org/docs/latest/swanctl/swanctlConf.html (6.0)",
    ),
    where=(
        "1. Save it as /usr/local/etc/swanctl/conf.d/hub.conf, owner root, mode 600.",
        "2. VPN > IPsec > Connections: enable IPsec, and Apply. Or: swanctl --load-all",
        "3. Firewall > Rules > IPsec: let pass from the hub's network to the cameras only.",
        "The page Connections does not show it, the page Status Overview does.",
    ),
    body=swanctl,
    needs_address=False,
)

# Any other


def _sheet(far: FarSide, key: str) -> Iterable[str]:
    for name, value in settings(far).items():
        text = ", ".join(value) if isinstance(value, list) else str(value)
        shown = {"True": "yes", "False": "no"}.get(text, text) or "-"
        yield f"{name:<18}{shown}"
    yield f"{'psk':<18}{key}"


GENERIC = Router(
    name="generic",
    title="any router with IKEv2",
    versions="any",
    sources=("the declaration itself; RFC 7296 (IKEv2), RFC 4303 (ESP)",),
    where=(
        "Every value must be as it stands here, in the router's own words.",
        "Identities must be sent as FQDN (domain name), not as address, e-mail or key id.",
        "It must let packets from the tunnel through to the cameras, and must not masquerade "
        "what goes back.",
    ),
    body=_sheet,
)


def _rows(*rows: tuple[str, object]) -> Iterable[str]:
    for name, value in rows:
        yield f"   {name + ':':<32}{value}"


def _listed(networks: Iterable[object]) -> str:
    return ", ".join(map(str, networks))
