"""What charon is told, and marks that change exactly for what they should."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from reconciler.core.check import decide
from reconciler.core.render import Connection, Hub, Mark, mark_of_child, mark_of_secret, render
from tests.builders import FACTS, HUB, HUB_ID, connection, connections, decided, vpn

KSPB = connection()


def named(name: str) -> Connection:
    return connections(kspb=vpn(connection_name=name))[name]


def parts(before: Mark, after: Mark) -> set[str]:
    """Name the parts of the mark that differ."""
    return {
        part for part in ("ike", "child", "later") if getattr(before, part) != getattr(after, part)
    }


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"psk": "another-good-pre-shared-key"}, {"ike"}),
        ({"remote_id": "kspb.other"}, {"ike"}),
        ({"remote_address": "198.51.100.7"}, {"later"}),
        ({"remote_subnet": "192.168.2.0/24"}, {"child"}),
        ({"remote_subnet": ["192.168.1.0/24", "192.168.2.0/24"]}, {"child"}),
        ({"local_subnet": "172.16.0.0/24"}, {"child"}),
        ({"lifetime": 7200}, {"child"}),
        ({"dh_group": 15}, {"child", "later"}),
        ({"encryption": "aes128gcm128"}, {"child", "later"}),
        ({"encryption": "aes256gcm128-sha384"}, {"later"}),
    ],
    ids=repr,
)
def test_each_part_of_the_mark_changes_for_what_it_stands_for_and_no_other(
    changes: dict[str, Any], expected: set[str]
) -> None:
    assert parts(KSPB.mark, connection(**changes).mark) == expected


def test_another_name_is_another_mark() -> None:
    assert parts(KSPB.mark, named("other").mark) == {"ike"}


@pytest.mark.parametrize(
    "edit",
    [
        {"ike_version": "2", "dh_group": "14", "lifetime": "3600", "enabled": "true"},
        {"encryption": "AES256GCM16"},
        {"dh_group": "modp2048"},
        {"remote_subnet": ["192.168.1.0/24"]},
        {"remote_subnet": " 192.168.1.0/24 "},
        {"local_subnet": "0.0.0.0/0"},
        {"connection_name": "kspb_vpn", "remote_id": "kspb.remote"},
        {"type": ..., "enabled": True},
    ],
    ids=repr,
)
def test_an_edit_that_means_the_same_changes_nothing_at_all(edit: dict[str, Any]) -> None:
    assert connection(**edit) == KSPB


def test_key_order_whitespace_and_other_peoples_keys_change_nothing() -> None:
    body = vpn()
    content = {"airports": {"kczk": {"vpn": vpn(2)}, "kspb": {"name": "Scappoose", "vpn": body}}}
    first = decide(json.loads(json.dumps(content)), {}, FACTS)
    content["airports"] = {
        "kspb": {"vpn": dict(reversed(body.items())), "runways": 2},
        "kczk": {"vpn": vpn(2)},
    }
    second = decide(json.loads(json.dumps(content, indent=7)), {}, FACTS)
    assert render(first.sites.values(), HUB) == render(second.sites.values(), HUB)


def test_what_one_airport_changes_leaves_the_marks_of_the_others_alone() -> None:
    before = connections(kspb=vpn(1), kczk=vpn(2))
    after = connections(kspb=vpn(9, psk="x" * 9 + "yz-and-more-of-it"), kczk=vpn(2))
    assert before["kczk_vpn"] == after["kczk_vpn"]
    assert before["kspb_vpn"].mark != after["kspb_vpn"].mark


def test_another_proposal_anywhere_changes_the_hubs_part_everywhere_and_no_more() -> None:
    after = connections(kspb=vpn(1), kczk=vpn(2, dh_group=15))["kspb_vpn"]
    assert parts(KSPB.mark, after.mark) == {"later"}


@pytest.mark.parametrize(
    ("hub", "expected"),
    [
        (replace(HUB, hub_id="other.hub"), {"ike"}),
        (replace(HUB, dpd_delay_s=25), {"later"}),
        (replace(HUB, ike_rekey_s=7200), {"later"}),
        (Hub(HUB_ID, b"another key of the marks, 32 B.."), {"ike", "child", "later"}),
    ],
    ids=range(4),
)
def test_what_changes_on_the_hub_shows_in_the_mark(hub: Hub, expected: set[str]) -> None:
    sites = decide({"airports": {"kspb": {"vpn": vpn()}}}, {}, FACTS).sites.values()
    assert parts(KSPB.mark, render(sites, hub)["kspb_vpn"].mark) == expected


def four_proposals() -> list[Connection]:
    return [*connections(**{f"k{n}": vpn(n, dh_group=14 + n) for n in range(4)}).values()]


def test_a_mark_is_the_same_in_another_process_started_anew() -> None:
    code = (
        "from tests.core.test_render import four_proposals\n"
        "print(*(made.mark for made in four_proposals()))"
    )
    expected = [str(made.mark) for made in four_proposals()]
    for seed in ("1", "2"):
        environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        output = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
        assert output.split() == expected
    assert Mark.parse(str(KSPB.mark)) == KSPB.mark
    assert len(str(KSPB.mark)) == 24


def test_the_mark_tells_nothing_without_its_key() -> None:
    """Keyed, because it covers the PSK: with another key every digit may differ."""
    sites = decide({"airports": {"kspb": {"vpn": vpn()}}}, {}, FACTS).sites.values()
    keys = [bytes([n]) * 32 for n in range(20)]
    marks = {str(render(sites, Hub(HUB_ID, key))["kspb_vpn"].mark) for key in keys}
    assert len(marks) == len(keys)


NAMES = ["kspb_vpn", "a", "a-b_c", "ike-kspb", "a_0123456789abcdef01234567", "x" * 63]


@pytest.mark.parametrize("name", NAMES)
def test_child_name_and_both_secret_ids_parse_back(name: str) -> None:
    made = named(name)
    assert mark_of_child(made.child_name) == made.mark
    assert mark_of_secret(made.secret_id) == (name, made.mark)
    assert mark_of_secret(made.file_secret_id) == (name, made.mark)


@pytest.mark.parametrize(
    "text",
    ["", "net", "lan", "lan-", "lan-12", "lan-" + "g" * 24, "lan-" + "0" * 25, "xlan-" + "0" * 24],
)
def test_a_child_of_somebody_else_has_no_mark(text: str) -> None:
    assert mark_of_child(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "kspb",
        "#" + "0" * 24,
        "kspb#12",
        "kspb#" + "G" * 24,
        "ike-kspb",
        "eap-k_" + "0" * 24,
        "kspb_" + "0" * 24,
        "kspb#" + "0" * 25,
    ],
)
def test_a_secret_of_somebody_else_has_no_mark(text: str) -> None:
    assert mark_of_secret(text) is None


def test_the_psk_belongs_to_the_remote_identity_and_to_nobody_else() -> None:
    made = connection(remote_id="kspb.site", psk="pre-shared-kéy-of-this-site")
    assert made.remote_id == "kspb.site"
    assert made.psk == "pre-shared-kéy-of-this-site".encode()
    assert made.settings["remote"] == {"auth": "psk", "id": "kspb.site"}
    assert made.settings["local"] == {"auth": "psk", "id": HUB_ID}


def test_the_hub_responds_unless_the_sites_address_is_declared() -> None:
    assert KSPB.settings["remote_addrs"] == ["%any"]
    assert connection(remote_address="2001:db8::7").settings["remote_addrs"] == ["2001:db8::7"]


def test_every_connection_offers_the_same_list_of_proposals() -> None:
    """Charon picks from any connection's list before it knows the site."""
    made = connections(
        k1=vpn(1), k2=vpn(2, encryption="aes128gcm128"), k3=vpn(3, dh_group=20), k4=vpn(4)
    ).values()
    assert all(a.settings["proposals"] == b.settings["proposals"] for a, b in pairwise(made))
    assert next(iter(made)).settings["proposals"] == [
        "aes256gcm16-prfsha256-ecp384",
        "aes256gcm16-prfsha256-modp2048",
        "aes128gcm16-prfsha256-modp2048",
    ]


