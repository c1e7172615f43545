"""What wakes the loop: reasons gathered from any thread, handed over together."""

import threading
import time

SETTLE_S = 0.1


class Wakes:
    """A set of reasons that fills while the loop works."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._reasons: set[str] = set()

    def wake(self, reason: str) -> None:
        """Add a reason. Safe from any thread."""
        with self._condition:
            self._reasons.add(reason)
            self._condition.notify()

    def wait(self, timeout_s: float) -> frozenset[str]:
        """Return the reasons gathered, or `timer` after the time-out.

        A moment more is given for others to join, so that a burst makes one round.
        """
        with self._condition:
            woken = self._condition.wait_for(lambda: bool(self._reasons), max(0.0, timeout_s))
        if not woken:
            return frozenset({"timer"})
        time.sleep(SETTLE_S)
        return self.take()

    def take(self) -> frozenset[str]:
        """Return the reasons gathered so far, without waiting."""
        with self._condition:
            reasons, self._reasons = frozenset(self._reasons), set()
        return reasons
