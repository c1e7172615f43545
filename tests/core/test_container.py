"""charon's container: what is wrong, what would mend it, and when. Values only."""

import random
from dataclasses import replace
from itertools import pairwise, product

import pytest

from reconciler.core.actions import (
    ContainerAction,
    RestartContainer,
    StartContainer,
    UnpauseContainer,
    impact,
)
from reconciler.core.container import (
    HOUR_S,
    LASTING_S,
    LONGEST_BUSY_S,
    LONGEST_GAP_S,
    PATIENCE_S,
    START_S,
    Ailment,
    Healing,
    Hold,
    Wait,
    after_attempt,
    after_look,
    describe_healing,
    diagnose,
    heal,
    recall_healing,
)
from reconciler.core.observed import Daemon, Observed, Unobserved
from reconciler.core.status import ContainerStatus

DEADLINE_S = 20.0
NOW = 1_750_000_000
ANSWERS = Observed(
    Daemon("6.0.1", 1, "userspace", 32, 20, 0, 0, 0), {}, frozenset(), (), frozenset()
)
SILENT = Unobserved("no answer within 5 s")
LATE = Unobserved("no answer within 5 s", late=True)
BARRED = Unobserved("No such file or directory", no_access=True)
STATES = [
    *["created", "running", "paused", "restarting", "removing", "exited", "dead"],
    *["missing", "unknown", "something new"],
]
HEALTHS = ["", "starting", "healthy", "unhealthy"]
RESTART = Ailment("hung", RestartContainer("gateway", "hung"), DEADLINE_S)
START = Ailment("stopped", StartContainer("gateway", "stopped"))


def container(state: str = "running", health: str = "", **more: object) -> ContainerStatus:
    made = ContainerStatus(name="gateway", state=state, health=health, started_at=NOW - 5000)
    return made.model_copy(update=more)


def found(state: str, observed: Unobserved = SILENT, health: str = "", **more: object) -> Ailment:
    ailment = diagnose(container(state, health, **more), observed, DEADLINE_S)
    assert ailment is not None
    return ailment


@pytest.mark.parametrize(("state", "health"), [*product(STATES, HEALTHS)])
def test_a_charon_that_answers_is_never_touched_whatever_docker_says(
    state: str, health: str
) -> None:
    assert diagnose(container(state, health), ANSWERS, DEADLINE_S) is None


@pytest.mark.parametrize(
    ("state", "remedy", "cause"),
    [
        ("created", StartContainer, "created, but not started"),
        ("exited", StartContainer, "stopped with exit code 0"),
        ("paused", UnpauseContainer, "paused"),
        ("running", RestartContainer, "running, but charon does not answer by VICI"),
    ],
)
def test_each_state_has_its_remedy(state: str, remedy: type, cause: str) -> None:
    ailment = found(state)
    assert ailment.remedy == remedy("gateway", cause)
    assert ailment.problem == cause


def test_a_stopped_one_tells_its_exit_code_and_that_memory_ran_out() -> None:
    assert found("exited", exit_code=137, out_of_memory=True).problem == (
        "stopped with exit code 137, out of memory"
    )


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("missing", "does not exist; on the host: docker compose up --detach"),
        ("dead", "docker rm --force gateway, then docker compose up --detach"),
        ("restarting", "Docker is restarting it, it ended with exit code 1"),
        ("unknown", "Docker can't be asked"),
        ("removing", "Docker calls it removing"),
        ("something new", "Docker calls it something new"),
    ],
)
def test_where_nothing_can_be_done_it_is_said(state: str, words: str) -> None:
    ailment = found(state, exit_code=1)
    assert words in ailment.problem
    assert ailment.remedy is None
    assert heal(ailment, Healing(seen_s=1e6), 6, 0.0) is None


@pytest.mark.parametrize("health", HEALTHS)
def test_a_socket_out_of_reach_is_evidence_only_together_with_a_red_health_check(
    health: str,
) -> None:
    """A volume that is not mounted must not cut every tunnel six times an hour."""
    ailment = found("running", BARRED, health)
    assert isinstance(ailment.remedy, RestartContainer) == (health == "unhealthy")
    assert ailment.problem


@pytest.mark.parametrize("health", HEALTHS)
def test_a_silent_charon_is_restarted_whatever_its_health_check_still_says(health: str) -> None:
    assert isinstance(found("running", SILENT, health).remedy, RestartContainer)


