"""Statuses as a round makes them, for what is made from a status."""

from typing import Any

from reconciler.core.negotiated import Flaw
from reconciler.core.packet_filter import FilterState
from reconciler.core.reasons import Code
from reconciler.core.status import (
    AttemptStatus,
    ConfigurationStatus,
    ConnectionStatus,
    ContainerStatus,
    DaemonStatus,
    DegradedReason,
    FilterStatus,
    LoopStatus,
    Status,
)
from reconciler.core.tally import Passed, Tally
from reconciler.core.transitions import State


def tunnel(state: State = "up", *, observed: bool = True, **changes: Any) -> ConnectionStatus:
    return ConnectionStatus(
        airport_id="kspb",
        connection_name="kspb_vpn",
        status=state,
        last_connected=0,
        last_disconnected=0,
        uptime_seconds=0,
        health_check="unknown",
        observed=observed,
        since=1_750_000_000,
        **changes,
    )


def status(
    *tunnels: ConnectionStatus, reachable: bool = True, valid: bool = True, reason: str = "timer"
) -> Status:
    return Status(
        timestamp=1_750_000_060,
        connections={one.connection_name: one for one in tunnels},
        daemon=DaemonStatus(
            reachable=reachable, workers_idle=23, workers_total=32, queued_jobs=7, ike_sas=3
        ),
        configuration=ConfigurationStatus(
            path="x",
            valid=valid,
            last_read=2,
            last_valid=1,
            airports_declared=3,
            airports_invalid=("k2",),
            removals_held=("k7", "k8"),
        ),
        reconciler=LoopStatus(version="0", round=1, reasons=(reason,)),
    )


TALLIES = {"kspb_vpn": Tally(Passed(1000, 2000, 10, 20), ike_rekeys=1, child_rekeys=4)}


def everything() -> Status:
    """Make a status from which every family has a series."""
    flaw = DegradedReason(code=Flaw.NARROWED_SELECTORS, text="it leaves out a part")
    made = AttemptStatus(goal="dial", count=3, last_attempt=5, next_attempt=9, made_for="")
    up = tunnel(
        degraded=True,
        degraded_reasons=(flaw,),
        child_expires_at=1_750_003_600,
        key_rotation="switching",
        failures={Code.WRONG_PSK: 3},
    )
    down = tunnel("down", reason_code=Code.DEAD_PEER, attempts=(made,))
    down = down.model_copy(update={"connection_name": "kczk_vpn", "airport_id": "kczk"})
    container = ContainerStatus(name="gateway", state="running", health="healthy", restart_count=2)
    filter_ = FilterStatus(state=FilterState.IN_FORCE, as_declared=True)
    return status(up, down).model_copy(update={"container": container, "packet_filter": filter_})
