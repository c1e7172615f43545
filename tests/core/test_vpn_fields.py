"""Every key of `airports.<id>.vpn`: what is taken, what is refused, and with which words."""

from typing import Any

import pytest

from reconciler.core.check import Decision, Fault, Severity
from reconciler.core.model import VICI_EVENT_KEYS, Site
from tests.builders import decided, vpn


def site(**changes: Any) -> Site:
    decision = decided(kspb=vpn(**changes))
    assert not decision.errors, decision.errors
    return decision.sites["kspb"]


def errors(**changes: Any) -> list[str]:
    """Return one airport's errors, without the part of the path that all share."""
    decision = decided(kspb=vpn(**changes))
    assert (decision.sites == {}) == bool(decision.errors)
    return [str(fault).removeprefix("airports.kspb.vpn.") for fault in decision.errors]


def only_error(**changes: Any) -> str:
    found = errors(**changes)
    assert len(found) == 1, found
    return found[0]


def warnings(decision: Decision) -> list[Fault]:
    return [fault for fault in decision.faults if fault.severity is Severity.WARNING]


def test_defaults_are_those_of_the_mission() -> None:
    made = site()
    assert (made.connection_name, made.remote_id) == ("kspb_vpn", "kspb.remote")
    assert made.suite.ike_proposal == "aes256gcm16-prfsha256-modp2048"
    assert made.lifetime_s == 3600
    assert made.remote_address is None
    assert list(map(str, made.local_subnets)) == ["0.0.0.0/0"]


@pytest.mark.parametrize(
    "text",
    [
        {"ike_version": "2"},
        {"dh_group": "14"},
        {"lifetime": "3600"},
        {"enabled": "true"},
        {"enabled": "True", "ike_version": "2", "dh_group": "modp2048", "lifetime": " 3600 "},
        {"enabled": 1},
        {"enabled": "1"},
        {"enabled": "yes"},
        {"encryption": "AES256GCM128"},
        {"remote_subnet": ["192.168.1.0/24"]},
        {"remote_subnet": " 192.168.1.0/24 "},
        {"remote_subnet": "192.168.1.0/255.255.255.0"},
        {"local_subnet": None, "remote_id": None, "remote_address": None, "connection_name": None},
    ],
    ids=repr,
)
def test_what_existing_files_write_as_text_means_the_same(text: dict[str, Any]) -> None:
    assert site(**text) == site()


def test_remote_subnet_may_be_one_subnet_or_a_list() -> None:
    both = ["192.168.1.0/24", "10.1.0.0/16"]
    assert list(map(str, site(remote_subnet=both).remote_subnets)) == both
    assert list(map(str, site(remote_subnet=both[0]).remote_subnets)) == both[:1]


def test_local_subnet_defaults_to_everything_of_the_families_the_site_has() -> None:
    dual = site(remote_subnet=["fd00:1::/64", "192.168.1.0/24"])
    assert list(map(str, dual.local_subnets)) == ["0.0.0.0/0", "::/0"]
    assert list(map(str, site(remote_subnet="fd00:1::/64").local_subnets)) == ["::/0"]


@pytest.mark.parametrize("key", ["remote_subnet", "local_subnet"])
@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("192.168.1.5/24", "write 192.168.1.0/24 if that subnet is meant"),
        ("fd00::1/64", "write fd00::/64"),
        ("192.168.1.0", "write it like 192.168.1.0/24"),
        ("192.168.1.0/33", "write it like 192.168.1.0/24"),
        ("192.168.1/24", "write it like"),
        ("10.0.0.1-10.0.0.9", "write it like"),
        ("dynamic", "write it like"),
        ("", "write it like"),
        (24, "write it like"),
        ({"cidr": "192.168.1.0/24"}, "write it like"),
        (["192.168.1.0/24", None], "write it like"),
        ([], "the list is empty"),
    ],
    ids=repr,
)
def test_a_bad_subnet_is_refused_with_what_would_be_right(key: str, value: Any, hint: str) -> None:
    found = only_error(**{key: value})
    assert found.startswith(f"{key}: ")
    assert hint in found


def test_every_bad_subnet_of_a_list_is_named_at_once() -> None:
    found = " ".join(errors(remote_subnet=["192.168.1.0/24", "nonsense", "10.0.0.1/8"]))
    assert "nonsense" in found
    assert "10.0.0.1/8" in found


@pytest.mark.parametrize("value", ["fe80::%eth0/64", "fe80::%1/64"], ids=repr)
def test_a_subnet_with_an_interface_is_refused(value: str) -> None:
    """Charon would take the interface for a part of the address and discard it."""
    assert only_error(remote_subnet=value).startswith("remote_subnet: ")


