"""The demo's stack under other names, for tests: edit its file, play its sites, look at it."""

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconciler.core.observed import IkeSa, Observed
from reconciler.core.status import ConnectionStatus, Status
from reconciler.edges.status_file import read_status
from reconciler.edges.vici_client import ViciClient
from tests.docker import docker, eventually, eventually_nothing, run, volume_path

ROOT = Path(__file__).parents[2]
PREFIX = "test-"
PROJECT = "vpn-test"
HTTP_PORT, WEB_PORT, PROMETHEUS_PORT, ALERTMANAGER_PORT = 9581, 9681, 9691, 9694
NETWORK_PREFIX = "10.214"
GATEWAY, RECONCILER, PAUSE = f"{PREFIX}gateway", f"{PREFIX}reconciler", f"{PREFIX}pause"
SITES = {"kspb": "192.168.1.100", "kczk": "192.168.2.100", "s51": "192.168.51.100"}
# Sites that a test adds stand on this network and dial the published ports of the host.
ELSEWHERE, ELSEWHERE_SUBNET, ELSEWHERE_HOST = f"{PREFIX}elsewhere", "10.214.9.0/24", "10.214.9.1"
ARTIFACTS = ROOT / "test-artifacts"
PING_EVERY_S, UNDER_WAY_S = 0.05, 0.2
SERVICE_USER = 10001  # charon and the reconciler, in the images

Airports = dict[str, Any]


@dataclass(frozen=True)
class Loss:
    """What a ping through one tunnel saw."""

    sent: int
    lost: list[int]


def assert_nothing_lost(losses: Mapping[str, Loss], *, replaced: str = "") -> None:
    """Nobody lost a packet; the site whose SA was replaced at most what was under way just then.

    A responder may send on a new SA before the initiator has installed it (RFC 7296, 2.8), which is
    a matter of milliseconds. A tunnel that is cut and dialled anew takes a second and more.
    """
    under_way = losses[replaced].lost if replaced else []
    assert {camera: loss.lost for camera, loss in losses.items() if camera != replaced} == {
        camera: [] for camera in losses if camera != replaced
    }
    assert len(under_way) <= UNDER_WAY_S / PING_EVERY_S, under_way


