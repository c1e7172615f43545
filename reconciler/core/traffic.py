"""Whether packets come back: what the counters of a tunnel tell between one look and the next.

A tunnel may be up for charon and yet pass nothing: the site answers questions about its life, and
drops or loses the packets themselves. That is called silent when we have sent for a while and
nothing came back, where something did before. A camera that is switched off looks the same.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from reconciler.core.observed import IkeSa, Observed

# Two looks of the timer (21 s) and not three.
SILENT_AFTER_S = 40.0
SILENT_PACKETS = 5
# What was sent a moment before a look may be answered a moment after it.
SILENT_LOOKS = 3
_HEARD_WITHIN_S = 60.0

Health = Literal["pass", "fail", "unknown"]


@dataclass(frozen=True, slots=True)
class Flow:
    """What passed through the CHILD_SAs of one connection, in packets.

    Attributes:
        children: SPIs of its CHILD_SAs; with others the counters begin anew.
        received, sent: by the last look.
        answered_s: when more had been received than before, on the monotonic clock; None: never
            through these CHILD_SAs.
        unanswered_s: when the first look saw packets sent that were not answered; None: all were.
        unanswered: how many were sent since the last answer.
        looks: how many looks since then saw still more of them sent.
        ever_answered: whether anything was received through these CHILD_SAs or earlier ones.

    """

    children: frozenset[str]
    received: int
    sent: int
    answered_s: float | None = None
    unanswered_s: float | None = None
    unanswered: int = 0
    looks: int = 0
    ever_answered: bool = False


def flows(
    before: Mapping[str, Flow], observed: Observed, now_s: float, desired: Collection[str]
) -> dict[str, Flow]:
    """Bring the flows of what is declared up to date; what carries nothing now is remembered."""
    by_name: dict[str, list[IkeSa]] = {}
    for sa in observed.sas:
        if sa.name in desired and sa.carrying_children:
            by_name.setdefault(sa.name, []).append(sa)
    made = {name: _flow(before.get(name), sas, now_s) for name, sas in by_name.items()}
    ended = {name: _ended(flow) for name, flow in before.items() if name in desired}
    return {**ended, **made}


def _ended(flow: Flow) -> Flow:
    return Flow(frozenset(), 0, 0, ever_answered=flow.ever_answered)


def _flow(before: Flow | None, sas: Iterable[IkeSa], now_s: float) -> Flow:
    children = [child for sa in sas for child in sa.carrying_children]
    spis = frozenset(child.spi_in for child in children)
    received = sum(child.received_packets for child in children)
    sent = sum(child.sent_packets for child in children)
    ever = before is not None and before.ever_answered
    if before is None or before.children != spis:
        return Flow(spis, received, sent, ever_answered=ever)
    if received > before.received:
        return Flow(spis, received, sent, answered_s=now_s, ever_answered=True)
    more = sent - before.sent
    first = more > 0 and before.unanswered_s is None
    return replace(
        before,
        sent=sent,
        unanswered_s=now_s if first else before.unanswered_s,
        unanswered=before.unanswered + max(0, more),
        looks=before.looks + (more > 0),
    )


def is_silent(flow: Flow, now_s: float) -> bool:
    """Tell whether we go on sending, and nothing comes back where something did before."""
    return (
        flow.ever_answered
        and flow.unanswered_s is not None
        and now_s - flow.unanswered_s >= SILENT_AFTER_S
        and flow.unanswered >= SILENT_PACKETS
        and flow.looks >= SILENT_LOOKS
    )


def was_answered(flow: Flow | None) -> bool:
    """Tell whether anything came back through the present CHILD_SAs."""
    return flow is not None and flow.answered_s is not None


def health(flow: Flow | None, now_s: float) -> Health:
    """Say what the packets tell of the tunnel; nothing, if none were sent."""
    if flow is None:
        return "unknown"
    if is_silent(flow, now_s):
        return "fail"
    heard = flow.answered_s is not None and now_s - flow.answered_s < _HEARD_WITHIN_S
    return "pass" if heard else "unknown"
