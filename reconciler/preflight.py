"""`reconciler preflight`: is everything there that the tunnels need, and what to do if it isn't."""

import argparse
import json
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from ipaddress import ip_address

from reconciler.core.check import HubFacts, decide
from reconciler.core.model import IpAddress, IpNetwork
from reconciler.core.names import Resolution
from reconciler.core.preflight import (
    Finding,
    Installation,
    Level,
    judge_host,
    judge_installation,
)
from reconciler.edges.dns import Resolver, look_up_now
from reconciler.edges.host_facts import can_write_in, read_host
from reconciler.edges.hub_networks import read_hub_networks
from reconciler.errors import ManifestError
from reconciler.settings import Settings
from reconciler.wiring import mount_faults, read_manifest

EXIT_CODES = "0 nothing is missing; 1 something is; 2 usage"
LookUp = Callable[[Collection[str]], Mapping[str, Resolution]]


def preflight(settings: Settings, options: argparse.Namespace) -> int:
    """Look at everything, and print one line each."""
    found = judge_host(read_host(settings.vici_socket))
    found += judge_installation(_installation(settings, read_hub_networks(), _look_up))
    missing = any(finding.level is Level.MISSING for finding in found)
    sys.stdout.write((_json(found, missing) if options.json else _text(found, missing)) + "\n")
    return int(missing)


def _look_up(names: Collection[str]) -> Mapping[str, Resolution]:
    return look_up_now(names, Resolver())


def _installation(
    settings: Settings, networks: Mapping[str, IpNetwork], look_up: LookUp
) -> Installation:
    unreadable = ""
    faults = mount_faults(settings.config_path)
    try:
        document = read_manifest(settings.config_path)
    except ManifestError as error:
        unreadable = str(error)
    else:
        faults += decide(document, {}, HubFacts(settings.hub_id, networks)).faults
    directories = {
        "cache": settings.status_file.parent,
        "state": settings.state_dir,
        "charon's copy": settings.swanctl_file.parent,
    }
    return Installation(
        config_path=str(settings.config_path),
        unreadable=unreadable,
        unwritable={
            purpose: str(directory)
            for purpose, directory in directories.items()
            if not can_write_in(directory)
        },
        faults=faults,
        hub_address=settings.hub_address,
        hub_addresses=_meant(settings.hub_address, look_up),
        own_addresses=frozenset(
            network.network_address
            for network in networks.values()
            if network.prefixlen == network.max_prefixlen
        ),
    )


def _meant(hub_address: str, look_up: LookUp) -> tuple[IpAddress, ...]:
    if not hub_address:
        return ()
    try:
        return (ip_address(hub_address),)
    except ValueError:
        found = look_up((hub_address,)).get(hub_address)
        return tuple(found.addresses) if found else ()


def _json(findings: Iterable[Finding], missing: bool) -> str:
    told = [
        {
            "subject": finding.subject,
            "level": finding.level.value,
            "told": finding.told,
            "remedy": finding.remedy,
        }
        for finding in findings
    ]
    return json.dumps({"missing": missing, "findings": told}, indent=1)


def _text(findings: Iterable[Finding], missing: bool) -> str:
    end = "something is missing" if missing else "nothing is missing"
    return "\n".join([*map(str, findings), "", end])
