"""What earlier rounds knew: taken over from the status file and the journal at a start."""

import logging
from dataclasses import replace
from pathlib import Path

from reconciler.core.backoff import LONGEST_S, Attempts, Key
from reconciler.core.container import recall_healing
from reconciler.core.failures import FailureRecord, PastFailures
from reconciler.core.rotation import Answer
from reconciler.core.status import ConnectionStatus, Status
from reconciler.core.transitions import most_shown
from reconciler.edges.journal import Journal
from reconciler.edges.status_file import read_earlier
from reconciler.errors import StateError, StatusError
from reconciler.memory import Memory
from reconciler.world import Clock

log = logging.getLogger(__name__)


def recall(status_file: Path, clock: Clock) -> Memory:
    """Take over what the last status file remembers; one that can't be read is told and left."""
    try:
        status = read_earlier(status_file)
    except StatusError as error:
        log.warning("memory lost", extra={"fields": {"cause": str(error)}})
        return Memory(lost=f"times and back-off of earlier are forgotten: {error}")
    if status is None:
        return Memory()
    age_s = max(0, clock.now() - status.timestamp)
    return Memory(
        previous={name: _since_our_start(one) for name, one in status.connections.items()},
        record=FailureRecord(
            {name: _past_failures(one) for name, one in status.connections.items()},
            status.strangers,
        ),
        looked_s=clock.monotonic_s() - age_s,
        last_valid=status.configuration.last_valid,
        attempts=_attempts(status, clock),
        answers={
            name: Answer(connection.answered_mark, clock.monotonic_s())
            for name, connection in status.connections.items()
            if connection.answered_mark
        },
        healing=recall_healing(status.container, clock.monotonic_s(), clock.now()),
        tails={name: one.transitions for name, one in status.connections.items()},
    )


def _since_our_start(before: ConnectionStatus) -> ConnectionStatus:
    return before.model_copy(update={"establishments": 0})


def recall_history(journal: Journal | None, memory: Memory) -> Memory:
    """Take over the newest transitions from the journal, which knows more than the status file.

    Of what the last status no longer knew there is nothing to take over: it was removed.
    """
    if journal is None:
        return memory
    try:
        found = journal.recall(most_shown(len(memory.previous)))
    except StateError as error:
        log.warning("history not read", extra={"fields": {"cause": str(error)}})
        lost = "; ".join(filter(None, (memory.lost, f"earlier transitions: {error}")))
        return replace(memory, lost=lost)
    if memory.previous:
        found = {name: tail for name, tail in found.items() if name in memory.previous}
    tails = {
        name: found[name] if name in found and tail[-len(found[name]) :] != found[name] else tail
        for name, tail in {**found, **memory.tails}.items()
    }
    return replace(memory, tails=tails)


def _past_failures(before: ConnectionStatus) -> PastFailures:
    return PastFailures(before.last_failure, before.failures, before.last_error)


def _attempts(status: Status, clock: Clock) -> dict[Key, Attempts]:
    """Bring attempts back to our clock; no wait gets longer by a clock that was set."""
    now_s = clock.monotonic_s()
    return {
        (name, made.goal): Attempts(
            made_for=made.made_for,
            count=made.count,
            next_s=now_s + min(max(0, made.next_attempt - clock.now()), LONGEST_S),
            wanted_s=now_s,  # while nobody looked, nothing was reached
            made_at=made.last_attempt,
        )
        for name, connection in status.connections.items()
        for made in connection.attempts
    }
