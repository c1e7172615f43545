"""The whole decision of the reconciler: which actions turn observed into desired.

Safety first: a connection without our mark is somebody else's and is never touched. The plan may
hold several actions for one connection (load it, then end what runs under the old declaration);
their order in the list is the order in which they are to be carried out.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from reconciler.core.actions import (
    Action,
    DropSecret,
    EndChild,
    EndIke,
    Load,
    Remove,
    StartChild,
)
from reconciler.core.observed import ChildSa, IkeSa, Observed
from reconciler.core.render import Connection, Mark, mark_of_child, mark_of_secret

# A site may create its CHILD_SA a moment after the IKE_SA; only then is it missing.
CHILD_GRACE_S = 5
# What is under way on the old CHILD_SA must arrive before it ends; charon counts whole seconds.
CHILD_SETTLE_S = 2
# While a peer re-authenticates make-before-break, two IKE_SAs of one name are right for a moment.
DUPLICATE_GRACE_S = 10


@dataclass(frozen=True, slots=True)
class Known:
    """What charon has under one name."""

    loaded: bool
    children: frozenset[str] | None
    secrets: Mapping[str, Mark]
    sas: tuple[IkeSa, ...]

    @property
    def ours(self) -> bool:
        """Whether a mark of ours is on the secret or on a child of the connection."""
        return bool(self.secrets) or any(map(mark_of_child, self.children or ()))

    @property
    def foreign(self) -> bool:
        """Loaded, but by somebody else."""
        return self.loaded and not self.ours


def known_by_name(observed: Observed) -> dict[str, Known]:
    """Sort what was observed by connection name."""
    secrets: dict[str, dict[str, Mark]] = {}
    for secret_id in observed.secret_ids:
        found = mark_of_secret(secret_id)
        if found is not None:
            secrets.setdefault(found[0], {})[secret_id] = found[1]
    sas: dict[str, list[IkeSa]] = {}
    for sa in observed.sas:
        sas.setdefault(sa.name, []).append(sa)
    return {
        name: Known(
            loaded=name in observed.connections,
            children=observed.connections.get(name),
            secrets=secrets.get(name, {}),
            sas=tuple(sas.get(name, ())),
        )
        for name in sorted(observed.connections.keys() | secrets.keys() | sas.keys())
    }


def diff(
    desired: Mapping[str, Connection],
    observed: Observed,
    failed_starts: Mapping[str, int] | None = None,
) -> list[Action]:
    """Plan what makes charon match. Removals first, so that freed subnets can be used again.

    `failed_starts`: how often a CHILD_SA of that connection was asked for in vain.
    """
    known = known_by_name(observed)
    removals: list[Action] = []
    others: list[Action] = []
    for name in sorted(desired.keys() | known.keys()):
        have = known.get(name, Known(False, None, {}, ()))
        connection = desired.get(name)
        if connection is None:
            removals += _withdraw(name, have)
        elif have.foreign:
            continue  # never touched; the status names the clash
        else:
            others += _load(connection, have)
            others += _sa_actions(connection, have.sas, (failed_starts or {}).get(name, 0))
    return removals + others


def _withdraw(name: str, have: Known) -> Iterable[Action]:
    if have.ours:
        yield Remove(name, tuple(sorted(have.secrets)), "no longer declared")
        return
    for sa in have.sas:
        if sa.state != "DELETING" and any(mark_of_child(child.name) for child in sa.children):
            yield EndIke(name, sa.unique_id, "left over from a removed connection")


def _load(connection: Connection, have: Known) -> Iterable[Action]:
    """Load what is missing or different; an unchanged connection is never loaded again."""
    cause = _load_cause(connection, have)
    if cause is not None:
        others = sorted(have.secrets.keys() - {connection.secret_id})
        yield Load(connection, cause, tuple(others))
        return
    # One secret under the present mark is kept, whoever loaded it: charon at its start, or we.
    present = [id_ for id_, mark in have.secrets.items() if mark == connection.mark]
    keep = connection.secret_id if connection.secret_id in present else present[0]
    for secret_id in sorted(have.secrets.keys() - {keep}):
        yield DropSecret(connection.name, secret_id, "a second secret was left over")


def _load_cause(connection: Connection, have: Known) -> str | None:
    current = connection.mark in have.secrets.values()
    if not have.loaded:
        return "unloaded behind our back" if have.secrets else "not loaded"
    if not have.secrets:
        return "only half loaded"
    if not current:
        return f"declaration changed: {_what_changed(connection.mark, have.secrets.values())}"
    if have.children is not None and have.children != {connection.child_name}:
        return "edited behind our back"
    return None


def _what_changed(mark: Mark, before: Iterable[Mark]) -> str:
    old = next(iter(sorted(before, key=str)))
    parts = [
        ("identities or key", old.ike != mark.ike),
        ("selectors or ESP settings", old.child != mark.child),
        ("proposal list, address or timers", old.later != mark.later),
    ]
    return ", ".join(text for text, changed in parts if changed)


def _sa_actions(
    connection: Connection, sas: tuple[IkeSa, ...], failed_starts: int
) -> Iterable[Action]:
    established = [sa for sa in sas if sa.state == "ESTABLISHED"]
    superseded = _superseded(connection, established)
    carried = any(_has_current(connection, sa) for sa in established)
    starts: list[Action] = []
    for sa in established:
        if sa in superseded:
            yield EndIke(connection.name, sa.unique_id, "replaced by a newer IKE_SA", carried=True)
            continue
        for action in _one_sa(connection, sa, failed_starts, carried=carried):
            if isinstance(action, StartChild):
                starts.append(action)
            else:
                yield action
    if not sas and connection.remote_address is not None:
        starts = [StartChild(connection.name, connection.child_name, "its address is declared")]
    yield from starts[:1]


def _one_sa(
    connection: Connection, sa: IkeSa, failed_starts: int, *, carried: bool
) -> Iterable[Action]:
    """Bring one IKE_SA to the declaration, without losing packets where that is possible.

    `carried`: this or another IKE_SA of the name has a CHILD_SA as declared.
    """
    name, children = connection.name, sa.carrying_children
    outdated = [child for child in children if not _is_current(child, connection.mark)]
    marks = [mark_of_child(child.name) for child in children]
    if not children:
        if sa.established_s < CHILD_GRACE_S:
            return
        if carried:
            yield EndIke(name, sa.unique_id, "another IKE_SA carries the tunnel", carried=True)
        else:
            yield StartChild(name, connection.child_name, "IKE_SA without CHILD_SA")
    elif any(mark is None or mark.ike != connection.mark.ike for mark in marks):
        yield EndIke(name, sa.unique_id, "negotiated before the identities or the key changed")
    elif _from_elsewhere(connection, sa):
        yield EndIke(name, sa.unique_id, "its peer is not at the declared address")
    elif outdated and _has_current(connection, sa):
        for child in outdated if _settled(connection, sa) else ():
            yield EndChild(name, child.unique_id, "a CHILD_SA with the new settings is up")
    elif outdated and carried:
        yield EndIke(name, sa.unique_id, "another IKE_SA carries the new settings", carried=True)
    elif outdated and (failed_starts or _built_on_other_settings(outdated, connection.mark)):
        # charon can't start a child over an IKE_SA whose connection differs from the loaded one.
        yield EndIke(name, sa.unique_id, "the new selectors or ESP settings can't be had in place")
    elif outdated:
        yield StartChild(name, connection.child_name, "selectors or ESP settings changed")


def _settled(connection: Connection, sa: IkeSa) -> bool:
    current = [c for c in sa.carrying_children if _is_current(c, connection.mark)]
    return any(child.installed_s >= CHILD_SETTLE_S for child in current)


def settling(desired: Mapping[str, Connection], observed: Observed) -> bool:
    """Tell whether some old CHILD_SA will have to end as soon as its successor has settled."""
    return any(
        sa.name in desired
        and _has_current(desired[sa.name], sa)
        and not all(_is_current(child, desired[sa.name].mark) for child in sa.carrying_children)
        for sa in observed.sas
    )


def _from_elsewhere(connection: Connection, sa: IkeSa) -> bool:
    declared = connection.remote_address
    return declared is not None and sa.remote_host not in ("", str(declared))


def _has_current(connection: Connection, sa: IkeSa) -> bool:
    return any(_is_current(child, connection.mark) for child in sa.carrying_children)


def _is_current(child: ChildSa, mark: Mark) -> bool:
    """Compare only what a running SA depends on: the last part is for the next one."""
    have = mark_of_child(child.name)
    return have is not None and (have.ike, have.child) == (mark.ike, mark.child)


def _built_on_other_settings(children: Iterable[ChildSa], mark: Mark) -> bool:
    return any(
        (have := mark_of_child(child.name)) is not None and have.later != mark.later
        for child in children
    )


def _superseded(connection: Connection, established: list[IkeSa]) -> list[IkeSa]:
    """Find older IKE_SAs of the same name, once the newest carries packets and has settled."""
    by_age = sorted(established, key=lambda sa: (sa.established_s, -int(sa.unique_id)))
    if not by_age or by_age[0].established_s < DUPLICATE_GRACE_S:
        return []
    return by_age[1:] if _has_current(connection, by_age[0]) else []
