"""What the filter lets through, packet by packet, in a network with a device like charon's.

Every attack is made twice: without the filter it must arrive, with it be counted as dropped.
"""

import itertools
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

import pytest

from reconciler.core.nft_script import nft_change, nft_script, parts
from reconciler.core.packet_filter import COUNTERS, Allowed, FilterRules, SiteRules
from reconciler.edges.nft import Nft
from tests.docker import docker, eventually, run
from tests.packets import (
    ACK,
    ECHO,
    ECHO_REPLY,
    ECHO_REPLY_V6,
    ECHO_V6,
    ICMP,
    ICMPV6,
    REDIRECT,
    REDIRECT_V6,
    SYN,
    TCP,
    UDP,
    UNREACHABLE,
    UNREACHABLE_V6,
    Wire,
    icmp,
    protocol_of,
    source_of,
    tcp,
    udp,
)

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]

NAME = "test-filter-packets"
# The hub, a neighbour on its network, a camera of each of two sites, and one nobody declared.
HUB, NEIGHBOUR = "10.9.0.1", "10.9.0.5"
CAMERA, ROUTER, OTHER, STRANGER = "192.168.1.100", "192.168.1.1", "192.168.2.100", "192.168.3.100"
HUB6, NEIGHBOUR6 = "fd00:9::1", "fd00:9::5"
CAMERA6, OTHER6, STRANGER6 = "fd00:1::100", "fd00:2::100", "fd00:3::100"
ALLOWED = (
    Allowed("tcp", 8000, 8009),
    Allowed("udp", 123, 123, ip_network("10.9.0.0/24")),
    Allowed("udp", 123, 123, ip_network("fd00:9::/64")),
)
SITE = SiteRules("kspb_vpn", (ip_network("192.168.1.0/24"), ip_network("fd00:1::/64")))
OTHER_SITE = SiteRules("kczk_vpn", (ip_network("192.168.2.0/24"), ip_network("fd00:2::/64")))
RULES = FilterRules((SITE, OTHER_SITE))
ALLOWING = FilterRules((SiteRules(SITE.connection, SITE.subnets, ALLOWED), OTHER_SITE))
SETUP = (
    "sysctl -q -w net.ipv6.conf.all.disable_ipv6=0",
    "ip link set ipsec0 up",
    "ip link set lan0 up",
    f"ip address add {HUB}/24 dev lan0",
    f"ip address add {HUB6}/64 dev lan0 nodad",
    "ip route add 192.168.0.0/16 dev ipsec0",
    "ip route add 10.66.0.0/16 dev lan0",
    *(f"ip route add fd00:{site}::/64 dev ipsec0" for site in (1, 2, 3)),
    "sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1",
    "sysctl -q -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.ipsec0.rp_filter=0",
)


@dataclass(frozen=True)
class Hub:
    """The hub's network: the tunnels' device, the one of its own network, and the filter."""

    tunnel: Wire
    lan: Wire
    nft: Nft

    def load(self, rules: FilterRules) -> None:
        self.nft.load(nft_script(rules))


@pytest.fixture(scope="module")
def network() -> Iterator[Hub]:
    docker("rm", "--force", NAME, check=False)
    docker(
        *("run", "--detach", "--name", NAME, "--network", "none", "--cap-drop", "ALL"),
        *("--cap-add", "NET_ADMIN", "--entrypoint", "sleep", "vpn-filter", "infinity"),
    )
    pid = int(docker("inspect", "--format", "{{.State.Pid}}", NAME))
    nft = Nft(("nsenter", f"--target={pid}", "--net", "--mount", "nft"), within_s=60)
    hub = Hub(Wire(pid, "ipsec0"), Wire(pid, "lan0"), nft)
    try:
        for command in SETUP:
            run("nsenter", f"--net=/proc/{pid}/ns/net", *command.split())
        yield hub
    finally:
        hub.tunnel.close()
        hub.lan.close()
        docker("rm", "--force", NAME)


@pytest.fixture
def hub(network: Hub) -> Hub:
    """Without a filter; and what went before was seen by others."""
    network.nft.remove()
    for wire in (network.tunnel, network.lan):
        wire.seen()
    return network


