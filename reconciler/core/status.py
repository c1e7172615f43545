"""The status document: what is said about the tunnels, from declared and observed values alone.

The keys of `connections.<name>` that `ConnectionStatus` marks as contract are read by a web page
elsewhere; more keys may stand beside them, but these never change.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from reconciler.core.check import Decision
from reconciler.core.diff import known_by_name
from reconciler.core.failures import LastFailure, PastFailures, Stranger
from reconciler.core.model import IpNetwork
from reconciler.core.negotiated import Degradation, Flaw, compare
from reconciler.core.observed import ChildSa, IkeSa, Observed, Unobserved
from reconciler.core.packet_filter import FilterState
from reconciler.core.reasons import Code, Side
from reconciler.core.render import Connection
from reconciler.core.rotation import Stage, stage_of
from reconciler.core.routing import Route
from reconciler.core.selectors import uncovered
from reconciler.core.tally import Tally, came_up
from reconciler.core.traffic import Health
from reconciler.core.transitions import State as State
from reconciler.core.transitions import Tail
from reconciler.core.why import Reason, reason, without_child, without_ike

SCHEMA_VERSION = 1
# An SA that comes and goes within this time was a failed attempt and never an uptime.
LASTED_S = 2


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True)


class AttemptStatus(_Document):
    """Attempts at one goal. Kept here, so that back-off survives our restart."""

    goal: str = Field(description="What is attempted: load, child, dial, renew, …")
    count: int
    last_attempt: int
    next_attempt: int = Field(description="Not before this time.")
    made_for: str = Field(description="Mark of the declaration they were made for.")


class DegradedReason(_Document):
    """What is not as declared about a tunnel that is up."""

    code: Flaw
    text: str
    who_must_act: Side = Field(Side.SITE, description="Whose turn it is.")


class CameraStatus(_Document):
    """One camera of the airport."""

    name: str
    url: str = Field("", description="Without user, password, query and fragment.")
    route: Route | Literal[""] = Field("", description="Which way leads to it; empty: not known.")
    route_reason: str = Field("", description="The same in words.")
    addresses: tuple[str, ...] = Field((), description="What its host means.")
    health_check: Health = Field("unknown", description="Whether it answers through the tunnel.")
    last_checked: int = Field(0, description="Unix seconds; 0: not since the tunnel came up.")
    detail: str = Field("", description="What it answered, or why it was not asked.")


class ProbeStatus(_Document):
    """What is asked through the tunnel, and what became of it."""

    target: str = Field(description="Address, or address:port.")
    kind: Literal["ping", "tcp"]
    success: bool = Field(description="The last attempt; health_check has thresholds.")
    round_trip_s: float
    last_run: int = Field(description="Unix seconds.")
    failures_in_a_row: int
    detail: str


class ConnectionStatus(_Document):
    """One tunnel. The first seven keys are the contract; times are unix seconds, 0 is never."""

    airport_id: str
    connection_name: str
    status: State = Field(description="up: an installed CHILD_SA covers every declared subnet.")
    last_connected: int
    last_disconnected: int
    uptime_seconds: int
    health_check: Health = Field(
        description="Whether its probe is answered; without a probe: whether packets are."
    )
    probe: ProbeStatus | None = Field(None, description="None: nothing was asked yet.")
    airport_name: str = ""
    time_zone: str = Field("", description="Of the airport: a name of the IANA list, or empty.")
    cameras: tuple[CameraStatus, ...] = ()
    reason: str = Field("", description="Why it is not up; empty while it is.")
    reason_code: Code | Literal[""] = Field("", description="The same for programs.")
    who_must_act: Side | Literal[""] = Field("", description="Empty while it is up.")
    degraded: bool = Field(False, description="Up, but not as declared.")
    degraded_reasons: tuple[DegradedReason, ...] = ()
    failures: dict[Code, int] = Field({}, description="How many there were, by code.")
    last_failure: LastFailure | None = Field(None, description="Since it was last up.")
    observed: bool = Field(True, description="False: charon could not be asked, status is old.")
    since: int = Field(0, description="When the status last changed.")
    remote_address: str = ""
    remote_port: int = 0
    last_remote_address: str = Field("", description="Where the site was when it was last seen.")
    ike_state: str = ""
    child_state: str = ""
    local_subnets: tuple[str, ...] = ()
    remote_subnets: tuple[str, ...] = Field((), description="As negotiated.")
    declared_subnets: tuple[str, ...] = ()
    received_bytes: int = Field(0, description="Of the CHILD_SAs of this moment.")
    sent_bytes: int = 0
    received_packets: int = Field(0, description="Likewise.")
    sent_packets: int = 0
    last_received_at: int = Field(0, description="When something last came from the site.")
    last_good: bool = Field(False, description="The file is faulty; an earlier declaration stays.")
    removal_held: bool = False
    last_error: str = ""
    next_attempt: int = Field(0, description="When the hub tries next; 0: the site must dial in.")
    attempts: tuple[AttemptStatus, ...] = ()
    paused: bool = Field(False, description="Left as it is, until resumed by command line.")
    paused_until: int = Field(0, description="When the pause ends by itself; 0: it does not.")
    rekey_after: int = Field(
        0, description="SAs established before this time are renewed; 0: none."
    )
    key_rotation: Stage = Field(
        "", description="With next_psk: the key that the site uses. new: psk may be replaced by it."
    )
    answered_mark: str = Field("", description="With next_psk: by which key the hub proves itself.")
    ike_established_at: int = Field(0, description="Of the newest IKE_SA, give or take a second.")
    child_installed_at: int = Field(0, description="Of the newest CHILD_SA.")
    child_expires_at: int = Field(
        0, description="When the newest CHILD_SA ends unless it is renewed before; 0: none."
    )
    ike_algorithms: str = Field("", description="As negotiated, in charon's words.")
    child_algorithms: str = ""
    rekeys: int = Field(0, description="Keys renewed in place, since the reconciler's start.")
    establishments: int = Field(0, description="Times it came up since the reconciler's start.")
    transitions: Tail = Field((), description="The last ones, oldest first.")


class DaemonStatus(_Document):
    """charon. Everything but `reachable` and `error` is empty while it can't be reached."""

    reachable: bool
    error: str = ""
    version: str = ""
    running_since: int = Field(0, description="Give or take two seconds.")
    data_plane: str = ""
    workers_idle: int = 0
    workers_total: int = 0
    queued_jobs: int = 0
    ike_sas: int = 0
    half_open_ike_sas: int = 0
    scheduled_jobs: int = 0
    workers_active: dict[str, int] = Field({}, description="Busy ones, by priority.")
    queues: dict[str, int] = Field({}, description="Jobs that wait for a worker, by priority.")


