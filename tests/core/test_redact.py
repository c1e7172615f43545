"""No key gets out: what is shown is a list, and every spelling of a secret is found."""

import base64
import html
import json
import re
import urllib.parse
from collections.abc import Callable
from typing import Any

import pytest

from reconciler.core.model import UnreadableKey
from reconciler.core.redact import (
    MASK,
    Finder,
    Secret,
    secrets_of_broken_json,
    secrets_of_document,
    secrets_of_swanctl,
    secrets_of_url,
    shown_document,
    swanctl_without_secrets,
    without_user_info,
)
from reconciler.core.swanctl import swanctl_text
from tests.builders import connection, document, vpn

PSKS = ["correct-horse-battery-0001", "käse\"&<\\>' + /%100", "Zm9v/+bar==baz", "\u2028line\u0085"]
WRITTEN: dict[str, Callable[[str], str]] = {
    "as it is": lambda psk: psk,
    "json": lambda psk: json.dumps({"x": psk}),
    "json, not escaped": lambda psk: json.dumps({"x": psk}, ensure_ascii=False),
    "json in json": lambda psk: json.dumps(json.dumps({"x": psk})),
    "python": repr,
    "python bytes": lambda psk: repr(psk.encode()),
    "url": lambda psk: f"http://u:{urllib.parse.quote(psk)}@h/",
    "url, all": lambda psk: urllib.parse.quote(psk, safe=""),
    "url, lower": lambda psk: re.sub(
        "%..", lambda found: found[0].lower(), urllib.parse.quote(psk, safe="")
    ),
    "form": urllib.parse.quote_plus,
    "html": html.escape,
    "base64": lambda psk: "0s" + base64.b64encode(psk.encode()).decode(),
    "base64 for urls": lambda psk: base64.urlsafe_b64encode(psk.encode()).decode(),
    "base64 of more": lambda psk: base64.b64encode(f"admin:{psk}!".encode()).decode(),
    "base64 of yet more": lambda psk: base64.b64encode(f"u:{psk}".encode()).decode(),
    "hex": lambda psk: "0x" + psk.encode().hex(),
    "HEX": lambda psk: psk.encode().hex().upper(),
}


@pytest.mark.parametrize("psk", PSKS)
@pytest.mark.parametrize("how", WRITTEN)
def test_a_secret_is_found_however_it_is_written(how: str, psk: str) -> None:
    finder = Finder([Secret("there", psk.encode())])
    content = f"before {WRITTEN[how](psk)} after".encode()
    assert finder.found_in(content) == ["there"]
    masked, found = finder.masked(content)
    assert found == ["there"]
    assert MASK in masked
    assert masked.startswith(b"before ")
    assert masked.endswith(b" after")
    assert finder.found_in(masked) == []


def test_many_secrets_are_found_at_once_and_overlapping_ones_are_masked_whole() -> None:
    secrets = [Secret(f"s{n}", f"secret-{n:04}".encode()) for n in range(2000)]
    finder = Finder([*secrets, Secret("long", b"secret-0001-and-more")])
    assert finder.masked(b"a secret-0001-and-more b secret-1999 c") == (
        b"a *** b *** c",
        ["long", "s1999"],
    )
    finder = Finder([Secret("a", b"abcdefgh"), Secret("b", b"efghijkl")])
    assert finder.masked(b"<abcdefghijkl>") == (b"<***>", ["a", "b"])


def test_what_is_too_short_to_be_told_from_other_text_is_named() -> None:
    finder = Finder([Secret("airports.kspb.vpn.psk", b"up")])
    assert finder.too_short == ["airports.kspb.vpn.psk"]
    assert finder.masked(b"it is up") == (b"it is up", [])


def test_a_secret_does_not_show_in_its_own_text() -> None:
    assert "horse" not in repr(Secret("there", PSKS[0].encode()))


def names(found: object) -> set[tuple[str, str]]:
    return {(one.where, one.value.decode()) for one in found}  # type: ignore[attr-defined]


def test_keys_are_found_at_their_place_and_wherever_else_one_would_put_them() -> None:
    airports = document(
        kspb=vpn(
            psk="first-key",
            next_psk="second-key",
            pskk="third-key",
            psk_file="fourth-key",
            next_psk_file="/run/secrets/kspb",
        )
    )
    airports["airports"]["kspb"]["webcams"] = [{"url": "rtsp://admin:hunter%402@10.0.0.1/x"}]
    airports["weather"] = {"apiKey": "fifth-key", "passwords": ["sixth-key"], "token": "short"}
    where = "airports.kspb.vpn"
    assert names(secrets_of_document(airports, "f")) == {
        (f"f.{where}.psk", "first-key"),
        (f"f.{where}.next_psk", "second-key"),
        (f"f.{where}.pskk", "third-key"),
        (f"f.{where}.psk_file", "fourth-key"),
        ("f.airports.kspb.webcams[0].url", "hunter%402"),
        ("f.airports.kspb.webcams[0].url", "hunter@2"),
        ("f.weather.apiKey", "fifth-key"),
        ("f.weather.passwords", "sixth-key"),
    }


