"""A new airport: what is put into airports.json for it, and what is still to be done."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.core.far_side import FarSide
from reconciler.core.json_text import add_element, add_member, remove_member
from reconciler.core.model import Site

_EMPTY = '{\n  "airports": {}\n}\n'


@dataclass(frozen=True, slots=True)
class NewSite:
    """What is to be declared: the tunnel, and the airport around it if that is new.

    Attributes:
        known: the airport stands in the file already.
        has_cameras: and has a list of cameras.
        name: its name, if it is new.
        vpn: the `vpn` object.
        cameras: to be added to `webcams`.

    """

    airport_id: str
    known: bool
    has_cameras: bool
    name: str
    vpn: Mapping[str, Any]
    cameras: tuple[Mapping[str, str], ...]

    @property
    def airport(self) -> dict[str, Any]:
        """The part of the airport that is new."""
        named = {} if self.known or not self.name else {"name": self.name}
        cameras = [dict(camera) for camera in self.cameras]
        return {**named, "vpn": dict(self.vpn), **({"webcams": cameras} if cameras else {})}


def with_site(text: str, new: NewSite) -> str:
    """Return the text of airports.json with the new tunnel in it. Raises JsonTextError."""
    text = text if text.strip() else _EMPTY
    airport, place = new.airport, ("airports", new.airport_id)
    if not new.known:
        return add_member(text, ["airports"], new.airport_id, airport)
    text = add_member(text, place, "vpn", airport["vpn"])
    cameras = airport.get("webcams", [])
    if cameras and not new.has_cameras:
        return add_member(text, place, "webcams", cameras)
    for camera in cameras:
        text = add_element(text, [*place, "webcams"], camera)
    return text


def without_site(text: str, airport_id: str, *, whole_airport: bool) -> str:
    """Return the text without the tunnel, or without the airport. Raises JsonTextError."""
    place = ["airports", airport_id]
    return remove_member(text, place if whole_airport else [*place, "vpn"])


def checklist(far: FarSide, router: str, *, written: bool) -> Iterable[str]:
    """Yield what is still to be done, in order."""
    if not written:
        yield (
            "Put the JSON above into airports.json, with a key from `reconciler psk`, and check "
            "it: reconciler validate"
        )
    yield (
        "Bring the configuration to the router, with the key: reconciler site-config "
        f"{far.airport_id} --router {router} --show-key. Send it by a way that others can't read."
    )
    if far.hub_dials:
        yield "At the site, let UDP 500 and 4500 in to the router, from the hub's address only."
    else:
        yield (
            f"At the site, let UDP 500 and 4500 out to {far.hub_address or 'the hub'}. "
            "Nothing needs to be opened inwards."
        )
    yield "At the site, let the hub's network reach the cameras, and nothing else."
    yield "Wait until it is up: reconciler status. If it is not, it says why, and who must act."
    yield "Fetch a picture through the tunnel."
    yield "Delete what holds the key and is needed no more: mails, files, the terminal's history."


def removal(site: Site, *, whole_airport: bool, key_files: Iterable[str]) -> Iterable[str]:
    """Yield what is to be removed where."""
    part = f"airports.{site.airport_id}" + ("" if whole_airport else ".vpn")
    networks = ", ".join(map(str, site.remote_subnets))
    yield f"airports.json: remove {part}. The tunnel ends, and its key is removed from charon."
    for path in key_files:
        yield f"The hub: delete the key's file {path}, and the secret that brings it there."
    yield (
        f"The router: delete the tunnel to {site.connection_name}, its key, its routes, its NAT "
        "exemption, and the firewall rules that let the hub reach the cameras."
    )
    if site.remote_address:
        yield "The site's firewall: close UDP 500 and 4500 again."
    yield f"The web application: cameras in {networks} can't be reached any more."
    yield "Backups of airports.json still hold the key; it opens nothing any more."
