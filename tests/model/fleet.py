"""What the operator wants and writes: good declarations, slips, and files that can't be read."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from itertools import permutations
from typing import Any

from reconciler.core.model import IpNetwork
from tests.builders import document, vpn

AIRPORTS = ("kspb", "kczk", "s51", "kxyz", "kabc", "kdef")
# Values of fields that are good in themselves; two airports with the same may still clash.
GOOD: Mapping[str, tuple[Any, ...]] = {
    "remote_subnet": (
        *(f"192.168.{n}.0/24" for n in range(1, 8)),
        *(["192.168.2.0/24", "10.2.0.0/24"], ["192.168.8.128/25"], "192.168.3.0/25"),
        *("192.168.0.0/22", ["192.168.9.0/24", "fd00:9::/64"]),
    ),
    "psk": tuple(f"another-good-pre-shared-key-{n}" for n in range(4)),
    "next_psk": (None, *(f"another-good-pre-shared-key-{n}" for n in range(2, 6))),
    "rekey_after": (None, 1_700_000_050, "1700000400", 1_700_003_000),
    "local_subnet": (None, "10.255.0.0/24", "0.0.0.0/0"),
    "remote_id": (None, "router-1.example", "Router-2.example"),
    "remote_address": (None, "198.51.100.1", "198.51.100.2"),
    "encryption": ("aes256gcm128", "aes128gcm128", "aes256-sha256"),
    "dh_group": (14, "15", 19),
    "lifetime": (3600, "7200"),
    "connection_name": (None, "alpha", "beta", "kczk_vpn", "s51_vpn"),
}
BAD: Mapping[str, tuple[Any, ...]] = {
    "remote_subnet": ("192.168.1.1/24", [], "127.0.0.0/8", 7),
    "psk": ("", None, "a\nb"),
    "remote_id": ("*", "vpn.aviationwx.org"),
    "remote_address": ("0.0.0.0", "router.example"),  # noqa: S104 - a declaration
    "encryption": ("rot13",),
    "dh_group": (32, "many"),
    "lifetime": (5,),
    "connection_name": ("~", "up"),
    "remote_subnett": ("192.168.1.0/24",),
    "type": ("wireguard",),
}
UNREADABLE = ("", "{", "[]", '{"airports": []}', "\xff", None)  # None: the file is not there


@dataclass
class Fleet:
    """Declarations by airport.

    Attributes:
        good: `vpn` objects that are right in themselves.
        slips: what was written over them and is wrong.
        omitted: airports that are left out by mistake: so many at once that it must be held.
        unreadable: what stands in the file instead; () while it is readable.

    """

    good: dict[str, dict[str, Any]] = field(default_factory=dict)
    slips: dict[str, dict[str, Any]] = field(default_factory=dict)
    omitted: set[str] = field(default_factory=set)
    unreadable: tuple[str | None, ...] = ()
    mendings: int = 0

    def text(self) -> str | None:
        """Return what stands in airports.json; None: it does not exist."""
        if self.unreadable:
            return self.unreadable[0]
        written = {
            id_: body | self.slips.get(id_, {})
            for id_, body in self.good.items()
            if id_ not in self.omitted
        }
        return json.dumps(document(**written))

    def add(self, airport: str) -> None:
        """Declare an airport, or switch it on again as it was."""
        number = AIRPORTS.index(airport) + 1
        self.good[airport] = self.good.get(airport, vpn(number)) | {"enabled": True}

    def change(self, airport: str, key: str, value: object) -> None:
        """Change one key of one airport; None takes the key away."""
        body = {k: v for k, v in self.good[airport].items() if k != key}
        body |= {} if value is None else {key: value}
        if any(subnet.version == 6 for subnet in subnets_of(body)):
            body.pop("local_subnet", None)  # those there are of the other family
        self.good[airport] = body

    @property
    def declared(self) -> dict[str, dict[str, Any]]:
        """The airports that shall have a tunnel."""
        return {id_: body for id_, body in self.good.items() if body["enabled"]}

    def clashing(self) -> set[str]:
        """Name the airports that ask for something that another one asks for, too."""
        found = set()
        for one, other in permutations(self.declared, 2):
            claimed = Claimed()
            claimed.take(other, self.good[other])
            if claimed.clashes(one, self.good[one]):
                found.add(one)
        return found

    def take_slips_back(self) -> None:
        """Write what was meant."""
        self.slips, self.omitted, self.unreadable = {}, set(), ()

    def mend(self, edited: Iterable[str]) -> list[str]:
        """Take slips back, and settle clashes to the disadvantage of edited airports."""
        self.take_slips_back()
        mended = []
        claimed = Claimed()
        edited = set(edited)
        for airport in sorted(self.declared, key=lambda id_: (id_ in edited, id_)):
            if self._mend(airport, claimed):
                mended.append(airport)
            claimed.take(airport, self.good[airport])
        return mended

    def _mend(self, airport: str, claimed: "Claimed") -> bool:
        before = dict(self.good[airport])
        self.mendings += 1
        if name_of(airport, before) in claimed.names:
            self.change(airport, "connection_name", f"mended-{self.mendings}")
        if id_of(airport, before).lower() in claimed.identities:
            self.change(airport, "remote_id", f"mended-{self.mendings}.example")
        if claimed.overlaps(subnets_of(before)):
            high, low = divmod(self.mendings, 256)
            self.change(airport, "remote_subnet", f"172.{16 + high}.{low}.0/24")
        return self.good[airport] != before


@dataclass
class Claimed:
    """What airports have taken that no other may have."""

    names: set[str] = field(default_factory=set)
    identities: set[str] = field(default_factory=set)
    subnets: list[IpNetwork] = field(default_factory=list)

    def take(self, airport: str, body: Mapping[str, Any]) -> None:
        self.names.add(name_of(airport, body))
        self.identities.add(id_of(airport, body).lower())
        self.subnets += subnets_of(body)

    def clashes(self, airport: str, body: Mapping[str, Any]) -> bool:
        return (
            name_of(airport, body) in self.names
            or id_of(airport, body).lower() in self.identities
            or self.overlaps(subnets_of(body))
        )

    def overlaps(self, subnets: Iterable[IpNetwork]) -> bool:
        return any(
            one.version == taken.version and one.overlaps(taken)
            for one in subnets
            for taken in self.subnets
        )


def name_of(airport: str, body: Mapping[str, Any]) -> str:
    return str(body.get("connection_name") or f"{airport}_vpn")


def id_of(airport: str, body: Mapping[str, Any]) -> str:
    return str(body.get("remote_id") or f"{airport}.remote")


def keys_of(body: Mapping[str, Any]) -> list[bytes]:
    """Return the keys that a site may use."""
    return [key.encode() for key in dict.fromkeys((body["psk"], body.get("next_psk"))) if key]


def subnets_of(body: Mapping[str, Any]) -> list[IpNetwork]:
    declared = body["remote_subnet"]
    return [ip_network(one) for one in (declared if isinstance(declared, list) else [declared])]