@pytest.mark.parametrize(
    "value", ["0.0.0.0/0", "::/0", "127.0.0.0/8", "::1/128", "224.0.0.0/8", "239.1.0.0/16"]
)
def test_no_airport_has_everything_or_loopback_or_multicast_as_its_lan(value: str) -> None:
    assert "no airport's LAN" in only_error(remote_subnet=value)


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"psk": ...}, "psk"),
        ({"remote_subnet": ...}, "remote_subnet"),
    ],
)
def test_a_missing_key_is_named_in_a_readable_sentence(changes: dict[str, Any], path: str) -> None:
    found = only_error(**changes)
    assert found.startswith(f"{path}: is missing; ")
    assert "the The" not in found


@pytest.mark.parametrize(
    ("typo", "meant"),
    [
        ("remote_subnets", "remote_subnet"),
        ("remotesubnet", "remote_subnet"),
        ("encryptoin", "encryption"),
        ("dhgroup", "dh_group"),
        ("life_time", "lifetime"),
        ("ikeversion", "ike_version"),
    ],
)
def test_an_unknown_key_is_refused_with_what_was_probably_meant(typo: str, meant: str) -> None:
    assert only_error(**{typo: "1"}) == f"{typo}: unknown key; did you mean {meant!r}?"


def test_an_unknown_key_like_no_other_gets_the_list_of_known_ones() -> None:
    found = only_error(zzzzzzzz=1)
    assert "known: enabled, type, connection_name, remote_subnet" in found


@pytest.mark.parametrize("value", ["wireguard", "IPSEC", "", None, 1, ["ipsec"]], ids=repr)
def test_another_type_is_refused(value: Any) -> None:
    assert only_error(type=value).endswith('is not supported; write "ipsec"')


@pytest.mark.parametrize(
    "name", ["a b", "", "-a", "_a", "a#b", "a.b", "ä", "a\n", "a/b", "x" * 64, 5, True, ["a"]]
)
def test_a_name_that_charon_or_swanctl_could_misread_is_refused(name: Any) -> None:
    assert "can't name a connection" in only_error(connection_name=name)


@pytest.mark.parametrize("name", ["a", "7", "KSPB-2_vpn", "x" * 63], ids=repr)
def test_a_plain_name_is_taken(name: str) -> None:
    assert site(connection_name=name).connection_name == name


@pytest.mark.parametrize("name", sorted(VICI_EVENT_KEYS))
def test_a_name_that_collides_with_the_keys_of_vici_events_is_refused(name: str) -> None:
    assert only_error(connection_name=name).startswith("connection_name: ")


@pytest.mark.parametrize(
    "name", ["up", "local-host", "local-port", "remote-host", "remote-port", "ike-sa", "success"]
)
def test_the_event_keys_of_charon_6_are_all_known(name: str) -> None:
    assert name in VICI_EVENT_KEYS


@pytest.mark.parametrize(
    "identity",
    [
        "%any",
        "*",
        "*.remote",
        "@kspb.remote",
        "camera@kspb.remote",
        "192.168.1.1",
        "10.0.0.0/8",
        "10.0.0.1-10.0.0.9",
        "fd00::1",
        "C=US, CN=kspb",
        "CN=kspb",
        "fqdn:kspb",
        "@#6b737062",
        "kspb remote",
        "kspb..remote",
        ".remote",
        "kspb.remote\nid",
        'kspb"remote',
        "",
        " ",
        "x" * 64 + ".remote",
        5,
        ["kspb.remote"],
    ],
    ids=repr,
)
def test_an_identity_that_charon_reads_as_another_type_or_wildcard_is_refused(
    identity: Any,
) -> None:
    found = only_error(remote_id=identity)
    assert found.startswith("remote_id: ")
    assert "kspb.remote" in found.replace(repr(identity), "")


@pytest.mark.parametrize(
    "identity", ["kspb", "kspb.remote", "KSPB.Remote", "a-b_c.x1", "7kspb"], ids=repr
)
def test_a_plain_identity_is_taken(identity: str) -> None:
    assert site(remote_id=identity).remote_id == identity


@pytest.mark.parametrize(
    "value",
    ["router.example.org", "0.0.0.0", "::", "224.0.0.1", "", 5.5],  # noqa: S104
    ids=repr,
)
def test_an_address_that_is_not_of_one_host_is_refused(value: Any) -> None:
    assert only_error(remote_address=value).startswith("remote_address: ")


@pytest.mark.parametrize("value", ["198.51.100.7", "2001:db8::7", " 198.51.100.7 "], ids=repr)
def test_a_declared_address_is_taken(value: str) -> None:
    assert str(site(remote_address=value).remote_address) == value.strip()


