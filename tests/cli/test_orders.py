"""What is asked for by command line gets to the state volume; the answer says what to expect."""

import json
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from reconciler.core.orders import Order, Orders
from reconciler.core.status import ConnectionStatus
from reconciler.edges.state import State
from reconciler.edges.status_file import read_status, write_status
from tests.builders import document, vpn
from tests.cli.conftest import Installation


@pytest.fixture
def declared(installation: Installation) -> Installation:
    installation.config.write_text(json.dumps(document(kspb=vpn(1), kczk=vpn(2))))
    return installation


def order(installation: Installation, name: str = "kspb_vpn") -> Order:
    return State(installation.state, installation.state / "x").read_orders().of(name)


@pytest.mark.parametrize("name", ["kspb", "kspb_vpn"])
def test_a_connection_is_paused_by_its_name_or_its_airports_until_resumed(
    declared: Installation, name: str
) -> None:
    paused = declared.run("pause", name)
    assert (paused.code, paused.out) == (
        0,
        "kspb_vpn: left alone until: reconciler resume kspb_vpn\n",
    )
    now = int(time.time())
    assert order(declared).is_paused(now + 10**9)
    assert declared.run("resume", name).code == 0
    assert not order(declared).is_paused(now)


def test_a_pause_may_end_by_itself(declared: Installation) -> None:
    answer = declared.run("pause", "kspb", "--for", "2h", "--json")
    until = json.loads(answer.out)["paused_until"]
    assert abs(until - time.time() - 7200) < 60
    assert order(declared).is_paused(until - 1)
    assert not order(declared).is_paused(until)


@pytest.mark.parametrize("text", ["", "h", "-1", "2w", "0", "1h30m"])
def test_what_is_no_duration_is_a_usage_error(
    declared: Installation, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    with pytest.raises(SystemExit) as error:
        declared.run("pause", "kspb", f"--for={text}")
    assert error.value.code == 2
    assert "write one like 30m or 2h" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["pause", "resume", "retry", "rekey"])
def test_a_name_that_is_not_declared_is_refused_with_those_that_are(
    declared: Installation, command: str
) -> None:
    answer = declared.run(command, "kxyz")
    assert answer.code == 1
    assert answer.err == (
        "reconciler: 'kxyz' is no declared connection or airport; declared: kczk_vpn, kspb_vpn\n"
    )
    assert not (declared.state / "orders.json").exists()


def test_what_was_accepted_can_be_paused_while_the_file_is_broken(declared: Installation) -> None:
    declared.run("apply")
    State(declared.state, declared.state / "x").write_accepted({"kspb": vpn(1)})
    declared.config.write_text("{")
    assert declared.run("pause", "kspb").code == 0


def test_wishes_about_one_connection_leave_those_about_others_alone(declared: Installation) -> None:
    declared.run("pause", "kspb")
    declared.run("retry", "kczk")
    declared.run("rekey", "kspb", "--reauth", "--no-wait")
    found = order(declared)
    assert (found.paused_since > 0, found.rekey_after > 0, found.reauthenticate) == (True,) * 3
    assert order(declared, "kczk_vpn").retried_at > 0


@pytest.mark.parametrize("command", ["pause", "resume"])
def test_damaged_orders_are_not_overwritten_and_the_command_says_what_helps(
    declared: Installation, command: str
) -> None:
    (declared.state / "orders.json").write_text("{")
    answer = declared.run(command, "kspb")
    assert answer.code == 1
    assert "orders.json: can't be read (it is damaged); restore it, or delete it" in answer.err
    assert (declared.state / "orders.json").read_text() == "{"


def up(installation: Installation, **times: int) -> None:
    """Write the status of a tunnel that is up."""
    status = read_status(installation.status)
    values: dict[str, Any] = {
        "airport_id": "kspb",
        "connection_name": "kspb_vpn",
        "status": "up",
        "last_connected": 1,
        "last_disconnected": 0,
        "uptime_seconds": 1,
        "health_check": "unknown",
    }
    connection = ConnectionStatus(**values, **times)
    write_status(
        installation.status, status.model_copy(update={"connections": {"kspb_vpn": connection}})
    )


def test_a_rekey_is_told_done_only_when_both_sas_are_seen_to_be_new(declared: Installation) -> None:
    declared.run("apply")
    now = int(time.time())
    up(declared, ike_established_at=now, child_installed_at=now - 3600)
    answer = declared.run("rekey", "kspb", "--wait", "1")
    assert answer.code == 1
    assert "not renewed within 1 s" in answer.err
    threading.Timer(
        0.7, up, [declared], {"ike_established_at": now + 1, "child_installed_at": now + 1}
    ).start()
    answer = declared.run("rekey", "kspb")
    assert answer.code == 0
    assert answer.out.startswith("kspb_vpn: renewed, seen ")


@pytest.mark.parametrize(("earlier_s", "code"), [(1, 0), (2, 1)])
def test_an_sa_from_shortly_before_a_rekey_is_told_renewed_only_where_it_is_left_alone(
    declared: Installation, monkeypatch: pytest.MonkeyPatch, earlier_s: int, code: int
) -> None:
    """The reconciler renews what is two seconds older, as ages are whole seconds."""
    declared.run("apply")
    now = int(time.time())
    up(declared, ike_established_at=now - earlier_s, child_installed_at=now)
    at_once = SimpleNamespace(time=lambda: now, monotonic=time.monotonic, sleep=time.sleep)
    monkeypatch.setattr("reconciler.orders.time", at_once)
    assert declared.run("rekey", "kspb", "--wait", "1").code == code


def test_without_a_reconciler_a_rekey_says_why_nothing_is_seen(declared: Installation) -> None:
    answer = declared.run("rekey", "kspb", "--wait", "1")
    assert answer.code == 1
    assert "vpn-status.json" in answer.err


def test_orders_of_many_at_once_are_all_kept(declared: Installation) -> None:
    state = State(declared.state, declared.state / "x")

    def pause(number: int) -> None:
        state.change_orders(lambda orders: orders.changed(f"k{number}", paused_since=1))

    threads = [threading.Thread(target=pause, args=[number]) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(state.read_orders().connections) == 20
    assert state.read_orders().paused(2) == {f"k{number}" for number in range(20)}
    assert Orders().paused(2) == frozenset()
