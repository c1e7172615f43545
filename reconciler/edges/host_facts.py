"""What the kernel tells of the host without any capability: /proc, /lib/modules and the clock."""

import ctypes
import gzip
import os
import platform
import resource
import socket
from contextlib import closing
from pathlib import Path

from reconciler.core.preflight import IKE_PORTS, Host, Presence

_CONNECT_DEADLINE_S = 2.0
_TIME_ERROR = 5


def read_host(vici_socket: Path, root: Path = Path("/"), release: str = "") -> Host:
    """Read everything. `root`: where /proc, /sys and /lib are; `release`: of the kernel."""
    proc = root / "proc"
    kernel = _Kernel(root, release or platform.release())
    ipv4 = proc / "sys/net/ipv4"
    memory = _memory_bytes(proc / "meminfo")
    return Host(
        esp=_both(kernel.presence("INET_ESP", "esp4"), kernel.presence("XFRM_USER", "xfrm_user")),
        tun=Presence.READY if _has_tun(proc / "misc") else kernel.presence("TUN", "tun"),
        nf_tables=kernel.presence("NF_TABLES", "nf_tables"),
        has_ipv6=(proc / "net/if_inet6").exists(),
        udp_taken=_taken(proc / "net"),
        charon_answers=_answers(vici_socket),
        forwards=None if (forward := _words(ipv4 / "ip_forward")) == [] else forward == ["1"],
        devices=_devices(ipv4 / "conf"),
        ping_groups=_pair(ipv4 / "ping_group_range"),
        conntrack=_conntrack(proc / "sys/net/netfilter"),
        descriptors=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        clock_synchronised=_clock_synchronised(),
        processors=len(os.sched_getaffinity(0)),
        memory_bytes=memory.get("MemTotal", 0),
        free_memory_bytes=memory.get("MemAvailable", 0),
    )


def can_write_in(directory: Path) -> bool:
    """Tell whether this user may make and replace files there."""
    return directory.is_dir() and os.access(directory, os.W_OK | os.X_OK)


class _Kernel:
    """What the kernel was built with, as far as it is told."""

    def __init__(self, root: Path, release: str) -> None:
        modules = root / "lib/modules" / release
        self._config = _config(root / "proc/config.gz")
        self._loaded = {line.split()[0] for line in _lines(root / "proc/modules")}
        self._builtin = _names(modules / "modules.builtin")
        self._loadable = _names(modules / "modules.dep")

    def presence(self, symbol: str, module: str) -> Presence:
        """Tell of one part, by its name in the configuration and as a module."""
        built = self._config.get(f"CONFIG_{symbol}")
        if module in self._loaded or module in self._builtin or built == "y":
            return Presence.READY
        if module in self._loadable or built == "m":
            return Presence.LOADABLE
        return Presence.ABSENT if self._config or self._loadable else Presence.UNKNOWN


def _both(one: Presence, other: Presence) -> Presence:
    """Return the worse of two."""
    order = (Presence.READY, Presence.LOADABLE, Presence.UNKNOWN, Presence.ABSENT)
    return max(one, other, key=order.index)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _lines(path: Path) -> list[str]:
    return _text(path).splitlines()


def _words(path: Path) -> list[str]:
    return _text(path).split()


def _config(path: Path) -> dict[str, str]:
    try:
        lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    except (OSError, EOFError, UnicodeDecodeError):
        return {}
    return dict(line.split("=", 1) for line in lines if line.startswith("CONFIG_"))


def _names(path: Path) -> set[str]:
    """Read the names of modules from lines like `kernel/net/ipv4/esp4.ko.xz: …`."""
    files = (line.partition(":")[0].rpartition("/")[2] for line in _lines(path))
    return {file.partition(".")[0].replace("-", "_") for file in files}


def _has_tun(path: Path) -> bool:
    return any(line.split()[1:] == ["tun"] for line in _lines(path))


def _taken(proc_net: Path) -> frozenset[int]:
    """Local ports stand in hex after the address."""
    found = set()
    for table in ("udp", "udp6"):
        for line in _lines(proc_net / table)[1:]:
            found.add(int(line.split()[1].rpartition(":")[2], 16))
    return frozenset(found.intersection(IKE_PORTS))


def _answers(path: Path) -> bool:
    with closing(socket.socket(socket.AF_UNIX)) as client:
        client.settimeout(_CONNECT_DEADLINE_S)
        try:
            client.connect(str(path))
        except OSError:
            return False
    return True


def _devices(conf: Path) -> dict[str, int]:
    """Return the source check of each device: the stricter of its own and that of all."""
    values = {}
    for path in sorted(conf.glob("*/rp_filter")):
        if (words := _words(path))[:1]:
            values[path.parent.name] = int(words[0])
    of_all = values.get("all", 0)
    return {
        name: max(value, of_all)
        for name, value in values.items()
        if name not in {"all", "default", "lo"} and not name.startswith("veth")
    }


def _pair(path: Path) -> tuple[int, int] | None:
    words = _words(path)
    return (int(words[0]), int(words[1])) if len(words) == 2 else None


def _conntrack(folder: Path) -> tuple[int, int] | None:
    used, most = _words(folder / "nf_conntrack_count"), _words(folder / "nf_conntrack_max")
    return (int(used[0]), int(most[0])) if used and most else None


def _memory_bytes(path: Path) -> dict[str, int]:
    """Read what stands there in kB."""
    found = {}
    for line in _lines(path):
        name, _, rest = line.partition(":")
        if (words := rest.split())[1:] == ["kB"]:
            found[name] = int(words[0]) * 1024
    return found


def _clock_synchronised() -> bool | None:
    """Ask the kernel, and set nothing: all of the structure that is handed over is zero."""
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(1024))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _TIME_ERROR
