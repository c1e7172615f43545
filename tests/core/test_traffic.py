"""Whether packets come back, told by counters between looks."""

from dataclasses import replace

import pytest

from reconciler.core.observed import ChildSa, IkeSa, Observed
from reconciler.core.traffic import SILENT_AFTER_S, SILENT_PACKETS, Flow, flows, health, is_silent
from tests.fake_ike import FakeIke

NAME = "kspb_vpn"


def seen(received: int, sent: int, spi: str = "c1", state: str = "INSTALLED") -> Observed:
    child = ChildSa("lan", "1", state, received_packets=received, sent_packets=sent, spi_in=spi)
    sa = IkeSa(NAME, "1", "ESTABLISHED", children=(child,))
    return replace(FakeIke().observe(deep=False), sas=(sa,))


def after(*looks: tuple[float, Observed]) -> Flow:
    found: dict[str, Flow] = {}
    for now_s, observed in looks:
        found = flows(found, observed, now_s)
    return found[NAME]


LATE_S = SILENT_AFTER_S


def test_sent_for_a_while_with_no_answer_is_silent() -> None:
    flow = after((0, seen(7, 10)), (LATE_S, seen(7, 10 + SILENT_PACKETS)))
    assert is_silent(flow, LATE_S)
    assert health(flow, LATE_S) == "fail"


@pytest.mark.parametrize(
    ("received", "sent", "after_s"),
    [
        (7, 10, LATE_S),  # nothing was sent
        (7, 9 + SILENT_PACKETS, LATE_S),  # too little was sent
        (8, 10 + SILENT_PACKETS, LATE_S),  # something came back
        (7, 10 + SILENT_PACKETS, LATE_S - 1),  # not long enough
    ],
)
def test_anything_less_is_not(received: int, sent: int, after_s: float) -> None:
    flow = after((0, seen(7, 10)), (after_s, seen(received, sent)))
    assert not is_silent(flow, after_s)
    assert health(flow, after_s) != "fail"


def test_what_comes_back_begins_the_count_anew() -> None:
    flow = after((0, seen(7, 10)), (40, seen(8, 50)), (60, seen(8, 90)))
    assert not is_silent(flow, 60)
    assert is_silent(flow, 40 + LATE_S)


def test_a_rekeyed_child_begins_the_count_anew() -> None:
    flow = after((0, seen(7, 10)), (40, seen(0, 30, spi="c2")))
    assert not is_silent(flow, 50)


def test_health_is_unknown_until_something_came_back_and_again_when_all_is_quiet() -> None:
    first = after((0, seen(7, 10)))
    assert health(None, 0) == health(first, 1) == "unknown"
    answered = after((0, seen(7, 10)), (10, seen(8, 11)))
    assert health(answered, 20) == "pass"
    assert health(answered, 100) == "unknown"


def test_a_tunnel_that_carries_nothing_has_no_flow() -> None:
    assert flows({NAME: Flow(frozenset(), 0, 0, 0, 0)}, seen(0, 0, state="DELETED"), 1) == {}
