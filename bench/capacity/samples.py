"""A look at every container every few seconds."""

import csv
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from bench.cgroup import usage

EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at one container.

    The first process is the service itself; health checks and the like are others.
    """

    at_s: float
    service: str
    memory_bytes: int
    working_set_bytes: int
    resident_bytes: int
    cpu_s: float
    periods: int
    throttled_periods: int
    tasks: int
    threads: int
    descriptors: int


def look(service: str, pid: int, at_s: float) -> Sample:
    """Look at one container now."""
    seen = usage(pid)
    return Sample(
        at_s=at_s,
        service=service,
        memory_bytes=seen.memory_bytes,
        working_set_bytes=seen.working_set_bytes,
        resident_bytes=_status(pid, "VmRSS") * 1024,
        cpu_s=seen.cpu_s,
        periods=seen.periods,
        throttled_periods=seen.throttled_periods,
        tasks=seen.tasks,
        threads=_status(pid, "Threads"),
        descriptors=sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()),
    )


def _status(pid: int, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"/proc/{pid}/status has no {name}")
    return int(found[1])


def sample(pids: Mapping[str, int], for_s: float, tell: Callable[[float], None]) -> list[Sample]:
    """Look at all containers until the time is up. A process that ended meanwhile is an error."""
    began_s, taken = time.monotonic(), []
    due_s = 0.0
    while due_s <= for_s:
        time.sleep(max(0.0, began_s + due_s - time.monotonic()))
        at_s = time.monotonic() - began_s
        taken += [look(service, pid, round(at_s, 2)) for service, pid in pids.items()]
        tell(at_s)
        due_s += EVERY_S
    return taken


def write(path: Path, samples: Sequence[Sample]) -> None:
    """Write all of them as CSV."""
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(field.name for field in fields(Sample))
        out.writerows(astuple(one) for one in samples)


def read(path: Path) -> list[Sample]:
    """Read what was written."""
    with path.open(newline="") as file:
        _, *rows = csv.reader(file)
    return [
        Sample(
            float(at),
            service,
            int(memory),
            int(working),
            int(resident),
            float(cpu),
            *map(int, rest),
        )
        for at, service, memory, working, resident, cpu, *rest in rows
    ]
