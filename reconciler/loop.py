"""The loop: wait for a reason, make a round, tell about it; survive what fails and say so."""

import logging
import threading
import time
from dataclasses import replace
from pathlib import Path

from reconciler.core.backoff import LONGEST_S, Attempts, Key, delay_s
from reconciler.core.container import recall_healing
from reconciler.core.failures import FailureRecord, PastFailures
from reconciler.core.observed import Unobserved
from reconciler.core.rotation import Answer
from reconciler.core.status import ConnectionStatus, Status
from reconciler.core.transitions import most_shown
from reconciler.edges import http
from reconciler.edges.journal import Journal
from reconciler.edges.metrics import Metrics
from reconciler.edges.status_file import read_earlier
from reconciler.errors import StateError, StatusError
from reconciler.look import Memory
from reconciler.round import SHALLOW_REASONS, Report, run_round
from reconciler.wakes import Wakes
from reconciler.world import Clock, World

log = logging.getLogger(__name__)
# The timer fires early enough that a status is never older than the resync interval.
# 21 of 30 s; then charon may take 5 s to be called unreachable, and Docker 2 s.
_TIMER_SHARE = 0.7
# An event about SAs, or a failed attempt of some stranger, makes a round a second at most.
_CALM_S = 1.0
_LONGEST_PAUSE_S = 60.0
_UNREACHABLE_PAUSE_S = 2.0
_STANDING_BY = "standing by: another reconciler keeps this hub"


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


class Health:
    """What /healthz and /readyz answer. Set by the loop, read by the HTTP threads."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._last_turn_s = time.monotonic()
        self._failure = ""
        self._ready = False
        self._standing_by = False

    def waited(self) -> None:
        """Note that another reconciler keeps this hub."""
        self._last_turn_s = time.monotonic()
        self._standing_by = True

    def turned(self, *, complete: bool) -> None:
        """Note that a round ended; `complete`: charon was asked and did answer."""
        self._last_turn_s = time.monotonic()
        self._failure = ""
        self._standing_by = False
        self._ready = self._ready or complete

    def failed(self, error: Exception) -> None:
        """Note that a round ended in a bug."""
        self._failure = f"the last round failed: {type(error).__name__}"

    def healthy(self) -> http.Answer:
        """200 while the loop turns."""
        age_s = time.monotonic() - self._last_turn_s
        if self._failure:
            return http.plain(False, self._failure)
        if age_s > self._patience_s:
            return http.plain(False, f"no round ended for {age_s:.0f} s")
        return http.plain(True, _STANDING_BY if self._standing_by else "the loop turns")

    def ready(self) -> http.Answer:
        """200 once a complete round with charon was made."""
        text = "a round with charon was made" if self._ready else "no round with charon yet"
        text = _STANDING_BY if self._standing_by else text
        return http.plain(self._ready, text)


class Loop:
    """Makes rounds until it is stopped; tunnels stay up when it ends."""

    def __init__(
        self, world: World, wakes: Wakes, metrics: Metrics, stopping: threading.Event
    ) -> None:
        self._world = world
        self._wakes = wakes
        self._metrics = metrics
        self._stopping = stopping
        self._status: Status | None = None
        self._told: tuple[object, ...] = ()
        self.health = Health(patience_s=3 * world.settings.resync_seconds)

    @property
    def status(self) -> Status | None:
        """The last status; None before the first round."""
        return self._status

    def status_answer(self) -> http.Answer:
        """Serve /status from memory, so a full disk does not hide it."""
        if self._status is None:
            return http.plain(False, "no round was made yet")
        return http.json_answer(self._status.model_dump_json().encode())

    def run(self) -> None:
        """Make rounds until stopped."""
        recalled = recall(self._world.settings.status_file, self._world.clock)
        memory, reasons, failed = (
            recall_history(self._world.journal, recalled),
            frozenset({"start"}),
            0,
        )
        while True:
            last = self._stopping.is_set()
            try:
                memory, report = run_round(self._world, memory, reasons)
                self._publish(report)
                failed = 0
                pause_s = self._pause_after(report, memory)
            except Exception as error:
                failed += 1
                log.exception("round failed")
                self.health.failed(error)
                self._metrics.count_failed_round()
                pause_s = min(delay_s(failed, 0.5), _LONGEST_PAUSE_S)
            ended_s = time.monotonic()
            if last:
                if self._world.journal is not None:
                    self._world.journal.flush()
                return
            if failed:
                # Events must not turn a failing loop into a busy one.
                self._stopping.wait(pause_s)
                pause_s = 0.0
            reasons = self._wakes.wait(pause_s)
            if reasons <= SHALLOW_REASONS:
                self._stopping.wait(_CALM_S - (time.monotonic() - ended_s))
                reasons |= self._wakes.take()

    def _pause_after(self, report: Report, memory: Memory) -> float:
        """Seconds until the next round, if nothing wakes us before."""
        if report.more:
            return 0.0
        if isinstance(report.observed, Unobserved):
            return _UNREACHABLE_PAUSE_S
        now_s = self._world.clock.monotonic_s()
        # One that is past was made, or is under way: nothing to get up for.
        waits = (attempts.next_s - now_s for attempts in memory.attempts.values())
        due = [wait_s for wait_s in waits if wait_s > 0]
        due += [report.look_again_s] if report.look_again_s is not None else []
        return min([self._world.settings.resync_seconds * _TIMER_SHARE, *due])

    def _publish(self, report: Report) -> None:
        status = report.status
        self._metrics.publish(status, report.tallies, report.outcomes, report.took_s)
        if not report.status_written:
            self._metrics.count_status_error()
        self.health.turned(complete=status.daemon.reachable)
        self._tell(status)
        self._status = status

    def _tell(self, status: Status) -> None:
        """Log what is wrong when it changes, not every round."""
        faults = status.configuration.faults
        now_told = (faults, status.daemon.reachable, status.configuration.removals_held)
        if now_told == self._told:
            return
        self._told = now_told
        names = {one.airport_id: name for name, one in status.connections.items()}
        for fault in faults:
            level = logging.ERROR if fault.severity == "error" else logging.WARNING
            fields = {
                "airport": fault.airport_id or "",
                "connection": names.get(fault.airport_id or "", ""),
                "path": fault.path,
                "fault": fault.message,
            }
            log.log(level, "configuration fault", extra={"fields": fields})
        if status.configuration.removals_held:
            held = ", ".join(status.configuration.removals_held)
            log.warning("removals held", extra={"fields": {"airports": held}})
        if not status.daemon.reachable:
            log.error("charon unreachable", extra={"fields": {"cause": status.daemon.error}})
        elif not faults and not status.configuration.removals_held:
            log.info(
                "configuration in force",
                extra={"fields": {"airports": status.configuration.airports_declared}},
            )
