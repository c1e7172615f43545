"""What the Ike port promises. The same sentences run against the fake and against a real charon."""

import pytest

from reconciler.core.actions import StartChild
from reconciler.core.diff import diff
from reconciler.core.render import Connection
from reconciler.errors import IkeRefused
from reconciler.ports import Ike
from tests.builders import connection


class IkeContract:
    """Inherit, and give a fixture `ike` with a charon that has nothing loaded."""

    kspb: Connection = connection()
    edited: Connection = connection(remote_subnet="192.168.2.0/24")

    def load(self, ike: Ike, wanted: Connection) -> None:
        ike.load_connection(wanted.name, wanted.settings)
        ike.load_secret(wanted.secret_id, wanted.remote_id, wanted.psk)

    def plan(self, ike: Ike, *desired: Connection) -> list[object]:
        return list(diff({one.name: one for one in desired}, ike.observe(deep=True)))

    def test_an_empty_charon_shows_nothing(self, ike: Ike) -> None:
        observed = ike.observe(deep=True)
        assert (observed.connections, observed.secret_ids, observed.sas) == ({}, frozenset(), ())
        assert observed.daemon.version.startswith("6.")
        assert observed.daemon.data_plane == "userspace"
        assert observed.daemon.workers_idle > 0
        assert {"AES_GCM_16", "PRF_HMAC_SHA2_256", "MODP_2048"} <= observed.algorithms

    def test_it_answers_the_shortest_of_questions(self, ike: Ike) -> None:
        assert ike.answers()

    def test_what_was_loaded_is_seen_and_in_sync(self, ike: Ike) -> None:
        self.load(ike, self.kspb)
        observed = ike.observe(deep=True)
        assert observed.connections == {self.kspb.name: frozenset({self.kspb.child_name})}
        assert observed.secret_ids == {self.kspb.secret_id}
        assert self.plan(ike, self.kspb) == []

    def test_a_shallow_look_asks_for_children_only_where_no_mark_vouches(self, ike: Ike) -> None:
        self.load(ike, self.kspb)
        ike.load_connection("theirs", {**self.kspb.settings, "children": {"net": {}}})
        observed = ike.observe(deep=False)
        assert observed.connections == {self.kspb.name: None, "theirs": frozenset({"net"})}

    def test_loading_again_replaces_the_children(self, ike: Ike) -> None:
        self.load(ike, self.kspb)
        self.load(ike, self.edited)
        observed = ike.observe(deep=True)
        assert observed.connections == {self.kspb.name: frozenset({self.edited.child_name})}
        assert observed.secret_ids == {self.kspb.secret_id, self.edited.secret_id}

    def test_what_is_removed_is_gone_and_removing_it_again_is_no_error(self, ike: Ike) -> None:
        self.load(ike, self.kspb)
        for _ in range(2):
            ike.unload_connection(self.kspb.name)
            ike.end_all(self.kspb.name)
            ike.unload_secret(self.kspb.secret_id)
        assert self.plan(ike) == []
        assert ike.observe(deep=True).connections == {}

    def test_ending_or_renewing_an_sa_that_is_not_there_is_no_error(self, ike: Ike) -> None:
        ike.end_ike("4711")
        ike.end_child("4711")
        ike.rekey_ike("4711")
        ike.rekey_child("4711")
        assert ike.observe(deep=False).sas == ()

    def test_a_site_without_address_can_not_be_dialled(self, ike: Ike) -> None:
        self.load(ike, self.kspb)
        with pytest.raises(IkeRefused, match="establishing CHILD_SA"):
            ike.start_child(self.kspb.name, self.kspb.child_name)

    @pytest.mark.parametrize("address", ["198.51.100.7", "2001:db8:0:0::7"])
    def test_a_declared_address_is_seen_as_it_was_declared(self, ike: Ike, address: str) -> None:
        fixed = connection(remote_address=address)
        self.load(ike, fixed)
        assert [type(action) for action in self.plan(ike, fixed)] == [StartChild]

    def test_an_address_that_one_attempt_left_behind_is_seen_and_mended(self, ike: Ike) -> None:
        self.load(ike, self.kspb)
        ike.load_connection(self.kspb.name, self.kspb.towards("198.51.100.7", 4500, "7"))
        left = {self.kspb.name: ("198.51.100.7", "%any")}
        assert ike.observe(deep=True).remote_addresses == left
        assert self.plan(ike, self.kspb) != []
        self.load(ike, self.kspb)
        assert self.plan(ike, self.kspb) == []

    def test_the_two_keys_of_a_rotation_are_seen_and_in_sync(self, ike: Ike) -> None:
        rotating = connection(next_psk="the-key-that-is-to-come-0001")
        assert rotating.spare_psk is not None
        ike.load_connection(rotating.name, rotating.settings)
        ike.load_secret(rotating.spare_secret_id, rotating.remote_id, rotating.spare_psk)
        assert self.plan(ike, rotating) != []
        ike.load_secret(rotating.secret_id, rotating.remote_id, rotating.psk)
        assert self.plan(ike, rotating) == []

    def test_a_child_that_is_not_loaded_can_not_be_started(self, ike: Ike) -> None:
        with pytest.raises(IkeRefused, match="not found"):
            ike.start_child(self.kspb.name, self.kspb.child_name)

    def test_after_a_refusal_the_next_request_works(self, ike: Ike) -> None:
        with pytest.raises(IkeRefused):
            ike.start_child("nobody", "nothing")
        self.load(ike, self.kspb)
        assert self.plan(ike, self.kspb) == []
