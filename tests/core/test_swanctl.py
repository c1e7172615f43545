"""The copy for charon's own start: the same connections, and no key in clear."""

import re
from base64 import b64decode
from dataclasses import replace
from typing import Any

import pytest

from reconciler.core.render import Connection
from reconciler.core.swanctl import swanctl_text
from tests.builders import connection, connections, vpn


def parse(text: str) -> dict[str, Any]:
    """Read sections and quoted values, which is all that the file may consist of."""
    stack: list[dict[str, Any]] = [{}]
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        if opened := re.fullmatch(r" *([\w.-]+) \{", line):
            section: dict[str, Any] = {}
            stack[-1][opened[1]] = section
            stack.append(section)
        elif re.fullmatch(r" *\}", line):
            stack.pop()
        else:
            pair = re.fullmatch(r' *([a-z_]+) = "([^"\\\n]*)"', line)
            assert pair, line
            stack[-1][pair[1]] = pair[2]
    assert len(stack) == 1
    return stack[0]


def as_text(settings: Any) -> Any:
    """Write a body of `load-conn` as the file would: lists joined by commas."""
    return {
        key: ",".join(v) if isinstance(v, list) else as_text(v) if isinstance(v, dict) else v
        for key, v in settings.items()
    }


def test_the_file_holds_exactly_what_charon_was_told() -> None:
    made = connections(
        k1=vpn(1, remote_subnet=["192.168.1.0/24", "fd00:1::/64"]),
        k2=vpn(2, remote_address="198.51.100.7", dh_group=20),
    )
    found = parse(swanctl_text(made.values()))
    assert list(found) == ["connections", "secrets"]
    assert found["connections"] == {n: as_text(c.settings) for n, c in made.items()}


def test_each_secret_has_the_mark_the_key_and_the_site_as_its_only_owner() -> None:
    made = connection(psk="a quite long pre-shared key")
    secrets = parse(swanctl_text([made]))["secrets"]
    assert list(secrets) == [made.file_secret_id]
    body = secrets[made.file_secret_id]
    assert list(body) == ["id", "secret"]
    assert body["id"] == "kspb.remote"
    assert body["secret"].startswith("0s")
    assert b64decode(body["secret"][2:]) == made.psk


@pytest.mark.parametrize(
    "psk",
    [
        'quote " brace } hash # and \\ more of it',
        "include other.conf ${HOME} $(id)",
        "0x00112233445566778899aabbccddeeff",
        "0sQUJDREVGR0hJSktMTU5PUFFSU1RVVg==",
        "  blanks around it and in it  ",
        "ümläut-und-漢字-und-noch-mehr",
    ],
)
def test_no_character_of_a_key_can_break_out_or_be_read_otherwise(psk: str) -> None:
    made = connection(psk=psk)
    text = swanctl_text([made])
    assert psk not in text
    secret = parse(text)["secrets"][made.file_secret_id]["secret"]
    assert b64decode(secret[2:]).decode() == psk


@pytest.mark.parametrize("hub_id", ["vpn.aviationwx.org", "vpn", "a-b_c.d"])
def test_the_hubs_identity_stands_there_as_it_is(hub_id: str) -> None:
    made = connection()
    settings = {**made.settings, "local": {"auth": "psk", "id": hub_id}}
    found = parse(swanctl_text([_with_settings(made, settings)]))
    assert found["connections"]["kspb_vpn"]["local"]["id"] == hub_id


def _with_settings(made: Connection, settings: dict[str, Any]) -> Connection:
    return replace(made, settings=settings)


def test_without_tunnels_the_file_is_valid_and_empty() -> None:
    assert parse(swanctl_text([])) == {"connections": {}, "secrets": {}}


def test_the_same_connections_give_the_same_file() -> None:
    made = connections(k1=vpn(1), k2=vpn(2))
    assert swanctl_text(made.values()) == swanctl_text(connections(k2=vpn(2), k1=vpn(1)).values())
