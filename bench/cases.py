"""What is compared: cold load, one edit, one observation."""

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import peer
from bench.fleet import edit, manifest
from bench.measure import Result, Series, interleave, ratio_of_medians
from bench.ours import Rounds, logging_to, settings_for, stopwatch, world_of
from bench.stage import Hub, hub, live_tunnels, start_sites
from reconciler.core.actions import Load
from reconciler.core.swanctl import swanctl_text
from reconciler.edges.file_watch import FileWatch
from reconciler.edges.vici_client import ViciClient
from reconciler.look import look
from reconciler.memory import Memory
from reconciler.wakes import SETTLE_S, Wakes
from tests.docker import eventually

CONNECTIONS = 1000
TUNNELS = 100
OBSERVE_RUNS = 15  # one takes milliseconds, so a few more cost nothing
_WAKE_PATIENCE_S = 30.0
_WATCH_STARTS_S = 0.5


class Bench:
    """A hub, a client to look at it, and airports.json; what the cases have in common."""

    def __init__(self, stage: Hub) -> None:
        self.hub = stage
        self.settings = settings_for(stage)
        self.client = ViciClient(str(stage.socket))
        self.document: dict[str, Any] = manifest(CONNECTIONS)

    def draft(self) -> Path:
        """Write what is to become airports.json by a rename."""
        return self.hub.draft(self.settings.config_path, json.dumps(self.document, indent=1))

    def declare(self) -> None:
        """Put the document into force as airports.json."""
        self.draft().replace(self.settings.config_path)

    def swanctl_by_hand(self) -> float:
        """Load by swanctl what the reconciler would write for charon's own start."""
        world = replace(world_of(self.hub), read_document=lambda: self.document)
        desired = look(world, Memory(), deep=False).desired
        world.ike.close()
        path = self.hub.shared / "peer" / peer.SWANCTL_FILE.name
        self.hub.draft(path, swanctl_text(desired.values())).replace(path)
        took_s = peer.load_all()
        self.check_loaded()
        return took_s

    def check_loaded(self) -> None:
        """Raise unless charon has every connection and as many secrets."""
        seen = self.client.observe(deep=False)
        counts = (len(seen.connections), len(seen.secret_ids))
        if counts != (CONNECTIONS, CONNECTIONS):
            raise RuntimeError(f"connections and secrets loaded: {counts}")

    def empty(self) -> None:
        """Unload everything."""
        seen = self.client.observe(deep=False)
        for name in seen.connections:
            self.client.unload_connection(name)
        for secret_id in seen.secret_ids:
            self.client.unload_secret(secret_id)


def cold(runs: int) -> Result:
    """Load everything into an empty charon."""
    with hub() as stage, logging_to(stage.shared / "log"):
        bench = Bench(stage)

        def fresh() -> None:
            bench.empty()
            stage.renew()
            bench.declare()

        def ours() -> float:
            fresh()
            rounds = Rounds(world_of(stage))
            began_s = stopwatch()
            rounds.until_nothing_is_left({"start"})
            took_s = stopwatch() - began_s
            rounds.close()
            bench.check_loaded()
            return took_s

        def theirs() -> float:
            fresh()
            return bench.swanctl_by_hand()

        series = interleave("cold", {"reconciler": ours, "swanctl --load-all": theirs}, runs)
    title = f"cold load of {CONNECTIONS} connections"
    facts = {"before each run": "charon empty, no files of ours"}
    return Result(title, series, (ratio_of_medians(*series),), facts)


class Editor:
    """One charon with everything loaded, in which one airport changes a run.

    Both sides leave charon as the document says, so each finds exactly one change.
    """

    def __init__(self, bench: Bench, wakes: Wakes) -> None:
        self._bench = bench
        self._wakes = wakes
        self._rounds = Rounds(world_of(bench.hub))
        self._edits = 0
        self.alone: list[float] = []
        self._rounds.until_nothing_is_left({"start"})

    def ours(self) -> float:
        """Measure from the rename of airports.json to the end of the round that loaded it."""
        self._edit()
        draft = self._bench.draft()
        began_s = stopwatch()
        draft.replace(self._bench.settings.config_path)
        reasons = self._wakes.wait(_WAKE_PATIENCE_S)
        woken_s = stopwatch()
        outcomes = self._rounds.until_nothing_is_left(reasons)
        ended_s = stopwatch()
        if [type(outcome.action) for outcome in outcomes] != [Load]:
            raise RuntimeError(f"not one load: {sorted(reasons)}, {len(outcomes)} actions")
        self.alone.append(ended_s - woken_s)
        return ended_s - began_s

    def theirs(self) -> float:
        """Measure swanctl with the whole file, into which another edit went."""
        self._edit()
        return self._bench.swanctl_by_hand()

    def _edit(self) -> None:
        self._edits += 1
        edit(self._bench.document, number=self._edits * 37 % CONNECTIONS)


def one_edit(runs: int) -> Result:
    """Bring one changed airport into a charon that has everything loaded."""
    with hub() as stage, logging_to(stage.shared / "log"):
        bench, wakes = Bench(stage), Wakes()
        bench.declare()
        editor = Editor(bench, wakes)
        watch = FileWatch(bench.settings.config_path, "airports.json changed", wakes.wake)
        watch.start()
        time.sleep(_WATCH_STARTS_S)
        try:
            sides = {
                "reconciler, from the rename": editor.ours,
                "swanctl --load-all": editor.theirs,
            }
            ours, peers = interleave("edit", sides, runs)
        finally:
            watch.stop()
    alone = Series("reconciler, the round alone", tuple(editor.alone[1:]))
    return Result(
        f"one edited airport of {CONNECTIONS}",
        (ours, alone, peers),
        (ratio_of_medians(ours, peers), ratio_of_medians(alone, peers)),
        {"in the first figure": f"{SETTLE_S} s of waiting for more changes to join"},
    )


def observe(runs: int) -> Result:
    """Look at everything, with some tunnels live."""
    with hub() as stage, logging_to(stage.shared / "log"):
        bench = Bench(stage)
        bench.declare()
        Rounds(world_of(stage)).until_nothing_is_left({"start"})
        start_sites(TUNNELS)
        eventually(lambda: live_tunnels(bench.client) == TUNNELS, 120, "tunnels are up")
        sides = {
            "observe, deep": lambda: _look(bench.client, deep=True),
            "swanctl --list-sas --raw": lambda: peer.swanctl("--list-sas --raw"),
            "observe, shallow": lambda: _look(bench.client, deep=False),
            "swanctl --list-conns --raw, --list-sas --raw": lambda: peer.swanctl(
                "--list-conns --raw", "--list-sas --raw"
            ),
        }
        series = interleave("observe", sides, max(runs, OBSERVE_RUNS))
        live = live_tunnels(bench.client)
    deep, sas, shallow, both = series
    return Result(
        f"one observation of {CONNECTIONS} connections, {TUNNELS} of them live",
        series,
        (ratio_of_medians(deep, sas), ratio_of_medians(shallow, sas), ratio_of_medians(deep, both)),
        {"live tunnels at the end": live},
    )


def _look(client: ViciClient, *, deep: bool) -> float:
    began_s = stopwatch()
    seen = client.observe(deep=deep)
    took_s = stopwatch() - began_s
    if (len(seen.connections), len(seen.sas)) != (CONNECTIONS, TUNNELS):
        raise RuntimeError(f"saw {len(seen.connections)} connections, {len(seen.sas)} SAs")
    return took_s
