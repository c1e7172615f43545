"""What a host must have before the tunnels can run on it, judged from what was read of it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from reconciler.core.check import Fault, Severity
from reconciler.core.model import IpAddress

IKE_PORTS = (500, 4500)
_USER = 10001
_MIB = 1024 * 1024
# Half of what compose.yaml lets its three services have at most; less has not been tried.
_LEAST_MEMORY_BYTES = 512 * _MIB
# What compose.yaml reserves for them, and a little more.
_FREE_MEMORY_BYTES = 256 * _MIB
_PROCESSORS = 2
# 256 probes at once, and what HTTP, charon, Docker and the files take.
_DESCRIPTORS = 1024
_CONNTRACK_SHARE = 0.8
_STRICT = 1
_BRIDGES = ("docker", "br-")


class Presence(Enum):
    """Whether the kernel can do a thing."""

    READY = "ready"
    LOADABLE = "loadable"
    ABSENT = "absent"
    UNKNOWN = "unknown"


class Level(Enum):
    """Only what is missing keeps the tunnels from running."""

    OK = "ok"
    WARNING = "warning"
    UNKNOWN = "unknown"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `remedy`: what to do, empty if there is nothing to do."""

    subject: str
    level: Level
    told: str
    remedy: str = ""

    def __str__(self) -> str:
        words = "; ".join(filter(None, (self.told, self.remedy)))
        return f"{self.level.value:<8} {self.subject:<16} {words}"


@dataclass(frozen=True, slots=True)
class Host:
    """What was read. None: it could not be known from here.

    Attributes:
        udp_taken: those of UDP 500 and 4500 that a program holds.
        charon_answers: that program is our charon.
        devices: network devices, with the source check (rp_filter) that counts for each.
        ping_groups: the first and last group that may ping without a capability.
        conntrack: connections that the kernel follows, and how many it can.
        descriptors: files that one process may have open.
        memory_bytes, free_memory_bytes: of the whole host.

    """

    esp: Presence
    tun: Presence
    nf_tables: Presence
    has_ipv6: bool
    udp_taken: frozenset[int]
    charon_answers: bool
    forwards: bool | None
    devices: Mapping[str, int]
    ping_groups: tuple[int, int] | None
    conntrack: tuple[int, int] | None
    descriptors: int
    clock_synchronised: bool | None
    processors: int
    memory_bytes: int
    free_memory_bytes: int


@dataclass(frozen=True, slots=True)
class Installation:
    """What was found of files, settings and the declaration.

    Attributes:
        unreadable: why airports.json can't be read; empty: it can.
        unwritable: directories that the reconciler can't write in, by what they are for.
        hub_addresses: what HUB_ADDRESS means; empty if it is a name that nobody knows.
        own_addresses: addresses of this host.

    """

    config_path: str
    unreadable: str = ""
    unwritable: Mapping[str, str] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    hub_address: str = ""
    hub_addresses: tuple[IpAddress, ...] = ()
    own_addresses: frozenset[IpAddress] = frozenset()


def judge_host(host: Host) -> tuple[Finding, ...]:
    """Say of everything that the host should have whether it has it."""
    judges: tuple[Callable[[Host], Finding], ...] = (
        *(_data_plane, _tun, _ipv6, _udp_ports, _forwarding, _source_check, _pings),
        *(_nf_tables, _conntrack, _descriptors, _clock, _processors, _memory),
    )
    return tuple(judge(host) for judge in judges)


def judge_installation(found: Installation) -> tuple[Finding, ...]:
    """Say of files, settings and the declaration whether they will do."""
    return (*_files(found), *_declaration(found.faults), _hub_address(found))


def _data_plane(host: Host) -> Finding:
    subject = "kernel ESP"
    if host.esp is Presence.READY:
        return Finding(subject, Level.OK, "the kernel has esp4")
    load = "on the host: modprobe esp4; echo esp4 > /etc/modules-load.d/vpn.conf"
    if host.esp is Presence.LOADABLE:
        return Finding(subject, Level.WARNING, "esp4 is a module that is not loaded", load)
    trying = "docker compose run --rm --no-deps gateway --check tries it"
    if host.esp is Presence.UNKNOWN:
        return Finding(subject, Level.UNKNOWN, "this kernel does not tell whether it has", trying)
    if host.tun is Presence.ABSENT or not host.has_ipv6:
        told = "the kernel has none, and user space can't do it here either"
        return Finding(subject, Level.MISSING, told, "run a kernel with esp4, or mend tun and IPv6")
    told = "the kernel has none; charon does it in user space, which costs more processor time"
    return Finding(subject, Level.WARNING, told)


