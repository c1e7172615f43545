"""Everything the reconciler can do to charon, why it would, and what became of it.

An action with a `goal` is a remedy that may not help: it is counted by connection and goal, and
repeated with back-off only.
"""

from dataclasses import dataclass

from reconciler.core.render import Connection


@dataclass(frozen=True, slots=True)
class Load:
    """Load the connection, then its secret; then drop secrets under older marks."""

    connection: Connection
    cause: str
    outdated_secret_ids: tuple[str, ...] = ()
    goal: str = "load"

    @property
    def name(self) -> str:
        """Name of the connection."""
        return self.connection.name


@dataclass(frozen=True, slots=True)
class Remove:
    """Unload the connection, end its SAs, unload its secrets: no way back in at any point."""

    name: str
    secret_ids: tuple[str, ...]
    cause: str


@dataclass(frozen=True, slots=True)
class StartChild:
    """Initiate the CHILD_SA: over a live IKE_SA, or towards a declared address."""

    name: str
    child_name: str
    cause: str
    goal: str = ""


@dataclass(frozen=True, slots=True)
class Redial:
    """Initiate a new IKE_SA beside the old one, towards where its peer is seen now.

    It is negotiated under the present declaration, key included, which no rekeying is.
    """

    connection: Connection
    remote_host: str
    remote_port: int
    instead_of: str
    cause: str
    goal: str = ""

    @property
    def name(self) -> str:
        """Name of the connection."""
        return self.connection.name


@dataclass(frozen=True, slots=True)
class RekeyIke:
    """Renew the keys of one IKE_SA in place; its peers are not authenticated anew."""

    name: str
    unique_id: str
    cause: str
    goal: str = ""


@dataclass(frozen=True, slots=True)
class RekeyChild:
    """Renew one CHILD_SA in place."""

    name: str
    unique_id: str
    cause: str
    goal: str = ""


@dataclass(frozen=True, slots=True)
class EndChild:
    """Close one CHILD_SA, by unique id."""

    name: str
    unique_id: str
    cause: str
    goal: str = ""


@dataclass(frozen=True, slots=True)
class EndIke:
    """Close one IKE_SA, by unique id, so that the site dials in anew.

    `carried`: another IKE_SA carries the tunnel, so the site need not.
    """

    name: str
    unique_id: str
    cause: str
    carried: bool = False
    goal: str = ""


@dataclass(frozen=True, slots=True)
class DropSecret:
    """Unload a secret of ours that no declared connection uses under that mark."""

    name: str
    secret_id: str
    cause: str


@dataclass(frozen=True, slots=True)
class StartContainer:
    """Start charon's container."""

    name: str
    cause: str


@dataclass(frozen=True, slots=True)
class UnpauseContainer:
    """Let charon's container go on."""

    name: str
    cause: str


@dataclass(frozen=True, slots=True)
class RestartContainer:
    """End charon, by force if it doesn't end by itself, and start it anew."""

    name: str
    cause: str


@dataclass(frozen=True, slots=True)
class LoadFilter:
    """Put the packet filter in force as it is declared, whole and at once."""

    cause: str
    name: str = "packet filter"


Action = (
    Load | Remove | StartChild | Redial | RekeyIke | RekeyChild | EndChild | EndIke | DropSecret
)
ContainerAction = StartContainer | UnpauseContainer | RestartContainer
AnyAction = Action | ContainerAction | LoadFilter


def goal_of(action: AnyAction) -> str:
    """Name what the action is an attempt at; empty: it is never held back."""
    return getattr(action, "goal", "")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one action. No error: whoever was asked has accepted it.

    `unreachable`: it was not even asked.
    """

    action: AnyAction
    error: str | None = None
    unreachable: bool = False


def _under_way(name: str) -> str:
    # A responder may send on a new SA before the initiator has installed it (RFC 7296, 2.8).
    return f"{name} may lose what is under way just then, nobody else anything"


def impact(action: AnyAction) -> str:
    """Say who loses packets by this action, and for how long (row N5 of the mission)."""
    match action:
        case Load():
            return "nobody loses packets"
        case Remove():
            return f"{action.name} loses its tunnel for good; nobody else loses packets"
        case StartChild():
            return f"{_under_way(action.name)}: the new CHILD_SA comes up beside what is there"
        case Redial():
            return f"{_under_way(action.name)}: the new IKE_SA comes up beside what is there"
        case RekeyIke() | RekeyChild():
            return "nobody loses packets: the new keys come before the old ones go"
        case EndChild():
            return "nobody loses packets: a newer CHILD_SA carries them"
        case EndIke(carried=True):
            return "nobody loses packets: another IKE_SA carries them"
        case EndIke():
            return (
                f"{action.name} is cut until its site has dialled in again: seconds as a rule, "
                "at most until the site notices; nobody else loses packets"
            )
        case DropSecret():
            return "nobody loses packets"
        case StartContainer():
            return "nobody loses packets: no tunnel is up without it"
        case UnpauseContainer():
            return "nobody loses packets: none pass while it is paused"
        case LoadFilter():
            return "nobody loses packets: open connections go on"
        case RestartContainer():
            return "every tunnel is cut until its site has dialled in again"
