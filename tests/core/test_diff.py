"""diff() is pure: values in, values out. The fake carries actions out, so convergence is proved."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_network
from itertools import product

import pytest

from reconciler.act import act
from reconciler.core.actions import (
    DropSecret,
    EndChild,
    EndIke,
    Load,
    Redial,
    RekeyChild,
    RekeyIke,
    Remove,
    StartChild,
    goal_of,
    impact,
)
from reconciler.core.diff import diff, look_again_s
from reconciler.core.ladder import Circumstances, Renewal
from reconciler.core.observed import Algorithms, ChildSa, IkeSa
from reconciler.core.render import Connection, render
from tests.builders import HUB, connection, connections, decided, vpn
from tests.fake_ike import FakeIke, Killed

KSPB = connection()
EDITS = {
    "selectors": connection(remote_subnet="192.168.2.0/24"),
    "lifetime": connection(lifetime=7200),
    "key": connection(psk="another-good-pre-shared-key"),
    "identity": connection(remote_id="other.remote"),
    "address": connection(remote_address="198.51.100.7"),
    "proposal": connection(dh_group=15),
}


def loaded(ike: FakeIke, *wanted: Connection) -> FakeIke:
    for one in wanted:
        ike.load_connection(one.name, one.settings)
        ike.load_secret(one.secret_id, one.remote_id, one.psk)
    ike.requests.clear()
    return ike


def up(ike: FakeIke, *wanted: Connection) -> FakeIke:
    loaded(ike, *wanted)
    for one in wanted:
        ike.dial_in(one.name)
    return ike


def plan(
    ike: FakeIke, *desired: Connection, deep: bool = True, given: Circumstances | None = None
) -> list[object]:
    circumstances = {one.name: given for one in desired} if given else {}
    return list(diff({one.name: one for one in desired}, ike.observe(deep=deep), circumstances))


def carry_out(ike: FakeIke, *desired: Connection) -> None:
    for action in diff({one.name: one for one in desired}, ike.observe(deep=True)):
        assert act(action, ike).error is None


def test_what_is_in_sync_is_left_alone() -> None:
    assert plan(up(FakeIke(), KSPB), KSPB) == []
    assert plan(loaded(FakeIke(), KSPB), KSPB) == []


def test_what_charon_loaded_from_the_file_by_itself_is_in_sync() -> None:
    ike = FakeIke()
    ike.load_connection(KSPB.name, KSPB.settings)
    ike.load_secret(KSPB.file_secret_id, KSPB.remote_id, KSPB.psk)
    assert plan(ike, KSPB) == []


def test_a_missing_connection_is_loaded() -> None:
    assert plan(FakeIke(), KSPB) == [Load(KSPB, "not loaded")]


def test_a_half_done_load_is_completed_and_not_taken_for_somebody_elses() -> None:
    ike = FakeIke()
    ike.load_connection(KSPB.name, KSPB.settings)
    assert plan(ike, KSPB) == [Load(KSPB, "only half loaded")]
    assert plan(ike, KSPB, deep=False) == [Load(KSPB, "only half loaded")]


def test_a_connection_unloaded_by_hand_comes_back() -> None:
    ike = loaded(FakeIke(), KSPB)
    ike.unload_connection(KSPB.name)
    assert plan(ike, KSPB) == [Load(KSPB, "unloaded behind our back")]


def test_a_connection_edited_by_hand_is_loaded_again() -> None:
    ike = loaded(FakeIke(), KSPB)
    ike.load_connection(KSPB.name, {"children": {"net": {}}, "remote_addrs": ["%any"]})
    assert plan(ike, KSPB) == [Load(KSPB, "edited behind our back")]


def test_an_undeclared_connection_of_ours_is_removed_with_its_secrets() -> None:
    ike = up(FakeIke(), KSPB)
    assert plan(ike) == [Remove(KSPB.name, (KSPB.secret_id,), "no longer declared")]
    carry_out(ike)
    assert (ike.connections, ike.secrets, ike.sas) == ({}, {}, [])


@pytest.mark.parametrize("desired", [[], [KSPB]], ids=["undeclared", "declared"])
def test_a_connection_of_somebody_else_is_never_touched(desired: list[Connection]) -> None:
    ike = FakeIke()
    ike.load_connection(KSPB.name, {"children": {"net": {"local_ts": [], "remote_ts": []}}})
    ike.load_secret("their-secret", "x", b"x")
    ike.dial_in(KSPB.name)
    assert plan(ike, *desired) == []
    assert plan(ike, *desired, deep=False) == []


def test_removals_come_first_so_that_names_and_subnets_are_free() -> None:
    renamed = connections(kspb=vpn(connection_name="aaa"))["aaa"]
    kinds = [type(action) for action in plan(up(FakeIke(), KSPB), renamed)]
    assert kinds == [Remove, Load]


def test_a_changed_key_reloads_and_renews_only_that_site() -> None:
    other = connection(9, "kczk")
    ike = up(FakeIke(), KSPB, other)
    edited = EDITS["key"]
    actions = plan(ike, edited, other)
    assert [type(action) for action in actions] == [Load, Redial]
    assert {action.name for action in actions} == {KSPB.name}  # type: ignore[attr-defined]
    assert actions[0] == Load(edited, "declaration changed: identities or key", (KSPB.secret_id,))


def test_changed_selectors_are_made_before_the_old_ones_are_broken() -> None:
    ike, edited = up(FakeIke(), KSPB), EDITS["selectors"]
    assert [type(action) for action in plan(ike, edited)] == [Load, StartChild]
    carry_out(ike, edited)
    old = ike.sas[0].children[0]
    assert plan(ike, edited) == [
        EndChild(KSPB.name, old.unique_id, "a CHILD_SA with the new settings is up")
    ]


def test_the_old_child_ends_only_after_its_successor_has_settled() -> None:
    ike, edited = up(FakeIke(), KSPB), EDITS["selectors"]
    carry_out(ike, edited)
    old, new = ike.sas[0].children
    for installed_s, expected in ((1, []), (2, [EndChild])):
        children = (old, replace(new, installed_s=installed_s))
        ike.sas = [replace(ike.sas[0], children=children)]
        assert [type(action) for action in plan(ike, edited)] == expected
        assert look_again_s({edited.name: edited}, ike.observe(deep=False))
    carry_out(ike, edited)
    assert not look_again_s({edited.name: edited}, ike.observe(deep=False))


def test_new_selectors_are_tried_in_place_then_beside_and_then_the_site_is_cut() -> None:
    site = FakeIke(refuses_new_children={KSPB.name}, refuses_redial={KSPB.name})
    ike, edited = up(site, KSPB), EDITS["selectors"]
    carry_out(ike, edited)
    tried: dict[str, int] = {}
    rungs = []
    for _ in range(4):
        [rung] = plan(ike, edited, given=Circumstances(tried))
        rungs.append(type(rung))
        tried[goal_of(rung)] = 1  # type: ignore[arg-type]
    assert rungs == [StartChild, Redial, EndIke, EndIke]


def test_a_changed_key_is_tried_beside_and_then_the_site_is_cut() -> None:
    ike, edited = up(FakeIke(refuses_redial={KSPB.name}), KSPB), EDITS["key"]
    carry_out(ike, edited)
    assert [type(action) for action in plan(ike, edited)] == [Redial]
    refused = Circumstances({"renew beside": 1})
    assert [type(action) for action in plan(ike, edited, given=refused)] == [EndIke]


def test_nothing_new_is_asked_for_while_an_attempt_is_under_way() -> None:
    ike, edited = up(FakeIke(), KSPB), EDITS["key"]
    carry_out(ike, edited)
    coming = replace(ike.sas[1], state="CONNECTING", children=())
    ike.sas = [ike.sas[0], coming]
    for tried in (0, 1):
        assert plan(ike, edited, given=Circumstances({"renew beside": tried})) == []


def test_after_the_new_ike_sa_has_settled_the_old_one_ends() -> None:
    ike, edited = up(FakeIke(), KSPB), EDITS["key"]
    carry_out(ike, edited)
    old, new = ike.sas
    fresh = replace(new, children=(replace(new.children[0], installed_s=1),))
    ike.sas = [old, fresh]
    assert plan(ike, edited) == []
    assert look_again_s({KSPB.name: edited}, ike.observe(deep=False))
    ike.sas = [old, new]
    cause = "another IKE_SA carries the new settings"
    assert plan(ike, edited) == [EndIke(KSPB.name, old.unique_id, cause, carried=True)]


def test_a_connection_left_with_the_address_of_one_attempt_is_loaded_again() -> None:
    ike = up(FakeIke(), KSPB)
    ike.load_connection(KSPB.name, KSPB.towards("198.51.100.7", 4500, "7"))
    assert plan(ike, KSPB) == [Load(KSPB, "its peer's address was left as it was for one attempt")]


def test_another_proposal_of_another_airport_touches_no_running_sa() -> None:
    both = connections(kspb=vpn(1), kczk=vpn(2, dh_group=15))
    ike = up(FakeIke(), KSPB)
    actions = plan(ike, *both.values())
    assert [type(action) for action in actions] == [Load, Load]
    assert actions[1].cause == "declaration changed: proposal list, address or timers"  # type: ignore[attr-defined]


def test_a_tunnel_with_other_algorithms_than_declared_by_now_is_dialled_beside_once() -> None:
    ike, edited = up(FakeIke(), KSPB), connection(dh_group=15, encryption="aes128gcm128")
    carry_out(ike, edited)
    used = Algorithms("AES_GCM_16", 256, "", "PRF_HMAC_SHA2_256", "MODP_2048")
    mark = replace(edited.mark, later="00000000")
    child = replace(ike.sas[0].children[0], name=f"lan-{mark}", algorithms=used)
    ike.sas = [replace(ike.sas[0], children=(child,), algorithms=used)]
    assert [type(action) for action in plan(ike, edited)] == [Redial]
    assert plan(ike, edited, given=Circumstances({"algorithms": 1})) == []
    ike.sas = [replace(ike.sas[0], children=(replace(child, name=edited.child_name),))]
    assert plan(ike, edited) == [], "the site chose these under the present declaration"


def test_selectors_that_change_after_the_hubs_list_did_are_not_tried_in_place() -> None:
    """Charon can't start a child over an IKE_SA that was built on another list."""
    ike = up(FakeIke(), KSPB)
    first = connections(kspb=vpn(1), kczk=vpn(2, dh_group=15))
    carry_out(ike, *first.values())
    second = connections(kspb=vpn(7), kczk=vpn(2, dh_group=15))
    kinds = [type(a) for a in plan(ike, *second.values()) if a.name == KSPB.name]  # type: ignore[attr-defined]
    assert kinds == [Load, Redial]


