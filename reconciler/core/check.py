"""From the text of airports.json to the tunnels that should exist, every fault named at once.

Rules (decision 15, "last good wins"): an unreadable file changes nothing; an invalid airport
changes nothing for the others and keeps its own last good tunnel; a file that would remove many
tunnels at once is held until somebody confirms it.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from ipaddress import ip_network
from typing import Any

from pydantic import ValidationError

from reconciler.core.about import MOST_CAMERAS, NO_URL, About, about
from reconciler.core.mask import Mask, keys_in, keys_of, shown
from reconciler.core.model import FALSE, IpAddress, IpNetwork, Site, Vpn, site_of
from reconciler.core.routing import MISTAKES, Surroundings, Tunnels, judge, lans_of
from reconciler.core.selectors import overlaps
from reconciler.core.settle import settle

WEAK_PSK_CHARACTERS = 20
HELD_REMOVALS_MORE_THAN = 2
HELD_REMOVALS_SHARE = 0.3
_MESSAGE_LIMIT = 300
# What others wrote may be of any length, and stands in the status once for each fault.
_LONGEST_PATH, _LONGEST_MESSAGE = 300, 1000
LONGEST_ID = 100
# Each unknown key would be a fault of its own.
_MOST_KEYS = 100
_WIDEST = {4: 8, 6: 16}
_SPECIAL = tuple(
    map(
        ip_network, ("127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "::1", "fe80::/10", "ff00::/8")
    )
)


class Severity(Enum):
    """An error keeps a declaration from being applied, a warning does not."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with the declaration: where, what, and what would be right."""

    path: str
    message: str
    airport_id: str | None = None
    severity: Severity = Severity.ERROR

    def __post_init__(self) -> None:
        """Escape what can't be shown: these texts reach terminals, logs and the status file."""
        object.__setattr__(self, "path", _cut(printable(self.path), _LONGEST_PATH))
        object.__setattr__(self, "message", _cut(printable(self.message), _LONGEST_MESSAGE))

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[:longest] + "…"


def printable(text: str) -> str:
    """Return the text with line breaks, control characters and half characters escaped."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )


@dataclass(frozen=True, slots=True)
class HubFacts:
    """What a declaration is checked against.

    Attributes:
        hub_id: IKE identity of the hub.
        networks: the hub's own networks and addresses, by what they are ("network eth0").
        algorithms: names from `get-algorithms`; None while charon can't be asked.
        time_zones: names of the IANA list.

    """

    hub_id: str
    networks: Mapping[str, IpNetwork] = field(default_factory=dict)
    algorithms: frozenset[str] | None = None
    time_zones: frozenset[str] = field(default_factory=frozenset, repr=False)


@dataclass(frozen=True, slots=True)
class Decision:
    """The tunnels that should exist now, and what was decided about the file.

    Attributes:
        sites: by airport id, last good ones of invalid airports and held removals included.
        accepted: the raw `vpn` objects behind `sites`, to be remembered as last good. Has PSKs.
        kept: invalid airports whose last good tunnel stays.
        held: airports whose removal waits for confirmation.
        disabled: airports with `vpn.enabled` false.
        readable: whether the file as a whole could be used.
        about: name, time zone and cameras, by airport id; only of those that stand in the file.

    """

    sites: Mapping[str, Site]
    accepted: Mapping[str, Any] = field(repr=False)
    faults: tuple[Fault, ...]
    kept: frozenset[str] = frozenset()
    held: tuple[str, ...] = ()
    disabled: tuple[str, ...] = ()
    readable: bool = True
    about: Mapping[str, About] = field(default_factory=dict)

    @property
    def errors(self) -> tuple[Fault, ...]:
        """Only what keeps something from being applied."""
        return tuple(fault for fault in self.faults if fault.severity is Severity.ERROR)

    @property
    def invalid(self) -> frozenset[str]:
        """Airports that have an error."""
        return frozenset(fault.airport_id for fault in self.errors if fault.airport_id is not None)


def unreadable(fault: Fault, accepted: Mapping[str, Any], hub: HubFacts) -> Decision:
    """Keep everything as it was last accepted: the file can't be used."""
    sites = _remembered_sites(accepted)
    kept = {airport_id: accepted[airport_id] for airport_id in sites}
    return Decision(sites, kept, (fault,), frozenset(sites), readable=False)


