"""How one tunnel is at this moment: up, connecting or down, and for which reason."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from reconciler.core.failures import LastFailure
from reconciler.core.negotiated import Degradation, compare
from reconciler.core.observed import ChildSa, IkeSa
from reconciler.core.reasons import Code
from reconciler.core.render import Connection
from reconciler.core.rotation import Stage, stage_of
from reconciler.core.selectors import uncovered
from reconciler.core.transitions import State
from reconciler.core.why import Reason, reason, without_child, without_ike

# An SA that comes and goes within this time was a failed attempt and never an uptime.
_LASTED_S = 2


@dataclass(frozen=True, slots=True)
class TunnelView:
    """What is seen of one tunnel. No reason: it is up."""

    state: State
    reason: Reason | None
    sa: IkeSa | None = None
    children: tuple[ChildSa, ...] = ()
    flaws: tuple[Degradation, ...] = ()
    key_rotation: Stage = ""

    @property
    def lasted(self) -> bool:
        """Whether it has carried long enough to be called up."""
        return any(child.installed_s >= _LASTED_S for child in self.children)


def view_tunnel(
    connection: Connection,
    sas: tuple[IkeSa, ...],
    last: LastFailure | None,
    now: int,
    *,
    clash: bool,
    was_up: bool,
) -> TunnelView:
    """Say how it is. `clash`: its name is taken by others; `was_up`: ever, not just before."""
    if clash:
        view = TunnelView("down", reason(Code.NAME_CLASH))
    else:
        view = _view(connection, sas, last, now, was_up=was_up)
    return replace(view, key_rotation=stage_of(connection, sas))


def _view(
    connection: Connection,
    sas: tuple[IkeSa, ...],
    last: LastFailure | None,
    now: int,
    *,
    was_up: bool,
) -> TunnelView:
    live = sorted((sa for sa in sas if sa.live), key=lambda sa: (sa.established_s, sa.unique_id))
    carrying = [sa for sa in live if sa.carrying_children]
    if carrying:
        return _with_children(connection, sas, carrying)
    if live:
        since = now - live[0].established_s
        return TunnelView("connecting", without_child(connection, last, since), live[0])
    coming = next((sa for sa in sas if sa.state == "CONNECTING"), None)
    why = without_ike(connection, last, negotiating=coming is not None, was_up=was_up)
    return TunnelView("connecting" if coming else "down", why, coming)


def _with_children(
    connection: Connection, sas: tuple[IkeSa, ...], carrying: Sequence[IkeSa]
) -> TunnelView:
    children = tuple(child for sa in carrying for child in sa.carrying_children)
    missing = uncovered(
        connection.remote_subnets, (subnet for one in children for subnet in one.remote_subnets)
    )
    if missing:
        text = f"it leaves out {', '.join(map(str, missing))}"
        why = reason(Code.SELECTOR_MISMATCH, text)
        return TunnelView("down", why, carrying[0], children)
    return TunnelView("up", None, carrying[0], children, compare(connection, sas))
