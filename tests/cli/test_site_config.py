"""`reconciler site-config`: the far side of one declared tunnel."""

import json
from typing import Any

import pytest

from reconciler.core.far_side import PLACEHOLDER
from reconciler.core.routers import ROUTERS
from tests.builders import document, vpn
from tests.cli.conftest import Answer, Installation

HUB = "--hub-address=vpn.example.org"


@pytest.fixture
def declared(installation: Installation) -> Installation:
    return declare(installation, kspb=vpn(1), kczk=vpn(2, connection_name="river"))


def declare(installation: Installation, **airports: dict[str, Any]) -> Installation:
    installation.config.write_text(json.dumps(document(**airports)))
    return installation


def ask(installation: Installation, *arguments: str) -> Answer:
    return installation.run("site-config", HUB, *arguments)


@pytest.mark.parametrize("name", ["kczk", "river"])
def test_an_airport_is_found_by_its_id_and_by_its_connection(
    declared: Installation, name: str
) -> None:
    answer = ask(declared, name, "--router", "strongswan")
    assert (answer.code, answer.err) == (0, "")
    assert "  river {\n" in answer.out
    assert "id = fqdn:kczk.remote" in answer.out
    assert "remote_addrs = vpn.example.org" in answer.out


def test_the_key_is_printed_on_request_only(declared: Installation) -> None:
    key = "correct-horse-battery-0001"
    for form in ([], ["--json"], ["--format", "json"]):
        hidden = ask(declared, "kspb", "--router", "generic", *form)
        assert key not in hidden.out + hidden.err
        assert PLACEHOLDER in hidden.out
        assert key in ask(declared, "kspb", "--router", "generic", "--show-key", *form).out


def test_json_for_scripts(declared: Installation) -> None:
    found = json.loads(ask(declared, "kspb", "--router", "generic", "--format", "json").out)
    assert found["router"] == "generic"
    assert found["connection"] == "kspb_vpn"
    assert found["shows_key"] is False
    assert found["settings"]["local_id"] == "kspb.remote"
    assert found["settings"]["remote_networks"] == ["0.0.0.0/0"]
    assert found["configuration"].startswith("# kspb_vpn: ")
    assert [warning for warning in found["warnings"] if "local_subnet" in warning]


def test_the_routers_are_listed(declared: Installation) -> None:
    answer = declared.run("site-config", "--list")
    assert [line.split()[0] for line in answer.out.splitlines()] == [*ROUTERS]
    found = json.loads(declared.run("site-config", "--list", "--json").out)["routers"]
    assert [router["name"] for router in found] == [*ROUTERS]
    assert all(router["sources"] for router in found)


@pytest.mark.parametrize("arguments", [[], ["kspb"], ["--router", "unifi"]])
def test_an_airport_and_a_router_must_be_named(
    declared: Installation, arguments: list[str]
) -> None:
    answer = ask(declared, *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert "name an airport and --router" in answer.err


def test_an_unknown_router_is_a_wrong_usage(declared: Installation) -> None:
    with pytest.raises(SystemExit) as ended:
        ask(declared, "kspb", "--router", "toaster")
    assert ended.value.code == 2


def test_the_hubs_address_must_be_known(declared: Installation) -> None:
    answer = declared.run("site-config", "kspb", "--router", "strongswan", "--hub-address=")
    assert (answer.code, answer.out) == (1, "")
    assert "give --hub-address, or set HUB_ADDRESS" in answer.err


@pytest.mark.parametrize("address", ["hub example", "https://hub", "hub:500", "10.0.0.300", "*"])
def test_a_hub_address_must_be_a_name_or_an_address(declared: Installation, address: str) -> None:
    answer = declared.run("site-config", "kspb", "--router=generic", f"--hub-address={address}")
    assert answer.code == 2
    assert "HUB_ADDRESS" in answer.err


def test_an_ipv6_hub_address_is_taken(declared: Installation) -> None:
    answer = declared.run("site-config", "kspb", "--router=generic", "--hub-address=2001:db8::1")
    assert "2001:db8::1" in answer.out


def test_what_a_router_can_not_do_is_told_line_by_line(declared: Installation) -> None:
    answer = ask(declared, "kspb", "--router", "unifi")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.splitlines() == [
        "reconciler: Ubiquiti UniFi gateway can't be set up for kspb_vpn:",
        '  - it has no aes256gcm128; declare "encryption": "aes256-sha256", "dh_group": 14',
        "  - it can't have everything (0.0.0.0/0) as remote network without taking the site's "
        "internet traffic into the tunnel; declare local_subnet, the network that the hub "
        "fetches from",
    ]


def test_a_key_that_the_router_can_not_take_is_refused_and_not_shown(
    installation: Installation,
) -> None:
    plain = {"encryption": "aes256-sha256", "local_subnet": "10.0.0.0/24"}
    declare(installation, kspb=vpn(1, psk='a "quoted" key-0123456789', **plain))
    answer = ask(installation, "kspb", "--router", "unifi", "--show-key")
    assert answer.code == 1
    assert 'the key has blanks, ", which it does not take' in answer.err
    assert "quoted" not in answer.err


def test_an_airport_that_is_not_declared_is_told_with_those_that_are(
    declared: Installation,
) -> None:
    answer = ask(declared, "kxyz", "--router", "generic")
    assert answer.code == 1
    assert "'kxyz' is no declared connection or airport; declared: kczk, kspb" in answer.err


def test_a_disabled_airport_is_told(installation: Installation) -> None:
    declare(installation, kspb=vpn(1, enabled=False))
    assert "kspb is disabled" in ask(installation, "kspb", "--router", "generic").err


def test_the_faults_of_an_airport_are_told(installation: Installation) -> None:
    declare(installation, kspb=vpn(1, dh_group=99))
    answer = ask(installation, "kspb", "--router", "generic")
    assert answer.code == 1
    assert "airports.kspb.vpn.dh_group: '99' is not a known group" in answer.err


def test_a_missing_file_is_told(installation: Installation) -> None:
    answer = ask(installation, "kspb", "--router", "generic")
    assert (answer.code, answer.err) == (1, f"reconciler: {installation.config}: does not exist\n")


def test_the_settings_of_the_hub_are_in_it(declared: Installation) -> None:
    answer = ask(
        declared, "kspb", "--router=generic", "--hub-id=hub.example.org", "--dpd-delay-seconds=15"
    )
    assert "hub.example.org" in answer.out
    assert "dpd_s             15" in answer.out
