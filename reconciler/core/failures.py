"""What is remembered of failures: the last one and a count of each connection, and the strangers.

A stranger is a peer that fits no declared tunnel. What it says of itself is not proved, and its
address may be forged; so it takes a place in a short list, and nothing else.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field

from reconciler.core.reasons import MEANINGS, Code, Failure
from reconciler.core.render import Connection

MOST_STRANGERS = 50
_MOST_OF_ONE_ADDRESS = 5
_STRANGERS_KEPT_S = 86_400
# A failure that is known to be of a connection is not hidden by one that only may be.
_CERTAIN_FOR_S = 300


class LastFailure(BaseModel):
    """The last failure of one connection. Words and identities are as the site sent them."""

    model_config = ConfigDict(frozen=True)

    code: Code
    at: int
    words: str = Field(description="charon's own.")
    remote_address: str = ""
    claimed_id: str = Field("", description="How the peer calls itself; not proved.")
    asked_id: str = Field("", description="How the peer calls the hub.")
    certain: bool = Field(
        True, description="False: only its address says that it was this connection's site."
    )


class Stranger(BaseModel):
    """A peer that fits no declared tunnel."""

    model_config = ConfigDict(frozen=True)

    remote_address: str
    claimed_id: str = Field(description="How it calls itself; empty: it did not come that far.")
    code: Code = Field(description="Of its last attempt.")
    words: str = Field(description="charon's own, about its last attempt.")
    count: int
    first_seen: int
    last_seen: int


@dataclass(frozen=True, slots=True)
class PastFailures:
    """What is remembered of one connection.

    Attributes:
        last: the last failure since it was up.
        counts: how many failures there were, by code.
        error: charon's last words about an attempt, or why it refused a request of ours.

    """

    last: LastFailure | None = None
    counts: Mapping[Code, int] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True, slots=True)
class FailureRecord:
    """What is remembered of all failures."""

    by_connection: Mapping[str, PastFailures] = field(default_factory=dict)
    strangers: tuple[Stranger, ...] = ()

    def of(self, name: str) -> PastFailures:
        """Return what is remembered of one connection."""
        return self.by_connection.get(name, PastFailures())

    def restrict(self, names: Iterable[str]) -> "FailureRecord":
        """Forget every other connection."""
        kept = {name: self.by_connection[name] for name in names if name in self.by_connection}
        return replace(self, by_connection=kept)

    def refused(self, name: str, error: str) -> "FailureRecord":
        """Remember why charon refused a request of ours."""
        past = replace(self.of(name), error=error)
        return replace(self, by_connection={**self.by_connection, name: past})

    def closed_by_hub(self, name: str, cause: str, now: int) -> "FailureRecord":
        """Remember that we closed the tunnel ourselves; that is no failure."""
        last = LastFailure(code=Code.CLOSED_BY_HUB, at=now, words=cause)
        past = replace(self.of(name), last=last)
        return replace(self, by_connection={**self.by_connection, name: past})

    def recovered(self, names: Iterable[str]) -> "FailureRecord":
        """Forget the last failure of those that are up; the counts stay."""
        up = {
            name: PastFailures(counts=self.by_connection[name].counts)
            for name in names
            if name in self.by_connection
            and (self.by_connection[name].last or self.by_connection[name].error)
        }
        return replace(self, by_connection={**self.by_connection, **up}) if up else self


class Whereabouts(Protocol):
    """How a connection was when it was last seen."""

    @property
    def status(self) -> str:
        """Whether it was up."""

    @property
    def last_remote_address(self) -> str:
        """Where its site was."""


@dataclass(frozen=True, slots=True)
class Now:
    """The same moment on both clocks: unix seconds, and seconds that never jump."""

    unix: int
    monotonic_s: float

    def unix_of(self, monotonic_s: float) -> int:
        """Return the unix time of a moment on the monotonic clock."""
        return self.unix - max(0, round(self.monotonic_s - monotonic_s))


def record(
    before: FailureRecord,
    failures: Iterable[Failure],
    desired: Mapping[str, Connection],
    before_it: Mapping[str, Whereabouts],
    now: Now,
) -> FailureRecord:
    """Add new failures. `before_it`: how each connection was when last seen."""
    failures = tuple(failures)
    if not failures and not before.strangers:
        return before
    by_connection, strangers = dict(before.by_connection), {_key(s): s for s in before.strangers}
    find = _Finder(desired, before_it)
    for failure in failures:
        name, certain = find.connection_of(failure)
        at = now.unix_of(failure.at_s)
        if name:
            by_connection[name] = _add(
                by_connection.get(name, PastFailures()), failure, at, certain=certain
            )
        if not certain:
            _add_stranger(strangers, failure, at)
    declared = {connection.remote_id.lower() for connection in desired.values()}
    kept = (
        stranger
        for stranger in strangers.values()
        if now.unix - stranger.last_seen < _STRANGERS_KEPT_S
        and stranger.claimed_id.lower() not in declared
    )
    return FailureRecord(by_connection, tuple(kept)[-MOST_STRANGERS:])


class _Finder:
    """Finds whose attempt a failure was. Its tables are made when they are first needed."""

    def __init__(
        self, desired: Mapping[str, Connection], before_it: Mapping[str, Whereabouts]
    ) -> None:
        self._desired = desired
        self._before_it = before_it
        self._by_id: dict[str, str] | None = None
        self._by_address: dict[str, set[str]] = {}

    def connection_of(self, failure: Failure) -> tuple[str, bool]:
        """Return the connection's name, if one can be told, and whether that is certain.

        charon's own word is certain. So is the identity, as far as it goes: anybody may claim it,
        but no other tunnel is meant. Of an address we only know who was there last.
        """
        if failure.connection:
            return failure.connection if failure.connection in self._desired else "", True
        if self._by_id is None:
            self._by_id = {one.remote_id.lower(): name for name, one in self._desired.items()}
            for name, one in self._desired.items():
                for address in self._addresses(name, one):
                    self._by_address.setdefault(address, set()).add(name)
        if failure.claimed_id:
            name = self._by_id.get(failure.claimed_id.lower(), "")
            return name, bool(name)
        names = self._by_address.get(failure.remote_address, set())
        return next(iter(names)) if len(names) == 1 else "", False

    def _addresses(self, name: str, connection: Connection) -> set[str]:
        """Where a tunnel's site may call from, unless it is up: then the call is another's."""
        seen = self._before_it.get(name)
        if seen is not None and seen.status == "up":
            return set()
        addresses = {seen.last_remote_address} if seen is not None else set()
        if connection.remote_address is not None:
            addresses.add(str(connection.remote_address))
        return addresses - {""}


def _add(before: PastFailures, failure: Failure, at: int, *, certain: bool) -> PastFailures:
    counts = Counter(before.counts)
    if MEANINGS[failure.code].counts:
        counts[failure.code] += 1
    last = before.last
    if not certain and last and last.certain and at - last.at < _CERTAIN_FOR_S:
        return replace(before, counts=dict(counts))
    last = LastFailure(
        code=failure.code,
        at=at,
        words=failure.words,
        remote_address=failure.remote_address,
        claimed_id=failure.claimed_id,
        asked_id=failure.asked_id,
        certain=certain,
    )
    return PastFailures(last, dict(counts), failure.words)


def _key(stranger: Stranger) -> tuple[str, str]:
    return stranger.remote_address, stranger.claimed_id


def _add_stranger(strangers: dict[tuple[str, str], Stranger], failure: Failure, at: int) -> None:
    """Put it last; the first ones are the oldest."""
    key = (failure.remote_address, failure.claimed_id)
    before = strangers.pop(key, None)
    strangers[key] = Stranger(
        remote_address=failure.remote_address,
        claimed_id=failure.claimed_id,
        code=failure.code,
        words=failure.words,
        count=before.count + 1 if before else 1,
        first_seen=before.first_seen if before else at,
        last_seen=at,
    )
    same = [key for key in strangers if key[0] == failure.remote_address]
    for superfluous in same[:-_MOST_OF_ONE_ADDRESS]:
        del strangers[superfluous]
    for superfluous in list(strangers)[:-MOST_STRANGERS]:
        del strangers[superfluous]
