"""decide(): the file as a whole, faults by airport, and what this hub can't carry."""

import itertools
import json
from ipaddress import ip_network
from typing import Any

import pytest

from reconciler.core.check import Decision, Fault, HubFacts, Severity, decide, unreadable
from tests.builders import FACTS, HUB_ID, decided, document, vpn
from tests.fake_ike import ALGORITHMS


def accepted(*numbers: int) -> dict[str, Any]:
    return {f"k{number}": vpn(number) for number in numbers}


def paths(decision: Decision) -> list[str]:
    return [fault.path for fault in decision.errors]


@pytest.mark.parametrize(
    "content",
    [{}, [], None, "airports", 5, {"airports": None}, {"airports": []}, {"airports": "kspb"}],
    ids=repr,
)
def test_a_file_without_an_object_of_airports_keeps_everything_as_it_was(content: object) -> None:
    decision = decide(content, accepted(1, 2), FACTS)
    assert list(decision.sites) == ["k1", "k2"]
    assert decision.kept == {"k1", "k2"}
    assert decision.accepted == accepted(1, 2)
    assert not decision.readable
    assert paths(decision) == ["airports"]
    assert "write an object of airports by id" in decision.errors[0].message


def test_a_file_that_can_not_be_read_keeps_everything_and_says_why() -> None:
    fault = Fault("airports.json", "does not exist")
    decision = unreadable(fault, accepted(1), FACTS)
    assert (list(decision.sites), decision.errors, decision.readable) == (["k1"], (fault,), False)


@pytest.mark.parametrize("airport", [None, [], "kspb", 5, True], ids=repr)
def test_an_airport_that_is_no_object_is_named_and_leaves_the_others_alone(airport: Any) -> None:
    content = {"airports": {"bad": airport, "k1": {"vpn": vpn(1)}}}
    decision = decide(content, {}, FACTS)
    assert list(decision.sites) == ["k1"]
    assert list(map(str, decision.errors)) == ["airports.bad: is not an object"]


@pytest.mark.parametrize("body", [[], "psk", 5, True], ids=repr)
def test_a_vpn_that_is_no_object_is_named(body: Any) -> None:
    decision = decide({"airports": {"bad": {"vpn": body}}}, {}, FACTS)
    assert list(map(str, decision.errors)) == ["airports.bad.vpn: is not an object"]


@pytest.mark.parametrize(
    "airport", [{}, {"vpn": None}, {"name": "Scappoose", "webcams": []}], ids=repr
)
def test_an_airport_without_a_vpn_has_no_tunnel_and_no_fault(airport: Any) -> None:
    decision = decide({"airports": {"kspb": airport}}, {}, FACTS)
    assert (decision.sites, decision.faults, decision.disabled) == ({}, (), ())
    assert decision.readable


def test_what_is_not_ours_in_the_file_is_ignored() -> None:
    content = document(k1=vpn(1))
    content["airports"]["k1"] |= {"name": 5, "webcams": "none", "runways": [{"length": "long"}]}
    content |= {"version": 7, "maintenance": {"vpn": "yes"}}
    decision = decide(content, {}, FACTS)
    assert (list(decision.sites), decision.faults) == (["k1"], ())


def test_every_fault_of_every_airport_is_named_at_once() -> None:
    decision = decided(
        k1=vpn(1),
        k2=vpn(2, psk="", remote_subnet="192.168.2.1/24", lifetime=5, dhgroup=14),
        k3=vpn(3, type="wireguard"),
        k4=vpn(4, connection_name="k1_vpn"),
    )
    assert sorted(paths(decision)) == [
        "airports.k2.vpn.dhgroup",
        "airports.k2.vpn.lifetime",
        "airports.k2.vpn.psk",
        "airports.k2.vpn.remote_subnet",
        "airports.k3.vpn.type",
        "airports.k4.vpn.connection_name",
    ]
    assert decision.invalid == {"k2", "k3", "k4"}
    assert list(decision.sites) == ["k1"]


def test_a_fault_is_one_line_of_path_and_message() -> None:
    fault = decided(kspb=vpn(remote_subnet="x")).errors[0]
    assert str(fault) == (
        "airports.kspb.vpn.remote_subnet: 'x' is not a subnet; write it like 192.168.1.0/24"
    )


@pytest.mark.parametrize("airport_id", ["k spb", "", "kspb.", "ä" * 80, "a" * 70], ids=repr)
def test_an_airport_id_that_gives_no_name_needs_a_name_of_its_own(airport_id: str) -> None:
    alone = decided(**{airport_id: vpn()})
    assert alone.sites == {}
    assert "can't name a connection" in alone.errors[0].message
    named = decided(**{airport_id: vpn(connection_name="kspb", remote_id="kspb.remote")})
    assert list(named.sites) == [airport_id]


