"""Whether packets come back: what the counters of a tunnel tell between one look and the next.

A tunnel may be up for charon and yet pass nothing: the site answers questions about its life, and
drops or loses the packets themselves. That is called silent when we have sent for a while and
nothing came back. A camera that is switched off looks the same.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from reconciler.core.observed import IkeSa, Observed

SILENT_AFTER_S = 45.0
SILENT_PACKETS = 5
_HEARD_WITHIN_S = 60.0

Health = Literal["pass", "fail", "unknown"]


@dataclass(frozen=True, slots=True)
class Flow:
    """What passed through the CHILD_SAs of one connection, in packets.

    Attributes:
        children: SPIs of its CHILD_SAs; with others the counters begin anew.
        heard_s: when more had been received than before, on the monotonic clock; at first: when
            we began to look.
        sent_then: how many were sent by then.
        heard: whether anything was received while we looked.

    """

    children: frozenset[str]
    received: int
    sent: int
    heard_s: float
    sent_then: int
    heard: bool = False


def flows(before: Mapping[str, Flow], observed: Observed, now_s: float) -> dict[str, Flow]:
    """Bring the flows up to date, by connection."""
    by_name: dict[str, list[IkeSa]] = {}
    for sa in observed.sas:
        if sa.carrying_children:
            by_name.setdefault(sa.name, []).append(sa)
    return {name: _flow(before.get(name), sas, now_s) for name, sas in by_name.items()}


def _flow(before: Flow | None, sas: Iterable[IkeSa], now_s: float) -> Flow:
    children = [child for sa in sas for child in sa.carrying_children]
    spis = frozenset(child.spi_in for child in children)
    received = sum(child.received_packets for child in children)
    sent = sum(child.sent_packets for child in children)
    if before is None or before.children != spis:
        return Flow(spis, received, sent, now_s, sent)
    if received > before.received:
        return Flow(spis, received, sent, now_s, sent, heard=True)
    return Flow(spis, received, sent, before.heard_s, before.sent_then, before.heard)


def is_silent(flow: Flow, now_s: float) -> bool:
    """Tell whether we have sent for a while, and nothing came back."""
    return now_s - flow.heard_s >= SILENT_AFTER_S and flow.sent - flow.sent_then >= SILENT_PACKETS


def health(flow: Flow | None, now_s: float) -> Health:
    """Say what the packets tell of the tunnel; nothing, if none were sent."""
    if flow is None:
        return "unknown"
    if is_silent(flow, now_s):
        return "fail"
    return "pass" if flow.heard and now_s - flow.heard_s < _HEARD_WITHIN_S else "unknown"
