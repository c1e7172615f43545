"""A key that is known is covered wherever it turns up, and what may be a key is not shown."""

import base64
import json
from typing import Any

import pytest

from reconciler.core.mask import COVER, Mask, keys_in, shown
from tests.builders import decided, vpn
from tests.leaks import ODD, PSK, leaked

KEYS = [PSK, ODD, "x" * 8, "abcd-efgh", base64.b64encode(bytes(range(200, 232))).decode()]


@pytest.mark.parametrize("key", KEYS, ids=range(len(KEYS)))
def test_a_key_is_covered_in_every_form(key: str) -> None:
    mask = Mask().also([key, "another-key-of-somebody"])
    forms = {
        key,
        repr(key),
        repr(key.encode()),
        json.dumps({"psk": key}),
        json.dumps({"psk": key}, ensure_ascii=False),
        repr(json.dumps([key])),
        key.encode().hex(),
        base64.b64encode(key.encode()).decode(),
        base64.urlsafe_b64encode(key.encode()).decode(),
        base64.b64encode(b"u:" + key.encode()).decode(),
        base64.b64encode(b"user:" + key.encode()).decode(),
        f"https://user:{key}@camera/",
        f"before{key}after",
    }
    for form in forms:
        text = mask.text(f"refused: {form}; try again")
        assert not leaked(text, key), text
        assert COVER in text
        assert text.startswith("refused: ")
        assert text.endswith("; try again")


@pytest.mark.parametrize("key", [PSK, ODD])
def test_a_part_of_a_key_is_covered_as_well(key: str) -> None:
    mask = Mask().also([key])
    for begin in range(len(key) - 11):
        for end in range(begin + 11, len(key) + 1):
            assert not leaked(mask.text(f"… {key[begin:end]} …"), key)
    assert not leaked(mask.text(key[:8]), key)
    assert not leaked(mask.text(key[-8:]), key)


def test_what_is_no_key_stays_as_it_is() -> None:
    text = "airports.kspb.vpn.remote_subnet: '192.168.1.7/24' has host bits set"
    assert Mask().also(KEYS).text(text) == text
    assert Mask().text(PSK) == PSK


def test_a_short_key_is_covered_as_a_word_only() -> None:
    mask = Mask().also(["hush", "cat"])
    assert mask.text("hush: 'hush', hushed, (hush) psk=hush.") == (
        f"{COVER}: '{COVER}', hushed, ({COVER}) psk={COVER}"
    )
    assert mask.text("a cat") == "a cat", "three characters keep no secret"


def test_what_was_a_key_once_is_covered_for_good_and_nothing_is_made_twice() -> None:
    mask = Mask().also([PSK])
    more = mask.also([ODD])
    assert more.also([PSK, ODD]) is more
    assert not leaked(more.text(PSK + " " + ODD), PSK)
    assert repr(more) == "Mask()"


def test_keys_are_found_wherever_they_seem_to_be_meant() -> None:
    airports = {
        "kspb": {"vpn": {"psk": "one", "next_psk": "two", "remote_id": "no", "psk_file": "/no"}},
        "kczk": {"vpn": {"PSK": "three", "pskk": ["four", {"x": "five"}], "pre_shared_secret": 6}},
        "s51": {"vpn": {"key": "seven", "password": "eight", "enabled": True, "psk": True}},
        "bad": {"vpn": ["psk"]},
        "none": None,
    }
    assert {*keys_in(airports)} == {"one", "two", "three", "four", "five", "6", "seven", "eight"}
    nonsense: list[Any] = [None, [], "x", {"kspb": []}, {"kspb": {"vpn": None}}]
    for one in nonsense:
        assert [*keys_in(one)] == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("192.168.1.7/24", "'192.168.1.7/24'"),
        (
            "2001:db8:1234:5678:9abc:def0:1234:5678/128",
            "'2001:db8:1234:5678:9abc:def0:1234:5678/128'",
        ),
        ("wireguard", "'wireguard'"),
        (7, "7"),
        (True, "True"),
        (PSK, f"a text of {len(PSK)} characters"),
        ("0123456789abcdef0123456789abcdef", "a text of 32 characters"),
        ([PSK], f"a value of {len(PSK) + 4} characters"),
        ({"psk": PSK}, f"a value of {len(PSK) + 11} characters"),
    ],
    ids=lambda value: str(value)[:12],
)
def test_what_is_so_long_that_it_may_be_a_key_is_not_shown(value: Any, text: str) -> None:
    assert shown(value) == text


FIELDS = [
    *("enabled", "type", "connection_name", "remote_subnet", "local_subnet", "psk_file"),
    *("next_psk_file", "rekey_after", "remote_id", "remote_address", "ike_version"),
    *("encryption", "dh_group", "lifetime", "unknown"),
]
WRAPPED = [
    lambda key: key,
    lambda key: [key],
    lambda key: {"value": key},
    lambda key: f" {key}\n",
    lambda key: f"/{key}",
    lambda key: f"{key}/24",
    lambda key: [[key]],
]


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("wrap", WRAPPED, ids=range(len(WRAPPED)))
@pytest.mark.parametrize("beside", [True, False], ids=["declared, too", "only there"])
@pytest.mark.parametrize("key", [PSK, ODD], ids=["plain", "odd"])
def test_a_key_in_a_wrong_place_is_in_no_message(
    field: str, wrap: Any, beside: bool, key: str
) -> None:
    body = vpn(1, **{field: wrap(key)}, psk=key if beside else "192.168.1.0/24")
    found = decided(kspb=body)
    for fault in found.faults:
        assert not leaked(str(fault), key), str(fault)


@pytest.mark.parametrize("key", [PSK, ODD])
def test_a_key_as_the_name_of_a_key_is_in_no_message(key: str) -> None:
    for body in (vpn(1, **{key: ""}), vpn(1, psk=..., **{key: True}), vpn(1, psk=key, **{key: 1})):
        found = decided(kspb=body)
        assert found.errors
        for fault in found.faults:
            assert not leaked(str(fault), key), str(fault)


def test_a_short_key_that_is_declared_is_covered_in_a_wrong_place_as_well() -> None:
    found = decided(kspb=vpn(1, psk="hunter2!", remote_subnet="hunter2!"))
    assert "hunter2" not in "".join(map(str, found.faults))


def test_a_key_that_was_accepted_before_is_covered_in_a_wrong_place() -> None:
    accepted = {"kspb": vpn(1, psk="hunter2!")}
    found = decided(accepted, kspb=vpn(1, psk="192.168.1.0/24", remote_subnet="hunter2!"))
    assert found.errors
    assert "hunter2" not in "".join(map(str, found.faults))


def test_many_keys_cost_little_for_a_line() -> None:
    """Ten thousand keys are no more than one: a line is looked up, not every key in it."""
    mask = Mask().also(
        f"{number:05d}-{number * 7919 % 99991:05d}-taxiway" for number in range(2000)
    )
    assert mask.text("nothing of that " * 20) == "nothing of that " * 20
    assert mask.text("01234-97687-taxiway") == COVER
