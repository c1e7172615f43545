"""The site is told what the hub is told, turned round."""

import pytest

from reconciler.core.far_side import FarSide, far_side, later_than
from reconciler.core.render import render
from tests.builders import HUB, connection, decided, vpn


def side(hub_address: str = "vpn.example.org", **changes: object) -> FarSide:
    decision = decided(kspb=vpn(1, **changes))
    assert not decision.errors, decision.errors
    return far_side(decision.sites["kspb"], HUB, hub_address)


@pytest.mark.parametrize("encryption", ["aes256gcm128", "aes256-sha512", "chacha20poly1305"])
@pytest.mark.parametrize("group", [14, 19, 31])
def test_the_site_proposes_what_the_hub_accepts(encryption: str, group: int) -> None:
    hub = connection(1, encryption=encryption, dh_group=group)
    site = side(encryption=encryption, dh_group=group)
    assert site.suite.ike_proposal in hub.settings["proposals"]
    child = hub.settings["children"][hub.child_name]
    assert list(site.suite.esp_proposals) == child["esp_proposals"]


def test_of_the_hubs_one_list_a_site_proposes_its_own_suite_only() -> None:
    decision = decided(kspb=vpn(1), kczk=vpn(2, encryption="aes256-sha256", dh_group=19))
    hub = render(decision.sites.values(), HUB)["kspb_vpn"]
    site = far_side(decision.sites["kspb"], HUB, "h")
    assert len(hub.settings["proposals"]) == 2
    assert site.suite.ike_proposal == "aes256gcm16-prfsha256-modp2048"


def test_identities_and_networks_are_turned_round() -> None:
    hub, site = connection(1, local_subnet="10.0.0.0/24"), side(local_subnet="10.0.0.0/24")
    child = hub.settings["children"][hub.child_name]
    assert (site.site_id, site.hub_id) == (
        hub.settings["remote"]["id"],
        hub.settings["local"]["id"],
    )
    assert [str(network) for network in site.lan] == child["remote_ts"]
    assert [str(network) for network in site.hub_networks] == child["local_ts"]


def test_dead_peer_detection_is_the_hubs() -> None:
    assert f"{side().dpd_s}s" == connection(1).settings["dpd_delay"]


@pytest.mark.parametrize("lifetime", [300, 900, 3600, 28_800, 43_200])
def test_the_hub_renews_before_the_site_does(lifetime: int) -> None:
    """Also with routers that begin up to 1080 s before the end."""
    site = side(lifetime=lifetime)
    hub_latest_s = lifetime * 9 // 10
    assert site.child_lifetime_s - 1080 > hub_latest_s
    assert site.child_lifetime_s * 0.8 > hub_latest_s
    assert site.ike_lifetime_s - 1080 > HUB.ike_rekey_s


def test_no_router_takes_more_than_a_day() -> None:
    assert later_than(86_400) == 86_400
    assert side(lifetime=86_400).child_lifetime_s == 86_400


def test_every_lan_meets_every_hub_network_of_its_family() -> None:
    site = side(
        remote_subnet=["192.168.1.0/24", "2001:db8:1::/64"],
        local_subnet=["10.0.0.0/24", "10.1.0.0/24", "2001:db8::/64"],
    )
    assert [(str(lan), str(hub)) for lan, hub in site.pairs] == [
        ("192.168.1.0/24", "10.0.0.0/24"),
        ("192.168.1.0/24", "10.1.0.0/24"),
        ("2001:db8:1::/64", "2001:db8::/64"),
    ]


def test_a_site_with_a_fixed_address_waits_for_the_hub() -> None:
    assert not side().hub_dials
    assert side(remote_address="198.51.100.7").hub_dials


def test_while_a_key_is_replaced_the_site_gets_the_one_to_come() -> None:
    site = side(next_psk="the-key-that-is-to-come-0001")
    assert (site.key, site.key_changes) == ("the-key-that-is-to-come-0001", True)


def test_the_key_is_in_no_representation() -> None:
    assert side().key not in repr(side())
