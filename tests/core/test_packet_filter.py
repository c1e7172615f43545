"""What may come out of a tunnel: the values, their JSON, and the script that is made of them."""

import json
import re
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from reconciler.core.nft_script import nft_change, nft_script, parts
from reconciler.core.packet_filter import (
    Allowed,
    FilterRules,
    SiteRules,
    digest,
    from_json,
    to_json,
)

LAN = ip_network("192.168.1.0/24")
OTHER_LAN = ip_network("192.168.2.0/24")
LAN_V6 = ip_network("fd00:1::/64")
HUB_NETWORK = ip_network("10.0.0.0/8")
EVERY_ALLOWED = (
    Allowed("tcp", 80, 80),
    Allowed("udp", 5000, 5010),
    Allowed("icmp"),
    Allowed("tcp", 1, 65535, HUB_NETWORK),
    Allowed("icmp", to=HUB_NETWORK),
    Allowed("icmp", to=LAN_V6),
)
RULES = FilterRules(
    (
        SiteRules("kczk_vpn", (OTHER_LAN,)),
        SiteRules("kspb_vpn", (LAN, LAN_V6), EVERY_ALLOWED),
    )
)


def chain(script: str, name: str) -> list[str]:
    """Return the lines of one chain."""
    after = script.split(f"  chain {name} {{\n")[1]
    return [line.strip() for line in after.split("  }\n")[0].splitlines()]


def element(script: str, container: str) -> str:
    """Return what stands between the braces of a set or map, or nothing."""
    body = script.split(f"{container} {{\n")[1].split("\n  }\n")[0]
    return body.partition("elements = { ")[2].removesuffix(" }")


def test_rules_survive_the_way_through_json() -> None:
    assert from_json(json.loads(json.dumps(to_json(RULES)))) == RULES


def test_rules_are_equal_in_whatever_order_and_how_often_they_are_named() -> None:
    site = SiteRules("kspb_vpn", (LAN_V6, LAN, LAN), tuple(reversed(EVERY_ALLOWED)) * 2)
    again = FilterRules((site, SiteRules("kczk_vpn", (OTHER_LAN,))))
    assert again == RULES
    assert digest(again) == digest(RULES)
    assert nft_script(again) == nft_script(RULES)


@pytest.mark.parametrize(
    "other",
    [
        FilterRules(),
        FilterRules((SiteRules("kspb_vpn", (LAN, LAN_V6), EVERY_ALLOWED),)),
        FilterRules((SiteRules("kczk_vpn", (OTHER_LAN,)), SiteRules("kspb_vpn", (LAN, LAN_V6)))),
        FilterRules((SiteRules("x_vpn", (OTHER_LAN,)), *RULES.sites[1:])),
    ],
)
def test_a_difference_shows_in_the_digest_and_in_the_script(other: FilterRules) -> None:
    assert digest(other) != digest(RULES)
    assert nft_script(other) != nft_script(RULES)


def test_a_script_replaces_only_our_table_and_never_flushes_anything() -> None:
    lines = nft_script(RULES).splitlines()
    outer = [line for line in lines if not line.startswith((" ", "#", "}"))]
    assert outer == [
        "add table inet vpn_gateway",
        "delete table inet vpn_gateway",
        "table inet vpn_gateway {",
    ]


def test_with_no_site_nothing_may_come_out_of_a_tunnel() -> None:
    script = nft_script(FilterRules())
    assert element(script, "set sites4") == element(script, "set sites6") == ""
    assert element(script, "map chains4") == element(script, "map chains6") == ""
    assert chain(script, "from_tunnel")[-1] == "counter name unasked drop"


@pytest.mark.parametrize("hook", ["input", "forward"])
def test_what_does_not_come_out_of_a_tunnel_is_left_to_others(hook: str) -> None:
    head, *rules = chain(nft_script(RULES), hook)
    assert head == f"type filter hook {hook} priority filter - 10; policy accept;"
    assert rules
    for rule in rules:
        assert rule.startswith(('iifname "ipsec*" ', "meta ipsec exists ipsec in "))
        assert rule.endswith(" goto from_tunnel")


def test_the_source_is_judged_before_it_matters_whether_it_is_a_reply() -> None:
    rules = chain(nft_script(RULES), "from_tunnel")
    accepted = rules.index("ct state established ct direction reply accept")
    for rule in ("ip saddr != @sites4", "ip6 saddr != @sites6"):
        assert rules.index(f"{rule} counter name spoofed drop") < accepted
    for rule in ("icmp type redirect", "icmpv6 type nd-redirect"):
        assert rules.index(f"{rule} counter name redirects drop") < accepted


def test_each_address_family_has_its_own_elements() -> None:
    script = nft_script(RULES)
    assert element(script, "set sites4") == "192.168.1.0/24, 192.168.2.0/24"
    assert element(script, "set sites6") == "fd00:1::/64"
    assert element(script, "map chains6") == "fd00:1::/64 : jump site_kspb_vpn"