class ContainerStatus(_Document):
    """The container that holds charon, as the Docker API sees it."""

    name: str
    state: str = Field(
        description="running, exited, …; missing: there is none; unknown: the API can't be asked."
    )
    health: str = ""
    restart_count: int = 0
    exit_code: int = 0
    out_of_memory: bool = False
    started_at: int = Field(0, description="When it was last started.")
    error: str = ""
    problem: str = Field("", description="What is wrong, in words; empty while charon answers.")
    held: str = Field("", description="Why nothing is done about it although it could be.")
    budget_used_up: bool = Field(False, description="Held until the hour has room again.")
    next_attempt: int = Field(0, description="When something is done about it; 0: nothing is due.")
    attempts: int = Field(0, description="Since charon last answered for a minute.")
    attempt_times: tuple[int, ...] = Field((), description="Of the last hour.")
    not_before: int = Field(0, description="Back-off: no attempt before this.")
    last_action: str = ""
    last_action_at: int = 0


class FilterStatus(_Document):
    """The packet filter: what may come out of the tunnels unasked."""

    state: FilterState = Field(
        description="in-force; missing, drifted: about to be loaded; unknown: can't be looked at; "
        "off: by PACKET_FILTER=no."
    )
    as_declared: bool = Field(description="In force, and by the latest declarations.")
    error: str = Field("", description="Why it can't be looked at or loaded.")
    dropped_packets: dict[str, int] = Field(
        {}, description="By cause, since the reconciler's start."
    )
    last_loaded_at: int = Field(0, description="Unix seconds; 0: not since our start.")