def test_so_are_those_of_a_file_that_is_broken() -> None:
    text = r'{"psk": "one\u00e4-\"key", "next_psk" : "two-key", "url": "http://a:b-secret@h"'
    assert {value for _, value in names(secrets_of_broken_json(text, "f"))} == {
        'oneä-"key',
        "two-key",
        "b-secret",
    }


@pytest.mark.parametrize(
    ("url", "bare", "password"),
    [
        ("rtsp://admin:pa@ss:word@10.0.0.1:554/x", "rtsp://10.0.0.1:554/x", "pa@ss:word"),
        ("http://admin@10.0.0.1/", "http://10.0.0.1/", None),
        ("http://10.0.0.1/a:b@c", "http://10.0.0.1/a:b@c", None),
        ("tcp://u:secret@proxy:2375", "tcp://proxy:2375", "secret"),
    ],
)
def test_a_url_is_shown_without_user_and_password(
    url: str, bare: str, password: str | None
) -> None:
    assert without_user_info(url) == bare
    found = {value for _, value in names(secrets_of_url(url, "u"))}
    assert found == ({password} if password else set())


def test_the_keys_of_swanctl_conf_are_found_and_left_out() -> None:
    text = swanctl_text([connection()])
    value = connection().psk
    assert value in {one.value for one in secrets_of_swanctl(text, "s")}
    assert Finder([Secret("k", value)]).found_in(text.encode()) == ["k"]
    bare = swanctl_without_secrets(text)
    assert Finder([Secret("k", value)]).found_in(bare.encode()) == []
    assert bare.count("\n") == text.count("\n")
    assert 'id = "kspb.remote"' in bare
    by_hand = 'secret = plain-key\n secret-1 = "0x6869"\nsecret = 0s!!!'
    found = {one.value for one in secrets_of_swanctl(by_hand, "s")}
    assert {b"plain-key", b"hi", b"0s!!!"} <= found


def test_of_a_declaration_only_known_keys_are_shown_and_no_secret_one() -> None:
    airports = document(
        kspb=vpn(
            next_psk=UnreadableKey("gone"),
            psk_file="a-key-by-mistake",
            next_psk_file="/run/secrets/kspb",
            remote_subnet=["192.168.1.0/24"],
            connection_name={"psk": "hidden"},
            comment="anything",
        ),
        kczk=[],  # type: ignore[arg-type]
    )
    airports["airports"]["kspb"] |= {
        "name": "Scappoose",
        "webcams": [{"name": "N", "url": "http://u:p@10.0.0.1/x?token=t#f", "key": "k"}, 7],
        "operator": {"phone": "1"},
    }
    airports["airports"]["odd"] = None
    airports["api_key"] = "x"
    assert shown_document(airports) == {
        "airports": {
            "kspb": {
                "name": "Scappoose",
                "vpn": {
                    "enabled": True,
                    "type": "ipsec",
                    "connection_name": "(dict)",
                    "remote_subnet": ["192.168.1.0/24"],
                    "psk_file": "(not a path; removed)",
                    "next_psk_file": "/run/secrets/kspb",
                    "psk": "(removed)",
                    "next_psk": "(its file can't be read)",
                    "unknown keys": 1,
                },
                "webcams": [{"name": "N", "url": "http://10.0.0.1/x"}, "(int)"],
            },
            "kczk": {"name": "", "vpn": "(list)"},
            "odd": "(NoneType)",
        }
    }
    assert shown_document([]) == {"airports": "(NoneType)"}


PASSWORD = "Kx7-s3cret"  # noqa: S105 - of no camera


@pytest.mark.parametrize(
    "airport",
    [
        {"webcams": [{"name": f"a:{PASSWORD}@192.168.1.10"}]},
        {"webcams": [{"url": f"rtsp://192.168.1.10/user=a_password={PASSWORD}_channel=1"}]},
        {"webcams": [{"url": f"rtsp://192.168.1.10:7447/{PASSWORD}"}]},
        {"webcams": [{"url": f"http://a:p/{PASSWORD}@192.168.1.10/"}]},
        {"webcams": [{"url": f"a:{PASSWORD}@192.168.1.10"}]},
        {"webcams": [{"url": f"http:a:{PASSWORD}@192.168.1.10"}]},
        {"webcams": [{"url": f"http://192.168.1.10/a:{PASSWORD}/x"}]},
        {"vpn": {"health_check": f"a:{PASSWORD}@192.168.1.10"}},
        {"name": f"http://192.168.1.10/?p={PASSWORD}"},
    ],
    ids=repr,
)
def test_no_password_of_a_camera_is_shown_however_its_url_is_written(
    airport: dict[str, Any],
) -> None:
    assert PASSWORD not in json.dumps(shown_document({"airports": {"kspb": airport}}))
