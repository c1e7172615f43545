"""The status document: what is said about the tunnels, from declared and observed values alone.

The keys of `connections.<name>` that `ConnectionStatus` marks as contract are read by a web page
elsewhere; more keys may stand beside them, but these never change.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import collapse_addresses
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from reconciler.core.check import Decision
from reconciler.core.diff import known_by_name
from reconciler.core.model import IpNetwork
from reconciler.core.observed import ChildSa, IkeSa, Observed, Unobserved
from reconciler.core.render import Connection

SCHEMA_VERSION = 1
State = Literal["up", "down", "connecting"]
_Network = TypeVar("_Network", bound=IpNetwork)


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True)


class ConnectionStatus(_Document):
    """One tunnel. The first seven keys are the contract; times are unix seconds, 0 is never."""

    airport_id: str
    connection_name: str
    status: State = Field(description="up: an installed CHILD_SA covers every declared subnet.")
    last_connected: int
    last_disconnected: int
    uptime_seconds: int
    health_check: Literal["pass", "fail", "unknown"]
    reason: str = Field("", description="Why it is not up; empty while it is.")
    observed: bool = Field(True, description="False: charon could not be asked, status is old.")
    since: int = Field(0, description="When the status last changed.")
    remote_address: str = ""
    remote_port: int = 0
    ike_state: str = ""
    child_state: str = ""
    local_subnets: tuple[str, ...] = ()
    remote_subnets: tuple[str, ...] = Field((), description="As negotiated.")
    declared_subnets: tuple[str, ...] = ()
    received_bytes: int = Field(0, description="Of the CHILD_SAs of this moment.")
    sent_bytes: int = 0
    last_good: bool = Field(False, description="The file is faulty; an earlier declaration stays.")
    removal_held: bool = False
    last_error: str = ""
    next_attempt: int = Field(0, description="When the hub tries next; 0: the site must dial in.")


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
    configuration: ConfigurationStatus
    reconciler: LoopStatus


@dataclass(frozen=True, slots=True)
class Hints:
    """What is remembered about one connection beside what can be observed."""

    last_error: str = ""
    next_attempt: int = 0


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
            name: _look(connection, known[name].sas if name in known else (), name in clashes)
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
    """How one tunnel is at this moment."""

    state: State
    reason: str
    sa: IkeSa | None
    children: tuple[ChildSa, ...]


def _look(connection: Connection, sas: tuple[IkeSa, ...], clash: bool) -> _Look:
    live = sorted((sa for sa in sas if sa.live), key=lambda sa: (sa.established_s, sa.unique_id))
    children = tuple(child for sa in live for child in sa.carrying_children)
    coming = sorted(sas, key=lambda sa: sa.state != "CONNECTING")
    sa = next((s for s in live if s.carrying_children), next(iter(live or coming), None))
    if clash:
        reason = "somebody else loaded a connection of this name into charon; rename one of them"
        return _Look("down", reason, None, ())
    missing = uncovered(connection.remote_subnets, children)
    if not missing:
        return _Look("up", "", sa, children)
    if children:
        text = ", ".join(map(str, missing))
        return _Look("down", f"the site's selectors leave out {text}", sa, children)
    if live:
        return _Look("connecting", "IKE_SA is up, CHILD_SA is missing", sa, ())
    if sa is not None and sa.state == "CONNECTING":
        return _Look("connecting", "IKE_SA is being negotiated", sa, ())
    dialled = "the hub dials it" if connection.remote_address else "the site must dial in"
    return _Look("down", f"no IKE_SA; {dialled}", None, ())


def uncovered(declared: Iterable[IpNetwork], children: Iterable[ChildSa]) -> tuple[IpNetwork, ...]:
    """Name the declared subnets that the CHILD_SAs together do not cover."""
    have = [subnet for child in children for subnet in child.remote_subnets]
    v4 = list(collapse_addresses(subnet for subnet in have if subnet.version == 4))
    v6 = list(collapse_addresses(subnet for subnet in have if subnet.version == 6))
    return tuple(
        subnet
        for subnet in declared
        if not any(subnet.subnet_of(cover) for cover in (v4 if subnet.version == 4 else v6))  # type: ignore[arg-type]
    )


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
        "health_check": "unknown",
        "declared_subnets": tuple(map(str, connection.remote_subnets)),
        "last_good": connection.airport_id in decision.kept,
        "removal_held": connection.airport_id in decision.held,
        "last_error": hints.last_error,
        "next_attempt": hints.next_attempt,
    }
    if look is None:
        return _not_observed(common, before)
    was_up = before is not None and before.status == "up"
    is_up = look.state == "up"
    changed = before is None or before.status != look.state
    connected = _connected_since(look, before, now) if is_up else _field(before, "last_connected")
    return ConnectionStatus(
        **common,
        status=look.state,
        reason=look.reason,
        last_connected=connected,
        last_disconnected=now if was_up and not is_up else _field(before, "last_disconnected"),
        uptime_seconds=max(0, now - connected) if is_up else 0,
        since=now if changed else _field(before, "since"),
        **_of_sa(look),
    )


def _not_observed(common: dict[str, Any], before: ConnectionStatus | None) -> ConnectionStatus:
    """Without a look nothing can be called up; what is remembered is kept."""
    return ConnectionStatus(
        **common,
        status="down",
        observed=False,
        reason="not known: charon could not be asked",
        last_connected=_field(before, "last_connected"),
        last_disconnected=_field(before, "last_disconnected"),
        uptime_seconds=0,
        since=_field(before, "since"),
    )


def _field(before: ConnectionStatus | None, name: str) -> int:
    return int(getattr(before, name)) if before is not None else 0


def _connected_since(look: _Look, before: ConnectionStatus | None, now: int) -> int:
    """Return when the tunnel came up: kept across rekeys, else read off the SA itself."""
    if before is not None and before.status == "up" and before.last_connected:
        return before.last_connected
    age_s = max((child.installed_s for child in look.children), default=0)
    return max(now - age_s, _field(before, "last_disconnected"))


def _of_sa(look: _Look) -> dict[str, Any]:
    if look.sa is None:
        return {}
    return {
        "remote_address": look.sa.remote_host,
        "remote_port": look.sa.remote_port,
        "ike_state": look.sa.state,
        "child_state": look.children[0].state if look.children else "",
        "local_subnets": _texts(s for child in look.children for s in child.local_subnets),
        "remote_subnets": _texts(s for child in look.children for s in child.remote_subnets),
        "received_bytes": sum(child.received_bytes for child in look.children),
        "sent_bytes": sum(child.sent_bytes for child in look.children),
    }


def _texts(subnets: Iterable[IpNetwork]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(str, subnets)))