def test_only_a_restart_costs_packets() -> None:
    assert impact(RestartContainer("gateway", "")).startswith("every tunnel is cut")
    assert impact(StartContainer("gateway", "")).startswith("nobody")
    assert impact(UnpauseContainer("gateway", "")).startswith("nobody")


# For how long it is seen


class Days:
    """One container through time: look after look, and what is decided."""

    def __init__(self, budget: int = 6, jitter: float = 0.5) -> None:
        self.healing, self.now_s, self.now = Healing(), 100.0, NOW
        self.budget, self.jitter = budget, jitter
        self.done: list[tuple[float, ContainerAction]] = []

    def look(
        self,
        seen: ContainerStatus,
        observed: Observed | Unobserved = SILENT,
        after_s: float = 2.0,
        asking_s: float = 0.0,
        heard_s: float = float("-inf"),
    ) -> ContainerAction | Wait | Hold | None:
        self.now_s += after_s
        self.now += int(after_s)
        ailment = diagnose(seen, observed, DEADLINE_S)
        asked_s = self.now_s - asking_s
        self.healing = after_look(
            self.healing, seen, ailment, asked_s, self.now_s, self.now, heard_s
        )
        decision = heal(ailment, self.healing, self.budget, self.now_s)
        if not isinstance(decision, Wait | Hold | None):
            self.done.append((self.now_s, decision))
            self.healing = after_attempt(self.healing, decision, self.now_s, self.now, self.jitter)
        return decision

    def until_done(self, seen: ContainerStatus, within_s: float, every_s: float = 2.0) -> float:
        """Look again and again; return the seconds until something was done."""
        count, began_s = len(self.done), self.now_s
        while len(self.done) == count:
            self.look(seen, after_s=every_s)
            assert self.now_s - began_s <= within_s, "nothing was done in time"
        return self.now_s - began_s


def test_a_silent_charon_has_its_deadline_and_then_is_restarted() -> None:
    days = Days()
    assert DEADLINE_S <= days.until_done(container(), 25) <= DEADLINE_S + 4


def test_the_time_that_was_spent_asking_counts() -> None:
    days = Days()
    days.look(container(), asking_s=5)
    assert days.healing.seen_s == 5


def test_a_stopped_one_is_left_for_a_moment_as_somebody_may_be_replacing_it() -> None:
    days = Days()
    assert isinstance(days.look(container("exited")), Wait)
    assert PATIENCE_S - 2 <= days.until_done(container("exited"), 10) <= PATIENCE_S + 4


def test_the_first_seconds_after_its_own_start_do_not_count() -> None:
    days = Days()
    days.look(container(started_at=NOW + 100), after_s=100)
    assert days.healing.seen_s == -START_S
    assert days.until_done(container(started_at=NOW + 100), 60) >= DEADLINE_S + START_S - 2


def test_one_answer_begins_the_deadline_anew() -> None:
    days = Days()
    for _ in range(100):
        for _ in range(8):
            days.look(container())
        days.look(container(), ANSWERS)
    assert days.done == []


def test_another_fault_and_another_start_begin_it_anew() -> None:
    days = Days()
    for _ in range(8):
        days.look(container())
    days.look(container(started_at=NOW - 4000))
    assert days.healing.seen_s == 0
    for _ in range(8):
        days.look(container(started_at=NOW - 4000))
    days.look(container("paused", started_at=NOW - 4000))
    assert days.healing.seen_s == 0


def unknown() -> ContainerStatus:
    return ContainerStatus(name="gateway", state="unknown", error="no answer")


def test_a_docker_that_could_not_be_asked_once_begins_nothing_anew_and_adds_nothing() -> None:
    days = Days()
    for _ in range(8):
        days.look(container())
    seen_s = days.healing.seen_s
    for _ in range(3):
        assert days.look(unknown()) is None
        assert days.healing.seen_s == seen_s
    assert seen_s + days.until_done(container(), 10) == pytest.approx(DEADLINE_S, abs=4)


def test_one_answer_begins_the_deadline_anew_also_when_docker_can_not_be_asked() -> None:
    days = Days()
    for _ in range(8):
        days.look(container())
    days.look(unknown(), ANSWERS)
    days.look(container())
    assert days.healing.seen_s == 0


