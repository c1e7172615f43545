"""`reconciler proxy`: lets programs outside of the hub's network reach cameras behind tunnels.

A process of its own: the way to the cameras must not depend on the reconciler.
"""

import argparse
import asyncio
import contextlib
import logging
import signal
import threading
import time
from ipaddress import IPv4Address, IPv6Address

from reconciler.core.camera_url import CameraUrl
from reconciler.core.check import Decision, HubFacts, decide
from reconciler.core.routing import Route, Surroundings, Tunnels, judge, lans_of
from reconciler.core.sights import Sights, cameras_of, host_names
from reconciler.edges.camera_proxy import CameraProxy
from reconciler.edges.dns import Names, Resolver
from reconciler.edges.file_watch import FileWatch
from reconciler.edges.hub_networks import read_hub_networks
from reconciler.edges.key_files import with_keys
from reconciler.edges.manifest import read_document
from reconciler.errors import ManifestError
from reconciler.settings import Settings

log = logging.getLogger(__name__)
_LOOK_AT_LEAST_EVERY_S = 30.0


class Ways:
    """Which addresses lie behind tunnels, by airports.json and the names of its cameras."""

    def __init__(self, settings: Settings, names: Names) -> None:
        self._settings, self._names = settings, names
        self._tunnels = Tunnels(())
        self._hosts: set[str] = set()
        self._hub = tuple(read_hub_networks().values())
        self._decision: Decision | None = None

    def read(self) -> None:
        """Read the file; one that is broken, or an airport in it, leaves what was before."""
        accepted = self._decision.accepted if self._decision is not None else {}
        try:
            document = with_keys(read_document(self._settings.config_path))
        except ManifestError as error:
            fields = {"path": str(self._settings.config_path), "fault": str(error)}
            log.error("airports.json can't be read", extra={"fields": fields})  # noqa: TRY400
            return
        decision = decide(document, accepted, HubFacts(self._settings.hub_id), allow_removals=True)
        if decision.readable:
            self._decision = decision
            self._tunnels = Tunnels(lans_of(decision.sites.values()).values())
            self._hosts = host_names(cameras_of(Sights(), decision))
            self._names.want(self._hosts)
        self._hub = tuple(read_hub_networks().values())

    def to(self, url: CameraUrl) -> IPv4Address | IPv6Address | str:
        """Return the address of a camera behind a tunnel, or why there is none."""
        names = self._names.want(self._hosts)
        around = Surroundings(self._tunnels, self._hub, names, time.monotonic())
        verdict = judge(url, None, around, anybody=True)
        if verdict.route is Route.TUNNEL:
            return verdict.addresses[0]
        return f"{verdict.route}: only cameras behind a tunnel can be reached here"


def proxy(settings: Settings, _options: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT. Raises OSError if the port is taken."""
    names = Names(Resolver())
    ways = Ways(settings, names)
    ways.read()
    names.start()
    asyncio.run(_serve(settings, ways))
    names.stop()
    return 0


async def _serve(settings: Settings, ways: Ways) -> None:
    loop, changed, stopping = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def wake(_reason: str) -> None:
        loop.call_soon_threadsafe(changed.set)

    def stop() -> None:
        stopping.set()
        changed.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    watch = FileWatch(settings.config_path, "airports.json changed", wake)
    watch.start()
    server = CameraProxy(ways.to)
    host, port = settings.proxy_address
    await server.start(host, port)
    log.info("started", extra={"fields": {"listen": settings.proxy_listen}})
    while not stopping.is_set():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_AT_LEAST_EVERY_S):
                await changed.wait()
        changed.clear()
        ways.read()
    server.close()
    watch.stop()
