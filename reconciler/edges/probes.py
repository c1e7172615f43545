"""Asks what is to be probed, again and again, in one thread with a loop of its own.

It is told what to probe and keeps the results; nothing here decides what they mean. Each probe has
its own times; the thread says when it last turned, so that one that hangs is found out.
"""

import asyncio
import contextlib
import heapq
import random
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from itertools import count

from reconciler.core.probing import Key, Probe, ProbeRecord, Result, first_wait_s, wait_s

MOST_AT_ONCE = 256
_TURN_S = 1.0
_STUCK_AFTER_S = 30
_PATIENCE_S = {"ping": 5.0, "tcp": 5.0, "http": 10.0, "rtsp": 10.0}

Ask = Callable[[Probe, float], Awaitable[Result]]


class Prober:
    """Probes until stopped. `changed` is called, from its thread, when a health changes."""

    def __init__(
        self,
        ask: Ask,
        changed: Callable[[], object] = lambda: None,
        jitter: Callable[[], float] = random.random,
        most_at_once: int = MOST_AT_ONCE,
    ) -> None:
        self._ask, self._changed, self._jitter = ask, changed, jitter
        self._most_at_once = most_at_once
        self._lock = threading.Lock()
        self._wanted: Mapping[Key, Probe] = {}
        self._news = False
        self._records: dict[Key, ProbeRecord] = {}
        # An entry counts only as long as its number is the one noted for its key.
        self._due: list[tuple[float, int, Key]] = []
        self._numbers = count()
        self._scheduled: dict[Key, tuple[int, Probe]] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._bug: BaseException | None = None
        self._sleeps_until_s = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="probes", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._nudge = asyncio.Event()
        self.last_turn = 0
        self.results = {"ok": 0, "failed": 0}

    def start(self) -> None:
        """Probe from now on."""
        self._thread.start()

    def stop(self) -> None:
        """End within a second or so."""
        self._stopping.set()
        self._wake()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end; whether it came."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def watch(self, probes: Mapping[Key, Probe]) -> None:
        """Probe exactly these from now on; the results of others are forgotten."""
        with self._lock:
            if probes == self._wanted:
                return
            self._wanted, self._news = dict(probes), True
            gone = [key for key, one in self._records.items() if probes.get(key) != one.probe]
            for key in gone:
                del self._records[key]
        self._wake()

    def records(self) -> dict[Key, ProbeRecord]:
        """Return the results so far; a probe without any is not in there."""
        with self._lock:
            return dict(self._records)

    def why_stuck(self) -> str:
        """Say that the thread does not turn any more, if so."""
        age_s = int(time.time()) - self.last_turn
        if not self.last_turn or age_s < _STUCK_AFTER_S:
            return ""
        return f"the prober has not turned for {age_s} s; what it found says nothing any more"

    def _wake(self) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it may be closed by now
                self._loop.call_soon_threadsafe(self._nudge.set)

    def _run(self) -> None:
        asyncio.run(self._turn_for_ever())

    async def _turn_for_ever(self) -> None:
        self._loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            self._nudge.clear()
            self.last_turn = int(time.time())
            self._schedule_news()
            pause_s = self._begin_what_is_due()
            self._sleeps_until_s = time.monotonic() + pause_s
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._nudge.wait(), pause_s)
            if self._bug is not None:
                raise self._bug
        for task in self._running:
            task.cancel()

    def _schedule_news(self) -> None:
        with self._lock:
            if not self._news:
                return
            self._news, wanted = False, self._wanted
        now_s = time.monotonic()
        for key, probe in wanted.items():
            if key not in self._scheduled or self._scheduled[key][1] != probe:
                self._schedule(now_s + first_wait_s(probe.interval_s, self._jitter()), key, probe)

    def _schedule(self, due_s: float, key: Key, probe: Probe) -> None:
        number = next(self._numbers)
        self._scheduled[key] = number, probe
        heapq.heappush(self._due, (due_s, number, key))
        if due_s < self._sleeps_until_s:
            self._nudge.set()

    def _begin_what_is_due(self) -> float:
        """Begin as many attempts as may run at once; return the seconds until the next one."""
        now_s = time.monotonic()
        while self._due and len(self._running) < self._most_at_once:
            due_s, number, key = self._due[0]
            if due_s > now_s:
                return min(_TURN_S, due_s - now_s)
            heapq.heappop(self._due)
            current, probe = self._scheduled.get(key, (-1, None))
            if current != number or probe is None:
                continue
            if self._wanted.get(key) != probe:
                del self._scheduled[key]
                continue
            task = asyncio.ensure_future(self._attempt(number, key, probe))
            self._running.add(task)
            task.add_done_callback(self._ended)
        return _TURN_S

    async def _attempt(self, number: int, key: Key, probe: Probe) -> None:
        began_s = time.monotonic()
        result = await self._ask(probe, min(_PATIENCE_S[probe.kind], probe.interval_s))
        if self._scheduled.get(key) != (number, probe):
            return
        self._count(key, probe, result)
        self._schedule(began_s + wait_s(probe.interval_s, self._jitter()), key, probe)

    def _count(self, key: Key, probe: Probe, result: Result) -> None:
        now_s = time.monotonic()
        with self._lock:
            if self._wanted.get(key) != probe:
                return
            before = self._records.get(key, ProbeRecord(probe))
            after = before.counted(result, int(time.time()), now_s)
            self._records[key] = after
            if result.success is not None:
                self.results["ok" if result.success else "failed"] += 1
        if before.health(now_s) != after.health(now_s):
            self._changed()

    def _ended(self, task: asyncio.Task[None]) -> None:
        was_full = len(self._running) >= self._most_at_once
        self._running.discard(task)
        if not task.cancelled():
            self._bug = self._bug or task.exception()
        if was_full or self._bug is not None:
            self._nudge.set()
