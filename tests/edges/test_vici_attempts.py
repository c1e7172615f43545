"""From what charon 6.0.1 was recorded to say to one failure an attempt, or to none."""

import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from reconciler.core.reasons import Code, Failure
from reconciler.edges.vici_attempts import MOST_SAS, SETTLE_S, SaMemory

Event = tuple[float, str, dict[str, Any]]
RECORDED: dict[str, list[Event]] = json.loads(
    (Path(__file__).parent / "recorded_attempts.json").read_text()
)
EXPECTED: dict[str, list[Code]] = {
    "wrong-psk": [Code.WRONG_PSK],
    "unknown-id": [Code.UNKNOWN_ID],
    "wrong-hub-id": [Code.UNKNOWN_ID],
    "wrong-address": [Code.UNKNOWN_ID],
    "long-id": [Code.UNKNOWN_ID],
    "odd-id": [Code.UNKNOWN_ID],
    "ikev1": [Code.WRONG_IKE_VERSION],
    "ike-proposal-mismatch": [Code.PROPOSAL_MISMATCH],
    "esp-proposal-mismatch": [Code.PROPOSAL_MISMATCH],
    "selector-mismatch": [Code.SELECTOR_MISMATCH],
    "half-open": [Code.HALF_OPEN],
    "dead-peer": [Code.DEAD_PEER],
    "replaced": [Code.REPLACED],
    "two-sites-one-id": [Code.REPLACED],
    "closed-by-site": [Code.CLOSED_BY_SITE],
    "site-refuses-our-auth": [Code.REFUSED_BY_SITE],
    "no-key-at-hub": [Code.NO_KEY],
    "child-failed": [Code.CHILD_FAILED],
    "dial-wrong-psk": [Code.REFUSED_BY_SITE],
    "dial-unknown-id": [Code.REFUSED_BY_SITE],
    "dial-ike-mismatch": [Code.PROPOSAL_MISMATCH],
    "dial-esp-mismatch": [Code.PROPOSAL_MISMATCH],
    "dial-selector-mismatch": [Code.SELECTOR_MISMATCH],
    "dial-nobody": [Code.NO_ANSWER],
    "dial-4500-blocked": [Code.HALF_OPEN],
    # What goes on in every tunnel is no failure.
    "site-rekeys-ike": [],
    "site-rekeys-child": [],
    "site-reauthenticates": [],
    "child-closed-by-site": [],
    "hub-terminates": [],
    "garbage": [],
}
UNNAMED = {
    *{"unknown-id", "wrong-hub-id", "wrong-address", "long-id", "odd-id", "ikev1"},
    *{"ike-proposal-mismatch", "half-open"},
}


def replay(events: Iterable[Event]) -> list[Failure]:
    """Play the events at the times at which they came."""
    memory, failures = SaMemory(), list[Failure]()
    for at_s, kind, message in events:
        failures += memory.due(at_s)
        memory.take(kind, message, at_s)
    return [*failures, *memory.due(float("inf"))]


def one(name: str) -> Failure:
    (failure,) = replay(RECORDED[name])
    return failure