class Stack:
    """The running stack. All times are deadlines, never sleeps."""

    def __init__(
        self,
        folder: Path,
        prefix: str = PREFIX,
        project: str = PROJECT,
        http_port: int = HTTP_PORT,
    ) -> None:
        self.folder = folder
        self.prefix, self.project, self.http_port = prefix, project, http_port
        self.gateway, self.reconciler, self.pause = (
            f"{prefix}{name}" for name in ("gateway", "reconciler", "pause")
        )
        self.demo_output = ""
        self.airports_file = folder / "airports.json"
        self.status_file = folder / "cache" / "vpn-status.json"
        self.environment = {
            **os.environ,
            "COMPOSE_PROJECT_NAME": project,
            "NAME_PREFIX": prefix,
            "DEMO_DIR": str(folder),
            "NETWORK_PREFIX": NETWORK_PREFIX,
            "HTTP_PORT": str(http_port),
            "WEB_PORT": str(WEB_PORT),
            "PROMETHEUS_PORT": str(PROMETHEUS_PORT),
            "ALERTMANAGER_PORT": str(ALERTMANAGER_PORT),
            "COMPOSE_PROFILES": "",
            "SITE_DPD_DELAY": "5s",
            "PROBE_INTERVAL_SECONDS": "5",
            "CAMERA_INTERVAL_SECONDS": "10",
            "RESTARTS_PER_HOUR": "1000",  # the tests do in minutes what else takes months
        }

    def demo(self, what: str) -> str:
        """Run scripts/demo and return what it printed."""
        done = subprocess.run(
            [ROOT / "scripts" / "demo", what],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"demo {what}:\n{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    # The declaration

    def airports(self) -> Airports:
        return dict(json.loads(self.airports_file.read_text())["airports"])

    def declare(self, airports: Airports) -> None:
        """Replace the file as editors do: a new file, renamed over the old one."""
        self.write(json.dumps({"airports": airports}, indent=2))

    def write(self, text: str) -> None:
        draft = self.airports_file.with_suffix(".draft")
        draft.write_text(text)
        draft.chmod(0o640)  # it holds keys; the group is the folder's
        draft.replace(self.airports_file)

    def edit(self, change: Callable[[Airports], object]) -> None:
        """Change the declaration."""
        airports = self.airports()
        change(airports)
        self.declare(airports)

    def make_folders(self, airports: Airports) -> None:
        """Lay the files out as docs/install.md says: the service may read, and write only status.

        New files get the folder's group, as `declare` writes the declaration for it.
        """
        for name in ("cache", "secrets"):
            (self.folder / name).mkdir()
            os.chown(self.folder / name, SERVICE_USER, SERVICE_USER)
        os.chown(self.folder, 0, SERVICE_USER)
        self.folder.chmod(0o2750)
        self.declare(airports)

    @contextlib.contextmanager
    def edited(self, change: Callable[[Airports], object]) -> Iterator[None]:
        """Change the declaration for a while; afterwards it is what it was, and all is up."""
        before = self.airports_file.read_text()
        airports = self.airports()
        change(airports)
        self.declare(airports)
        try:
            yield
        finally:
            self.write(before)
            self.wait_until_all_up()

    # What is seen

    def status(self) -> Status:
        return read_status(self.status_file)

    def connection(self, name: str) -> ConnectionStatus | None:
        return self.status().connections.get(name)

    def is_up(self, name: str) -> bool:
        connection = self.connection(name)
        return connection is not None and connection.status == "up"

    def wait_until_all_up(self, within_s: float = 45) -> None:
        def missing() -> list[str]:
            status = self.status()
            names = {f"{airport}_vpn" for airport in self.airports()}
            found = {name: c.status for name, c in status.connections.items()}
            age_s = time.time() - status.timestamp
            return [
                *([f"the status is {age_s:.0f} s old"] if age_s >= 30 else []),
                *([] if status.configuration.valid else map(str, status.configuration.faults)),
                *(f"{name} is {found.get(name)}" for name in names if found.get(name) != "up"),
                *(f"{name} is not declared" for name in found.keys() - names),
            ]

        eventually_nothing(missing, within_s, "all declared tunnels are up")

    def wait_until_container(self, state: str) -> None:
        def is_it() -> bool:
            container = self.status().container
            return container is not None and container.state == state

        eventually(is_it, 35, f"charon's container is {state}")

    def observe(self) -> Observed:
        """Look at charon itself, not at what the reconciler says of it."""
        with self.vici() as client:
            return client.observe(deep=True)

    @contextlib.contextmanager
    def vici(self) -> Iterator[ViciClient]:
        client = ViciClient(str(volume_path(f"{self.project}_vici") / "charon.vici"))
        try:
            yield client
        finally:
            client.close()

    def sas(self, name: str) -> list[IkeSa]:
        return [sa for sa in self.observe().sas if sa.name == name and sa.live]

    def ike_ids(self) -> dict[str, str]:
        """Return unique ids by name: the same before and after means that nothing was torn down."""
        return {sa.name: sa.unique_id for sa in self.observe().sas if sa.live}

    def http(self, path: str) -> tuple[int, str]:
        """Ask the reconciler; 0 if it does not answer."""
        try:
            url = f"http://127.0.0.1:{self.http_port}{path}"
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def wait_until_ready(self, within_s: float = 20) -> None:
        eventually(lambda: self.http("/readyz")[0] == 200, within_s, "the reconciler is ready")

    def metric(self, series: str) -> float | None:
        """Return the value of one series, None if there is none."""
        for line in self.http("/metrics")[1].splitlines():
            if line.startswith(series + " "):
                return float(line.rpartition(" ")[2])
        return None

    def actions_done(self) -> float:
        """Count the actions of this reconciler; fail if it can't be asked."""
        code, text = self.http("/metrics")
        assert code == 200, text
        return sum(
            float(line.rpartition(" ")[2])
            for line in text.splitlines()
            if line.startswith("vpn_actions_total{")
        )

    def container_text(self, name: str) -> str:
        """Return everything that a container has logged."""
        done = subprocess.run(["docker", "logs", name], capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    def container_log(self, name: str) -> list[str]:
        return self.container_text(name).splitlines()

    # Through the tunnels

    def picture(self, camera: str) -> bytes:
        """Fetch a camera's picture from inside the hub's network."""
        script = (
            "import sys, urllib.request as u; "
            f"sys.stdout.buffer.write(u.urlopen('http://{camera}/snapshot.jpg', timeout=5).read())"
        )
        done = subprocess.run(
            ["docker", "exec", self.reconciler, "python", "-c", script],
            capture_output=True,
            check=False,
        )
        return done.stdout if done.returncode == 0 else b""

    @contextlib.contextmanager
    def pinging(self, *cameras: str, interval_s: float = PING_EVERY_S) -> Iterator[dict[str, Loss]]:
        """Ping through tunnels at 20 Hz meanwhile; the losses are filled in afterwards."""
        pid = docker("inspect", "--format", "{{.State.Pid}}", self.pause).strip()
        program = [sys.executable, str(ROOT / "tests" / "e2e" / "pinger.py"), str(interval_s)]
        process = subprocess.Popen(
            ["nsenter", f"--net=/proc/{pid}/ns/net", *program, *cameras], stdout=subprocess.PIPE
        )
        losses: dict[str, Loss] = {}
        try:
            yield losses
        finally:
            process.send_signal(signal.SIGTERM)
            printed, _ = process.communicate(timeout=20)
        for camera, seen in json.loads(printed).items():
            losses[camera] = Loss(seen["sent"], seen["lost"])
            assert seen["sent"] >= 40, "too few pings to tell anything"

    # Faults

    def kill(self, container: str) -> None:
        """Kill as the kernel would: Docker must notice by itself."""
        run("kill", "-9", str(self.process_of(container)))

    def inside(self, container: str, *command: str, check: bool = True) -> str:
        """Run one of this machine's commands in the network of a container."""
        process = self.process_of(container)
        return run("nsenter", f"--net=/proc/{process}/ns/net", *command, check=check)

    def process_of(self, container: str) -> int:
        """Return the container's first process; 0 if it does not run."""
        found = docker("inspect", "--format", "{{.State.Pid}}", container, check=False).strip()
        return int(found) if found.isdecimal() else 0

    def swanctl(self, configuration: str) -> None:
        """Load connections as somebody would by hand, in charon's container."""
        path = "/tmp/by-hand.conf"  # noqa: S108 - in the container
        write = ("exec", "-i", self.gateway, "sh", "-c", f"cat >{path}")
        docker(*write, stdin=configuration.encode())
        uri = "unix:///run/vici/charon.vici"
        docker("exec", self.gateway, "swanctl", "--load-conns", "--file", path, "--uri", uri)

    def move(self, container: str, old: str, new: str) -> None:
        """Take an address away from a container, and give it another one instead."""
        found = json.loads(self.inside(container, "ip", "-json", "address", "show", "to", old))
        device = next(entry["ifname"] for entry in found if entry)
        self.inside(container, "ip", "address", "delete", f"{old}/28", "dev", device)
        self.inside(container, "ip", "address", "add", f"{new}/28", "dev", device)

    # Sites of a test's own

    @contextlib.contextmanager
    def site(self, airport: str, psk: str, lan: str, camera: str, **more: str) -> Iterator[str]:
        """Run one more airport, which dials the published ports of the host."""
        name, secret = f"{self.prefix}site-{airport}", self.folder / "secrets" / f"{airport}.psk"
        secret.write_text(psk)
        os.chown(secret, SERVICE_USER, SERVICE_USER)
        secret.chmod(0o600)
        environment = {
            "AIRPORT": airport,
            "HUB_ADDRESS": ELSEWHERE_HOST,
            "LAN": lan,
            "CAMERA": camera,
            "PSK_FILE": "/run/secrets/psk",
            "DPD_DELAY": "5s",
            **more,
        }
        network = ["--network", environment.pop("NETWORK", ELSEWHERE)]
        if address := environment.pop("ADDRESS", ""):
            network += ["--ip", address]
        docker("rm", "--force", name, check=False)
        docker(
            *("run", "--detach", "--name", name, *network, "--cap-drop", "ALL"),
            *("--cap-add", "NET_ADMIN", "--cap-add", "NET_BIND_SERVICE"),
            *("--device", "/dev/net/tun", "--volume", f"{secret}:/run/secrets/psk:ro"),
            *(part for key, value in environment.items() for part in ("--env", f"{key}={value}")),
            "vpn-site",
        )
        try:
            yield name
        finally:
            ARTIFACTS.mkdir(exist_ok=True)
            (ARTIFACTS / f"{name}.log").write_text(self.container_text(name))
            docker("rm", "--force", name)


def declaration(airport: str, psk: str, lan: str, **changes: object) -> dict[str, object]:
    """One airport as it stands in the file."""
    vpn = {"enabled": True, "type": "ipsec", "remote_subnet": lan, "psk": psk, **changes}
    return {"name": airport, "vpn": vpn, "webcams": []}


def toggle_lifetime(airports: Airports) -> None:
    """Change what leads to a new child tunnel, and costs no packet."""
    vpn = airports["kspb"]["vpn"]
    vpn["lifetime"] = 1800 if int(vpn.get("lifetime", 3600)) == 3600 else 3600


def saved_section(text: str, name: str) -> str:
    """Return one connection of what charon loads at its own start."""
    found = re.search(rf"^  {name} \{{\n.*?^  \}}\n", text, re.DOTALL | re.MULTILINE)
    assert found, f"{name} is not in the saved connections"
    return found.group()


def new_psk() -> str:
    return secrets.token_urlsafe(32)


@contextlib.contextmanager
def set_aside(project: str = "demo") -> Iterator[None]:
    """Stop a demo that runs here, as it holds UDP 500 and 4500; afterwards start it again."""
    label = f"label=com.docker.compose.project={project}"
    running = docker("ps", "--quiet", "--filter", label).split()
    compose = ("docker", "compose", "--project-name", project, "--file", "compose.demo.yaml")
    command = [*compose, "--project-directory", str(ROOT)]
    if running:
        subprocess.run([*command, "stop", "--timeout", "5"], cwd=ROOT, check=True)
    try:
        yield
    finally:
        if running:
            subprocess.run([*command, "start"], cwd=ROOT, check=True)


def make_elsewhere(
    network: str = ELSEWHERE, subnet: str = ELSEWHERE_SUBNET, host: str = ELSEWHERE_HOST
) -> None:
    remove_elsewhere(network)
    docker("network", "create", "--subnet", subnet, "--gateway", host, network)


def remove_elsewhere(network: str = ELSEWHERE) -> None:
    for name in docker("ps", "--all", "--quiet", "--filter", f"network={network}").split():
        docker("rm", "--force", name)
    docker("network", "rm", network, check=False)


def left_over(project: str = PROJECT) -> list[str]:
    """Return the containers, networks and volumes that are there of the stack."""
    mine = ("--quiet", "--filter", f"label=com.docker.compose.project={project}")
    containers = docker("ps", "--all", *mine).split()
    return (
        containers + docker("network", "ls", *mine).split() + docker("volume", "ls", *mine).split()
    )


def keep_evidence(stack: Stack, name: str) -> None:
    """Keep logs, status and charon's own view, for whoever looks into a failure."""
    folder = ARTIFACTS / "".join(c if c.isalnum() or c in "-_" else "_" for c in name)[:80]
    folder.mkdir(parents=True, exist_ok=True)
    for container in docker(
        "ps", "--all", "--format", "{{.Names}}", "--filter", f"name={stack.prefix}"
    ).split():
        with (folder / f"{container}.log").open("wb") as file:
            command = ["docker", "logs", "--timestamps", container]
            subprocess.run(command, stdout=file, stderr=file, check=False)
    if stack.status_file.exists():
        shutil.copy(stack.status_file, folder)
    uri = "unix:///run/vici/charon.vici"
    view = docker(
        "exec", stack.gateway, "timeout", "10", "swanctl", "--list-sas", "--uri", uri, check=False
    )
    (folder / "list-sas.txt").write_text(view)
    plan = docker("exec", stack.reconciler, "reconciler", "plan", check=False)
    (folder / "plan.txt").write_text(plan)
