"""The ladder of remedies for one connection: which SA is started, renewed or ended, and when.

Every rung disturbs more than the one before it: a child in place, a new IKE_SA beside the old one,
the end of the IKE_SA so that the site dials anew. Which one it is depends on how often a goal was
attempted; the wait between attempts is not decided here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from reconciler.core.actions import (
    Action,
    EndChild,
    EndIke,
    Redial,
    RekeyChild,
    RekeyIke,
    StartChild,
)
from reconciler.core.negotiated import has_other_algorithms
from reconciler.core.observed import ChildSa, IkeSa
from reconciler.core.render import Connection, mark_of_child
from reconciler.core.selectors import uncovered

# A site may create its CHILD_SA a moment after the IKE_SA; only then is it missing.
CHILD_GRACE_S = 5
# What is under way on the old CHILD_SA must arrive before it ends; charon counts whole seconds.
CHILD_SETTLE_S = 2
# While a peer re-authenticates make-before-break, two IKE_SAs of one name are right for a moment.
DUPLICATE_GRACE_S = 10
# So often a missing child is asked for; then the site is to dial anew.
CHILD_TRIES = 2
# So often a site is dialled that is asked to authenticate anew; then it is to dial by itself.
REDIAL_TRIES = 2
# charon's ages are whole seconds of another clock.
_AGE_ERROR_S = 1
# An attempt at this is made once for a declaration, however long ago.
ONCE = "algorithms"
# Attempts at this count until something comes back.
SILENT = "silent"
# So often a tunnel is ended in which nothing comes back; a camera that is off looks the same.
SILENT_TRIES = 3
_SOON_S = 0.5


@dataclass(frozen=True, slots=True)
class Renewal:
    """SAs made before `after` (unix seconds) are to be renewed.

    `reauthenticate`: by a new IKE_SA, and not by new keys for the old one.
    """

    after: int
    reauthenticate: bool = False


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What is known about one connection beside declaration and SAs.

    `counts`: attempts so far, by goal. `now`: unix seconds. `silent`: nothing comes back.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    renewal: Renewal | None = None
    now: int = 0
    silent: bool = False

    def tried(self, goal: str) -> int:
        """Return how often the goal was attempted under the present declaration."""
        return self.counts.get(goal, 0)


def remedies(
    connection: Connection, sas: Sequence[IkeSa], given: Circumstances
) -> Iterable[Action]:
    """Bring the SAs of one connection to what is declared; at most one new SA is asked for."""
    established = [sa for sa in sas if sa.state == "ESTABLISHED"]
    superseded = _superseded(connection, established)
    makes: list[Action] = []
    for sa in established:
        if sa in superseded:
            yield _end_duplicate(connection, sa, "replaced by a newer IKE_SA")
            continue
        for action in _one_sa(connection, sa, sas, given):
            if isinstance(action, StartChild | Redial):
                makes.append(action)
            else:
                yield action
    if not sas and connection.remote_address is not None:
        cause = "its address is declared"
        makes = [StartChild(connection.name, connection.child_name, cause, goal="dial")]
    if not _is_coming(sas):
        yield from makes[:1]


def _is_coming(sas: Iterable[IkeSa]) -> bool:
    return any(sa.state == "CONNECTING" for sa in sas)


def _one_sa(
    connection: Connection, sa: IkeSa, sas: Sequence[IkeSa], given: Circumstances
) -> Iterable[Action]:
    children = sa.carrying_children
    outdated = [child for child in children if not is_current(child, connection)]
    others = [other for other in sas if other is not sa]
    if not children:
        yield from _without_child(connection, sa, others, given.tried("child"))
    elif _from_elsewhere(connection, sa):
        yield EndIke(connection.name, sa.unique_id, "its peer is not at the declared address")
    elif outdated:
        yield from _outdated(connection, sa, outdated, others, given)
    elif given.silent and given.tried(SILENT) < SILENT_TRIES:
        cause = "it answers charon, but no packet comes back; the site shall dial anew"
        yield EndIke(connection.name, sa.unique_id, cause, goal=SILENT)
    elif given.renewal is not None and given.renewal.after <= given.now:
        yield from _renewed(connection, sa, others, given.renewal, given)
    else:
        yield from _second_child(connection, sa)
        if not any(_has_current(connection, other) for other in others):
            yield from _renegotiated(connection, sa, given)


def _without_child(
    connection: Connection, sa: IkeSa, others: Sequence[IkeSa], tried: int
) -> Iterable[Action]:
    name = connection.name
    if sa.established_s < CHILD_GRACE_S or _is_making_a_child(sa):
        return
    if any(_has_current(connection, other) for other in others):
        yield EndIke(name, sa.unique_id, "another IKE_SA carries the tunnel", carried=True)
    elif tried < CHILD_TRIES and not _was_redialled(connection, sa):
        yield StartChild(name, connection.child_name, "IKE_SA without CHILD_SA", goal="child")
    else:
        cause = "its CHILD_SA can't be had; the site shall dial anew"
        yield EndIke(name, sa.unique_id, cause, goal="child")


def _is_making_a_child(sa: IkeSa) -> bool:
    return "CHILD_CREATE" in (*sa.tasks_active, *sa.tasks_queued)


def _outdated(
    connection: Connection,
    sa: IkeSa,
    outdated: Sequence[ChildSa],
    others: Sequence[IkeSa],
    given: Circumstances,
) -> Iterable[Action]:
    """Replace what was negotiated under another declaration, without losing packets if possible."""
    name = connection.name
    if _serve_instead(connection, [sa], outdated):
        for child in outdated if _settled(connection, sa) else ():
            yield EndChild(name, child.unique_id, "a CHILD_SA with the new settings is up")
    elif _serve_instead(connection, others, sa.carrying_children):
        if any(_settled(connection, other) for other in others):
            cause = "another IKE_SA carries the new settings"
            yield EndIke(name, sa.unique_id, cause, carried=True)
    elif not _is_coming(others) and not _is_making_a_child(sa):
        yield _next_rung(connection, sa, outdated, given)


def _next_rung(
    connection: Connection, sa: IkeSa, outdated: Sequence[ChildSa], given: Circumstances
) -> Action:
    name, what = connection.name, _what_is_outdated(connection, outdated)
    in_place, beside = "renew in place", "renew beside"
    possible = _can_be_had_in_place(connection, outdated) and not _was_redialled(connection, sa)
    if possible and not given.tried(in_place):
        return StartChild(name, connection.child_name, f"{what} changed", goal=in_place)
    if sa.remote_host and not given.tried(beside):
        cause = f"{what} changed, which takes a new IKE_SA"
        return _redial(connection, sa, cause, goal=beside)
    return EndIke(
        name, sa.unique_id, f"{what} changed, and the site does not let itself be dialled"
    )


def _was_redialled(connection: Connection, sa: IkeSa) -> bool:
    """Tell whether it goes by the settings of one attempt: charon starts no child over it then."""
    return sa.initiator and connection.remote_address is None


def _can_be_had_in_place(connection: Connection, outdated: Sequence[ChildSa]) -> bool:
    """Charon starts a child only over an IKE_SA whose connection equals the loaded one."""
    marks = [mark_of_child(child.name) for child in outdated]
    mark = connection.mark
    return all(
        have is not None and (have.ike, have.later) == (mark.ike, mark.later) for have in marks
    )


def _what_is_outdated(connection: Connection, outdated: Sequence[ChildSa]) -> str:
    marks = [mark_of_child(child.name) for child in outdated]
    same_peers = all(have is not None and have.ike in connection.ike_marks for have in marks)
    return "selectors or ESP settings" if same_peers else "identities or key"


def _renewed(
    connection: Connection,
    sa: IkeSa,
    others: Sequence[IkeSa],
    renewal: Renewal,
    given: Circumstances,
) -> Iterable[Action]:
    """Renew what is older than asked for, the IKE_SA before its children."""
    name, now, before = connection.name, given.now, renewal.after - _AGE_ERROR_S
    if now - sa.established_s < before:
        cause = "older than its rekey_after"
        if not renewal.reauthenticate:
            yield RekeyIke(name, sa.unique_id, cause, goal="rekey")
        elif _carry_all_of(
            connection,
            [o for o in others if _settled(connection, o) and now - o.established_s >= before],
            sa,
        ):
            yield EndIke(name, sa.unique_id, "a newer IKE_SA carries the tunnel", carried=True)
        elif not any(now - o.established_s >= before for o in others):
            yield _reauthenticated(connection, sa, cause, given.tried("rekey"))
        return
    for child in sa.carrying_children:
        if child.state == "INSTALLED" and now - child.installed_s < before:
            yield RekeyChild(
                name, child.unique_id, "older than its rekey_after", goal="rekey child"
            )


def _reauthenticated(connection: Connection, sa: IkeSa, cause: str, tried: int) -> Action:
    if sa.remote_host and tried < REDIAL_TRIES:
        return _redial(connection, sa, cause, goal="rekey")
    cause = f"{cause}, and the site does not let itself be dialled"
    return EndIke(connection.name, sa.unique_id, cause, goal="rekey")


def _renegotiated(connection: Connection, sa: IkeSa, given: Circumstances) -> Iterable[Action]:
    """Dial once beside a tunnel that was negotiated before its algorithms changed; never cut it."""
    marks = [mark_of_child(child.name) for child in sa.carrying_children]
    older = any(mark is not None and mark.later != connection.mark.later for mark in marks)
    due = older and sa.remote_host and not given.tried(ONCE)
    if due and has_other_algorithms(connection, sa):
        cause = "its algorithms are other ones than the declared ones"
        yield _redial(connection, sa, cause, goal=ONCE)


def _redial(connection: Connection, sa: IkeSa, cause: str, goal: str) -> Redial:
    return Redial(connection, sa.remote_host, sa.remote_port, sa.unique_id, cause, goal)


def _second_child(connection: Connection, sa: IkeSa) -> Iterable[Action]:
    """End all but the newest of several equal children, once that has settled.

    Equal in their selectors, too: many routers make one child for each pair of subnets.
    """
    kinds: dict[object, list[ChildSa]] = {}
    for child in sa.carrying_children:
        if child.state == "INSTALLED":
            selectors = frozenset(child.local_subnets), frozenset(child.remote_subnets)
            kinds.setdefault(selectors, []).append(child)
    for equal in kinds.values():
        by_age = sorted(equal, key=lambda child: (child.installed_s, -int(child.unique_id)))
        for child in by_age[1:] if by_age[0].installed_s >= DUPLICATE_GRACE_S else ():
            cause = "a newer CHILD_SA of the same kind is up"
            yield EndChild(connection.name, child.unique_id, cause, goal="second child")


def _end_duplicate(connection: Connection, sa: IkeSa, cause: str) -> EndIke:
    return EndIke(connection.name, sa.unique_id, cause, carried=True, goal="duplicate")


def _superseded(connection: Connection, established: Sequence[IkeSa]) -> Sequence[IkeSa]:
    """Find IKE_SAs of which newer ones carry everything, and have settled."""
    by_age = sorted(established, key=lambda sa: (sa.established_s, -int(sa.unique_id)))
    found = []
    for number, sa in enumerate(by_age):
        newer = [other for other in by_age[:number] if other.established_s >= DUPLICATE_GRACE_S]
        if newer and _carry_all_of(connection, newer, sa):
            found.append(sa)
    return found


def _carry_all_of(connection: Connection, others: Iterable[IkeSa], sa: IkeSa) -> bool:
    """Tell whether the others' children as declared cover the selectors of this one's."""
    current = _current_children(connection, others)
    local = [subnet for child in current for subnet in child.local_subnets]
    remote = [subnet for child in current for subnet in child.remote_subnets]
    return bool(current) and all(
        not uncovered(child.local_subnets, local) and not uncovered(child.remote_subnets, remote)
        for child in sa.carrying_children
    )


def _serve_instead(
    connection: Connection, others: Iterable[IkeSa], children: Iterable[ChildSa]
) -> bool:
    """Tell whether the others' children serve those declared subnets that these children serve."""
    current = _current_children(connection, others)
    have = [subnet for child in current for subnet in child.remote_subnets]
    served = [subnet for child in children for subnet in child.remote_subnets]
    wanted = [subnet for subnet in connection.remote_subnets if not uncovered([subnet], served)]
    return bool(current) and not uncovered(wanted, have)


