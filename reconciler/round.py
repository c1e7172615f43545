"""One round: read, observe, decide, act, report. Level-triggered; the reasons are only logged."""

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from reconciler.act import act
from reconciler.core.actions import Action, Load, Outcome
from reconciler.core.backoff import hold_back
from reconciler.core.diff import look_again_s
from reconciler.core.mask import Mask
from reconciler.core.observed import Observed, Unobserved
from reconciler.core.reasons import Failure
from reconciler.core.sights import probes_of
from reconciler.core.status import Status
from reconciler.core.summary import just_came_up
from reconciler.core.swanctl import swanctl_text
from reconciler.core.tally import Tally
from reconciler.core.transitions import Tail, grown, transitions
from reconciler.errors import StateError, StatusError
from reconciler.filtering import keep_filter
from reconciler.healing import heal_container
from reconciler.look import Look, look, observe
from reconciler.memory import Memory
from reconciler.remember import after_acting, after_look, after_telling, counted, refusals
from reconciler.report import Done, make_status
from reconciler.round_log import RoundLog
from reconciler.world import World

log = logging.getLogger(__name__)
# Seconds of acting, after which the status is written and the next round follows at once.
ACT_FOR_S = 5.0
_JUST_CAME_UP_S = 0.5
# These events tell of SAs only; after anything else the connections are looked at as well.
SHALLOW_REASONS = frozenset(
    {"ike-updown", "child-updown", "ike-rekey", "child-rekey", "ike-update", "failure logged"}
    | {"probe changed", "names changed"}
)


@dataclass(frozen=True, slots=True)
class Report:
    """A finished round.

    Attributes:
        more: actions are left over, so the next round follows at once.
        look_again_s: an SA has just come up or waits for its end, so the next round follows soon.

    """

    status: Status
    status_written: bool
    observed: Observed | Unobserved
    outcomes: tuple[Outcome, ...]
    more: bool
    look_again_s: float | None
    took_s: float
    tallies: Mapping[str, Tally] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Told:
    """The status as it was told. `news`: it says what was not told before."""

    status: Status
    written: bool
    news: bool


def run_round(
    world: World, memory: Memory, reasons: Iterable[str], *, allow_removals: bool = False
) -> tuple[Memory, Report]:
    """Make one round, alone. Never raises for what the outside does; bugs propagate.

    But for StateError, where another process does not let us be alone.
    """
    with world.state.alone():
        return _run_round(world, memory, reasons, allow_removals=allow_removals)


def _run_round(
    world: World, memory: Memory, reasons: Iterable[str], *, allow_removals: bool
) -> tuple[Memory, Report]:
    began_s, looked_s = time.monotonic(), world.clock.monotonic_s()
    reasons = tuple(sorted(reasons))
    failures = world.take_failures()
    memory = replace(memory, refused_s=refusals(failures))
    deep = not set(reasons) <= SHALLOW_REASONS
    seen = look(world, memory, deep=deep, allow_removals=allow_removals)
    unsaved = _save(world, memory, seen)
    errors = _errors(world, memory, seen, unsaved)
    counted_before = memory.tallies.of
    memory = after_look(world, memory, seen, looked_s, unsaved=bool(unsaved))
    said = RoundLog(memory.rounds + 1, seen.desired, memory.previous)
    memory, done = _act(world, memory, seen, failures, said, looked_s)
    status = make_status(world, memory, seen, done, reasons, errors, counted_before)
    _probe(world, seen, status, done.observed)
    memory, told = _tell(world, memory, status, done.observed, said)
    took_s = time.monotonic() - began_s
    said.round(told.status, done.outcomes, len(failures), took_s, news=told.news)
    return memory, Report(
        *(told.status, told.written, done.observed, done.outcomes, done.more),
        _look_again_s(world, seen, told.status, done.observed),
        took_s,
        memory.tallies.of,
    )


def _errors(world: World, memory: Memory, seen: Look, unsaved: Iterable[str]) -> list[str]:
    """Gather what the status is to say of ourselves."""
    errors = [
        *filter(None, [memory.lost, world.why_deaf(), world.why_not_probed()]),
        *seen.errors,
        *unsaved,
        *(world.journal.errors() if world.journal else []),
    ]
    return [*map(seen.decided.mask.text, errors)]


def _act(
    world: World,
    memory: Memory,
    seen: Look,
    failures: Iterable[Failure],
    said: RoundLog,
    looked_s: float,
) -> tuple[Memory, Done]:
    """Act on charon and look again; then see to its container and the packet filter."""
    mask, observed = seen.decided.mask, seen.observed
    failures = tuple(_masked_failure(mask, failure) for failure in failures)
    said.failures(failures)
    due = hold_back(seen.planned, seen.attempts, world.clock.monotonic_s())
    outcomes, more = _carry_out(world, mask, said, due)
    if outcomes:
        looked_s, observed = world.clock.monotonic_s(), observe(world, deep=False)
        memory = counted(world, memory, observed, seen.desired, looked_s)
    memory = after_acting(world, memory, seen, failures, outcomes, observed)
    healed = heal_container(world, memory.healing, observed, looked_s)
    filtered = keep_filter(world, memory.filtering, seen)
    memory = replace(memory, healing=healed.healing, filtering=filtered.filtering)
    made = (*outcomes, *healed.outcomes, *filtered.outcomes)
    return memory, Done(observed, made, more, healed.container, filtered.status)


