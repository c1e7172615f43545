"""Whether packets come back, told by counters between looks."""

from dataclasses import replace

import pytest

from reconciler.core.observed import ChildSa, IkeSa, Observed
from reconciler.core.traffic import SILENT_AFTER_S, Flow, flows, health, is_silent, was_answered
from tests.fake_ike import FakeIke

NAME = "kspb_vpn"


def seen(received: int, sent: int, spi: str = "c1", state: str = "INSTALLED") -> Observed:
    child = ChildSa("lan", "1", state, received_packets=received, sent_packets=sent, spi_in=spi)
    sa = IkeSa(NAME, "1", "ESTABLISHED", children=(child,))
    return replace(FakeIke().observe(deep=False), sas=(sa,))


def after(*looks: tuple[float, Observed]) -> Flow:
    found: dict[str, Flow] = {}
    for now_s, observed in looks:
        found = flows(found, observed, now_s, {NAME})
    return found[NAME]


# Something came back, and then no more of what was sent in three looks.
ANSWERED = ((0.0, seen(7, 10)), (1.0, seen(8, 11)))
UNANSWERED = ((10.0, seen(8, 14)), (30.0, seen(8, 15)), (55.0, seen(8, 17)))


def test_sent_for_a_while_with_no_answer_where_there_was_one_before_is_silent() -> None:
    flow = after(*ANSWERED, *UNANSWERED)
    assert is_silent(flow, 55)
    assert health(flow, 55) == "fail"


@pytest.mark.parametrize(
    "looks",
    [
        ANSWERED,  # nothing was sent
        (*ANSWERED, (10.0, seen(8, 12)), (30.0, seen(8, 13)), (55.0, seen(8, 14))),  # too little
        (*ANSWERED, *UNANSWERED[:2], (55.0, seen(9, 17))),  # something came back
        (*ANSWERED, (20.0, seen(8, 14)), *UNANSWERED[1:]),  # not long enough
        (*ANSWERED, (600.0, seen(8, 117))),  # it may still be answered
        (*ANSWERED, (600.0, seen(8, 117)), (601.0, seen(8, 118)), (602.0, seen(8, 119))),
        ((0.0, seen(7, 10)), *((at_s, seen(7, 10 + int(at_s))) for at_s in (10, 30, 55, 90))),
    ],
    ids=["idle", "little", "answered", "soon", "a burst", "a burst goes on", "never heard of"],
)
def test_anything_less_is_not(looks: tuple[tuple[float, Observed], ...]) -> None:
    flow = after(*looks)
    assert not is_silent(flow, looks[-1][0])
    assert health(flow, looks[-1][0]) != "fail"


def test_a_new_child_begins_the_count_anew_and_what_was_heard_before_is_remembered() -> None:
    flow = after(*ANSWERED, *UNANSWERED, (56, seen(0, 3, spi="c2")))
    assert not is_silent(flow, 56)
    assert not was_answered(flow)
    assert flow.ever_answered


def test_a_tunnel_that_is_gone_for_a_while_was_heard_all_the_same() -> None:
    flow = after(*ANSWERED, (10, seen(0, 0, state="DELETED")))
    assert (flow.ever_answered, was_answered(flow), health(flow, 10)) == (True, False, "unknown")


def test_health_is_unknown_until_something_came_back_and_again_when_all_is_quiet() -> None:
    first = after((0, seen(7, 10)))
    assert health(None, 0) == health(first, 1) == "unknown"
    answered = after(*ANSWERED)
    assert health(answered, 1 + SILENT_AFTER_S) == "pass"
    assert health(answered, 100) == "unknown"