def _current_children(connection: Connection, sas: Iterable[IkeSa]) -> list[ChildSa]:
    return [c for sa in sas for c in sa.carrying_children if is_current(c, connection)]


def _settled(connection: Connection, sa: IkeSa) -> bool:
    current = [c for c in sa.carrying_children if is_current(c, connection)]
    return any(child.installed_s >= CHILD_SETTLE_S for child in current)


def _has_current(connection: Connection, sa: IkeSa) -> bool:
    return any(is_current(child, connection) for child in sa.carrying_children)


def is_current(child: ChildSa, connection: Connection) -> bool:
    """Compare only what a running SA depends on: the last part of the mark is for the next one."""
    have = mark_of_child(child.name)
    return (
        have is not None
        and have.ike in connection.ike_marks
        and have.child == connection.mark.child
    )


def _from_elsewhere(connection: Connection, sa: IkeSa) -> bool:
    declared = connection.remote_address
    return declared is not None and sa.remote_host not in ("", str(declared))


def look_again_s(connection: Connection, sas: Sequence[IkeSa]) -> float | None:
    """Return after how many seconds an old SA may have to end, as its successor has settled.

    None also if that should have happened long ago: then something else keeps it.
    """
    live = [sa for sa in sas if sa.carrying_children]
    carrying = [child for sa in live for child in sa.carrying_children]
    current = [child for child in carrying if is_current(child, connection)]
    newest_s = min((child.installed_s for child in current), default=DUPLICATE_GRACE_S)
    if len(live) > 1:
        newest_s = min(newest_s, *(sa.established_s for sa in live))
    if len(carrying) < 2 or newest_s >= DUPLICATE_GRACE_S:
        return None
    soon = len(current) < len(carrying) or newest_s < CHILD_SETTLE_S
    return _SOON_S if soon else float(DUPLICATE_GRACE_S - newest_s)
