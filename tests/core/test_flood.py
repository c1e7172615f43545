"""How much of charon's log is too much."""

from reconciler.core.flood import Flood, Limits

LIMITS = Limits(most_a_second=100, window_s=10.0)


def is_too_much(a_second: int, seconds: float) -> bool:
    flood = Flood(LIMITS, 0.0)
    return any(flood.swells(number / a_second) for number in range(int(a_second * seconds)))


def test_as_much_as_the_limit_is_listened_to_for_ever() -> None:
    assert not is_too_much(100, 60.0)


def test_a_little_more_than_the_limit_is_too_much_in_the_end() -> None:
    assert is_too_much(120, 20.0)


def test_a_burst_that_is_over_soon_is_listened_to() -> None:
    assert not is_too_much(1000, 0.9)


def test_a_great_flood_is_too_much_soon() -> None:
    assert is_too_much(10_000, 0.2)