class FaultStatus(_Document):
    """One fault of the declaration."""

    path: str
    message: str
    severity: Literal["error", "warning"]
    airport_id: str | None = None


class ConfigurationStatus(_Document):
    """What became of airports.json."""

    path: str
    valid: bool = Field(description="The last reading had no error.")
    last_read: int
    last_valid: int
    airports_declared: int
    airports_invalid: tuple[str, ...] = ()
    airports_disabled: tuple[str, ...] = ()
    removals_held: tuple[str, ...] = ()
    faults: tuple[FaultStatus, ...] = ()


class LoopStatus(_Document):
    """The reconciler itself."""

    version: str
    round: int
    reasons: tuple[str, ...]
    actions: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()


class Status(_Document):
    """vpn-status.json."""

    schema_version: int = SCHEMA_VERSION
    timestamp: int
    connections: dict[str, ConnectionStatus]
    daemon: DaemonStatus
    container: ContainerStatus | None = None
    packet_filter: FilterStatus | None = Field(None, description="None: none is configured.")
    strangers: tuple[Stranger, ...] = Field(
        (), description="The last peers that fit no declared tunnel, the latest at the end."
    )
    configuration: ConfigurationStatus
    reconciler: LoopStatus


@dataclass(frozen=True, slots=True)
class Hints:
    """What is remembered about one connection beside what can be observed.

    Attributes:
        probe: the last attempt.
        carries: packets come back, although not those of the probe.
        cameras: as the file declares them; None: the file can't be read.

    """

    failures: PastFailures = field(default_factory=PastFailures)
    next_attempt: int = 0
    attempts: tuple[AttemptStatus, ...] = ()
    paused: bool = False
    paused_until: int = 0
    rekey_after: int = 0
    answered_mark: str = ""
    health: Health = "unknown"
    probe: ProbeStatus | None = None
    carries: bool = False
    cameras: tuple[CameraStatus, ...] | None = None
    tally: Tally = field(default_factory=Tally)
    tally_before: Tally | None = None
    transitions: Tail = ()


def summarise_connections(
    desired: Mapping[str, Connection],
    decision: Decision,
    observed: Observed | Unobserved,
    previous: Mapping[str, ConnectionStatus],
    hints: Mapping[str, Hints],
    now: int,
) -> dict[str, ConnectionStatus]:
    """Say of every tunnel that should exist how it is. `now` in unix seconds."""
    if isinstance(observed, Unobserved):
        states = dict.fromkeys(desired, None)
    else:
        known = known_by_name(observed)
        clashes = {name for name, have in known.items() if have.foreign}
        states = {
            name: _Viewer(connection, hints.get(name, Hints()), previous.get(name), now).look(
                known[name].sas if name in known else (), clash=name in clashes
            )
            for name, connection in desired.items()
        }
    return {
        name: _summarise(
            connection, states[name], decision, previous.get(name), hints.get(name, Hints()), now
        )
        for name, connection in desired.items()
    }


@dataclass(frozen=True, slots=True)
class _Look:
    """How one tunnel is at this moment. No reason: it is up."""

    state: State
    reason: Reason | None
    sa: IkeSa | None
    children: tuple[ChildSa, ...]
    flaws: tuple[Degradation, ...] = ()
    key_rotation: Stage = ""


@dataclass(frozen=True, slots=True)
class _Viewer:
    """Looks at one tunnel, with what is remembered of it."""

    connection: Connection
    hints: Hints
    before: ConnectionStatus | None
    now: int

    def look(self, sas: tuple[IkeSa, ...], *, clash: bool) -> _Look:
        """Say how it is."""
        return replace(self._state(sas, clash=clash), key_rotation=stage_of(self.connection, sas))

    def _state(self, sas: tuple[IkeSa, ...], *, clash: bool) -> _Look:
        connection, last = self.connection, self.hints.failures.last
        live = sorted(
            (sa for sa in sas if sa.live), key=lambda sa: (sa.established_s, sa.unique_id)
        )
        children = tuple(child for sa in live for child in sa.carrying_children)
        coming = sorted(sas, key=lambda sa: sa.state != "CONNECTING")
        sa = next((s for s in live if s.carrying_children), next(iter(live or coming), None))
        if clash:
            return _Look("down", reason(Code.NAME_CLASH), None, ())
        missing = uncovered(
            connection.remote_subnets, (s for child in children for s in child.remote_subnets)
        )
        if not missing:
            return _Look("up", None, sa, children, compare(connection, sas))
        if children:
            text = f"it leaves out {', '.join(map(str, missing))}"
            return _Look("down", reason(Code.SELECTOR_MISMATCH, text), sa, children)
        if live:
            since = self.now - live[0].established_s
            return _Look("connecting", without_child(connection, last, since), sa, ())
        negotiating = sa is not None and sa.state == "CONNECTING"
        why = without_ike(connection, last, negotiating=negotiating, was_up=self._was_up())
        return _Look("connecting", why, sa, ()) if negotiating else _Look("down", why, None, ())

    def _was_up(self) -> bool:
        return self.before is not None and self.before.last_connected > 0


