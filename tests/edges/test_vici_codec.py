"""VICI's messages as values: realistic ones exactly, garbage without a crash."""

import itertools
from ipaddress import ip_network
from typing import Any

import pytest

from reconciler.core.observed import Algorithms, ChildSa, Daemon, IkeSa
from reconciler.edges import vici_codec as codec
from tests.edges.vici_samples import ALGORITHMS, CHILD, IKE, KSPB, STATS, VERSION, on_the_wire

GARBAGE: list[Any] = [b"", b"\xff\xfe", b"-1", b"1e9", "text", 5, None, True, [], [b"x"], {}]
GARBAGE += [{"a": b"b"}, [[]], [{}], {"name": {}}, {"": {"": {"": []}}}]


def test_an_ike_sa_with_its_child() -> None:
    assert codec.ike_sa("kspb_vpn", on_the_wire(IKE)) == IkeSa(
        name="kspb_vpn",
        unique_id="3",
        state="ESTABLISHED",
        remote_host="198.51.100.7",
        remote_port=61234,
        remote_id="kspb.remote",
        initiator=False,
        established_s=120,
        children=(
            ChildSa(
                name=KSPB.child_name,
                unique_id="7",
                state="INSTALLED",
                local_subnets=(ip_network("0.0.0.0/0"),),
                remote_subnets=(ip_network("192.168.1.0/24"), ip_network("fd00:1::/64")),
                received_bytes=640,
                sent_bytes=1280,
                received_packets=5,
                sent_packets=10,
                installed_s=93,
                spi_in="c7e1a2b3",
                received_s=4,
                expires_s=3500,
            ),
        ),
        spi="0f1e2d3c4b5a6978",
    )


def test_a_half_open_ike_sa_has_neither_age_nor_children() -> None:
    message = on_the_wire({"uniqueid": "4", "state": "CONNECTING", "initiator": "yes"})
    sa = codec.ike_sa("kspb_vpn", message)
    assert (sa.state, sa.established_s, sa.children, sa.initiator) == ("CONNECTING", 0, (), True)


@pytest.mark.parametrize(
    ("selectors", "kept"),
    [
        (["10.0.0.0/8", "192.168.1.0/24"], ["10.0.0.0/8", "192.168.1.0/24"]),
        (["192.168.1.7/32"], ["192.168.1.7/32"]),
        (["192.168.1.0/24[tcp/http]"], []),
        (["192.168.1.0/24[udp]", "10.0.0.0/8"], ["10.0.0.0/8"]),
        (["10.0.0.1..10.0.0.9"], []),
        (["dynamic"], []),
        ([], []),
    ],
)
def test_a_selector_that_is_no_whole_subnet_covers_none(
    selectors: list[str], kept: list[str]
) -> None:
    child = {**CHILD, "remote-ts": selectors}
    sa = codec.ike_sa("k", on_the_wire({**IKE, "child-sas": {"lan-7": child}}))
    assert list(map(str, sa.children[0].remote_subnets)) == kept


def test_the_daemon() -> None:
    assert codec.daemon(on_the_wire(VERSION), on_the_wire(STATS)) == Daemon(
        version="6.0.1",
        started_at=1763823600,
        data_plane="userspace",
        workers_total=32,
        workers_idle=23,
        queued_jobs=7,
        ike_sas=3,
        half_open_ike_sas=1,
        scheduled_jobs=9,
        workers_active={"critical": 4, "medium": 1},
        queues={"critical": 0, "high": 1, "medium": 2, "low": 4},
    )


def test_without_the_plugin_for_user_space_the_kernel_carries_the_packets() -> None:
    stats = {**STATS, "plugins": ["vici", "kernel-netlink"]}
    assert codec.daemon({}, on_the_wire(stats)).data_plane == "kernel"


def test_algorithms_of_every_kind_are_one_set() -> None:
    assert codec.algorithms(on_the_wire(ALGORITHMS)) == {
        "AES_CBC",
        "AES_GCM_16",
        "PRF_HMAC_SHA2_256",
        "MODP_2048",
        "ECP_384",
    }


def test_the_names_of_children() -> None:
    message = on_the_wire({"version": "IKEv2", "children": {"lan-1": {"mode": "TUNNEL"}}})
    assert codec.child_names(message) == {"lan-1"}
    assert codec.child_names({}) == frozenset()


