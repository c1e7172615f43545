"""Why one tunnel is as it is: everything that is known of it, put together for a reader.

From values alone. No key is ever among them, only where it comes from.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from reconciler.core.actions import Action, goal_of, impact
from reconciler.core.check import Decision, Fault
from reconciler.core.diff import known_by_name
from reconciler.core.failures import LastFailure, Stranger
from reconciler.core.negotiated import FIXES
from reconciler.core.observed import Observed, Unobserved
from reconciler.core.reasons import MEANINGS, Code, Side
from reconciler.core.render import Connection, mark_of_child
from reconciler.core.status import AttemptStatus, ConnectionStatus
from reconciler.core.transitions import Tail

Condition = Literal[
    "up", "down", "connecting", "unknown", "disabled", "invalid", "no-vpn", "undeclared"
]
_ALIKE = 0.75
_NO_PICTURE = (
    "No packet comes back through it. See troubleshooting.md, *The tunnel is up, but there is no "
    "picture*."
)


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True)


class Verdict(_Document):
    """The answer in short. Times are unix seconds, 0 is never or not known."""

    condition: Condition
    since: int = 0
    reason: str = ""
    reason_code: Code | Literal[""] = ""
    who_must_act: Side | Literal[""] = ""
    fix: str = ""


class Declaration(_Document):
    """What is in force of airports.json.

    `key`, `next_key`: where they come from. `in_force`: why it is not what the file says, if so.
    """

    remote_subnets: tuple[str, ...]
    local_subnets: tuple[str, ...]
    hub_id: str
    site_id: str
    remote_address: str = Field(description="Empty: the site dials in.")
    ike_proposal: str
    hub_ike_proposals: tuple[str, ...] = Field(description="One list for all sites.")
    esp_proposals: tuple[str, ...]
    timers: Mapping[str, str]
    key: str
    next_key: str = ""
    key_rotation: str = ""
    rekey_after: int = 0
    in_force: str = ""
    paused: bool = False
    paused_until: int = 0


class Loaded(_Document):
    """What charon has under this name. `drift`: why it would be loaded anew; empty: as declared."""

    known: bool = Field(description="False: charon could not be asked.")
    loaded: bool = False
    ours: bool = False
    drift: str = ""
    mark: str = Field("", description="Of the declaration; no secret.")
    secret_ids: tuple[str, ...] = ()
    children: tuple[str, ...] = ()
    settings: Mapping[str, Any] = Field({}, description="As list-conns tells them.")


class ChildView(_Document):
    """One CHILD_SA."""

    name: str
    unique_id: str
    state: str
    as_declared: bool = False
    mode: str = ""
    udp_encapsulated: bool = False
    spi_in: str = ""
    spi_out: str = ""
    algorithms: str = ""
    local_subnets: tuple[str, ...] = ()
    remote_subnets: tuple[str, ...] = ()
    installed_at: int = 0
    rekey_at: int = 0
    expires_at: int = 0
    received_bytes: int = 0
    received_packets: int = 0
    last_received_at: int = 0
    sent_bytes: int = 0
    sent_packets: int = 0
    last_sent_at: int = 0


class IkeView(_Document):
    """One IKE_SA with its children."""

    unique_id: str
    state: str
    dialled_by: Literal["hub", "site"] = "site"
    local_host: str = ""
    local_port: int = 0
    local_id: str = ""
    remote_host: str = ""
    remote_port: int = 0
    remote_id: str = ""
    nat: tuple[Literal["hub", "site"], ...] = Field((), description="Behind NAT, as charon sees.")
    algorithms: str = ""
    established_at: int = 0
    rekey_at: int = 0
    reauthentication_at: int = 0
    tasks: tuple[str, ...] = ()
    children: tuple[ChildView, ...] = ()


class Deviation(_Document):
    """Something that is not as declared about a tunnel that is up."""

    code: str
    text: str
    fix: str


class FailureCount(_Document):
    """How often one thing went wrong."""

    code: Code
    count: int
    sentence: str


class Step(_Document):
    """One thing that the hub would do now. `not_before`: it was tried in vain a moment ago."""

    action: str
    cause: str
    impact: str
    not_before: int = 0


class CharonLine(_Document):
    """One line of charon's log. `ike_sa`: the unique id, by which its other lines are found."""

    time: str
    ike_sa: str
    words: str


class Lookalike(_Document):
    """A stranger that may be this site, and why one may think so."""

    stranger: Stranger
    why: str


class Explanation(_Document):
    """Everything about one tunnel. `notes`: what makes this less than the whole truth."""

    name: str
    airport_id: str
    airport_name: str = ""
    at: int
    notes: tuple[str, ...] = ()
    verdict: Verdict
    faults: tuple[str, ...] = ()
    declaration: Declaration | None = None
    loaded: Loaded
    negotiated: tuple[IkeView, ...] = ()
    deviations: tuple[Deviation, ...] = ()
    last_failure: LastFailure | None = None
    last_failure_sentence: str = ""
    last_error: str = ""
    failures: tuple[FailureCount, ...] = ()
    charon_said: tuple[CharonLine, ...] = ()
    attempts: tuple[AttemptStatus, ...] = ()
    next_attempt: int = 0
    plan: tuple[Step, ...] = ()
    transitions: Tail = ()
    lookalikes: tuple[Lookalike, ...] = ()


