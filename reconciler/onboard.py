"""`reconciler onboard` and `offboard`: an airport's tunnel into the declaration, and out of it."""

import argparse
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from reconciler import questions
from reconciler.core.check import Fault, HubFacts, Severity, decide
from reconciler.core.crypto import Suite, parse_cipher_and_hash, parse_group
from reconciler.core.far_side import PLACEHOLDER
from reconciler.core.json_text import JsonTextError
from reconciler.core.model import IpNetwork, Site, parse_subnet
from reconciler.core.onboarding import NewSite, checklist, removal, with_site, without_site
from reconciler.core.routers import ROUTERS
from reconciler.core.routers.base import Router, suggested
from reconciler.edges.manifest import read_document
from reconciler.edges.manifest_writer import change_manifest
from reconciler.errors import ManifestError, OrderError, UsageError
from reconciler.keys import new_key
from reconciler.settings import Settings, SettingsError, check_hub_address
from reconciler.site_config import Written, write
from reconciler.wiring import hub_facts

_AIRPORT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_CAMERA_SCHEMES = ("http", "https", "rtsp", "rtsps")


def onboard_options(parser: argparse.ArgumentParser) -> None:
    """Take everything that is otherwise asked for."""
    add = parser.add_argument
    add("airport", nargs="?", metavar="AIRPORT", help="id of the airport, such as kspb")
    add("--lan", help="the airport's LAN: one subnet, or several with commas")
    add("--router", choices=ROUTERS, metavar="ROUTER", help="kind of router; see site-config")
    add("--airport-name", default=None, help="name of the airport, if it is new")
    add("--new-airport", action="store_true", help="make the airport if it is not in the file")
    add(
        "--camera",
        action="append",
        metavar="NAME=URL",
        help="a camera to be added; may be given several times",
    )
    add("--local-subnet", help="the network that the hub fetches from; default: everything")
    add("--site-address", help="the site's fixed address: the hub then dials it")
    add("--connection-name", help="default: AIRPORT_vpn")
    add("--encryption", help="default: the first that the router can, of aes256gcm128 and others")
    add("--dh-group", help="default: the first that the router can, 14 as a rule")
    add("--write", action="store_true", help="change airports.json; a copy of it is kept")
    add("--yes", action="store_true", help="ask nothing, also on a terminal")
    add("--show-key", action="store_true", help=f"print the key; without it {PLACEHOLDER} stands")


def offboard_options(parser: argparse.ArgumentParser) -> None:
    """Take the airport."""
    parser.add_argument("name", metavar="NAME", help="connection or airport")
    parser.add_argument(
        "--whole-airport", action="store_true", help="remove the airport, not only its tunnel"
    )
    parser.add_argument(
        "--write", action="store_true", help="change airports.json; a copy of it is kept"
    )


def onboard(given: Settings, options: argparse.Namespace) -> dict[str, object]:
    """Prepare everything for a new tunnel; with --write, declare it. Raises OrderError."""
    document = _read(given.config_path)
    if questions.interactive() and not options.yes:
        _ask_for_what_is_missing(options, document)
        given = _with_hub_address(given, options)
    _refuse_gaps(options)
    router = ROUTERS[options.router]
    key = new_key() if options.write or options.show_key else PLACEHOLDER
    new = _new_site(options, document, router, key)
    site, warnings = _check(new, document, given)
    written = write(site, given, router, show_key=options.show_key)
    saved = _save(given.config_path, lambda text: with_site(text, new)) if options.write else None
    return _answer(new, written, warnings, saved, show_key=options.show_key)


def offboard(given: Settings, options: argparse.Namespace) -> dict[str, object]:
    """Say what is to be removed where; with --write, remove it from the file. Raises OrderError."""
    document = _read(given.config_path)
    airport_id, vpn = _declared(document, options.name)
    site = _site_or_none(document, airport_id, given)
    files = [str(vpn[key]) for key in ("psk_file", "next_psk_file") if vpn.get(key)]
    steps = [*_removal_steps(airport_id, site, options, files)]
    saved, whole = None, options.whole_airport
    if options.write:
        saved = _save(
            given.config_path, lambda text: without_site(text, airport_id, whole_airport=whole)
        )
    said = [str(saved)] if saved else []
    return {
        "airport_id": airport_id,
        **_saved_json(saved),
        "steps": steps,
        "text": "\n".join([*said, *_numbered(steps)]),
    }