def decide(
    document: object, accepted: Mapping[str, Any], hub: HubFacts, *, allow_removals: bool = False
) -> Decision:
    """Check a parsed airports.json against itself, the hub and what was accepted before."""
    airports = document.get("airports") if isinstance(document, dict) else None
    if not isinstance(airports, dict):
        what = "is missing" if airports is None else "is not an object"
        return unreadable(
            Fault("airports", f"{what}; write an object of airports by id"), accepted, hub
        )
    reading = _read_airports(airports, hub)
    remembered = _remembered_sites(accepted)
    kept = {id_: remembered[id_] for id_ in reading.invalid if id_ in remembered}
    held = _held_removals(airports, reading, remembered, allow_removals=allow_removals)
    kept |= {id_: remembered[id_] for id_ in held}
    sites, clashes = settle(reading.sites, kept, remembered)
    described = {id_: about(airports[id_], hub.time_zones) for id_ in sites if id_ in airports}
    described_faults = (*_many_cameras(sites, airports), *_camera_warnings(sites, described, hub))
    conflicts = [Fault(clash.path, clash.message, clash.airport_id) for clash in clashes]
    return Decision(
        sites=sites,
        accepted={
            id_: accepted[id_] if sites[id_] is remembered.get(id_) else airports[id_]["vpn"]
            for id_ in sites
        },
        faults=_masked(
            (*reading.faults, *conflicts, *described_faults),
            airports,
            accepted,
        ),
        kept=frozenset(id_ for id_ in sites if sites[id_] is remembered.get(id_)) - set(held),
        held=held,
        disabled=tuple(reading.disabled),
        about=described,
    )


def _masked(
    faults: tuple[Fault, ...], airports: Mapping[str, Any], accepted: Mapping[str, Any]
) -> tuple[Fault, ...]:
    """Cover every key of the file that got into a wrong place and from there into a message."""
    if not faults:
        return ()
    mask = Mask().also(keys_in(airports)).also(keys_accepted(accepted))
    return tuple(
        replace(fault, path=mask.text(fault.path), message=mask.text(fault.message))
        for fault in faults
    )


def keys_accepted(accepted: Mapping[str, Any]) -> Iterable[str]:
    """Return the keys of what was accepted before."""
    return (key for vpn in accepted.values() if isinstance(vpn, dict) for key in keys_of(vpn))


@dataclass(slots=True)
class _Reading:
    """What the airports say, each looked at by itself."""

    sites: dict[str, Site] = field(default_factory=dict)
    invalid: list[str] = field(default_factory=list)
    disabled: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def _read_airports(airports: Mapping[str, Any], hub: HubFacts) -> _Reading:
    reading = _Reading()
    for airport_id, airport in airports.items():
        path = f"airports.{airport_id}"
        if not airport_id.isprintable():
            message = "the id has characters that can't be shown; use letters and digits"
            shown_id = _cut(printable(airport_id), LONGEST_ID)
            reading.faults.append(Fault(path, message, shown_id))
            reading.invalid.append(airport_id)
        elif len(airport_id) > LONGEST_ID and isinstance(airport, dict) and airport.get("vpn"):
            message = f"the id is longer than {LONGEST_ID} characters; use a short one"
            reading.faults.append(Fault(path, message, _cut(airport_id, LONGEST_ID)))
            reading.invalid.append(airport_id)
        elif not isinstance(airport, dict):
            reading.faults.append(Fault(path, "is not an object", _cut(airport_id, LONGEST_ID)))
            reading.invalid.append(airport_id)
        elif airport.get("vpn") is not None:
            site, faults = _read_vpn(airport_id, airport["vpn"], hub)
            reading.faults += faults
            if isinstance(site, Site):
                reading.sites[airport_id] = site
            elif site is _Absent.DISABLED:
                reading.disabled.append(airport_id)
            else:
                reading.invalid.append(airport_id)
    return reading


class _Absent(Enum):
    DISABLED = "disabled"
    INVALID = "invalid"