def _summarise(
    connection: Connection,
    look: _Look | None,
    decision: Decision,
    before: ConnectionStatus | None,
    hints: Hints,
    now: int,
) -> ConnectionStatus:
    common: dict[str, Any] = {
        "airport_id": connection.airport_id,
        "connection_name": connection.name,
        **_described(connection.airport_id, decision, before, hints.cameras),
        "health_check": hints.health if look is not None and look.state == "up" else "unknown",
        "declared_subnets": tuple(map(str, connection.remote_subnets)),
        "last_good": connection.airport_id in decision.kept,
        "removal_held": connection.airport_id in decision.held,
        "last_error": hints.failures.error,
        "last_failure": hints.failures.last,
        "failures": dict(hints.failures.counts),
        "next_attempt": hints.next_attempt,
        "attempts": hints.attempts,
        "paused": hints.paused,
        "paused_until": hints.paused_until,
        "rekey_after": hints.rekey_after,
        "answered_mark": hints.answered_mark,
        "rekeys": hints.tally.ike_rekeys + hints.tally.child_rekeys,
        "transitions": hints.transitions,
    }
    if look is None:
        return _not_observed(common, before)
    was_up = before is not None and before.status == "up"
    if hints.paused and look.state != "up":
        look = replace(look, reason=reason(Code.PAUSED))
    if look.state == "up" and not was_up and not _lasted(look):
        look = replace(look, state="connecting", reason=reason(Code.JUST_CAME_UP))
    is_up = look.state == "up"
    flaws = (*look.flaws, *_probe_flaw(hints)) if is_up else look.flaws
    changed = before is None or before.status != look.state
    connected = _connected_since(look, before, now) if is_up else _field(before, "last_connected")
    return ConnectionStatus(
        **common,
        status=look.state,
        **_of_reason(look.reason),
        degraded=bool(flaws),
        degraded_reasons=tuple(
            DegradedReason(code=flaw.code, text=flaw.text, who_must_act=flaw.code.side)
            for flaw in flaws
        ),
        probe=hints.probe if is_up else None,
        last_connected=connected,
        last_disconnected=now if was_up and not is_up else _field(before, "last_disconnected"),
        uptime_seconds=max(0, now - connected) if is_up else 0,
        since=now if changed else _field(before, "since"),
        key_rotation=look.key_rotation,
        last_received_at=_last_received(look, before, now),
        establishments=_field(before, "establishments")
        + (is_up and came_up(hints.tally_before, hints.tally, was_up=was_up)),
        last_remote_address=_proved_address(look.sa) or _last_address(before),
        **_of_sa(look, now),
    )


def _described(
    airport_id: str,
    decision: Decision,
    before: ConnectionStatus | None,
    cameras: tuple[CameraStatus, ...] | None,
) -> dict[str, Any]:
    """Describe the airport; one that does not stand in the file just now, as it last did."""
    about = decision.about.get(airport_id)
    if before is not None and before.airport_id != airport_id:
        before = None
    if cameras is None:
        known = about.cameras if about is not None else before.cameras if before else ()
        cameras = tuple(CameraStatus(name=one.name, url=one.url) for one in known)
    told: dict[str, Any] = {"cameras": cameras}
    if about is not None:
        told |= {"airport_name": about.name, "time_zone": about.time_zone}
    elif before is not None:
        told |= {"airport_name": before.airport_name, "time_zone": before.time_zone}
    return told


