"""What the commit before deployed, with live tunnels, is replaced by what is here now."""

import contextlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docker import docker, eventually, run
from tests.e2e.stack import (
    PING_EVERY_S,
    ROOT,
    Loss,
    Stack,
    assert_nothing_lost,
    declaration,
    keep_evidence,
    left_over,
    new_psk,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]

PREFIX, PROJECT, HTTP_PORT = "upgrade-", "vpn-upgrade-test", 9583
NETWORK, SUBNET, HUB = f"{PROJECT}_outside", "10.214.13.0/28", "10.214.13.2"
LANS = {"kupa": "192.168.83", "kupb": "192.168.84"}
CAMERAS = [f"{lan}.100" for lan in LANS.values()]
OLD, NEW = "previous", "latest"
# What an update replaces. A commit that touched none of it is no earlier deployment.
DEPLOYED = ("compose.yaml", "images", "reconciler", "pyproject.toml", "requirements.lock")
# A site's attempt may just have begun when charon went away; it then waits that long at most.
DIALLING_S = 20


def git(*arguments: str, check: bool = True) -> str:
    return run("git", "-C", str(ROOT), *arguments, check=check).strip()


def earlier_commit() -> str:
    """Return the newest commit with another deployment than the files here; empty: none known."""
    if git("status", "--porcelain", "--", *DEPLOYED, check=False):
        return git("rev-parse", "HEAD")
    newest = git("log", "-1", "--format=%H", "--", *DEPLOYED, check=False)
    return git("rev-parse", "--verify", "--quiet", f"{newest}~1", check=False) if newest else ""


def check_out(commit: str, tree: Path) -> None:
    archive = subprocess.run(
        ["git", "-C", str(ROOT), "archive", commit], stdout=subprocess.PIPE, check=True
    ).stdout
    tree.mkdir()
    subprocess.run(["tar", "-x", "-C", str(tree)], input=archive, check=True)
    if (ROOT / "images/base/ca").is_dir():  # of this machine, not of any commit
        shutil.copytree(ROOT / "images/base/ca", tree / "images/base/ca", dirs_exist_ok=True)


def services(tree: Path) -> Mapping[str, Mapping[str, Any]]:
    """Return what runs without being asked for."""
    all_of_them = yaml.safe_load((tree / "compose.yaml").read_text())["services"]
    return {name: one for name, one in all_of_them.items() if "profiles" not in one}


def build(tree: Path) -> None:
    """Build a tree's images under tags of their own; those of the present stay what they are."""
    builder = docker("context", "inspect", "--format", "{{.Name}}").strip()
    images = {str(one["image"]).removeprefix("vpn-"): None for one in services(tree).values()}
    for image in ("base", *images):
        file = tree / "images" / image / "Dockerfile"
        ours = re.compile(r"^FROM (vpn-[a-z-]+)(:\S+)?", re.MULTILINE)
        file.write_text(ours.sub(rf"FROM \1:{OLD}", file.read_text()))
        run(
            *("docker", "buildx", "build", "--builder", builder, "--load", "--quiet"),
            *("--tag", f"vpn-{image}:{OLD}", "--file", str(file), str(tree)),
            timeout_s=900,
        )


def compose_file(tree: Path, tag: str, folder: Path) -> Path:
    """Write the services of a tree's compose.yaml, on a network of its own in place of the host's.

    That network's owner is the same for both trees, and is not replaced.
    """
    made: dict[str, Any] = {
        "pause": {
            "image": "vpn-pause",
            "container_name": f"{PREFIX}pause",
            "ports": [f"127.0.0.1:{HTTP_PORT}:9580"],
            "sysctls": {"net.ipv4.ping_group_range": "0 2147483647", "net.ipv4.ip_forward": 0},
            "networks": {"outside": {"ipv4_address": HUB}},
        }
    }
    for name, service in services(tree).items():
        made[name] = {
            "extends": {"file": str(tree / "compose.yaml"), "service": name},
            "image": f"{service['image']}:{tag}",
            "healthcheck": {"interval": "2s"},
        }
        if service.get("network_mode") == "host":
            made[name]["network_mode"] = "service:pause"
    volumes = yaml.safe_load((tree / "compose.yaml").read_text())["volumes"]
    document = {
        "services": made,
        "volumes": dict.fromkeys(volumes),
        "networks": {"outside": {"ipam": {"config": [{"subnet": SUBNET}]}}},
    }
    file = folder / f"compose.{tag}.yaml"
    file.write_text(json.dumps(document))
    return file


