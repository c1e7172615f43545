"""What is written down of every change: by rounds, across restarts, and whatever the disk does."""

from itertools import pairwise
from pathlib import Path

import pytest

from reconciler.core.reasons import Code, Failure
from reconciler.core.transitions import Transition
from reconciler.edges.journal import journal_file, read_journal
from tests.builders import vpn
from tests.worlds import Bench


@pytest.fixture
def kept(bench: Bench) -> Bench:
    """One tunnel that is up, and a journal."""
    bench.keep_journal()
    bench.declare(kspb=vpn(1))
    bench.round()
    bench.ike.dial_in("kspb_vpn")
    bench.age(60)
    bench.round()
    return bench


def cut(bench: Bench, code: Code = Code.DEAD_PEER) -> None:
    """Let the site be gone, and charon say why."""
    bench.ike.sas.clear()
    fail(bench, code)


def fail(bench: Bench, code: Code) -> None:
    words = "giving up after 3 retransmits"
    bench.evidence.note(Failure("kspb_vpn", code, words, bench.clock.monotonic_s()))


def written(bench: Bench, name: str = "kspb_vpn") -> list[Transition]:
    assert bench.journal is None or bench.journal.flush()
    entries = read_journal(journal_file(bench.settings.state_dir))
    return [entry.transition for entry in entries if entry.connection == name]


def steps(ones: "list[Transition] | tuple[Transition, ...]") -> list[tuple[str, str, str]]:
    return [(one.from_status, one.to_status, one.reason_code) for one in ones]


BEGINNING = [("", "down", "never-dialled-in"), ("down", "up", "")]


def test_a_site_that_is_cut_and_returns_is_written_down_with_times_and_reasons(
    kept: Bench,
) -> None:
    kept.age(100)
    cut_at = kept.clock.now()
    cut(kept)
    kept.round()
    kept.age(30)
    kept.ike.dial_in("kspb_vpn")
    kept.round()
    found = written(kept)
    assert steps(found) == [*BEGINNING, ("up", "down", "dead-peer"), ("down", "up", "")]
    assert [found[2].at, found[3].at] == [cut_at, cut_at + 30]
    assert found[2].reason == "the site stopped answering"
    assert list(kept.connection().transitions) == found
    entry = next(read_journal(journal_file(kept.settings.state_dir)))
    assert (entry.connection, entry.airport) == ("kspb_vpn", "kspb")


def test_rounds_in_which_nothing_changes_write_nothing(kept: Bench) -> None:
    assert kept.journal
    assert kept.journal.flush()
    path = journal_file(kept.settings.state_dir)
    before = path.stat()
    for _ in range(5):
        kept.age(20)
        kept.round()
    assert kept.journal.flush()
    assert path.stat() == before


def test_the_history_survives_a_restart_and_is_gone_on_with(kept: Bench) -> None:
    kept.restart_reconciler()
    cut(kept)
    kept.round()
    assert steps(written(kept)) == [*BEGINNING, ("up", "down", "dead-peer")]
    assert list(kept.connection().transitions) == written(kept)


@pytest.mark.parametrize("lost", ["status", "journal", "neither"])
def test_a_change_that_nobody_saw_is_made_good_at_the_first_look(kept: Bench, lost: str) -> None:
    kept.age(600)
    kept.ike.sas.clear()
    if lost == "status":
        kept.settings.status_file.unlink()
    if lost == "journal":
        assert kept.journal
        assert kept.journal.flush()
        journal_file(kept.settings.state_dir).unlink()
    kept.restart_reconciler()
    kept.round()
    found = written(kept)
    assert steps(found)[:3] == [*BEGINNING, ("up", "down", found[2].reason_code)]
    assert found[2].at == kept.clock.now()
    assert list(kept.connection().transitions) == found


def test_a_kill_between_status_and_journal_loses_nothing(kept: Bench) -> None:
    """The status is written first; what the journal lacks is told from that."""
    cut(kept)
    journal, kept.journal = kept.journal, None
    kept.round()
    at = kept.clock.now()
    assert len(written(kept)) == 2
    kept.journal = journal
    kept.age(300)
    kept.restart_reconciler()
    kept.ike.dial_in("kspb_vpn")
    kept.round()
    found = written(kept)
    assert steps(found) == [*BEGINNING, ("up", "down", "dead-peer"), ("down", "up", "")]
    assert (found[2].at, found[3].at) == (at, at + 300)


def test_what_can_not_be_observed_is_no_change(kept: Bench) -> None:
    kept.ike.reachable = False
    kept.rounds()
    assert kept.connection().status == "down"
    assert steps(kept.connection().transitions) == BEGINNING
    kept.ike.reachable = True
    kept.round()
    assert steps(written(kept)) == BEGINNING


def test_a_tunnel_that_went_down_while_charon_could_not_be_asked_is_told_when_it_can(
    kept: Bench,
) -> None:
    kept.ike.reachable = False
    kept.round()
    kept.restart_reconciler()
    cut(kept)
    kept.round()
    assert steps(written(kept)) == BEGINNING
    kept.ike.reachable = True
    kept.round()
    assert steps(written(kept))[2:] == [("up", "down", "dead-peer")]


