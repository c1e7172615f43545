"""Failures in whole rounds: they stand in the status, are counted, and survive a restart."""

import json
from typing import Any

from reconciler.core.reasons import Code, Failure, Side
from reconciler.errors import IkeRefused
from reconciler.world import Evidence
from tests.builders import vpn
from tests.worlds import Bench

PSK_WORDS = "tried 1 shared key for 'h' - 'kspb.remote', but MAC mismatched"


def fail(bench: Bench, code: Code, words: str = "", **more: Any) -> None:
    at_s = bench.clock.monotonic_s()
    bench.evidence.note(Failure("kspb_vpn", code, words or code.value, at_s, **more))


def test_a_failure_is_told_with_its_side_and_counted(bench: Bench) -> None:
    bench.declare(kspb=vpn())
    fail(bench, Code.WRONG_PSK, PSK_WORDS, remote_address="203.0.113.9")
    fail(bench, Code.WRONG_PSK, PSK_WORDS, remote_address="203.0.113.9")
    bench.round()
    seen = bench.connection()
    assert (seen.reason_code, seen.who_must_act) == (Code.WRONG_PSK, Side.SITE)
    assert seen.reason == "the site has another key than the declared one: from 203.0.113.9"
    assert seen.last_error == PSK_WORDS
    assert seen.failures == {Code.WRONG_PSK: 2}


def test_each_failure_is_counted_once(bench: Bench) -> None:
    bench.declare(kspb=vpn())
    fail(bench, Code.WRONG_PSK)
    bench.rounds(3)
    assert bench.connection().failures == {Code.WRONG_PSK: 1}


def test_counts_and_the_last_failure_survive_a_restart_of_the_reconciler(bench: Bench) -> None:
    bench.declare(kspb=vpn())
    fail(bench, Code.WRONG_PSK, PSK_WORDS, remote_address="203.0.113.9")
    fail(bench, Code.PROPOSAL_MISMATCH)
    fail(bench, Code.WRONG_PSK, PSK_WORDS, remote_address="203.0.113.9")
    stranger = Failure("", Code.UNKNOWN_ID, "no matching peer config found", 0.0, "203.0.113.5")
    bench.evidence.note(stranger)
    bench.round()
    before = bench.status
    bench.restart_reconciler()
    bench.round()
    assert bench.connection() == before.connections["kspb_vpn"]
    assert bench.connection().failures == {Code.WRONG_PSK: 2, Code.PROPOSAL_MISMATCH: 1}
    assert bench.status.strangers == before.strangers
    assert len(before.strangers) == 1


def test_a_status_file_of_the_release_before_is_taken_over_without_failures(bench: Bench) -> None:
    bench.declare(kspb=vpn())
    bench.round()
    document = json.loads(bench.settings.status_file.read_text())
    document.pop("strangers")
    for key in ("reason_code", "who_must_act", "failures", "last_failure", "degraded"):
        document["connections"]["kspb_vpn"].pop(key)
    document["connections"]["kspb_vpn"]["last_connected"] = 4711
    bench.settings.status_file.write_text(json.dumps(document))
    bench.restart_reconciler()
    bench.round()
    assert bench.connection().last_connected == 4711
    assert bench.connection().failures == {}


def test_once_it_is_up_there_is_no_reason_and_the_counts_stay(bench: Bench) -> None:
    bench.declare(kspb=vpn())
    bench.round()
    fail(bench, Code.WRONG_PSK)
    bench.ike.dial_in("kspb_vpn")
    bench.rounds(2)
    seen = bench.connection()
    assert (seen.status, seen.reason, seen.reason_code, seen.who_must_act) == ("up", "", "", "")
    assert (seen.last_error, seen.last_failure) == ("", None)
    assert seen.failures == {Code.WRONG_PSK: 1}
    bench.ike.sas.clear()
    bench.round()
    assert bench.connection().reason_code is Code.WAITING_FOR_SITE


