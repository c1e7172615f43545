"""Templates: what is declared comes out in each router's own words, or is refused with a reason."""

import difflib
import os
import re
import string
from base64 import b64decode
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from reconciler.core.crypto import (
    CIPHERS,
    GROUPS,
    HASHES,
    Suite,
    parse_cipher_and_hash,
    parse_group,
)
from reconciler.core.far_side import PLACEHOLDER
from reconciler.core.routers import ROUTERS
from reconciler.core.routers.base import Router, Unfit, settings, site_config, suggested
from tests.core.test_far_side import side

SNAPSHOTS = Path(__file__).parent / "snapshots"
EVERY = pytest.mark.parametrize("router", ROUTERS.values(), ids=ROUTERS)
SUITES = [
    Suite(cipher, hash_, group)
    for cipher, hash_, group in product(
        {cipher.keyword: cipher for cipher in CIPHERS.values()}.values(),
        HASHES.values(),
        GROUPS.values(),
    )
]
# What every router can do: CBC, SHA-256, group 14, and a network of the hub's.
PLAIN = {"encryption": "aes256-sha256", "dh_group": 14, "local_subnet": "10.0.0.0/24"}
HUB_ADDRESS = "198.51.100.1"
FAR = side(HUB_ADDRESS, **PLAIN)


def text(router: Router, **changes: object) -> str:
    far = side(HUB_ADDRESS, **{**PLAIN, **changes})
    return site_config(router, far, far.key).text


def body(router: Router, **changes: object) -> str:
    """Return it without the header."""
    return text(router, **changes).split("\n\n", 1)[1]


def reasons(router: Router, **changes: object) -> str:
    with pytest.raises(Unfit) as caught:
        text(router, **changes)
    return "\n".join(caught.value.reasons)


@EVERY
def test_it_is_as_it_was_when_it_was_last_looked_at(router: Router) -> None:
    """Look at every difference before writing them anew: UPDATE_SNAPSHOTS=1 pytest …."""
    path, found = SNAPSHOTS / f"{router.name}.txt", text(router)
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(found)
    assert found == path.read_text()


@EVERY
def test_the_header_says_what_it_is_for_and_where_the_syntax_comes_from(router: Router) -> None:
    header = text(router).split("\n\n", 1)[0].splitlines()
    assert all(line.startswith(f"{router.comment} ") for line in header)
    assert f"--router {router.name}`" in header[2]
    assert router.versions in header[1]
    sources = [line for line in header if line.startswith(f"{router.comment} Syntax: ")]
    assert len(sources) == len(router.sources)
    if router.name != "generic":
        assert all("https://" in source for source in sources)


@EVERY
def test_identities_and_networks_are_in_it(router: Router) -> None:
    found = body(router)
    for value in ("kspb.remote", "vpn.aviationwx.org", HUB_ADDRESS, "192.168.1.0", "10.0.0.0"):
        assert value in found


@EVERY
def test_the_same_declaration_gives_the_same_text(router: Router) -> None:
    assert text(router) == text(router)


@EVERY
@pytest.mark.parametrize(
    ("changes", "value"),
    [
        ({"lifetime": 1800}, "3600|3240|360s"),
        ({"dh_group": 19}, "19|ecp256|ECP_256"),
        ({"local_subnet": "10.9.0.0/24"}, r"10\.9\.0\.0"),
        ({"remote_id": "other.example.org"}, r"other\.example\.org"),
    ],
)
def test_it_differs_only_where_the_declaration_does(
    router: Router, changes: dict[str, object], value: str
) -> None:
    before, after = text(router).splitlines(), text(router, **changes).splitlines()
    added = [line[2:] for line in difflib.ndiff(before, after) if line.startswith("+ ")]
    assert added
    assert all(re.search(value, line) for line in added), added
    assert len(before) == len(after)


@EVERY
def test_of_every_suite_it_has_all_or_says_what_it_lacks(router: Router) -> None:
    for suite in SUITES:
        fault = router.algorithm_fault(suite)
        encryption, group = suggested(router, suite)
        other = Suite(*parse_cipher_and_hash(encryption), parse_group(group))
        assert not router.algorithm_fault(other)
        if fault:
            assert fault.startswith("it") or "phase" in fault
        else:
            assert site_config(router, replace(FAR, suite=suite), "x").text


def test_two_different_suites_never_look_the_same() -> None:
    """A router that maps two ciphers, or two groups, to one word would not negotiate."""
    for router in ROUTERS.values():
        able = [suite for suite in SUITES if not router.algorithm_fault(suite)]
        for varied in ("cipher", "group"):
            seen: dict[str, str] = {}
            for suite in able:
                if suite.hash.keyword != "sha256" or (
                    varied == "cipher" and suite.group.number != able[0].group.number
                ):
                    continue
                if varied == "group" and suite.cipher != able[0].cipher:
                    continue
                found = site_config(router, replace(FAR, suite=suite), "x").text
                assert seen.setdefault(found, suite.ike_proposal) == suite.ike_proposal
            assert seen or able[0].hash.keyword != "sha256"