def test_every_recording_is_expected_to_give_something() -> None:
    assert set(EXPECTED) == set(RECORDED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_failed_attempt_is_one_failure_with_the_code_that_tells_most(name: str) -> None:
    failures = replay(RECORDED[name])
    assert [failure.code for failure in failures] == EXPECTED[name]
    assert all(bool(failure.connection) == (name not in UNNAMED) for failure in failures)


@pytest.mark.parametrize("name", EXPECTED)
def test_it_does_not_matter_which_of_charons_threads_is_faster(name: str) -> None:
    """Events of the same moment may overtake one another; they were seen to do so."""
    chance = random.Random(name)  # noqa: S311 - reproducible on purpose
    for _ in range(20):
        shuffled = sorted(
            RECORDED[name], key=lambda event: event[0] // 0.05 + chance.uniform(0, 1.5)
        )
        times = sorted(event[0] for event in shuffled)
        events = [
            (at, kind, message) for at, (_, kind, message) in zip(times, shuffled, strict=True)
        ]
        assert [failure.code for failure in replay(events)] == EXPECTED[name]


def test_a_failure_tells_who_it_was() -> None:
    found = one("wrong-psk")
    assert found.connection == "a1_vpn"
    assert (found.remote_address, found.ike_unique_id) == ("10.215.1.11", "1")
    assert (found.claimed_id, found.asked_id) == ("a1.remote", "vpn.aviationwx.org")
    assert found.words.endswith("but MAC mismatched")


def test_a_peer_that_charon_can_not_place_is_known_by_address_and_by_what_it_says() -> None:
    found = one("wrong-hub-id")
    assert (found.connection, found.remote_address) == ("", "10.215.1.13")
    assert (found.claimed_id, found.asked_id) == ("a3.remote", "other.hub")


def test_proposals_stand_beside_the_words() -> None:
    words = one("esp-proposal-mismatch").words
    assert "received proposals: ESP:AES_CBC_128/HMAC_SHA2_256_128/NO_EXT_SEQ" in words
    assert "configured proposals: ESP:AES_GCM_16_256/MODP_2048/NO_EXT_SEQ" in words


def test_what_a_peer_says_of_itself_is_cut_and_can_not_pretend_another_address() -> None:
    assert len(one("long-id").claimed_id) == 200
    odd = one("odd-id")
    assert odd.claimed_id == 'a]...10.0.0.1[a18.remote"{}'
    assert odd.remote_address == "10.215.1.29"


def log(words: str, unique_id: str = "1", name: str = "(unnamed)") -> dict[str, str]:
    return {"ikesa-name": name, "ikesa-uniqueid": unique_id, "msg": words}


def updown(unique_id: str, *, up: bool) -> dict[str, Any]:
    about = {"uniqueid": unique_id, "state": "ESTABLISHED", "remote-host": "10.215.1.9"}
    return {"kspb_vpn": about, **({"up": "yes"} if up else {})}


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.0, [Code.CLOSED_AT_ONCE]), (1.9, [Code.CLOSED_AT_ONCE]), (2.5, [])],
)
def test_an_sa_that_is_gone_within_two_seconds_was_a_failed_attempt(
    seconds: float, expected: list[Code]
) -> None:
    events = [(0.0, "ike-updown", updown("1", up=True))]
    events.append((seconds, "ike-updown", updown("1", up=False)))
    assert [failure.code for failure in replay(events)] == expected


def test_an_sa_that_we_close_ourselves_is_no_failed_attempt() -> None:
    events: list[Event] = [
        (0.0, "ike-updown", updown("1", up=True)),
        (0.1, "log", log("sending DELETE for IKE_SA kspb_vpn[1]", name="kspb_vpn")),
        (0.2, "ike-updown", updown("1", up=False)),
    ]
    assert replay(events) == []


def test_what_follows_from_a_failure_is_not_one_more() -> None:
    events: list[Event] = [
        (0.0, "ike-updown", updown("1", up=True)),
        (0.0, "log", log("no acceptable proposal found", name="kspb_vpn")),
        (1.0, "log", log("received DELETE for IKE_SA kspb_vpn[1]", name="kspb_vpn")),
        (1.0, "ike-updown", updown("1", up=False)),
    ]
    assert [failure.code for failure in replay(events)] == [Code.PROPOSAL_MISMATCH]


def test_a_failure_much_later_of_the_same_sa_is_one_more() -> None:
    events: list[Event] = [
        (0.0, "log", log("received TS_UNACCEPTABLE notify, no CHILD_SA built", name="kspb_vpn")),
        (900.0, "log", log("giving up after 3 retransmits", name="kspb_vpn")),
    ]
    assert [f.code for f in replay(events)] == [Code.SELECTOR_MISMATCH, Code.DEAD_PEER]


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("peer-auth-failed", "kspb_vpn", Code.WRONG_PSK),
        ("peer-auth-failed", "(unnamed)", Code.UNKNOWN_ID),
        ("local-auth-failed", "kspb_vpn", Code.REFUSED_BY_SITE),
        ("proposal-mismatch-ike", "(unnamed)", Code.PROPOSAL_MISMATCH),
        ("proposal-mismatch-child", "kspb_vpn", Code.PROPOSAL_MISMATCH),
        ("ts-mismatch", "kspb_vpn", Code.SELECTOR_MISMATCH),
        ("half-open-timeout", "(unnamed)", Code.HALF_OPEN),
        ("peer-init-unreachable", "kspb_vpn", Code.NO_ANSWER),
        ("retransmit-send-timeout", "kspb_vpn", Code.DEAD_PEER),
        ("unique-replace", "kspb_vpn", Code.REPLACED),
        ("install-child-sa-failed", "kspb_vpn", Code.CHILD_FAILED),
        ("keep-on-child-sa-failure", "kspb_vpn", Code.CHILD_FAILED),
    ],
)
def test_the_alerts_of_newer_releases_give_the_same_codes(
    kind: str, name: str, expected: Code
) -> None:
    about = {"uniqueid": "7", "remote-host": "10.215.1.9", "remote-id": "kspb.remote"}
    (found,) = replay([(0.0, "alert", {"type": kind, "ike-sa": {name: about}})])
    assert (found.code, found.words) == (expected, f"alert: {kind}")
    assert found.connection == ("" if name == "(unnamed)" else name)
    assert (found.remote_address, found.claimed_id) == ("10.215.1.9", "kspb.remote")


