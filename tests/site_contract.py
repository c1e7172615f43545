"""What the model takes for granted about a hub and its sites: of the fake one and of a real one."""

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any

import pytest

from reconciler.core.render import Connection
from reconciler.errors import IkeRefused
from tests.builders import connection
from tests.docker import eventually
from tests.fake_charon import FakeSite
from tests.model.charon import Charon

KSPB = connection()
OTHER_KEY = b"another-good-pre-shared-key"
LAN = "192.168.1.0/24"


def site(identity: str = "kspb.remote", psk: bytes = KSPB.psk, *lans: str) -> FakeSite:
    """Make a site as it is declared, but for what is given."""
    return FakeSite(identity, psk, tuple(map(ip_network, lans or (LAN,))))


def load(hub: Charon, wanted: Connection = KSPB, **changes: Any) -> Mapping[str, Any]:
    settings = {**wanted.settings, **changes}
    hub.load_connection(wanted.name, settings)
    hub.load_secret(wanted.secret_id, wanted.remote_id, wanted.psk)
    return settings


def dial(hub: Charon, one: FakeSite) -> bool:
    if one not in hub.sites:
        hub.sites.append(one)
    return hub.dial(one)


def children(hub: Charon) -> list[str]:
    return sorted(child.name for sa in hub.sas for child in sa.carrying_children)


class SiteContract:
    """Inherit, and give a fixture `hub`: a charon with nothing loaded and without sites."""

    def test_a_site_with_the_key_gets_in_under_the_declared_name(self, hub: Charon) -> None:
        load(hub)
        one = site()
        assert dial(hub, one)
        (sa,) = hub.held_by(one)
        assert (sa.name, sa.remote_id, sa.initiator) == ("kspb_vpn", "kspb.remote", False)
        assert children(hub) == [KSPB.child_name]
        assert sa.children[0].remote_subnets == (ip_network(LAN),)

    def test_nobody_gets_in_with_a_wrong_key_or_an_unknown_identity(self, hub: Charon) -> None:
        load(hub)
        assert not dial(hub, site(psk=OTHER_KEY))
        assert not dial(hub, site(identity="kczk.remote"))
        assert list(hub.sas) == []

    def test_the_hub_proves_itself_with_the_key_loaded_last(self, hub: Charon) -> None:
        load(hub)
        hub.load_secret("second", "kspb.remote", OTHER_KEY)
        assert not dial(hub, site())
        hub.load_secret(KSPB.secret_id, "kspb.remote", KSPB.psk)
        assert dial(hub, site())

    def test_selectors_are_narrowed_to_what_both_have(self, hub: Charon) -> None:
        load(hub)
        one = site("kspb.remote", KSPB.psk, "192.168.1.128/25", "10.1.0.0/16")
        assert dial(hub, one)
        assert hub.held_by(one)[0].children[0].remote_subnets == (ip_network("192.168.1.128/25"),)

    def test_without_selectors_in_common_nothing_is_left(self, hub: Charon) -> None:
        load(hub)
        assert not dial(hub, site("kspb.remote", KSPB.psk, "10.1.0.0/16"))
        eventually(lambda: not hub.sas, 5, "the IKE_SA is closed as well")

    def test_a_child_is_had_over_a_live_tunnel_also_after_its_settings_changed(
        self, hub: Charon
    ) -> None:
        load(hub)
        assert dial(hub, site())
        edited = connection(lifetime=7200)
        load(hub, edited)
        hub.start_child(edited.name, edited.child_name)
        wanted = sorted([KSPB.child_name, edited.child_name])
        eventually(lambda: children(hub) == wanted, 5, "both children")

    def test_no_child_is_had_over_a_tunnel_of_a_connection_that_differs(self, hub: Charon) -> None:
        load(hub)
        assert dial(hub, site())
        load(hub, dpd_delay="25s")
        with pytest.raises(IkeRefused, match="establishing CHILD_SA"):
            hub.start_child(KSPB.name, KSPB.child_name)
        assert children(hub) == [KSPB.child_name]

    def test_a_tunnel_outlives_its_connection_until_it_is_ended(self, hub: Charon) -> None:
        load(hub)
        one = site()
        assert dial(hub, one)
        hub.unload_connection(KSPB.name)
        assert children(hub) == [KSPB.child_name]
        hub.end_all(KSPB.name)
        assert list(hub.sas) == []
        eventually(lambda: not hub.held_by(one), 5, "the site knows")

    def test_an_ike_sa_that_is_ended_is_gone_for_the_site_too(self, hub: Charon) -> None:
        load(hub)
        one = site()
        assert dial(hub, one)
        hub.end_ike(hub.held_by(one)[0].unique_id)
        eventually(lambda: not hub.sas, 5, "gone at the hub")
        assert dial(hub, one)

    def test_loading_ends_an_ike_sa_without_a_child_and_no_other(self, hub: Charon) -> None:
        load(hub)
        one = site()
        assert dial(hub, one)
        load(hub)
        assert children(hub) == [KSPB.child_name]
        hub.close_child(one)
        eventually(lambda: children(hub) == [], 5, "the child is closed")
        assert [sa.live for sa in hub.sas] == [True]
        load(hub)
        eventually(lambda: not hub.sas, 5, "the IKE_SA is closed as well")

    def test_after_a_restart_a_site_has_to_dial_again(self, hub: Charon) -> None:
        load(hub)
        one = site()
        assert dial(hub, one)
        hub.restart(0)
        assert (dict(hub.connections), dict(hub.secrets), list(hub.sas)) == ({}, {}, [])
        assert hub.held_by(one) == []
        load(hub)
        hub.hang_up(one)  # it has noticed
        assert dial(hub, one)
