"""Everything outside that a round touches, in one value, so that a test can put in its own."""

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from reconciler.core.actions import ContainerAction
from reconciler.core.check import Fault
from reconciler.core.mask import Mask
from reconciler.core.model import IpNetwork
from reconciler.core.names import Resolution
from reconciler.core.probing import Key, Probe, ProbeRecord
from reconciler.core.reasons import Failure
from reconciler.core.status import ContainerStatus, Status
from reconciler.core.tally import EndedChild
from reconciler.edges.journal import Journal
from reconciler.edges.state import State
from reconciler.ports import Filter, Ike
from reconciler.settings import Settings

_NO_NAMES: Mapping[str, Resolution] = {}
# All tunnels of a large hub may end at once.
_MOST_ENDED = 20_000


class Clock:
    """Real time."""

    def now(self) -> int:
        """Unix seconds, for people."""
        return int(time.time())

    def monotonic_s(self) -> float:
        """Seconds that never jump, for intervals."""
        return time.monotonic()


class Evidence:
    """What charon told of failures and ends; filled by the event thread, emptied by the rounds.

    Bounded, and strangers have a place of their own: a flood of them pushes out nothing else.
    `deaf`: why charon's log is not listened to, if so. `heard_s`: when it told anything last.
    """

    def __init__(self) -> None:
        self.deaf = ""
        self.heard_s = float("-inf")
        self._lock = threading.Lock()
        self._of_connections: deque[Failure] = deque(maxlen=1000)
        self._of_strangers: deque[Failure] = deque(maxlen=200)
        self._ended: deque[EndedChild] = deque(maxlen=_MOST_ENDED)

    def note(self, failure: Failure) -> None:
        """Keep one failure."""
        with self._lock:
            where = self._of_connections if failure.connection else self._of_strangers
            where.append(failure)

    def note_life(self) -> None:
        """Note that charon has told something just now."""
        self.heard_s = time.monotonic()

    def take(self) -> tuple[Failure, ...]:
        """Hand over what was noted since the last call, in order of time."""
        with self._lock:
            taken = [*self._of_connections, *self._of_strangers]
            self._of_connections.clear()
            self._of_strangers.clear()
        return tuple(sorted(taken, key=lambda failure: failure.at_s))

    def note_ended(self, child: EndedChild) -> None:
        """Keep the last word about one CHILD_SA."""
        with self._lock:
            self._ended.append(child)

    def take_ended(self) -> tuple[EndedChild, ...]:
        """Hand over the CHILD_SAs that ended since the last call."""
        with self._lock:
            taken = tuple(self._ended)
            self._ended.clear()
        return taken


@dataclass(frozen=True, slots=True)
class World:
    """The ports of a round. Each callable may raise what its edge documents.

    Attributes:
        filter: None: packets are not filtered by us, or not looked after.
        names: takes host names that are to be looked up, and returns what is known of them.
        heard_s: when charon told anything last of its own accord (seconds, monotonic).
        probe: takes what is to be probed from now on; None: nobody probes here.
        probed: returns the results so far.
        why_not_probed: says why the prober does not turn; empty if it does.
        journal: where transitions are written; None: only who keeps the hub writes them.
        hide: whatever else is said from now on, keep these keys out of it.

    """

    settings: Settings
    ike: Ike
    state: State
    read_document: Callable[[], object]
    write_status: Callable[[Status], None]
    read_hub_networks: Callable[[], Mapping[str, IpNetwork]] = dict
    observe_container: Callable[[], ContainerStatus | None] = lambda: None
    mend_container: Callable[[ContainerAction], None] = lambda _: None
    mount_faults: Callable[[], tuple[Fault, ...]] = tuple
    take_failures: Callable[[], tuple[Failure, ...]] = tuple
    take_ended: Callable[[], tuple[EndedChild, ...]] = tuple
    why_deaf: Callable[[], str] = str
    heard_s: Callable[[], float] = lambda: float("-inf")
    filter: Filter | None = None
    names: Callable[[Collection[str]], Mapping[str, Resolution]] = lambda _: _NO_NAMES
    probe: Callable[[Mapping[Key, Probe]], None] | None = None
    probed: Callable[[], Mapping[Key, ProbeRecord]] = dict
    why_not_probed: Callable[[], str] = str
    stopping: Callable[[], bool] = lambda: False
    time_zones: frozenset[str] = frozenset()
    jitter: Callable[[], float] = random.random
    clock: Clock = field(default_factory=Clock)
    journal: Journal | None = None
    hide: Callable[[Mask], None] = lambda _: None
