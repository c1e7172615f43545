"""Before anything is done: what is declared, what is seen, and what follows. Changes nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import chain

from reconciler.core.actions import Action, Remove
from reconciler.core.backoff import Attempts
from reconciler.core.check import (
    Decision,
    Fault,
    HubFacts,
    decide,
    is_mass_removal,
    unreadable,
)
from reconciler.core.diff import diff
from reconciler.core.observed import Observed, Unobserved
from reconciler.core.render import Connection, Hub, mark_of_child, mark_of_secret, render
from reconciler.core.status import ConnectionStatus
from reconciler.errors import IkeUnreachable, ManifestError, StateError
from reconciler.world import World


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision with all that it was made from, so that it need not be made twice.

    Attributes:
        document: airports.json as parsed, or the fault that kept it from being parsed.
        accepted: the last good declarations; None if they could not be read. They hold keys.
        keyed: whether there was a key for the marks.
        desired: what charon should have, by connection name.

    """

    document: object = field(repr=False)
    accepted: Mapping[str, object] | None = field(repr=False)
    hub: HubFacts
    allow_removals: bool
    keyed: bool
    decision: Decision
    desired: Mapping[str, Connection] = field(repr=False)

    def still_holds(
        self,
        document: object,
        accepted: Mapping[str, object] | None,
        hub: HubFacts,
        *,
        allow_removals: bool,
    ) -> bool:
        """Whether deciding again would give the same."""
        before = (self.keyed, self.allow_removals, self.hub, self.document, self.accepted)
        return before == (True, allow_removals, hub, document, accepted)


@dataclass(frozen=True, slots=True)
class Memory:
    """What one round hands to the next. Everything here can be lost without harm to a tunnel.

    Attributes:
        previous: the last statuses that were really observed, by connection name.
        failures: charon's own words about the last failed attempt, by connection name.
        looked_s: when charon was last seen, on the monotonic clock; None: never.
        last_valid: when airports.json last had no error, unix seconds.
        decided: the last decision.

    """

    rounds: int = 0
    previous: Mapping[str, ConnectionStatus] = field(default_factory=dict)
    looked_s: float | None = None
    attempts: Mapping[str, Attempts] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)
    last_valid: int = 0
    decided: Decided | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """What was read and seen, and what follows from it.

    Attributes:
        sure: whether it is known what every airport's tunnel is. An airport that can't be read may
            be the one behind an undeclared connection, unless what was accepted before is known,
            or charon has no connection of ours that is not declared.
        shallow: only SAs were looked at, as nothing but an event about them was the reason.

    """

    decided: Decided
    observed: Observed | Unobserved
    planned: tuple[Action, ...]
    sure: bool
    shallow: bool
    errors: tuple[str, ...] = ()

    @property
    def decision(self) -> Decision:
        """What was decided about the file."""
        return self.decided.decision

    @property
    def desired(self) -> Mapping[str, Connection]:
        """What charon should have, by connection name."""
        return self.decided.desired


def look(world: World, memory: Memory, *, deep: bool, allow_removals: bool = False) -> Look:
    """Read the declaration and charon, and plan. Without a key for the marks there is no plan."""
    observed = observe(world, deep=deep)
    errors: list[str] = []
    decided = _decide(world, memory, observed, errors, allow_removals=allow_removals)
    sure = decided.keyed and (_is_known(decided) or _all_declared(decided, observed))
    if isinstance(observed, Unobserved) or not decided.keyed:
        return Look(decided, observed, (), sure, not deep, tuple(errors))
    failed = {name: attempts.count for name, attempts in memory.attempts.items()}
    planned = diff(decided.desired, observed, failed)
    if not (sure and decided.decision.readable):
        planned = [action for action in planned if action.name in decided.desired]
    elif not decided.accepted and not allow_removals and _mass_removal(planned, observed, errors):
        # Nor is the file remembered: then the next round would take it for what was accepted.
        planned = [action for action in planned if action.name in decided.desired]
        sure = False
    return Look(decided, observed, tuple(planned), sure, not deep, tuple(errors))


