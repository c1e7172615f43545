"""`status`, `plan`, `apply`, `schema`, help and usage: what is printed and with which code."""

import json
import time
from dataclasses import fields
from pathlib import Path

import pytest

from reconciler.cli import main
from reconciler.core.status import ConnectionStatus, Status
from reconciler.edges.http import HttpServer, plain
from reconciler.edges.status_file import write_status
from reconciler.settings import Settings
from tests.builders import document, vpn
from tests.cli.conftest import Installation
from tests.edges.docker_server import docker_server
from tests.edges.test_status_file import CONNECTION, status

COMMANDS = {
    "run": ("0 stopped", "2 usage"),
    "plan": ("0 nothing to do", "1 charon", "2 usage", "3 changes pending"),
    "apply": ("0 all is as declared now", "1 something failed", "2 usage"),
    "status": ("0 all up", "1 not all up", "2 usage", "4 status missing or stale"),
    "validate": ("0 no error", "1 errors", "2 usage"),
    "schema": ("0", "2 usage"),
    "explain": ("0 explained", "1 no such connection", "2 usage"),
    "diagnose": ("0 written", "1 not written", "2 usage"),
}


def put(installation: Installation, *connections: ConnectionStatus, age_s: int = 0) -> Status:
    made = status(int(time.time()) - age_s).model_copy(
        update={"connections": {one.connection_name: one for one in connections}}
    )
    write_status(installation.status, made)
    return made


DOWN = CONNECTION.model_copy(
    update={"connection_name": "kczk_vpn", "status": "down", "reason": "no IKE_SA"}
)
DIALLING = DOWN.model_copy(update={"status": "connecting", "reason": "IKE_SA is being negotiated"})


@pytest.mark.parametrize(
    ("connections", "code"),
    [([CONNECTION], 0), ([CONNECTION, DOWN], 1), ([CONNECTION, DIALLING], 1)],
    ids=["all up", "one down", "one connecting"],
)
def test_status_is_0_only_if_all_are_up(
    installation: Installation, connections: list[ConnectionStatus], code: int
) -> None:
    put(installation, *connections)
    answer = installation.run("status")
    assert answer.code == code
    assert "kspb_vpn" in answer.out
    assert f"{1} of {len(connections)} up" in answer.out


@pytest.mark.parametrize("key", ["daemon", "configuration"])
def test_no_tunnel_at_all_is_0_only_if_that_is_what_is_declared(
    installation: Installation, key: str
) -> None:
    """Nothing up of nothing known is not "all is well"."""
    made = status(int(time.time())).model_copy(update={"connections": {}})
    good = made.model_copy(
        update={
            "daemon": made.daemon.model_copy(update={"reachable": True}),
            "configuration": made.configuration.model_copy(update={"valid": True}),
        }
    )
    write_status(installation.status, good)
    assert installation.run("status").code == 0
    flag = {"daemon": "reachable", "configuration": "valid"}[key]
    part = getattr(good, key).model_copy(update={flag: False})
    write_status(installation.status, good.model_copy(update={key: part}))
    assert installation.run("status").code == 1


def test_a_missing_status_is_4(installation: Installation) -> None:
    answer = installation.run("status")
    assert (answer.code, answer.out) == (4, "")
    assert "No such file" in answer.err


def test_a_damaged_status_is_4(installation: Installation) -> None:
    installation.status.write_text("{")
    assert installation.run("status").code == 4


def test_a_stale_status_is_4_even_if_all_were_up(installation: Installation) -> None:
    put(installation, CONNECTION, age_s=61)
    answer = installation.run("status")
    assert answer.code == 4
    assert "is stale" in answer.err
    assert installation.run("status", "--resync-seconds=60").code == 0


def test_status_as_json_is_the_document(installation: Installation) -> None:
    made = put(installation, CONNECTION, DOWN)
    answer = installation.run("status", "--json")
    assert answer.code == 1
    assert json.loads(answer.out) == made.model_dump(mode="json")