@pytest.mark.parametrize(
    ("value", "expected"),
    [(b"12", 12), (b"0", 0), (b"", 0), (b"-3", 0), (b"1.5", 0), ("٣".encode(), 0), (None, 0)],
    ids=repr,
)
def test_a_number_is_a_number_or_nothing(value: Any, expected: int) -> None:
    assert codec.number({"n": value}, "n") == expected


def test_bytes_that_are_no_text_are_read_as_far_as_they_are() -> None:
    assert codec.text({"id": b"caf\xe9"}, "id") == "caf\ufffd"


@pytest.mark.parametrize("key", [*IKE])
def test_wrong_types_in_an_ike_sa_never_raise(key: str) -> None:
    for value in GARBAGE:
        sa = codec.ike_sa("k", {**on_the_wire(IKE), key: value})
        assert isinstance(sa.state, str)
        assert isinstance(sa.established_s, int)


@pytest.mark.parametrize("key", [*CHILD])
def test_wrong_types_in_a_child_never_raise(key: str) -> None:
    for value in GARBAGE:
        child = {**on_the_wire(CHILD), key: value}
        for children in ({"c": child}, {"c": value}):
            codec.ike_sa("k", {**on_the_wire(IKE), "child-sas": children})


def test_wrong_types_in_the_daemons_answers_never_raise() -> None:
    for key, value in itertools.product(STATS, GARBAGE):
        codec.daemon({"version": value}, {**on_the_wire(STATS), key: value})
    for kind, value in itertools.product(ALGORITHMS, GARBAGE):
        codec.algorithms({**on_the_wire(ALGORITHMS), kind: value})
    for value in GARBAGE:
        codec.child_names({"children": value})
        codec.texts({"keys": value}, "keys")


def test_an_empty_message_is_read_as_nothing() -> None:
    assert codec.ike_sa("k", {}) == IkeSa("k", "0", "")
    assert codec.daemon({}, {}) == Daemon("", 0, "kernel", 0, 0, 0, 0, 0)
    assert codec.algorithms({}) == frozenset()


def test_what_was_negotiated_and_what_is_under_way_is_read() -> None:
    """As charon 6.0.1 was seen to send it."""
    message = {
        "state": "ESTABLISHED",
        "nat-any": "yes",
        "encr-alg": "AES_CBC",
        "encr-keysize": "256",
        "integ-alg": "HMAC_SHA2_256_128",
        "prf-alg": "PRF_HMAC_SHA2_256",
        "dh-group": "MODP_3072",
        "tasks-active": ["IKE_ESTABLISH", "CHILD_CREATE"],
        "tasks-queued": ["IKE_DPD"],
        "child-sas": {"lan-5": {"encr-alg": "AES_GCM_16", "encr-keysize": "256", "encap": "yes"}},
    }
    found = codec.ike_sa("kspb_vpn", on_the_wire(message))
    assert found.algorithms == Algorithms(
        "AES_CBC", 256, "HMAC_SHA2_256_128", "PRF_HMAC_SHA2_256", "MODP_3072"
    )
    assert found.nat_seen
    assert (found.tasks_active, found.tasks_queued) == (
        ("IKE_ESTABLISH", "CHILD_CREATE"),
        ("IKE_DPD",),
    )
    assert found.children[0].algorithms == Algorithms("AES_GCM_16", 256)
    assert found.children[0].udp_encapsulated


def test_what_charon_does_not_tell_is_nothing() -> None:
    found = codec.ike_sa("kspb_vpn", on_the_wire({"child-sas": {"lan-5": {}}}))
    assert found.algorithms == found.children[0].algorithms == Algorithms()
    assert not found.nat_seen
    assert not found.children[0].udp_encapsulated
    assert (found.children[0].received_s, found.children[0].expires_s) == (None, 0)
    assert found.tasks_active == found.tasks_queued == ()


@pytest.mark.parametrize(
    ("algorithms", "text"),
    [
        (Algorithms(), ""),
        (Algorithms("AES_GCM_16", 256), "AES_GCM_16-256"),
        (
            Algorithms("AES_GCM_16", 128, "", "PRF_HMAC_SHA2_256", "MODP_2048"),
            "AES_GCM_16-128/PRF_HMAC_SHA2_256/MODP_2048",
        ),
        (Algorithms("CHACHA20_POLY1305", 0, "", "", "ECP_256"), "CHACHA20_POLY1305/ECP_256"),
    ],
    ids=str,
)
def test_algorithms_are_written_as_charon_writes_them(algorithms: Algorithms, text: str) -> None:
    assert str(algorithms) == text
