"""`reconciler site-config`: what the router at the other end must be told."""

import argparse
from dataclasses import dataclass

from reconciler.core.check import Decision, HubFacts, decide
from reconciler.core.far_side import PLACEHOLDER, FarSide, far_side
from reconciler.core.model import Site
from reconciler.core.render import Hub
from reconciler.core.routers import ROUTERS
from reconciler.core.routers.base import Router, Unfit, settings, site_config
from reconciler.edges.key_files import with_keys
from reconciler.edges.manifest import read_document
from reconciler.errors import ManifestError, OrderError, UsageError
from reconciler.settings import Settings


@dataclass(frozen=True, slots=True)
class Written:
    """A router's configuration, and where its values came from."""

    far: FarSide
    router: Router
    text: str
    warnings: tuple[str, ...]
    shows_key: bool

    def as_json(self) -> dict[str, object]:
        """Return it for programs."""
        return {
            "airport_id": self.far.airport_id,
            "connection": self.far.name,
            "router": self.router.name,
            "title": self.router.title,
            "versions": self.router.versions,
            "sources": list(self.router.sources),
            "settings": settings(self.far),
            "warnings": list(self.warnings),
            "shows_key": self.shows_key,
            "configuration": self.text,
        }


def site_config_options(parser: argparse.ArgumentParser) -> None:
    """Take airport, router and form."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="connection or airport")
    parser.add_argument(
        "--router", choices=ROUTERS, metavar="ROUTER", help="kind of router; --list names them"
    )
    parser.add_argument("--list", action="store_true", help="list the kinds of routers")
    parser.add_argument(
        "--format", choices=["text", "json"], default="text", help="json is the same as --json"
    )
    parser.add_argument(
        "--show-key",
        action="store_true",
        help=f"print the pre-shared key; without it {PLACEHOLDER} stands in its place",
    )


def site_config_command(given: Settings, options: argparse.Namespace) -> dict[str, object]:
    """Write the configuration for one router. Raises OrderError."""
    options.json = options.json or options.format == "json"
    if options.list:
        return _list()
    if options.name is None or options.router is None:
        raise UsageError("name an airport and --router; --list names the routers")
    site = declared_site(given, options.name)
    written = write(site, given, ROUTERS[options.router], show_key=options.show_key)
    return {**written.as_json(), "text": written.text.rstrip("\n")}


def _list() -> dict[str, object]:
    width = max(map(len, ROUTERS))
    lines = [f"{name:<{width}}  {one.title}; {one.versions}" for name, one in ROUTERS.items()]
    routers = [
        {"name": name, "title": one.title, "versions": one.versions, "sources": list(one.sources)}
        for name, one in ROUTERS.items()
    ]
    return {"routers": routers, "text": "\n".join(lines)}


def write(site: Site, given: Settings, router: Router, *, show_key: bool) -> Written:
    """Write the configuration of a declared site. Raises OrderError."""
    hub = Hub(given.hub_id, b"", given.dpd_delay_seconds)
    far = far_side(site, hub, given.hub_address)
    try:
        found = site_config(router, far, far.key if show_key else PLACEHOLDER)
    except Unfit as error:
        reasons = "".join(f"\n  - {reason}" for reason in error.reasons)
        raise OrderError(
            f"{router.title} can't be set up for {site.connection_name}:{reasons}"
        ) from error
    return Written(far, router, found.text, found.warnings, show_key)


def declared_site(given: Settings, wanted: str) -> Site:
    """Find a declared tunnel by its name or its airport. Raises OrderError."""
    try:
        document = with_keys(read_document(given.config_path))
    except ManifestError as error:
        raise OrderError(f"{given.config_path}: {error}") from error
    decision = decide(document, {}, HubFacts(given.hub_id))
    for site in decision.sites.values():
        if wanted in (site.connection_name, site.airport_id):
            return site
    raise OrderError(_why_not(wanted, decision))


def _why_not(wanted: str, decision: Decision) -> str:
    faults = [str(fault) for fault in decision.errors if fault.airport_id == wanted]
    if faults:
        return "\n".join([f"{wanted} has errors; `reconciler validate` tells them:", *faults])
    if wanted in decision.disabled:
        return f"{wanted} is disabled; set vpn.enabled to true first"
    known = ", ".join(sorted(site.airport_id for site in decision.sites.values())) or "none"
    faulty = [fault for fault in decision.errors if fault.airport_id is None]
    hint = f" ({faulty[0]})" if faulty else ""
    return f"{wanted!r} is no declared connection or airport; declared: {known}{hint}"
