"""The status as others read it, and what nobody may read anywhere."""

import json
import threading
import time
from pathlib import Path

import pytest

from tests.docker import docker, eventually, run
from tests.e2e.stack import PREFIX, PROJECT, RECONCILER, SITES, Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

CONTRACT = {
    "airport_id": str,
    "connection_name": str,
    "status": str,
    "last_connected": int,
    "last_disconnected": int,
    "uptime_seconds": int,
    "health_check": str,
}


def test_the_status_file_keeps_the_contract(stack: Stack) -> None:
    document = json.loads(stack.status_file.read_text())
    assert isinstance(document["timestamp"], int)
    assert set(document["connections"]) == {f"{airport}_vpn" for airport in SITES}
    for name, connection in document["connections"].items():
        assert connection["connection_name"] == name
        assert connection["status"] in {"up", "down", "connecting"}
        assert connection["health_check"] in {"pass", "fail", "unknown"}
        for key, kind in CONTRACT.items():
            assert type(connection[key]) is kind, key
    assert stack.status_file.stat().st_mode & 0o777 == 0o644


def test_a_reader_in_a_tight_loop_never_fails_and_the_status_is_never_older_than_30_s(
    stack: Stack,
) -> None:
    """Over two resync intervals in peace, then under a storm of rounds."""
    oldest_s, reads, failures = 0.0, 0, list[str]()
    stop = threading.Event()

    def read() -> None:
        nonlocal oldest_s, reads
        while not stop.is_set():
            try:
                document = json.loads(stack.status_file.read_text())
            except (OSError, ValueError) as error:
                failures.append(repr(error))
                return
            oldest_s = max(oldest_s, time.time() - document["timestamp"])
            reads += 1
            stop.wait(0.001)

    reader = threading.Thread(target=read)
    reader.start()
    first = stack.status().reconciler.round
    ends_s = time.monotonic() + 62
    eventually(lambda: time.monotonic() > ends_s, 63, every_s=0.5)
    for _ in range(60):
        docker("kill", "--signal", "HUP", RECONCILER)
    stop.set()
    reader.join()
    assert failures == []
    assert reads > 1000
    assert oldest_s < 30
    assert stack.status().reconciler.round > first + 10


def test_a_web_service_beside_it_reads_the_status_from_the_shared_directory(stack: Stack) -> None:
    """As the comment block of compose.yaml shows: two directories, read-only, nothing else."""
    script = (
        "import json, os, sys; "
        "s = json.load(open(os.environ['STATUS_FILE'])); "
        "c = json.load(open('/config/airports.json'))['airports']; "
        "print(sorted(v['airport_id'] for v in s['connections'].values() if v['status'] == 'up'),"
        " sorted(c))"
    )
    cache = stack.status_file.parent
    printed = docker(
        *("run", "--rm", "--name", f"{PREFIX}reader", "--network", "none", "--user", "33:10001"),
        *("--volume", f"{cache}:/cache:ro", "--volume", f"{stack.folder}:/config:ro"),
        *("--env", "STATUS_FILE=/cache/vpn-status.json", "--entrypoint", "python"),
        *("vpn-reconciler", "-c", script),
    )
    assert printed.strip() == "['kczk', 'kspb', 's51'] ['kczk', 'kspb', 's51']"


def test_the_command_line_tells_the_same(stack: Stack) -> None:
    table = docker("exec", RECONCILER, "reconciler", "status")
    assert "3 of 3 up" in table
    assert docker("exec", RECONCILER, "reconciler", "plan").startswith("nothing to do")
    document = json.loads(docker("exec", RECONCILER, "reconciler", "status", "--json"))
    assert set(document["connections"]) == {f"{airport}_vpn" for airport in SITES}
    assert json.loads(docker("exec", RECONCILER, "reconciler", "validate", "--json"))["valid"]


