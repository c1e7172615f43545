"""The reconciler's own rounds, in this process, with every edge real."""

import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench.fleet import HUB_ID
from bench.stage import Hub
from reconciler.core.actions import Outcome
from reconciler.edges.hub_networks import read_hub_networks
from reconciler.edges.logs import configure_logging
from reconciler.memory import Memory
from reconciler.round import run_round
from reconciler.settings import Settings
from reconciler.wiring import real_world
from reconciler.world import World


class Rounds:
    """Rounds that follow each other, as the loop makes them."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._memory = Memory()

    def until_nothing_is_left(self, reasons: Iterable[str]) -> list[Outcome]:
        """Make rounds until no action is left over; raise if charon refused one."""
        outcomes: list[Outcome] = []
        more = True
        while more:
            self._memory, report = run_round(self._world, self._memory, reasons)
            outcomes += report.outcomes
            more, reasons = report.more, {"timer"}
            if not report.status_written or report.status.reconciler.errors:
                raise RuntimeError(f"round failed: {report.status.reconciler.errors}")
        refused = [outcome for outcome in outcomes if outcome.error is not None]
        if refused:
            raise RuntimeError(f"charon refused {len(refused)}, first: {refused[0]}")
        return outcomes

    def close(self) -> None:
        """Drop the connection to charon."""
        self._world.ike.close()


def settings_for(hub: Hub) -> Settings:
    """Return settings whose files lie on the volume that the containers share."""
    return Settings(
        config_path=hub.shared / "config" / "airports.json",
        status_file=hub.shared / "cache" / "vpn-status.json",
        state_dir=hub.shared / "state",
        swanctl_file=hub.shared / "state" / "swanctl.conf",
        vici_socket=hub.socket,
        hub_id=HUB_ID,
    )


def world_of(hub: Hub) -> World:
    """Return the real edges, but the networks are those of the hub's container."""
    networks = partial(read_hub_networks, Path(f"/proc/{hub.pid}/net"))
    return replace(real_world(settings_for(hub)), read_hub_networks=networks)


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Log as the container does, JSON lines at level info, into a file."""
    with path.open("a") as stream:
        configure_logging("json", "info", stream)
        try:
            yield
        finally:
            logging.basicConfig(handlers=[logging.NullHandler()], force=True)


def stopwatch() -> float:
    """Seconds of a clock that never jumps."""
    return time.perf_counter()
