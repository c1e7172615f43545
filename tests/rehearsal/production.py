"""compose.yaml as it stands, deployed on a host of its own, and the airports that dial it."""

import contextlib
import hashlib
import json
import math
import shlex
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from reconciler.core.status import ConnectionStatus, Status
from tests.docker import eventually
from tests.e2e.stack import Airports, Loss, declaration, new_psk
from tests.rehearsal.machine import Machine
from tests.rehearsal.xfrm import State, read_errors, read_states

ROOT = Path(__file__).parents[2]
COMPOSE_FILE, SITES_FILE = ROOT / "compose.yaml", Path(__file__).with_name("sites.yaml")
HUB = "198.51.100.1"
HOST_ADDRESS = "10.0.2.15"  # to which no way leads from a site but through its tunnel
FOLDER, SITES_FOLDER = "/srv/vpn", "/srv/airports"
AIRPORTS_PATH, STATUS_PATH = f"{FOLDER}/config/airports.json", f"{FOLDER}/cache/vpn-status.json"
CONTAINER_USER = 10001
CAMERAS = {"kspb": "192.168.1.100", "kczk": "192.168.2.100", "s51": "192.168.51.100"}
LANS = {"kspb": "192.168.1.0/24", "kczk": "192.168.2.0/24", "s51": "192.168.51.0/24"}
PEERS = {"kspb": "198.51.100.11", "kczk": "198.51.100.12", "s51": "198.51.100.13"}
LATER, LATER_LAN, LATER_CAMERA = "kxyz", "192.168.77.0/24", "192.168.77.100"
LATER_PEER = "198.51.100.14"
# Deadlines under emulation, on a machine that does other work too; nothing waits for one to pass.
SOON_S, UP_S, START_S = 60, 180, 420
PING_EVERY_S = 0.5


