"""Put the real edges together."""

from pathlib import Path

from reconciler.core.check import Fault, HubFacts, Severity
from reconciler.core.mask import Mask, keys_in
from reconciler.edges.containers import Containers
from reconciler.edges.filter_client import FilterClient
from reconciler.edges.hub_networks import read_hub_networks
from reconciler.edges.key_files import with_keys
from reconciler.edges.logs import hide
from reconciler.edges.manifest import mounted_as_file, read_document
from reconciler.edges.state import State
from reconciler.edges.status_file import StatusWriter
from reconciler.edges.time_zones import read_time_zones
from reconciler.edges.vici_client import ViciClient
from reconciler.errors import IkeUnreachable
from reconciler.settings import Settings
from reconciler.world import Evidence, World


def real_world(
    settings: Settings, evidence: Evidence | None = None, *, read_only: bool = False
) -> World:
    """Return the ports of a round, all real. `read_only`: not even a key for the marks is made."""
    containers = Containers(settings.docker_host, settings.charon_container)
    return World(
        settings=settings,
        ike=ViciClient(str(settings.vici_socket)),
        state=State(settings.state_dir, settings.swanctl_file, read_only=read_only),
        read_document=lambda: with_keys(read_document(settings.config_path)),
        write_status=StatusWriter(settings.status_file).write,
        read_hub_networks=read_hub_networks,
        observe_container=containers.observe,
        mend_container=containers.carry_out,
        filter=FilterClient(Path(settings.filter_socket)) if settings.filter_socket else None,
        mount_faults=lambda: mount_faults(settings.config_path),
        take_failures=evidence.take if evidence else tuple,
        take_ended=evidence.take_ended if evidence else tuple,
        why_deaf=lambda: evidence.deaf if evidence else "",
        heard_s=lambda: evidence.heard_s if evidence else float("-inf"),
        time_zones=read_time_zones(),
        hide=hide,
    )


def read_manifest(path: Path) -> object:
    """Read airports.json for a command that is no round. Raises ManifestError."""
    document = with_keys(read_document(path))
    airports = document.get("airports") if isinstance(document, dict) else None
    hide(Mask().also(keys_in(airports)))
    return document


def mount_faults(path: Path) -> tuple[Fault, ...]:
    """Warn of a file that is mounted by itself."""
    if not mounted_as_file(path):
        return ()
    message = (
        "is mounted as a single file, which goes stale when the file is replaced by rename; "
        "mount its directory instead"
    )
    return (Fault(path.name, message, severity=Severity.WARNING),)


def hub_facts(settings: Settings) -> HubFacts:
    """Return what a declaration is checked against; elsewhere than on the hub that is little."""
    client = ViciClient(str(settings.vici_socket))
    try:
        observed = client.observe(deep=False)
    except IkeUnreachable:
        return HubFacts(settings.hub_id)
    return HubFacts(settings.hub_id, read_hub_networks(), observed.algorithms)