def _probe_flaw(hints: Hints) -> Iterable[Degradation]:
    if hints.health == "fail" and hints.probe is not None:
        probe = hints.probe
        but = "; but other packets do come back through the tunnel" if hints.carries else ""
        text = f"the tunnel is up, but {probe.target} does not answer: {probe.detail}{but}"
        yield Degradation(Flaw.PROBE_FAILED, text)


def _lasted(look: _Look) -> bool:
    return any(child.installed_s >= LASTED_S for child in look.children)


def just_came_up(connection: ConnectionStatus) -> bool:
    """Tell whether it will be called up as soon as it has lasted."""
    return connection.status == "connecting" and bool(connection.child_state)


def _not_observed(common: dict[str, Any], before: ConnectionStatus | None) -> ConnectionStatus:
    """Without a look nothing can be called up; what is remembered is kept."""
    return ConnectionStatus(
        **common,
        status="down",
        observed=False,
        key_rotation=before.key_rotation if before else "",
        **_of_reason(reason(Code.CHARON_UNREACHABLE)),
        last_remote_address=_last_address(before),
        last_connected=_field(before, "last_connected"),
        last_disconnected=_field(before, "last_disconnected"),
        uptime_seconds=0,
        since=_field(before, "since"),
        last_received_at=_field(before, "last_received_at"),
        establishments=_field(before, "establishments"),
    )


def _of_reason(found: Reason | None) -> dict[str, str]:
    if found is None:
        return {}
    return {"reason": found.text, "reason_code": found.code, "who_must_act": found.side}


def _proved_address(sa: IkeSa | None) -> str:
    """Return where the site is; before it has proved who it is, that could be anybody."""
    return sa.remote_host if sa is not None and sa.live else ""


def _last_address(before: ConnectionStatus | None) -> str:
    return before.last_remote_address if before is not None else ""


def _field(before: ConnectionStatus | None, name: str) -> int:
    return int(getattr(before, name)) if before is not None else 0


def _connected_since(look: _Look, before: ConnectionStatus | None, now: int) -> int:
    """Return when the tunnel came up: kept across rekeys, else read off the SA itself."""
    if before is not None and before.status == "up" and before.last_connected:
        return before.last_connected
    age_s = max((child.installed_s for child in look.children), default=0)
    return max(now - age_s, _field(before, "last_disconnected"))


def _of_sa(look: _Look, now: int) -> dict[str, Any]:
    if look.sa is None:
        return {}
    newest = min(look.children, key=lambda child: child.installed_s, default=None)
    return {
        "ike_established_at": now - look.sa.established_s if look.sa.live else 0,
        "child_installed_at": now - newest.installed_s if newest else 0,
        "child_expires_at": now + newest.expires_s if newest and newest.expires_s else 0,
        "ike_algorithms": str(look.sa.algorithms),
        "child_algorithms": str(newest.algorithms) if newest else "",
        "remote_address": look.sa.remote_host,
        "remote_port": look.sa.remote_port,
        "ike_state": look.sa.state,
        "child_state": look.children[0].state if look.children else "",
        "local_subnets": _texts(s for child in look.children for s in child.local_subnets),
        "remote_subnets": _texts(s for child in look.children for s in child.remote_subnets),
        "received_bytes": sum(child.received_bytes for child in look.children),
        "sent_bytes": sum(child.sent_bytes for child in look.children),
        "received_packets": sum(child.received_packets for child in look.children),
        "sent_packets": sum(child.sent_packets for child in look.children),
    }


def _last_received(look: _Look, before: ConnectionStatus | None, now: int) -> int:
    """Return when a packet last came; the SA that it came through may be gone.

    charon tells an age in whole seconds, so a second more is no new packet.
    """
    ages_s = [child.received_s for child in look.children if child.received_s is not None]
    seen_at = now - min(ages_s) if ages_s else 0
    told_at = _field(before, "last_received_at")
    if told_at > now:
        return seen_at  # the clock was set back
    return seen_at if seen_at > told_at + 1 else told_at


def _texts(subnets: Iterable[IpNetwork]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(str, subnets)))
