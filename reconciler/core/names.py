"""What is known of a host name: its addresses, for how long, and what to believe meanwhile.

An answer is believed for as long as its TTL says. While the resolver does not answer, the last
addresses are believed for an hour more, and that is said. "There is no such name" is an answer.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from reconciler.core.model import IpAddress

# A TTL of 0 is common; nobody is asked more often than this for all that.
SHORTEST_TTL_S = 5.0
LONGEST_TTL_S = 3600.0
LONGEST_NEGATIVE_TTL_S = 300.0
# So long the last good answer is believed while the resolver is down.
BELIEVED_S = 3600.0
MOST_ADDRESSES = 64
_FIRST_RETRY_S, _LONGEST_RETRY_S = 5.0, 60.0


@dataclass(frozen=True, slots=True)
class Lookup:
    """What one question brought: addresses; none, and why; or a failure to get an answer.

    Attributes:
        absent: why there is no address, as an answer: the name does not exist, or has none.
        failure: why there is no answer.

    """

    addresses: tuple[IpAddress, ...] = ()
    ttl_s: float = 0.0
    absent: str = ""
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Resolution:
    """What is known of one name. Times on the monotonic clock.

    Attributes:
        absent: the last answer was that there is no address.
        failure: the last question was not answered, for this reason.
        answered_s: when there was last an answer; None: never.
        due_s: when to ask again.
        failures: unanswered questions in a row.

    """

    addresses: tuple[IpAddress, ...] = ()
    absent: str = ""
    failure: str = ""
    answered_s: float | None = None
    due_s: float = 0.0
    failures: int = 0

    def is_stale(self, now_s: float) -> bool:
        """Whether what is known is too old to be believed."""
        return self.answered_s is None or (
            bool(self.failure) and now_s - self.answered_s > BELIEVED_S
        )


def after(
    before: Resolution | None, found: Lookup, now_s: float, jitter: Callable[[], float]
) -> Resolution:
    """Take over what a question brought. `jitter` gives [0, 1)."""
    if found.failure:
        before = before or Resolution()
        failures = before.failures + 1
        pause_s = min(_FIRST_RETRY_S * 2 ** min(failures - 1, 10), _LONGEST_RETRY_S)
        due_s = now_s + pause_s * (0.75 + jitter() / 2)
        kept = replace(before, failure=found.failure, failures=failures, due_s=due_s)
        return replace(kept, addresses=(), absent="") if kept.is_stale(now_s) else kept
    longest_s = LONGEST_NEGATIVE_TTL_S if found.absent else LONGEST_TTL_S
    due_s = now_s + min(max(found.ttl_s, SHORTEST_TTL_S), longest_s)
    addresses = tuple(sorted(set(found.addresses), key=lambda one: (one.version, int(one))))
    return Resolution(addresses[:MOST_ADDRESSES], found.absent, "", now_s, due_s)
