"""`reconciler history`: from the journal alone, whether the reconciler runs or not."""

import json
import time
from typing import Any

import pytest

from reconciler.core.status import DaemonStatus
from reconciler.core.transitions import Tail, Transition
from reconciler.edges.journal import Journal, journal_file
from reconciler.edges.status_file import write_status
from tests.builders import document, vpn
from tests.cli.conftest import Installation
from tests.edges.test_status_file import CONNECTION, status

NOW = int(time.time())
KSPB: Tail = (
    Transition(NOW - 7500, "", "down", "never-dialled-in", "the site has never dialled in"),
    Transition(NOW - 7400, "down", "up"),
    Transition(NOW - 600, "up", "down", "dead-peer", "the site stopped answering"),
    Transition(NOW - 500, "down", "down", "wrong-psk", "the site has another key"),
    Transition(NOW - 300, "down", "up"),
)
KCZK: Tail = (Transition(NOW - 400, "up", "down", "closed-by-site", "the site closed it"),)


@pytest.fixture
def past(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Installation:
    """Write what happened to two connections, of which a third one is declared as well."""
    monkeypatch.setattr(time, "time", lambda: float(NOW))
    installation.config.write_text(json.dumps(document(kspb=vpn(1), kczk=vpn(2), s51=vpn(3))))
    add(installation, {"kspb_vpn": KSPB[:4]})
    add(installation, {"kczk_vpn": KCZK})
    add(installation, {"kspb_vpn": KSPB[4:]})
    return installation


def add(installation: Installation, new: dict[str, Tail]) -> None:
    journal = Journal(journal_file(installation.state))
    journal.add(new, {}, {name: name.removesuffix("_vpn") for name in new})
    assert journal.flush()


def say(installation: Installation, *names: str, age_s: int = 0, reachable: bool = True) -> None:
    """Write a status that knows of these connections."""
    now = status(int(time.time()) - age_s)
    made = {"connections": dict.fromkeys(names, CONNECTION)}
    daemon = DaemonStatus(reachable=reachable, error="" if reachable else "no answer")
    write_status(installation.status, now.model_copy(update={**made, "daemon": daemon}))


def shown(installation: Installation, *arguments: str) -> list[dict[str, Any]]:
    answer = installation.run("history", "--json", *arguments)
    assert answer.code == 0, answer.err
    return list(json.loads(answer.out))


def test_everything_is_shown_newest_first_with_how_long_it_lasted(past: Installation) -> None:
    say(past, "kspb_vpn", "kczk_vpn")
    found = shown(past)
    assert [(one["connection_name"], one["at"] - NOW) for one in found] == [
        ("kspb_vpn", -300),
        ("kczk_vpn", -400),
        ("kspb_vpn", -500),
        ("kspb_vpn", -600),
        ("kspb_vpn", -7400),
        ("kspb_vpn", -7500),
    ]
    assert [one["lasted_s"] for one in found[2:]] == [200, 300, 6800, 100]
    assert [one["lasts"] for one in found] == [True, True, False, False, False, False]
    assert 300 <= found[0]["lasted_s"] < 360
    assert found[3] == {
        "at": NOW - 600,
        "airport_id": "kspb",
        "connection_name": "kspb_vpn",
        "from_status": "up",
        "to_status": "down",
        "reason_code": "dead-peer",
        "reason": "the site stopped answering",
        "lasted_s": 300,
        "lasts": False,
    }


def test_people_get_a_table_in_utc(past: Installation) -> None:
    say(past, "kspb_vpn", "kczk_vpn")
    answer = past.run("history", "kspb")
    lines = answer.out.splitlines()
    assert (answer.code, answer.err, len(lines)) == (0, "", 6)
    heads = ["TIME", "(UTC)", "AGO", "AIRPORT", "CONNECTION", "FROM", "TO", "LASTED", "REASON"]
    assert lines[0].split() == heads
    at = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(NOW - 600))
    assert lines[3].startswith(f"{at}  10m ")
    assert lines[3].endswith(
        "  kspb     kspb_vpn    up    down  5m         dead-peer: the site stopped answering"
    )
    assert "5m so far" in lines[1]
    assert lines[5].split()[5] == "-"