def _is_known(decided: Decided) -> bool:
    decision = decided.decision
    return bool(decided.accepted) or (decision.readable and not decision.invalid)


def _marked(observed: Observed | Unobserved) -> set[str]:
    """Name what bears a mark of ours in charon: secrets alone can be unloaded by hand."""
    if isinstance(observed, Unobserved):
        return set()
    secrets = map(mark_of_secret, observed.secret_ids)
    loaded = ((name, child) for name, of in observed.connections.items() for child in of or ())
    running = ((sa.name, child.name) for sa in observed.sas for child in sa.children)
    children = {name for name, child in chain(loaded, running) if mark_of_child(child)}
    return children | {found[0] for found in secrets if found is not None}


def _all_declared(decided: Decided, observed: Observed | Unobserved) -> bool:
    seen = isinstance(observed, Observed) and decided.decision.readable
    return seen and _marked(observed) <= decided.desired.keys()


def _mass_removal(planned: list[Action], observed: Observed, errors: list[str]) -> bool:
    """Find a mass removal also when only charon itself can tell how many there were."""
    gone = [action.name for action in planned if isinstance(action, Remove)]
    if not is_mass_removal(len(gone), len(_marked(observed))):
        return False
    errors.append(
        f"held: removal of {', '.join(gone)}, as it is not known what was accepted before; "
        "confirm with: reconciler apply --allow-removals"
    )
    return True


def observe(world: World, *, deep: bool) -> Observed | Unobserved:
    """Look at charon, or say why that was not possible."""
    try:
        return world.ike.observe(deep=deep)
    except IkeUnreachable as error:
        return Unobserved(str(error))


def _decide(
    world: World,
    memory: Memory,
    observed: Observed | Unobserved,
    errors: list[str],
    *,
    allow_removals: bool,
) -> Decided:
    """Decide about the file, or find that the last decision still holds."""
    accepted = _accepted(world, errors)
    facts = _hub_facts(world, memory, observed)
    document = _document(world)
    last = memory.decided
    hub = _hub(world, observed, errors)
    if (
        last
        and hub.mark_key
        and last.still_holds(document, accepted, facts, allow_removals=allow_removals)
    ):
        return last
    if isinstance(document, Fault):
        decision = unreadable(document, accepted or {}, facts)
    else:
        decision = decide(document, accepted or {}, facts, allow_removals=allow_removals)
    decision = replace(decision, faults=(*decision.faults, *world.mount_faults()))
    desired = render(decision.sites.values(), hub)
    keyed = bool(hub.mark_key)
    return Decided(document, accepted, facts, allow_removals, keyed, decision, desired)


def _hub(world: World, observed: Observed | Unobserved, errors: list[str]) -> Hub:
    """Without a key nothing can be planned; an empty one still names what should be reported."""
    nothing_marked = isinstance(observed, Observed) and not _marked(observed)
    try:
        key = world.state.mark_key(may_make=nothing_marked)
    except StateError as error:
        # While charon can't be asked, a first key can't be made either: that is not a fault.
        errors += [str(error)] if isinstance(observed, Observed) else []
        key = b""
    return Hub(world.settings.hub_id, key, world.settings.dpd_delay_seconds)


def _document(world: World) -> object:
    """Return airports.json as parsed, or the Fault for which it can't be."""
    try:
        return world.read_document()
    except ManifestError as error:
        return Fault(world.settings.config_path.name, str(error))


def _accepted(world: World, errors: list[str]) -> Mapping[str, object] | None:
    try:
        return world.state.read_accepted()
    except StateError as error:
        errors.append(str(error))
        return None


def _hub_facts(world: World, memory: Memory, observed: Observed | Unobserved) -> HubFacts:
    """While charon can't be asked, its algorithms are those of the last time."""
    algorithms = memory.decided.hub.algorithms if memory.decided else None
    if isinstance(observed, Observed):
        algorithms = observed.algorithms
    return HubFacts(world.settings.hub_id, world.read_hub_networks(), algorithms)
