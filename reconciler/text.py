"""What the command line prints for people: tables from values."""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass

from reconciler.core.actions import AnyAction, ContainerAction, LoadFilter, impact
from reconciler.core.packet_filter import FilterState
from reconciler.core.status import ConnectionStatus, ContainerStatus, FilterStatus, Status
from reconciler.layout import Row, cut, fitted_table, indented, paint, room_for_last, table

_COLOURS = {"up": "32", "down": "31", "connecting": "33", "unknown": "35", "degraded": "33"}
_BOLD, _ALARM = "1", "1;97;41"
_HEADINGS = (
    *("AIRPORT", "CONNECTION", "STATUS", "FOR", "PEER", "RECEIVED", "SENT"),
    *("MUST ACT", "REASON"),
)
_STATUS, _MUST_ACT = _HEADINGS.index("STATUS"), _HEADINGS.index("MUST ACT")
# In this order they give way to the reason, if that has no room.
_DISPENSABLE = (("RECEIVED", "SENT"), ("PEER",))
_ROOM_FOR_REASON = 40
_MOST_LINES = 4
_MOST_STRANGERS = 10
_MOST_NAMES = 12
_LONGEST_NAME = 24
# So many lines are seen at one glance: beyond, what is wrong is told once more at the end.
_GLANCE_LINES = 20
STAGES = {
    "": "",
    "unknown": "two keys are declared; no tunnel tells which one the site uses",
    "old": "the site uses the old key",
    "switching": "the site switches keys",
    "new": "the site uses the new key: next_psk can become psk",
}
_SIGNS = {"Load": "+", "Remove": "-", "DropSecret": "-"}


@dataclass(frozen=True, slots=True)
class View:
    """How a status is to be shown.

    Attributes:
        columns: as wide as the terminal; 0: lines may be of any length.
        rows: as high as the terminal; 0: any number of lines.
        stale: it is old, and says nothing about now.
        shown: names of the connections that are listed; None: all.
        only: it is about these alone, and not about all that may be wrong.

    """

    colour: bool = False
    columns: int = 0
    rows: int = 0
    stale: bool = False
    shown: Container[str] | None = None
    only: bool = False

    def paint(self, text: str, code: str) -> str:
        """Show the text in a certain way, if there are colours."""
        return paint(text, code) if self.colour else text


_PLAIN = View()