def test_a_restart_of_charon_between_two_looks_is_two_changes(kept: Bench) -> None:
    kept.age(30)
    kept.ike.started_at = kept.clock.now() - 5
    kept.round()
    found = written(kept)
    assert steps(found)[2:] == [("up", "down", "charon-restarted"), ("down", "up", "")]
    assert kept.connection().last_disconnected == found[2].at


def test_a_restart_of_charon_is_the_reason_and_not_the_site_that_has_to_dial_again(
    kept: Bench,
) -> None:
    kept.age(30)
    kept.ike.started_at = kept.clock.now() - 5
    kept.ike.sas.clear()
    kept.round()
    assert steps(written(kept))[2:] == [("up", "down", "charon-restarted")]
    assert kept.connection().reason_code == "waiting-for-site"


def test_another_reason_while_it_is_down_is_written_down_once(kept: Bench) -> None:
    cut(kept)
    kept.round()
    for _ in range(4):
        kept.age(10)
        fail(kept, Code.WRONG_PSK)
        kept.round()
    assert steps(written(kept))[2:] == [
        ("up", "down", "dead-peer"),
        ("down", "down", "wrong-psk"),
    ]


def test_a_connection_that_is_removed_begins_anew_when_it_comes_back(kept: Bench) -> None:
    kept.declare(kczk=vpn(2))
    kept.round()
    kept.round()
    kept.restart_reconciler()
    kept.declare(kspb=vpn(1), kczk=vpn(2))
    kept.round()
    assert steps(kept.connection().transitions) == [("", "down", "never-dialled-in")]
    assert steps(written(kept)) == [*BEGINNING, ("", "down", "never-dialled-in")]


def test_a_volume_that_takes_nothing_stops_nothing_else_and_is_told_until_it_does(
    kept: Bench,
) -> None:
    path = journal_file(kept.settings.state_dir)
    assert kept.journal
    assert kept.journal.flush()
    before = path.read_bytes()
    path.unlink()
    path.symlink_to(path.with_name("missing") / path.name)
    cut(kept)
    assert kept.round().status.reconciler.errors == ()
    assert kept.journal.flush()
    assert kept.connection().status == "down"
    for _ in range(2):
        report = kept.round()
        assert kept.journal.flush()
        assert "history.jsonl" in report.status.reconciler.errors[0]
    path.unlink()
    path.write_bytes(before)
    kept.round()
    assert kept.journal.flush()
    assert kept.round().status.reconciler.errors == ()
    assert steps(written(kept)) == [*BEGINNING, ("up", "down", "dead-peer")]


def test_a_journal_that_can_not_be_read_at_the_start_is_told_and_the_status_remembers(
    kept: Bench,
) -> None:
    path = journal_file(kept.settings.state_dir)
    assert kept.journal
    assert kept.journal.flush()
    path.unlink()
    path.mkdir()
    kept.restart_reconciler()
    report = kept.round()
    assert report.status.reconciler.errors[0].startswith("earlier transitions: ")
    assert steps(kept.connection().transitions) == BEGINNING
    cut(kept)
    kept.round()
    assert steps(written(kept)) == [*BEGINNING, ("up", "down", "dead-peer")]
    assert kept.round().status.reconciler.errors == ()


def test_damage_is_told_in_one_status(kept: Bench) -> None:
    path = journal_file(kept.settings.state_dir)
    assert kept.journal
    assert kept.journal.flush()
    with path.open("ab") as file:
        file.write(b"oops\n")
    kept.restart_reconciler()
    kept.round()
    assert kept.journal.flush()
    assert "1 of 3 lines were damaged" in kept.round().status.reconciler.errors[0]
    assert kept.round().status.reconciler.errors == ()
    assert steps(written(kept)) == BEGINNING


@pytest.mark.parametrize("jump_s", [3600, -3600])
def test_a_clock_that_jumps_makes_and_loses_no_change(kept: Bench, jump_s: int) -> None:
    kept.clock.set_by_s += jump_s
    kept.rounds(2)
    cut(kept)
    kept.round()
    kept.clock.set_by_s -= jump_s
    kept.rounds(2)
    kept.ike.dial_in("kspb_vpn")
    kept.round()
    expected = [*BEGINNING, ("up", "down", "dead-peer"), ("down", "up", "")]
    assert steps(written(kept)) == expected


def test_who_does_not_keep_the_hub_writes_nothing_down(bench: Bench, tmp_path: Path) -> None:
    bench.declare(kspb=vpn(1))
    bench.rounds(2)
    assert not journal_file(bench.settings.state_dir).exists()
    assert len(bench.connection().transitions) == 1


def test_every_transition_begins_where_the_one_before_ended(kept: Bench) -> None:
    for turn in range(12):
        kept.age(10)
        if turn % 3:
            kept.ike.dial_in("kspb_vpn")
        else:
            cut(kept)
        if turn % 5 == 4:
            kept.restart_reconciler()
        kept.round()
    found = written(kept)
    assert len(found) > 6
    assert all(one.to_status == two.from_status for one, two in pairwise(found))
    assert list(kept.connection().transitions) == found