@pytest.mark.parametrize(
    ("router", "changes", "words"),
    [
        ("unifi", {"encryption": "aes256gcm128"}, "it has no aes256gcm128; declare "),
        ("mikrotik", {"encryption": "aes256gcm128"}, "its phase 1 has no aes256gcm128"),
        ("mikrotik", {"encryption": "aes256-sha384"}, "its phase 2 has no sha384"),
        ("edgerouter", {"dh_group": 31}, "it has no group 31"),
        ("openbsd", {"encryption": "chacha20poly1305"}, "it has no chacha20poly1305"),
        ("libreswan", {"dh_group": 2}, "it has no group 2"),
        ("libreswan", {"encryption": "aes256ccm128"}, "it has no aes256ccm128 for IKE"),
        ("pfsense", {"encryption": "3des"}, "it has no 3des"),
        ("opnsense", {"encryption": "aes256-sha1"}, "sha1"),
        ("cisco-iosxe", {"encryption": "aes256gcm64"}, "it has no aes256gcm64 for IKE"),
        ("fortigate", {"encryption": "aes192gcm128"}, "it has no aes192gcm128"),
    ],
)
def test_what_it_can_not_do_is_said_with_what_would_do(
    router: str, changes: dict[str, object], words: str
) -> None:
    found = reasons(ROUTERS[router], **changes)
    assert words in found
    assert 'declare "encryption": "' in found


@pytest.mark.parametrize("name", [n for n, router in ROUTERS.items() if not router.everything])
def test_everything_as_remote_network_is_refused_where_it_would_cut_off_the_lan(name: str) -> None:
    assert "declare local_subnet" in reasons(ROUTERS[name], local_subnet=None)


@pytest.mark.parametrize("name", [n for n, router in ROUTERS.items() if router.everything])
def test_elsewhere_it_is_written_with_a_warning(name: str) -> None:
    assert "Declare local_subnet" in text(ROUTERS[name], local_subnet=None)


@pytest.mark.parametrize("name", ["strongswan", "strongswan-ipsec", "libreswan", "mikrotik"])
def test_then_what_stays_on_the_lan_is_kept_out_of_the_tunnel(name: str) -> None:
    found = body(ROUTERS[name], local_subnet=None)
    assert re.search(r"mode = pass|type=passthrough|action=none", found)


@EVERY
def test_without_the_hubs_address_a_router_that_dials_is_refused(router: Router) -> None:
    with pytest.raises(Unfit, match="HUB_ADDRESS"):
        site_config(router, side("", **PLAIN), "x")


@EVERY
def test_a_router_that_is_dialled_says_so(router: Router) -> None:
    found = text(router, remote_address="198.51.100.7")
    assert "The hub dials this site" in found
    assert found != text(router)


def test_some_need_no_hub_address_when_the_hub_dials() -> None:
    changes = {**PLAIN, "remote_address": "198.51.100.7"}
    for name in ("strongswan", "libreswan", "openbsd", "vyos", "mikrotik", "fortigate"):
        assert site_config(ROUTERS[name], side("", **changes), "x").text


def test_ios_xe_wants_the_hubs_address_as_a_number() -> None:
    with pytest.raises(Unfit, match="as a number"):
        site_config(ROUTERS["cisco-iosxe"], side("vpn.example.org", **PLAIN), "x")


def test_a_fortigate_takes_a_name_as_well() -> None:
    found = site_config(ROUTERS["fortigate"], side("vpn.example.org", **PLAIN), "x").text
    assert 'set remotegw-ddns "vpn.example.org"' in found


@EVERY
def test_ipv6_comes_out_or_is_refused(router: Router) -> None:
    changes = {"remote_subnet": "2001:db8:7::/64", "local_subnet": "2001:db8::/64"}
    if router.ipv6:
        assert "2001:db8:7::/64" in body(router, **changes)
    else:
        assert "IPv4 only" in reasons(router, **changes)


@EVERY
def test_every_pair_of_networks_comes_out(router: Router) -> None:
    changes = {
        "remote_subnet": ["192.168.1.0/24", "192.168.5.0/24"],
        "local_subnet": ["10.0.0.0/24", "10.1.0.0/24"],
    }
    found = body(router, **changes)
    for network in ("192.168.1.0", "192.168.5.0", "10.0.0.0", "10.1.0.0"):
        assert network in found


