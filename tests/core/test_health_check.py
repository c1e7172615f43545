"""`vpn.health_check`: what may be declared, and what is said of the rest."""

from typing import Any

import pytest

from reconciler.core.check import decide
from reconciler.core.health_check import HealthCheck, parse_health_check
from reconciler.core.render import render
from tests.builders import FACTS, HUB, connections, decided, document, vpn


def checked(value: Any) -> tuple[str, str, int, int] | None:
    found = parse_health_check(value)
    return (str(found.target), found.kind, found.port, found.interval_s) if found else None


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ("192.168.1.1", ("192.168.1.1", "ping", 0, 0)),
        (" 192.168.1.1 ", ("192.168.1.1", "ping", 0, 0)),
        ("192.168.1.100:80", ("192.168.1.100", "tcp", 80, 0)),
        ("fd00::1", ("fd00::1", "ping", 0, 0)),
        ("[fd00::1]:443", ("fd00::1", "tcp", 443, 0)),
        ({"target": "192.168.1.1"}, ("192.168.1.1", "ping", 0, 0)),
        ({"target": "192.168.1.1", "port": 80}, ("192.168.1.1", "tcp", 80, 0)),
        ({"target": "192.168.1.1:80"}, ("192.168.1.1", "tcp", 80, 0)),
        (
            {"target": "192.168.1.1", "kind": "tcp", "port": "80", "interval_s": "60"},
            ("192.168.1.1", "tcp", 80, 60),
        ),
        (None, None),
    ],
)
def test_a_text_or_an_object_is_read(declared: Any, expected: Any) -> None:
    assert checked(declared) == expected


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ("cam.example.org", "'cam.example.org' is no target; write an address of the LAN, like"),
        ("192.168.1.1:99999", "port 99999 is out of range; write 1 to 65535"),
        ("fe80::1%eth0", "is no target"),
        (5, "5 is no target"),
        ({}, "None is no target"),
        ({"target": "192.168.1.1", "kind": "tcp"}, "kind tcp needs a port"),
        ({"target": "192.168.1.1", "kind": "http"}, "kind 'http' is not known; write ping or tcp"),
        ({"target": "192.168.1.1", "kind": "ping", "port": 80}, "a ping has no port"),
        ({"target": "192.168.1.1", "interval_s": 1}, "interval_s 1 is out of range; write 5 to"),
        ({"target": "192.168.1.1", "intervall": 9}, "unknown key 'intervall'; known: target,"),
        ("192.168.2.1", "192.168.2.1 is not in remote_subnet 192.168.1.0/24, so no tunnel leads"),
        ("fd00::1", "fd00::1 is not in remote_subnet 192.168.1.0/24"),
    ],
)
def test_anything_else_is_an_error_that_says_what_would_be_right(
    declared: Any, message: str
) -> None:
    decision = decided(kspb=vpn(1, health_check=declared))
    [fault] = decision.errors
    assert fault.path == "airports.kspb.vpn.health_check"
    assert message in fault.message
    assert "kspb" not in decision.sites


def test_it_is_no_part_of_what_charon_is_told() -> None:
    plain = connections(kspb=vpn(1))
    assert connections(kspb=vpn(1, health_check="192.168.1.1")) == plain


def test_it_is_remembered_with_the_declaration_and_holds_when_a_later_one_is_faulty() -> None:
    first = decided(kspb=vpn(1, health_check="192.168.1.1"))
    faulty = decide(document(kspb=vpn(1, lifetime=1)), dict(first.accepted), FACTS)
    check = parse_health_check("192.168.1.1")
    assert isinstance(check, HealthCheck)
    assert faulty.sites["kspb"].health_check == check
    assert render(faulty.sites.values(), HUB)


@pytest.mark.parametrize(
    "declared",
    [
        "http://admin:Kx7-secret@192.168.1.10/",
        "a:Kx7-secret@10.0.0.1",
        {"target": "a:Kx7-secret@10.0.0.1"},
        ["a:Kx7-secret@10.0.0.1"],
        {"target": "192.168.1.10", "kind": "http://a:Kx7-secret@10.0.0.1"},
        {"target": "192.168.1.10", "port": "80:Kx7-secret@10.0.0.1"},
        {"target": "192.168.1.10", "a:Kx7-secret@b": 1},
    ],
    ids=repr,
)
def test_the_password_of_a_camera_that_was_pasted_there_is_not_repeated(declared: Any) -> None:
    decision = decided(kspb=vpn(1, health_check=declared))
    assert decision.invalid == {"kspb"}
    assert "Kx7" not in str(decision.faults)
