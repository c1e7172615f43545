"""The whole decision of the reconciler: which actions turn observed into desired.

Safety first: a connection without our mark is somebody else's and is never touched. The plan may
hold several actions for one connection (load it, then end what runs under the old declaration);
their order in the list is the order in which they are to be carried out.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from reconciler.core import ladder
from reconciler.core.actions import Action, DropSecret, EndIke, Load, Remove
from reconciler.core.ladder import Circumstances
from reconciler.core.observed import IkeSa, Observed
from reconciler.core.render import Connection, Mark, is_spare, mark_of_child, mark_of_secret

_NOTHING_KNOWN = Circumstances()


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
    circumstances: Mapping[str, Circumstances] | None = None,
    paused: Collection[str] = (),
) -> list[Action]:
    """Plan what makes charon match. Removals first, so that freed subnets can be used again.

    `circumstances`: by connection, what the ladder of remedies is to know. `paused`: declared
    connections that are to be left as they are.
    """
    known = known_by_name(observed)
    removals: list[Action] = []
    others: list[Action] = []
    for name in sorted(desired.keys() | known.keys()):
        have = known.get(name, Known(False, None, {}, ()))
        connection = desired.get(name)
        if connection is None:
            removals += _withdraw(name, have)
        elif have.foreign or name in paused:
            continue  # never touched; the status names the clash or the pause
        else:
            others += _load(connection, have, observed.remote_addresses.get(name))
            given = (circumstances or {}).get(name, _NOTHING_KNOWN)
            others += ladder.remedies(connection, have.sas, given)
    return removals + others


def _withdraw(name: str, have: Known) -> Iterable[Action]:
    if have.ours:
        yield Remove(name, tuple(sorted(have.secrets)), "no longer declared")
        return
    for sa in have.sas:
        if sa.state != "DELETING" and any(mark_of_child(child.name) for child in sa.children):
            yield EndIke(name, sa.unique_id, "left over from a removed connection")


def _load(
    connection: Connection, have: Known, remote_addresses: tuple[str, ...] | None
) -> Iterable[Action]:
    """Load what is missing or different; an unchanged connection is never loaded again."""
    cause = _load_cause(connection, have, remote_addresses)
    if cause is not None:
        wanted = {connection.secret_id, connection.spare_secret_id}
        yield Load(connection, cause, tuple(sorted(have.secrets.keys() - wanted)))
        return
    keep = {_kept(connection, have, spare=False), _kept(connection, have, spare=True)}
    for secret_id in sorted(have.secrets.keys() - keep):
        yield DropSecret(connection.name, secret_id, "a second secret was left over")


def _kept(connection: Connection, have: Known, *, spare: bool) -> str | None:
    """Keep one secret under the present mark, whoever loaded it: charon at its start, or we."""
    if spare and connection.spare_psk is None:
        return None
    ours = connection.spare_secret_id if spare else connection.secret_id
    present = [
        id_
        for id_, mark in have.secrets.items()
        if mark == connection.mark and is_spare(id_) is spare
    ]
    return ours if ours in present else next(iter(sorted(present)), None)


def _load_cause(
    connection: Connection, have: Known, remote_addresses: tuple[str, ...] | None
) -> str | None:
    if not have.loaded:
        return "unloaded behind our back" if have.secrets else "not loaded"
    if not have.secrets:
        return "only half loaded"
    if connection.mark not in have.secrets.values():
        return f"declaration changed: {_what_changed(connection.mark, have.secrets.values())}"
    if _kept(connection, have, spare=False) is None:
        return "only half loaded"
    if connection.spare_psk is not None and _kept(connection, have, spare=True) is None:
        return "its next key was unloaded behind our back"
    if have.children is not None and have.children != {connection.child_name}:
        return "edited behind our back"
    if remote_addresses is not None and remote_addresses != connection.remote_addresses:
        return "its peer's address was left as it was for one attempt"
    return None


def _what_changed(mark: Mark, before: Iterable[Mark]) -> str:
    old = next(iter(sorted(before, key=str)))
    parts = [
        ("identities or key", old.ike != mark.ike),
        ("selectors or ESP settings", old.child != mark.child),
        ("proposal list, address or timers", old.later != mark.later),
    ]
    return ", ".join(text for text, changed in parts if changed)


def look_again_s(
    desired: Mapping[str, Connection], observed: Observed, paused: Collection[str] = ()
) -> float | None:
    """Return after how many seconds some old SA may have to end; None: none will have to."""
    sas: dict[str, list[IkeSa]] = {}
    for sa in observed.sas:
        if sa.name in desired and sa.name not in paused:
            sas.setdefault(sa.name, []).append(sa)
    waits_s = (ladder.look_again_s(desired[name], of_name) for name, of_name in sas.items())
    return min((wait_s for wait_s in waits_s if wait_s is not None), default=None)
