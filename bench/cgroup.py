"""What the kernel charges to a container, in either version of its control groups."""

from dataclasses import dataclass
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Usage:
    """One look at one container.

    `memory_bytes`: with every file that it has read and that is still cached. `working_set_bytes`:
    without those that the kernel would drop first. `peak_bytes`: None if the kernel doesn't tell.
    `periods`, `throttled_periods`: tenths of a second with work, and those that met the limit.
    `tasks`: the threads of all its processes.
    """

    memory_bytes: int
    working_set_bytes: int
    peak_bytes: int | None
    cpu_s: float
    periods: int
    throttled_periods: int
    tasks: int


def usage(pid: int) -> Usage:
    """Look at the container to which a process belongs."""
    folders = _folders(pid)
    if "memory" in folders:
        return _usage_v1(folders)
    if "" in folders and (folders[""] / "memory.current").exists():
        return _usage_v2(folders[""])
    raise RuntimeError("this kernel does not tell the memory of a container")


def _folders(pid: int) -> dict[str, Path]:
    """Find the group's folder of each controller; version 2 has one, under the empty name."""
    found = {}
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for name in controllers.split(","):
            found[name] = _ROOT / name / path.lstrip("/")
    return found


def _usage_v1(folders: dict[str, Path]) -> Usage:
    memory = folders["memory"]
    charged = _number(memory / "memory.usage_in_bytes")
    cpu = _table(folders["cpu"] / "cpu.stat")
    return Usage(
        memory_bytes=charged,
        working_set_bytes=charged - _table(memory / "memory.stat")["total_inactive_file"],
        peak_bytes=_number(memory / "memory.max_usage_in_bytes"),
        cpu_s=_number(folders["cpuacct"] / "cpuacct.usage") / 1e9,
        periods=cpu["nr_periods"],
        throttled_periods=cpu["nr_throttled"],
        tasks=_number(folders["pids"] / "pids.current"),
    )


def _usage_v2(folder: Path) -> Usage:
    charged = _number(folder / "memory.current")
    peak, cpu = folder / "memory.peak", _table(folder / "cpu.stat")
    return Usage(
        memory_bytes=charged,
        working_set_bytes=charged - _table(folder / "memory.stat")["inactive_file"],
        peak_bytes=_number(peak) if peak.exists() else None,
        cpu_s=cpu["usage_usec"] / 1e6,
        periods=cpu.get("nr_periods", 0),
        throttled_periods=cpu.get("nr_throttled", 0),
        tasks=_number(folder / "pids.current"),
    )


def _number(path: Path) -> int:
    return int(path.read_text())


def _table(path: Path) -> dict[str, int]:
    return {name: int(value) for name, value in map(str.split, path.read_text().splitlines())}