# What is asked for.


def _ask_for_what_is_missing(options: argparse.Namespace, document: Mapping[str, Any]) -> None:
    airports = document.get("airports", {})
    if options.airport is None:
        options.airport = questions.ask("Id of the airport, such as kspb", check=_airport_fault)
    if options.airport not in airports and not options.new_airport:
        options.new_airport = questions.ask_yes_no(
            f"{options.airport} is not in the file. Make it?", default=True
        )
    if options.new_airport and options.airport_name is None and options.airport not in airports:
        options.airport_name = questions.ask("Name of the airport")
    if options.lan is None:
        options.lan = questions.ask("Its LAN, such as 192.168.1.0/24", check=_subnets_fault)
    if options.router is None:
        names = ", ".join(ROUTERS)
        options.router = questions.ask(f"Its router, one of {names}", "generic", _router_fault)
    if options.local_subnet is None:
        options.local_subnet = questions.ask(
            "The network that the hub fetches from, such as 10.0.0.5/32 "
            "(empty: everything, so the whole LAN's traffic would enter the tunnel)",
            check=lambda text: _subnets_fault(text) if text else "",
        )
    if options.camera is None:
        options.camera = [*_ask_for_cameras(options.lan)]


def _with_hub_address(given: Settings, options: argparse.Namespace) -> Settings:
    if given.hub_address or options.site_address:
        return given
    address = questions.ask("Name or address at which the site reaches the hub", check=_host_fault)
    return replace(given, hub_address=address)


def _host_fault(text: str) -> str:
    try:
        check_hub_address(text)
    except SettingsError as error:
        return str(error)
    return "" if text else "write a name or an address"


def _ask_for_cameras(lan: str) -> Iterable[str]:
    while True:
        url = questions.ask("URL of a camera (empty: no more)")
        if not url:
            return
        if fault := _camera_fault(url, _subnets(lan)):
            questions.say(fault)
            continue
        name = questions.ask("Name of that camera")
        yield f"{name}={url}"


def _airport_fault(text: str) -> str:
    return "" if _AIRPORT_ID.fullmatch(text) else "write letters, digits, '_' and '-'"


def _router_fault(text: str) -> str:
    return "" if text in ROUTERS else f"{text!r} is not in the list"


def _subnets_fault(text: str) -> str:
    try:
        _subnets(text)
    except ValueError as error:
        return str(error)
    return ""


def _subnets(text: str) -> tuple[IpNetwork, ...]:
    return tuple(parse_subnet(part.strip()) for part in text.split(","))


def _refuse_gaps(options: argparse.Namespace) -> None:
    missing = [
        flag
        for flag, value in (
            ("AIRPORT", options.airport),
            ("--lan", options.lan),
            ("--router", options.router),
        )
        if not value
    ]
    if missing:
        raise UsageError(f"missing: {', '.join(missing)}")
    if fault := _airport_fault(options.airport):
        raise OrderError(f"{options.airport!r} can't be an airport's id; {fault}")


# What is declared.


def _read(path: Path) -> dict[str, Any]:
    """Read the file as it is; a missing one is an empty one. Raises OrderError."""
    try:
        document = read_document(path)
    except ManifestError as error:
        if not path.exists():
            return {"airports": {}}
        raise OrderError(f"{path}: {error}") from error
    airports = document.get("airports") if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(airports, dict):
        raise OrderError(f"{path}: has no object of airports; see `reconciler validate`")
    return document


def _new_site(
    options: argparse.Namespace, document: Mapping[str, Any], router: Router, key: str
) -> NewSite:
    airport = document["airports"].get(options.airport)
    known = isinstance(airport, dict)
    if not known and not options.new_airport:
        have = ", ".join(document["airports"]) or "none"
        raise OrderError(
            f"{options.airport!r} is not in the file, which has: {have}; "
            "give --new-airport to make it"
        )
    if known and airport.get("vpn") is not None:
        raise OrderError(
            f"{options.airport} has a tunnel already; change it in the file, or remove it first "
            f"with `reconciler offboard {options.airport}`"
        )
    old = airport if known else {}
    vpn = _vpn(options, router, key)
    return NewSite(
        airport_id=options.airport,
        known=known,
        has_cameras=isinstance(old.get("webcams"), list),
        name=options.airport_name or "",
        vpn=vpn,
        cameras=tuple(_cameras(options, old)),
    )


