"""`reconciler preflight`: what it prints, and its exit code."""

import json
from ipaddress import ip_network
from pathlib import Path

import pytest

from reconciler import preflight
from reconciler.core.preflight import Host
from tests.builders import document, vpn
from tests.cli.conftest import Installation
from tests.core.test_preflight import GOOD


@pytest.fixture
def good(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Installation:
    """Return an installation on a host that has everything."""

    def read(_vici: Path) -> Host:
        return GOOD

    monkeypatch.setattr(preflight, "read_host", read)
    installation.config.write_text(json.dumps(document(kspb=vpn())))
    return installation


def levels(installation: Installation, *flags: str) -> dict[str, str]:
    told = json.loads(installation.run("preflight", "--json", *flags).out)
    return {finding["subject"]: finding["level"] for finding in told["findings"]}


def test_it_is_0_if_nothing_is_missing_and_1_if_something_is(good: Installation) -> None:
    answer = good.run("preflight")
    assert answer.code == 0, answer.out
    assert answer.out.endswith("nothing is missing\n")
    good.config.unlink()
    answer = good.run("preflight")
    assert answer.code == 1
    assert f"missing  airports.json    {good.config} does not exist; " in answer.out


def test_json_holds_what_the_lines_hold(good: Installation) -> None:
    answer = good.run("preflight", "--json")
    told = json.loads(answer.out)
    assert told["missing"] is False
    assert {"subject", "level", "told", "remedy"} == set(told["findings"][0])
    assert len(told["findings"]) == len(good.run("preflight").out.splitlines()) - 2


def test_an_airport_with_an_error_is_told_without_its_key(good: Installation) -> None:
    bad = vpn(remote_subnet="192.168.1.1/24", psk="a-key-that-nobody-may-see-0123456789")
    good.config.write_text(json.dumps(document(kspb=bad)))
    answer = good.run("preflight")
    assert answer.code == 1
    assert "airports.kspb.vpn.remote_subnet" in answer.out
    assert "nobody-may-see" not in answer.out + answer.err


def test_a_lan_that_is_the_hubs_own_network_is_told(
    good: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {"network eth0": ip_network("192.168.1.0/24")}
    monkeypatch.setattr(preflight, "read_hub_networks", lambda: own)
    answer = good.run("preflight")
    assert answer.code == 1
    assert "192.168.1.0/24 would swallow the hub's own network eth0" in answer.out


def test_the_hubs_address_is_compared_with_those_of_the_host(
    good: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {"address 192.0.2.1": ip_network("192.0.2.1"), "network eth0": ip_network("192.0.2.0/24")}
    monkeypatch.setattr(preflight, "read_hub_networks", lambda: own)
    assert levels(good)["HUB_ADDRESS"] == "warning"
    assert levels(good, "--hub-address=192.0.2.1")["HUB_ADDRESS"] == "ok"
    assert levels(good, "--hub-address=192.0.2.0")["HUB_ADDRESS"] == "warning"
    assert levels(good, "--hub-address=localhost.invalid")["HUB_ADDRESS"] == "missing"


@pytest.mark.parametrize(
    ("flag", "subject"),
    [("status-file", "cache"), ("state-dir", "state"), ("swanctl-file", "charon's copy")],
)
def test_a_directory_that_can_not_be_written_in_is_named(
    good: Installation, tmp_path: Path, flag: str, subject: str
) -> None:
    nowhere = tmp_path / "nowhere"
    path = nowhere if flag == "state-dir" else nowhere / "file"
    answer = good.run("preflight", f"--{flag}={path}")
    assert answer.code == 1
    assert f"{subject:<16} the reconciler can't write in {nowhere}" in answer.out
