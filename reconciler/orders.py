"""What an operator may ask for by command line about one connection: pause, resume, retry, rekey.

The wish is written to the state volume, where the running reconciler finds it at once, and a
later one as well.
"""

import argparse
import re
import sys
import time
from collections.abc import Callable

from reconciler.core.check import Fault, HubFacts, decide, unreadable
from reconciler.core.status import ConnectionStatus
from reconciler.edges.state import State
from reconciler.edges.status_file import read_status
from reconciler.errors import ManifestError, OrderError, StatusError
from reconciler.settings import Settings
from reconciler.text import duration
from reconciler.wiring import read_manifest

_UNITS_S = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_LOOK_S = 0.5
# charon's ages are whole seconds of another clock.
_AGE_ERROR_S = 1


def parse_duration_s(text: str) -> int:
    """Read 90, 90s, 30m, 2h or 1d. Raises argparse.ArgumentTypeError."""
    found = re.fullmatch(r"([0-9]{1,6})([smhd]?)", text)
    if not found or not int(found[1]):
        raise argparse.ArgumentTypeError(f"{text!r} is no duration; write one like 30m or 2h")
    return int(found[1]) * _UNITS_S[found[2]]


def pause(settings: Settings, options: argparse.Namespace) -> dict[str, object]:
    """Leave a connection alone, for a while or until `resume`."""
    now = int(time.time())
    until = now + options.duration_s if options.duration_s else 0
    name = _order(settings, options.name, paused_since=now, paused_until=until)
    how_long = (
        f"for {duration(options.duration_s)}" if until else f"until: reconciler resume {name}"
    )
    return {"connection": name, "paused_until": until, "text": f"{name}: left alone {how_long}"}


def resume(settings: Settings, options: argparse.Namespace) -> dict[str, object]:
    """End a pause."""
    name = _order(settings, options.name, paused_since=0, paused_until=0)
    return {"connection": name, "text": f"{name}: kept as declared again"}


def retry(settings: Settings, options: argparse.Namespace) -> dict[str, object]:
    """Forget earlier attempts, so that the next one is made at once."""
    name = _order(settings, options.name, retried_at=int(time.time()))
    return {"connection": name, "text": f"{name}: earlier attempts are forgotten"}


def rekey(settings: Settings, options: argparse.Namespace) -> dict[str, object]:
    """Have every SA renewed that is there now; wait until that is seen. Raises OrderError."""
    asked = int(time.time())
    name = _order(settings, options.name, rekey_after=asked, reauthenticate=options.reauth)
    if not options.wait_s:
        return {"connection": name, "renewed": None, "text": f"{name}: asked for"}
    took_s = _wait_until_renewed(settings, name, asked, options.wait_s)
    return {
        "connection": name,
        "renewed": True,
        "text": f"{name}: renewed, seen {took_s} s after it was asked for",
    }


def _order(settings: Settings, wanted: str, **wishes: int | bool) -> str:
    state = State(settings.state_dir, settings.swanctl_file)
    name = connection_name(settings, state, wanted)
    state.change_orders(lambda orders: orders.changed(name, **wishes))
    return name


def connection_name(settings: Settings, state: State, wanted: str) -> str:
    """Find the connection by its name or its airport's id. Raises OrderError."""
    accepted, hub = state.read_accepted(), HubFacts(settings.hub_id)
    try:
        document = read_manifest(settings.config_path)
        decision = decide(document, accepted, hub)
    except ManifestError as error:
        decision = unreadable(Fault(settings.config_path.name, str(error)), accepted, hub)
    names = {site.connection_name: site.connection_name for site in decision.sites.values()}
    names |= {id_: site.connection_name for id_, site in decision.sites.items() if id_ not in names}
    if wanted not in names:
        declared = ", ".join(sorted(set(names.values()))) or "none"
        raise OrderError(f"{wanted!r} is no declared connection or airport; declared: {declared}")
    return names[wanted]


def _wait_until_renewed(settings: Settings, name: str, asked: int, patience_s: int) -> int:
    def renewed(connection: ConnectionStatus) -> bool:
        oldest = min(connection.ike_established_at, connection.child_installed_at)
        return connection.status == "up" and oldest >= asked - _AGE_ERROR_S

    return _wait(settings, name, renewed, patience_s)


def _why_not(connection: ConnectionStatus) -> str:
    if connection.paused:
        return "it is paused"
    return connection.last_error or connection.reason or "the site has not answered yet"


def _wait(
    settings: Settings, name: str, done: Callable[[ConnectionStatus], bool], patience_s: int
) -> int:
    began_s, last = time.monotonic(), "the status file says nothing of it"
    while time.monotonic() < began_s + patience_s:
        try:
            status = read_status(settings.status_file)
        except StatusError as error:
            last = str(error)
        else:
            connection = status.connections.get(name)
            if connection and done(connection):
                return round(time.monotonic() - began_s)
            if connection:
                last = _why_not(connection)
            if time.time() - status.timestamp > 2 * settings.resync_seconds:
                last = "the status file is stale; is the reconciler running?"
        if sys.stderr.isatty():
            sys.stderr.write(".")
            sys.stderr.flush()
        time.sleep(_LOOK_S)
    raise OrderError(
        f"{name}: not renewed within {patience_s} s ({last}); it is tried again until it is"
    )