@pytest.mark.parametrize("name", ["kspb", "kspb_vpn"])
def test_one_connection_is_found_by_its_name_or_its_airports(past: Installation, name: str) -> None:
    assert [one["at"] for one in shown(past, name)] == [one.at for one in KSPB[::-1]]


def test_a_connection_comes_before_an_airport_of_the_same_name(past: Installation) -> None:
    journal = Journal(journal_file(past.state))
    journal.add({"kspb": KCZK}, {}, {"kspb": "other"})
    assert journal.flush()
    assert [one["airport_id"] for one in shown(past, "kspb")] == ["other"]


def test_a_name_that_nobody_has_is_refused_with_those_that_are_declared(
    past: Installation,
) -> None:
    answer = past.run("history", "kxyz")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == (
        "reconciler: 'kxyz' is no declared connection or airport; "
        "declared: kczk_vpn, kspb_vpn, s51_vpn\n"
    )


def test_of_what_is_declared_and_new_there_is_nothing_to_show(past: Installation) -> None:
    say(past, "s51_vpn")
    answer = past.run("history", "s51")
    assert (answer.code, answer.out, answer.err) == (0, "no transition is recorded\n", "")
    assert shown(past, "s51") == []


def test_what_was_removed_is_still_shown_and_nothing_is_claimed_of_it_now(
    past: Installation,
) -> None:
    past.config.write_text(json.dumps(document(kspb=vpn(1))))
    say(past, "kspb_vpn")
    [found] = shown(past, "kczk")
    assert (found["lasted_s"], found["lasts"]) == (None, True)


@pytest.mark.parametrize(("since", "count"), [("450s", 2), ("550", 3), ("3h", 6), ("1d", 6)])
def test_only_what_happened_lately_is_shown_if_asked_for(
    past: Installation, since: str, count: int
) -> None:
    assert len(shown(past, "--since", since)) == count


def test_what_is_no_duration_is_a_usage_error(past: Installation) -> None:
    with pytest.raises(SystemExit) as error:
        past.run("history", "--since", "yesterday")
    assert error.value.code == 2


@pytest.mark.parametrize("how", ["missing", "stale", "unreachable"])
def test_it_works_without_the_reconciler_and_does_not_claim_to_know_of_now(
    past: Installation, how: str
) -> None:
    if how != "missing":
        reachable = how != "unreachable"
        say(past, "kspb_vpn", age_s=0 if how == "unreachable" else 3600, reachable=reachable)
    answer = past.run("history", "kspb")
    assert answer.code == 0
    assert answer.err.startswith("note: what has happened since is not known: ")
    assert "so far" not in answer.out
    assert shown(past, "kspb")[0]["lasted_s"] is None
    assert shown(past, "kspb")[1]["lasted_s"] == 200


def test_without_a_journal_nothing_is_recorded(installation: Installation) -> None:
    answer = installation.run("history")
    assert (answer.code, answer.out) == (0, "no transition is recorded\n")


def test_a_journal_that_can_not_be_read_is_an_error(installation: Installation) -> None:
    journal_file(installation.state).mkdir()
    answer = installation.run("history")
    assert answer.code == 1
    assert "history.jsonl: Is a directory" in answer.err


def test_half_a_line_or_a_damaged_one_is_left_out(past: Installation) -> None:
    path = journal_file(past.state)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2]) + b"oops\n" + lines[2] + lines[3][:40])
    assert [one["at"] for one in shown(past, "kspb")] == [one.at for one in KSPB[2::-1]]


def test_no_more_than_50_of_each_are_shown_although_the_file_has_more(past: Installation) -> None:
    add(past, {"kczk_vpn": tuple(Transition(NOW, "up", "down") for _ in range(120))})
    assert len(shown(past, "kczk")) == 50
    assert journal_file(past.state).stat().st_size > 50 * 100


@pytest.mark.parametrize("at", [0, NOW + 10**6, 10**14])
def test_a_clock_that_was_wrong_does_not_hide_anything(past: Installation, at: int) -> None:
    add(past, {"kczk_vpn": (Transition(at, "down", "up"),)})
    assert shown(past, "kczk")[0]["at"] == at
    assert past.run("history", "kczk").code == 0
