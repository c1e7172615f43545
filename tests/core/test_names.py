"""What is known of a host name, and for how long."""

from ipaddress import ip_address

from reconciler.core.names import (
    BELIEVED_S,
    LONGEST_NEGATIVE_TTL_S,
    LONGEST_TTL_S,
    MOST_ADDRESSES,
    SHORTEST_TTL_S,
    Lookup,
    Resolution,
    after,
)

ONE, TWO = ip_address("192.168.1.1"), ip_address("192.168.1.2")
FAILED = Lookup(failure="no server answers in time")


def made(before: Resolution | None, found: Lookup, now_s: float = 100.0) -> Resolution:
    return after(before, found, now_s, lambda: 0.5)


def test_an_answer_holds_as_long_as_its_ttl_says_within_limits() -> None:
    for ttl_s, held_s in ((60.0, 60.0), (0.0, SHORTEST_TTL_S), (1e9, LONGEST_TTL_S)):
        found = made(None, Lookup((TWO, ONE), ttl_s))
        assert (found.addresses, found.due_s) == ((ONE, TWO), 100 + held_s)


def test_a_no_is_an_answer_that_replaces_addresses_at_once_and_holds_for_minutes_at_most() -> None:
    known = made(None, Lookup((ONE,), 60))
    found = made(known, Lookup(absent="there is no such name", ttl_s=86_400), 160)
    assert (found.addresses, found.absent) == ((), "there is no such name")
    assert found.due_s == 160 + LONGEST_NEGATIVE_TTL_S
    assert not found.is_stale(1e9)


def test_without_an_answer_the_last_addresses_stay_for_an_hour_and_that_is_known() -> None:
    known = made(None, Lookup((ONE,), 60))
    failed = made(known, FAILED, 160)
    assert (failed.addresses, failed.failure, failed.answered_s) == ((ONE,), FAILED.failure, 100)
    assert not failed.is_stale(100 + BELIEVED_S)
    late = made(failed, FAILED, 101 + BELIEVED_S)
    assert late.is_stale(101 + BELIEVED_S)
    assert late.addresses == ()


def test_the_pauses_between_questions_that_are_not_answered_grow_up_to_a_minute() -> None:
    found, now_s, pauses = Resolution(), 0.0, []
    for _ in range(6):
        found = made(found, FAILED, now_s)
        pauses.append(found.due_s - now_s)
        now_s = found.due_s
    assert pauses == [5, 10, 20, 40, 60, 60]
    assert made(found, Lookup((ONE,), 60), now_s).failures == 0


def test_a_name_with_very_many_addresses_does_not_fill_the_memory() -> None:
    many = tuple(ip_address(n) for n in range(1, 500))
    assert len(made(None, Lookup(many, 60)).addresses) == MOST_ADDRESSES