def test_a_timer_of_the_hub_cuts_nobody() -> None:
    sites = decided(kspb=vpn()).sites.values()
    slower = render(sites, replace(HUB, dpd_delay_s=30))[KSPB.name]
    ike = up(FakeIke(), KSPB)
    assert [type(action) for action in plan(ike, slower)] == [Load]
    carry_out(ike, slower)
    assert plan(ike, slower) == []


def test_a_site_that_is_not_at_its_declared_address_is_cut_and_dialled_there() -> None:
    ike, declared = up(FakeIke(), KSPB), connection(remote_address="203.0.113.9")
    assert [type(action) for action in plan(ike, declared)] == [Load, EndIke]
    carry_out(ike, declared)
    assert [type(action) for action in plan(ike, declared)] == [StartChild]


def test_a_child_that_stays_missing_costs_the_ike_sa_so_that_the_site_dials_anew() -> None:
    ike = up(FakeIke(), KSPB)
    ike.sas = [replace(ike.sas[0], children=())]
    rungs = [plan(ike, KSPB, given=Circumstances({"child": tried})) for tried in range(4)]
    kinds = [[type(action) for action in rung] for rung in rungs]
    assert kinds == [[StartChild], [StartChild], [EndIke], [EndIke]]


def test_a_child_that_is_being_asked_for_is_not_asked_for_again() -> None:
    ike = up(FakeIke(), KSPB)
    for tasks in ({"tasks_active": ("CHILD_CREATE",)}, {"tasks_queued": ("CHILD_CREATE",)}):
        ike.sas = [replace(ike.sas[0], children=(), **tasks)]  # type: ignore[arg-type]
        assert plan(ike, KSPB) == []


