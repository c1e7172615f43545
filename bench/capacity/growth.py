"""Many rounds and reconnects: whether descriptors, threads or memory grow."""

import contextlib
import os
import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from bench.capacity.samples import Sample, look
from bench.capacity.stage import Sites, Stage
from bench.fleet import airport_id
from bench.measure import say
from reconciler.core.observed import Observed
from tests.docker import eventually

SERVICES = ("gateway", "filter", "reconciler", "docker-proxy")
# A round or a reconnect that leaves a kilobyte behind comes to that in 10,000 of them.
MEMORY_MAY_GROW_BYTES = 10 * 2**20
_LOOKS, _LOOK_EVERY_S = 20, 0.5
_WAKE_EVERY_S = 0.02
_STRETCH = 100
_AT_ONCE = 5
_NOTE_EVERY = 10
_WARM_UP = 100
_PATIENCE_S = 300


@dataclass(frozen=True, slots=True)
class Quiet:
    """One container at rest. The fewest of several looks: a probe or a health check is no leak."""

    descriptors: int
    threads: int
    tasks: int
    resident_bytes: int

    @classmethod
    def of(cls, looks: Sequence[Sample]) -> "Quiet":
        """Sum up."""
        return cls(
            descriptors=min(one.descriptors for one in looks),
            threads=min(one.threads for one in looks),
            tasks=min(one.tasks for one in looks),
            resident_bytes=round(statistics.median(one.resident_bytes for one in looks)),
        )


@dataclass(frozen=True, slots=True)
class Step:
    """Where it stood meanwhile."""

    round_number: int
    reconnects: int
    gateway: Sample
    reconciler: Sample

    def __str__(self) -> str:
        """Say it in a line."""
        seen = ", ".join(
            f"{one.service} {one.resident_bytes / 2**20:.2f} MiB, {one.descriptors} descriptors, "
            f"{one.threads} threads"
            for one in (self.gateway, self.reconciler)
        )
        return f"round {self.round_number}, {self.reconnects} reconnects: {seen}"


@dataclass(frozen=True, slots=True)
class Growth:
    """What was done, each container before and after it, and some steps on the way."""

    rounds: int
    reconnects: int
    before: dict[str, Quiet]
    after: dict[str, Quiet]
    steps: list[Step]


def growth(stage: Stage, rounds: int, reconnects: int) -> Growth:
    """Compare before and after; what is made only once (the first of everything) comes before."""
    steps: list[Step] = []

    def note(reconnects: int) -> None:
        seen = (look(name, stage.pid(name), 0) for name in ("gateway", "reconciler"))
        steps.append(Step(_round_number(stage), reconnects, *seen))
        say(str(steps[-1]))

    with _rounds(stage, min(_WARM_UP, rounds // 10), lambda: note(0)):
        _reconnect(stage, min(_WARM_UP, max(len(stage.numbers), reconnects // 2)), lambda _: None)
    before = _quiet(stage)
    began = _round_number(stage)
    with _rounds(stage, rounds, lambda: note(reconnects)):
        _reconnect(stage, reconnects, note)
    made = _round_number(stage) - began
    return Growth(made, reconnects, before, _quiet(stage), steps)


def grown(seen: Growth) -> list[str]:
    """Say what has grown: one descriptor is too much, memory may fluctuate."""
    found = []
    for service, before in seen.before.items():
        after = seen.after[service]
        for what in ("descriptors", "threads", "tasks"):
            was, now = getattr(before, what), getattr(after, what)
            if now > was:
                found.append(f"{service}: {was} {what} before, {now} after")
        more = after.resident_bytes - before.resident_bytes
        if more > MEMORY_MAY_GROW_BYTES:
            found.append(f"{service}: {more / 2**20:.1f} MiB of memory more than before")
    return found


def _reconnect(stage: Stage, times: int, note: Callable[[int], None]) -> None:
    """Let sites hang up and dial anew, some at once, each of them in turn."""
    homes = {number: site for site in stage.sites for number in site.numbers}
    turns = [stage.numbers[n % len(homes)] for n in range(times)]
    at_once = min(_AT_ONCE, len(homes))
    with contextlib.closing(stage.hub) as hub:
        for done, numbers in enumerate(_pieces(turns, at_once)):
            before = _in_force(hub.observe(deep=False))
            for number in numbers:
                _dial_anew(homes[number], number)
            eventually(
                lambda: _all_new(before, _in_force(hub.observe(deep=False)), numbers),  # noqa: B023
                _PATIENCE_S,
                f"{numbers} are in again",
                every_s=0.05,
            )
            if done % _NOTE_EVERY == 0:
                note(done * at_once)


def _pieces(items: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    """Cut into pieces."""
    return (items[at : at + size] for at in range(0, len(items), size))


def _dial_anew(site: Sites, number: int) -> None:
    site.vici.end_all(airport_id(number))
    site.dial(number)


def _in_force(seen: Observed) -> dict[str, set[str]]:
    """Return the ids of what carries packets, by name."""
    found: dict[str, set[str]] = {}
    for sa in seen.sas:
        if sa.live and sa.carrying_children:
            found.setdefault(sa.name, set()).add(sa.unique_id)
    return found


def _all_new(before: dict[str, set[str]], now: dict[str, set[str]], numbers: Sequence[int]) -> bool:
    names = [f"{airport_id(number)}_vpn" for number in numbers]
    return all(now.get(name) and not now[name] & before.get(name, set()) for name in names)


@contextlib.contextmanager
def _rounds(stage: Stage, count: int, note: Callable[[], None]) -> Iterator[None]:
    """Wake the loop again and again, meanwhile and until so many rounds were made."""
    goal, stopping = _round_number(stage) + count, threading.Event()
    reconciler = stage.pid("reconciler")

    def wake() -> None:
        while not stopping.wait(_WAKE_EVERY_S):
            os.kill(reconciler, signal.SIGHUP)

    waker = threading.Thread(target=wake, name="waker")
    waker.start()
    try:
        yield
        noted = 0
        while (made := _round_number(stage)) < goal:
            if made >= noted + _STRETCH:
                note()
                noted = made
            eventually(lambda: _round_number(stage) > made, _PATIENCE_S, "rounds go on", every_s=1)
        note()
    finally:
        stopping.set()
        waker.join()


def _round_number(stage: Stage) -> int:
    return int(stage.status()["reconciler"]["round"])


def _quiet(stage: Stage) -> dict[str, Quiet]:
    """Look when all tunnels are up and nothing is under way any more."""
    count = len(stage.numbers)
    eventually(lambda: stage.up() == count, _PATIENCE_S, "all are up")
    eventually(lambda: _total(stage) == count, _PATIENCE_S, "old key exchanges are gone")
    looks: dict[str, list[Sample]] = {service: [] for service in SERVICES}
    for _ in range(_LOOKS):
        for service, taken in looks.items():
            taken.append(look(service, stage.pid(service), 0))
        time.sleep(_LOOK_EVERY_S)
    return {service: Quiet.of(taken) for service, taken in looks.items()}


def _total(stage: Stage) -> int:
    with contextlib.closing(stage.hub) as hub:
        return len(hub.observe(deep=False).sas)
