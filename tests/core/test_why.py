"""The reason of a tunnel now, from what is seen and what is remembered."""

from typing import Any

import pytest

from reconciler.core.failures import LastFailure
from reconciler.core.reasons import Code, Side
from reconciler.core.why import Reason, without_child, without_ike
from tests.builders import connection

KSPB = connection()
FIXED = connection(remote_address="198.51.100.7")


def last(code: Code, words: str = "", **changes: Any) -> LastFailure:
    return LastFailure(code=code, at=100, words=words, **changes)


def down(failure: LastFailure | None = None, *, was_up: bool = False) -> Reason:
    return without_ike(KSPB, failure, negotiating=False, was_up=was_up)


def test_without_any_failure_it_depends_on_whether_the_site_was_ever_there() -> None:
    assert down().code is Code.NEVER_DIALLED_IN
    assert down(was_up=True).code is Code.WAITING_FOR_SITE
    found = without_ike(FIXED, None, negotiating=False, was_up=True)
    assert (found.code, found.side) == (Code.DIALLING, Side.NOBODY)


def test_an_attempt_under_way_is_the_reason_only_if_none_failed_before() -> None:
    found = without_ike(KSPB, None, negotiating=True, was_up=False)
    assert found.code is Code.NEGOTIATING
    found = without_ike(KSPB, last(Code.WRONG_PSK), negotiating=True, was_up=False)
    assert (found.code, found.side) == (Code.WRONG_PSK, Side.SITE)


def test_that_the_site_dialled_in_anew_does_not_explain_why_it_is_gone() -> None:
    assert down(last(Code.REPLACED), was_up=True).code is Code.WAITING_FOR_SITE


@pytest.mark.parametrize(
    ("failure", "text"),
    [
        (
            last(Code.WRONG_PSK, remote_address="203.0.113.9"),
            "the site has another key than the declared one: from 203.0.113.9",
        ),
        (last(Code.DEAD_PEER), "the site stopped answering"),
        (
            last(
                Code.PROPOSAL_MISMATCH,
                "no acceptable proposal found; received proposals: ESP:AES_CBC_128; "
                "configured proposals: ESP:AES_GCM_16_256",
            ),
            "site and hub have no set of algorithms in common: "
            "the site offers ESP:AES_CBC_128, the hub accepts ESP:AES_GCM_16_256",
        ),
        (
            last(Code.SELECTOR_MISMATCH, "traffic selectors ::/0 === 10.9.0.0/24 unacceptable"),
            "the site asks for other subnets than the declared ones: "
            "it asks for 10.9.0.0/24 behind it and ::/0 here",
        ),
        (
            last(Code.UNKNOWN_ID, claimed_id="x.remote", asked_id="other.hub"),
            "no declared tunnel fits what the site says of itself: it calls itself 'x.remote', "
            "it calls the hub 'other.hub' instead of 'vpn.aviationwx.org'",
        ),
        (
            last(Code.HALF_OPEN, remote_address="203.0.113.9", certain=False),
            "the negotiation began, and then nothing more came from the site: "
            "from 203.0.113.9; told apart by its address only",
        ),
        (
            last(Code.CLOSED_BY_HUB, "negotiated before the identities or the key changed"),
            "the hub closed the tunnel so that the site dials in anew: "
            "negotiated before the identities or the key changed",
        ),
    ],
)
def test_a_sentence_has_the_particulars(failure: LastFailure, text: str) -> None:
    assert down(failure).text == text


def test_a_site_that_calls_from_elsewhere_is_told_both_addresses() -> None:
    failure = last(
        Code.UNKNOWN_ID,
        claimed_id="kspb.remote",
        asked_id="vpn.aviationwx.org",
        remote_address="203.0.113.9",
    )
    text = without_ike(FIXED, failure, negotiating=False, was_up=False).text
    assert "198.51.100.7 is declared as its address" in text
    assert text.endswith("from 203.0.113.9")
    failure = last(Code.WRONG_PSK, remote_address="198.51.100.7")
    text = without_ike(FIXED, failure, negotiating=False, was_up=False).text
    assert "198.51.100.7" not in text


def test_a_missing_child_is_explained_by_a_failure_of_this_very_ike_sa() -> None:
    failure = last(Code.CHILD_FAILED, "unable to install IPsec policies (SPD) in kernel")
    assert without_child(KSPB, failure, since=90).code is Code.CHILD_FAILED
    assert without_child(KSPB, failure, since=101).code is Code.CHILD_MISSING
    assert without_child(KSPB, last(Code.WRONG_PSK), since=90).code is Code.CHILD_MISSING
    assert without_child(KSPB, None, since=90).code is Code.CHILD_MISSING