def test_of_several_equal_children_the_older_ones_end_once_the_newest_has_settled() -> None:
    ike = up(FakeIke(), KSPB)
    old = ike.sas[0].children[0]
    for installed_s, expected in ((9, []), (10, [EndChild])):
        new = replace(old, unique_id="77", installed_s=installed_s)
        ike.sas = [replace(ike.sas[0], children=(old, new))]
        assert [type(action) for action in plan(ike, KSPB)] == expected
    assert plan(ike, KSPB)[0].unique_id == old.unique_id  # type: ignore[attr-defined]


BOTH = connection(remote_subnet=["192.168.1.0/24", "192.168.2.0/24"])


def child_for(subnet: str, unique_id: str, installed_s: int = 100) -> ChildSa:
    networks = (ip_network("0.0.0.0/0"),), (ip_network(subnet),)
    return ChildSa(BOTH.child_name, unique_id, "INSTALLED", *networks, installed_s=installed_s)


def test_one_child_for_each_subnet_is_right_in_one_ike_sa_or_in_two() -> None:
    first, second = child_for("192.168.1.0/24", "11"), child_for("192.168.2.0/24", "12", 50)
    ike = loaded(FakeIke(), BOTH)
    one = IkeSa(BOTH.name, "1", "ESTABLISHED", "198.51.100.7", 4500, established_s=100)
    ike.sas = [replace(one, children=(first, second))]
    assert plan(ike, BOTH) == []
    other = replace(one, unique_id="2", established_s=50, children=(second,))
    ike.sas = [replace(one, children=(first,)), other]
    assert plan(ike, BOTH) == []
    both = replace(other, unique_id="3", established_s=20, children=(first, second))
    ike.sas = [replace(one, children=(first,)), other, both]
    ended = [action.unique_id for action in plan(ike, BOTH) if isinstance(action, EndIke)]
    assert sorted(ended) == ["1", "2"]