@pytest.mark.parametrize("value", [1, "1", 3, "two", None, True, 2.5, ""], ids=repr)
def test_another_ike_version_is_refused(value: Any) -> None:
    assert only_error(ike_version=value).startswith("ike_version: ")


@pytest.mark.parametrize(
    "value", [299, 86_401, "0", -1, "-300", "1h", True, None, 3600.5, "9" * 99]
)
def test_a_lifetime_out_of_range_or_no_number_is_refused(value: Any) -> None:
    assert only_error(lifetime=value).startswith("lifetime: ")


@pytest.mark.parametrize("value", [300, "300", 86_400, "86400"], ids=repr)
def test_the_bounds_of_the_lifetime_are_in_range(value: Any) -> None:
    assert site(lifetime=value).lifetime_s == int(value)


@pytest.mark.parametrize(
    "value", ["aes512", "aes256gcm", "rot13", "", "aes256gcm128-sha256-modp2048", "aes256-md5"]
)
def test_an_unknown_cipher_is_refused_with_examples(value: str) -> None:
    assert "write a cipher such as aes256gcm128" in only_error(encryption=value)


@pytest.mark.parametrize("value", [0, 1, "99", "modp999", "", -14, "1" * 99], ids=repr)
def test_an_unknown_group_is_refused_with_the_known_ones(value: Any) -> None:
    assert "write one of 2, 5, 14" in only_error(dh_group=value)


@pytest.mark.parametrize(
    ("key", "value", "hint"),
    [
        ("encryption", 256, "aes256gcm128"),
        ("encryption", None, "aes256gcm128"),
        ("dh_group", None, "14"),
        ("dh_group", [14], "14"),
    ],
)
def test_a_value_of_the_wrong_kind_gets_one_fault_that_says_what_would_be_right(
    key: str, value: Any, hint: str
) -> None:
    assert hint in only_error(**{key: value})


@pytest.mark.parametrize("value", ["maybe", "", None, 2, [], {}], ids=repr)
def test_enabled_that_is_neither_true_nor_false_is_refused(value: Any) -> None:
    assert "neither true nor false" in only_error(enabled=value)


@pytest.mark.parametrize("value", [False, "false", "FALSE", "no", "off", "0", 0], ids=repr)
def test_a_tunnel_that_is_switched_off_is_wanted_by_nobody_and_has_no_fault(value: Any) -> None:
    decision = decided(kspb={"enabled": value, "nonsense": True})
    assert (decision.sites, decision.faults, decision.disabled) == ({}, (), ("kspb",))


def test_without_enabled_there_is_no_tunnel_and_a_warning_says_so() -> None:
    decision = decided(kspb=vpn(enabled=...))
    assert (decision.sites, decision.errors, decision.disabled) == ({}, (), ("kspb",))
    assert [fault.path for fault in warnings(decision)] == ["airports.kspb.vpn.enabled"]


@pytest.mark.parametrize(
    "changes",
    [
        {"dh_group": 2},
        {"dh_group": 5},
        {"encryption": "3des-sha256"},
        {"encryption": "aes256-sha1"},
    ],
    ids=repr,
)
def test_weak_algorithms_work_with_a_warning(changes: dict[str, Any]) -> None:
    decision = decided(kspb=vpn(**changes))
    assert list(decision.sites) == ["kspb"]
    assert [f.path for f in warnings(decision)] == ["airports.kspb.vpn.encryption"]


@pytest.mark.parametrize(
    "address",
    ["::ffff:198.51.100.7", "fe80::1%eth0", "127.0.0.1", "::1", "169.254.1.1", "224.0.0.1"],
)
def test_an_address_at_which_no_site_can_be_is_refused(address: str) -> None:
    decision = decided(kspb=vpn(remote_address=address))
    assert [fault.path for fault in decision.errors] == ["airports.kspb.vpn.remote_address"]


@pytest.mark.parametrize(
    "subnet",
    ["0.0.0.0/1", "126.0.0.0/7", "224.0.0.0/3", "::/1", "169.254.0.0/16", "255.255.255.255/32"],
)
def test_a_subnet_that_is_no_lan_is_refused(subnet: str) -> None:
    decision = decided(kspb=vpn(remote_subnet=subnet))
    assert [fault.path for fault in decision.errors] == ["airports.kspb.vpn.remote_subnet"]


def test_a_connection_may_not_be_called_like_an_include_of_swanctl() -> None:
    decision = decided(kspb=vpn(connection_name="include"))
    assert [fault.path for fault in decision.errors] == ["airports.kspb.vpn.connection_name"]
