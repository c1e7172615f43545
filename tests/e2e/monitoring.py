"""A Prometheus of a test's own beside the stack: our image and files, only with shorter waits."""

import contextlib
import json
import shutil
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.docker import docker, eventually
from tests.e2e.stack import PREFIX, PROJECT, ROOT

MANIFESTS = ROOT / "manifests" / "prometheus"
NETWORK = f"{PROJECT}_outside"
# In the demo the reconciler listens in the network of this container.
RECONCILER_ADDRESS = "pause:9580"
# Instead of the 15 s of the shipped file.
EVERY = "2s"


class Monitor:
    """One container with an HTTP API on a port of this machine."""

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self.address = f"127.0.0.1:{port}"

    def get(self, path: str, **query: str) -> Any:
        """Return the JSON that a path answers with."""
        asked = f"{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(f"http://{self.address}{asked}", timeout=10) as answer:
            return json.load(answer)

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.address}/-/ready", timeout=5):
                return True
        except OSError:
            return False


class Prometheus(Monitor):
    """Its query API."""

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series of an instant query: `metric` (labels) and `value` (time, text)."""
        return list(self.get("/api/v1/query", query=expression)["data"]["result"])

    def value(self, expression: str) -> float | None:
        """Return the value of the only series; None if there is none."""
        found = self.query(expression)
        assert len(found) <= 1, f"{expression}: {found}"
        return float(found[0]["value"][1]) if found else None

    def query_range(
        self, expression: str, start_s: float, end_s: float, step_s: float
    ) -> list[dict[str, Any]]:
        """Return the series of a range query: `metric` (labels) and `values`."""
        times = {"start": str(start_s), "end": str(end_s), "step": str(step_s)}
        return list(self.get("/api/v1/query_range", query=expression, **times)["data"]["result"])

    def targets(self) -> list[dict[str, Any]]:
        return list(self.get("/api/v1/targets")["data"]["activeTargets"])

    def rules(self) -> list[dict[str, Any]]:
        """Return every rule with its health, its last error and the alerts that it raised."""
        groups = self.get("/api/v1/rules")["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def alerts(self, name: str = "", state: str = "") -> list[dict[str, Any]]:
        """Return the alerts that are pending or firing."""
        found = self.get("/api/v1/alerts")["data"]["alerts"]
        return [
            alert
            for alert in found
            if name in ("", alert["labels"]["alertname"]) and state in ("", alert["state"])
        ]


class Alertmanager(Monitor):
    """Its API, version 2."""

    def alerts(self, name: str = "") -> list[dict[str, Any]]:
        """Return the alerts it holds; those it keeps back say so in `status`."""
        found = self.get("/api/v2/alerts")
        return [alert for alert in found if name in ("", alert["labels"]["alertname"])]


@contextlib.contextmanager
def running(image: str, name: str, port: int, *options: str) -> Iterator[int]:
    """Run a container of ours on the stack's network, as compose would; yield its port here."""
    docker("rm", "--force", "--volumes", name, check=False)
    docker(
        *("run", "--detach", "--name", name, "--network", NETWORK, "--network-alias", name),
        *("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL"),  # noqa: S108 - in the container
        *("--security-opt", "no-new-privileges:true", "--publish", f"127.0.0.1::{port}"),
        *("--env", f"LISTEN=0.0.0.0:{port}", *options, image),
    )
    try:
        published = docker("port", name, str(port)).split()[0]
        yield int(published.rpartition(":")[2])
    finally:
        docker("rm", "--force", "--volumes", name)


def write_configuration(folder: Path, replaced: Mapping[str, str]) -> Path:
    """Copy the shipped files, with words replaced in all of them; each must be there."""
    copy = folder / "prometheus"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(MANIFESTS, copy, ignore=shutil.ignore_patterns("tests", "alertmanager"))
    missing = set(replaced)
    for file in copy.rglob("*.yml"):
        text = file.read_text()
        for old, new in replaced.items():
            if old in text:
                missing.discard(old)
                text = text.replace(old, new)
        file.write_text(text)
        file.chmod(0o644)
    for sub in (copy, *(path for path in copy.rglob("*") if path.is_dir())):
        sub.chmod(0o755)
    assert not missing, f"not in {MANIFESTS}: {missing}"
    return copy


@contextlib.contextmanager
def prometheus(
    folder: Path,
    *,
    name: str = f"{PREFIX}watcher",
    alertmanager: str = "",
    replaced: Mapping[str, str] | None = None,
) -> Iterator[Prometheus]:
    """Run Prometheus on the shipped files with short intervals; yield it once it has data."""
    every = {
        "scrape_interval: 15s": f"scrape_interval: {EVERY}",
        "evaluation_interval: 15s": f"evaluation_interval: {EVERY}",
        "scrape_timeout: 10s": f"scrape_timeout: {EVERY}",
    }
    configuration = write_configuration(folder, {**every, **(replaced or {})})
    options = (
        *("--volume", f"{configuration}:/etc/prometheus:ro"),
        *("--env", f"RECONCILERS={RECONCILER_ADDRESS}", "--env", f"ALERTMANAGER={alertmanager}"),
    )
    with running("vpn-prometheus", name, 9690, *options) as port:
        found = Prometheus(name, port)
        eventually(found.answers, 30, "Prometheus answers")
        eventually(lambda: found.query("vpn_connection_up"), 20, "it has the stack's metrics")
        yield found


@contextlib.contextmanager
def alertmanager(name: str = f"{PREFIX}sender") -> Iterator[Alertmanager]:
    """Run Alertmanager on the shipped file; Prometheus reaches it by its name, port 9693."""
    with running("vpn-alertmanager", name, 9693) as port:
        found = Alertmanager(name, port)
        eventually(found.answers, 30, "Alertmanager answers")
        yield found
