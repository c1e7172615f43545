"""One look at charon, as values. Taken whole before anything is decided."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.core.model import IpNetwork

# A CHILD_SA carries packets in these states; REKEYED and DELETED ones linger without.
CARRYING_CHILD_STATES = frozenset({"INSTALLED", "REKEYING"})
LIVE_IKE_STATES = frozenset({"ESTABLISHED", "REKEYING", "REKEYED"})


@dataclass(frozen=True, slots=True)
class Algorithms:
    """What was negotiated, in charon's words; empty or 0: not told."""

    encryption: str = ""
    key_bits: int = 0
    integrity: str = ""
    prf: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True)
class ChildSa:
    """One CHILD_SA. Counters are those of this SA alone and begin anew at a rekey."""

    name: str
    unique_id: str
    state: str
    local_subnets: tuple[IpNetwork, ...] = ()
    remote_subnets: tuple[IpNetwork, ...] = ()
    received_bytes: int = 0
    sent_bytes: int = 0
    received_packets: int = 0
    sent_packets: int = 0
    installed_s: int = 0
    spi_in: str = ""
    algorithms: Algorithms = Algorithms()
    udp_encapsulated: bool = True

    @property
    def carrying(self) -> bool:
        """Whether packets pass."""
        return self.state in CARRYING_CHILD_STATES


@dataclass(frozen=True, slots=True)
class IkeSa:
    """One IKE_SA with its children.

    Attributes:
        established_s: seconds since it was established.
        nat_seen: charon found NAT on the way, or was told to act as if.
        tasks_active: what charon and the peer are at, such as CHILD_CREATE.
        tasks_queued: what comes after that.

    """

    name: str
    unique_id: str
    state: str
    remote_host: str = ""
    remote_port: int = 0
    remote_id: str = ""
    initiator: bool = False
    established_s: int = 0
    children: tuple[ChildSa, ...] = ()
    algorithms: Algorithms = Algorithms()
    nat_seen: bool = False
    tasks_active: tuple[str, ...] = ()
    tasks_queued: tuple[str, ...] = ()

    @property
    def live(self) -> bool:
        """Whether it is established: its children, if any, count."""
        return self.state in LIVE_IKE_STATES

    @property
    def carrying_children(self) -> tuple[ChildSa, ...]:
        """The children through which packets pass."""
        return tuple(child for child in self.children if child.carrying) if self.live else ()


@dataclass(frozen=True, slots=True)
class Daemon:
    """charon itself. `started_at`: unix seconds, give or take two; 0: not known."""

    version: str
    started_at: int
    data_plane: str
    workers_total: int
    workers_idle: int
    queued_jobs: int
    ike_sas: int
    half_open_ike_sas: int


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything in charon that concerns us.

    Attributes:
        connections: names of loaded connections and of their children; None where the children
            were not asked for, because the mark already answers for them.
        secret_ids: ids of all loaded secrets.
        algorithms: names from `get-algorithms`.
        remote_addresses: of the loaded connections, as far as they were asked for.

    """

    daemon: Daemon
    connections: Mapping[str, frozenset[str] | None]
    secret_ids: frozenset[str]
    sas: tuple[IkeSa, ...]
    algorithms: frozenset[str]
    remote_addresses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unobserved:
    """It was not possible to look. Nothing is planned from this, and nothing removed.

    `no_access`: the way to charon is barred, which says nothing of charon itself.
    """

    reason: str
    no_access: bool = False