def test_a_plan_without_charon_is_1_and_says_why(installation: Installation) -> None:
    installation.config.write_text(json.dumps(document(kspb=vpn())))
    answer = installation.run("plan")
    assert (answer.code, answer.out) == (1, "")
    assert "charon can't be asked" in answer.err
    assert "No such file" in answer.err


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.parametrize(
    ("state", "action", "impact"),
    [
        ("exited", "StartContainer", "nobody loses packets"),
        ("paused", "UnpauseContainer", "nobody loses packets"),
    ],
)
def test_without_charon_the_plan_is_what_mends_its_container(
    installation: Installation, tmp_path: Path, state: str, action: str, impact: str
) -> None:
    installation.config.write_text(json.dumps(document(kspb=vpn())))
    with docker_server(tmp_path / "docker.sock") as server:
        server.container = {"State": {"Status": state}}
        host = f"--docker-host={server.host}"
        answer = installation.run("plan", host)
        assert answer.code == 3
        assert f"~  {action}" in answer.out
        assert impact in answer.out
        assert "charon can't be asked" in answer.err
        (change,) = json.loads(installation.run("plan", host, "--json").out)["changes"]
        assert (change["action"], change["container"]) == (action, "gateway")
        held = installation.run("plan", host, "--heal-container=no")
        assert "held: HEAL_CONTAINER=no" in held.err
        assert server.posts == [], "a plan changes nothing"
        server.container = None
        missing = installation.run("plan", host)
        assert (missing.code, missing.out) == (1, "")
        assert "does not exist; on the host: docker compose up --detach" in missing.err


def test_an_apply_without_charon_is_1_and_says_so_in_the_status(
    installation: Installation,
) -> None:
    installation.config.write_text(json.dumps(document(kspb=vpn())))
    answer = installation.run("apply")
    assert answer.code == 1
    assert "charon can't be asked" in answer.err
    found = json.loads(installation.status.read_text())
    assert found["daemon"]["reachable"] is False
    assert found["connections"]["kspb_vpn"]["status"] == "down"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["conquer"],
        ["plan", "--no-such-flag"],
        ["status", "--status-file"],
        ["schema", "gateway"],
        ["validate", "one.json", "two.json"],
        ["explain"],
        ["status", "--not-up", "--state=up"],
        ["status", "--watch", "--interval=0"],
        ["status", "--colour=blue"],
    ],
    ids=" ".join,
)
def test_a_usage_error_is_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: reconciler" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["plan", "status", "validate", "schema"])
def test_a_bad_setting_is_2_and_named(installation: Installation, command: str) -> None:
    answer = installation.run(command, "--resync-seconds=1")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == "reconciler: RESYNC_SECONDS=1.0: write 5 to 300\n"


@pytest.mark.parametrize("command", [*COMMANDS])
def test_help_names_every_setting_and_every_exit_code(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for field in fields(Settings):
        assert f"--{field.name.replace('_', '-')}" in text
        assert field.name.upper() in text
    codes = text.partition("Exit codes: ")[2]
    for code in COMMANDS[command]:
        assert code in codes


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    for command in COMMANDS:
        assert f"    {command} " in text


@pytest.mark.parametrize(
    "command", ["plan", "apply", "status", "validate", "schema", "explain", "diagnose"]
)
def test_every_command_that_prints_can_print_json(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert "--json" in capsys.readouterr().out


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize(("good", "code"), [(True, 0), (False, 1)])
def test_health_tells_what_the_running_reconciler_says(
    installation: Installation, good: bool, code: int
) -> None:
    server = HttpServer(("127.0.0.1", 0), {"/healthz": lambda: plain(good, "the loop turns")})
    server.start()
    try:
        listen = f"--listen=0.0.0.0:{server.port}"
        answer = installation.run("health", listen)
        assert (answer.code, answer.out) == (code, "the loop turns\n")
        as_json = installation.run("health", listen, "--json")
        assert json.loads(as_json.out) == {"healthy": good, "reason": "the loop turns"}
    finally:
        server.stop()
    gone = installation.run("health", listen)
    assert gone.code == 1
    assert "Traceback" not in gone.err
