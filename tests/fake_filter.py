"""A packet filter without a kernel, with the same face as the agent's client."""

from reconciler.core.nft_script import nft_script
from reconciler.core.packet_filter import (
    COUNTERS,
    FilterRules,
    FilterState,
    FilterView,
    digest,
)
from reconciler.errors import FilterUnreachable


class FakeFilter:
    """Fails when told to: `unreachable` and `refuses` are the words of it."""

    def __init__(self) -> None:
        self.unreachable = self.refuses = ""
        self.off = False
        self.loads = 0
        self.dropped = dict.fromkeys(COUNTERS, 0)
        self.rules: FilterRules | None = FilterRules()
        """What the kernel has; None: no table."""
        self._touched = False
        self._loaded: FilterRules | None = None

    # The agent's client

    def look(self) -> FilterView:
        """Say how the filter is. Raises FilterUnreachable."""
        if self.unreachable:
            raise FilterUnreachable(self.unreachable)
        if self.off:
            return FilterView(None, FilterState.OFF)
        loaded = None if self._loaded is None else digest(self._loaded)
        return FilterView(loaded, self._state(), {} if self.rules is None else dict(self.dropped))

    def _state(self) -> FilterState:
        if self.rules is None:
            return FilterState.MISSING
        if self._loaded is None:
            return FilterState.UNKNOWN
        same = not self._touched and nft_script(self.rules) == nft_script(self._loaded)
        return FilterState.IN_FORCE if same else FilterState.DRIFTED

    def load(self, rules: FilterRules) -> FilterView:
        """Put rules in force, unless told to refuse. Raises FilterUnreachable."""
        view = self.look()
        if self.off:
            return view
        if self.refuses:
            return FilterView(view.loaded, view.state, view.dropped, self.refuses)
        self.loads += 1
        self.rules = self._loaded = rules
        self._touched, self.dropped = False, dict.fromkeys(COUNTERS, 0)
        return self.look()

    # What others do

    def delete_table(self) -> None:
        """Take the table away by hand."""
        self.rules = None

    def touch(self) -> None:
        """Change the table by hand."""
        self._touched = True

    def restart(self) -> None:
        """Start the agent anew: it has forgotten what it loaded, the kernel has not."""
        self._loaded = None