def _tun(host: Host) -> Finding:
    make = "on the host: modprobe tun; mknod /dev/net/tun c 10 200; chmod 0666 /dev/net/tun"
    match host.tun:
        case Presence.READY | Presence.LOADABLE:
            return Finding("tun", Level.OK, "the kernel has the driver of /dev/net/tun")
        case Presence.ABSENT:
            told = "the kernel has no tun, and compose.yaml names its device"
            return Finding("tun", Level.MISSING, told, make)
        case Presence.UNKNOWN:
            told = "the driver of /dev/net/tun is not loaded, and may or may not be there"
            return Finding("tun", Level.UNKNOWN, told, make)


def _ipv6(host: Host) -> Finding:
    if host.has_ipv6:
        return Finding("IPv6", Level.OK, "the kernel has it")
    told = "the kernel has none, and ESP in user space can't begin without"
    needed = host.esp is Presence.ABSENT
    level = Level.MISSING if needed else Level.WARNING
    return Finding("IPv6", level, told, "boot without ipv6.disable=1; no address is needed")


def _udp_ports(host: Host) -> Finding:
    subject = "UDP 500, 4500"
    if not host.udp_taken:
        return Finding(subject, Level.OK, "free")
    if host.charon_answers:
        return Finding(subject, Level.OK, "held by our charon, which runs")
    taken = " and ".join(map(str, sorted(host.udp_taken)))
    remedy = "stop that, another IKE daemon mostly; on the host: ss --listening --udp --processes"
    return Finding(subject, Level.MISSING, f"{taken}: held by another program", remedy)


def _on_the_hosts_network(host: Host) -> bool:
    """Docker's own bridges are seen there, and in no container's network."""
    return any(device.startswith(_BRIDGES) for device in host.devices)


def _forwarding(host: Host) -> Finding:
    subject, ours = "ip_forward", _on_the_hosts_network(host)
    if host.forwards is None:
        return Finding(subject, Level.UNKNOWN, "/proc/sys can't be read")
    if ours and not host.forwards:
        told = "off: containers on bridge networks can't reach the cameras"
        return Finding(subject, Level.WARNING, told, "on the host: sysctl -w net.ipv4.ip_forward=1")
    if not ours and host.forwards:
        told = "on, in a network of its own: one airport could reach another one through it"
        remedy = "net.ipv4.ip_forward: 0, as compose.bridge.yaml has it"
        return Finding(subject, Level.WARNING, told, remedy)
    return Finding(subject, Level.OK, "on" if host.forwards else "off, in a network of its own")


def _source_check(host: Host) -> Finding:
    own = {name: value for name, value in host.devices.items() if not name.startswith(_BRIDGES)}
    strict = sorted(name for name, value in own.items() if value == _STRICT)
    if not strict:
        return Finding("rp_filter", Level.OK, "not strict")
    told = (
        f"strict on {', '.join(strict)}: what arrives on another device than the way back "
        "leads to is dropped, which matters if this host has several ways out"
    )
    remedy = f"then, on the host: sysctl -w net.ipv4.conf.{strict[0]}.rp_filter=2"
    return Finding("rp_filter", Level.WARNING, told, remedy)


def _pings(host: Host) -> Finding:
    subject = "ping_group_range"
    if host.ping_groups is None:
        return Finding(subject, Level.UNKNOWN, "/proc/sys can't be read")
    first, last = host.ping_groups
    if first <= _USER <= last:
        return Finding(subject, Level.OK, "the reconciler may ping")
    told = "the reconciler may not ping, so a ping as health_check tells nothing"
    remedy = 'on the host: sysctl -w net.ipv4.ping_group_range="0 2147483647"'
    return Finding(subject, Level.WARNING, told, remedy)


def _nf_tables(host: Host) -> Finding:
    match host.nf_tables:
        case Presence.READY | Presence.LOADABLE:
            return Finding("nf_tables", Level.OK, "the kernel has it")
        case Presence.ABSENT:
            told = "the kernel has none: what an airport may reach can't be limited with nft"
            return Finding("nf_tables", Level.WARNING, told, "run a kernel with nf_tables")
        case Presence.UNKNOWN:
            told = "not loaded, and may or may not be there"
            return Finding("nf_tables", Level.UNKNOWN, told, "on the host: modprobe nf_tables")


