"""Claims against a brute-force oracle: seeded, so a failure can be repeated."""

import random
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import product

import pytest

from reconciler.core.model import IpNetwork, Site
from reconciler.core.selectors import Claims, Overlap, overlaps
from tests.builders import decided, vpn

PATTERN = decided(kspb=vpn()).sites["kspb"]


def site(airport_id: str, remotes: list[IpNetwork], locals_: list[IpNetwork]) -> Site:
    return replace(
        PATTERN,
        airport_id=airport_id,
        remote_subnets=tuple(remotes),
        local_subnets=tuple(locals_),
    )


def random_network(chance: random.Random) -> IpNetwork:
    """Return one of few networks of both families, so that many of them meet."""
    bits = chance.randrange(6)
    if chance.random() < 0.7:
        return IPv4Network((0x0A000000 + (chance.randrange(64) >> bits << bits << 2), 30 - bits))
    first = 0xFD << 120
    return IPv6Network((first + (chance.randrange(64) >> bits << bits << 2), 126 - bits))


def meet(one: IpNetwork, other: IpNetwork) -> bool:
    return one.version == other.version and one.overlaps(other)


def clash(one: Site, other: Site) -> bool:
    return any(
        meet(a, b) and meet(x, y)
        for a, b in product(one.local_subnets, other.local_subnets)
        for x, y in product(one.remote_subnets, other.remote_subnets)
    )


@pytest.mark.parametrize("seed", range(60))
def test_a_claim_is_refused_exactly_when_it_meets_one_that_stands(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - no cryptography here
    claims, standing = Claims(), dict[str, Site]()
    everything: list[IpNetwork] = [ip_network("0.0.0.0/0"), ip_network("::/0")]
    for number in range(40):
        remotes = [random_network(chance) for _ in range(chance.choice([1, 1, 2, 4]))]
        locals_ = [random_network(chance)] if chance.random() < 0.4 else everything
        wanted = site(f"k{number}", remotes, locals_)
        holders = {id_ for id_, other in standing.items() if clash(wanted, other)}
        found = claims.holder(wanted)
        assert (found is not None) == bool(holders), (wanted, standing)
        if found is None:
            claims.take(wanted)
            standing[wanted.airport_id] = wanted
        else:
            assert found[0] in holders
            assert found[1] in wanted.remote_subnets
    assert len(standing) > 3


def test_what_a_site_itself_holds_does_not_stand_in_its_way() -> None:
    claims = Claims()
    own = site("kspb", [ip_network("10.0.0.0/24")], [ip_network("0.0.0.0/0")])
    claims.take(own)
    assert claims.holder(own) is None


def test_a_site_with_nested_subnets_holds_the_whole_of_them() -> None:
    claims = Claims()
    everything: list[IpNetwork] = [ip_network("0.0.0.0/0")]
    nested: list[IpNetwork] = [ip_network("10.0.0.0/24"), ip_network("10.0.0.0/16")]
    claims.take(site("kspb", nested, everything))
    other = site("kczk", [ip_network("10.0.9.0/24")], everything)
    assert claims.holder(other) == ("kspb", ip_network("10.0.9.0/24"))


@pytest.mark.parametrize("seed", range(20))
def test_overlaps_are_those_that_comparing_each_with_each_finds(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    own = site("kspb", [random_network(chance) for _ in range(3)], [])
    hub = {f"network {n}": random_network(chance) for n in range(10)}
    expected = {
        Overlap(remote, name, network, set(network) <= set(remote))
        for remote, (name, network) in product(own.remote_subnets, hub.items())
        if meet(remote, network)
    }
    assert set(overlaps(own, hub)) == expected
