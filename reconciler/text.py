"""What the command line prints for people: tables from values."""

from collections.abc import Iterable, Sequence

from reconciler.core.actions import Action, ContainerAction, impact
from reconciler.core.status import ConnectionStatus, ContainerStatus, Status

_COLOURS = {"up": "32", "down": "31", "connecting": "33"}
_HEADINGS = (
    *("AIRPORT", "CONNECTION", "STATUS", "FOR", "PEER", "RECEIVED", "SENT"),
    *("MUST ACT", "REASON"),
)
_MOST_STRANGERS = 10
_STAGES = {
    "": "",
    "unknown": "two keys are declared; no tunnel tells which one the site uses",
    "old": "the site uses the old key",
    "switching": "the site switches keys",
    "new": "the site uses the new key: next_psk can become psk",
}
_SIGNS = {"Load": "+", "Remove": "-", "DropSecret": "-"}


def status_text(status: Status, now: int, *, colour: bool) -> str:
    """Return the table of tunnels, and below it whatever needs attention. `now`: unix seconds."""
    rows = [_row(connection, now) for connection in _by_name(status)]
    lines = _table(_HEADINGS, rows)
    if colour:
        states = [connection.status for connection in _by_name(status)]
        coloured = [_paint(line, state) for line, state in zip(lines[1:], states, strict=True)]
        lines = [f"\x1b[1m{lines[0]}\x1b[0m", *coloured]
    return "\n".join([*lines, "", *_remarks(status, now)])


def _by_name(status: Status) -> Iterable[ConnectionStatus]:
    return [status.connections[name] for name in sorted(status.connections)]


def _row(connection: ConnectionStatus, now: int) -> tuple[str, ...]:
    peer = f"{connection.remote_address}:{connection.remote_port}"
    remarks = [
        connection.reason,
        connection.last_error,
        *(f"degraded: {one.text}" for one in connection.degraded_reasons),
        "last good declaration, the new one is faulty" if connection.last_good else "",
        "removal held" if connection.removal_held else "",
        _health_remark(connection),
        f"paused{_until(connection.paused_until, now)}" if connection.paused else "",
        _STAGES[connection.key_rotation],
    ]
    return (
        connection.airport_id,
        connection.connection_name,
        connection.status,
        duration(now - connection.since) if connection.since else "-",
        peer if connection.remote_address else "-",
        size(connection.received_bytes),
        size(connection.sent_bytes),
        connection.who_must_act or "-",
        "; ".join(filter(None, remarks)) or "-",
    )


def _health_remark(connection: ConnectionStatus) -> str:
    """Say that nothing comes back; where a probe tells that, it stands among what is degraded."""
    told = connection.probe is not None
    return "no packet comes back" if connection.health_check == "fail" and not told else ""


def _until(then: int, now: int) -> str:
    return f" for {duration(max(0, then - now))} more" if then else ""


def _remarks(status: Status, now: int) -> Iterable[str]:
    daemon, configuration = status.daemon, status.configuration
    up = sum(connection.status == "up" for connection in status.connections.values())
    age = duration(max(0, now - status.timestamp))
    yield f"{up} of {len(status.connections)} up, as of {age} ago"
    if daemon.reachable:
        yield f"charon {daemon.version}, {daemon.data_plane} data plane, {daemon.ike_sas} IKE_SAs"
    else:
        yield f"charon can't be asked: {daemon.error}"
    yield from _strangers(status, now)
    if status.container is not None:
        yield from _container_remarks(status.container, now)
    for fault in configuration.faults:
        yield f"{fault.severity}: {fault.path}: {fault.message}"
    if configuration.removals_held:
        names = ", ".join(configuration.removals_held)
        yield f"held: removal of {names}; confirm with: reconciler apply --allow-removals"
    for error in status.reconciler.errors:
        yield f"error: {error}"


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


def plan_text(actions: Sequence[Action | ContainerAction], notes: Iterable[str] = ()) -> str:
    """Return one line an action: what, to whom, why, and who loses packets by it."""
    if not actions:
        return "\n".join(["nothing to do", *notes])
    rows = [
        (_SIGNS.get(kind := type(a).__name__, "~"), kind, a.name, a.cause, impact(a))
        for a in actions
    ]
    lines = _table(("", "ACTION", "CONNECTION", "CAUSE", "WHO LOSES PACKETS"), rows)
    count = f"{len(actions)} change{'s' if len(actions) > 1 else ''}"
    return "\n".join([*lines, "", count, *notes])


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    table = [headings, *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]


def _paint(line: str, state: str) -> str:
    return line.replace(f"  {state} ", f"  \x1b[{_COLOURS[state]}m{state}\x1b[0m ", 1)


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