def test_plan_says_what_apply_would_do_and_apply_does_it(stack: Stack) -> None:
    docker("stop", RECONCILER)
    one_shot = ("run", "--rm", "--network", f"container:{PREFIX}pause", *mounts(stack))
    try:
        with stack.vici() as client:
            client.unload_connection("kspb_vpn")
        plan = json.loads(docker(*one_shot, "vpn-reconciler", "plan", "--json", check=False))
        assert [c["action"] for c in plan["changes"]] == ["Load"]
        assert plan["changes"][0]["cause"] == "unloaded behind our back"
        assert "nobody loses packets" in plan["changes"][0]["impact"]
        printed = docker(*one_shot, "vpn-reconciler", "apply")
        assert printed.strip() == "Load kspb_vpn: unloaded behind our back"
        assert docker(*one_shot, "vpn-reconciler", "apply").strip() == "nothing to do"
    finally:
        docker("start", RECONCILER)


def mounts(stack: Stack) -> list[str]:
    volumes = {
        f"{PROJECT}_vici": "/run/vici",
        f"{PROJECT}_config": "/etc/vpn",
        f"{PROJECT}_state": "/var/lib/reconciler",
        f"{stack.folder}": "/config:ro",
        f"{stack.status_file.parent}": "/cache",
    }
    return [part for what, where in volumes.items() for part in ("--volume", f"{what}:{where}")]


def test_a_file_mounted_by_itself_is_reported(stack: Stack) -> None:
    file = f"{stack.airports_file}:/config/airports.json:ro"
    kept = [m for m in mounts(stack) if not m.endswith(":/config:ro")]
    volumes = [part for part in kept if part != "--volume"]
    command = [part for volume in [*volumes, file] for part in ("--volume", volume)]
    network = ("--network", f"container:{PREFIX}pause")
    printed = docker("run", "--rm", *network, *command, "vpn-reconciler", "plan")
    assert "warning: airports.json: is mounted as a single file" in printed


def test_no_key_is_in_a_log_status_metric_image_environment_or_process_list(
    stack: Stack, tmp_path: Path
) -> None:
    psks = [airport["vpn"]["psk"] for airport in stack.airports().values()]
    assert len(psks) == 3
    assert all(len(psk) >= 40 for psk in psks)
    names = docker("ps", "--all", "--format", "{{.Names}}", "--filter", f"name={PREFIX}").split()
    silent = (f"{PREFIX}pause", f"{PREFIX}router-s51", f"{PREFIX}starter", f"{PREFIX}web")
    places = {f"log of {n}": stack.container_text(n) for n in names if n not in silent}
    places |= {f"inspect of {name}": docker("inspect", name) for name in names}
    places |= {path: stack.http(path)[1] for path in ("/metrics", "/status", "/healthz")}
    places["status file"] = stack.status_file.read_text()
    places["process list"] = run("ps", "-eo", "args")
    places["environments"] = "".join(
        path.read_bytes().decode(errors="replace")
        for path in Path("/proc").glob("[0-9]*/environ")
        if readable(path)
    )
    for command in ("status", "plan", "validate", "apply", "history"):
        places[command] = docker("exec", RECONCILER, "reconciler", command, check=False)
    for where, text in places.items():
        assert text.strip(), f"{where} is empty, so it proves nothing"
        assert not any(psk in text for psk in psks), f"a key is in: {where}"
    for image in ("charon", "site", "reconciler", "docker-proxy", "pause", "web", "base"):
        image = f"vpn-{image}"
        archive = tmp_path / f"{image}.tar"
        docker("save", "--output", str(archive), image)
        content = archive.read_bytes()
        assert not any(psk.encode() in content for psk in psks), f"a key is in image {image}"
        archive.unlink()


def readable(path: Path) -> bool:
    try:
        path.read_bytes()
    except OSError:
        return False
    return True


def test_the_files_that_hold_keys_are_for_their_owner_only(stack: Stack) -> None:
    listing = docker("exec", RECONCILER, "stat", "--format", "%a %u %n", "/etc/vpn/swanctl.conf")
    assert listing.split()[:2] == ["600", "10001"]
    for name in ("accepted.json", "mark.key"):
        path = f"/var/lib/reconciler/{name}"
        assert docker("exec", RECONCILER, "stat", "--format", "%a", path).strip() == "600"
