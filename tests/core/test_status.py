"""How a tunnel is: from what charon has to up, down or connecting, and why."""

from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest

from reconciler.core.check import Decision
from reconciler.core.failures import PastFailures
from reconciler.core.observed import ChildSa, IkeSa, Observed, Unobserved
from reconciler.core.render import Connection
from reconciler.core.selectors import uncovered
from reconciler.core.status import (
    ConnectionStatus,
    Status,
)
from reconciler.core.summary import Hints, summarise_connections
from reconciler.core.transitions import State
from tests.builders import connection, decided, vpn
from tests.fake_ike import FakeIke

NOW = 1_750_000_000
KSPB = connection()
NEVER = "no IKE_SA; the site has never dialled in"
NOTHING_SPECIAL = Decision({}, {}, ())
CONTRACT = {
    "airport_id": str,
    "connection_name": str,
    "status": str,
    "last_connected": int,
    "last_disconnected": int,
    "uptime_seconds": int,
    "health_check": str,
}


def child(*subnets: str, **changes: Any) -> ChildSa:
    networks = tuple(map(ip_network, subnets or ["192.168.1.0/24"]))
    made = ChildSa(
        KSPB.child_name,
        "1",
        "INSTALLED",
        (ip_network("0.0.0.0/0"),),
        networks,
        received_bytes=100,
        sent_bytes=10,
        installed_s=60,
    )
    return replace(made, **changes)


def ike(*children: ChildSa, **changes: Any) -> IkeSa:
    made = IkeSa("kspb_vpn", "1", "ESTABLISHED", "198.51.100.7", 4500, established_s=90)
    return replace(made, children=children, **changes)


def seen(*sas: IkeSa, loaded: Connection = KSPB) -> Observed:
    fake = FakeIke()
    fake.load_connection(loaded.name, loaded.settings)
    fake.load_secret(loaded.secret_id, loaded.remote_id, loaded.psk)
    fake.sas = list(sas)
    return fake.observe(deep=True)


def told(
    observed: Observed | Unobserved,
    before: ConnectionStatus | None = None,
    *,
    now: int = NOW,
    wanted: Connection = KSPB,
    decision: Decision = NOTHING_SPECIAL,
    hints: Hints | None = None,
) -> ConnectionStatus:
    return summarise_connections(
        {wanted.name: wanted},
        decision,
        observed,
        {wanted.name: before} if before else {},
        {wanted.name: hints} if hints else {},
        now,
    )[wanted.name]


def test_the_contract_has_exactly_these_keys_first_and_these_types() -> None:
    fields = ConnectionStatus.model_fields
    assert list(fields)[:7] == list(CONTRACT)
    assert {name for name, field in fields.items() if field.is_required()} == set(CONTRACT)
    document = told(seen(ike(child()))).model_dump(mode="json")
    assert {name: type(document[name]) for name in CONTRACT} == CONTRACT
    assert list(Status.model_fields)[1:3] == ["timestamp", "connections"]


@pytest.mark.parametrize(
    ("sas", "state", "reason"),
    [
        pytest.param([], "down", NEVER, id="nothing"),
        pytest.param([ike(child())], "up", "", id="child covers"),
        pytest.param(
            [ike()], "connecting", "IKE_SA is up, CHILD_SA is missing", id="IKE without child"
        ),
        pytest.param(
            [ike(state="CONNECTING")],
            "connecting",
            "IKE_SA is being negotiated",
            id="half open",
        ),
        pytest.param(
            [ike(child("192.168.1.0/25"))],
            "down",
            "the site asks for other subnets than the declared ones: it leaves out 192.168.1.0/24",
            id="narrowed",
        ),
        pytest.param(
            [ike(state="DELETING"), ike(state="CONNECTING", unique_id="2")],
            "connecting",
            "IKE_SA is being negotiated",
            id="comes back while the old one goes",
        ),
        pytest.param([ike(state="DELETING")], "down", NEVER, id="goes"),
        pytest.param([ike(child(), state="DELETING")], "down", NEVER, id="ends"),
        pytest.param([ike(child(), state="REKEYING")], "up", "", id="IKE_SA is being rekeyed"),
        pytest.param(
            [ike(state="CONNECTING"), ike(child(), unique_id="2")], "up", "", id="dials twice"
        ),
        pytest.param([ike(unique_id="9"), ike(child())], "up", "", id="a new one without child"),
    ],
)
def test_every_state_has_its_word_and_its_reason(
    sas: list[IkeSa], state: State, reason: str
) -> None:
    status = told(seen(*sas))
    assert (status.status, status.reason) == (state, reason)
    assert status.observed


@pytest.mark.parametrize(
    ("state", "expected"),
    [("INSTALLED", "up"), ("REKEYING", "up")]
    + [(s, "connecting") for s in ("CREATED", "INSTALLING", "REKEYED", "DELETING", "DELETED")],
)
def test_only_a_child_that_carries_packets_counts(state: str, expected: str) -> None:
    assert told(seen(ike(child(state=state)))).status == expected


def test_a_dead_child_beside_a_live_one_harms_nothing() -> None:
    old = child(state="DELETED", unique_id="7", received_bytes=999)
    status = told(seen(ike(old, child())))
    assert (status.status, status.child_state, status.received_bytes) == ("up", "INSTALLED", 100)


