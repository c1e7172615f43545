"""charon's words and the codes they stand for; what a peer chooses can not pretend another one."""

import pytest

from reconciler.core.reasons import FAILURES, HUB_REFUSED, MEANINGS, Code, Side, printable
from reconciler.core.words import classify, classify_alert

IDS = "'vpn.aviationwx.org' - 'kspb.remote'"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (f"tried 1 shared key for {IDS}, but MAC mismatched", Code.WRONG_PSK),
        (f"tried 2 shared keys for {IDS}, but MAC mismatched", Code.WRONG_PSK),
        (f"no shared key found for {IDS}", Code.NO_KEY),
        ("no matching peer config found", Code.UNKNOWN_ID),
        ("no alternative config found", Code.UNKNOWN_ID),
        (
            "no IKE config found for 10.215.1.2...10.215.1.17, sending NO_PROPOSAL_CHOSEN",
            Code.UNKNOWN_ID,
        ),
        ("parsed ID_PROT request 0 [ SA V V V V V ]", Code.WRONG_IKE_VERSION),
        ("parsed AGGRESSIVE request 0 [ SA KE No ID V ]", Code.WRONG_IKE_VERSION),
        ("received proposals unacceptable", Code.PROPOSAL_MISMATCH),
        ("received proposals inacceptable", Code.PROPOSAL_MISMATCH),
        ("no acceptable proposal found", Code.PROPOSAL_MISMATCH),
        ("received NO_PROPOSAL_CHOSEN notify error", Code.PROPOSAL_MISMATCH),
        ("received NO_PROPOSAL_CHOSEN notify, no CHILD_SA built", Code.PROPOSAL_MISMATCH),
        (
            "ignore candidate 'kspb_vpn' without matching IKE proposal",
            Code.PROPOSAL_MISMATCH,
        ),
        ("traffic selectors 0.0.0.0/0 === 10.9.0.0/24 unacceptable", Code.SELECTOR_MISMATCH),
        ("traffic selectors 0.0.0.0/0 === 10.9.0.0/24 inacceptable", Code.SELECTOR_MISMATCH),
        ("no acceptable traffic selectors found", Code.SELECTOR_MISMATCH),
        ("received TS_UNACCEPTABLE notify, no CHILD_SA built", Code.SELECTOR_MISMATCH),
        ("received AUTHENTICATION_FAILED notify error", Code.REFUSED_BY_SITE),
        ("received INVALID_SYNTAX notify error", Code.REFUSED_BY_SITE),
        ("parsed INFORMATIONAL request 2 [ N(AUTH_FAILED) ]", Code.REFUSED_BY_SITE),
        ("parsed INFORMATIONAL request 2 [ N(AUTH_FAILED) D ]", Code.REFUSED_BY_SITE),
        ("unable to install inbound and outbound IPsec SA (SAD) in kernel", Code.CHILD_FAILED),
        ("unable to install IPsec policies (SPD) in kernel", Code.CHILD_FAILED),
        ("failed to establish CHILD_SA, keeping IKE_SA", Code.CHILD_FAILED),
        ("received FAILED_CP_REQUIRED notify, no CHILD_SA built", Code.CHILD_FAILED),
        ("closing IKE_SA due CHILD_SA setup failure", Code.CHILD_FAILED),
        ("establishing IKE_SA failed, peer not responding", Code.NO_ANSWER),
        ("peer not responding, trying again (2/3)", Code.NO_ANSWER),
        ("deleting half open IKE_SA with 10.215.1.21 after timeout", Code.HALF_OPEN),
        ("deleting half open IKE_SA kspb_vpn[3] with 10.215.1.21 after timeout", Code.HALF_OPEN),
        ("giving up after 3 retransmits", Code.DEAD_PEER),
        (
            "deleting duplicate IKE_SA for peer 'a.remote' due to uniqueness policy",
            Code.REPLACED,
        ),
        (
            "destroying duplicate IKE_SA for peer 'a.remote', received INITIAL_CONTACT",
            Code.REPLACED,
        ),
        ("received DELETE for IKE_SA kspb_vpn[15]", Code.CLOSED_BY_SITE),
    ],
)
def test_words_have_a_code(words: str, code: Code) -> None:
    verdict = classify(words)
    assert verdict is not None
    assert (verdict.code, verdict.words) == (code, words)


@pytest.mark.parametrize(
    "words",
    [
        "",
        "sending DPD request",
        "retransmit 2 of request with message ID 0",
        "parsed INFORMATIONAL response 2 [ N(AUTH_FAILED) ]",
        "generating IKE_AUTH response 1 [ N(AUTH_FAILED) ]",
        "parsed IKE_AUTH response 1 [ N(AUTH_FAILED) ]",
        "received DELETE for ESP CHILD_SA with SPI 396aedcd",
        "sending DELETE for IKE_SA a20_vpn[7]",
        "received proposals: IKE:AES_CBC_128/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/MODP_1024",
        "schedule delete of duplicate IKE_SA for peer 'a' due to uniqueness policy and suspected"
        " reauthentication",
        "authentication of 'a14.remote' with pre-shared key successful",
        # What a peer calls itself stands in the middle of a line.
        "looking for peer configs matching 10.0.0.1[h]...10.0.0.2[no matching peer config found]",
        "looking for peer configs matching 10.0.0.1[h]...10.0.0.2[x, but MAC mismatched",
        "authentication of 'giving up after 3 retransmits' with pre-shared key successful",
    ],
)
def test_other_words_are_no_failure(words: str) -> None:
    assert classify(words) is None


def test_of_many_words_about_one_attempt_the_cause_ranks_above_what_follows_from_it() -> None:
    ranked = [
        "parsed ID_PROT request 0 [ SA V ]",
        "unable to install inbound and outbound IPsec SA (SAD) in kernel",
        "parsed INFORMATIONAL request 2 [ N(AUTH_FAILED) ]",
        "closing IKE_SA due CHILD_SA setup failure",
        "received DELETE for IKE_SA kspb_vpn[15]",
    ]
    ranks = [verdict.rank for words in ranked if (verdict := classify(words))]
    assert ranks == sorted(ranks, reverse=True)
    assert len(set(ranks)) == len(ranked)


def test_an_alert_that_nobody_knows_is_no_failure() -> None:
    assert classify_alert("coffee-is-out", "kspb_vpn") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("kspb.remote", "kspb.remote"),
        ("a\x1b[31mb\r\nc\0", "a?[31mb??c?"),
        ("zażółć \u202e", "za???? ?"),
        ("x" * 1000, "x" * 197 + "..."),
        ("x" * 200, "x" * 200),
    ],
)
def test_what_a_peer_chose_is_made_harmless(text: str, expected: str) -> None:
    assert printable(text) == expected


def test_every_code_has_a_meaning() -> None:
    assert set(MEANINGS) == set(Code)
    for code, meaning in MEANINGS.items():
        assert meaning.sentence[0].islower() or meaning.sentence.startswith("IKE_SA"), code
        assert meaning.fix.endswith("."), code
        assert isinstance(meaning.side, Side)


def test_failures_are_few_enough_for_a_series_each() -> None:
    assert len(FAILURES) < 15
    assert set(FAILURES) >= HUB_REFUSED
