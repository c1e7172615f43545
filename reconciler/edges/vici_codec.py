"""Pure translation of VICI's messages into values. Knows no socket.

Field names: strongSwan's vici/README.md and what charon 6.0 was seen to send.
"""

import struct
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from ipaddress import ip_network
from typing import Any

from vici.exception import (
    DeserializationException,
    EventUnknownException,
    SessionException,
)

from reconciler.core.model import IpNetwork
from reconciler.core.nesting import is_too_deep
from reconciler.core.observed import Algorithms, ChildSa, Daemon, IkeSa
from reconciler.core.reasons import printable

Raw = Mapping[str, Any]
_ALGORITHM_KEYS = ("encr-alg", "encr-keysize", "integ-alg", "prf-alg", "dh-group")
# How a session ends: the socket fails, or what came is not VICI. The `vici` package has no one name
# for that, and reads `errmsg` without looking whether it is there, and a text.
BROKEN = (
    OSError,
    SessionException,
    EventUnknownException,
    DeserializationException,
    struct.error,
    UnicodeDecodeError,
    KeyError,
    AttributeError,
)


def text(message: Raw, key: str, default: str = "") -> str:
    """Read one value as text; charon's values are bytes of any kind."""
    value = message.get(key, default)
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def number(message: Raw, key: str) -> int:
    """Read one value as a whole number, 0 if it is absent or none."""
    return _number(text(message, key))


def _number(value: str) -> int:
    return int(value) if value.isascii() and value.isdecimal() and len(value) < 21 else 0


def section(message: Raw, key: str) -> Raw:
    """Read one section, empty if absent."""
    value = message.get(key)
    return value if isinstance(value, Mapping) else {}


def sections(message: Raw) -> dict[str, Raw]:
    """Return what a message is about, by name. Raises SessionException for anything but sections.

    To leave out what can't be understood would be to say that it is not there.
    """
    for name, value in message.items():
        if not isinstance(value, Mapping):
            raise SessionException(f"{printable(name, 40)} is not a section")
    return dict(message)


def texts(message: Raw, key: str) -> tuple[str, ...]:
    """Read one list as texts."""
    value = message.get(key)
    if not isinstance(value, list):
        return ()
    return tuple(v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in value)


def shown(message: Raw) -> dict[str, Any]:
    """Turn a message into texts, lists and dicts. Raises SessionException if it is too deep."""
    if is_too_deep(message):
        raise SessionException("sections are nested too deeply")
    return {str(key): plain(item) for key, item in message.items()}


def plain(value: object) -> Any:
    """Turn any value of a message into texts, lists and dicts, to be shown as it is."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def daemon(version: Raw, stats: Raw) -> Daemon:
    """Translate `version` and `stats`."""
    workers, sas = section(stats, "workers"), section(stats, "ikesas")
    active, queues = _numbers(section(workers, "active")), _numbers(section(stats, "queues"))
    userspace = "kernel-libipsec" in texts(stats, "plugins")
    return Daemon(
        version=text(version, "version"),
        started_at=_unix_s(text(section(stats, "uptime"), "since")),
        data_plane="userspace" if userspace else "kernel",
        workers_total=number(workers, "total"),
        workers_idle=number(workers, "idle"),
        queued_jobs=sum(queues.values()),
        ike_sas=number(sas, "total"),
        half_open_ike_sas=number(sas, "half-open"),
        scheduled_jobs=number(stats, "scheduled"),
        workers_active=active,
        queues=queues,
    )


def _numbers(message: Raw) -> dict[str, int]:
    return {key: number(message, key) for key in message}


def _unix_s(since: str) -> int:
    """Read charon's `Nov 22 17:01:02 2026`; its clock and zone are the container's, UTC."""
    try:
        found = datetime.strptime(since, "%b %d %H:%M:%S %Y")  # noqa: DTZ007 - the next line
    except ValueError:
        return 0
    return int(found.replace(tzinfo=UTC).timestamp())


def ike_sa(name: str, message: Raw) -> IkeSa:
    """Translate one IKE_SA of `list-sa`."""
    children = section(message, "child-sas")
    return IkeSa(
        name=name,
        unique_id=text(message, "uniqueid", "0"),
        state=text(message, "state"),
        remote_host=text(message, "remote-host"),
        remote_port=number(message, "remote-port"),
        remote_id=text(message, "remote-id"),
        initiator=text(message, "initiator") == "yes",
        established_s=number(message, "established"),
        children=tuple(child_sa(section(children, key)) for key in children),
        algorithms=_algorithms(*(text(message, key) for key in _ALGORITHM_KEYS)),
        nat_seen=text(message, "nat-any") == "yes",
        tasks_active=texts(message, "tasks-active"),
        tasks_queued=texts(message, "tasks-queued"),
        spi=text(message, "initiator-spi"),
    )


@lru_cache(256)
def _algorithms(encryption: str, size: str, integrity: str, prf: str, group: str) -> Algorithms:
    """Thousands of SAs use the same few."""
    return Algorithms(encryption, _number(size), integrity, prf, group)


def child_sa(message: Raw) -> ChildSa:
    """Translate one CHILD_SA of `list-sa`, or of an event."""
    return ChildSa(
        name=text(message, "name"),
        unique_id=text(message, "uniqueid", "0"),
        state=text(message, "state"),
        spi_in=text(message, "spi-in"),
        local_subnets=_subnets(texts(message, "local-ts")),
        remote_subnets=_subnets(texts(message, "remote-ts")),
        received_bytes=number(message, "bytes-in"),
        sent_bytes=number(message, "bytes-out"),
        received_packets=number(message, "packets-in"),
        sent_packets=number(message, "packets-out"),
        installed_s=number(message, "install-time"),
        algorithms=_algorithms(*(text(message, key) for key in _ALGORITHM_KEYS)),
        udp_encapsulated=text(message, "encap") == "yes",
        received_s=number(message, "use-in") if "use-in" in message else None,
        expires_s=number(message, "life-time"),
    )


def _subnets(selectors: Iterable[str]) -> tuple[IpNetwork, ...]:
    """Keep the selectors that are whole subnets; one limited to a port covers none."""
    found = []
    for selector in selectors:
        try:
            found.append(ip_network(selector))
        except ValueError:
            continue
    return tuple(found)


def child_names(message: Raw) -> frozenset[str]:
    """Read the names of the children of one connection of `list-conn`."""
    return frozenset(section(message, "children"))


def algorithms(message: Raw) -> frozenset[str]:
    """Read all algorithm names of `get-algorithms`, whatever their kind."""
    return frozenset(name for kind in message for name in section(message, kind))
