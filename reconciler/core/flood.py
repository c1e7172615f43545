"""Whether charon says more than should be listened to.

Anybody who sends packets makes charon talk, five lines a packet, and it keeps without bound what is
not read yet.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is listened to, and how long not after more than that.

    The mean counts, so that some hundred sites may dial at once. It is far below what can be read:
    on a machine that is short of time, little of a flood arrives here, and charon keeps the rest.
    """

    most_a_second: int = 1000
    window_s: float = 10.0
    quiet_s: float = 60.0


class Flood:
    """Counts the events of one connection to charon."""

    def __init__(self, limits: Limits, now_s: float) -> None:
        self._limits = limits
        self._began_s = now_s
        self._count = 0

    def swells(self, now_s: float) -> bool:
        """Count an event; tell whether this is too much."""
        if now_s - self._began_s >= self._limits.window_s:
            self._began_s, self._count = now_s, 0
        self._count += 1
        return self._count > self._limits.most_a_second * self._limits.window_s
