"""The fake charon with sites that have keys and minds of their own, with time, and with a restart.

tests/site_contract.py holds what is said here about charon to the real one.
"""

from base64 import b64decode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from reconciler.core.model import IpNetwork
from reconciler.core.observed import ChildSa, IkeSa
from reconciler.errors import IkeRefused
from tests.fake_ike import FakeIke

Settings = Mapping[str, Any]
# What charon gives up after: its retransmissions, its dead peer detection, an old CHILD_SA.
_GIVES_UP_S = 16
_NOTICES_DEAD_PEER_S = 36
_KEEPS_REKEYED_S = 5
_LISTS = {"proposals", "local_addrs", "remote_addrs", "esp_proposals", "local_ts", "remote_ts"}


@dataclass(eq=False)
class FakeSite:
    """A router far away. `holds`: the IKE_SAs that it knows of, by the hub's unique ids."""

    identity: str
    psk: bytes
    lans: tuple[IpNetwork, ...]
    address: str = "198.51.100.7"
    refuses_children: bool = False
    can_be_dialled: bool = True
    holds: set[str] = field(default_factory=set)


@dataclass
class FakeCharon(FakeIke):
    """A hub whose sites are `sites`.

    Attributes:
        built: what each IKE_SA goes by; charon replaces it only if nothing but children changed.
        ends: seconds until an IKE_SA is given up, by unique id.
        refused: connections whose site had no use for the key that the hub answered with.

    """

    sites: list[FakeSite] = field(default_factory=list)
    built: dict[str, Settings] = field(default_factory=dict)
    ends: dict[str, float] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)

    # What the hub is told.

    def load_connection(self, name: str, settings: Settings) -> None:
        under_way = [sa for sa in self.sas if sa.name == name and not sa.live]
        before = {sa.unique_id for sa in self.sas}
        super().load_connection(name, settings)
        self.sas += [sa for sa in under_way if sa not in self.sas]
        self._forget(before)
        for sa in self._named(name):
            if _peer(self._built(sa)) == _peer(settings):
                self.built[sa.unique_id] = settings

    def unload_connection(self, name: str) -> None:
        before = {sa.unique_id for sa in self.sas}
        super().unload_connection(name)
        self._forget(before)

    def load_secret(self, secret_id: str, owner: str, psk: bytes) -> None:
        self.secrets.pop(secret_id, None)  # the one loaded last comes last
        super().load_secret(secret_id, owner, psk)

    def start_child(self, name: str, child_name: str) -> None:
        self._request("start_child", f"{name} {child_name}")
        settings = self.connections.get(name)
        if settings is None or child_name not in settings["children"]:
            raise IkeRefused(f"CHILD_SA config '{child_name}' not found")
        sa = next((sa for sa in self._named(name) if self._goes_by(sa, settings)), None)
        if sa is not None:
            self._ask_for_child(sa, child_name)
        elif settings["remote_addrs"] == ["%any"]:
            raise IkeRefused(f"establishing CHILD_SA '{child_name}' failed")
        else:
            self._dial(name, settings)
        self._done()

    def end_ike(self, unique_id: str) -> None:
        found = [sa for sa in self.sas if sa.unique_id == unique_id]
        super().end_ike(unique_id)
        for sa in found:
            if sa.live and self.holder(sa) is None:
                # Nobody answers the goodbye.
                self.sas.append(replace(sa, state="DELETING"))
                self.ends[sa.unique_id] = min(self.ends.get(unique_id, _GIVES_UP_S), _GIVES_UP_S)
            else:
                self._gone(sa)

    def end_all(self, name: str) -> None:
        found = self._named(name)
        super().end_all(name)
        for sa in found:
            self._gone(sa)

    # What the sites do.

    def dial(self, site: FakeSite, *, initial_contact: bool = True) -> bool:
        """Let the site dial in. True: the tunnel is up."""
        name = self._candidate(site)
        if name is None or site.psk not in self._keys(site.identity):
            return False
        settings = self.connections[name]
        self._replace(name, site, settings, initial_contact=initial_contact)
        if self._keys(site.identity)[-1] != site.psk:
            self.refused.append(name)  # the hub proves itself with the key that was loaded last
            return False
        child = self._negotiate(settings, next(iter(settings["children"])), site)
        if child is None:
            return False  # close_ike_on_child_failure
        self._establish(name, settings, site, child, initiator=False)
        return True

    def hang_up(self, site: FakeSite) -> None:
        """Say goodbye for every IKE_SA of the site."""
        for sa in self.held_by(site):
            self.sas.remove(sa)
            self._gone(sa)

    def vanish(self, site: FakeSite) -> None:
        """Lose power: the hub's side stays until it is noticed."""
        for unique_id in site.holds:
            self.ends[unique_id] = _NOTICES_DEAD_PEER_S
        site.holds.clear()

    def open_child(self, site: FakeSite) -> None:
        """Ask for one more CHILD_SA over each IKE_SA of the site."""
        for sa in self.held_by(site):
            settings = self._built(sa)
            child = self._negotiate(settings, next(iter(settings["children"])), site)
            if sa.live and child is not None:
                self._put(sa, (*sa.children, child))

    def close_child(self, site: FakeSite) -> None:
        """End the first CHILD_SA of each IKE_SA of the site; the IKE_SAs stay."""
        for sa in self.held_by(site):
            self._put(sa, sa.children[1:])

    def renew_ike(self, site: FakeSite) -> None:
        """Renew each IKE_SA of the site: the same one under another id."""
        for sa in self.held_by(site):
            self._renew(sa)

    def rekey_ike(self, unique_id: str) -> None:
        self._request("rekey_ike", unique_id)
        for sa in [sa for sa in self.sas if sa.unique_id == unique_id and self.holder(sa)]:
            self._renew(sa)
        self._done()

    def _renew(self, sa: IkeSa) -> None:
        site = self.holder(sa)
        made = replace(sa, unique_id=self._id(), established_s=0, spi=self._spi())
        self.sas[self.sas.index(sa)] = made
        self.built[made.unique_id] = self._built(sa)
        self._gone(sa)
        if site is not None:
            site.holds.add(made.unique_id)

    def renew_children(self, site: FakeSite) -> None:
        """Renew each CHILD_SA of the site; the old ones linger for a while."""
        for sa in self.held_by(site):
            old = [replace(c, state="DELETED", installed_s=0) for c in sa.children if c.carrying]
            new = [self._anew(c) for c in sa.children if c.carrying]
            self._put(sa, (*[c for c in sa.children if not c.carrying], *old, *new))

    def duplicate(self, site: FakeSite) -> None:
        """Let a second IKE_SA of the site come up beside the first, as in a race of both sides."""
        for sa in self.held_by(site)[:1]:
            children = tuple(self._anew(c) for c in sa.children)
            spi = self._spi()
            made = replace(sa, unique_id=self._id(), established_s=0, children=children, spi=spi)
            self.sas.append(made)
            self.built[made.unique_id] = self._built(sa)
            site.holds.add(made.unique_id)

    def held_by(self, site: FakeSite) -> list[IkeSa]:
        """Return the IKE_SAs that both sides know of."""
        return [sa for sa in self.sas if sa.unique_id in site.holds]

    def holder(self, sa: IkeSa) -> FakeSite | None:
        """Return the site at the other end, if one knows of it."""
        return next((site for site in self.sites if sa.unique_id in site.holds), None)

    # What happens by itself.

    def age(self, seconds: float) -> None:
        """Let time pass."""
        self.ends = {unique_id: left - seconds for unique_id, left in self.ends.items()}
        over = [sa for sa in self.sas if self.ends.get(sa.unique_id, 1) <= 0]
        self.sas = [_older(sa, int(seconds)) for sa in self.sas if sa not in over]
        for sa in over:
            self._gone(sa)

    def restart(self, now: int, saved: Path | None = None) -> None:
        """Play `kill -9` of charon; `saved` is the file that it loads at its start."""
        super().restart(now)
        self.built, self.ends = {}, {}
        for site in self.sites:
            site.holds.clear()
        if saved is not None and saved.exists():
            self.connections, self.secrets = read_saved(saved.read_text())

    def _candidate(self, site: FakeSite) -> str | None:
        """Pick the connection by identity; one for that very address goes before `%any`."""
        fitting = [
            (settings["remote_addrs"] == ["%any"], name)
            for name, settings in self.connections.items()
            if settings.get("remote", {}).get("id", "").lower() == site.identity.lower()
            and settings["remote_addrs"] in (["%any"], [site.address])
        ]
        return min(fitting, key=lambda one: one[0])[1] if fitting else None

    def _keys(self, identity: str) -> list[bytes]:
        """Return the keys of an identity, the one loaded last at the end."""
        return [k for owner, k in self.secrets.values() if owner.lower() == identity.lower()]

    def _replace(
        self, name: str, site: FakeSite, settings: Settings, *, initial_contact: bool
    ) -> None:
        """End older IKE_SAs of the same two parties.

        With `unique = replace` those of an equal configuration, with INITIAL_CONTACT all.
        """
        for sa in list(self.sas):
            same = sa.remote_id.lower() == site.identity.lower() and sa.live
            equal = sa.name == name and _peer(self._built(sa)) == _peer(settings)
            if same and (initial_contact or (equal and settings.get("unique") == "replace")):
                self.sas.remove(sa)
                self._gone(sa)

    def _negotiate(self, settings: Settings, child_name: str, site: FakeSite) -> ChildSa | None:
        """Narrow the selectors to what both sides have; None if that is nothing."""
        child = settings["children"][child_name]
        remote = _in_common(map(ip_network, child["remote_ts"]), site.lans)
        if not remote or site.refuses_children:
            return None
        made = self._child(child_name, settings)
        return replace(made, remote_subnets=remote, installed_s=0)

    def _establish(
        self, name: str, settings: Settings, site: FakeSite, child: ChildSa, *, initiator: bool
    ) -> None:
        unique_id = self._id()
        sa = IkeSa(name, unique_id, "ESTABLISHED", site.address, 4500, site.identity, initiator)
        self.sas.append(replace(sa, children=(child,), spi=self._spi()))
        self.built[unique_id] = settings
        site.holds.add(unique_id)

    def _ask_for_child(self, sa: IkeSa, child_name: str) -> None:
        site = self.holder(sa)
        if site is None:
            self.ends[sa.unique_id] = min(self.ends.get(sa.unique_id, _GIVES_UP_S), _GIVES_UP_S)
            return
        child = self._negotiate(self.connections[sa.name], child_name, site)
        if child is not None:
            self._put(sa, (*sa.children, child))

    def _dial(self, name: str, settings: Settings) -> None:
        """Dial a declared address. What nobody answers is negotiated for a while."""
        identity = settings["remote"]["id"]
        key = (self._keys(identity) or [b""])[-1]
        there = [
            site
            for site in self.sites
            if site.can_be_dialled and settings["remote_addrs"] == [site.address]
        ]
        for site in there:
            if site.psk != key:
                self.refused.append(name)
            elif site.identity.lower() == identity.lower():
                child = self._negotiate(settings, next(iter(settings["children"])), site)
                if child is not None:
                    self._establish(name, settings, site, child, initiator=True)
        if not there:
            address = settings["remote_addrs"][0]
            sa = IkeSa(name, self._id(), "CONNECTING", address, 500, spi=self._spi())
            self.sas.append(sa)
            self.ends[sa.unique_id] = _GIVES_UP_S

    def _goes_by(self, sa: IkeSa, settings: Settings) -> bool:
        return sa.state == "ESTABLISHED" and _peer(self._built(sa)) == _peer(settings)

    def _built(self, sa: IkeSa) -> Settings:
        return self.built.get(sa.unique_id, {})

    def _named(self, name: str) -> list[IkeSa]:
        return [sa for sa in self.sas if sa.name == name]

    def _forget(self, before: Iterable[str]) -> None:
        """Tell the sites about IKE_SAs that are no more."""
        for unique_id in set(before) - {sa.unique_id for sa in self.sas}:
            self._lost(unique_id)

    def _gone(self, sa: IkeSa) -> None:
        self._lost(sa.unique_id)

    def _lost(self, unique_id: str) -> None:
        self.ends.pop(unique_id, None)
        for site in self.sites:
            site.holds.discard(unique_id)