@dataclass(frozen=True, slots=True)
class Subject:
    """What a name that was asked for stands for. No connection: nothing is declared under it."""

    name: str
    airport_id: str
    condition: Literal["declared", "disabled", "invalid", "no-vpn", "undeclared"]


def find(
    wanted: str,
    desired: Mapping[str, Connection],
    decision: Decision,
    airports: Mapping[str, object],
    in_charon: Iterable[str],
) -> Subject | None:
    """Find a connection by its name or its airport's id. `airports`: as they stand in the file."""
    if wanted in desired:
        return Subject(wanted, desired[wanted].airport_id, "declared")
    of_airport = {one.airport_id: name for name, one in desired.items()}
    if wanted in of_airport:
        return Subject(of_airport[wanted], wanted, "declared")
    for airport_id in (*decision.disabled, *sorted(decision.invalid)):
        name = _name_in_file(airport_id, airports)
        if wanted in (airport_id, name):
            disabled = airport_id in decision.disabled
            return Subject(name, airport_id, "disabled" if disabled else "invalid")
    if wanted in airports:
        return Subject(f"{wanted}_vpn", wanted, "no-vpn")
    return Subject(wanted, "", "undeclared") if wanted in in_charon else None


def _name_in_file(airport_id: str, airports: Mapping[str, object]) -> str:
    airport = airports.get(airport_id)
    vpn = airport.get("vpn") if isinstance(airport, Mapping) else None
    name = vpn.get("connection_name") if isinstance(vpn, Mapping) else None
    return name if isinstance(name, str) and name else f"{airport_id}_vpn"


def verdict_of(status: ConnectionStatus) -> Verdict:
    """Say in short how a declared tunnel is, and what would help."""
    if status.status == "up":
        fix = " ".join(FIXES[flaw.code] for flaw in status.degraded_reasons)
        ill = _NO_PICTURE if status.health_check == "fail" else ""
        return Verdict(
            condition="up",
            since=status.since or status.last_connected,
            reason="; ".join(flaw.text for flaw in status.degraded_reasons),
            who_must_act=Side.SITE if status.degraded_reasons else "",
            fix=" ".join(filter(None, (fix, ill))),
        )
    code = status.reason_code
    return Verdict(
        condition=status.status if status.observed else "unknown",
        since=status.since,
        reason=status.reason,
        reason_code=code,
        who_must_act=status.who_must_act,
        fix=MEANINGS[code].fix if code else "",
    )


def verdict_without(subject: Subject, planned: Iterable[Action]) -> Verdict:
    """Say in short why there is no tunnel to be had under this name."""
    match subject.condition:
        case "disabled":
            return Verdict(
                condition="disabled",
                reason="`vpn.enabled` is not true in airports.json, so no tunnel is wanted",
                who_must_act=Side.NOBODY,
                fix="To have one: `vpn.enabled: true`.",
            )
        case "no-vpn":
            return Verdict(
                condition="no-vpn",
                reason="the airport has no `vpn` in airports.json, so no tunnel is wanted",
                who_must_act=Side.NOBODY,
                fix="To have one, declare it: airports-json.md.",
            )
        case "invalid":
            return Verdict(
                condition="invalid",
                reason="its declaration has errors and there is no earlier one, so there is no "
                "tunnel",
                who_must_act=Side.HUB,
                fix="Correct airports.json; `reconciler validate` tells what is right.",
            )
        case _:
            ours = any(True for _ in planned)
            return Verdict(
                condition="undeclared",
                reason="charon has it, and no airport declares it"
                + ("" if ours else "; somebody else loaded it, so it is left alone"),
                who_must_act=Side.NOBODY if ours else Side.HUB,
                fix="It is removed in the next round." if ours else "",
            )


def declaration(
    connection: Connection,
    status: ConnectionStatus,
    decision: Decision,
    sources: Mapping[str, str],
) -> Declaration:
    """Tell what is in force. `sources`: where `key` and `next_key` come from."""
    settings = connection.settings
    child = next(iter(settings["children"].values()))
    in_force = ""
    if connection.airport_id in decision.kept:
        in_force = "the last good declaration, as the one in the file is faulty"
    elif connection.airport_id in decision.held:
        in_force = (
            "the file does not have it any more; its removal waits for: "
            "reconciler apply --allow-removals"
        )
    return Declaration(
        remote_subnets=tuple(map(str, connection.remote_subnets)),
        local_subnets=tuple(map(str, connection.local_subnets)),
        hub_id=connection.hub_id,
        site_id=connection.remote_id,
        remote_address=str(connection.remote_address or ""),
        ike_proposal=connection.suite.ike_proposal,
        hub_ike_proposals=tuple(settings["proposals"]),
        esp_proposals=tuple(child["esp_proposals"]),
        timers={
            "IKE_SA renewed after": settings["rekey_time"],
            "CHILD_SA renewed after": child["rekey_time"],
            "CHILD_SA ends after": child["life_time"],
            "sign of life asked for after": settings["dpd_delay"],
        },
        key=sources.get("key", ""),
        next_key=sources.get("next_key", ""),
        key_rotation=status.key_rotation,
        rekey_after=status.rekey_after,
        in_force=in_force,
        paused=status.paused,
        paused_until=status.paused_until,
    )


