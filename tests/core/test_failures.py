"""What is remembered of failures, whose they were, and that strangers take little room."""

from dataclasses import dataclass, replace

import pytest

from reconciler.core.failures import MOST_STRANGERS, FailureRecord, Now, PastFailures, record
from reconciler.core.reasons import Code, Failure
from tests.builders import connections, vpn

NOW = Now(1_750_000_000, 1000.0)
DESIRED = connections(kspb=vpn(1), kczk=vpn(2, remote_address="198.51.100.2"))


@dataclass(frozen=True)
class Seen:
    status: str = "down"
    last_remote_address: str = ""


def failure(**changes: object) -> Failure:
    made = Failure("", Code.UNKNOWN_ID, "no matching peer config found", 990.0, "203.0.113.9", "7")
    return replace(made, **changes)  # type: ignore[arg-type]


def recorded(*failures: Failure, **seen: Seen) -> FailureRecord:
    return record(FailureRecord(), failures, DESIRED, seen, NOW)


def test_a_failure_of_a_connection_is_its_last_and_is_counted() -> None:
    first = failure(connection="kspb_vpn", code=Code.WRONG_PSK, words="MAC mismatched", at_s=900.0)
    second = failure(connection="kspb_vpn", code=Code.WRONG_PSK, words="again", at_s=990.0)
    third = failure(connection="kspb_vpn", code=Code.DEAD_PEER, words="giving up", at_s=995.0)
    past = recorded(first, second, third).of("kspb_vpn")
    assert past.counts == {Code.WRONG_PSK: 2, Code.DEAD_PEER: 1}
    assert past.last is not None
    assert (past.last.code, past.last.words) == (Code.DEAD_PEER, "giving up")
    assert past.last.at == NOW.unix - 5
    assert past.error == "giving up"


def test_what_is_not_declared_is_not_remembered() -> None:
    assert recorded(failure(connection="theirs")) == FailureRecord()


def test_a_peer_that_fits_nothing_is_a_stranger() -> None:
    knocks = [failure(claimed_id="other.remote", at_s=at) for at in (900.0, 950.0)]
    (stranger,) = recorded(*knocks).strangers
    assert (stranger.remote_address, stranger.claimed_id) == ("203.0.113.9", "other.remote")
    assert (stranger.count, stranger.code) == (2, Code.UNKNOWN_ID)
    assert (stranger.first_seen, stranger.last_seen) == (NOW.unix - 100, NOW.unix - 50)


@pytest.mark.parametrize("claimed", ["kspb.remote", "KSPB.Remote"])
def test_a_peer_that_gives_itself_a_declared_identity_is_that_airports_site(claimed: str) -> None:
    made = recorded(failure(claimed_id=claimed, asked_id="other.hub"))
    last = made.of("kspb_vpn").last
    assert last is not None
    assert (last.code, last.certain, last.asked_id) == (Code.UNKNOWN_ID, True, "other.hub")
    assert made.strangers == ()


def test_before_it_gives_itself_an_identity_its_last_address_tells_whose_site_it_may_be() -> None:
    mismatch = failure(code=Code.PROPOSAL_MISMATCH, remote_address="198.51.100.7")
    made = recorded(mismatch, kspb_vpn=Seen("down", "198.51.100.7"))
    last = made.of("kspb_vpn").last
    assert last is not None
    assert (last.code, last.certain) == (Code.PROPOSAL_MISMATCH, False)
    assert made.of("kspb_vpn").counts == {Code.PROPOSAL_MISMATCH: 1}
    assert [stranger.remote_address for stranger in made.strangers] == ["198.51.100.7"]


def test_or_its_declared_address() -> None:
    last = recorded(failure(remote_address="198.51.100.2")).of("kczk_vpn").last
    assert last is not None
    assert not last.certain


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param({"kspb_vpn": Seen("up", "203.0.113.9")}, id="its tunnel is up"),
        pytest.param(
            {"kspb_vpn": Seen("down", "203.0.113.9"), "kczk_vpn": Seen("down", "203.0.113.9")},
            id="two sites share the address",
        ),
        pytest.param({"kspb_vpn": Seen("down", "")}, id="nobody was ever there"),
    ],
)
def test_an_address_that_tells_nothing_is_a_strangers_alone(seen: dict[str, Seen]) -> None:
    made = recorded(failure(), **seen)
    assert made.by_connection == {}
    assert len(made.strangers) == 1


def test_of_two_sites_behind_one_address_the_one_that_is_down_is_meant() -> None:
    seen = {"kspb_vpn": Seen("up", "203.0.113.9"), "kczk_vpn": Seen("down", "203.0.113.9")}
    assert recorded(failure(), **seen).of("kczk_vpn").last is not None


def test_what_is_certain_is_not_hidden_by_what_may_be() -> None:
    seen = {"kspb_vpn": Seen("down", "203.0.113.9")}
    certain = failure(connection="kspb_vpn", code=Code.WRONG_PSK, at_s=800.0)
    past = recorded(certain, failure(code=Code.HALF_OPEN), **seen).of("kspb_vpn")
    assert past.last is not None
    assert past.last.code is Code.WRONG_PSK
    assert past.counts == {Code.WRONG_PSK: 1, Code.HALF_OPEN: 1}
    long_ago = failure(connection="kspb_vpn", code=Code.WRONG_PSK, at_s=100.0)
    last = recorded(long_ago, failure(code=Code.HALF_OPEN), **seen).of("kspb_vpn").last
    assert last is not None
    assert last.code is Code.HALF_OPEN


def test_of_a_flood_the_last_strangers_are_kept() -> None:
    flood = [failure(remote_address=f"10.0.{n >> 8}.{n & 255}") for n in range(1000)]
    made = recorded(*flood)
    assert len(made.strangers) == MOST_STRANGERS
    assert made.strangers[-1].remote_address == "10.0.3.231"


def test_one_address_can_not_push_all_others_out() -> None:
    other = failure(remote_address="203.0.113.1", claimed_id="lost.remote")
    flood = [failure(claimed_id=f"x{n}") for n in range(1000)]
    made = recorded(other, *flood)
    assert [s.claimed_id for s in made.strangers] == [
        *("lost.remote", "x995", "x996", "x997", "x998", "x999")
    ]


def test_a_stranger_is_forgotten_after_a_day_or_once_it_is_declared() -> None:
    made = recorded(failure(claimed_id="other.remote"))
    later = Now(NOW.unix + 86_400, NOW.monotonic_s + 86_400)
    assert record(made, [], DESIRED, {}, later).strangers == ()
    declared = connections(other=vpn(3))
    assert record(made, [], declared, {}, NOW).strangers == ()
    assert record(made, [], DESIRED, {}, NOW).strangers == made.strangers


def test_once_it_is_up_the_counts_stay() -> None:
    made = recorded(failure(connection="kspb_vpn", code=Code.WRONG_PSK)).recovered(["kspb_vpn"])
    assert made.of("kspb_vpn") == PastFailures(counts={Code.WRONG_PSK: 1})


def test_a_tunnel_that_we_close_is_not_counted_as_failed() -> None:
    made = FailureRecord().closed_by_hub("kspb_vpn", "the key changed", NOW.unix)
    past = made.of("kspb_vpn")
    assert past.last is not None
    assert (past.last.code, past.last.words) == (Code.CLOSED_BY_HUB, "the key changed")
    assert past.counts == {}
