"""Put the real edges together."""

from pathlib import Path

from reconciler.core.check import Fault, Severity
from reconciler.edges.containers import Containers
from reconciler.edges.hub_networks import read_hub_networks
from reconciler.edges.key_files import with_keys
from reconciler.edges.manifest import mounted_as_file, read_document
from reconciler.edges.state import State
from reconciler.edges.status_file import StatusWriter
from reconciler.edges.vici_client import ViciClient
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
        mount_faults=lambda: mount_faults(settings.config_path),
        take_failures=evidence.take if evidence else tuple,
        take_ended=evidence.take_ended if evidence else tuple,
        why_deaf=lambda: evidence.deaf if evidence else "",
    )


def mount_faults(path: Path) -> tuple[Fault, ...]:
    """Warn of a file that is mounted by itself."""
    if not mounted_as_file(path):
        return ()
    message = (
        "is mounted as a single file, which goes stale when the file is replaced by rename; "
        "mount its directory instead"
    )
    return (Fault(path.name, message, severity=Severity.WARNING),)
