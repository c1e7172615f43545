"""Everything outside that a round touches, in one value, so that a test can put in its own."""

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from reconciler.core.actions import ContainerAction
from reconciler.core.check import Fault
from reconciler.core.model import IpNetwork
from reconciler.core.status import ContainerStatus, Status
from reconciler.edges.state import State
from reconciler.ports import Ike
from reconciler.settings import Settings


class Clock:
    """Real time."""

    def now(self) -> int:
        """Unix seconds, for people."""
        return int(time.time())

    def monotonic_s(self) -> float:
        """Seconds that never jump, for intervals."""
        return time.monotonic()


class Failures:
    """What charon last said about failed attempts, by connection; filled by the event thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._words: dict[str, str] = {}

    def note(self, name: str, words: str) -> None:
        """Keep the last words about one connection."""
        with self._lock:
            self._words[name] = words

    def take(self) -> dict[str, str]:
        """Hand over what was noted since the last call."""
        with self._lock:
            words, self._words = self._words, {}
        return words


@dataclass(frozen=True, slots=True)
class World:
    """The ports of a round. Each callable may raise what its edge documents."""

    settings: Settings
    ike: Ike
    state: State
    read_document: Callable[[], object]
    write_status: Callable[[Status], None]
    read_hub_networks: Callable[[], Mapping[str, IpNetwork]] = dict
    observe_container: Callable[[], ContainerStatus | None] = lambda: None
    mend_container: Callable[[ContainerAction], None] = lambda _: None
    mount_faults: Callable[[], tuple[Fault, ...]] = tuple
    take_failures: Callable[[], Mapping[str, str]] = dict
    stopping: Callable[[], bool] = lambda: False
    jitter: Callable[[], float] = random.random
    clock: Clock = field(default_factory=Clock)