def status_text(status: Status, now: int, view: View = _PLAIN) -> str:
    """Return the table of tunnels, and around it whatever needs attention. `now`: unix seconds."""
    shown = [
        connection
        for connection in _in_order(status)
        if view.shown is None or connection.connection_name in view.shown
    ]
    # Of an old status the times are those of then.
    then = status.timestamp if view.stale else now
    above = [view.paint(line, _ALARM) for line in _alarms(status, now, view)]
    heading, *rows = _fitted([_row(connection, then, view) for connection in shown], view)
    below = [
        line
        for remark in _remarks(status, shown, now, view, sum(map(len, rows)))
        for line in indented(remark, view.columns, "", "  ")
    ]
    above += [view.paint(line, _BOLD) for line in heading]
    if view.rows:
        below = _shortened([[line] for line in below], max(3, view.rows // 3), "lines")
        rows = [_shortened(rows, view.rows - len(above) - len(below) - 1, "tunnels")]
    return "\n".join([*above, *(line for row in rows for line in row), "", *below])


def _shortened(rows: Sequence[Sequence[str]], most_lines: int, what: str) -> list[str]:
    """Return the lines of whole rows as far as there is room, and how many are left out."""
    lines = [line for row in rows for line in row]
    if len(lines) <= most_lines:
        return lines
    kept: list[str] = []
    for number, row in enumerate(rows):
        if len(kept) + len(row) > most_lines - 1:
            return [*kept, f"… and {len(rows) - number} more {what}"]
        kept += row
    return kept


def state_of(connection: ConnectionStatus) -> str:
    """Name the state; one that nobody could look at is not known, whatever the document says."""
    return connection.status if connection.observed else "unknown"


def _rank(connection: ConnectionStatus) -> int:
    """Order by urgency: what is down, what is on its way, what works but not well, the rest."""
    if connection.status != "up":
        return 0 if connection.status == "down" else 1
    return 2 if _is_worth_a_look(connection) else 3


def _is_worth_a_look(connection: ConnectionStatus) -> bool:
    ill = connection.degraded or connection.health_check == "fail"
    return ill or connection.last_good or connection.removal_held or connection.paused


def _in_order(status: Status) -> Iterable[ConnectionStatus]:
    return sorted(status.connections.values(), key=lambda one: (_rank(one), one.connection_name))


def _fitted(rows: Sequence[Row], view: View) -> list[list[str]]:
    """Leave out what is dispensable until the reason has room."""
    heading = Row(_HEADINGS)
    kept = [*range(len(_HEADINGS))]
    made = [heading, *rows]
    for headings in _DISPENSABLE if view.columns else ():
        if room_for_last(made, view.columns) >= _ROOM_FOR_REASON:
            break
        gone = {number for number in kept if _HEADINGS[number] in headings}
        kept = [number for number in kept if number not in gone]
        made = [_only(row, kept) for row in (heading, *rows)]
    return fitted_table(made, view.columns, _MOST_LINES)


def _only(row: Row, kept: Sequence[int]) -> Row:
    codes = {new: row.codes[old] for new, old in enumerate(kept) if old in row.codes}
    return Row(tuple(row.cells[number] for number in kept), codes)


def _row(connection: ConnectionStatus, now: int, view: View) -> Row:
    peer = f"{connection.remote_address}:{connection.remote_port}"
    remarks = [
        connection.reason,
        # The reason comes from the last failure, if there is one, and says it better.
        "" if connection.last_failure else connection.last_error,
        *(f"degraded: {one.text}" for one in connection.degraded_reasons),
        "last good declaration, the new one is faulty" if connection.last_good else "",
        "removal held" if connection.removal_held else "",
        _health_remark(connection),
        f"paused{_until(connection.paused_until, now)}" if connection.paused else "",
        STAGES[connection.key_rotation],
    ]
    state = state_of(connection)
    longest = _LONGEST_NAME if view.columns else 1000
    cells = (
        cut(connection.airport_id, longest),
        cut(connection.connection_name, longest),
        f"{state}?" if view.stale else state,
        duration(now - connection.since) if connection.since and connection.observed else "-",
        peer if connection.remote_address else "-",
        size(connection.received_bytes),
        size(connection.sent_bytes),
        connection.who_must_act or "-",
        "; ".join(filter(None, remarks)) or "-",
    )
    return Row(cells, _codes(connection, state) if view.colour else {})


def _codes(connection: ConnectionStatus, state: str) -> dict[int, str]:
    worse = state == "up" and _is_worth_a_look(connection)
    must_act = {_MUST_ACT: _BOLD} if connection.who_must_act else {}
    return {_STATUS: _COLOURS["degraded" if worse else state], **must_act}


def _health_remark(connection: ConnectionStatus) -> str:
    """Say that nothing comes back; where a probe tells that, it stands among what is degraded."""
    told = connection.probe is not None
    return "no packet comes back" if connection.health_check == "fail" and not told else ""


def _until(then: int, now: int) -> str:
    return f" for {duration(max(0, then - now))} more" if then else ""


def _alarms(status: Status, now: int, view: View) -> Iterable[str]:
    """Say before anything else what makes all the rest doubtful."""
    age = duration(max(0, now - status.timestamp))
    if view.stale:
        yield f"STALE, written {age} ago: how it was then. Is the reconciler running?"
    if not status.daemon.reachable:
        yield f"charon can't be asked: {status.daemon.error}"


def _remarks(
    status: Status, shown: Sequence[ConnectionStatus], now: int, view: View, lines: int
) -> Iterable[str]:
    daemon, configuration = status.daemon, status.configuration
    up = sum(connection.status == "up" for connection in status.connections.values())
    age = duration(max(0, now - status.timestamp))
    count = "" if len(shown) == len(status.connections) else f", {len(shown)} shown"
    yield f"{up} of {len(status.connections)} up{count}, as of {age} ago"
    if lines > _GLANCE_LINES:
        yield from _not_up(shown, status.timestamp if view.stale else now)
    if daemon.reachable:
        yield f"charon {daemon.version}, {daemon.data_plane} data plane, {daemon.ike_sas} IKE_SAs"
    if not view.only:
        yield from _strangers(status, now)
    if status.container is not None:
        yield from _container_remarks(status.container, now)
    if status.packet_filter is not None:
        yield from _filter_remarks(status.packet_filter)
    airports = {connection.airport_id for connection in status.connections.values()}
    for fault in configuration.faults:
        if not view.only or fault.airport_id is None or fault.airport_id in airports:
            yield f"{fault.severity}: {fault.path}: {fault.message}"
    if configuration.removals_held:
        names = ", ".join(configuration.removals_held)
        yield f"held: removal of {names}; confirm with: reconciler apply --allow-removals"
    for error in status.reconciler.errors:
        yield f"error: {error}"


def _not_up(shown: Iterable[ConnectionStatus], now: int) -> Iterable[str]:
    """Name once more what stands at the top of a long table."""
    down = [_briefly(one, now) for one in shown if one.status != "up"]
    if down:
        more = f" and {len(down) - _MOST_NAMES} more" if len(down) > _MOST_NAMES else ""
        yield f"not up: {', '.join(down[:_MOST_NAMES])}{more}"


def _briefly(connection: ConnectionStatus, now: int) -> str:
    since = f" {duration(now - connection.since)}" if connection.since else ""
    return f"{connection.airport_id}{since} ({connection.who_must_act or 'not known'})"


def _strangers(status: Status, now: int) -> Iterable[str]:
    latest = status.strangers[::-1]
    for one in latest[:_MOST_STRANGERS]:
        claims = f" calls itself {one.claimed_id!r}" if one.claimed_id else ""
        times = f"{one.count} time{'s' if one.count > 1 else ''}"
        ago = duration(max(0, now - one.last_seen))
        yield f"stranger: {one.remote_address}{claims}: {one.code}, {times}, last {ago} ago"
    if len(latest) > _MOST_STRANGERS:
        yield f"and {len(latest) - _MOST_STRANGERS} more strangers; see reconciler status --json"


def _container_remarks(container: ContainerStatus, now: int) -> Iterable[str]:
    name = f"container {container.name}"
    if container.error:
        yield f"{name}: {container.error}"
    if container.problem:
        due = f"; acted upon in {duration(max(0, container.next_attempt - now))}"
        yield f"{name}: {container.problem}{due if container.next_attempt else ''}"
    if container.held:
        yield f"{name}: held: {container.held}"
    if container.last_action:
        ago = duration(max(0, now - container.last_action_at))
        yield f"{name}: {ago} ago {container.last_action}"


def _filter_remarks(found: FilterStatus) -> Iterable[str]:
    if found.state is FilterState.OFF:
        yield "packet filter: off; sites may open whatever the hub accepts or forwards"
    elif found.error:
        yield f"packet filter: {found.state}: {found.error}"
    elif not found.as_declared:
        yield f"packet filter: {found.state}, not yet as declared"


def action_json(action: AnyAction) -> dict[str, str]:
    """Return one planned action for programs."""
    kind = type(action).__name__
    return {
        "action": kind,
        _whose(action): action.name,
        "cause": action.cause,
        "impact": impact(action),
    }


def _whose(action: AnyAction) -> str:
    if isinstance(action, LoadFilter):
        return "filter"
    return "container" if isinstance(action, ContainerAction) else "connection"


def plan_text(actions: Sequence[AnyAction], notes: Iterable[str] = ()) -> str:
    """Return one line an action: what, to whom, why, and who loses packets by it."""
    if not actions:
        return "\n".join(["nothing to do", *notes])
    rows = [
        (_SIGNS.get(kind := type(a).__name__, "~"), kind, a.name, a.cause, impact(a))
        for a in actions
    ]
    lines = table(("", "ACTION", "CONNECTION", "CAUSE", "WHO LOSES PACKETS"), rows)
    count = f"{len(actions)} change{'s' if len(actions) > 1 else ''}"
    return "\n".join([*lines, "", count, *notes])


def duration(seconds: int) -> str:
    """Write seconds as people do: 42s, 3m, 5h, 12d."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def size(count: int) -> str:
    """Write bytes as people do: 512 B, 12.3 MB."""
    value, units = float(count), iter(("B", "kB", "MB", "GB", "TB"))
    unit = next(units)
    while value >= 1000 and unit != "TB":
        value, unit = value / 1000, next(units)
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