def _vpn(options: argparse.Namespace, router: Router, key: str) -> dict[str, Any]:
    encryption, group = _algorithms(options, router)
    optional = {
        "connection_name": options.connection_name,
        "local_subnet": _networks("--local-subnet", options.local_subnet),
        "remote_address": options.site_address,
        "encryption": encryption,
        "dh_group": group,
    }
    return {
        "enabled": True,
        "type": "ipsec",
        "remote_subnet": _networks("--lan", options.lan),
        **{name: value for name, value in optional.items() if value},
        "psk": key,
    }


def _networks(flag: str, text: str | None) -> str | list[str]:
    """Return one subnet, or a list of several, as they stand in the file. Raises OrderError."""
    try:
        found = [str(subnet) for subnet in _subnets(text)] if text else []
    except ValueError as error:
        raise OrderError(f"{flag}: {error}") from error
    return found[0] if len(found) == 1 else found


def _algorithms(options: argparse.Namespace, router: Router) -> tuple[str, int]:
    """Return what is asked for; where nothing is, the first of ours that the router can."""
    group = options.dh_group or "14"
    try:
        number = parse_group(group).number
        if options.encryption:
            parse_cipher_and_hash(options.encryption)
            return options.encryption, number
        wanted = Suite(*parse_cipher_and_hash("aes256gcm128"), parse_group(number))
    except ValueError as error:
        raise OrderError(str(error)) from error
    return suggested(router, wanted)


def _cameras(options: argparse.Namespace, airport: Mapping[str, Any]) -> Iterable[dict[str, str]]:
    cameras = airport.get("webcams")
    names = [
        camera.get("name")
        for camera in (cameras if isinstance(cameras, list) else ())
        if isinstance(camera, dict)
    ]
    taken = {name for name in names if isinstance(name, str)}
    lan = _subnets(options.lan)
    for text in options.camera or []:
        name, found, url = text.partition("=")
        if not found or not name.strip() or "://" in name:
            raise OrderError(f"--camera {_shown(text)}: write it as NAME=URL")
        if name.strip() in taken:
            raise OrderError(f"--camera: there is a camera {name.strip()!r} already")
        if fault := _camera_fault(url, lan):
            raise OrderError(f"--camera: {fault}")
        taken.add(name.strip())
        yield {"name": name.strip(), "url": url.strip()}


def _camera_fault(url: str, lan: Iterable[IpNetwork]) -> str:
    """Say why this camera can't be fetched through the tunnel. A name can't be judged here."""
    try:
        parts = urlsplit(url.strip())
        host, _port = parts.hostname or "", parts.port
    except ValueError:
        return f"{_shown(url)} is no URL"
    if parts.scheme.lower() not in _CAMERA_SCHEMES or not host:
        return f"{_shown(url)} is no URL of a camera; write http, https, rtsp or rtsps"
    try:
        address = ip_address(host)
    except ValueError:
        return ""
    if any(address in network for network in lan):
        return ""
    return f"{address} is outside the LAN, so it is not reached through the tunnel"


def _shown(url: str) -> str:
    """Return it without what may be a password."""
    return "what has an @" if "@" in url else repr(re.split(r"[?#]", url)[0])


# What is checked.


def _check(
    new: NewSite, document: Mapping[str, Any], given: Settings
) -> tuple[Site, tuple[Fault, ...]]:
    """Check the whole file with the new tunnel in it. Raises OrderError with every fault.

    What stood in the file before is taken for in force, so that the new one loses a clash.
    """
    facts = hub_facts(given)
    airports = {id_: _with_some_key(airport) for id_, airport in document["airports"].items()}
    before = decide({"airports": airports}, {}, facts)
    old: dict[str, Any] = document["airports"].get(new.airport_id) or {}
    changed = {**airports, new.airport_id: {**old, **new.airport}}
    after = decide({"airports": changed}, before.accepted, facts)
    mine = [fault for fault in after.faults if fault.airport_id == new.airport_id]
    wrong = [str(fault) for fault in mine if fault.severity is Severity.ERROR]
    if wrong or new.airport_id not in after.sites:
        raise OrderError("\n".join(["it can't be declared so:", *wrong]))
    return after.sites[new.airport_id], tuple(f for f in mine if not _is_about_the_placeholder(f))


