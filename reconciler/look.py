"""Before anything is done: what is declared, what is seen, and what follows. Changes nothing."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain

from reconciler.core.about import without_keys
from reconciler.core.actions import Action, Remove
from reconciler.core.backoff import Attempts, Key, still_counting
from reconciler.core.check import (
    Decision,
    Fault,
    HubFacts,
    decide,
    is_mass_removal,
    keys_accepted,
    unreadable,
)
from reconciler.core.diff import diff
from reconciler.core.ladder import Circumstances, Renewal
from reconciler.core.mask import Mask, keys_in
from reconciler.core.observed import Observed, Unobserved
from reconciler.core.orders import Orders
from reconciler.core.probing import OF_CONNECTION, ProbeRecord, excused, is_dead_way
from reconciler.core.probing import Key as ProbeKey
from reconciler.core.render import Connection, Hub, mark_of_child, mark_of_secret, render
from reconciler.core.rotation import Answer, follow, with_next
from reconciler.core.sights import Intervals, Sights, cameras_of, host_names, make_sights
from reconciler.core.traffic import Flow, flows, is_silent
from reconciler.errors import IkeLate, IkeNoAccess, IkeUnreachable, ManifestError, StateError
from reconciler.memory import Decided, Memory
from reconciler.world import World


@dataclass(frozen=True, slots=True)
class Look:
    """What was read and seen, and what follows from it.

    Attributes:
        sure: whether it is known what every airport's tunnel is. An airport that can't be read may
            be the one behind an undeclared connection, unless what was accepted before is known,
            or charon has no connection of ours that is not declared.
        shallow: only SAs were looked at, as nothing but an event about them was the reason.
        attempts: what still counts of the attempts so far.
        orders: what was asked for by command line.
        flows: what has passed through each tunnel.
        sights: where every camera is.
        probe_records: what probes have brought.
        excused: tunnels that work although their probe fails.

    """

    decided: Decided
    observed: Observed | Unobserved
    planned: tuple[Action, ...]
    sure: bool
    shallow: bool
    errors: tuple[str, ...] = ()
    attempts: Mapping[Key, Attempts] = field(default_factory=dict)
    orders: Orders = field(default_factory=Orders)
    flows: Mapping[str, Flow] = field(default_factory=dict)
    sights: Sights = field(default_factory=Sights)
    probe_records: Mapping[ProbeKey, ProbeRecord] = field(default_factory=dict)
    excused: frozenset[str] = frozenset()

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
    allow_removals |= world.settings.hold_removals == "no"
    errors: list[str] = []
    decided = _decide(world, memory, observed, errors, allow_removals=allow_removals)
    orders = _orders(world, errors)
    attempts = _attempts(world, memory, decided.desired, orders, keyed=decided.keyed)
    sights = _sights(world, memory, decided)
    sure = decided.keyed and (_is_known(decided, observed) or _all_declared(decided, observed))
    seen = Look(
        *(decided, observed, (), sure, not deep, tuple(errors)),
        *(attempts, orders, memory.flows, sights, {}, memory.excused),
    )
    if isinstance(observed, Unobserved) or not decided.keyed:
        return seen
    now_s = world.clock.monotonic_s()
    seen = _with_traffic(world, memory, seen, observed, now_s)
    return _with_plan(world, seen, observed, now_s, allow_removals=allow_removals)


def _with_traffic(
    world: World, memory: Memory, seen: Look, observed: Observed, now_s: float
) -> Look:
    """Add what passes through the tunnels, and what probes say of them."""
    passed = flows(memory.flows, observed, now_s, seen.desired)
    records = world.probed()
    before = memory.excused & seen.desired.keys()
    works = excused(before, records, passed, world.settings.resync_seconds)
    return replace(seen, flows=passed, probe_records=records, excused=works)


def _with_plan(
    world: World, seen: Look, observed: Observed, now_s: float, *, allow_removals: bool
) -> Look:
    """Add what is to be done. What is not declared stays as it is as long as there is doubt."""
    now = world.clock.now()
    silent = _silent(seen, now_s, world.settings.resync_seconds)
    circumstances = _circumstances(seen.desired, seen.attempts, seen.orders, silent, now)
    planned = tuple(diff(seen.desired, observed, circumstances, seen.orders.paused(now)))
    of_declared = tuple(action for action in planned if action.name in seen.desired)
    if not (seen.sure and seen.decision.readable):
        return replace(seen, planned=of_declared)
    if not seen.decided.accepted and not allow_removals:
        held = _held_removal(planned, observed)
        if held:
            # Nor is the file remembered: then the next round would take it for what was accepted.
            return replace(seen, planned=of_declared, sure=False, errors=(*seen.errors, held))
    return replace(seen, planned=planned)


def _silent(seen: Look, now_s: float, looks_s: float) -> set[str]:
    """Name the tunnels through which nothing comes back."""
    silent = {
        name
        for name, flow in seen.flows.items()
        if is_silent(flow, now_s)
        or is_dead_way(seen.probe_records.get((name, OF_CONNECTION)), flow, now_s, looks_s)
    }
    return silent - seen.excused


def _sights(world: World, memory: Memory, decided: Decided) -> Sights:
    settings, decision = world.settings, decided.decision
    cameras = cameras_of(memory.sights, decision)
    return make_sights(
        memory.sights,
        decision,
        cameras,
        decided.hub.networks.values(),
        world.names(host_names(cameras)),
        Intervals(settings.probe_interval_seconds, settings.camera_interval_seconds),
        world.clock.monotonic_s(),
    )


def marks_of(desired: Mapping[str, Connection]) -> dict[str, str]:
    """Return what is declared of each connection, as marks."""
    return {name: connection.declaration for name, connection in desired.items()}


def _orders(world: World, errors: list[str]) -> Orders:
    try:
        return world.state.read_orders()
    except StateError as error:
        errors.append(str(error))
        return world.state.last_orders


def _attempts(
    world: World,
    memory: Memory,
    desired: Mapping[str, Connection],
    orders: Orders,
    *,
    keyed: bool,
) -> dict[Key, Attempts]:
    if not keyed:
        return dict(memory.attempts)  # what was declared can't be told apart
    # A wish from the future is one from before the clock was set back; it would stop all counting.
    now = world.clock.now()
    wishes = {name: order.retried_at for name, order in orders.connections.items()}
    retried_at = {name: at for name, at in wishes.items() if at <= now}
    now_s = world.clock.monotonic_s()
    return still_counting(memory.attempts, marks_of(desired), retried_at, now_s)


def _circumstances(
    desired: Mapping[str, Connection],
    attempts: Mapping[Key, Attempts],
    orders: Orders,
    silent: set[str],
    now: int,
) -> dict[str, Circumstances]:
    """Tell the ladder what it is to know, for those connections of which there is anything."""
    counts: dict[str, dict[str, int]] = {}
    for (name, goal), made in attempts.items():
        counts.setdefault(name, {})[goal] = made.count
    renewals = {
        name: renewal
        for name, connection in desired.items()
        if (renewal := _renewal(connection, orders)) is not None
    }
    return {
        name: Circumstances(counts.get(name, {}), renewals.get(name), now, silent=name in silent)
        for name in counts.keys() | renewals.keys() | silent
    }


def _renewal(connection: Connection, orders: Orders) -> Renewal | None:
    """Take the later of what is declared and what was asked for by command line."""
    order = orders.of(connection.name)
    if order.rekey_after > connection.rekey_after:
        return Renewal(order.rekey_after, order.reauthenticate)
    return Renewal(connection.rekey_after) if connection.rekey_after else None


def _is_known(decided: Decided, observed: Observed | Unobserved) -> bool:
    """Without a look and a memory, not even a faultless file tells what it would remove."""
    decision = decided.decision
    faultless = decision.readable and not decision.invalid
    return bool(decided.accepted) or (faultless and isinstance(observed, Observed))


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


def _held_removal(planned: Iterable[Action], observed: Observed) -> str:
    """Find a mass removal also when only charon itself can tell how many there were."""
    gone = [action.name for action in planned if isinstance(action, Remove)]
    if not is_mass_removal(len(gone), len(_marked(observed))):
        return ""
    return (
        f"held: removal of {', '.join(gone)}, as it is not known what was accepted before; "
        "confirm with: reconciler apply --allow-removals"
    )


def observe(world: World, *, deep: bool) -> Observed | Unobserved:
    """Look at charon, or say why that was not possible."""
    try:
        return world.ike.observe(deep=deep)
    except IkeUnreachable as error:
        no_access, late = isinstance(error, IkeNoAccess), isinstance(error, IkeLate)
        return Unobserved(str(error), no_access=no_access, late=late)


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
    holds = last and last.still_holds(document, accepted, facts, allow_removals=allow_removals)
    if last and hub.mark_key and holds:
        decision, mask = last.decision, last.mask
    else:
        mask = _mask(last, document, accepted)
        world.hide(mask)
        decision = _decision(document, accepted or {}, facts, allow_removals=allow_removals)
        decision = replace(
            decision,
            faults=(*decision.faults, *world.mount_faults()),
            about={id_: without_keys(one, mask.text) for id_, one in decision.about.items()},
        )
    answers = _answers(world, memory, decision, hub, observed)
    if last and decision is last.decision and answers == last.answers:
        return last
    desired = _rendered(decision, hub, answers)
    keyed = bool(hub.mark_key)
    return Decided(
        document, accepted, facts, allow_removals, keyed, decision, answers, desired, mask
    )


def _mask(last: Decided | None, document: object, accepted: Mapping[str, object] | None) -> Mask:
    """Keep what was a key until now: it may still be in charon, and in what it says."""
    mask = last.mask if last else Mask()
    airports = document.get("airports") if isinstance(document, dict) else None
    return mask.also(keys_in(airports)).also(keys_accepted(accepted or {}))


def _decision(
    document: object, accepted: Mapping[str, object], facts: HubFacts, *, allow_removals: bool
) -> Decision:
    if isinstance(document, Fault):
        return unreadable(document, accepted, facts)
    return decide(document, accepted, facts, allow_removals=allow_removals)


def _answers(
    world: World, memory: Memory, decision: Decision, hub: Hub, observed: Observed | Unobserved
) -> dict[str, Answer]:
    if not hub.mark_key:
        return {}
    return follow(
        decision.sites.values(),
        hub,
        observed,
        memory.answers,
        memory.refused_s,
        world.clock.monotonic_s(),
    )


def _rendered(decision: Decision, hub: Hub, answers: Mapping[str, Answer]) -> dict[str, Connection]:
    sites = decision.sites.values()
    return render(sites, hub, with_next(sites, hub, answers))


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
    networks = world.read_hub_networks()
    return HubFacts(world.settings.hub_id, networks, algorithms, world.time_zones)