def _tell(
    world: World, memory: Memory, status: Status, observed: Observed | Unobserved, said: RoundLog
) -> tuple[Memory, _Told]:
    """Write status and journal, and log what changed."""
    status, new = _with_transitions(world, memory, status)
    status, written = _write_status(world, status)
    _write_journal(world, status, new)
    news = said.transitions(new, memory.tails)
    return after_telling(world, memory, status, observed), _Told(status, written, news)


def _look_again_s(
    world: World, seen: Look, status: Status, observed: Observed | Unobserved
) -> float | None:
    if any(map(just_came_up, status.connections.values())):
        return _JUST_CAME_UP_S
    if isinstance(observed, Unobserved):
        return None
    return look_again_s(seen.desired, observed, seen.orders.paused(world.clock.now()))


def _probe(world: World, seen: Look, status: Status, observed: Observed | Unobserved) -> None:
    """Have probed what is behind tunnels that are up, and nothing else."""
    if world.probe is not None and isinstance(observed, Observed):
        up = [name for name, one in status.connections.items() if one.status == "up"]
        world.probe(probes_of(seen.sights, up))


def _save(world: World, memory: Memory, seen: Look) -> list[str]:
    """Write what must survive us, before acting: charon's own start then finds the new state.

    Nothing is written that rests on doubt: not without knowing what was accepted before while an
    airport can't be read, and nothing is accepted whose algorithms charon was never asked about.
    """
    decided = seen.decided
    saved = seen.shallow and decided is memory.decided and not memory.unsaved
    if saved or not seen.sure:
        return []
    try:
        world.state.write_swanctl(swanctl_text(decided.desired.values()))
        asked = decided.hub.algorithms is not None
        if asked and decided.decision.readable:
            world.state.write_accepted(decided.decision.accepted)
        # Last, so that orders that can't be read keep nothing else from being remembered.
        if seen.orders.connections.keys() - decided.desired.keys():
            world.state.change_orders(lambda orders: orders.restrict(decided.desired))
    except StateError as error:
        log.exception("state not written")
        return [str(error)]
    return []


def _carry_out(
    world: World, mask: Mask, said: RoundLog, actions: Iterable[Action]
) -> tuple[list[Outcome], bool]:
    """Return what became of the actions, and whether some are left over for the next round."""
    outcomes: list[Outcome] = []
    not_loaded: set[str] = set()
    until_s = world.clock.monotonic_s() + ACT_FOR_S
    for action in actions:
        if world.stopping() or world.clock.monotonic_s() >= until_s:
            return outcomes, True
        if action.name in not_loaded:
            continue  # what runs under the old declaration is all that this site has
        outcome = act(action, world.ike)
        if outcome.error is not None:
            outcome = replace(outcome, error=mask.text(outcome.error))
        outcomes.append(outcome)
        said.action(outcome)
        if isinstance(action, Load) and outcome.error is not None:
            not_loaded.add(action.name)
    return outcomes, False


def _masked_failure(mask: Mask, failure: Failure) -> Failure:
    """Cover keys: a router may call itself by one, and charon repeats what it was told."""
    return replace(
        failure,
        words=mask.text(failure.words),
        claimed_id=mask.text(failure.claimed_id),
        asked_id=mask.text(failure.asked_id),
    )


def _with_transitions(
    world: World, memory: Memory, status: Status
) -> tuple[Status, dict[str, Tail]]:
    """Add to the status what is new in it, and return that by connection."""
    seen = status.connections
    new = transitions(seen, memory.previous, memory.tails, world.clock.now())
    tails = grown(memory.tails, new, seen)
    changed = {
        name: one.model_copy(update={"transitions": tails[name]})
        for name, one in seen.items()
        if one.transitions != tails[name]
    }
    return status.model_copy(update={"connections": {**seen, **changed}}), new


def _write_journal(world: World, status: Status, new: Mapping[str, Tail]) -> None:
    """Hand over what is new, once the status has it: what is lost by a kill is then made good."""
    if world.journal is None or not (new or world.journal.waits):
        return
    seen = status.connections
    tails = {name: one.transitions for name, one in seen.items()}
    world.journal.add(new, tails, {name: one.airport_id for name, one in seen.items()})


def _write_status(world: World, status: Status) -> tuple[Status, bool]:
    try:
        world.write_status(status)
    except StatusError as error:
        log.exception("status not written")
        errors = (*status.reconciler.errors, str(error))
        loop = status.reconciler.model_copy(update={"errors": errors})
        return status.model_copy(update={"reconciler": loop}), False
    return status, True
