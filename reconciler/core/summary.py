"""One tunnel in the status document: from what is declared, seen and remembered of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from reconciler.core.check import Decision
from reconciler.core.diff import known_by_name
from reconciler.core.failures import PastFailures
from reconciler.core.model import IpNetwork
from reconciler.core.negotiated import Degradation, Flaw
from reconciler.core.observed import IkeSa, Observed, Unobserved
from reconciler.core.reasons import Code
from reconciler.core.render import Connection
from reconciler.core.status import (
    AttemptStatus,
    CameraStatus,
    ConnectionStatus,
    DegradedReason,
    ProbeStatus,
)
from reconciler.core.tally import Tally, came_up
from reconciler.core.traffic import Health
from reconciler.core.transitions import Tail
from reconciler.core.tunnel_view import TunnelView, view_tunnel
from reconciler.core.why import Reason, reason


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
    views = _views(desired, observed, previous, hints, now)
    return {
        name: _summarise(
            connection, views.get(name), decision, previous.get(name), hints.get(name, Hints()), now
        )
        for name, connection in desired.items()
    }


def _views(
    desired: Mapping[str, Connection],
    observed: Observed | Unobserved,
    previous: Mapping[str, ConnectionStatus],
    hints: Mapping[str, Hints],
    now: int,
) -> dict[str, TunnelView]:
    """View every tunnel; without a look there is nothing to view."""
    if isinstance(observed, Unobserved):
        return {}
    known = known_by_name(observed)
    return {
        name: view_tunnel(
            connection,
            known[name].sas if name in known else (),
            hints.get(name, Hints()).failures.last,
            now,
            clash=name in known and known[name].foreign,
            was_up=_field(previous.get(name), "last_connected") > 0,
        )
        for name, connection in desired.items()
    }


def _summarise(
    connection: Connection,
    view: TunnelView | None,
    decision: Decision,
    before: ConnectionStatus | None,
    hints: Hints,
    now: int,
) -> ConnectionStatus:
    common = _of_declaration(connection, decision, before, hints.cameras) | _of_memory(hints)
    if view is None:
        return _not_observed(common, before)
    return _observed(common, view, before, hints, now)


def _observed(
    common: dict[str, Any],
    seen: TunnelView,
    before: ConnectionStatus | None,
    hints: Hints,
    now: int,
) -> ConnectionStatus:
    was_up = before is not None and before.status == "up"
    view = _judged(seen, hints, was_up=was_up)
    is_up = view.state == "up"
    came = is_up and came_up(hints.tally_before, hints.tally, was_up=was_up)
    return ConnectionStatus(
        **common,
        status=view.state,
        health_check=hints.health if seen.state == "up" else "unknown",
        probe=hints.probe if is_up else None,
        key_rotation=view.key_rotation,
        establishments=_field(before, "establishments") + came,
        last_remote_address=_proved_address(view.sa) or _last_address(before),
        last_received_at=_last_received(view, before, now),
        **_of_reason(view.reason),
        **_of_flaws([*view.flaws, *(_probe_flaw(hints) if is_up else ())]),
        **_of_uptime(view, before, now),
        **_of_sa(view, now),
    )


def _not_observed(common: dict[str, Any], before: ConnectionStatus | None) -> ConnectionStatus:
    """Without a look nothing can be called up; what is remembered is kept."""
    return ConnectionStatus(
        **common,
        status="down",
        health_check="unknown",
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


def _judged(view: TunnelView, hints: Hints, *, was_up: bool) -> TunnelView:
    """Take a pause for the reason, and call an SA up only once it has lasted."""
    if hints.paused and view.state != "up":
        return replace(view, reason=reason(Code.PAUSED))
    if view.state == "up" and not was_up and not view.lasted:
        return replace(view, state="connecting", reason=reason(Code.JUST_CAME_UP))
    return view


def just_came_up(connection: ConnectionStatus) -> bool:
    """Tell whether it will be called up as soon as it has lasted."""
    return connection.status == "connecting" and bool(connection.child_state)


def _of_declaration(
    connection: Connection,
    decision: Decision,
    before: ConnectionStatus | None,
    cameras: tuple[CameraStatus, ...] | None,
) -> dict[str, Any]:
    return {
        "airport_id": connection.airport_id,
        "connection_name": connection.name,
        "declared_subnets": tuple(map(str, connection.remote_subnets)),
        "last_good": connection.airport_id in decision.kept,
        "removal_held": connection.airport_id in decision.held,
        **_described(connection.airport_id, decision, before, cameras),
    }


def _of_memory(hints: Hints) -> dict[str, Any]:
    return {
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


def _of_reason(found: Reason | None) -> dict[str, str]:
    if found is None:
        return {}
    return {"reason": found.text, "reason_code": found.code, "who_must_act": found.side}


def _of_flaws(flaws: Sequence[Degradation]) -> dict[str, Any]:
    reasons = (
        DegradedReason(code=flaw.code, text=flaw.text, who_must_act=flaw.code.side)
        for flaw in flaws
    )
    return {"degraded": bool(flaws), "degraded_reasons": tuple(reasons)}


def _of_uptime(view: TunnelView, before: ConnectionStatus | None, now: int) -> dict[str, int]:
    is_up = view.state == "up"
    connected = _connected_since(view, before, now) if is_up else _field(before, "last_connected")
    ended = before is not None and before.status == "up" and not is_up
    changed = before is None or before.status != view.state
    return {
        "last_connected": connected,
        "last_disconnected": now if ended else _field(before, "last_disconnected"),
        "uptime_seconds": max(0, now - connected) if is_up else 0,
        "since": now if changed else _field(before, "since"),
    }


def _proved_address(sa: IkeSa | None) -> str:
    """Return where the site is; before it has proved who it is, that could be anybody."""
    return sa.remote_host if sa is not None and sa.live else ""


def _last_address(before: ConnectionStatus | None) -> str:
    return before.last_remote_address if before is not None else ""


def _field(before: ConnectionStatus | None, name: str) -> int:
    return int(getattr(before, name)) if before is not None else 0


def _connected_since(view: TunnelView, before: ConnectionStatus | None, now: int) -> int:
    """Return when the tunnel came up: kept across rekeys, else read off the SA itself."""
    if before is not None and before.status == "up" and before.last_connected:
        return before.last_connected
    age_s = max((child.installed_s for child in view.children), default=0)
    return max(now - age_s, _field(before, "last_disconnected"))


def _of_sa(view: TunnelView, now: int) -> dict[str, Any]:
    if view.sa is None:
        return {}
    newest = min(view.children, key=lambda child: child.installed_s, default=None)
    return {
        "ike_established_at": now - view.sa.established_s if view.sa.live else 0,
        "child_installed_at": now - newest.installed_s if newest else 0,
        "child_expires_at": now + newest.expires_s if newest and newest.expires_s else 0,
        "ike_algorithms": str(view.sa.algorithms),
        "child_algorithms": str(newest.algorithms) if newest else "",
        "remote_address": view.sa.remote_host,
        "remote_port": view.sa.remote_port,
        "ike_state": view.sa.state,
        "child_state": view.children[0].state if view.children else "",
        "local_subnets": _texts(s for child in view.children for s in child.local_subnets),
        "remote_subnets": _texts(s for child in view.children for s in child.remote_subnets),
        "received_bytes": sum(child.received_bytes for child in view.children),
        "sent_bytes": sum(child.sent_bytes for child in view.children),
        "received_packets": sum(child.received_packets for child in view.children),
        "sent_packets": sum(child.sent_packets for child in view.children),
    }


def _last_received(view: TunnelView, before: ConnectionStatus | None, now: int) -> int:
    """Return when a packet last came; the SA that it came through may be gone.

    charon tells an age in whole seconds, so a second more is no new packet.
    """
    ages_s = [child.received_s for child in view.children if child.received_s is not None]
    seen_at = now - min(ages_s) if ages_s else 0
    told_at = _field(before, "last_received_at")
    if told_at > now:
        return seen_at  # the clock was set back
    return seen_at if seen_at > told_at + 1 else told_at


def _texts(subnets: Iterable[IpNetwork]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(str, subnets)))
