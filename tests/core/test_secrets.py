"""Pre-shared keys: which are usable, and that none is ever shown."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from reconciler.core.check import Decision, Severity, decide
from reconciler.core.model import Manifest, Vpn
from reconciler.core.render import render
from tests.builders import FACTS, HUB, decided, document, vpn

PSK = "Wm9-tower-hangar-taxiway-42"


def faults(**changes: Any) -> list[tuple[str, str]]:
    decision = decided(kspb=vpn(**changes))
    return [(fault.path, fault.message) for fault in decision.faults]


@pytest.mark.parametrize(
    "value", ["", " ", "\t", None, 12345678901234567890, ["x"], True], ids=repr
)
def test_a_psk_that_is_blank_or_no_text_is_refused(value: Any) -> None:
    assert faults(psk=value) == [
        ("airports.kspb.vpn.psk", "missing or empty; write the site's pre-shared key")
    ]


@pytest.mark.parametrize("character", ["\n", "\r", "\t", "\0", "\x7f", "\x85", "\ud800"], ids=repr)
@pytest.mark.parametrize("place", ["begin", "middle", "end"])
def test_a_psk_with_a_line_break_is_refused_without_showing_it(character: str, place: str) -> None:
    value = {
        "begin": character + PSK,
        "middle": PSK[:9] + character + PSK[9:],
        "end": PSK + character,
    }
    decision = decided(kspb=vpn(psk=value[place]))
    assert decision.sites == {}
    assert [fault.path for fault in decision.errors] == ["airports.kspb.vpn.psk"]
    assert "control character" in decision.errors[0].message
    assert PSK[:9] not in repr(decision)
    assert PSK[9:] not in repr(decision)


def test_a_psk_longer_than_a_kilobyte_is_refused_by_its_bytes() -> None:
    assert "longer than 1024 bytes" in faults(psk="aä3Ö" * 200)[0][1]
    assert faults(psk="abcd4567" * 128) == []


@pytest.mark.parametrize("value", ["secret", "abcdefghij123456789", "a" * 40, "ab" * 20], ids=repr)
def test_a_weak_psk_works_with_a_warning_because_existing_files_must(value: str) -> None:
    decision = decided(kspb=vpn(psk=value))
    assert list(decision.sites) == ["kspb"]
    assert [(f.path, f.severity) for f in decision.faults] == [
        ("airports.kspb.vpn.psk", Severity.WARNING)
    ]
    assert "at least 20 random characters" in decision.faults[0].message


def test_a_strong_psk_has_no_warning() -> None:
    assert faults(psk=PSK) == []


@pytest.mark.parametrize("value", [f" {PSK}", f"{PSK} "], ids=repr)
def test_blanks_around_a_psk_are_kept_and_asked_about(value: str) -> None:
    decision = decided(kspb=vpn(psk=value))
    assert decision.sites["kspb"].psk.get_secret_value() == value
    assert "begins or ends with a blank" in decision.faults[0].message


def test_any_printable_character_may_be_in_a_psk() -> None:
    value = "\"'\\{}#$=,;% äöü漢字 0x 0s"
    assert decided(kspb=vpn(psk=value)).sites["kspb"].psk.get_secret_value() == value


def assert_hidden(value: object) -> None:
    assert PSK not in str(value)
    assert PSK not in repr(value)
    assert json.dumps(PSK)[1:-1] not in repr(value)


BAD = [
    {"psk": PSK + "\n"},
    {"psk": PSK, "remote_subnet": "nonsense"},
    {"psk": PSK, "lifetime": "soon", "encryption": "rot13", "unknown": 1},
    {"psk": [PSK]},
    {"psk": {"value": PSK}},
    {"pskk": PSK, "psk": ...},
    {"psk": PSK, "PSK": PSK},
    {"psk": PSK * 100},
]


@pytest.mark.parametrize("changes", BAD, ids=range(len(BAD)))
def test_no_fault_of_an_airport_shows_its_psk(changes: dict[str, Any]) -> None:
    decision = decided(kspb=vpn(**changes))
    assert decision.errors
    assert_hidden(decision)
    for fault in decision.faults:
        assert_hidden(fault)


@pytest.mark.parametrize("changes", BAD, ids=range(len(BAD)))
def test_no_validation_error_of_the_models_shows_the_psk(changes: dict[str, Any]) -> None:
    body = vpn(**changes)
    with pytest.raises(ValidationError) as caught:
        Vpn.model_validate(body)
    assert_hidden(caught.value)
    with pytest.raises(ValidationError) as whole:
        Manifest.model_validate(document(kspb=body))
    assert_hidden(whole.value)


def test_no_value_that_is_made_of_a_psk_shows_it() -> None:
    accepted = {"kspb": vpn(psk=PSK)}
    decision = decided(accepted, kspb=vpn(psk=PSK), kczk={**vpn(1), "psk": PSK})
    assert decision.errors
    connections = render(decision.sites.values(), HUB)
    for value in (decision, *decision.sites.values(), *connections.values(), HUB):
        assert_hidden(value)
    assert_hidden(Vpn.model_validate(vpn(psk=PSK)))
    assert_hidden(Manifest.model_validate(document(kspb=vpn(psk=PSK))))


def test_neither_the_key_of_the_marks_nor_a_rendered_psk_is_shown() -> None:
    connection = render(decided(kspb=vpn(psk=PSK)).sites.values(), HUB)["kspb_vpn"]
    assert "psk" not in repr(connection)
    assert "k" * 32 not in repr(HUB)


@pytest.mark.parametrize("accepted_vpn", [vpn(psk=PSK), {"psk": PSK, "remote_subnet": 5}, [PSK]])
def test_what_was_accepted_before_is_not_shown_either(accepted_vpn: Any) -> None:
    decision: Decision = decide({}, {"kspb": accepted_vpn}, FACTS)
    assert_hidden(decision)