def test_a_tunnel_that_we_closed_says_so_until_the_site_is_back(bench: Bench) -> None:
    bench.declare(kspb=vpn())
    bench.round()
    bench.ike.dial_in("kspb_vpn")
    bench.ike.refuses_redial = {"kspb_vpn"}
    bench.declare(kspb=vpn(psk="another-correct-horse-battery"))
    bench.rounds(3)
    seen = bench.connection()
    assert (seen.reason_code, seen.who_must_act) == (Code.CLOSED_BY_HUB, Side.NOBODY)
    assert "identities or key changed" in seen.reason
    assert seen.failures == {}


def test_what_charon_refuses_of_ours_is_told_and_not_counted_as_the_sites(bench: Bench) -> None:
    bench.declare(kspb=vpn())
    bench.ike.faults = {"load_connection": IkeRefused("invalid value for: proposals")}
    bench.round()
    assert bench.connection().last_error == "invalid value for: proposals"
    assert bench.connection().failures == {}


def test_while_charon_is_unreachable_that_is_the_reason_and_the_hubs_turn(bench: Bench) -> None:
    bench.declare(kspb=vpn())
    bench.round()
    fail(bench, Code.WRONG_PSK)
    bench.ike.reachable = False
    bench.round()
    seen = bench.connection()
    assert (seen.reason_code, seen.who_must_act) == (Code.CHARON_UNREACHABLE, Side.HUB)
    assert seen.failures == {Code.WRONG_PSK: 1}
    bench.ike.reachable = True
    bench.round()
    assert bench.connection().reason_code is Code.WRONG_PSK


def test_a_name_that_somebody_else_has_is_the_hubs_turn(bench: Bench) -> None:
    bench.ike.load_connection("kspb_vpn", {"children": {"theirs": {}}})
    bench.declare(kspb=vpn())
    bench.round()
    seen = bench.connection()
    assert (seen.reason_code, seen.who_must_act) == (Code.NAME_CLASH, Side.HUB)


def test_the_site_of_a_tunnel_that_was_up_is_known_by_its_address_again(bench: Bench) -> None:
    bench.declare(kspb=vpn())
    bench.round()
    bench.ike.dial_in("kspb_vpn")
    bench.round()
    bench.ike.sas.clear()
    bench.round()
    bench.evidence.note(Failure("", Code.PROPOSAL_MISMATCH, "x", 0.0, "198.51.100.7"))
    bench.round()
    assert bench.connection().reason_code is Code.PROPOSAL_MISMATCH
    assert [one.remote_address for one in bench.status.strangers] == ["198.51.100.7"]


def test_a_removed_airport_takes_its_failures_with_it(bench: Bench) -> None:
    bench.declare(kspb=vpn(), kczk=vpn(2))
    fail(bench, Code.WRONG_PSK)
    bench.round()
    bench.declare(kczk=vpn(2))
    bench.round()
    assert bench.memory.record.by_connection == {}


def test_a_flood_of_strangers_pushes_out_no_failure_of_a_connection() -> None:
    evidence = Evidence()
    evidence.note(Failure("kspb_vpn", Code.CLOSED_AT_ONCE, "x", 1.0))
    for number in range(10_000):
        evidence.note(Failure("", Code.UNKNOWN_ID, "x", 2.0, f"10.0.{number >> 8}.{number & 255}"))
    taken = evidence.take()
    assert taken[0].connection == "kspb_vpn"
    assert len(taken) < 1000
    assert evidence.take() == ()


def test_the_status_says_why_failures_are_not_heard_of(bench: Bench) -> None:
    bench.declare(kspb=vpn())
    bench.evidence.deaf = "charon's log is not listened to for 60 s"
    assert bench.round().status.reconciler.errors == (bench.evidence.deaf,)
    bench.evidence.deaf = ""
    assert bench.round().status.reconciler.errors == ()