def test_what_is_older_than_asked_for_is_renewed_the_ike_sa_first() -> None:
    ike = up(FakeIke(), KSPB)
    given = Circumstances(renewal=Renewal(after=1000), now=1000)
    assert [type(action) for action in plan(ike, KSPB, given=given)] == [RekeyIke]
    ike.rekey_ike(ike.sas[0].unique_id)
    assert [type(action) for action in plan(ike, KSPB, given=given)] == [RekeyChild]
    ike.rekey_child(ike.sas[0].children[0].unique_id)
    assert plan(ike, KSPB, given=given) == []


def test_a_time_to_renew_that_has_not_come_does_nothing() -> None:
    given = Circumstances(renewal=Renewal(after=1001), now=1000)
    assert plan(up(FakeIke(), KSPB), KSPB, given=given) == []


def test_reauthentication_makes_a_new_ike_sa_before_the_old_one_ends() -> None:
    ike = up(FakeIke(), KSPB)
    given = Circumstances(renewal=Renewal(after=1000, reauthenticate=True), now=1000)
    [redial] = plan(ike, KSPB, given=given)
    assert isinstance(redial, Redial)
    assert act(redial, ike).error is None
    old = ike.sas[0]
    cause = "a newer IKE_SA carries the tunnel"
    given = replace(given, now=1002)
    assert plan(ike, KSPB, given=given) == [EndIke(KSPB.name, old.unique_id, cause, carried=True)]
    ike.end_ike(old.unique_id)
    assert plan(ike, KSPB, given=given) == []