def _with_some_key(airport: object) -> object:
    """Put some key where one stands in a file: clashes must show even if it can't be read here."""
    vpn = airport.get("vpn") if isinstance(airport, dict) else None
    if not isinstance(airport, dict) or not isinstance(vpn, dict) or "psk_file" not in vpn:
        return airport
    rest = {key: value for key, value in vpn.items() if not key.endswith("psk_file")}
    return {**airport, "vpn": {"psk": "a-key-that-stands-in-a-file", **rest}}


def _is_about_the_placeholder(fault: Fault) -> bool:
    return fault.path.endswith(".psk")


def _declared(document: Mapping[str, Any], wanted: str) -> tuple[str, Mapping[str, Any]]:
    for airport_id, airport in document["airports"].items():
        vpn = airport.get("vpn") if isinstance(airport, dict) else None
        if isinstance(vpn, dict):
            name = vpn.get("connection_name") or f"{airport_id}_vpn"
            if wanted in (airport_id, name):
                return airport_id, vpn
    raise OrderError(f"{wanted!r} has no tunnel in the file")


def _site_or_none(document: Mapping[str, Any], airport_id: str, given: Settings) -> Site | None:
    """Return the site; None if it is disabled or has an error, and can be removed all the same."""
    airports = {id_: _with_some_key(airport) for id_, airport in document["airports"].items()}
    return decide({"airports": airports}, {}, HubFacts(given.hub_id)).sites.get(airport_id)


def _removal_steps(
    airport_id: str, site: Site | None, options: argparse.Namespace, files: list[str]
) -> Iterable[str]:
    if site is not None:
        return removal(site, whole_airport=options.whole_airport, key_files=files)
    part = f"airports.{airport_id}" + ("" if options.whole_airport else ".vpn")
    return [
        f"airports.json: remove {part}. It is disabled or has an error.",
        *(f"The hub: delete the key's file {path}." for path in files),
        "The router: delete the tunnel, its key, its routes and its firewall rules.",
    ]


# What is written and said.


@dataclass(frozen=True, slots=True)
class _Saved:
    """The file was changed; `backup` is the copy of what it was before, if there was one."""

    path: Path
    backup: Path | None

    def __str__(self) -> str:
        kept = f"; what it was before is kept in {self.backup}" if self.backup else ""
        return f"Written to {self.path}{kept}."


def _saved_json(saved: _Saved | None) -> dict[str, object]:
    backup = saved.backup if saved else None
    return {"written": saved is not None, "backup": str(backup) if backup else None}


def _save(path: Path, change: Callable[[str], str]) -> _Saved:
    """Change the file, if the result is JSON. Raises OrderError."""

    def changed(text: str) -> str:
        result = change(text)
        json.loads(result)
        return result

    try:
        return _Saved(path, change_manifest(path, changed, datetime.now(UTC)))
    except (ManifestError, JsonTextError) as error:
        raise OrderError(str(error)) from error


def _answer(
    new: NewSite,
    written: Written,
    faults: tuple[Fault, ...],
    saved: _Saved | None,
    *,
    show_key: bool,
) -> dict[str, object]:
    vpn = new.vpn if show_key else {**new.vpn, "psk": PLACEHOLDER}
    shown = {new.airport_id: {**new.airport, "vpn": dict(vpn)}}
    steps = [*checklist(written.far, written.router.name, written=saved is not None)]
    warnings = [*map(str, faults)]
    text = [
        str(saved) if saved else 'Nothing is written. For airports.json, under "airports":',
        json.dumps(shown, indent=2, ensure_ascii=False),
        *(f"warning: {warning}" for warning in warnings),
        f"\nThe router ({written.router.title}):\n",
        written.text,
        "To do:",
        *_numbered(steps),
    ]
    return {
        "airports": shown,
        **_saved_json(saved),
        "checklist": steps,
        "declaration_warnings": warnings,
        **written.as_json(),
        "text": "\n".join(text),
    }


def _numbered(steps: Iterable[str]) -> list[str]:
    return [f"{number}. {step}" for number, step in enumerate(steps, 1)]
