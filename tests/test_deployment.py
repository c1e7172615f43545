"""What compose.yaml grants, what the images are made from, and what is pinned."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
CAPABILITIES = {"gateway": {"NET_ADMIN", "NET_BIND_SERVICE"}, "filter": {"NET_ADMIN"}}
# These gain their capabilities by a file: decision 3. In the gateway with-capabilities ends that.
MAY_GAIN = {"gateway", "filter"}
NOT_OUR_IMAGE = {"grafana"}
DOCKERFILES = sorted((ROOT / "images").glob("*/Dockerfile"))
LOCKS = ("requirements.lock", "requirements-dev.lock")

service = pytest.mark.parametrize("name", SERVICES)
dockerfile = pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)


def mounted(name: str) -> dict[str, str]:
    """Return what is mounted, and how: rw or ro."""
    volumes = [str(volume) for volume in SERVICES[name].get("volumes", ())]
    return {v.rpartition(":/")[0]: "ro" if v.endswith(":ro") else "rw" for v in volumes}


@service
def test_a_service_has_no_capability_but_those_it_needs(name: str) -> None:
    one = SERVICES[name]
    assert one["cap_drop"] == ["ALL"]
    assert set(one.get("cap_add", ())) == CAPABILITIES.get(name, set())
    assert one.get("privileged") is None


@service
def test_a_service_gains_no_privileges_and_writes_no_root_file_system(name: str) -> None:
    one = SERVICES[name]
    assert one["security_opt"] == [f"no-new-privileges:{str(name not in MAY_GAIN).lower()}"]
    assert one.get("read_only") is (None if name in NOT_OUR_IMAGE else True)


@service
def test_a_service_shares_nothing_of_the_host_but_its_network(name: str) -> None:
    one = SERVICES[name]
    for key in ("pid", "ipc", "uts", "userns_mode", "cgroup", "cgroup_parent", "group_add"):
        assert key not in one
    assert one.get("devices", []) == (["/dev/net/tun"] if name == "gateway" else [])


def test_keys_and_sockets_are_mounted_where_they_are_needed_only() -> None:
    def having(volume: str) -> dict[str, str]:
        return {n: mounted(n)[volume] for n in SERVICES if volume in mounted(n)}

    assert having("vici") == {"gateway": "rw", "reconciler": "rw"}
    assert having("config") == {"gateway": "ro", "reconciler": "rw"}
    assert having("state") == {"reconciler": "rw"}
    assert having("filter") == {"filter": "rw", "gateway": "ro", "reconciler": "ro"}
    assert having("docker") == {"docker-proxy": "rw", "reconciler": "ro"}
    assert having("/var/run/docker.sock") == {"docker-proxy": "rw"}
    assert having("${AIRPORTS_DIR:-./config}") == {"reconciler": "ro", "camera-proxy": "ro"}


@service
def test_nothing_listens_beyond_this_machine_unless_it_is_told_to(name: str) -> None:
    for port in SERVICES[name].get("ports", ()):
        assert str(port).startswith("127.0.0.1:")
    environment = SERVICES[name].get("environment", {})
    addresses = [v for k, v in environment.items() if "LISTEN" in k or k.endswith("_ADDR")]
    assert name not in {"reconciler", "camera-proxy", "prometheus", "alertmanager", "grafana"} or (
        addresses
    )
    for address in addresses:
        assert re.match(r"(\$\{[A-Z_]+:-)?127\.0\.0\.1", address)


@dockerfile
def test_an_image_is_made_from_debian_and_runs_as_an_ordinary_user(path: Path) -> None:
    text = path.read_text()
    bases = re.findall(r"^FROM (\S+)", text.replace("${DEBIAN}", "debian"), re.MULTILINE)
    if path.parent.name == "base":
        assert bases == ["debian"]
        assert "\nARG DEBIAN=debian:trixie-slim\n" in f"\n{text}"
    else:
        assert all(base.startswith("vpn-") for base in bases)
    assert not re.search(r"^ADD |curl .*\| *(ba)?sh|wget ", text, re.MULTILINE)
    users = re.findall(r"^USER (\S+)", text, re.MULTILINE)
    if path.parent.name != "base":
        # docker-proxy must open the engine's socket; it has no capability.
        assert users[-1] == ("root" if path.parent.name == "docker-proxy" else "vpn")


@dockerfile
def test_an_image_keeps_no_lists_of_packages_and_installs_nothing_that_is_only_recommended(
    path: Path,
) -> None:
    for step in re.findall(r"^RUN (?:.*\\\n)*.*$", path.read_text(), re.MULTILINE):
        if "apt-get install" in step:
            assert "--no-install-recommends" in step
            assert "rm -rf /var/lib/apt/lists/*" in step


def requirements(lock: str) -> dict[str, str]:
    """Return each requirement's name and what stands with it."""
    text = (ROOT / lock).read_text()
    entries = re.split(r"^(?=[a-zA-Z0-9])", text, flags=re.MULTILINE)
    return {re.split(r"[=\[ ]", entry)[0]: entry for entry in entries if entry[:1].isalnum()}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_requirement_is_pinned_to_one_version_and_its_hashes(lock: str) -> None:
    found = requirements(lock)
    assert len(found) > 8
    for name, entry in found.items():
        assert re.match(r"[\w.-]+(\[\w+\])?==[\w.!+]+", entry), name
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", entry), name


def test_whatever_the_project_needs_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for lock, wanted in (
        ("requirements.lock", project["dependencies"]),
        (
            "requirements-dev.lock",
            project["dependencies"] + project["optional-dependencies"]["dev"],
        ),
    ):
        names = {re.split(r"[>=<\[ ]", one)[0] for one in wanted}
        assert names <= requirements(lock).keys()


def test_the_image_installs_what_is_locked_and_only_with_hashes() -> None:
    text = (ROOT / "images" / "reconciler" / "Dockerfile").read_text()
    installing = re.findall(r"\binstall (--no-[^&]*)&?&?", text.replace("\\\n", " "))
    from_lock = [one for one in installing if "--requirement" in one]
    assert len(from_lock) == 1
    for option in ("--require-hashes", "--only-binary :all:", "--requirement /requirements.lock"):
        assert option in from_lock[0]
    # The rest is the distribution's, and our own wheel without what it depends on.
    ours = [one for one in installing if "whl" in one]
    assert len(ours) == 1
    assert "--no-deps" in ours[0]
