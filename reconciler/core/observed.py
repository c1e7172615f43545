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

    def __str__(self) -> str:
        """Write it as charon does: AES_GCM_16-256/PRF_HMAC_SHA2_256/MODP_2048."""
        size = f"-{self.key_bits}" if self.encryption and self.key_bits else ""
        parts = (self.encryption + size, self.integrity, self.prf, self.group)
        return "/".join(filter(None, parts))


@dataclass(frozen=True, slots=True)
class ChildSa:
    """One CHILD_SA. Counters are those of this SA alone and begin anew at a rekey.

    Attributes:
        received_s: seconds since something was last received through it; None: nothing was.
        expires_s: seconds until it ends unless it is renewed before; 0: not known.

    """

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
    received_s: int | None = None
    expires_s: int = 0

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
        spi: chosen by chance by whoever dialled; unlike the unique id, never used again.

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
    spi: str = ""

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
    """charon itself.

    Attributes:
        started_at: unix seconds, give or take two; 0: not known.
        scheduled_jobs: what is to be done at a later time.
        workers_active, queues: busy threads, and jobs that wait for one, by priority.

    """

    version: str
    started_at: int
    data_plane: str
    workers_total: int
    workers_idle: int
    queued_jobs: int
    ike_sas: int
    half_open_ike_sas: int
    scheduled_jobs: int = 0
    workers_active: Mapping[str, int] = field(default_factory=dict)
    queues: Mapping[str, int] = field(default_factory=dict)


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
    `late`: it took the question and did not answer, as a busy one does, and a hung one.
    """

    reason: str
    no_access: bool = False
    late: bool = False
