"""`reconciler route`: which way leads to a camera, asked once and answered with the reason."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from reconciler.core.about import Camera, about, public_url, without_keys
from reconciler.core.camera_url import BadUrl, parse_camera_url
from reconciler.core.check import Decision, HubFacts, decide, printable
from reconciler.core.mask import Mask, keys_in
from reconciler.core.names import Resolution
from reconciler.core.routing import GOOD, Lan, Route, Surroundings, Tunnels, Verdict, judge, lans_of
from reconciler.core.sights import host_names
from reconciler.edges.dns import Resolver, look_up_now
from reconciler.edges.hub_networks import read_hub_networks
from reconciler.edges.key_files import with_keys
from reconciler.edges.manifest import read_document
from reconciler.edges.state import State
from reconciler.errors import ManifestError, ReconcilerError, StateError
from reconciler.settings import Settings

EXIT_CODES = (
    "0 through the tunnel; 1 a mistake, or not known; 2 usage; 3 no mistake, but not (only) "
    "through the tunnel"
)
LookUp = Callable[[Collection[str]], Mapping[str, Resolution]]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What was asked for. `airport_id` None: a URL of no airport."""

    airport_id: str | None
    is_url: bool
    cameras: tuple[Camera, ...]


class NoSuchAirportError(ReconcilerError):
    """What was given is neither an airport nor a URL."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Take an airport or a URL."""
    parser.add_argument(
        "what",
        metavar="URL|AIRPORT",
        help="a camera's URL, or an airport for all its cameras; "
        "-: read the URL from standard input, where nobody sees a password in it",
    )
    parser.add_argument("--airport", metavar="ID", help="judge the URL as a camera of this airport")


def route(settings: Settings, options: argparse.Namespace, look_up: LookUp | None = None) -> int:
    """Answer, and tell by the exit code whether all is well."""
    document, decision = _read(settings)
    what = sys.stdin.readline() if options.what == "-" else options.what
    asked = _asked(settings, document, what, options.airport)
    lans = lans_of(decision.sites.values())
    names = host_names({"": asked.cameras})
    known = (look_up or _look_up)(names) if names else {}
    hub = tuple(read_hub_networks().values())
    around = Surroundings(Tunnels(lans.values()), hub, known, time.monotonic())
    own = lans.get(asked.airport_id) if asked.airport_id is not None else None
    verdicts = [
        judge(camera.link, own, around, anybody=asked.airport_id is None)
        for camera in asked.cameras
    ]
    told = _json(asked, own, verdicts) if options.json else _text(asked, verdicts)
    sys.stdout.write(told + "\n")
    return _exit_code(verdicts)


def _read(settings: Settings) -> tuple[object, Decision]:
    """Read what is declared; an airport with an error counts as it was last accepted."""
    try:
        document = with_keys(read_document(settings.config_path))
    except ManifestError as error:
        raise ManifestError(f"{settings.config_path}: {error}") from error
    try:
        accepted = State(settings.state_dir, settings.swanctl_file, read_only=True).read_accepted()
    except StateError:
        accepted = {}
    return document, decide(document, accepted or {}, HubFacts(settings.hub_id))


def _look_up(names: Collection[str]) -> Mapping[str, Resolution]:
    return look_up_now(names, Resolver())


def _asked(settings: Settings, document: object, what: str, airport_id: str | None) -> _Asked:
    airports = document.get("airports") if isinstance(document, Mapping) else None
    known: Mapping[str, object] = airports if isinstance(airports, Mapping) else {}
    if airport_id is not None and airport_id not in known:
        raise NoSuchAirportError(
            f"{printable(airport_id)}: no such airport in {settings.config_path}"
        )
    if airport_id is None and what in known:
        described = without_keys(about(known[what], ()), Mask().also(keys_in(known)).text)
        return _Asked(what, False, described.cameras)
    link = parse_camera_url(what)
    if isinstance(link, BadUrl) and ":" not in what and "/" not in what:
        text = "is neither an airport's id nor a URL"
        raise NoSuchAirportError(f"{printable(what.strip())}: {text}; see {settings.config_path}")
    return _Asked(airport_id, True, (Camera("", public_url(what.strip()), link),))


def _exit_code(verdicts: Iterable[Verdict]) -> int:
    routes = {verdict.route for verdict in verdicts}
    if routes - GOOD:
        return 1
    return 0 if routes == {Route.TUNNEL} else 3


def _json(asked: _Asked, own: Lan | None, verdicts: Sequence[Verdict]) -> str:
    told = [
        {
            "name": camera.name,
            "url": camera.url,
            "route": verdict.route.value,
            "needs_tunnel": verdict.route is Route.TUNNEL,
            "connection": verdict.connection,
            "addresses": [str(address) for address in verdict.addresses],
            "reason": verdict.reason,
        }
        for camera, verdict in zip(asked.cameras, verdicts, strict=True)
    ]
    if asked.is_url:
        return json.dumps(told[0] | {"airport": asked.airport_id}, indent=1)
    connection = own.connection if own is not None else ""
    document = {"airport": asked.airport_id, "connection": connection, "cameras": told}
    return json.dumps(document, indent=1)


def _text(asked: _Asked, verdicts: Sequence[Verdict]) -> str:
    if not asked.cameras:
        return f"{asked.airport_id} has no cameras"
    return "\n".join(
        ": ".join(filter(None, (camera.name or camera.url, verdict.route, verdict.reason)))
        for camera, verdict in zip(asked.cameras, verdicts, strict=True)
    )