class Deployment(Stack):
    """The stack under names of its own, from one tree or the other."""

    def __init__(self, folder: Path, files: Mapping[str, Path]) -> None:
        super().__init__(folder, PREFIX, PROJECT, HTTP_PORT)
        self.files = files
        self.environment |= {
            "AIRPORTS_DIR": str(folder),
            "CACHE_DIR": str(folder / "cache"),
            "LISTEN": "0.0.0.0:9580",
        }

    def compose(self, version: str, *arguments: str) -> None:
        command = ["docker", "compose", "--file", str(self.files[version]), *arguments]
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    def upgrade(self, *only: str) -> None:
        alone = ("--no-deps",) if only else ()
        self.compose(NEW, "up", "--detach", "--no-build", *alone, *only)

    def image_of(self, name: str) -> str:
        return docker("inspect", "--format", "{{.Config.Image}}", f"{PREFIX}{name}").strip()

    def history(self) -> list[tuple[object, ...]]:
        told = json.loads(docker("exec", self.reconciler, "reconciler", "history", "--json"))
        keys = ("connection_name", "at", "from_status", "to_status")
        return [tuple(one[key] for key in keys) for one in told]

    def carries(self) -> bool:
        return all(f"{site} 20".encode() in self.picture(f"{LANS[site]}.100") for site in LANS)


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Deploy the earlier commit, with two sites that are no part of what is upgraded."""
    commit = earlier_commit()
    if not commit:
        pytest.skip("no earlier commit is known here, as in a shallow clone: git fetch --unshallow")
    work = tmp_path_factory.mktemp("trees")
    check_out(commit, work / OLD)
    build(work / OLD)
    files = {
        OLD: compose_file(work / OLD, OLD, work),
        NEW: compose_file(ROOT, NEW, work),
    }
    deployment = Deployment(tmp_path_factory.mktemp("upgrade"), files)
    keys = {site: new_psk() for site in LANS}
    declared = {site: declaration(site, keys[site], f"{lan}.0/24") for site, lan in LANS.items()}
    deployment.make_folders(declared)
    deployment.compose(NEW, "down", "--volumes", "--timeout", "3")
    try:
        deployment.compose(OLD, "up", "--detach", "--no-build")
        where = {"NETWORK": NETWORK, "HUB_ADDRESS": HUB}
        first, second = (
            deployment.site(site, keys[site], f"{lan}.0/24", f"{lan}.100", **where)
            for site, lan in LANS.items()
        )
        with first, second:
            eventually(deployment.status_file.exists, 150, "a status")
            deployment.wait_until_all_up(90)
            yield deployment
    finally:
        keep_evidence(deployment, "upgrade")
        deployment.compose(NEW, "down", "--volumes", "--timeout", "3")
        for image in docker("images", "--quiet", "--filter", f"reference=vpn-*:{OLD}").split():
            docker("image", "rm", image, check=False)
    assert left_over(PROJECT) == []


def longest_gap_s(losses: Iterable[Loss]) -> float:
    """Return how long nothing came back through the tunnel for which that lasted longest."""
    longest = 0
    for loss in losses:
        gap = 0
        for before, lost in pairwise([-2, *loss.lost]):
            gap = gap + 1 if lost == before + 1 else 1
            longest = max(longest, gap)
    return longest * PING_EVERY_S


def said(deployment: Deployment) -> list[dict[str, Any]]:
    """Return what the present reconciler has logged."""
    lines = deployment.container_log(deployment.reconciler)
    return [json.loads(line) for line in lines if line.startswith("{")]


def test_a_reconciler_that_is_upgraded_alone_costs_no_packet_and_knows_what_the_old_one_knew(
    old: Deployment,
) -> None:
    assert old.image_of("reconciler") == f"vpn-reconciler:{OLD}"
    docker("exec", old.reconciler, "reconciler", "pause", "kupb", "--for", "2h")
    history, ids = old.history(), old.ike_ids()
    last_connected = {n: c.last_connected for n, c in old.status().connections.items()}
    with old.pinging(*CAMERAS) as losses:
        old.upgrade("reconciler")
        eventually(lambda: old.http("/readyz")[0] == 200, 60, "the new reconciler is ready")
        eventually(old.carries, 20, "pictures")
    assert_nothing_lost(losses)
    assert old.image_of("reconciler") == f"vpn-reconciler:{NEW}"
    assert old.image_of("gateway") == f"vpn-charon:{OLD}"
    assert old.ike_ids() == ids
    status = old.status()
    assert status.reconciler.errors == ()
    assert status.connections["kupb_vpn"].paused
    assert {n: c.last_connected for n, c in status.connections.items()} == last_connected
    assert history
    assert old.history()[-len(history) :] == history, "the oldest are still those"
    assert [line["message"] for line in said(old) if line["level"] in ("error", "warning")] == []


@contextlib.contextmanager
def ends_and_starts(container: str) -> Iterator[dict[str, float]]:
    """Note when the container of that name ended and started; filled in afterwards."""
    form = "{{.TimeNano}} {{.Action}} {{.Actor.Attributes.name}}"
    command = ["docker", "events", "--filter", "type=container", "--format", form]
    wanted = ("--filter", "event=die", "--filter", "event=start")
    process = subprocess.Popen([*command, *wanted], stdout=subprocess.PIPE, text=True)
    times: dict[str, float] = {}
    try:
        yield times
    finally:
        process.terminate()
        printed, _ = process.communicate(timeout=20)
    for line in printed.splitlines():
        nanoseconds, action, name = line.split()
        if name == container:
            assert action not in times, "once each"
            times[action] = int(nanoseconds) / 1e9


def test_an_upgrade_of_all_costs_each_tunnel_the_restart_of_charon_and_no_more(
    old: Deployment,
) -> None:
    """The connections are there as soon as charon is; what is left is for the sites to dial."""
    with ends_and_starts(old.gateway) as times, old.pinging(*CAMERAS) as losses:
        old.upgrade()
        eventually(old.carries, 60, "pictures after the upgrade")
    for name, service in services(ROOT).items():
        assert old.image_of(name) == f"{service['image']}:{NEW}"
    away_s, gap_s = times["start"] - times["die"], longest_gap_s(losses.values())
    print(f"charon was away for {away_s:.1f} s, a tunnel for {gap_s:.1f} s")
    assert away_s <= gap_s <= away_s + DIALLING_S
    old.wait_until_all_up()
