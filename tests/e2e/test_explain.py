"""What an operator asks when a tunnel is down, and what support is sent."""

import json
import subprocess
import tarfile
from io import BytesIO

import pytest

from reconciler.core.reasons import MEANINGS, Code
from tests.docker import docker, eventually, volume_path
from tests.e2e.stack import PROJECT, RECONCILER, Stack, declaration, new_psk

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def ask(*arguments: str) -> str:
    return docker("exec", RECONCILER, "reconciler", *arguments, check=False)


def test_a_wrong_key_at_one_site_is_explained_with_who_must_act_and_what_helps(
    stack: Stack,
) -> None:
    declared, used = new_psk(), new_psk()
    body = declaration("kwrg", declared, "10.80.1.0/24")
    with (
        stack.edited(lambda airports: airports.update(kwrg=body)),
        stack.site("kwrg", used, "10.80.1.0/24", "10.80.1.100"),
    ):
        eventually(lambda: MEANINGS[Code.WRONG_PSK].sentence in ask("explain", "kwrg"), 40)
        eventually(lambda: "MAC mismatched" in ask("explain", "kwrg").partition("s log\n")[2], 20)
        page = ask("explain", "kwrg")
        shown = " ".join(page.split())
        assert page.startswith("kwrg_vpn (kwrg kwrg) is down since 20")
        assert "who must act the site: whoever looks after the airport's router" in shown
        assert MEANINGS[Code.WRONG_PSK].fix in shown
        assert "Loaded in charon there yes, as declared" in shown
        assert "What the hub does next nothing: it waits for the site" in shown
        assert declared not in page
        table = ask("status", "--not-up")
        assert table.splitlines()[1].split()[:3] == ["kwrg", "kwrg_vpn", "down"]
        found = json.loads(ask("explain", "kwrg_vpn", "--json"))
        assert found["verdict"]["reason_code"] == "wrong-psk"
        assert found["last_failure"]["claimed_id"] == "kwrg.remote"


def test_a_tunnel_that_is_up_is_explained_as_charon_has_it(stack: Stack) -> None:
    def page() -> str:
        shown = " ".join(ask("explain", "s51").split())
        return shown if "CHILD_SA" in shown else ""

    shown = eventually(page, 20)
    assert "s51_vpn (s51 " in shown
    assert " is up since 20" in shown
    assert "INSTALLED, ESP in UDP tunnel" in shown
    assert "NAT before the" in shown
    assert "AES_GCM_16-256/PRF_HMAC_SHA2_256/MODP_2048" in shown
    assert "Loaded in charon there yes, as declared" in shown
    assert "made under an earlier declaration" not in shown


def test_the_archive_for_support_has_what_it_should_and_no_secret_of_the_stack(
    stack: Stack,
) -> None:
    """By the documented command, through a root file system that is read-only."""
    done = subprocess.run(
        ["docker", "exec", RECONCILER, "reconciler", "diagnose", "-o", "-"],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    members: dict[str, bytes] = {}
    with tarfile.open(fileobj=BytesIO(done.stdout), mode="r:gz") as tar:
        for member in tar:
            file = tar.extractfile(member)
            members[member.name.partition("/")[2]] = file.read() if file else b""
    keys = [path.read_bytes().strip() for path in (stack.folder / "secrets").glob("*.psk")]
    assert len(keys) >= 3
    mark_key = (volume_path(f"{PROJECT}_state") / "mark.key").read_bytes()
    for secret in (*keys, mark_key, mark_key.hex().encode()):
        assert all(secret not in content for content in members.values())
        assert secret not in done.stderr
    names = {f"{airport}_vpn".encode() for airport in stack.airports()}
    for name in ("status.json", "charon/list-sas.json", "charon/list-conns.json", "metrics.txt"):
        assert all(one in members[name] for one in names), name
    contents = members["CONTENTS.txt"].decode()
    assert "masked" not in contents, "in what we write there are no secrets to begin with"
    missing = contents.partition("Not to be had:")[2]
    assert [line.split(":")[0].strip() for line in missing.splitlines() if line.strip()] in (
        [],
        ["orders.json"],
    ), "orders are there once there was one"
    engine = json.loads(members["versions.json"])["docker_engine"]
    assert engine["ApiVersion"]
    assert json.loads(members["container.json"])["State"]["Status"] == "running"
    assert b"established" in members["logs/charon.log"]
    assert b'"message": "started"' in members["logs/reconciler.log"]
    assert json.loads(members["plan.json"])["charon_not_asked"] == ""


def test_without_an_output_that_can_be_written_the_way_is_told(stack: Stack) -> None:
    said = docker("exec", RECONCILER, "reconciler", "diagnose", check=False, both=True)
    assert "Read-only file system" in said
    assert "docker exec reconciler reconciler diagnose -o - > FILE.tar.gz" in said
