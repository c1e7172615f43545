"""When the packet filter is to be loaded: for each state, whether the file is known or not."""

import pytest

from reconciler.core.packet_filter import FilterState, FilterView
from reconciler.core.site_rules import why_load

LOADS = {
    # State, and whether what was loaded is as declared: is it loaded when sure, and when not.
    (FilterState.IN_FORCE, True): (False, False),
    (FilterState.IN_FORCE, False): (True, False),
    (FilterState.DRIFTED, True): (True, False),
    (FilterState.DRIFTED, False): (True, False),
    (FilterState.UNKNOWN, False): (True, False),
    (FilterState.MISSING, True): (True, True),
    (FilterState.MISSING, False): (True, True),
    (FilterState.OFF, False): (False, False),
}


def test_every_state_is_judged() -> None:
    assert {state for state, _ in LOADS} == set(FilterState)


@pytest.mark.parametrize(("seen", "expected"), LOADS.items(), ids=str)
def test_a_table_that_is_there_is_replaced_only_by_one_that_knows_every_airport(
    seen: tuple[FilterState, bool], expected: tuple[bool, bool]
) -> None:
    state, same = seen
    view = FilterView("declared" if same else None, state)
    assert tuple(bool(why_load(view, "declared", sure=sure)) for sure in (True, False)) == expected


@pytest.mark.parametrize("state", FilterState)
def test_who_could_not_look_changes_nothing(state: FilterState) -> None:
    view = FilterView(None, state, error="no answer")
    assert why_load(view, "declared", sure=True) == why_load(view, "declared", sure=False) == ""