def test_a_charon_that_tells_of_its_work_is_not_restarted_before_it_falls_silent() -> None:
    days = Days()
    for _ in range(100):
        decision = days.look(container("running"), LATE, heard_s=days.now_s + 1)
        assert not isinstance(decision, RestartContainer)
    assert isinstance(decision, Hold)
    assert decision.reason == "charon is alive, but too busy to tell its state"
    heard_s = days.now_s
    while not days.done:
        days.look(container("running"), LATE, heard_s=heard_s)
    assert DEADLINE_S - 1 <= days.now_s - heard_s <= DEADLINE_S + 2


def test_one_that_tells_of_its_work_and_answers_nothing_is_restarted_in_the_end() -> None:
    days, began_s = Days(), 100.0
    while not days.done:
        days.look(container("running"), LATE, heard_s=days.now_s + 2)
    assert LONGEST_BUSY_S <= days.now_s - began_s <= LONGEST_BUSY_S + 4


def test_one_look_of_another_kind_does_not_make_a_busy_charon_a_hung_one() -> None:
    days = Days()
    for _ in range(20):
        days.look(container("running"), LATE, heard_s=days.now_s + 2)
    broken = Unobserved("Broken pipe")
    assert isinstance(days.look(container("running"), broken, heard_s=days.now_s + 2), Hold)
    assert isinstance(days.look(container("running"), LATE, heard_s=days.now_s + 2), Hold)
    since_s = days.now_s
    while not days.done:
        days.look(container("running"), broken, heard_s=days.now_s + 2)
    assert DEADLINE_S - 2 <= days.now_s - since_s <= DEADLINE_S + 2


def test_what_it_tells_counts_for_nothing_where_nobody_takes_the_question() -> None:
    days = Days()
    while not days.done:
        days.look(container("running"), Unobserved("Connection refused"), heard_s=days.now_s + 2)
    assert days.now_s - 100.0 <= DEADLINE_S + 4


def test_another_start_begins_the_deadline_anew_also_behind_a_docker_that_was_silent() -> None:
    days = Days()
    for _ in range(8):
        days.look(container())
    days.look(unknown())
    days.look(container(started_at=NOW - 4000))
    assert days.healing.seen_s == 0


def test_time_in_which_docker_could_not_be_asked_is_no_evidence() -> None:
    days = Days()
    for _ in range(30):
        days.look(unknown())
    days.look(container())
    assert days.healing.seen_s == 0


def test_a_minute_of_answers_is_a_minute_whether_docker_can_be_asked_or_not() -> None:
    days = Days()
    days.until_done(container(), 40)
    days.look(container(), ANSWERS)
    days.look(unknown(), ANSWERS, after_s=LASTING_S / 2)
    days.look(container(), ANSWERS, after_s=LASTING_S / 2)
    assert days.healing.count == 0


def test_not_having_looked_is_no_evidence() -> None:
    """The reconciler itself was stopped for ten minutes: only its looks count."""
    days = Days()
    days.look(container())
    days.look(container(), after_s=600)
    assert days.healing.seen_s == LONGEST_GAP_S
    assert days.done == []


@pytest.mark.parametrize("jump_s", [3600, -3600])
def test_a_clock_that_jumps_neither_hastens_nor_delays(jump_s: int) -> None:
    days = Days()
    for _ in range(4):
        days.look(container())
    days.now += jump_s
    waited_s = days.until_done(container(), 25)
    assert 8 + waited_s == pytest.approx(DEADLINE_S, abs=4)


# Back-off and budget


def test_attempts_in_vain_come_later_and_later() -> None:
    days = Days(budget=1000)
    for _ in range(9):
        days.until_done(container("exited"), 400, every_s=1)
    times = [at_s for at_s, _ in days.done]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert gaps[1:] == pytest.approx([10, 20, 40, 80, 160, 300, 300], abs=1)
    assert gaps[0] == pytest.approx(max(5, PATIENCE_S), abs=2)


def test_an_answer_for_a_minute_ends_the_back_off_and_a_shorter_one_does_not() -> None:
    days = Days(budget=1000)
    for _ in range(5):
        days.until_done(container("exited"), 400)
    days.look(container(), ANSWERS)
    days.look(container(), ANSWERS, after_s=LASTING_S - 1)
    assert days.healing.count == 5
    days.look(container(), ANSWERS, after_s=1)
    assert (days.healing.count, days.healing.next_s) == (0, 0.0)
    assert days.until_done(container("exited"), 30) <= PATIENCE_S + 4


def test_a_minute_of_answers_from_two_daemons_is_no_lasting_success() -> None:
    days = Days(budget=1000)
    days.until_done(container("exited"), 30)
    for start in range(10):
        days.look(container(started_at=NOW + start), ANSWERS, after_s=20)
    assert days.healing.count == 1