@pytest.mark.parametrize("airport_id", ["k\nspb", "k\x1b[2Jspb"], ids=repr)
def test_a_fault_is_one_line_whatever_the_airport_is_called(airport_id: str) -> None:
    for fault in decided(**{airport_id: vpn()}).faults:
        assert str(fault).isprintable()


@pytest.mark.parametrize(
    "text",
    [
        '{"airports": {"k\\ud800": {"vpn": {"enabled": true}}}}',
        '{"airports": {"k1": {"vpn": {"enabled": true, "\\ud800": 1}}}}',
        '{"airports": {"k1": {"vpn": {"enabled": true, "remote_id": "\\ud800"}}}}',
        '{"airports": {"k1": {"vpn": {"enabled": true, "encryption": "\\ud800"}}}}',
    ],
)
def test_a_fault_can_be_written_to_a_file_whatever_the_text_is_made_of(text: str) -> None:
    """JSON may hold halves of characters that no UTF-8 can carry."""
    decision = decide(json.loads(text), {}, FACTS)
    assert decision.errors
    for fault in decision.faults:
        assert str(fault).encode()


def test_a_huge_value_does_not_make_a_huge_message() -> None:
    fault = decided(kspb=vpn(remote_subnet="x" * 100_000)).errors[0]
    assert len(fault.message) < 400


def on_hub(
    networks: dict[str, str] | None = None, algorithms: frozenset[str] | None = None, **changes: Any
) -> Decision:
    by_name = {name: ip_network(text) for name, text in (networks or {}).items()}
    return decide(document(k1=vpn(1, **changes)), {}, HubFacts(HUB_ID, by_name, algorithms))


@pytest.mark.parametrize("identity", [HUB_ID, HUB_ID.upper()], ids=repr)
def test_a_site_may_not_claim_the_hubs_own_identity(identity: str) -> None:
    assert paths(on_hub(remote_id=identity)) == ["airports.k1.vpn.remote_id"]


@pytest.mark.parametrize(
    "network", ["192.168.1.0/24", "192.168.1.128/25", "192.168.1.7/32"], ids=repr
)
def test_a_subnet_that_would_swallow_a_network_of_the_hub_is_refused(network: str) -> None:
    decision = on_hub({"network on eth0": network})
    assert decision.sites == {}
    assert str(decision.errors[0]) == (
        "airports.k1.vpn.remote_subnet: 192.168.1.0/24 would swallow the hub's own network on eth0"
    )


def test_a_subnet_inside_a_network_of_the_hub_is_only_warned_about() -> None:
    decision = on_hub({"network on eth0": "192.168.0.0/16"})
    assert list(decision.sites) == ["k1"]
    assert [f.severity for f in decision.faults] == [Severity.WARNING]
    assert "overlaps the hub's own network on eth0" in decision.faults[0].message


def test_an_airport_id_that_can_not_be_shown_is_refused_even_with_names_of_its_own() -> None:
    decision = decided(**{"k\x1bspb": vpn(connection_name="kspb", remote_id="kspb.remote")})
    assert decision.sites == {}
    assert decision.errors[0].path == "airports.k\\x1bspb"
    assert decision.invalid == {"k\\x1bspb"}


def test_local_and_remote_subnets_must_be_of_the_same_families() -> None:
    decision = decided(
        k1=vpn(remote_subnet=["10.1.0.0/24", "fd00::/64"], local_subnet="10.0.0.0/8")
    )
    assert [fault.path for fault in decision.errors] == ["airports.k1.vpn.local_subnet"]


def test_other_networks_of_the_hub_and_other_families_are_no_fault() -> None:
    networks = {"network on eth0": "192.168.2.0/24", "network on eth1": "fd00::/16"}
    assert on_hub(networks).faults == ()


def test_each_swallowed_network_of_each_subnet_is_named() -> None:
    decision = on_hub(
        {"a": "10.1.2.0/24", "b": "10.9.9.9/32", "c": "fd00:1::/64"},
        remote_subnet=["10.0.0.0/8", "fd00::/16"],
    )
    assert len(decision.errors) == 3