class Production:
    """What an operator has: a file to edit, commands, containers to look at."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.run = machine.run
        self.deadline_s = math.inf  # when the rehearsal as a whole is given up
        self.psks = {airport: new_psk() for airport in (*CAMERAS, LATER)}

    # As docs/install.md says

    def deploy(self) -> None:
        self.run(
            f"mkdir -p {FOLDER}/config {FOLDER}/cache && cd {FOLDER} && chown 10001 cache && "
            f"chown root:10001 config && chmod 2750 config"
        )
        self.machine.write(f"{FOLDER}/compose.yaml", COMPOSE_FILE.read_bytes())
        self.declare({a: declaration(a, self.psks[a], lan) | cameras(a) for a, lan in LANS.items()})
        self.compose("up", "--detach")

    def start_sites(self) -> None:
        self.run(f"mkdir -p {SITES_FOLDER}/secrets")
        self.machine.write(f"{SITES_FOLDER}/compose.yaml", SITES_FILE.read_bytes())
        for airport in self.psks:
            self.write_secret(airport)
        self.sites("up", "--detach")

    def write_secret(self, airport: str) -> None:
        path = f"{SITES_FOLDER}/secrets/{airport}.psk"
        self.machine.write(path, self.psks[airport], mode="600", owner=str(CONTAINER_USER))

    def compose(self, *arguments: str) -> str:
        command = f"cd {FOLDER} && docker compose --progress quiet {shlex.join(arguments)}"
        return self.run(command, timeout_s=START_S)

    def sites(self, *arguments: str) -> str:
        command = f"cd {SITES_FOLDER} && docker compose --progress quiet {shlex.join(arguments)}"
        return self.run(command, timeout_s=START_S)

    def compose_file_is_the_repositorys(self) -> bool:
        there = self.run(f"sha256sum <{FOLDER}/compose.yaml").split()[0]
        return there == hashlib.sha256(COMPOSE_FILE.read_bytes()).hexdigest()

    # The declaration

    def airports(self) -> Airports:
        return dict(json.loads(self.run(f"cat {AIRPORTS_PATH}"))["airports"])

    def declare(self, airports: Airports) -> None:
        self.write_airports(json.dumps({"airports": airports}, indent=2))

    def write_airports(self, text: str) -> None:
        self.machine.write(AIRPORTS_PATH, text, mode="640", owner="root:10001")

    def edit(self, change: Callable[[Airports], object]) -> None:
        airports = self.airports()
        change(airports)
        self.declare(airports)

    # What is seen

    def status(self) -> Status:
        """Return the status, if it is a fresh one: an old one says nothing about now."""
        now, _, text = self.run(f"date +%s; cat {STATUS_PATH}").partition("\n")
        status = Status.model_validate_json(text)
        assert int(now) - status.timestamp < 45, "the status file is old"
        return status

    def connection(self, airport: str) -> ConnectionStatus | None:
        return self.status().connections.get(f"{airport}_vpn")

    def is_up(self, airport: str) -> bool:
        connection = self.connection(airport)
        return connection is not None and connection.status == "up"

    def wait_until_all_up(self, within_s: float = UP_S) -> None:
        """Up, as the status says and as the kernel has it, and each camera's picture comes."""

        def all_up() -> bool:
            connections = self.status().connections
            declared = {f"{airport}_vpn" for airport in self.airports()}
            return set(connections) == declared and all(
                connection.status == "up" for connection in connections.values()
            )

        fresh(all_up, within_s, "all declared tunnels are up")
        for airport in CAMERAS:
            self.wait_for_picture(airport, within_s)

    def wait_for_picture(self, airport: str, within_s: float = SOON_S) -> None:
        camera = CAMERAS.get(airport, LATER_CAMERA)
        fresh(lambda: self.shows(airport, camera), within_s, f"a picture of {airport}")

    def shows(self, airport: str, camera: str) -> bool:
        return f"{airport} 20".encode() in self.picture(camera)

    def picture(self, camera: str) -> bytes:
        """Fetch a picture, as any program of the host can; nothing if there is none."""
        command = f"curl --silent --max-time 20 http://{camera}/snapshot.jpg"
        return self.machine.run_bytes(command, check=False)

    # The kernel's tables

    def states(self) -> list[State]:
        return read_states(self.run("ip -s xfrm state list nokeys"))

    def states_with(self, peer: str) -> list[State]:
        return [state for state in self.states() if peer in (state.source, state.destination)]

    def spis(self, *airports: str) -> set[str]:
        """Return the SPIs with these peers: the same before and after, and nothing was replaced."""
        peers = {PEERS[airport] for airport in airports}
        return {s.spi for s in self.states() if peers & {s.source, s.destination}}

    def policies(self) -> str:
        return self.run("ip xfrm policy list nosock")

    def errors(self) -> dict[str, int]:
        return read_errors(self.run("cat /proc/net/xfrm_stat"))

    def has_tun_device(self) -> bool:
        return "ipsec0" in self.run("ls /sys/class/net")

    # What happens

    @contextlib.contextmanager
    def pinging(self, *airports: str) -> Iterator[dict[str, Loss]]:
        """Ping through tunnels meanwhile; the losses, by airport, are filled in afterwards."""
        program, report = "/tmp/pinger.py", "/tmp/pinger.json"  # noqa: S108 - in the machine
        self.machine.write(program, (ROOT / "tests" / "e2e" / "pinger.py").read_bytes())
        names = {CAMERAS[airport]: airport for airport in airports}
        command = f"python3 {program} {PING_EVERY_S} {' '.join(names)}"
        self.run(f"rm -f {report}; {command} >{report} 2>&1 </dev/null & echo $! >{report}.pid")
        losses: dict[str, Loss] = {}
        try:
            yield losses
        finally:
            self.run(f"kill $(cat {report}.pid)")
            text = eventually(lambda: self.run(f"cat {report}"), SOON_S, "the pings", every_s=1)
            for camera, seen in json.loads(text).items():
                losses[names[camera]] = Loss(seen["sent"], seen["lost"])

    def kill(self, container: str) -> None:
        """Kill as the kernel would: Docker must notice by itself."""
        self.run(f"kill -9 $(docker inspect --format '{{{{.State.Pid}}}}' {container})")

    def inside(self, container: str, command: str) -> str:
        """Run one of the host's commands in the network of a container."""
        process = f"$(docker inspect --format '{{{{.State.Pid}}}}' {container})"
        return self.run(f"nsenter --net=/proc/{process}/ns/net {command}")

    def opens(self, airport: str) -> bool:
        """Connect from the airport's LAN through its tunnel to a port that is open on the host."""
        target, source = (HOST_ADDRESS, 22), (CAMERAS[airport], 0)
        program = f"import socket; socket.create_connection({target}, 10, {source}); print('open')"
        command = f"python3 -c {shlex.quote(program)} 2>/dev/null || true"
        return "open" in self.inside(f"site-{airport}", f"sh -c {shlex.quote(command)}")

    # When it failed

    def keep_evidence(self, folder: Path) -> None:
        """Write down all there is to see; what can't be had is no reason to stop."""
        folder.mkdir(parents=True, exist_ok=True)
        commands = {
            "containers.txt": "docker ps --all",
            "status.json": f"cat {STATUS_PATH}",
            "sas.txt": "docker exec gateway swanctl --list-sas --uri unix:///run/vici/charon.vici",
            "xfrm.txt": "ip -s xfrm state list nokeys; ip -s xfrm policy; cat /proc/net/xfrm_stat",
            "network.txt": "ip address; ip rule; ip route show table all; nft list ruleset",
            "dmesg.txt": "dmesg",
            "docker.txt": "journalctl --no-pager --lines 500 --unit docker",
        }
        with contextlib.suppress(Exception):
            names = self.run("docker ps --all --format '{{.Names}}'").split()
            commands |= {f"{name}.log": f"docker logs --timestamps {name}" for name in names}
        for name, command in commands.items():
            try:
                text = self.run(f"({command}) 2>&1", check=False)
            except Exception as error:  # noqa: BLE001 - whatever it was, the rest is wanted too
                text = f"could not be had: {error}"
            (folder / name).write_text(text)
        (folder / "console.log").write_bytes(self.machine.console.read_bytes())


def cameras(airport: str) -> dict[str, Any]:
    url = f"http://{CAMERAS.get(airport, LATER_CAMERA)}/snapshot.jpg"
    return {"webcams": [{"name": "North", "url": url}]}


def fresh(check: Callable[[], bool], within_s: float, what: str) -> None:
    """Wait for it, at a pace that leaves the emulated machine its processors."""
    deadline = time.monotonic() + within_s

    def checked() -> bool:
        try:
            return check()
        except (AssertionError, ValueError):
            if time.monotonic() > deadline:
                raise
            return False

    eventually(checked, within_s, what, every_s=1)