def read_saved(text: str) -> tuple[dict[str, Settings], dict[str, tuple[str, bytes]]]:
    """Read the swanctl.conf of the reconciler as swanctl does: connections and secrets."""
    sections = _sections(iter(text.splitlines()))
    secrets = {
        id_: (one["id"], b64decode(one["secret"].removeprefix("0s")))
        for id_, one in sections.get("secrets", {}).items()
    }
    return sections.get("connections", {}), secrets


def _sections(lines: Iterable[str]) -> dict[str, Any]:
    """Read sections up to the brace that closes the present one."""
    found: dict[str, Any] = {}
    lines = iter(lines)
    for line in lines:
        words = line.strip()
        if words == "}":
            break
        if words.endswith("{"):
            found[words[:-1].strip()] = _sections(lines)
        elif words and not words.startswith("#"):
            key, _, value = words.partition(" = ")
            text = value.strip('"')
            found[key] = text.split(",") if key in _LISTS else text
    return found


def _peer(settings: Settings) -> dict[str, Any]:
    """Return what charon compares when it asks whether a connection was replaced or updated."""
    return {key: value for key, value in settings.items() if key != "children"}


def _in_common(declared: Iterable[IpNetwork], lans: Iterable[IpNetwork]) -> tuple[IpNetwork, ...]:
    lans = tuple(lans)
    pairs = [(one, lan) for one in declared for lan in lans if one.version == lan.version]
    return tuple(
        max(one, lan, key=lambda network: network.prefixlen)
        for one, lan in pairs
        if one.overlaps(lan)
    )


def _older(sa: IkeSa, seconds: int) -> IkeSa:
    children = (replace(c, installed_s=c.installed_s + seconds) for c in sa.children)
    kept = tuple(c for c in children if c.state != "DELETED" or c.installed_s < _KEEPS_REKEYED_S)
    return replace(sa, established_s=sa.established_s + seconds, children=kept)
