"""settle() over a small world, enumerated completely.

Three airports; each stands in the file with one of four subnets, or is invalid, or is gone; each
had one of those subnets before, or nothing. Two of the subnets lie inside a third.
"""

from collections.abc import Iterator, Mapping
from itertools import combinations, product

import pytest

from reconciler.core.model import Site
from reconciler.core.settle import Clash, settle
from tests.builders import decided, vpn

AIRPORTS = ("a", "b", "c")
SUBNETS = ("10.0.0.0/24", "10.0.1.0/24", "10.0.0.0/23", "10.0.2.0/24")
INVALID, GONE, NEVER = "invalid", "gone", "never"


def made(airport_id: str, subnet: str) -> Site:
    return decided(**{airport_id: vpn(remote_subnet=subnet)}).sites[airport_id]


SITES = {(id_, subnet): made(id_, subnet) for id_ in AIRPORTS for subnet in SUBNETS}


def intersect(one: Site, other: Site) -> bool:
    return any(
        a.version == b.version and a.overlaps(b)
        for a, b in product(one.remote_subnets, other.remote_subnets)
    )


MEETS = {
    (one, other): intersect(SITES[one], SITES[other]) for one, other in product(SITES, repeat=2)
}
Chosen = tuple[str, ...]


def by_id(chosen: Chosen) -> dict[str, Site]:
    pairs = zip(AIRPORTS, chosen, strict=True)
    return {id_: SITES[id_, subnet] for id_, subnet in pairs if subnet in SUBNETS}


def worlds() -> Iterator[tuple[Chosen, Chosen]]:
    """Yield (what the file says, what was accepted before) by airport."""
    files = [*product([*SUBNETS, INVALID, GONE], repeat=3)]
    befores = [*product([*SUBNETS, NEVER], repeat=3)]
    for before in befores:
        keys = [(id_, s) for id_, s in zip(AIRPORTS, before, strict=True) if s in SUBNETS]
        if not any(MEETS[pair] for pair in combinations(keys, 2)):
            for file in files:
                yield file, before


def kept_of(file: Chosen, remembered: Mapping[str, Site]) -> dict[str, Site]:
    said = zip(AIRPORTS, file, strict=True)
    return {id_: remembered[id_] for id_, what in said if what == INVALID and id_ in remembered}


def key(site: Site) -> tuple[str, str]:
    return site.airport_id, str(site.remote_subnets[0])


def test_no_two_sites_ever_intersect() -> None:
    for file, before in worlds():
        remembered = by_id(before)
        sites, _ = settle(by_id(file), kept_of(file, remembered), remembered)
        keys = map(key, sites.values())
        assert not any(MEETS[pair] for pair in combinations(keys, 2)), (file, before)


def test_what_did_not_change_is_never_lost() -> None:
    for file, before in worlds():
        candidates, remembered = by_id(file), by_id(before)
        kept = kept_of(file, remembered)
        sites, _ = settle(candidates, kept, remembered)
        for id_, site in remembered.items():
            if id_ in kept or candidates.get(id_) == site:
                assert sites.get(id_) == site, (file, before)


def test_no_airport_that_is_still_in_the_file_loses_its_tunnel_to_another_one() -> None:
    for file, before in worlds():
        candidates, remembered = by_id(file), by_id(before)
        sites, _ = settle(candidates, kept_of(file, remembered), remembered)
        for id_ in candidates.keys() & remembered.keys():
            assert sites.get(id_) in (candidates[id_], remembered[id_]), (file, before)


def test_an_airport_that_is_gone_from_the_file_is_gone() -> None:
    for file, before in worlds():
        candidates, remembered = by_id(file), by_id(before)
        kept = kept_of(file, remembered)
        sites, _ = settle(candidates, kept, remembered)
        assert sites.keys() <= candidates.keys() | kept.keys(), (file, before)


def test_deciding_again_with_the_result_accepted_changes_nothing() -> None:
    for file, before in worlds():
        candidates, remembered = by_id(file), by_id(before)
        sites, clashes = settle(candidates, kept_of(file, remembered), remembered)
        again, clashes_again = settle(candidates, kept_of(file, sites), sites)
        assert again == sites, (file, before)
        assert refused(clashes_again) == refused(clashes), (file, before)


def refused(clashes: list[Clash]) -> set[str]:
    return {clash.airport_id for clash in clashes}


def test_who_is_refused_is_told_once_and_who_is_not_refused_is_not_told() -> None:
    for file, before in worlds():
        candidates, remembered = by_id(file), by_id(before)
        sites, clashes = settle(candidates, kept_of(file, remembered), remembered)
        assert sorted(clash.airport_id for clash in clashes) == sorted(
            id_ for id_, site in candidates.items() if sites.get(id_) != site
        ), (file, before)


def test_a_refusal_names_an_airport_that_has_or_declares_the_same() -> None:
    for file, before in worlds():
        candidates, remembered = by_id(file), by_id(before)
        sites, clashes = settle(candidates, kept_of(file, remembered), remembered)
        for clash in clashes:
            theirs = [w[clash.holder_id] for w in (sites, candidates) if clash.holder_id in w]
            wanted = candidates[clash.airport_id]
            assert any(MEETS[key(wanted), key(their)] for their in theirs), (file, before)
            assert f"airport {clash.holder_id};" in clash.message


@pytest.mark.parametrize("clashing", ["connection_name", "remote_id"])
def test_names_and_identities_are_settled_like_subnets(clashing: str) -> None:
    """Newcomer first in the file, incumbent unchanged, a third one that changes into a clash."""
    before = {"b": vpn(2, **{clashing: "wanted"}), "c": vpn(3)}
    decision = decided(
        before,
        a=vpn(1, **{clashing: "wanted"}),
        b=vpn(2, **{clashing: "wanted"}),
        c=vpn(3, **{clashing: "wanted"}),
    )
    assert [(fault.airport_id, fault.path) for fault in decision.errors] == [
        ("c", f"airports.c.vpn.{clashing}"),
        ("a", f"airports.a.vpn.{clashing}"),
    ]
    assert decision.accepted == before