def test_the_plain_values_are_those_of_the_declaration() -> None:
    found = settings(side(HUB_ADDRESS, **PLAIN))
    assert found["ike_encryption"] == "aes256"
    assert (found["esp_pfs_group"], found["dpd_s"]) == (14, 20)
    assert found["role"] == "dials the hub"
    assert not any("psk" in key or "key" in key.split("_") for key in found)


# Keys

AWKWARD = [
    "plainLettersAndDigits0123456789",
    "blank in the middle of it 012345",
    *(f"before{c}after-0123456789abcdef" for c in string.punctuation),
    f"everything{string.punctuation}at once",
    "0x6162636465666768696a6b6c6d6e6f",
    "0sYWJjZGVmZ2hpamtsbW5vcHFyc3R1dg==",
    "ümläut-und-ß-0123456789-abcdefgh",
    " begins-with-a-blank-0123456789ab",
    "short",
]


def _encoded(found: str) -> str | None:
    for pattern, read in (
        (r"0s([A-Za-z0-9+/]+={0,2})", b64decode),
        (r"psk 0x([0-9a-f]+)", bytes.fromhex),
    ):
        if match := re.search(pattern, found):
            return bytes(read(match[1])).decode()
    return None


def _between(start: str, end: str, unescape: Callable[[str], str]) -> Callable[[str], str | None]:
    def read(found: str) -> str | None:
        match = re.search(f"{start}(.*){end}$", found, re.MULTILINE)
        return unescape(match[1]) if match else None

    return read


def _plain(value: str) -> str:
    return value


def _unescaped(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value)


READERS: dict[str, Callable[[str], str | None]] = {
    **dict.fromkeys(
        ("strongswan", "strongswan-ipsec", "libreswan", "openbsd", "opnsense-file"), _encoded
    ),
    "vyos": _between("secret '", "'", _plain),
    **dict.fromkeys(("vyos-1.3", "edgerouter"), _between("pre-shared-secret '", "'", _plain)),
    "mikrotik": _between('secret="', r'" \\', _unescaped),
    "fortigate": _between('psksecret "', '"', _unescaped),
    "cisco-iosxe": _between("pre-shared-key ", "", _plain),
    **dict.fromkeys(
        ("unifi", "pfsense", "opnsense"), _between(r"Pre-Shared Key: {17}", "", _plain)
    ),
    "generic": _between(r"psk {15}", "", _plain),
}


@EVERY
@pytest.mark.parametrize("key", AWKWARD)
def test_a_key_comes_out_right_or_is_refused(router: Router, key: str) -> None:
    far = side(HUB_ADDRESS, **PLAIN, psk=key)
    if router.key_rule.fault(key):
        with pytest.raises(Unfit) as caught:
            site_config(router, far, key)
        assert "reconciler psk" in str(caught.value)
        assert key not in str(caught.value)
    else:
        assert READERS[router.name](site_config(router, far, key).text) == key


@EVERY
def test_a_key_of_letters_and_digits_is_never_refused(router: Router) -> None:
    assert not router.key_rule.fault(AWKWARD[0])


@EVERY
def test_without_the_key_its_place_is_marked(router: Router) -> None:
    far = side(HUB_ADDRESS, **PLAIN)
    found = site_config(router, far, PLACEHOLDER).text
    assert found.count(PLACEHOLDER) == 1
    for form in (far.key, far.key.encode().hex()):
        assert form not in found
    assert _encoded(found) is None


@pytest.mark.parametrize(
    ("router", "key", "words"),
    [
        ("vyos", "quoted'here-0123456789", "it does not take"),
        ("vyos", 'double"here-0123456789', "it does not take"),
        ("edgerouter", "back\\slash-0123456789", "it does not take"),
        ("vyos-1.3", "dollar$sign-0123456789", "it does not take"),
        ("edgerouter", "0s-0123456789-0123456789", "begins with 0x or 0s"),
        ("cisco-iosxe", "question?mark-0123456789", "it does not take"),
        ("cisco-iosxe", "a blank-0123456789", "has blanks"),
        ("fortigate", "question?mark-0123456789", "it does not take"),
        ("fortigate", "short", "at least 6 characters"),
        ("mikrotik", "0x0123456789abcdef0123", "begins with 0x or 0s"),
        ("mikrotik", "ümläut-0123456789-abc", "beyond ASCII"),
        ("unifi", 'double"quote-0123456789', "it does not take"),
        ("pfsense", " blank-before-0123456789", "begins or ends with a blank"),
    ],
)
def test_a_key_that_would_not_come_out_right_is_refused(router: str, key: str, words: str) -> None:
    assert words in reasons(ROUTERS[router], psk=key)
