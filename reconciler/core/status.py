"""The status document: every key that `vpn-status.json` has, and what it means.

The keys of `connections.<name>` that `ConnectionStatus` marks as contract are read by a web page
elsewhere; more keys may stand beside them, but these never change.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from reconciler.core.failures import LastFailure, Stranger
from reconciler.core.negotiated import Flaw
from reconciler.core.packet_filter import FilterState
from reconciler.core.reasons import Code, Side
from reconciler.core.rotation import Stage
from reconciler.core.routing import Route
from reconciler.core.traffic import Health
from reconciler.core.transitions import State, Tail

SCHEMA_VERSION = 1


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