def _read_vpn(airport_id: str, raw: object, hub: HubFacts) -> tuple[Site | _Absent, list[Fault]]:
    """Read one `vpn` object: the site, or why there is none, and every fault found."""
    path = f"airports.{airport_id}.vpn"
    if not isinstance(raw, dict):
        return _Absent.INVALID, [Fault(path, "is not an object", airport_id)]
    if _switched_off(raw):
        return _Absent.DISABLED, _enabled_warning(airport_id, raw)
    if len(raw) > _MOST_KEYS:
        message = f"has {len(raw)} keys; known: {', '.join(Vpn.model_fields)}"
        return _Absent.INVALID, [Fault(path, message, airport_id)]
    try:
        site = site_of(airport_id, Vpn.model_validate(raw))
    except ValidationError as error:
        return _Absent.INVALID, [*_field_faults(airport_id, error)]
    except ValueError as error:
        return _Absent.INVALID, [Fault(f"airports.{airport_id}", str(error), airport_id)]
    faults = [*_hub_faults(site, hub), *_warnings(site)]
    wrong = any(fault.severity is Severity.ERROR for fault in faults)
    return (_Absent.INVALID if wrong else site), faults


def _switched_off(raw: Mapping[str, Any]) -> bool:
    return str(raw.get("enabled", False)).strip().lower() in FALSE


def _enabled_warning(airport_id: str, raw: Mapping[str, Any]) -> list[Fault]:
    if "enabled" in raw:
        return []
    path = f"airports.{airport_id}.vpn.enabled"
    message = "is missing, so there is no tunnel; write true or false"
    return [Fault(path, message, airport_id, Severity.WARNING)]


def _field_faults(airport_id: str, error: ValidationError) -> Iterable[Fault]:
    for detail in error.errors(include_url=False, include_input=False):
        key = str(detail["loc"][0]) if detail["loc"] else ""
        unknown = detail["type"] == "extra_forbidden"
        said = "" if unknown and shown(key) != repr(key) else key
        path = ".".join(filter(None, ("airports", airport_id, "vpn", said)))
        yield Fault(path, _explain(key, detail["type"], detail["msg"]), airport_id)


def _explain(key: str, kind: str, message: str) -> str:
    if kind == "missing":
        return f"is missing; write {key}: {Vpn.model_fields[key].description}"
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(key, Vpn.model_fields, n=1)
        known = ", ".join(Vpn.model_fields)
        if shown(key) != repr(key):
            return f"{shown(key)} stands as a key; known: {known}"
        return f"unknown key; did you mean {near[0]!r}?" if near else f"unknown key; known: {known}"
    text = message.removeprefix("Value error, ")
    return _cut(text, _MESSAGE_LIMIT)


def _hub_faults(site: Site, hub: HubFacts) -> Iterable[Fault]:
    """Find what is right in itself but not on this hub."""
    path = f"airports.{site.airport_id}.vpn"
    if site.remote_id.lower() == hub.hub_id.lower():
        message = f"{site.remote_id!r} is the hub's own identity; give the site one of its own"
        yield Fault(f"{path}.remote_id", message, site.airport_id)
    for overlap in overlaps(site, hub.networks):
        verb = "would swallow" if overlap.swallows else "overlaps"
        message = f"{overlap.remote} {verb} the hub's own {overlap.name}"
        severity = Severity.ERROR if overlap.swallows else Severity.WARNING
        yield Fault(f"{path}.remote_subnet", message, site.airport_id, severity)
    for remote in site.remote_subnets:
        if remote.prefixlen < _WIDEST[remote.version] or _is_special(remote):
            message = f"{remote} is no airport's LAN; write the LAN's own subnet"
            yield Fault(f"{path}.remote_subnet", message, site.airport_id)
    target = site.health_check.target if site.health_check else None
    if target is not None and not any(_holds(subnet, target) for subnet in site.remote_subnets):
        lan = ", ".join(map(str, site.remote_subnets))
        message = f"{target} is not in remote_subnet {lan}, so no tunnel leads to it"
        yield Fault(f"{path}.health_check", message, site.airport_id)
    if site.remote_address in {network.network_address for network in hub.networks.values()}:
        message = f"{site.remote_address} is the hub's own address"
        yield Fault(f"{path}.remote_address", message, site.airport_id)
    if {s.version for s in site.remote_subnets} != {s.version for s in site.local_subnets}:
        message = "needs IPv4 where remote_subnet has IPv4, and IPv6 where it has IPv6"
        yield Fault(f"{path}.local_subnet", message, site.airport_id)
    if hub.algorithms is not None and not site.suite.needs <= hub.algorithms:
        lacking = ", ".join(sorted(site.suite.needs - hub.algorithms))
        key = "dh_group" if site.suite.group.charon_name in lacking else "encryption"
        message = f"this charon has no {lacking}; the defaults aes256gcm128 and group 14 work"
        yield Fault(f"{path}.{key}", message, site.airport_id)