@pytest.mark.parametrize(
    ("declared", "negotiated", "missing"),
    [
        (["192.168.1.0/24"], [["192.168.1.0/24"]], []),
        (["192.168.1.0/24"], [["192.168.0.0/16"]], []),
        (["192.168.1.0/24"], [["0.0.0.0/0"]], []),
        (["192.168.1.0/24"], [["192.168.1.0/25", "192.168.1.128/25"]], []),
        (["192.168.1.0/24"], [["192.168.1.0/25"], ["192.168.1.128/25"]], []),
        (["192.168.1.0/24"], [["192.168.1.0/25"], ["192.168.1.128/26"]], ["192.168.1.0/24"]),
        (["192.168.1.0/24", "10.0.0.0/8"], [["192.168.1.0/24"]], ["10.0.0.0/8"]),
        (["192.168.1.0/24", "10.0.0.0/8"], [["192.168.1.0/24"], ["10.0.0.0/8"]], []),
        (["192.168.1.0/24", "fd00:1::/64"], [["192.168.1.0/24"]], ["fd00:1::/64"]),
        (["192.168.1.0/24", "fd00:1::/64"], [["fd00::/16", "192.168.1.0/24"]], []),
        (["fd00:1::/64"], [["0.0.0.0/0"]], ["fd00:1::/64"]),
        (["192.168.1.0/24"], [], ["192.168.1.0/24"]),
    ],
    ids=repr,
)
def test_several_children_together_cover_what_is_declared(
    declared: list[str], negotiated: list[list[str]], missing: list[str]
) -> None:
    have = [ip_network(subnet) for subnets in negotiated for subnet in subnets]
    assert list(map(str, uncovered(map(ip_network, declared), have))) == missing


def test_children_of_two_ike_sas_cover_together() -> None:
    wanted = connection(remote_subnet=["192.168.1.0/24", "10.0.0.0/8"])
    first, second = ike(child()), ike(child("10.0.0.0/8", unique_id="2"), unique_id="2")
    status = told(seen(first, second, loaded=wanted), wanted=wanted)
    assert (status.status, status.received_bytes) == ("up", 200)
    assert set(status.remote_subnets) == {"192.168.1.0/24", "10.0.0.0/8"}


def test_a_connection_of_somebody_else_under_our_name_is_named() -> None:
    fake = FakeIke()
    fake.load_connection("kspb_vpn", {"children": {"net": {}}})
    fake.sas = [ike(child(name="net"))]
    status = told(fake.observe(deep=True))
    assert status.status == "down"
    assert "somebody else loaded a connection of this name" in status.reason
    assert status.remote_address == ""


def test_a_site_that_the_hub_dials_is_not_asked_to_dial_in() -> None:
    wanted = connection(remote_address="198.51.100.7")
    assert told(seen(loaded=wanted), wanted=wanted).reason == "no IKE_SA; the hub dials it"


def test_the_sas_of_one_tunnel_say_nothing_about_another() -> None:
    other = connection(2, "kczk")
    desired = {c.name: c for c in (KSPB, other)}
    found = summarise_connections(desired, NOTHING_SPECIAL, seen(ike(child())), {}, {}, NOW)
    assert {name: status.status for name, status in found.items()} == {
        "kspb_vpn": "up",
        "kczk_vpn": "down",
    }


def test_what_is_not_declared_is_not_reported() -> None:
    assert summarise_connections({}, NOTHING_SPECIAL, seen(ike(child())), {}, {}, NOW) == {}


def test_what_was_negotiated_is_shown() -> None:
    status = told(seen(ike(child())))
    assert (status.remote_address, status.remote_port) == ("198.51.100.7", 4500)
    assert (status.ike_state, status.child_state) == ("ESTABLISHED", "INSTALLED")
    assert (status.local_subnets, status.remote_subnets) == (("0.0.0.0/0",), ("192.168.1.0/24",))
    assert status.declared_subnets == ("192.168.1.0/24",)
    assert (status.received_bytes, status.sent_bytes) == (100, 10)


def test_where_the_site_was_is_remembered_once_it_has_proved_who_it_is() -> None:
    before = told(seen(ike(child())))
    assert before.last_remote_address == "198.51.100.7"
    anybody = ike(state="CONNECTING", remote_host="203.0.113.9")
    assert told(seen(anybody)).last_remote_address == ""
    assert told(seen(anybody), before=before).last_remote_address == "198.51.100.7"
    assert told(seen(), before=before).last_remote_address == "198.51.100.7"


def test_the_last_error_and_the_next_attempt_are_shown() -> None:
    status = told(seen(), hints=Hints(PastFailures(error="NO_PROPOSAL_CHOSEN"), NOW + 20))
    assert (status.last_error, status.next_attempt) == ("NO_PROPOSAL_CHOSEN", NOW + 20)


def test_a_last_good_declaration_and_a_held_removal_are_shown() -> None:
    kept = decided({"kspb": vpn()}, kspb=vpn(psk=""))
    status = told(seen(ike(child())), decision=kept)
    assert (status.status, status.last_good, status.removal_held) == ("up", True, False)
    before = {id_: vpn(n) for n, id_ in enumerate(("kspb", "k2", "k3"), 1)}
    status = told(seen(ike(child())), decision=decided(before))
    assert (status.last_good, status.removal_held) == (False, True)