@pytest.mark.parametrize(
    ("changes", "key", "lacking"),
    [
        ({"dh_group": 31}, "dh_group", "CURVE_25519"),
        ({"encryption": "chacha20poly1305"}, "encryption", "CHACHA20_POLY1305"),
        ({"encryption": "aes256ccm128"}, "encryption", "AES_CCM_16"),
        ({"encryption": "aes256-sha512"}, "encryption", "HMAC_SHA2_512_256, PRF_HMAC_SHA2_512"),
        ({"encryption": "aes256gcm128-sha512"}, "encryption", "PRF_HMAC_SHA2_512"),
    ],
)
def test_an_algorithm_that_charon_lacks_is_refused_by_its_key(
    changes: dict[str, Any], key: str, lacking: str
) -> None:
    decision = on_hub(algorithms=ALGORITHMS - {"CURVE_25519"}, **changes)
    assert paths(decision) == [f"airports.k1.vpn.{key}"]
    assert f"this charon has no {lacking};" in decision.errors[0].message


def test_algorithms_are_not_judged_while_charon_can_not_be_asked() -> None:
    assert on_hub(algorithms=None, dh_group=32).errors == ()
    assert on_hub(algorithms=ALGORITHMS).errors == ()


def test_what_became_wrong_on_this_hub_keeps_its_last_good_tunnel() -> None:
    """A new network on the hub must not tear down a tunnel that runs."""
    hub = HubFacts(HUB_ID, {"network on eth1": ip_network("192.168.1.0/28")}, ALGORITHMS)
    decision = decide(document(k1=vpn(1)), accepted(1), hub)
    assert list(decision.sites) == ["k1"]
    assert decision.kept == decision.invalid == {"k1"}


@pytest.mark.parametrize(("before", "gone"), [*itertools.product(range(1, 12), range(12))])
def test_removals_are_held_when_more_than_two_and_more_than_30_percent(
    before: int, gone: int
) -> None:
    gone = min(gone, before)
    known = accepted(*range(1, before + 1))
    kept = {id_: {"vpn": body} for id_, body in list(known.items())[gone:]}
    decision = decide({"airports": kept}, known, FACTS)
    held = gone > 2 and gone * 10 > before * 3
    assert decision.held == (tuple(list(known)[:gone]) if held else ())
    assert set(decision.sites) == (set(known) if held else set(kept))
    assert set(decision.accepted) == set(decision.sites)
    assert decision.kept.isdisjoint(decision.held)
    assert decision.errors == ()


def test_switching_off_counts_as_a_removal() -> None:
    off = {id_: {**body, "enabled": False} for id_, body in accepted(1, 2, 3).items()}
    assert decided(accepted(1, 2, 3), **off).held == ("k1", "k2", "k3")
    assert decided(accepted(1, 2), **{k: off[k] for k in ("k1", "k2")}).sites == {}


def test_held_removals_happen_once_they_are_allowed() -> None:
    decision = decide({"airports": {}}, accepted(1, 2, 3, 4), FACTS, allow_removals=True)
    assert (decision.sites, decision.held, decision.accepted) == ({}, (), {})


def test_an_invalid_airport_is_not_a_removal() -> None:
    bad = {id_: {**body, "psk": ""} for id_, body in accepted(1, 2, 3).items()}
    decision = decided(accepted(1, 2, 3), **bad)
    assert decision.held == ()
    assert decision.kept == {"k1", "k2", "k3"}


def test_what_this_release_can_not_read_any_more_is_forgotten() -> None:
    known = {**accepted(1), "old": {"enabled": True, "mode": "xauth"}, "odd": 5}
    assert list(decide({}, known, FACTS).sites) == ["k1"]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://192.168.9.9/", "is outside the airport's declared LAN 192.168.1.0/24"),
        ("http://192.168.2.9/", "is in the LAN of kczk_vpn, which is another airport's tunnel"),
        ("http://localhost/", "localhost is whichever machine reads it"),
        ("http://192.168.1.010/", "programs read the address differently"),
        ("http://10.9.0.1/", "10.9.0.1 is the hub's own address"),
        (7, "is not a text"),
        ("http://192.168.1.9/", ""),
        ("https://example.org/", ""),
        ("http://8.8.8.8/", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_a_camera_that_cannot_be_reached_as_declared_is_a_warning(url: object, words: str) -> None:
    content = document(kspb=vpn(1), kczk=vpn(2), s51=vpn(3, enabled=False))
    content["airports"]["kspb"]["webcams"] = [{"name": "A"}, {"name": "B", "url": url}]
    content["airports"]["s51"]["webcams"] = [{"url": "nonsense"}]
    hub = HubFacts(HUB_ID, {"address 10.9.0.1": ip_network("10.9.0.1/32")})
    decision = decide(content, {}, hub)
    assert (decision.errors, set(decision.sites)) == ((), {"kspb", "kczk"})
    told = [(fault.path, fault.message) for fault in decision.faults]
    if words:
        [(path, message)] = told
        assert path == "airports.kspb.webcams[1].url"
        assert words in message
    else:
        assert told == []