_ports = itertools.count(20_000)


def port() -> int:
    """Return a port of which no connection is known."""
    return next(_ports)


def opened(hub: Hub, source: str, destination: str) -> bytes:
    """Send one packet from the hub's side into a tunnel, and return it as it came out there."""
    hub.lan.send(udp(source, destination, port(), 9))
    return hub.tunnel.next(source, UDP)


def ports_of(packet: bytes) -> tuple[int, int]:
    start = 20 if packet[0] >> 4 == 4 else 40
    return tuple(int.from_bytes(packet[start + n : start + n + 2], "big") for n in (0, 2))  # type: ignore[return-value]


Attack = Callable[[Hub], bytes]
OWN = ip_address(HUB).packed
TO_LAN, BACK, ACROSS = "lan", "tunnel", "tunnel"
# What is sent out of a tunnel; where what it brings about is seen: device, source and protocol;
# and as what the filter counts it.
ATTACKS: dict[str, tuple[Attack, tuple[str, str, int], str]] = {
    "a connection to the hub": (
        lambda _: tcp(CAMERA, HUB, port(), 22, SYN),
        (BACK, HUB, TCP),
        "unasked",
    ),
    "UDP to the hub": (lambda _: udp(CAMERA, HUB, port(), 53), (BACK, HUB, ICMP), "unasked"),
    "a ping to the hub": (lambda _: icmp(CAMERA, HUB, ECHO), (BACK, HUB, ICMP), "unasked"),
    "a connection to a neighbour of the hub": (
        lambda _: tcp(CAMERA, NEIGHBOUR, port(), 80, SYN),
        (TO_LAN, CAMERA, TCP),
        "unasked",
    ),
    "UDP to a neighbour of the hub": (
        lambda _: udp(CAMERA, NEIGHBOUR, port(), 53),
        (TO_LAN, CAMERA, UDP),
        "unasked",
    ),
    "a connection to the camera of another site": (
        lambda _: tcp(CAMERA, OTHER, port(), 80, SYN),
        (ACROSS, CAMERA, TCP),
        "unasked",
    ),
    "an ACK out of the blue": (
        lambda _: tcp(CAMERA, HUB, port(), 22, ACK),
        (BACK, HUB, TCP),
        "unasked",
    ),
    "a SYN-ACK out of the blue": (
        lambda _: tcp(CAMERA, HUB, port(), 22, SYN | ACK),
        (BACK, HUB, TCP),
        "unasked",
    ),
    "an ACK out of the blue to a neighbour": (
        lambda _: tcp(CAMERA, NEIGHBOUR, port(), 22, ACK),
        (TO_LAN, CAMERA, TCP),
        "unasked",
    ),
    "an answer to a question that nobody asked": (
        lambda _: icmp(CAMERA, NEIGHBOUR, ECHO_REPLY),
        (TO_LAN, CAMERA, ICMP),
        "unasked",
    ),
    "a source that nobody declared": (
        lambda _: icmp(STRANGER, HUB, ECHO),
        (BACK, HUB, ICMP),
        "spoofed",
    ),
    "a source of the hub's own network": (
        lambda _: udp(NEIGHBOUR, "10.9.0.6", port(), 53),
        (TO_LAN, NEIGHBOUR, UDP),
        "spoofed",
    ),
    "a source of another site": (
        lambda _: udp(OTHER, NEIGHBOUR, port(), 53),
        (TO_LAN, OTHER, UDP),
        "unasked",
    ),
    "a redirect about a connection of the hub's side": (
        lambda hub: icmp(CAMERA, NEIGHBOUR, REDIRECT, 1, opened(hub, NEIGHBOUR, CAMERA)),
        (TO_LAN, CAMERA, ICMP),
        "redirects",
    ),
    "an error about a connection to another site": (
        lambda hub: icmp(CAMERA, NEIGHBOUR, UNREACHABLE, 3, opened(hub, NEIGHBOUR, OTHER)),
        (TO_LAN, CAMERA, ICMP),
        "unasked",
    ),
    "an error about nothing": (
        lambda _: icmp(CAMERA, NEIGHBOUR, UNREACHABLE, 3, udp(NEIGHBOUR, CAMERA, port(), 9)),
        (TO_LAN, CAMERA, ICMP),
        "unasked",
    ),
    "a connection to the hub over IPv6": (
        lambda _: tcp(CAMERA6, HUB6, port(), 22, SYN),
        (BACK, HUB6, TCP),
        "unasked",
    ),
    "a ping to the hub over IPv6": (
        lambda _: icmp(CAMERA6, HUB6, ECHO_V6),
        (BACK, HUB6, ICMPV6),
        "unasked",
    ),
    "UDP to a neighbour over IPv6": (
        lambda _: udp(CAMERA6, NEIGHBOUR6, port(), 53),
        (TO_LAN, CAMERA6, UDP),
        "unasked",
    ),
    "UDP to another site over IPv6": (
        lambda _: udp(CAMERA6, OTHER6, port(), 53),
        (ACROSS, CAMERA6, UDP),
        "unasked",
    ),
    "an IPv6 source that nobody declared": (
        lambda _: icmp(STRANGER6, HUB6, ECHO_V6),
        (BACK, HUB6, ICMPV6),
        "spoofed",
    ),
    "a redirect over IPv6": (
        lambda hub: icmp(CAMERA6, NEIGHBOUR6, REDIRECT_V6, 0, opened(hub, NEIGHBOUR6, CAMERA6)),
        (TO_LAN, CAMERA6, ICMPV6),
        "redirects",
    ),
    "an error about a connection to another site over IPv6": (
        lambda hub: icmp(CAMERA6, NEIGHBOUR6, UNREACHABLE_V6, 4, opened(hub, NEIGHBOUR6, OTHER6)),
        (TO_LAN, CAMERA6, ICMPV6),
        "unasked",
    ),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_arrives_without_the_filter_and_is_dropped_with_it(hub: Hub, name: str) -> None:
    attack, (where, source, protocol), counter = ATTACKS[name]
    wire = hub.lan if where == TO_LAN else hub.tunnel
    hub.tunnel.send(attack(hub))
    wire.next(source, protocol)
    hub.load(RULES)
    must_drop(hub, attack, counter)
    # Nor does it help that another site may do it, or this one something else.
    hub.load(ALLOWING)
    must_drop(hub, attack, counter)


def must_drop(hub: Hub, attack: Attack, counter: str) -> None:
    packet = attack(hub)
    before = hub.nft.counters()
    hub.tunnel.send(packet)
    expected = {**before, counter: before[counter] + 1}
    eventually(lambda: hub.nft.counters() == expected, 20, f"counted as {counter}")
    assert [packet for packet in hub.lan.seen() + hub.tunnel.seen() if not is_noise(packet)] == []


def is_noise(packet: bytes) -> bool:
    """Tell what the kernel says of itself: that it is there, and that there is a better way."""
    if packet[0] >> 4 == 4:
        return protocol_of(packet) == ICMP and packet[20] == REDIRECT and source_of(packet) == OWN
    return protocol_of(packet) in (0, ICMPV6) and source_of(packet)[:2] in (b"\xfe\x80", b"\0\0")


PAIRS = {"IPv4": (NEIGHBOUR, CAMERA, ROUTER), "IPv6": (NEIGHBOUR6, CAMERA6, "fd00:1::1")}


@pytest.mark.parametrize("version", PAIRS)
def test_what_the_hubs_side_has_opened_is_answered_and_its_errors_arrive(
    hub: Hub, version: str
) -> None:
    neighbour, camera, router = PAIRS[version]
    hub.load(RULES)
    sent = opened(hub, neighbour, camera)
    from_port, to_port = ports_of(sent)
    error = (UNREACHABLE, 3) if version == "IPv4" else (UNREACHABLE_V6, 4)
    hub.tunnel.send(icmp(router, neighbour, *error, sent))
    hub.lan.next(router, ICMP if version == "IPv4" else ICMPV6)
    hub.tunnel.send(udp(camera, neighbour, to_port, from_port))
    hub.lan.next(camera, UDP)

    number = port()
    hub.lan.send(tcp(neighbour, camera, number, 80, SYN))
    hub.tunnel.next(neighbour, TCP)
    hub.tunnel.send(tcp(camera, neighbour, 80, number, SYN | ACK))
    hub.lan.next(camera, TCP)

    ask, answer = (ECHO, ECHO_REPLY) if version == "IPv4" else (ECHO_V6, ECHO_REPLY_V6)
    protocol = ICMP if version == "IPv4" else ICMPV6
    hub.lan.send(icmp(neighbour, camera, ask))
    hub.tunnel.next(neighbour, protocol)
    hub.tunnel.send(icmp(camera, neighbour, answer))
    hub.lan.next(camera, protocol)


def test_what_is_under_way_goes_on_while_rules_are_loaded(hub: Hub) -> None:
    hub.load(RULES)
    from_port, to_port = ports_of(opened(hub, NEIGHBOUR, CAMERA))
    for rules in (ALLOWING, RULES, RULES):
        hub.load(rules)
        hub.tunnel.send(udp(CAMERA, NEIGHBOUR, to_port, from_port))
        hub.lan.next(CAMERA, UDP)


def test_no_reply_is_lost_while_other_sites_come_and_go(hub: Hub) -> None:
    """As they come, one after the other, and as fast as they can be sent."""
    hub.load(RULES)
    from_port, to_port = ports_of(opened(hub, NEIGHBOUR, CAMERA))
    reply, done = udp(CAMERA, NEIGHBOUR, to_port, from_port), threading.Event()
    sent = itertools.count()

    def stream() -> None:
        while not done.is_set():
            hub.tunnel.send(reply)
            next(sent)

    before, chance = RULES, random.Random(29)  # noqa: S311 - reproducible on purpose
    sender = threading.Thread(target=stream)
    sender.start()
    try:
        for _ in range(300):
            after = FilterRules((*RULES.sites, *some_sites(chance)))
            hub.nft.load(nft_change(before, after))
            before = after
    finally:
        done.set()
        sender.join()
    assert next(sent) > 10_000, "too few packets to tell anything"
    assert hub.nft.counters() == dict.fromkeys(COUNTERS, 0)


def some_sites(chance: random.Random) -> list[SiteRules]:
    """Return a few sites of a hundred, with LANs that touch, overlap or are the same."""
    sites = []
    for number in chance.sample(range(100), chance.randrange(8)):
        v4 = (0x0A500000 + chance.randrange(6) * 256, chance.choice((22, 24)))
        v6 = (0xFD50 << 112 | chance.randrange(6) << 64, chance.choice((60, 64)))
        lans = tuple(ip_network(lan, strict=False) for lan in (v4, v6)[: chance.choice((1, 2))])
        sites.append(SiteRules(f"k{number}_vpn", lans, chance.choice(((), ALLOWED))))
    return sites


def test_a_change_leads_to_the_same_table_as_a_new_one(hub: Hub) -> None:
    chance = random.Random(30)  # noqa: S311 - reproducible on purpose
    before = RULES
    hub.load(before)
    for _ in range(60):
        after = FilterRules((*chance.sample(RULES.sites, 1), *some_sites(chance)))
        hub.nft.load(nft_change(before, after))
        changed = hub.nft.listing()
        hub.load(after)
        made_anew = hub.nft.listing()
        assert changed is not None
        assert made_anew is not None
        assert parts(changed) == parts(made_anew)
        before = after


@pytest.mark.parametrize(
    ("camera", "hub_address", "neighbour"),
    [(CAMERA, HUB, NEIGHBOUR), (CAMERA6, HUB6, NEIGHBOUR6)],
)
def test_what_is_allowed_arrives_and_is_answered(
    hub: Hub, camera: str, hub_address: str, neighbour: str
) -> None:
    hub.load(ALLOWING)
    hub.tunnel.send(tcp(camera, hub_address, port(), 8005, SYN))
    hub.tunnel.next(hub_address, TCP)
    number = port()
    hub.tunnel.send(udp(camera, neighbour, number, 123))
    hub.lan.next(camera, UDP)
    hub.lan.send(udp(neighbour, camera, 123, number))
    hub.tunnel.next(neighbour, UDP)


@pytest.mark.parametrize(
    "attack",
    [
        lambda _: tcp(OTHER, HUB, port(), 8005, SYN),
        lambda _: tcp(OTHER6, HUB6, port(), 8005, SYN),
        lambda _: udp(OTHER, NEIGHBOUR, port(), 123),
        lambda _: tcp(CAMERA, HUB, port(), 7999, SYN),
        lambda _: tcp(CAMERA, HUB, port(), 8010, SYN),
        lambda _: udp(CAMERA, HUB, port(), 8005),
        lambda _: tcp(CAMERA, NEIGHBOUR, port(), 8005, SYN),
        lambda _: tcp(CAMERA, OTHER, port(), 8005, SYN),
        lambda _: udp(CAMERA, "10.66.0.1", port(), 123),
        lambda _: tcp(CAMERA, NEIGHBOUR, port(), 123, SYN),
    ],
    ids=range(10),
)
def test_what_is_allowed_is_not_allowed_to_others_elsewhere_or_otherwise(
    hub: Hub, attack: Attack
) -> None:
    hub.load(ALLOWING)
    must_drop(hub, attack, "unasked")


def test_a_ping_is_allowed_by_name_and_nothing_else_of_icmp(hub: Hub) -> None:
    hub.load(FilterRules((SiteRules(SITE.connection, SITE.subnets, (Allowed("icmp"),)),)))
    hub.tunnel.send(icmp(CAMERA, HUB, ECHO))
    hub.tunnel.next(HUB, ICMP)
    hub.tunnel.send(icmp(CAMERA6, HUB6, ECHO_V6))
    hub.tunnel.next(HUB6, ICMPV6)
    must_drop(hub, lambda _: icmp(CAMERA, HUB, UNREACHABLE, 3), "unasked")
    must_drop(hub, lambda _: icmp(CAMERA, NEIGHBOUR, ECHO), "unasked")
    must_drop(hub, lambda _: icmp(CAMERA, HUB, REDIRECT, 1), "redirects")


def test_what_is_allowed_no_more_ends_although_it_is_under_way(hub: Hub) -> None:
    hub.load(ALLOWING)
    packet = udp(CAMERA, NEIGHBOUR, port(), 123)
    hub.tunnel.send(packet)
    hub.lan.next(CAMERA, UDP)
    hub.lan.send(udp(NEIGHBOUR, CAMERA, 123, ports_of(packet)[0]))
    hub.tunnel.next(NEIGHBOUR, UDP)
    hub.load(RULES)
    must_drop(hub, lambda _: packet, "unasked")


THEIRS = """
table ip theirs {
  chain forward {
    type filter hook forward priority filter; policy drop;
    counter
  }
}
"""


def test_what_others_forbid_stays_forbidden(hub: Hub) -> None:
    hub.load(ALLOWING)
    hub.nft.load(THEIRS)
    try:
        hub.tunnel.send(udp(CAMERA, NEIGHBOUR, port(), 123))

        def seen() -> bool:
            return "packets 1 " in docker("exec", NAME, "nft", "list", "table", "ip", "theirs")

        eventually(seen, 20, "their rule saw it, so ours let it through")
        assert hub.lan.seen() == []
    finally:
        hub.nft.load("delete table ip theirs\n")


def test_what_does_not_come_out_of_a_tunnel_is_not_judged(hub: Hub) -> None:
    hub.load(FilterRules())
    before = hub.nft.counters()
    hub.lan.send(icmp(NEIGHBOUR, HUB, ECHO))
    hub.lan.next(HUB, ICMP)
    hub.lan.send(udp(CAMERA, "10.66.0.1", port(), 53))
    hub.lan.next(CAMERA, UDP)
    hub.lan.send(tcp(NEIGHBOUR, CAMERA, port(), 80, ACK))
    hub.tunnel.next(NEIGHBOUR, TCP)
    assert hub.nft.counters() == before
