"""Clashes between airports: who may keep a name, an identity or a selector that two claim."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from reconciler.core.model import Site
from reconciler.core.selectors import Claims


@dataclass(frozen=True, slots=True)
class Clash:
    """One airport asks for what another one has."""

    airport_id: str
    holder_id: str
    path: str
    message: str


def settle(
    candidates: Mapping[str, Site], kept: Mapping[str, Site], remembered: Mapping[str, Site]
) -> tuple[dict[str, Site], list[Clash]]:
    """Return the sites that can stand together, and the clashes of those that can't.

    What is in force wins, then the order of the file. A changed airport that loses falls back to
    its last good tunnel, which is in force and so claims before any newcomer in the next pass.
    """
    kept, candidates = dict(kept), dict(candidates)
    settled: list[Clash] = []
    while True:
        sites, clashes = _one_pass(_by_precedence(candidates, kept, remembered))
        fallen = _fallen(clashes, kept, remembered)
        if not fallen:
            return sites, settled + clashes
        settled += fallen
        for clash in fallen:
            kept[clash.airport_id] = remembered[clash.airport_id]
            del candidates[clash.airport_id]


def _fallen(
    clashes: Iterable[Clash], kept: Mapping[str, Site], remembered: Mapping[str, Site]
) -> list[Clash]:
    """Pick who falls back now: all who lost to something in force, else the first loser only.

    The others may have lost to a newcomer that falls itself.
    """
    losers = [c for c in clashes if c.airport_id in remembered and c.airport_id not in kept]
    return [c for c in losers if c.holder_id in kept] or losers[:1]


def _by_precedence(
    candidates: Mapping[str, Site], kept: Mapping[str, Site], remembered: Mapping[str, Site]
) -> list[Site]:
    in_force = [site for id_, site in candidates.items() if _same_claims(site, remembered.get(id_))]
    incumbents = {site.airport_id for site in in_force}
    newcomers = [site for id_, site in candidates.items() if id_ not in incumbents]
    return [*kept.values(), *in_force, *newcomers]


def _same_claims(site: Site, before: Site | None) -> bool:
    return before is not None and (
        (site.connection_name, site.remote_id, site.remote_subnets, site.local_subnets)
        == (before.connection_name, before.remote_id, before.remote_subnets, before.local_subnets)
    )


def _one_pass(sites: Iterable[Site]) -> tuple[dict[str, Site], list[Clash]]:
    names: dict[str, str] = {}
    identities: dict[str, str] = {}
    claims = Claims()
    standing: dict[str, Site] = {}
    clashes: list[Clash] = []
    for site in sites:
        clash = _clash(site, names, identities, claims)
        if clash is not None:
            clashes.append(clash)
            continue
        names[site.connection_name] = site.airport_id
        identities[site.remote_id.lower()] = site.airport_id
        claims.take(site)
        standing[site.airport_id] = site
    return standing, clashes


def _clash(
    site: Site, names: Mapping[str, str], identities: Mapping[str, str], claims: Claims
) -> Clash | None:
    path = f"airports.{site.airport_id}.vpn"
    holder = names.get(site.connection_name)
    if holder is not None:
        message = f"{site.connection_name!r} is the name of airport {holder}; choose another"
        return Clash(site.airport_id, holder, f"{path}.connection_name", message)
    holder = identities.get(site.remote_id.lower())
    if holder is not None:
        message = f"{site.remote_id!r} is the identity of airport {holder}; choose another"
        return Clash(site.airport_id, holder, f"{path}.remote_id", message)
    taken = claims.holder(site)
    if taken is not None:
        holder, subnet = taken
        message = f"{subnet} intersects the subnets of airport {holder}; each LAN must be distinct"
        return Clash(site.airport_id, holder, f"{path}.remote_subnet", message)
    return None
