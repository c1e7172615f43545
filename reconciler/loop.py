"""The loop: wait for a reason, make a round, tell about it; survive what fails and say so."""

import logging
import threading
import time

from reconciler.core.backoff import delay_s
from reconciler.core.observed import Unobserved
from reconciler.core.status import Status
from reconciler.edges import http
from reconciler.edges.metrics import Metrics
from reconciler.memory import Memory
from reconciler.recall import recall, recall_history
from reconciler.round import SHALLOW_REASONS, Report, run_round
from reconciler.wakes import Wakes
from reconciler.world import World

log = logging.getLogger(__name__)
# The timer fires early enough that a status is never older than the resync interval.
# 21 of 30 s; then charon may take 5 s to be called unreachable, and Docker 2 s.
_TIMER_SHARE = 0.7
# An event about SAs, or a failed attempt of some stranger, makes a round a second at most.
_CALM_S = 1.0
_LONGEST_PAUSE_S = 60.0
_UNREACHABLE_PAUSE_S = 2.0
_STANDING_BY = "standing by: another reconciler keeps this hub"


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
        self._memory = Memory()
        self._failed_in_a_row = 0
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
        self._memory = recall_history(self._world.journal, recalled)
        reasons = frozenset({"start"})
        while True:
            last = self._stopping.is_set()
            pause_s = self._turn(reasons)
            if last:
                break
            reasons = self._wait(pause_s)
        if self._world.journal is not None:
            self._world.journal.flush()

    def _turn(self, reasons: frozenset[str]) -> float:
        """Make a round and survive its bugs; return the seconds until the next one."""
        try:
            self._memory, report = run_round(self._world, self._memory, reasons)
            self._publish(report)
            self._failed_in_a_row = 0
            return self._pause_after(report)
        except Exception as error:
            self._failed_in_a_row += 1
            log.exception("round failed")
            self.health.failed(error)
            self._metrics.count_failed_round()
            return min(delay_s(self._failed_in_a_row, 0.5), _LONGEST_PAUSE_S)

    def _wait(self, pause_s: float) -> frozenset[str]:
        """Wait for reasons; return them."""
        ended_s = time.monotonic()
        if self._failed_in_a_row:
            # Events must not turn a failing loop into a busy one.
            self._stopping.wait(pause_s)
            pause_s = 0.0
        reasons = self._wakes.wait(pause_s)
        if reasons <= SHALLOW_REASONS:
            self._stopping.wait(_CALM_S - (time.monotonic() - ended_s))
            reasons |= self._wakes.take()
        return reasons

    def _pause_after(self, report: Report) -> float:
        """Seconds until the next round, if nothing wakes us before."""
        if report.more:
            return 0.0
        if isinstance(report.observed, Unobserved):
            return _UNREACHABLE_PAUSE_S
        now_s = self._world.clock.monotonic_s()
        # One that is past was made, or is under way: nothing to get up for.
        waits = (attempts.next_s - now_s for attempts in self._memory.attempts.values())
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