def _conntrack(host: Host) -> Finding:
    if host.conntrack is None:
        return Finding("conntrack", Level.OK, "the kernel follows no connections here")
    used, most = host.conntrack
    if used <= most * _CONNTRACK_SHARE:
        return Finding("conntrack", Level.OK, f"{used} of {most} entries in use")
    told = f"{used} of {most} entries in use; what is new is dropped when it is full"
    remedy = f"on the host: sysctl -w net.netfilter.nf_conntrack_max={most * 2}"
    return Finding("conntrack", Level.WARNING, told, remedy)


def _descriptors(host: Host) -> Finding:
    if host.descriptors >= _DESCRIPTORS:
        return Finding("open files", Level.OK, f"{host.descriptors} a process")
    told = f"{host.descriptors} a process, and {_DESCRIPTORS} are needed"
    remedy = "raise default-ulimits of Docker Engine in /etc/docker/daemon.json"
    return Finding("open files", Level.MISSING, told, remedy)


def _clock(host: Host) -> Finding:
    if host.clock_synchronised is None:
        return Finding("clock", Level.UNKNOWN, "the kernel does not tell whether it is right")
    if host.clock_synchronised:
        return Finding("clock", Level.OK, "synchronised")
    told = "nobody sets it, so the times in status and history may be wrong; tunnels need no clock"
    return Finding("clock", Level.WARNING, told, "install chrony or systemd-timesyncd")


def _processors(host: Host) -> Finding:
    if host.processors >= _PROCESSORS:
        return Finding("processors", Level.OK, str(host.processors))
    told = "one, which charon and the reconciler share with everything else"
    return Finding("processors", Level.WARNING, told)


def _memory(host: Host) -> Finding:
    told = f"{host.memory_bytes // _MIB} MiB, of which {host.free_memory_bytes // _MIB} are free"
    if host.memory_bytes < _LEAST_MEMORY_BYTES:
        remedy = f"{_LEAST_MEMORY_BYTES // _MIB} MiB are the least; see deploy in compose.yaml"
        return Finding("memory", Level.MISSING, told, remedy)
    if host.free_memory_bytes < _FREE_MEMORY_BYTES and not host.charon_answers:
        remedy = f"the services need {_FREE_MEMORY_BYTES // _MIB} MiB to begin with"
        return Finding("memory", Level.WARNING, told, remedy)
    return Finding("memory", Level.OK, told)


def _files(found: Installation) -> Iterable[Finding]:
    name = found.config_path
    if found.unreadable:
        remedy = f"it belongs into AIRPORTS_DIR, owned by root:{_USER}, mode 640"
        yield Finding("airports.json", Level.MISSING, f"{name} {found.unreadable}", remedy)
    else:
        yield Finding("airports.json", Level.OK, f"{name} can be read")
    for purpose, directory in found.unwritable.items():
        told = f"the reconciler can't write in {directory}"
        remedy = f"on the host: chown {_USER} what is mounted there"
        yield Finding(purpose, Level.MISSING, told, remedy)


def _declaration(faults: Iterable[Fault]) -> Iterable[Finding]:
    for fault in faults:
        level = Level.MISSING if fault.severity is Severity.ERROR else Level.WARNING
        yield Finding("declaration", level, str(fault))


def _hub_address(found: Installation) -> Finding:
    subject, name = "HUB_ADDRESS", found.hub_address
    if not name:
        told = "not set; site-config and onboard can't say where a router dials"
        return Finding(subject, Level.WARNING, told, "write it into .env")
    if not found.hub_addresses:
        return Finding(subject, Level.MISSING, f"{name} has no address", "correct it, or the DNS")
    if found.own_addresses.intersection(found.hub_addresses):
        return Finding(subject, Level.OK, f"{name} is an address of this host")
    meant = ", ".join(map(str, found.hub_addresses))
    told = f"{name if name == meant else f'{name} ({meant})'} is none of this host's addresses"
    remedy = "right if a router in front of it leads UDP 500 and 4500 here"
    return Finding(subject, Level.WARNING, told, remedy)
