"""Made-up status documents, with keys that the reconciler may write one day."""

import random
import time
from typing import Any

from reconciler.core.packet_filter import FilterState
from reconciler.core.reasons import MEANINGS, Code
from reconciler.core.status import (
    CameraStatus,
    ConfigurationStatus,
    ConnectionStatus,
    ContainerStatus,
    DaemonStatus,
    FilterStatus,
    LoopStatus,
    Status,
)
from reconciler.core.transitions import State

Document = dict[str, Any]
PLACES = ("Scappoose", "Cascade Locks", "George Felt", "Tillamook", "Prineville", "Lakeview")
DAY_S = 86_400


def connection(airport: str, **changes: Any) -> Document:
    """One tunnel that is up and well."""
    now = int(time.time())
    made = ConnectionStatus(
        airport_id=airport,
        connection_name=f"{airport}_vpn",
        status="up",
        last_connected=now - 7000,
        last_disconnected=now - 7100,
        uptime_seconds=7000,
        health_check="pass",
        airport_name=airport.upper(),
        time_zone="America/Los_Angeles",
        cameras=(CameraStatus(name="North", url="http://192.168.1.100/snapshot.jpg"),),
        since=now - 7000,
        remote_address="198.51.100.7",
        remote_port=4500,
        last_remote_address="198.51.100.7",
        ike_state="ESTABLISHED",
        child_state="INSTALLED",
        local_subnets=("0.0.0.0/0",),
        remote_subnets=("192.168.1.0/24",),
        declared_subnets=("192.168.1.0/24",),
        received_bytes=123_456_789,
        sent_bytes=4_567_890,
        ike_established_at=now - 7000,
        child_installed_at=now - 900,
    )
    return made.model_dump(mode="json") | changes


def down(airport: str, code: Code = Code.DEAD_PEER, **changes: Any) -> Document:
    """One tunnel that is down, for the reason that is given."""
    now, meaning = int(time.time()), MEANINGS[code]
    gone = {
        "status": "down",
        "last_disconnected": now - 180,
        "uptime_seconds": 0,
        "health_check": "unknown",
        "since": now - 180,
        "reason": meaning.sentence,
        "reason_code": code.value,
        "who_must_act": meaning.side.value,
        "remote_address": "",
        "remote_port": 0,
        "ike_state": "",
        "child_state": "",
        "local_subnets": [],
        "remote_subnets": [],
        "ike_established_at": 0,
        "child_installed_at": 0,
    }
    return connection(airport) | gone | changes


def transitions(count: int, last: State = "up", ago_s: int = 7000) -> list[Document]:
    """Make a history that ends with `last`."""
    now = int(time.time())
    found: list[Document] = []
    states: tuple[State, State] = ("up", "down") if last == "down" else ("down", "up")
    for number in range(count):
        state = states[(number + count % 2) % 2]
        found.append(
            {
                "at": now - ago_s - (count - 1 - number) * 5400,
                "from_status": "" if number == 0 else states[(number + 1 + count % 2) % 2],
                "to_status": state,
                "reason_code": "dead-peer" if state == "down" else "",
                "reason": "the site stopped answering" if state == "down" else "",
            }
        )
    return found


def document(*connections: Document, **changes: Any) -> Document:
    """Make a whole status document."""
    now = int(time.time())
    made = Status(
        timestamp=now,
        connections={},
        daemon=DaemonStatus(
            reachable=True,
            version="6.0.1",
            running_since=now - 90_000,
            data_plane="userspace",
            workers_idle=23,
            workers_total=32,
            ike_sas=len(connections),
        ),
        container=ContainerStatus(
            name="gateway", state="running", health="healthy", started_at=now - 90_000
        ),
        packet_filter=FilterStatus(
            state=FilterState.IN_FORCE, as_declared=True, dropped_packets={"unasked": 12}
        ),
        configuration=ConfigurationStatus(
            path="/config/airports.json",
            valid=True,
            last_read=now,
            last_valid=now,
            airports_declared=len(connections),
        ),
        reconciler=LoopStatus(version="0.1.0", round=7, reasons=("timer",)),
    ).model_dump(mode="json")
    by_name = {one["connection_name"]: one for one in connections}
    return made | {"connections": by_name} | changes


def fleet(size: int, seed: int = 1) -> Document:
    """Make a large fleet, with everything that a document of a large fleet holds."""
    chance = random.Random(seed)  # noqa: S311 - reproducible on purpose
    return document(*(_one(number, chance) for number in range(size)))


def _one(number: int, chance: random.Random) -> Document:
    airport = f"k{number:04d}"
    name = f"{chance.choice(PLACES)} {number}"
    more: Document = {"airport_name": name, "transitions": transitions(5)}
    more["remote_address"] = f"198.51.{number // 250}.{number % 250}"
    kind = chance.random()
    if kind < 0.03:
        code = chance.choice([Code.DEAD_PEER, Code.WRONG_PSK, Code.NEVER_DIALLED_IN])
        return down(airport, code, airport_name=name, transitions=transitions(5, "down", 180))
    if kind < 0.05:
        more |= {"degraded": True, "degraded_reasons": [_narrowed()]}
    return connection(airport, since=int(time.time()) - chance.randrange(30 * DAY_S), **more)


def _narrowed() -> Document:
    return {"code": "narrowed-selectors", "text": "the site leaves out 10.0.0.0/24"}
