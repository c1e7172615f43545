"""What is read of a host, from trees that look like the kernel's, and once from the real one."""

import gzip
import socket
from pathlib import Path

import pytest

from reconciler.core.preflight import Host, Presence
from reconciler.edges.host_facts import can_write_in, read_host

RELEASE = "6.12.0-test"
UDP = "   sl  local_address rem_address   st tx_queue rx_queue\n"
MEMINFO = (
    "MemTotal:       2048 kB\nMemFree:         10 kB\nMemAvailable:    1024 kB\nHugePages: 0\n"
)
ALL_BUILT_IN = "CONFIG_INET_ESP=y\nCONFIG_XFRM_USER=y\nCONFIG_TUN=y\nCONFIG_NF_TABLES=y\n"
NOTHING_BUILT_IN = "CONFIG_NET=y\n# CONFIG_INET_ESP is not set\n"


def read(root: Path) -> Host:
    return read_host(root / "no.vici", root, RELEASE)


def write(root: Path, path: str, text: str) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def write_config(root: Path, text: str) -> None:
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc/config.gz").write_bytes(gzip.compress(text.encode()))


def presences(host: Host) -> set[Presence]:
    return {host.esp, host.tun, host.nf_tables}


def test_of_an_empty_tree_nothing_is_claimed(tmp_path: Path) -> None:
    host = read(tmp_path)
    assert presences(host) == {Presence.UNKNOWN}
    assert not host.has_ipv6
    assert (host.forwards, host.ping_groups, host.conntrack) == (None, None, None)
    assert (host.udp_taken, host.devices, host.memory_bytes) == (frozenset(), {}, 0)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (ALL_BUILT_IN, Presence.READY),
        (ALL_BUILT_IN.replace("=y", "=m"), Presence.LOADABLE),
        (NOTHING_BUILT_IN, Presence.ABSENT),
    ],
)
def test_the_kernels_own_configuration_tells(
    tmp_path: Path, config: str, expected: Presence
) -> None:
    write_config(tmp_path, config)
    assert presences(read(tmp_path)) == {expected}


def test_a_damaged_configuration_tells_nothing(tmp_path: Path) -> None:
    write(tmp_path, "proc/config.gz", "no gzip")
    assert presences(read(tmp_path)) == {Presence.UNKNOWN}


@pytest.mark.parametrize(
    ("path", "line", "expected"),
    [
        ("proc/modules", "{} 32768 0 - Live 0x0", Presence.READY),
        (f"lib/modules/{RELEASE}/modules.builtin", "kernel/net/{}.ko", Presence.READY),
        (f"lib/modules/{RELEASE}/modules.dep", "kernel/net/{}.ko.xz: kernel/a.ko", "loadable"),
        (f"lib/modules/{RELEASE}/modules.dep", "kernel/net/not_{}.ko:", "absent"),
        ("lib/modules/5.0/modules.dep", "kernel/net/{}.ko:", "unknown"),
    ],
)
def test_else_the_lists_of_modules_do(
    tmp_path: Path, path: str, line: str, expected: Presence | str
) -> None:
    names = ("esp4", "xfrm_user", "tun", "nf_tables")
    write(tmp_path, path, "".join(line.format(name) + "\n" for name in names))
    assert presences(read(tmp_path)) == {Presence(expected)}


def test_esp_without_its_control_is_as_good_as_none(tmp_path: Path) -> None:
    write_config(tmp_path, "CONFIG_INET_ESP=y\n")
    assert read(tmp_path).esp is Presence.ABSENT


def test_a_loaded_tun_is_seen_among_the_devices(tmp_path: Path) -> None:
    write(tmp_path, "proc/misc", "200 tun\n144 nvram\n")
    assert read(tmp_path).tun is Presence.READY


def test_ports_that_are_held_are_seen_in_both_tables(tmp_path: Path) -> None:
    write(tmp_path, "proc/net/udp", UDP + "  1: 00000000:01F4 00000000:0000 07\n")
    assert read(tmp_path).udp_taken == {500}
    write(tmp_path, "proc/net/udp6", UDP + f"  1: {'0' * 32}:1194 {'0' * 32}:0000 07\n")
    assert read(tmp_path).udp_taken == {500, 4500}
    write(tmp_path, "proc/net/udp", UDP + "  1: 0100007F:0035 00000000:01F4 07\n")
    assert read(tmp_path).udp_taken == {4500}


def test_settings_of_the_network_are_read(tmp_path: Path) -> None:
    sysctl = "proc/sys/net"
    write(tmp_path, "proc/net/if_inet6", "")
    write(tmp_path, f"{sysctl}/ipv4/ip_forward", "1\n")
    write(tmp_path, f"{sysctl}/ipv4/ping_group_range", "1\t0\n")
    write(tmp_path, f"{sysctl}/netfilter/nf_conntrack_count", "7\n")
    write(tmp_path, f"{sysctl}/netfilter/nf_conntrack_max", "65536\n")
    for device, value in {
        "all": 1,
        "default": 2,
        "lo": 0,
        "veth1": 0,
        "eth0": 2,
        "eth1": 0,
    }.items():
        write(tmp_path, f"{sysctl}/ipv4/conf/{device}/rp_filter", f"{value}\n")
    host = read(tmp_path)
    assert host.has_ipv6
    assert host.forwards is True
    assert host.ping_groups == (1, 0)
    assert host.conntrack == (7, 65536)
    assert host.devices == {"eth0": 2, "eth1": 1}, "the stricter of its own and that of all"
    write(tmp_path, f"{sysctl}/ipv4/ip_forward", "0\n")
    assert read(tmp_path).forwards is False


def test_memory_is_in_bytes(tmp_path: Path) -> None:
    write(tmp_path, "proc/meminfo", MEMINFO)
    host = read(tmp_path)
    assert (host.memory_bytes, host.free_memory_bytes) == (2 * 1024 * 1024, 1024 * 1024)


def test_charon_answers_only_where_somebody_listens(tmp_path: Path) -> None:
    path = tmp_path / "charon.vici"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        assert not read_host(path, tmp_path, RELEASE).charon_answers
        server.listen()
        assert read_host(path, tmp_path, RELEASE).charon_answers


def test_a_directory_that_is_missing_or_a_file_can_not_be_written_in(tmp_path: Path) -> None:
    assert can_write_in(tmp_path)
    assert not can_write_in(tmp_path / "missing")
    (tmp_path / "file").touch()
    assert not can_write_in(tmp_path / "file")


def test_the_real_host_is_read_whole() -> None:
    host = read_host(Path("/no/vici"))
    assert host.memory_bytes > host.free_memory_bytes > 0
    assert host.processors > 0
    assert host.descriptors > 0
    assert host.forwards is not None
    assert host.ping_groups is not None
    assert host.devices is not None