def key_sources(vpn: object, *, in_force: bool) -> dict[str, str]:
    """Tell where the keys come from. `vpn`: as it stands in the file; `in_force`: it counts."""
    if not in_force or not isinstance(vpn, Mapping):
        return {"key": "psk, as last accepted; kept on the state volume"}
    found = {}
    for field, name in (("psk", "key"), ("next_psk", "next_key")):
        if vpn.get(field) is not None:
            found[name] = f"{field} in airports.json"
        elif vpn.get(f"{field}_file") is not None:
            found[name] = f"{field}_file {vpn[f'{field}_file']}"
    return found


def loaded(
    name: str,
    connection: Connection | None,
    observed: Observed | Unobserved,
    planned: Iterable[Action],
    settings: Mapping[str, Any],
) -> Loaded:
    """Tell what charon has under this name, and whether that is what is declared."""
    mark = str(connection.mark) if connection else ""
    if isinstance(observed, Unobserved):
        return Loaded(known=False, mark=mark)
    have = known_by_name(observed).get(name)
    if have is None:
        return Loaded(known=True, mark=mark)
    children = tuple(sorted(have.children or ()))
    loads = (action.cause for action in planned if type(action).__name__ == "Load")
    return Loaded(
        known=True,
        loaded=have.loaded,
        ours=bool(have.secrets) or any(map(mark_of_child, children)),
        drift=next(loads, ""),
        mark=mark,
        secret_ids=tuple(sorted(have.secrets)),
        children=children,
        settings=settings,
    )


def is_as_declared(connection: Connection | None, child_name: str) -> bool:
    """Tell whether a CHILD_SA is what is declared; what only the next one depends on is not it."""
    mark = mark_of_child(child_name)
    if connection is None or mark is None:
        return False
    return mark.ike in connection.ike_marks and mark.child == connection.mark.child


def deviations(status: ConnectionStatus) -> tuple[Deviation, ...]:
    """Name what is not as declared, each with what to do."""
    return tuple(
        Deviation(code=flaw.code, text=flaw.text, fix=FIXES[flaw.code])
        for flaw in status.degraded_reasons
    )


def failure_counts(status: ConnectionStatus) -> tuple[FailureCount, ...]:
    """Count what went wrong, the most frequent first."""
    return tuple(
        FailureCount(code=code, count=count, sentence=MEANINGS[code].sentence)
        for code, count in sorted(status.failures.items(), key=lambda item: -item[1])
    )


def steps(
    planned: Iterable[Action], attempts: Iterable[AttemptStatus], now: int
) -> tuple[Step, ...]:
    """Tell what would be done. What was tried a moment ago waits."""
    waits = {made.goal: made.next_attempt for made in attempts if made.next_attempt > now}
    return tuple(
        Step(
            action=type(action).__name__,
            cause=action.cause,
            impact=impact(action),
            not_before=waits.get(goal_of(action), 0),
        )
        for action in planned
    )


def lookalikes(
    airport_id: str, site_id: str, addresses: Iterable[str], strangers: Iterable[Stranger]
) -> tuple[Lookalike, ...]:
    """Name the strangers that may be this site: by address, or by how they call themselves."""
    known = {address for address in addresses if address}
    found = []
    for stranger in strangers:
        why = []
        if stranger.remote_address in known:
            why.append("it comes from this site's address")
        if stranger.claimed_id and _alike(airport_id, site_id, stranger.claimed_id):
            why.append(f"its identity is like {site_id}")
        if why:
            found.append(Lookalike(stranger=stranger, why=", ".join(why)))
    return tuple(found)


def _alike(airport_id: str, site_id: str, claimed: str) -> bool:
    if airport_id and airport_id.lower() in re.split(r"[^a-z0-9]+", claimed.lower()):
        return True
    return SequenceMatcher(None, site_id.lower(), claimed.lower()).ratio() >= _ALIKE


def faults_of(airport_id: str, faults: Iterable[Fault]) -> tuple[str, ...]:
    """Return what is wrong with this airport's declaration, or with the file as a whole."""
    return tuple(
        f"{fault.severity.value}: {fault}"
        for fault in faults
        if fault.airport_id in (airport_id, None)
    )