def test_a_used_up_budget_holds_until_the_hour_has_room() -> None:
    days = Days(budget=3)
    for _ in range(3):
        days.until_done(container("exited"), 400)
    first_s = days.done[0][0]
    decision = days.look(container("exited"))
    assert isinstance(decision, Hold)
    assert "RESTARTS_PER_HOUR" in decision.reason
    assert decision.until_s == first_s + HOUR_S
    days.until_done(container("exited"), HOUR_S)
    assert days.done[3][0] >= first_s + HOUR_S


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_the_budget_holds_and_a_charon_that_answers_is_left_alone(
    seed: int,
) -> None:
    chance = random.Random(seed)  # noqa: S311 - reproducible on purpose
    days = Days(budget=chance.choice([1, 3, 6]), jitter=chance.random())
    start = NOW
    looks: list[Observed | Unobserved] = [ANSWERS, SILENT, SILENT, SILENT, BARRED]
    for _ in range(3000):
        start += chance.random() < 0.05
        state = chance.choice(STATES[:9])
        observed = chance.choice(looks)
        seen = container(state, chance.choice(HEALTHS), started_at=start)
        for _ in range(chance.randint(1, 15)):
            decision = days.look(seen, observed, after_s=chance.choice([0.1, 2.0, 7.0]))
            assert not (observed is ANSWERS and decision is not None)
    times = [at_s for at_s, _ in days.done]
    assert times
    for at_s in times:
        assert len([t for t in times if at_s - HOUR_S < t <= at_s]) <= days.budget


# What is told, and remembered


def described(days: Days, ailment: Ailment | None = START) -> ContainerStatus:
    decision = heal(ailment, days.healing, days.budget, days.now_s)
    seen = container("exited")
    return describe_healing(seen, ailment, days.healing, decision, days.now_s, days.now)


def test_the_status_tells_what_is_wrong_and_when_it_is_acted_upon() -> None:
    days = Days()
    days.look(container("exited"))
    said = described(days, diagnose(container("exited"), SILENT, DEADLINE_S))
    assert (said.problem, said.held) == ("stopped with exit code 0", "")
    assert said.next_attempt == days.now + PATIENCE_S


def test_a_charon_that_is_starting_is_not_called_ill() -> None:
    days = Days()
    young = container(started_at=NOW + 100)
    days.look(young, after_s=100)
    assert "started a moment ago" in described(days, diagnose(young, SILENT, 20)).problem
    days.look(unknown())
    assert days.healing.seen_s < 0
    answer = describe_healing(
        *(unknown(), diagnose(unknown(), SILENT, 20), days.healing, None, days.now_s, days.now)
    )
    assert "Docker can't be asked" in answer.problem
    for _ in range(6):
        days.look(young)
    assert "does not answer by VICI" in described(days, diagnose(young, SILENT, 20)).problem


def test_budget_and_back_off_survive_in_the_status() -> None:
    days = Days(budget=3)
    for _ in range(3):
        days.until_done(container("exited"), 400)
    said = described(days)
    assert said.held
    assert said.budget_used_up
    assert said.next_attempt == days.now + round(days.done[0][0] + HOUR_S - days.now_s)
    assert said.last_action == "StartContainer: stopped with exit code 0"
    # Another process, with another monotonic clock, ten seconds later.
    again = recall_healing(said, 7.0, days.now + 10)
    assert [7.0 - at_s for at_s in again.attempts_s] == pytest.approx(
        [days.now_s + 10 - at_s for at_s, _ in days.done], abs=1
    )
    assert again.count == 3
    assert again.next_s - 7.0 == pytest.approx(days.healing.next_s - days.now_s - 10, abs=1)
    assert isinstance(heal(START, replace(again, seen_s=1e3), 3, 7.0), Hold)


def test_a_memory_from_the_future_lasts_no_longer_than_one_of_now() -> None:
    """The clock was set back by an hour between two runs."""
    said = container(attempts=9, attempt_times=(NOW, NOW), not_before=NOW + 300)
    again = recall_healing(said, 7.0, NOW - 3600)
    assert again.attempts_s == (7.0, 7.0)
    assert again.next_s <= 7.0 + 300


def test_without_a_memory_all_begins_anew() -> None:
    assert recall_healing(None, 7.0, NOW) == Healing()
    assert heal(RESTART, replace(Healing(), seen_s=DEADLINE_S), 6, 7.0) == RESTART.remedy