def test_a_site_that_can_not_be_dialled_is_cut_to_authenticate_anew() -> None:
    ike = up(FakeIke(refuses_redial={KSPB.name}), KSPB)
    renewal = Renewal(after=1000, reauthenticate=True)
    rungs = [
        plan(ike, KSPB, given=Circumstances({"rekey": tried}, renewal, now=1000))
        for tried in range(3)
    ]
    assert [[type(action) for action in rung] for rung in rungs] == [[Redial], [Redial], [EndIke]]


def test_a_paused_connection_is_left_as_it_is_unless_it_is_no_longer_declared() -> None:
    ike = up(FakeIke(), KSPB)
    observed = ike.observe(deep=True)
    assert diff({KSPB.name: EDITS["key"]}, observed, paused={KSPB.name}) == []
    assert [type(a) for a in diff({}, observed, paused={KSPB.name})] == [Remove]


@pytest.mark.parametrize(("age_s", "expected"), [(4, []), (5, [StartChild])])
def test_a_missing_child_is_asked_for_once_the_site_had_time(
    age_s: int, expected: list[type]
) -> None:
    ike = up(FakeIke(), KSPB)
    ike.sas = [replace(ike.sas[0], children=(), established_s=age_s)]
    assert [type(action) for action in plan(ike, KSPB)] == expected


def test_a_site_with_a_declared_address_is_dialled_one_attempt_at_a_time() -> None:
    declared = EDITS["address"]
    ike = loaded(FakeIke(), declared)
    assert [type(action) for action in plan(ike, declared)] == [StartChild]
    ike.dial_in(declared.name)
    ike.sas = [replace(ike.sas[0], state="CONNECTING", children=())]
    assert plan(ike, declared) == []


def test_older_duplicates_end_once_the_newest_has_settled() -> None:
    ike = up(FakeIke(), KSPB)
    ike.dial_in(KSPB.name, established_s=3)
    assert plan(ike, KSPB) == []
    ike.sas[1] = replace(ike.sas[1], established_s=11)
    [ended] = plan(ike, KSPB)
    assert isinstance(ended, EndIke)
    assert (ended.unique_id, ended.carried, ended.goal) == (
        ike.sas[0].unique_id,
        True,
        "duplicate",
    )


def test_a_secret_under_an_older_mark_is_dropped() -> None:
    ike = loaded(FakeIke(), KSPB)
    ike.load_secret(EDITS["key"].secret_id, "kspb.remote", b"old")
    assert plan(ike, KSPB) == [
        DropSecret(KSPB.name, EDITS["key"].secret_id, "a second secret was left over")
    ]


def test_a_leftover_sa_of_ours_is_ended_and_a_foreign_one_is_not() -> None:
    ike = up(FakeIke(), KSPB)
    ike.connections, ike.secrets = {}, {}
    assert [type(action) for action in plan(ike)] == [EndIke]
    child = replace(ike.sas[0].children[0], name="net")
    ike.sas = [replace(ike.sas[0], children=(child,))]
    assert plan(ike) == []


def test_a_leftover_sa_of_ours_is_ended_also_under_a_name_that_somebody_else_took() -> None:
    ike = up(FakeIke(), KSPB)
    ike.secrets = {}
    ike.load_connection(KSPB.name, {"children": {"net": {"local_ts": [], "remote_ts": []}}})
    assert [type(action) for action in plan(ike)] == [EndIke]
    assert plan(ike, KSPB) == [], "declared, so the status names the clash"


def test_the_plan_does_not_depend_on_the_order_of_the_input() -> None:
    many = connections(**{f"k{n:03d}": vpn(n) for n in range(20)})
    ike = loaded(FakeIke(), *list(many.values())[5:15])
    shuffled = dict(sorted(many.items(), key=lambda item: item[0][::-1]))
    assert diff(many, ike.observe(deep=True)) == diff(shuffled, ike.observe(deep=True))


