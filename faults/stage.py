"""The demo's stack, set up so that faults can be played on it, and a strict look at it."""

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from faults.pings import Pings
from reconciler.core.observed import Observed, Unobserved
from reconciler.core.render import mark_of_secret
from reconciler.core.status import Status
from reconciler.edges.state import State
from reconciler.edges.status_file import write_status
from reconciler.edges.vici_client import ViciClient
from reconciler.errors import StatusError
from reconciler.look import look
from reconciler.memory import Memory
from reconciler.settings import Settings
from reconciler.wiring import real_world
from tests.docker import docker, eventually, run, volume_path
from tests.e2e.stack import (
    GATEWAY,
    PAUSE,
    PREFIX,
    PROJECT,
    RECONCILER,
    ROOT,
    SITES,
    Airports,
    Stack,
    declaration,
    make_elsewhere,
    new_psk,
    remove_elsewhere,
    set_aside,
)

PROXY = f"{PREFIX}docker-proxy"
STAND_IN = f"{PREFIX}stand-in"
USER = 10001
FRESH_S = 30
_CACHE_BYTES = 4 * 1024 * 1024
_VICI_DEADLINE_S = 2.0
_RECOVERY_S = 60.0


class Stage(Stack):
    """The stack on which faults are played.

    Attributes:
        cameras: what answers pings behind each airport. One that is declared and has none must be
            loaded, and no site dials for it.
        reconciler: the container that reconciles at this moment.
        clock_offset_s: by how much that container's clock is wrong.

    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.cameras = dict(SITES)
        self.reconciler = RECONCILER
        self.clock_offset_s = 0
        self._volumes: dict[str, Path] = {}

    # Paths

    @property
    def cache(self) -> Path:
        """The directory of the status file; a small file system of its own."""
        return self.status_file.parent

    def saved_connections(self) -> Path:
        """Return what charon loads at its own start."""
        return self.volume("config") / "swanctl.conf"

    def vici_socket(self) -> Path:
        """Return charon's control socket."""
        return self.volume("vici") / "charon.vici"

    def volume(self, name: str) -> Path:
        """Return where one of the stack's volumes lies; it stays there."""
        if name not in self._volumes:
            self._volumes[name] = volume_path(f"{PROJECT}_{name}")
        return self._volumes[name]

    def compose(self, *arguments: str) -> None:
        """Run docker compose on the stack."""
        command = ["docker", "compose", "--progress", "quiet", "--file", "compose.demo.yaml"]
        done = subprocess.run(
            [*command, *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"compose {arguments}: {done.stderr[-2000:]}"

    # Whether all is as declared

    def not_as_declared(self, pings: Pings, since_s: float) -> str:
        """Say what is not as declared; empty if everything is. Older pings prove nothing."""
        declared = {f"{airport}_vpn" for airport in self.airports()}
        up = {f"{airport}_vpn" for airport in self.cameras}
        return (
            self._reconciler_fault()
            or self._status_fault(declared, up)
            or self._saved_fault(declared)
            or self._charon_fault(declared, up)
            or self._ping_fault(pings, since_s)
        )

    def planned(self) -> str:
        """Say what the reconciler's own plan would change; empty if nothing."""
        done = subprocess.run(
            ["docker", "exec", self.reconciler, "reconciler", "plan"],
            capture_output=True,
            text=True,
            check=False,
        )
        return "" if done.returncode == 0 else f"plan: {done.stdout.strip()} {done.stderr.strip()}"

    def _reconciler_fault(self) -> str:
        for path in ("/readyz", "/healthz"):
            code, text = self.http(path)
            if code != 200:
                return f"{path} answers {code}: {text.strip()}"
        return ""

    def _status_fault(self, declared: set[str], up: set[str]) -> str:
        try:
            status = self.status()
        except StatusError as error:
            return str(error)
        age_s = time.time() + self.clock_offset_s - status.timestamp
        if not -2 <= age_s < FRESH_S:
            return f"the status is {age_s:.0f} s old"
        return _wrong_in(status, declared, up)

    def _saved_fault(self, declared: set[str]) -> str:
        path = self.saved_connections()
        try:
            text, found = path.read_text(errors="replace"), path.stat()
        except OSError as error:
            return f"what charon loads at its start can't be read: {error}"
        if (found.st_uid, found.st_mode & 0o777) != (USER, 0o600):
            return "what charon loads at its start has a wrong owner or mode"
        missing = sorted(name for name in declared if f"\n  {name} {{" not in text)
        return f"not saved for charon's start: {', '.join(missing)}" if missing else ""

    def _charon_fault(self, declared: set[str], up: set[str]) -> str:
        client = ViciClient(str(self.vici_socket()), _VICI_DEADLINE_S)
        state = self.volume("state")
        world = replace(
            real_world(Settings(self.airports_file, state_dir=state), read_only=True),
            ike=client,
            state=State(state, self.saved_connections(), read_only=True),
            read_hub_networks=dict,
        )
        try:
            seen = look(world, Memory(), deep=True)
        finally:
            client.close()
        if isinstance(seen.observed, Unobserved):
            return seen.observed.reason
        planned = "; ".join(f"{type(a).__name__} {a.name}: {a.cause}" for a in seen.planned)
        if planned or seen.errors:
            return f"to be done: {planned} {' '.join(seen.errors)}"
        return _wrong_in_charon(seen.observed, declared, up)

    def _ping_fault(self, pings: Pings, since_s: float) -> str:
        dead = [a for a, camera in self.cameras.items() if not pings.of(camera).carries(since_s)]
        return f"no ping through {', '.join(sorted(dead))}" if dead else ""

    def look(self) -> Observed:
        """Look at charon itself, without much patience. Raises IkeUnreachable."""
        client = ViciClient(str(self.vici_socket()), _VICI_DEADLINE_S)
        try:
            return client.observe(deep=True)
        finally:
            client.close()

    # Setting up and tidying up

    @contextlib.contextmanager
    def standing(self) -> Iterator[None]:
        """Have the stack running meanwhile."""
        with set_aside(), self._small_file_system():
            self.demo("down")
            make_elsewhere()
            try:
                self.demo("up")
                yield
            finally:
                self.demo("down")
                remove_elsewhere()

    @contextlib.contextmanager
    def _small_file_system(self) -> Iterator[None]:
        """Make a file system that can be filled and frozen without harm to anybody."""
        image = self.folder.with_suffix(".img")
        with image.open("wb") as file:
            file.truncate(_CACHE_BYTES)
        run("mkfs.ext4", "-q", "-m", "0", str(image))
        self.cache.mkdir(parents=True)
        # Looking at a file must not write to it, as that would wait while it is frozen.
        run("mount", "-o", "loop,noatime", str(image), str(self.cache))
        try:
            yield
        finally:
            run("fsfreeze", "--unfreeze", str(self.cache), check=False)
            run("umount", "--lazy", str(self.cache))
            image.unlink()

    def forget_earlier_faults(self) -> None:
        """Let no pause be left that an earlier run has earned: each is to be the first one."""
        status = self.status()
        if status.container is None or not status.container.attempts:
            return
        docker("stop", "--time", "5", RECONCILER)
        forgetful = {"attempts": 0, "attempt_times": (), "not_before": 0}
        container = status.container.model_copy(update=forgetful)
        write_status(self.status_file, status.model_copy(update={"container": container}))
        docker("start", RECONCILER)
        self.wait_until_ready()

    def recover(self) -> None:
        """Bring the stack to its first state after a fault that was not healed."""
        docker("rm", "--force", STAND_IN, check=False)
        docker("unpause", GATEWAY, check=False)
        for name in (PAUSE, PROXY, *(f"{PREFIX}site-{airport}" for airport in SITES)):
            docker("start", name, check=False)
        docker("restart", "--time", "5", GATEWAY, RECONCILER, check=False)
        try:
            self.wait_until_all_up(_RECOVERY_S)
        except (AssertionError, StatusError, OSError, ValueError):
            self.start_anew()

    def start_anew(self) -> None:
        """Remove the stack and start it, with new keys."""
        self.demo("down")
        self.demo("up")

    # Tools to play faults with

    def wait_until_container_is_told(self, *states: str, within_s: float) -> None:
        """Wait until the status says one of these of charon's container."""

        def told() -> bool:
            container = self.status().container
            return container is not None and container.state in states

        eventually(told, within_s, f"charon's container is told to be {' or '.join(states)}")

    def edit_and_wait(self, within_s: float) -> None:
        """Add an airport or remove it again, and wait until charon has it so."""
        adding = "k70" not in self.airports()

        def change(airports: Airports) -> None:
            if adding:
                airports["k70"] = declaration("k70", new_psk(), "10.70.0.0/24")
            else:
                del airports["k70"]

        self.edit(change)
        eventually(
            lambda: ("k70_vpn" in self.look().connections) == adding,
            within_s,
            "an edit of airports.json is in force",
        )

    @contextlib.contextmanager
    def another_reconciler(
        self,
        *command: str,
        image: str = "vpn-reconciler",
        environment: dict[str, str] | None = None,
        volumes: tuple[str, ...] = (),
        program: str = "",
    ) -> Iterator[str]:
        """Run a container that has what the reconciler has: volumes, settings, network, user."""
        self.start_another_reconciler(
            *command, image=image, environment=environment, volumes=volumes, program=program
        )
        try:
            yield STAND_IN
        finally:
            docker("rm", "--force", STAND_IN)

    def start_another_reconciler(
        self,
        *command: str,
        image: str = "vpn-reconciler",
        environment: dict[str, str] | None = None,
        volumes: tuple[str, ...] = (),
        program: str = "",
    ) -> None:
        """Start it in the background."""
        docker("rm", "--force", STAND_IN, check=False)
        settings = json.loads(docker("inspect", "--format", "{{json .Config.Env}}", RECONCILER))
        settings += [f"{key}={value}" for key, value in (environment or {}).items()]
        docker(
            *("run", "--detach", "--name", STAND_IN, "--network", f"container:{PAUSE}"),
            *("--volumes-from", RECONCILER, "--user", f"{USER}:{USER}", "--cap-drop", "ALL"),
            *("--read-only", "--tmpfs", "/tmp"),  # noqa: S108 - in the container
            *(part for setting in settings for part in ("--env", setting)),
            *(part for volume in volumes for part in ("--volume", volume)),
            *(("--entrypoint", program) if program else ()),
            *(image, *command),
        )

    def own(self, path: Path) -> None:
        """Give a file to the user of the containers."""
        os.chown(path, USER, USER)

    def wait_for_new_process(self, container: str, before: int, within_s: float) -> None:
        """Wait until the container runs again, with another process."""
        eventually(
            lambda: self.process_of(container) not in (0, before), within_s, f"{container} runs"
        )


def _wrong_in(status: Status, declared: set[str], up: set[str]) -> str:
    if not status.daemon.reachable:
        return f"status: charon is unreachable: {status.daemon.error}"
    if status.connections.keys() != declared:
        return f"status: tells of {', '.join(sorted(status.connections))}"
    down = sorted(
        f"{name} {found.status} ({found.reason})"
        for name, found in status.connections.items()
        if name in up and found.status != "up"
    )
    if down:
        return f"status: {', '.join(down)}"
    if not status.configuration.valid or status.configuration.removals_held:
        return "status: the configuration is faulty or held"
    if status.container is None or status.container.state != "running":
        return f"status: container {status.container}"
    return f"status: {status.reconciler.errors}" if status.reconciler.errors else ""


def _wrong_in_charon(observed: Observed, declared: set[str], up: set[str]) -> str:
    carrying = {sa.name for sa in observed.sas if sa.carrying_children}
    marked = {found[0] for id_ in observed.secret_ids if (found := mark_of_secret(id_)) is not None}
    if missing := declared - observed.connections.keys():
        return f"charon has not loaded {', '.join(sorted(missing))}"
    if missing := declared - marked:
        return f"charon has no key of ours for {', '.join(sorted(missing))}"
    if missing := up - carrying:
        return f"charon has no tunnel for {', '.join(sorted(missing))}"
    extra = (carrying | marked) - declared
    return f"charon has what is not declared: {', '.join(sorted(extra))}" if extra else ""
