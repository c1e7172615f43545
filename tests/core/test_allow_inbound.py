"""`vpn.allow_inbound`: every way to write it, and a clear word about every wrong one."""

import re
from ipaddress import ip_network
from typing import Any

import jsonschema
import pytest

from reconciler.core.allow_inbound import (
    ALLOW_INBOUND_SCHEMA,
    MOST_RULES,
    Allowed,
    parse_allow_inbound,
)
from reconciler.core.site_rules import rules_of
from tests.builders import connection, connections, decided, vpn

NETWORK = ip_network("10.0.0.0/24")
RIGHT: list[tuple[Any, Allowed]] = [
    ("tcp/21", Allowed("tcp", 21, 21)),
    (" udp/5000-5010 ", Allowed("udp", 5000, 5010)),
    ("icmp", Allowed("icmp")),
    ({"protocol": "tcp", "port": 21}, Allowed("tcp", 21, 21)),
    (
        {"protocol": "tcp", "port": "1-65535", "to": "10.0.0.0/24"},
        Allowed("tcp", 1, 65535, NETWORK),
    ),
    ({"protocol": "udp", "port": 5, "to": "fd00::7"}, Allowed("udp", 5, 5, ip_network("fd00::7"))),
    ({"protocol": "icmp", "to": "10.0.0.0/24"}, Allowed("icmp", None, None, NETWORK)),
]
WRONG: list[tuple[Any, str]] = [
    ("tcp", "tcp needs a port, like tcp/21"),
    ("tcp/", "is not understood"),
    ("tcp/0", "port 0 is out of range"),
    ("tcp/65536", "port 65536 is out of range"),
    ("udp/9-8", "port 9-8 is out of range"),
    ("tcp/٢١", "is not understood"),
    ("tcp/21; flush ruleset", "is not understood"),
    ("icmp/8", "icmp has no port; leave it out"),
    ("sctp/5", "protocol 'sctp' is not known; write tcp, udp or icmp"),
    (21, "is not understood"),
    (None, "is not understood"),
    ({}, "is not known; write tcp, udp or icmp"),
    ({"protocol": "tcp"}, "tcp needs a port"),
    ({"protocol": "tcp", "port": True}, "is not a port"),
    ({"protocol": "tcp", "port": -1}, "is not a port"),
    ({"protocol": "tcp", "port": 21.0}, "is not a port"),
    ({"protocol": "tcp", "port": 21, "from": "x"}, "unknown key 'from'; known: protocol, port, to"),
    ({"protocol": "tcp", "port": 21, "to": "10.0.0.5/24"}, "neither address nor subnet"),
    ({"protocol": "tcp", "port": 21, "to": "hub.example.org"}, "neither address nor subnet"),
    ({"protocol": "tcp", "port": 21, "to": "fe80::1%eth0"}, "neither address nor subnet"),
    ({"protocol": "tcp", "port": 21, "to": 7}, "neither address nor subnet"),
    ({"protocol": "tcp", "port": 21, "to": "127.0.0.1"}, "can't be reached from a tunnel"),
    ({"protocol": "tcp", "port": 21, "to": "224.0.0.1"}, "can't be reached from a tunnel"),
    (["tcp/21"], "is not understood"),
]


@pytest.mark.parametrize(("written", "meant"), RIGHT)
def test_it_is_read_as_written_and_the_schema_agrees(written: object, meant: Allowed) -> None:
    assert parse_allow_inbound([written]) == (meant,)
    jsonschema.validate([written], ALLOW_INBOUND_SCHEMA)


@pytest.mark.parametrize(("written", "words"), WRONG)
def test_what_is_wrong_is_said(written: object, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        parse_allow_inbound(["tcp/22", written])


@pytest.mark.parametrize("value", ["tcp/21", {"protocol": "tcp"}, 7, True])
def test_only_a_list_is_a_list(value: object) -> None:
    with pytest.raises(ValueError, match="is not a list; write like"):
        parse_allow_inbound(value)


def test_every_wrong_member_is_named_at_once() -> None:
    with pytest.raises(ValueError, match=r"port 0 .*; tcp needs a port"):
        parse_allow_inbound(["tcp/0", "tcp"])


def test_nothing_and_doubles() -> None:
    assert parse_allow_inbound(None) == parse_allow_inbound([]) == ()
    assert parse_allow_inbound(["tcp/21", {"protocol": "tcp", "port": 21}]) == (
        Allowed("tcp", 21, 21),
    )


def test_more_than_fifty_are_too_many() -> None:
    many = [f"tcp/{port}" for port in range(1, MOST_RULES + 2)]
    assert len(parse_allow_inbound(many[:-1])) == MOST_RULES
    with pytest.raises(ValueError, match="has 51 members; 50 at most"):
        parse_allow_inbound(many)


def test_a_fault_names_the_airport_and_harms_no_other() -> None:
    decision = decided(kspb=vpn(1, allow_inbound=["tcp/x"]), kczk=vpn(2, allow_inbound=["tcp/21"]))
    (fault,) = decision.errors
    assert (fault.path, fault.airport_id) == ("airports.kspb.vpn.allow_inbound", "kspb")
    assert decision.sites["kczk"].allow_inbound == (Allowed("tcp", 21, 21),)


def test_what_charon_has_is_the_same_with_and_without_it() -> None:
    without, with_it = connection(), connection(allow_inbound=["tcp/21"])
    assert (without.mark, without.settings) == (with_it.mark, with_it.settings)
    assert without.declaration == with_it.declaration


def test_the_filter_knows_every_tunnel_with_its_subnets_and_what_it_may_open() -> None:
    rules = rules_of(
        connections(
            kspb=vpn(1, allow_inbound=["icmp"]),
            kczk=vpn(2, remote_subnet=["192.168.2.0/24", "10.2.0.0/16"]),
        )
    )
    assert [
        (site.connection, [str(network) for network in site.subnets], site.allowed)
        for site in rules.sites
    ] == [
        ("kczk_vpn", ["10.2.0.0/16", "192.168.2.0/24"], ()),
        ("kspb_vpn", ["192.168.1.0/24"], (Allowed("icmp"),)),
    ]
