"""What list-sas tells, as times a reader can use."""

from reconciler.edges.vici_view import ike_view
from tests.edges.vici_samples import CHILD, IKE, KSPB

NOW = 1_700_000_000


def test_every_age_becomes_a_time() -> None:
    sa = ike_view({**IKE, "reauth-time": "500"}, NOW, KSPB.child_name.__eq__)
    (child,) = sa.children
    assert (sa.established_at, sa.rekey_at, sa.reauthentication_at) == (
        NOW - 120,
        NOW + 13_000,
        NOW + 500,
    )
    assert (child.installed_at, child.rekey_at, child.expires_at) == (
        NOW - 93,
        NOW + 3000,
        NOW + 3500,
    )
    assert (child.last_received_at, child.last_sent_at) == (NOW - 4, 0), "nothing was sent yet"
    assert child.as_declared


def test_a_renewal_that_is_overdue_lies_in_the_past() -> None:
    assert ike_view({**IKE, "rekey-time": "-7"}, NOW).rekey_at == NOW - 7


def test_what_charon_does_not_tell_is_empty() -> None:
    sa = ike_view({"uniqueid": "1", "state": "CONNECTING", "initiator": "yes"}, NOW)
    assert (sa.dialled_by, sa.established_at, sa.algorithms, sa.children) == ("hub", 0, "", ())


def test_subnets_with_ports_and_tasks_are_shown_as_they_are() -> None:
    child = {**CHILD, "local-ts": ["10.0.0.0/8[tcp/80]"]}
    message = {**IKE, "child-sas": {"x": child}, "tasks-active": ["CHILD_CREATE"]}
    sa = ike_view({**message, "tasks-queued": ["IKE_DPD"]}, NOW)
    assert sa.children[0].local_subnets == ("10.0.0.0/8[tcp/80]",)
    assert sa.tasks == ("CHILD_CREATE", "IKE_DPD")


def test_both_ends_can_be_behind_nat() -> None:
    assert ike_view({**IKE, "nat-local": "yes", "nat-remote": "yes"}, NOW).nat == ("hub", "site")
