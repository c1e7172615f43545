"""What the filter's client promises. The same sentences run against the fake and a real kernel."""

from ipaddress import ip_network
from typing import Protocol

import pytest

from reconciler.core.packet_filter import (
    COUNTERS,
    Allowed,
    FilterRules,
    FilterState,
    FilterView,
    SiteRules,
    digest,
)

KSPB = SiteRules("kspb_vpn", (ip_network("192.168.1.0/24"), ip_network("fd00:1::/64")))
KCZK = SiteRules("kczk_vpn", (ip_network("192.168.2.0/24"),), (Allowed("tcp", 21, 22),))
SOME, MORE = FilterRules((KSPB,)), FilterRules((KSPB, KCZK))


class Filter(Protocol):
    """A client, and the hands of others."""

    def look(self) -> FilterView: ...
    def load(self, rules: FilterRules) -> FilterView: ...
    def delete_table(self) -> None: ...
    def touch(self) -> None: ...
    def restart(self) -> None: ...


class FilterContract:
    """Inherit, and give a fixture `filter_` whose agent has just started, over an empty table."""

    def test_an_agent_that_has_loaded_nothing_does_not_know(self, filter_: Filter) -> None:
        view = filter_.look()
        assert (view.loaded, view.state, view.error) == (None, FilterState.UNKNOWN, "")

    def test_what_was_loaded_is_in_force(self, filter_: Filter) -> None:
        for rules in (SOME, MORE, FilterRules(), SOME):
            view = filter_.load(rules)
            assert view == filter_.look()
            assert (view.loaded, view.state) == (digest(rules), FilterState.IN_FORCE)
            assert (view.error, dict(view.dropped)) == ("", dict.fromkeys(COUNTERS, 0))

    def test_loading_the_same_again_changes_nothing(self, filter_: Filter) -> None:
        assert filter_.load(SOME) == filter_.load(SOME)

    def test_a_table_that_was_deleted_is_missing_until_it_is_loaded(self, filter_: Filter) -> None:
        filter_.load(SOME)
        filter_.delete_table()
        view = filter_.look()
        assert (view.loaded, view.state) == (digest(SOME), FilterState.MISSING)
        assert filter_.load(SOME).state is FilterState.IN_FORCE

    def test_a_table_that_was_changed_has_drifted_until_it_is_loaded(self, filter_: Filter) -> None:
        filter_.load(SOME)
        filter_.touch()
        view = filter_.look()
        assert (view.loaded, view.state) == (digest(SOME), FilterState.DRIFTED)
        assert filter_.load(SOME).state is FilterState.IN_FORCE

    @pytest.mark.parametrize("lost", [False, True])
    def test_an_agent_that_starts_anew_does_not_know_what_is_there(
        self, filter_: Filter, lost: bool
    ) -> None:
        filter_.load(SOME)
        filter_.restart()
        if lost:
            filter_.delete_table()
        view = filter_.look()
        state = FilterState.MISSING if lost else FilterState.UNKNOWN
        assert (view.loaded, view.state) == (None, state)
        assert filter_.load(SOME).state is FilterState.IN_FORCE