def test_what_a_site_may_open_stands_in_its_own_chain_only() -> None:
    script = nft_script(RULES)
    errors = "ct state related ct direction reply meta l4proto { 1, 58 } ct original"
    assert chain(script, "site_kczk_vpn") == [f"{errors} ip daddr 192.168.2.0/24 accept"]
    assert chain(script, "site_kspb_vpn") == [
        f"{errors} ip daddr 192.168.1.0/24 accept",
        f"{errors} ip6 daddr fd00:1::/64 accept",
        "fib daddr type local icmp type echo-request accept",
        "fib daddr type local icmpv6 type echo-request accept",
        "ip daddr 10.0.0.0/8 icmp type echo-request accept",
        "ip6 daddr fd00:1::/64 icmpv6 type echo-request accept",
        "ip daddr 10.0.0.0/8 tcp dport 1-65535 accept",
        "fib daddr type local tcp dport 80-80 accept",
        "fib daddr type local udp dport 5000-5010 accept",
    ]


def test_a_subnet_within_another_one_of_the_same_site_is_not_named_twice() -> None:
    inner = ip_network("192.168.1.128/25")
    script = nft_script(FilterRules((SiteRules("kspb_vpn", (inner, LAN)),)))
    assert element(script, "set sites4") == "192.168.1.0/24"
    assert element(script, "map chains4") == "192.168.1.0/24 : jump site_kspb_vpn"


def test_neighbours_are_not_mixed_up_although_their_subnets_touch() -> None:
    low, high = ip_network("192.168.0.0/24"), ip_network("192.168.1.0/24")
    rules = FilterRules((SiteRules("low", (low,)), SiteRules("high", (high,))))
    assert element(nft_script(rules), "map chains4") == (
        "192.168.0.0/24 : jump site_low, 192.168.1.0/24 : jump site_high"
    )


def test_a_change_names_nothing_of_a_site_that_stays() -> None:
    stays = SiteRules("kspb_vpn", (LAN, LAN_V6), EVERY_ALLOWED)
    goes, comes = SiteRules("kczk_vpn", (OTHER_LAN,)), SiteRules("s51_vpn", (HUB_NETWORK,))
    change = nft_change(FilterRules((stays, goes)), FilterRules((stays, comes)))
    assert change.splitlines() == [
        "delete element inet vpn_gateway chains4 { 192.168.2.0/24 }",
        "delete element inet vpn_gateway sites4 { 192.168.2.0/24 }",
        "add chain inet vpn_gateway site_s51_vpn",
        "flush chain inet vpn_gateway site_kczk_vpn",
        "delete chain inet vpn_gateway site_kczk_vpn",
        "add rule inet vpn_gateway site_s51_vpn ct state related ct direction reply "
        "meta l4proto { 1, 58 } ct original ip daddr 10.0.0.0/8 accept",
        "add element inet vpn_gateway sites4 { 10.0.0.0/8 }",
        "add element inet vpn_gateway chains4 { 10.0.0.0/8 : jump site_s51_vpn }",
    ]


def listed(*blocks: str) -> str:
    """Return a table as nft lists it."""
    body = "\n\n".join(f"\t{block}\n\t}}" for block in ("counter redirects {", *blocks))
    return f"table inet vpn_gateway {{\n{body}\n}}\n"


def test_in_which_order_chains_are_listed_tells_nothing_but_that_of_their_rules_does() -> None:
    one, other = "chain a {\n\t\taccept", "chain b {\n\t\tdrop\n\t\taccept"
    assert parts(listed(one, other)) == parts(listed(other, one))
    assert parts(listed(one, other)) != parts(listed(one))
    assert parts(listed(one, other)) != parts(listed(one, "chain b {\n\t\taccept\n\t\tdrop"))


def test_equal_rules_need_no_change() -> None:
    assert nft_change(RULES, RULES) == ""