def _holds(subnet: IpNetwork, address: IpAddress) -> bool:
    return subnet.version == address.version and address in subnet


def _is_special(remote: IpNetwork) -> bool:
    return any(
        network.version == remote.version and network.overlaps(remote) for network in _SPECIAL
    )


def _warnings(site: Site) -> Iterable[Fault]:
    path, psk = f"airports.{site.airport_id}.vpn", site.psk.get_secret_value()
    if len(psk) < WEAK_PSK_CHARACTERS or len(set(psk)) < 8:
        message = f"is weak; use at least {WEAK_PSK_CHARACTERS} random characters"
        yield Fault(f"{path}.psk", message, site.airport_id, Severity.WARNING)
    if psk != psk.strip():
        message = "begins or ends with a blank; is that part of the key?"
        yield Fault(f"{path}.psk", message, site.airport_id, Severity.WARNING)
    if site.same_next_psk:
        message = "is the same as psk, so there is nothing to replace; remove it"
        yield Fault(f"{path}.next_psk", message, site.airport_id, Severity.WARNING)
    if site.suite.weak:
        message = f"{site.suite.ike_proposal} is weak by today's standards"
        yield Fault(f"{path}.encryption", message, site.airport_id, Severity.WARNING)


def _many_cameras(sites: Iterable[str], airports: Mapping[str, Any]) -> Iterable[Fault]:
    for id_ in sites:
        airport = airports.get(id_)
        webcams = airport.get("webcams") if isinstance(airport, Mapping) else None
        if isinstance(webcams, list) and len(webcams) > MOST_CAMERAS:
            message = f"are {len(webcams)}; only the first {MOST_CAMERAS} are looked at"
            yield Fault(f"airports.{id_}.webcams", message, id_, Severity.WARNING)


def _camera_warnings(
    sites: Mapping[str, Site], described: Mapping[str, About], hub: HubFacts
) -> Iterable[Fault]:
    """Find cameras that can't be reached as declared. Names are judged elsewhere, as they change.

    A camera without a URL sends its pictures by itself.
    """
    lans = lans_of(sites.values())
    around = Surroundings(Tunnels(lans.values()), tuple(hub.networks.values()))
    for airport_id, airport in described.items():
        for number, camera in enumerate(airport.cameras):
            verdict = judge(camera.link, lans[airport_id], around)
            if verdict.route in MISTAKES and camera.link != NO_URL:
                path = f"airports.{airport_id}.webcams[{number}].url"
                yield Fault(path, verdict.reason, airport_id, Severity.WARNING)


def _remembered_sites(accepted: Mapping[str, Any]) -> dict[str, Site]:
    """Read what was accepted before; what this release can't read any more is dropped."""
    sites = {}
    for airport_id, raw in accepted.items():
        site, _ = _read_vpn(airport_id, raw, HubFacts(hub_id=""))
        if isinstance(site, Site):
            sites[airport_id] = site
    return sites


def _held_removals(
    airports: Mapping[str, Any],
    reading: _Reading,
    remembered: Mapping[str, Site],
    *,
    allow_removals: bool,
) -> tuple[str, ...]:
    """Name the removals that wait for confirmation: more than 2 and more than 30 % at once."""
    gone = [id_ for id_ in remembered if id_ not in reading.sites and id_ not in reading.invalid]
    held = is_mass_removal(len(gone), len(remembered)) and not allow_removals
    return tuple(gone) if held else ()


def is_mass_removal(gone: int, before: int) -> bool:
    """Tell whether so many removals at once must be confirmed: more than 2 and more than 30 %."""
    return gone > HELD_REMOVALS_MORE_THAN and gone > HELD_REMOVALS_SHARE * before
