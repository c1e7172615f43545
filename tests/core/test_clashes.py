"""Two airports that want the same: who is refused, and what stays in force (decisions 11, 15)."""

from itertools import permutations
from typing import Any

import pytest

from reconciler.core.check import Decision, decide
from tests.builders import FACTS, decided, document, vpn


def errors(decision: Decision) -> list[str]:
    return list(map(str, decision.errors))


def subnets(decision: Decision) -> dict[str, str]:
    return {id_: ",".join(map(str, site.remote_subnets)) for id_, site in decision.sites.items()}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param("10.1.0.0/16", "10.1.0.0/16", id="equal"),
        pytest.param("10.0.0.0/8", "10.1.0.0/16", id="second inside first"),
        pytest.param("10.1.0.0/16", "10.0.0.0/8", id="first inside second"),
        pytest.param(["172.16.0.0/24", "10.1.0.0/16"], "10.1.9.0/24", id="member of a list"),
        pytest.param("10.1.9.0/24", ["172.16.0.0/24", "10.1.0.0/16"], id="list has it"),
        pytest.param(["10.1.0.0/24", "10.1.0.0/16"], "10.1.9.0/24", id="nested in itself"),
        pytest.param("fd00:1::/64", "fd00::/16", id="IPv6"),
        pytest.param(["192.168.1.0/24", "fd00:1::/64"], "fd00:1::/80", id="both families"),
    ],
)
def test_intersecting_selectors_are_refused_for_the_later_one_naming_both(
    first: Any, second: Any
) -> None:
    decision = decided(kspb=vpn(remote_subnet=first), kczk=vpn(remote_subnet=second))
    assert list(decision.sites) == ["kspb"]
    assert len(decision.errors) == 1
    assert decision.errors[0].path == "airports.kczk.vpn.remote_subnet"
    assert "airport kspb" in decision.errors[0].message


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"remote_subnet": "10.1.0.0/16"}, {"remote_subnet": "10.2.0.0/16"}),
        ({"remote_subnet": "10.0.0.0/9"}, {"remote_subnet": "10.128.0.0/9"}),
        ({"remote_subnet": "10.1.0.0/16"}, {"remote_subnet": "fd00::/16"}),
        (
            {"remote_subnet": "10.1.0.0/16", "local_subnet": "172.16.1.0/24"},
            {"remote_subnet": "10.1.0.0/16", "local_subnet": "172.16.2.0/24"},
        ),
    ],
)
def test_selectors_that_do_not_intersect_stand_beside_each_other(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    decision = decided(kspb=vpn(**first), kczk=vpn(**second))
    assert (list(decision.sites), decision.faults) == (["kspb", "kczk"], ())


@pytest.mark.parametrize("local", ["172.16.1.0/24", "172.16.0.0/12", "172.16.1.128/25", ...])
def test_equal_lans_with_intersecting_local_subnets_are_refused(local: Any) -> None:
    decision = decided(
        kspb=vpn(remote_subnet="10.1.0.0/16", local_subnet="172.16.1.0/24"),
        kczk=vpn(remote_subnet="10.1.0.0/16", local_subnet=local),
    )
    assert list(decision.sites) == ["kspb"]


def test_a_name_that_is_taken_is_refused_naming_the_holder() -> None:
    decision = decided(kspb=vpn(1), kczk=vpn(2, connection_name="kspb_vpn"))
    assert errors(decision) == [
        "airports.kczk.vpn.connection_name: 'kspb_vpn' is the name of airport kspb; choose another"
    ]


@pytest.mark.parametrize("identity", ["kspb.remote", "KSPB.Remote"], ids=repr)
def test_an_identity_that_is_taken_is_refused_whatever_its_case(identity: str) -> None:
    """Else one site could take the other's place: charon compares identities without case."""
    decision = decided(kspb=vpn(1), kczk=vpn(2, remote_id=identity))
    assert errors(decision) == [
        f"airports.kczk.vpn.remote_id: {identity!r} is the identity of airport kspb; choose another"
    ]


@pytest.mark.parametrize(("first", "second"), [("kspb", "KSPB"), ("KSPB", "kspb")])
def test_airports_whose_ids_differ_in_case_only_clash_in_their_identity(
    first: str, second: str
) -> None:
    assert list(decided(**{first: vpn(1), second: vpn(2)}).sites) == [first]


def test_an_invalid_airport_keeps_its_last_good_tunnel_and_the_others_change() -> None:
    decision = decided(
        {"k1": vpn(1), "k2": vpn(2)}, k1=vpn(1, psk=""), k2=vpn(22), k3=vpn(3, dh_group=15)
    )
    assert subnets(decision) == {
        "k1": "192.168.1.0/24",
        "k2": "192.168.22.0/24",
        "k3": "192.168.3.0/24",
    }
    assert decision.kept == {"k1"}
    assert decision.accepted == {"k1": vpn(1), "k2": vpn(22), "k3": vpn(3, dh_group=15)}


def test_an_airport_that_never_was_valid_has_no_tunnel() -> None:
    decision = decided({"k1": vpn(1)}, k1=vpn(1), k2=vpn(2, psk=""))
    assert (list(decision.sites), decision.kept) == (["k1"], frozenset())


def test_an_airport_that_changes_into_a_clash_keeps_what_it_had() -> None:
    decision = decided({"k1": vpn(1), "k2": vpn(2)}, k1=vpn(1), k2=vpn(1))
    assert subnets(decision) == {"k1": "192.168.1.0/24", "k2": "192.168.2.0/24"}
    assert decision.kept == decision.invalid == {"k2"}
    assert decision.accepted["k2"] == vpn(2)


def test_two_airports_may_swap_their_subnets() -> None:
    decision = decided({"k1": vpn(1), "k2": vpn(2)}, k1=vpn(2), k2=vpn(1))
    assert (subnets(decision), decision.errors) == (
        {"k1": "192.168.2.0/24", "k2": "192.168.1.0/24"},
        (),
    )


def test_a_newcomer_does_not_get_the_subnet_that_an_invalid_airport_keeps() -> None:
    decision = decided({"k1": vpn(1)}, new=vpn(1), k1=vpn(1, psk=""))
    assert subnets(decision) == {"k1": "192.168.1.0/24"}
    assert sorted(fault.path for fault in decision.errors) == [
        "airports.k1.vpn.psk",
        "airports.new.vpn.remote_subnet",
    ]


def test_a_newcomer_does_not_get_the_subnet_of_an_airport_that_falls_back() -> None:
    decision = decided({"k1": vpn(1), "k2": vpn(2)}, new=vpn(1), k1=vpn(2), k2=vpn(2))
    assert subnets(decision) == {"k1": "192.168.1.0/24", "k2": "192.168.2.0/24"}
    assert decision.invalid == {"new", "k1"}


def test_who_lost_only_to_one_that_falls_back_itself_gets_what_it_wants() -> None:
    before = {"k1": vpn(2), "k2": vpn(0), "k3": vpn(3)}
    wide = vpn(0, remote_subnet="192.168.0.0/23")
    decision = decided(before, k1=wide, k2=vpn(1), k3=vpn(1))
    assert subnets(decision) == {
        "k1": "192.168.2.0/24",
        "k2": "192.168.0.0/24",
        "k3": "192.168.1.0/24",
    }
    assert decision.invalid == {"k1", "k2"}


def test_a_newcomer_gets_the_subnet_that_another_one_gives_up() -> None:
    decision = decided({"k1": vpn(1)}, new=vpn(1), k1=vpn(2))
    assert (subnets(decision), decision.errors) == (
        {"new": "192.168.1.0/24", "k1": "192.168.2.0/24"},
        (),
    )


def test_a_newcomer_waits_while_a_removal_is_held() -> None:
    before = {f"k{n}": vpn(n) for n in range(1, 5)}
    decision = decided(before, new=vpn(1))
    assert decision.held == tuple(before)
    assert subnets(decision) == {f"k{n}": f"192.168.{n}.0/24" for n in range(1, 5)}
    assert decision.invalid == {"new"}


@pytest.mark.parametrize("order", [*permutations(["k1", "k2", "new"])], ids=" ".join)
def test_the_order_of_the_file_takes_nothing_from_what_is_in_force(order: tuple[str, ...]) -> None:
    bodies = {"k1": vpn(1), "k2": vpn(2), "new": vpn(2)}
    decision = decided({"k1": vpn(1), "k2": vpn(2)}, **{id_: bodies[id_] for id_ in order})
    assert subnets(decision) == {"k1": "192.168.1.0/24", "k2": "192.168.2.0/24"}
    assert decision.invalid == {"new"}


@pytest.mark.parametrize("order", [*permutations(["a", "b", "c"])], ids=" ".join)
def test_among_newcomers_the_first_in_the_file_wins(order: tuple[str, ...]) -> None:
    decision = decided(**{id_: vpn(7) for id_ in order})
    assert list(decision.sites) == [order[0]]
    assert decision.invalid == set(order[1:])


def test_a_new_key_for_an_airport_in_force_is_no_new_claim() -> None:
    rekeyed = vpn(1, psk="a-new-and-quite-long-key")
    decision = decided({"k1": vpn(1)}, new=vpn(1), k1=rekeyed)
    assert (list(decision.sites), decision.accepted) == (["k1"], {"k1": rekeyed})


def test_a_good_file_after_a_bad_one_clears_every_fault() -> None:
    first = decided({"k1": vpn(1), "k2": vpn(2)}, k1=vpn(1, psk=""), k2=vpn(1))
    assert first.invalid == {"k1", "k2"}
    second = decide(document(k1=vpn(11), k2=vpn(1)), first.accepted, FACTS)
    assert (second.faults, second.kept) == ((), frozenset())
    assert subnets(second) == {"k1": "192.168.11.0/24", "k2": "192.168.1.0/24"}
