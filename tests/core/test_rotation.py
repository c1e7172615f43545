"""Replacing a key: which one the hub answers with, and what is said about how far it is."""

from dataclasses import replace

import pytest

from reconciler.core.diff import diff
from reconciler.core.ladder import is_current
from reconciler.core.model import Site
from reconciler.core.observed import Observed, Unobserved
from reconciler.core.render import Connection, render
from reconciler.core.rotation import Answer, Stage, follow, stage_of, with_next
from tests.builders import HUB, connection, decided, vpn
from tests.fake_ike import FakeIke

NEXT = "the-key-that-is-to-come-0001"
NAME = "kspb_vpn"


def sites(**changes: object) -> list[Site]:
    return [*decided(kspb=vpn(1, next_psk=NEXT, **changes), kczk=vpn(2)).sites.values()]


def rendered(*, new: bool) -> Connection:
    return render(sites(), HUB, {NAME} if new else ())[NAME]


OLD, NEW, PLAIN = rendered(new=False), rendered(new=True), connection()


def loaded(one: Connection) -> FakeIke:
    ike = FakeIke()
    ike.load_connection(one.name, one.settings)
    if one.spare_psk is not None:
        ike.load_secret(one.spare_secret_id, one.remote_id, one.spare_psk)
    ike.load_secret(one.secret_id, one.remote_id, one.psk)
    return ike


def answer(
    observed: Observed | Unobserved,
    before: dict[str, Answer] | None = None,
    refused_s: float | None = None,
) -> dict[str, Answer]:
    refusals = {} if refused_s is None else {NAME: refused_s}
    return follow(sites(), HUB, observed, before or {}, refusals, now_s=100.0)


def test_the_two_ways_differ_in_the_key_that_is_answered_with_and_in_nothing_else() -> None:
    assert (OLD.psk, OLD.spare_psk) == (NEW.spare_psk, NEW.psk)
    assert OLD.ike_marks == NEW.ike_marks == {OLD.mark.ike, NEW.mark.ike}
    assert OLD.mark.ike == PLAIN.mark.ike
    assert OLD.mark.child == NEW.mark.child == PLAIN.mark.child


def test_a_tunnel_from_before_the_rotation_and_one_under_either_key_are_all_right() -> None:
    for made in (PLAIN, OLD, NEW):
        ike = loaded(made)
        ike.dial_in(NAME)
        child = ike.sas[0].children[0]
        assert is_current(child, OLD)
        assert is_current(child, NEW)
    assert not is_current(child, PLAIN), "once only the old key is declared the new one is out"


def test_after_the_rotation_the_tunnel_under_the_new_key_goes_on() -> None:
    done = connection(psk=NEXT)
    ike = loaded(NEW)
    ike.dial_in(NAME)
    [load] = diff({NAME: done}, ike.observe(deep=True))
    assert load.outdated_secret_ids == tuple(sorted((NEW.secret_id, NEW.spare_secret_id)))  # type: ignore[union-attr]


def test_at_first_the_hub_answers_with_what_is_loaded_else_with_what_runs_else_the_old_key() -> (
    None
):
    nothing = FakeIke().observe(deep=True)
    assert answer(nothing)[NAME].mark == OLD.mark.ike
    for made in (OLD, NEW, PLAIN):
        assert answer(loaded(made).observe(deep=True))[NAME].mark == made.mark.ike
    running = loaded(NEW)
    running.dial_in(NAME)
    running.secrets = {}
    assert answer(running.observe(deep=True))[NAME].mark == NEW.mark.ike


def test_what_was_not_seen_is_not_remembered() -> None:
    unseen = Unobserved("no answer")
    assert answer(unseen) == {}
    before = {NAME: Answer(NEW.mark.ike, 10.0)}
    assert answer(unseen, before) == before


def test_a_refusal_turns_to_the_other_key_and_the_next_one_back() -> None:
    observed = loaded(OLD).observe(deep=True)
    before = {NAME: Answer(OLD.mark.ike, 50.0)}
    turned = answer(observed, before, refused_s=60.0)
    assert turned == {NAME: Answer(NEW.mark.ike, 100.0)}
    assert with_next(sites(), HUB, turned) == {NAME}
    assert follow(sites(), HUB, observed, turned, {NAME: 60.0}, 101.0) == turned
    back = follow(sites(), HUB, observed, turned, {NAME: 110.0}, 111.0)
    assert back[NAME].mark == OLD.mark.ike
    assert with_next(sites(), HUB, back) == frozenset()


def test_a_refusal_that_was_under_way_while_the_key_was_changed_does_not_turn_it_back() -> None:
    before = {NAME: Answer(NEW.mark.ike, 50.0)}
    observed = loaded(NEW).observe(deep=True)
    assert answer(observed, before, refused_s=50.5) == before


def test_with_other_keys_declared_the_choice_begins_anew() -> None:
    before = {NAME: Answer("00000000", 50.0)}
    assert answer(loaded(OLD).observe(deep=True), before)[NAME].mark == OLD.mark.ike


def test_a_next_key_that_equals_the_present_one_is_no_rotation() -> None:
    decision = decided(kspb=vpn(1, next_psk=vpn(1)["psk"]))
    assert decision.sites["kspb"].next_psk is None
    [warning] = decision.faults
    assert warning.path == "airports.kspb.vpn.next_psk"
    assert "nothing to replace" in warning.message


@pytest.mark.parametrize(
    ("declared", "made", "age_s", "stage"),
    [
        (PLAIN, PLAIN, 60, ""),
        (OLD, None, 0, "unknown"),
        (OLD, OLD, 60, "old"),
        (OLD, NEW, 60, "switching"),
        (NEW, None, 0, "switching"),
        (NEW, OLD, 60, "switching"),
        (NEW, NEW, 1, "switching"),
        (NEW, NEW, 2, "new"),
    ],
)
def test_the_stage_tells_what_the_newest_tunnel_was_made_with(
    declared: Connection, made: Connection | None, age_s: int, stage: Stage
) -> None:
    ike = FakeIke()
    if made is not None:
        ike = loaded(made)
        ike.dial_in(NAME, established_s=age_s)
    assert stage_of(declared, ike.sas) == stage


def test_of_two_tunnels_the_newer_one_tells() -> None:
    ike = loaded(OLD)
    ike.dial_in(NAME, established_s=500)
    ike.load_connection(NAME, NEW.settings)
    ike.dial_in(NAME, established_s=5)
    assert stage_of(NEW, ike.sas) == "new"
    assert stage_of(NEW, [replace(sa, established_s=505 - sa.established_s) for sa in ike.sas]) == (
        "switching"
    )
