"""Look at the packet filter, load it anew if it is not as declared, and say so."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

from reconciler.core.actions import LoadFilter, Outcome
from reconciler.core.backoff import delay_s
from reconciler.core.packet_filter import FilterState, FilterView, digest
from reconciler.core.render import Connection
from reconciler.core.site_rules import Filtering, rules_of, why_load
from reconciler.core.status import FilterStatus
from reconciler.errors import FilterUnreachable
from reconciler.look import Look
from reconciler.ports import Filter
from reconciler.world import World

log = logging.getLogger(__name__)
# Rounds may follow each other closely, and each look lists the whole table.
LOOK_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class Filtered:
    """What became of the filter in one round. `status` None: none is configured."""

    filtering: Filtering
    status: FilterStatus | None = None
    outcomes: tuple[Outcome, ...] = ()


def keep_filter(world: World, before: Filtering, seen: Look) -> Filtered:
    """Act at most once."""
    if world.filter is None:
        return Filtered(before)
    filtering = _made_for(before, seen.desired)
    now_s = world.clock.monotonic_s()
    outcomes: tuple[Outcome, ...] = ()
    if _is_due(filtering, now_s):
        filtering = _seen(filtering, _look(world.filter), now_s)
        cause = _cause(filtering, seen)
        if cause and not world.stopping():
            filtering, outcome = _load(world, world.filter, filtering, cause)
            outcomes = (outcome,)
        filtering = _counted(world, filtering, failed=bool(_error(filtering)))
    status = _status(filtering)
    return Filtered(_say(filtering, status), status, outcomes)


def planned_load(world: World, seen: Look) -> list[LoadFilter]:
    """For `plan`: what would be done about the filter."""
    if world.filter is None:
        return []
    filtering = _seen(_made_for(Filtering(), seen.desired), _look(world.filter), 0.0)
    cause = _cause(filtering, seen)
    return [LoadFilter(cause)] if cause else []


def _made_for(filtering: Filtering, desired: Mapping[str, Connection]) -> Filtering:
    if filtering.desired is desired:
        return filtering
    rules = rules_of(desired)
    wanted = digest(rules)
    # What has changed is loaded at once; only attempts in vain have to wait.
    looked_s = filtering.looked_s if wanted == filtering.wanted else float("-inf")
    return replace(filtering, desired=desired, rules=rules, wanted=wanted, looked_s=looked_s)


def _is_due(filtering: Filtering, now_s: float) -> bool:
    waits = filtering.view is not None and now_s < filtering.looked_s + LOOK_EVERY_S
    return not waits and now_s >= filtering.next_s


def _cause(filtering: Filtering, seen: Look) -> str:
    if filtering.view is None:
        return ""
    return why_load(filtering.view, filtering.wanted, sure=seen.sure)


def _look(port: Filter) -> FilterView:
    try:
        return port.look()
    except FilterUnreachable as error:
        return FilterView(None, FilterState.UNKNOWN, error=str(error))


def _load(
    world: World, port: Filter, filtering: Filtering, cause: str
) -> tuple[Filtering, Outcome]:
    try:
        view = port.load(filtering.rules)
    except FilterUnreachable as error:
        view = FilterView(None, FilterState.UNKNOWN, error=str(error))
    action = LoadFilter(cause)
    outcome = Outcome(action, view.error or None)
    fields = {"action": "LoadFilter", "cause": cause, "outcome": view.error or "accepted"}
    level = logging.WARNING if view.error else logging.INFO
    log.log(level, "action", extra={"fields": fields})
    filtering = _seen(filtering, view, world.clock.monotonic_s())
    if not view.error:
        filtering = replace(filtering, last_loaded_at=world.clock.now())
    return filtering, outcome


def _seen(filtering: Filtering, view: FilterView, now_s: float) -> Filtering:
    """Take over a look. The kernel's counters begin anew where the table was replaced."""
    before = filtering.view.dropped if filtering.view is not None else {}
    dropped = dict(filtering.dropped)
    for cause, count in view.dropped.items():
        last = before.get(cause, 0)
        dropped[cause] = dropped.get(cause, 0) + (count - last if count >= last else count)
    if not view.dropped:
        view = replace(view, dropped=before)
    return replace(filtering, view=view, looked_s=now_s, dropped=dropped)


def _error(filtering: Filtering) -> str:
    return filtering.view.error if filtering.view is not None else ""


def _counted(world: World, filtering: Filtering, *, failed: bool) -> Filtering:
    if not failed:
        return replace(filtering, count=0, next_s=0.0)
    count = filtering.count + 1
    next_s = world.clock.monotonic_s() + delay_s(count, world.jitter())
    return replace(filtering, count=count, next_s=next_s)


def _status(filtering: Filtering) -> FilterStatus:
    view = filtering.view or FilterView(None, FilterState.UNKNOWN)
    in_force = view.state is FilterState.IN_FORCE
    return FilterStatus(
        state=view.state,
        as_declared=in_force and view.loaded == filtering.wanted,
        error=view.error,
        dropped_packets=dict(filtering.dropped),
        last_loaded_at=filtering.last_loaded_at,
    )


def _say(filtering: Filtering, status: FilterStatus) -> Filtering:
    """Log what is wrong when it changes, not every round."""
    told = "" if status.state is FilterState.IN_FORCE else f"{status.state} {status.error}"
    if told == filtering.told:
        return filtering
    fields = {"state": status.state.value, "fault": status.error}
    if status.state in (FilterState.IN_FORCE, FilterState.OFF):
        log.info("packet filter", extra={"fields": fields})
    else:
        log.warning("packet filter", extra={"fields": fields})
    return replace(filtering, told=told)
