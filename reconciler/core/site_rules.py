"""From the declared tunnels to the rules of the packet filter, and when they are to be loaded."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.core.packet_filter import FilterRules, FilterState, FilterView, SiteRules
from reconciler.core.render import Connection


@dataclass(frozen=True, slots=True)
class Filtering:
    """What is remembered about the filter between rounds. Times: seconds, monotonic.

    Attributes:
        view: what the last look, or load, showed; None: there was none.
        looked_s: when that was.
        count, next_s: attempts in vain, and when the next may be made.
        dropped: packets since our start, by cause.
        told: what the log has been told last.
        desired, rules, wanted: the tunnels, the rules made for them, and the digest of those.

    """

    view: FilterView | None = None
    looked_s: float = 0.0
    count: int = 0
    next_s: float = 0.0
    dropped: Mapping[str, int] = field(default_factory=dict)
    last_loaded_at: int = 0
    told: str = ""
    desired: Mapping[str, Connection] | None = field(default=None, repr=False)
    rules: FilterRules = field(default_factory=FilterRules)
    wanted: str = ""


_CAUSES = {
    FilterState.MISSING: "the filter is not there",
    FilterState.DRIFTED: "the filter is not what was loaded",
    FilterState.UNKNOWN: "nobody has loaded the filter since its container started",
}


def rules_of(desired: Mapping[str, Connection]) -> FilterRules:
    """Return what is to be in force for these tunnels."""
    return FilterRules(
        tuple(
            SiteRules(name, connection.remote_subnets, connection.allow_inbound)
            for name, connection in desired.items()
        )
    )


def why_load(view: FilterView, wanted: str, *, sure: bool) -> str:
    """Say why the rules are to be loaded; empty: they are in force, or nobody wants them.

    `wanted`: their digest. `sure`: what is declared is known of every airport; else a table that is
    there stays, because it may know a site that we don't, whose replies would be dropped.
    """
    if view.state is FilterState.OFF or view.error:
        return ""
    if not sure and view.state is not FilterState.MISSING:
        return ""
    if view.state is FilterState.IN_FORCE:
        return "what is declared has changed" if view.loaded != wanted else ""
    return _CAUSES[view.state]