@pytest.mark.parametrize("kind", ["retransmit-send", "ts-narrowed", "shutdown-signal", "news"])
def test_other_alerts_are_no_failures(kind: str) -> None:
    assert replay([(0.0, "alert", {"type": kind, "ike-sa": {"a": {"uniqueid": "7"}}})]) == []
    assert replay([(0.0, "alert", {"type": kind})]) == []


def test_an_alert_beside_charons_words_is_the_same_failure() -> None:
    alert = {"type": "peer-auth-failed", "ike-sa": {"a1_vpn": {"uniqueid": "1"}}}
    (found,) = replay([*RECORDED["wrong-psk"], (RECORDED["wrong-psk"][-1][0], "alert", alert)])
    assert "MAC mismatched" in found.words


def test_a_flood_of_strangers_takes_a_bounded_place() -> None:
    memory = SaMemory()
    for number in range(3 * MOST_SAS):
        address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        words = f"received packet: from {address}[500] to 10.215.1.2[500] (456 bytes)"
        memory.take("log", log(words, str(number)), 0.0)
    assert len(memory) == MOST_SAS


def test_failures_are_told_in_order_of_time_and_not_before_they_are_due() -> None:
    memory = SaMemory()
    at_s = {"3": 0.0, "1": 0.1, "2": 0.2}
    for unique_id, now_s in at_s.items():
        memory.take("log", log("no matching peer config found", unique_id), now_s)
    # More is said of the first one; that does not put it off.
    memory.take("log", log("no matching peer config found", "3"), 0.25)
    assert [failure.ike_unique_id for failure in memory.due(0.15 + SETTLE_S)] == ["3", "1"]
    assert [failure.ike_unique_id for failure in memory.due(0.2 + SETTLE_S)] == ["2"]


def test_a_failure_of_an_sa_that_was_forgotten_meanwhile_keeps_the_order() -> None:
    memory = SaMemory()
    memory.take("log", log("no matching peer config found", "1"), 0.0)
    memory.take("log", log("no matching peer config found", "2"), 0.1)
    for number in range(MOST_SAS):
        memory.take("log", log("received packet: from 10.1.2.3[500]", f"x{number}"), 0.1)
    memory.take("log", log("no matching peer config found", "1"), 0.2)
    assert [failure.ike_unique_id for failure in memory.due(0.1 + SETTLE_S)] == ["2"]
    assert [failure.ike_unique_id for failure in memory.due(0.2 + SETTLE_S)] == ["1"]


def test_what_is_said_of_a_site_that_is_well_is_not_kept() -> None:
    memory = SaMemory()
    for number in range(100):
        words = "received packet: from 10.215.1.9[4500] to 10.215.1.2[4500] (57 bytes)"
        memory.take("log", log(words, str(number), "kspb_vpn"), 0.0)
    assert len(memory) == 0


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("log", {}),
        ("log", {"msg": "no matching peer config found"}),
        ("ike-updown", {}),
        ("ike-updown", {"up": "yes", "kspb_vpn": {}}),
        ("ike-rekey", {"kspb_vpn": {}}),
        ("ike-update", {}),
        ("alert", {}),
        ("alert", {"type": "ts-mismatch", "ike-sa": "none"}),
    ],
    ids=repr,
)
def test_an_event_that_lacks_what_it_should_have_does_no_harm(
    kind: str, message: dict[str, Any]
) -> None:
    memory = SaMemory()
    memory.take(kind, message, 0.0)
    list(memory.due(SETTLE_S))