def test_where_lans_overlap_a_source_leads_to_each_site_that_has_it() -> None:
    wide = ip_network("192.168.0.0/16")
    sites = (SiteRules("wide", (wide,)), SiteRules("narrow", (LAN,)), SiteRules("same", (wide,)))
    script = nft_script(FilterRules(sites))
    assert element(script, "set sites4") == "192.168.0.0/16"
    assert element(script, "map chains4") == "192.168.0.0/16 : jump shared4_c0a80000_16"
    assert chain(script, "shared4_c0a80000_16") == [
        "ip saddr 192.168.0.0/16 jump site_same",
        "ip saddr 192.168.0.0/16 jump site_wide",
        "ip saddr 192.168.1.0/24 jump site_narrow",
    ]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (("tcp",), "write two of 1 to 65535"),
        (("tcp", 80), "write two of 1 to 65535"),
        (("tcp", None, 80), "write two of 1 to 65535"),
        (("udp", 0, 80), "write two of 1 to 65535"),
        (("udp", 80, 65536), "write two of 1 to 65535"),
        (("udp", 81, 80), "the lower first"),
        (("icmp", 1, 1), "icmp has no ports"),
        (("sctp", 1, 1), "write tcp, udp or icmp"),
    ],
)
def test_ports_that_make_no_sense_are_refused(values: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Allowed(*values)


@pytest.mark.parametrize("name", ["", "a b", "a;b", 'a"', "-a", "a\n", "a" * 64, "a}b", "é"])
def test_what_could_not_be_the_name_of_a_connection_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not the name of a connection"):
        SiteRules(name, (LAN,))


def test_a_site_without_a_subnet_and_a_site_that_comes_twice_are_refused() -> None:
    with pytest.raises(ValueError, match="has no subnets"):
        SiteRules("kspb_vpn", ())
    site = SiteRules("kspb_vpn", (LAN,))
    with pytest.raises(ValueError, match="kspb_vpn comes twice"):
        FilterRules((site, site))


def changed(*path: str | int, to: object) -> Any:
    """Return good rules as JSON, with one place changed."""
    value: Any = json.loads(json.dumps(to_json(RULES)))
    inner = value
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = to
    return value


SITE = ("sites", 1)
ALLOWED = (*SITE, "allowed", 0)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "rules: write an object of sites"),
        ([], "rules: write an object of sites"),
        ({}, "rules: write an object of sites"),
        ({"sites": [], "more": 1}, "rules: write an object of sites, and of nothing else"),
        ({"sites": {}}, "sites: is not a list"),
        ({"sites": [1]}, "sites[0]: write an object of connection, subnets, allowed"),
        (changed(*SITE, "connection", to=1), "sites[1].connection: is not a text"),
        (changed(*SITE, "connection", to="a b"), "sites[1]: 'a b' is not the name of a connection"),
        (changed(*SITE, "connection", to="kczk_vpn"), "sites: kczk_vpn comes twice"),
        (changed(*SITE, "subnets", to="10.0.0.0/8"), "sites[1].subnets: is not a list"),
        (changed(*SITE, "subnets", to=[]), "sites[1]: has no subnets"),
        (changed(*SITE, "subnets", to=[1]), "sites[1].subnets[0]: 1 is not a subnet"),
        (changed(*SITE, "subnets", to=["10.0.0.1/8"]), "sites[1].subnets[0]: '10.0.0.1/8' has ho"),
        (changed(*SITE, "allowed", to=None), "sites[1].allowed: is not a list"),
        (changed(*ALLOWED, to={}), "sites[1].allowed[0]: write an object of protocol, first_port"),
        (
            changed(*ALLOWED, "protocol", to="esp"),
            "sites[1].allowed[0].protocol: 'esp' is no proto",
        ),
        (changed(*ALLOWED, "protocol", to=[]), "sites[1].allowed[0].protocol: [] is no protocol"),
        (changed(*ALLOWED, "first_port", to=1), "sites[1].allowed[0]: icmp has no ports"),
        (changed(*ALLOWED, "to", to="0/0"), "sites[1].allowed[0].to: '0/0' is not a subnet"),
        (changed(*SITE, "allowed", 3, "first_port", to="1"), "sites[1].allowed[3].first_port: '1'"),
        (changed(*SITE, "allowed", 3, "first_port", to=True), "allowed[3].first_port: True is not"),
        (changed(*SITE, "allowed", 3, "last_port", to=1.5), "sites[1].allowed[3].last_port: 1.5 "),
        (changed(*SITE, "allowed", 3, "last_port", to=1e400), "last_port: inf is not a whole numb"),
        (
            changed(*SITE, "allowed", 3, "last_port", to=10**30),
            "ports 1 to 10000000000000000000000",
        ),
    ],
)
def test_wrong_json_is_refused_and_the_place_is_named(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        from_json(value)


EVIL = [
    "10.0.0.0/8 } ; flush ruleset ; #",
    "10.0.0.0/8\n}\nflush ruleset\n",
    '"; include "/etc/passwd',
    "10.0.0.0/8, 0.0.0.0/0",
    "fe80::%eth0/64",
    "fe80::%;flush ruleset/64",
    "10.0.0.0/8\x00",
    "$x",
    "@sites4",
]


@pytest.mark.parametrize("evil", EVIL)
@pytest.mark.parametrize(
    "place",
    [
        (*SITE, "connection"),
        (*SITE, "subnets", 0),
        (*ALLOWED, "protocol"),
        (*ALLOWED, "to"),
        (*SITE, "allowed", 3, "first_port"),
    ],
)
def test_no_text_of_others_gets_into_a_script(place: tuple[str | int, ...], evil: str) -> None:
    with pytest.raises(ValueError, match="is "):
        from_json(changed(*place, to=evil))


def test_what_charon_is_started_behind_is_the_filter_of_no_site() -> None:
    baseline = Path(__file__).parents[2] / "images" / "charon" / "filter.nft"
    assert baseline.read_text() == nft_script(FilterRules())
