"""Each thing that a host must have: what is said when it is there, and when it isn't."""

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from reconciler.core.check import Fault, Severity
from reconciler.core.preflight import (
    Finding,
    Host,
    Installation,
    Level,
    Presence,
    judge_host,
    judge_installation,
)

MIB = 1024 * 1024
GOOD = Host(
    esp=Presence.READY,
    tun=Presence.READY,
    nf_tables=Presence.READY,
    has_ipv6=True,
    udp_taken=frozenset(),
    charon_answers=False,
    forwards=True,
    devices={"eth0": 2, "docker0": 2},
    ping_groups=(0, 2147483647),
    conntrack=(10, 1000),
    descriptors=1024,
    clock_synchronised=True,
    processors=2,
    memory_bytes=512 * MIB,
    free_memory_bytes=256 * MIB,
)
HUB = ip_address("192.0.2.1")
INSTALLED = Installation(
    config_path="/config/airports.json",
    hub_address="vpn.example.org",
    hub_addresses=(HUB,),
    own_addresses=frozenset({HUB}),
)
UNKNOWN, ABSENT, LOADABLE = Presence.UNKNOWN, Presence.ABSENT, Presence.LOADABLE


def of(findings: tuple[Finding, ...], subject: str) -> Finding:
    (found,) = [finding for finding in findings if finding.subject == subject]
    return found


def test_on_a_good_host_all_is_well_and_nothing_is_to_be_done() -> None:
    found = judge_host(GOOD) + judge_installation(INSTALLED)
    assert {finding.level for finding in found} == {Level.OK}
    assert not any(finding.remedy for finding in found)


@pytest.mark.parametrize(
    ("changes", "subject", "level", "words"),
    [
        ({"esp": LOADABLE}, "kernel ESP", Level.WARNING, "modprobe esp4"),
        ({"esp": UNKNOWN}, "kernel ESP", Level.UNKNOWN, "gateway --check"),
        ({"esp": ABSENT}, "kernel ESP", Level.WARNING, "in user space"),
        ({"esp": ABSENT, "tun": ABSENT}, "kernel ESP", Level.MISSING, "run a kernel with esp4"),
        ({"esp": ABSENT, "has_ipv6": False}, "kernel ESP", Level.MISSING, "mend tun and IPv6"),
        ({"tun": ABSENT}, "tun", Level.MISSING, "mknod /dev/net/tun c 10 200"),
        ({"tun": UNKNOWN}, "tun", Level.UNKNOWN, "modprobe tun"),
        ({"has_ipv6": False}, "IPv6", Level.WARNING, "ipv6.disable=1"),
        ({"esp": ABSENT, "has_ipv6": False}, "IPv6", Level.MISSING, "ipv6.disable=1"),
        ({"udp_taken": frozenset({4500})}, "UDP 500, 4500", Level.MISSING, "4500: held by another"),
        ({"forwards": False}, "ip_forward", Level.WARNING, "net.ipv4.ip_forward=1"),
        ({"devices": {"eth0": 0}}, "ip_forward", Level.WARNING, "net.ipv4.ip_forward: 0"),
        ({"forwards": None}, "ip_forward", Level.UNKNOWN, "can't be read"),
        ({"devices": {"eth1": 1, "docker0": 0}}, "rp_filter", Level.WARNING, "eth1.rp_filter=2"),
        ({"ping_groups": (1, 0)}, "ping_group_range", Level.WARNING, "0 2147483647"),
        ({"ping_groups": (0, 10000)}, "ping_group_range", Level.WARNING, "0 2147483647"),
        ({"ping_groups": None}, "ping_group_range", Level.UNKNOWN, "can't be read"),
        ({"nf_tables": ABSENT}, "nf_tables", Level.WARNING, "run a kernel with nf_tables"),
        ({"nf_tables": UNKNOWN}, "nf_tables", Level.UNKNOWN, "modprobe nf_tables"),
        ({"conntrack": (801, 1000)}, "conntrack", Level.WARNING, "nf_conntrack_max=2000"),
        ({"descriptors": 1023}, "open files", Level.MISSING, "default-ulimits"),
        ({"clock_synchronised": False}, "clock", Level.WARNING, "chrony"),
        ({"clock_synchronised": None}, "clock", Level.UNKNOWN, "does not tell"),
        ({"processors": 1}, "processors", Level.WARNING, "share"),
        ({"memory_bytes": 512 * MIB - 1}, "memory", Level.MISSING, "512 MiB"),
        ({"free_memory_bytes": 256 * MIB - 1}, "memory", Level.WARNING, "256 MiB"),
    ],
)
def test_what_is_not_as_it_should_be_is_told_with_what_to_do(
    changes: dict[str, Any], subject: str, level: Level, words: str
) -> None:
    found = of(judge_host(replace(GOOD, **changes)), subject)
    assert found.level is level
    assert words in str(found)
    others = {f.subject for f in judge_host(replace(GOOD, **changes)) if f.level is not Level.OK}
    assert others <= {subject, "kernel ESP", "tun", "IPv6"}


@pytest.mark.parametrize(
    ("changes", "subject"),
    [
        ({"tun": LOADABLE}, "tun"),
        ({"nf_tables": LOADABLE}, "nf_tables"),
        ({"udp_taken": frozenset({500, 4500}), "charon_answers": True}, "UDP 500, 4500"),
        ({"devices": {"eth0": 0}, "forwards": False}, "ip_forward"),
        ({"devices": {"eth0": 0, "docker0": 1}}, "rp_filter"),
        ({"ping_groups": (10001, 10001)}, "ping_group_range"),
        ({"conntrack": None}, "conntrack"),
        ({"conntrack": (800, 1000)}, "conntrack"),
        ({"free_memory_bytes": 0, "charon_answers": True}, "memory"),
    ],
)
def test_what_looks_odd_but_is_right_is_ok(changes: dict[str, Any], subject: str) -> None:
    assert of(judge_host(replace(GOOD, **changes)), subject).level is Level.OK


@pytest.mark.parametrize(
    ("changes", "subject", "level", "words"),
    [
        ({"unreadable": "does not exist"}, "airports.json", Level.MISSING, "root:10001, mode 640"),
        ({"unwritable": {"cache": "/cache"}}, "cache", Level.MISSING, "chown 10001"),
        ({"hub_address": "", "hub_addresses": ()}, "HUB_ADDRESS", Level.WARNING, ".env"),
        ({"hub_addresses": ()}, "HUB_ADDRESS", Level.MISSING, "vpn.example.org has no address"),
        (
            {"own_addresses": frozenset()},
            "HUB_ADDRESS",
            Level.WARNING,
            "vpn.example.org (192.0.2.1) is none of",
        ),
        ({"faults": (Fault("airports.kspb", "bad"),)}, "declaration", Level.MISSING, "kspb: bad"),
        (
            {"faults": (Fault("airports.kspb", "odd", severity=Severity.WARNING),)},
            *("declaration", Level.WARNING, "kspb: odd"),
        ),
    ],
)
def test_files_settings_and_the_declaration_are_judged_likewise(
    changes: dict[str, Any], subject: str, level: Level, words: str
) -> None:
    found = judge_installation(replace(INSTALLED, **changes))
    assert of(found, subject).level is level
    assert words in str(of(found, subject))
    assert all(f.level is Level.OK for f in found if f.subject != subject)