def test_each_child_has_the_selectors_and_lifetimes_that_were_declared() -> None:
    made = connection(remote_subnet=["192.168.1.0/24", "10.0.0.0/8"], lifetime="1000")
    child = made.settings["children"][made.child_name]
    assert list(made.settings["children"]) == [made.child_name]
    assert child["remote_ts"] == ["192.168.1.0/24", "10.0.0.0/8"]
    assert child["local_ts"] == ["0.0.0.0/0"]
    assert (child["rekey_time"], child["life_time"]) == ("900s", "1000s")
    assert child["esp_proposals"] == ["aes256gcm16-modp2048", "aes256gcm16"]


LISTS = {"local_addrs", "remote_addrs", "proposals", "esp_proposals", "local_ts", "remote_ts"}


def leaves(settings: Any) -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for key, value in settings.items():
        found += leaves(value) if isinstance(value, dict) else [(key, value)]
    return found


def test_charon_gets_lists_where_it_wants_lists_and_text_everywhere_else() -> None:
    """Charon discards a whole connection for a scalar in a list's place, or for `None`."""
    for key, value in leaves(KSPB.settings):
        if key in LISTS:
            assert isinstance(value, list)
            assert value
            assert all(isinstance(item, str) for item in value)
        else:
            assert isinstance(value, str)


def test_the_psk_is_not_among_the_settings() -> None:
    assert "correct-horse" not in json.dumps(KSPB.settings)


def test_the_order_of_the_sites_does_not_matter() -> None:
    bodies = {f"k{n}": vpn(n, dh_group=14 + n) for n in range(1, 5)}
    sites = list(decided(**bodies).sites.values())
    forward, backward = render(sites, HUB), render(reversed(sites), HUB)
    assert list(forward.items()) == list(backward.items())


def test_nothing_declared_renders_nothing() -> None:
    empty: dict[str, Connection] = {}
    assert render([], HUB) == empty