def test_every_action_says_who_loses_packets() -> None:
    assert "kspb_vpn loses its tunnel" in impact(Remove("kspb_vpn", (), ""))
    assert "kspb_vpn is cut" in impact(EndIke("kspb_vpn", "1", ""))
    for beside in (StartChild("kspb_vpn", "b", ""), Redial(KSPB, "198.51.100.7", 4500, "7", "")):
        assert impact(beside).startswith("kspb_vpn may lose what is under way just then, nobody")
    harmless = (
        Load(KSPB, ""),
        RekeyIke("a", "1", ""),
        RekeyChild("a", "1", ""),
        EndChild("a", "1", ""),
    )
    for action in harmless:
        assert impact(action).startswith("nobody")


# Every combination of declared, loaded, mark, running SA: after some rounds the plan is empty.

DECLARED = [None, KSPB, *EDITS.values()]


def whole(ike: FakeIke) -> None:
    up(ike, KSPB)


def without_sa(ike: FakeIke) -> None:
    loaded(ike, KSPB)


def connection_only(ike: FakeIke) -> None:
    ike.load_connection(KSPB.name, KSPB.settings)


def secret_only(ike: FakeIke) -> None:
    ike.load_secret(KSPB.secret_id, KSPB.remote_id, KSPB.psk)


def file_secret_only(ike: FakeIke) -> None:
    ike.load_secret(KSPB.file_secret_id, KSPB.remote_id, KSPB.psk)


def two_secrets(ike: FakeIke) -> None:
    up(ike, KSPB)
    ike.load_secret(EDITS["key"].secret_id, KSPB.remote_id, b"")


def two_sas(ike: FakeIke) -> None:
    up(ike, KSPB).dial_in(KSPB.name)


def childless_sa(ike: FakeIke) -> None:
    up(ike, KSPB)
    ike.sas = [replace(ike.sas[0], children=())]


def sa_only(ike: FakeIke) -> None:
    up(ike, KSPB)
    ike.connections, ike.secrets = {}, {}


LOADED: list[Callable[[FakeIke], None]] = [
    lambda ike: None,
    whole,
    without_sa,
    connection_only,
    secret_only,
    file_secret_only,
    two_secrets,
    two_sas,
    childless_sa,
    sa_only,
]


def settle(ike: FakeIke, desired: list[Connection]) -> None:
    """Make rounds until nothing is left to do; five are plenty."""
    for _ in range(5):
        for action in diff({c.name: c for c in desired}, ike.observe(deep=True)):
            act(action, ike)


def assert_as_declared(ike: FakeIke, desired: list[Connection]) -> None:
    assert set(ike.connections) == {c.name for c in desired}
    assert {owner for owner, _ in ike.secrets.values()} == {c.remote_id for c in desired}
    assert len(ike.secrets) == len(desired)
    for sa in ike.sas:
        assert [child.name for child in sa.children] == [desired[0].child_name] or (
            desired[0].mark.later != KSPB.mark.later
        )


@pytest.mark.parametrize(("want", "have"), [*product(DECLARED, LOADED)])
def test_from_every_state_the_plan_becomes_empty(
    want: Connection | None, have: Callable[[FakeIke], None]
) -> None:
    ike = FakeIke()
    have(ike)
    desired = [want] if want else []
    settle(ike, desired)
    assert plan(ike, *desired) == []
    assert_as_declared(ike, desired)


@pytest.mark.parametrize("kill_after", range(1, 7))
@pytest.mark.parametrize(("want", "have"), [*product(DECLARED, LOADED)])
def test_killed_after_any_request_a_successor_completes_the_work(
    want: Connection | None, have: Callable[[FakeIke], None], kill_after: int
) -> None:
    ike = FakeIke()
    have(ike)
    desired = [want] if want else []
    ike.kill_after = kill_after
    try:
        settle(ike, desired)
    except Killed:
        settle(ike, desired)
    assert plan(ike, *desired) == []
    assert_as_declared(ike, desired)
