"""charon's container: what is wrong with it, what would mend that, and when it may be done.

Only what is seen of the daemon itself counts. Dead sites, however many, are no evidence, and a
daemon that answers is never touched, whatever its health check says.
"""

from dataclasses import dataclass, replace

from reconciler.core.actions import (
    ContainerAction,
    RestartContainer,
    StartContainer,
    UnpauseContainer,
)
from reconciler.core.backoff import LONGEST_S, delay_s
from reconciler.core.observed import Observed, Unobserved
from reconciler.core.status import ContainerStatus

# Whoever stopped or paused it may be about to replace, restart or copy it.
PATIENCE_S = 5.0
# A daemon that is starting need not answer yet; the health check gives it as long.
START_S = 10.0
# So long must charon have answered before what was done counts as a success.
LASTING_S = 60.0
HOUR_S = 3600.0
# A longer time between two looks counts as this: not having looked is no evidence.
LONGEST_GAP_S = 15.0
# So long a charon may tell what it does and answer nothing, before that counts as a fault.
LONGEST_BUSY_S = 600.0
STARTING = "started a moment ago, charon does not answer yet"


@dataclass(frozen=True, slots=True)
class Ailment:
    """What is wrong with the container.

    Attributes:
        problem: in words, the same for as long as the fault is the same.
        remedy: what would mend it; None: nothing that we may do.
        patience_s: for how long it must have been seen before that is done.
        may_be_busy: a charon that has too much to do looks like this as well.

    """

    problem: str
    remedy: ContainerAction | None = None
    patience_s: float = PATIENCE_S
    may_be_busy: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """The remedy comes later. `until_s`: not before this time (seconds, monotonic)."""

    until_s: float


@dataclass(frozen=True, slots=True)
class Hold:
    """The remedy is withheld, and why. `until_s` None: until somebody does something."""

    reason: str
    until_s: float | None = None
    budget: bool = False


@dataclass(frozen=True, slots=True)
class Healing:
    """What is remembered about the container between rounds. Times: seconds, monotonic.

    Attributes:
        problem, started_at: what the last look saw.
        seen_s: for how long that has been seen without a break.
        alive_s: how much of that is excused, as charon told something meanwhile.
        well_since_s: since when charon has answered; None: it does not.
        busy: charon has answered a short question, but nothing else.
        attempts_s: when something was done, within the last hour.
        count: attempts since charon last answered for a minute.
        next_s: no attempt before this.
        last_action, last_action_at: what was last done, in words, and when (unix seconds).
        told: what the log has been told last.

    """

    problem: str = ""
    started_at: int = 0
    seen_s: float = 0.0
    alive_s: float = 0.0
    looked_s: float = 0.0
    well_since_s: float | None = None
    busy: bool = False
    attempts_s: tuple[float, ...] = ()
    count: int = 0
    next_s: float = 0.0
    last_action: str = ""
    last_action_at: int = 0
    told: tuple[str, str] = ("", "")


def diagnose(
    container: ContainerStatus, observed: Observed | Unobserved, daemon_deadline_s: float
) -> Ailment | None:
    """Say what is wrong; None while charon answers."""
    if isinstance(observed, Observed):
        return None
    name = container.name
    match container.state:
        case "running":
            return _diagnose_running(container, observed, daemon_deadline_s)
        case "created":
            cause = "created, but not started"
            return Ailment(cause, StartContainer(name, cause))
        case "exited":
            cause = f"stopped with {_exit(container)}"
            return Ailment(cause, StartContainer(name, cause))
        case "paused":
            return Ailment("paused", UnpauseContainer(name, "paused"))
        case "restarting":
            return Ailment(f"Docker is restarting it, it ended with {_exit(container)}")
        case "missing":
            return Ailment("does not exist; on the host: docker compose up --detach")
        case "dead":
            return Ailment(
                "dead, Docker could not remove it; on the host: "
                f"docker rm --force {name}, then docker compose up --detach"
            )
        case "unknown":
            return Ailment("Docker can't be asked, so nothing is done about the container")
        case other:
            return Ailment(f"Docker calls it {other}")


def _diagnose_running(
    container: ContainerStatus, observed: Unobserved, daemon_deadline_s: float
) -> Ailment:
    cause = "running, but charon does not answer by VICI"
    if observed.no_access:
        if container.health != "unhealthy":
            return Ailment(
                "running, but its VICI socket is out of our reach; is the volume mounted?"
            )
        cause = "running and unhealthy, and charon's VICI socket is not there"
    remedy = RestartContainer(container.name, cause)
    return Ailment(cause, remedy, daemon_deadline_s, may_be_busy=observed.late)


def _exit(container: ContainerStatus) -> str:
    words = f"exit code {container.exit_code}"
    return f"{words}, out of memory" if container.out_of_memory else words


def after_look(
    before: Healing,
    container: ContainerStatus,
    ailment: Ailment | None,
    asked_s: float,
    now_s: float,
    now: int,
    heard_s: float,
) -> Healing:
    """Add up for how long the same is seen. `asked_s`: when the look began; `now`: unix seconds.

    By durations, so that a clock that is set neither hastens nor delays anything. `heard_s`: when
    charon told anything last. Its events come through when it is too busy for questions
    (docs/capacity.md), and none comes from a process that hangs.
    """
    unknown = container.state == "unknown"
    # A Docker that can't be asked tells nothing new: the next answer is held to the last one.
    started_at = before.started_at if unknown else container.started_at
    problem = ailment.problem if ailment else ""
    if unknown and ailment:
        problem = before.problem or problem
    same = (before.problem, before.started_at) == (problem, started_at)
    if same and unknown:
        seen_s = before.seen_s
    elif same:
        seen_s = before.seen_s + min(now_s - before.looked_s, LONGEST_GAP_S)
    else:
        seen_s = min(now_s - asked_s, LONGEST_GAP_S)
        runs_for_s = now - container.started_at
        if container.state == "running" and 0 <= runs_for_s < START_S:
            seen_s = runs_for_s - START_S
    alive_s = before.alive_s if same else 0.0
    if ailment is not None and ailment.may_be_busy:
        alive_s = max(alive_s, seen_s - (now_s - heard_s))
    well_since_s = (before.well_since_s if same else None) or now_s
    healing = replace(
        before,
        problem=problem,
        started_at=started_at,
        seen_s=seen_s,
        alive_s=alive_s if seen_s < LONGEST_BUSY_S else 0.0,
        looked_s=now_s,
        well_since_s=None if ailment else well_since_s,
        busy=same and before.busy,
        attempts_s=tuple(at_s for at_s in before.attempts_s if now_s - at_s < HOUR_S),
    )
    since_s = healing.well_since_s
    if since_s is not None and now_s - since_s >= LASTING_S:
        return replace(healing, count=0, next_s=0.0)
    return healing


def heal(
    ailment: Ailment | None, healing: Healing, budget: int, now_s: float
) -> ContainerAction | Wait | Hold | None:
    """Decide what is done now. `budget`: so many attempts an hour."""
    if ailment is None or ailment.remedy is None:
        return None
    spent = healing.attempts_s[-budget:]
    if len(spent) == budget:
        words = f"{budget} attempts within an hour, as many as RESTARTS_PER_HOUR allows"
        return Hold(words, spent[0] + HOUR_S, budget=True)
    silent_s = healing.seen_s - healing.alive_s
    due_s = max(healing.next_s, now_s + ailment.patience_s - silent_s)
    if due_s <= now_s:
        return ailment.remedy
    if healing.busy or healing.alive_s:
        return Hold("charon is alive, but too busy to tell its state", due_s)
    return Wait(due_s)


def after_short_answer(before: Healing) -> Healing:
    """Charon is alive: the deadline begins anew."""
    return replace(before, seen_s=0.0, alive_s=0.0, busy=True)


def after_attempt(
    before: Healing, action: ContainerAction, now_s: float, now: int, jitter: float
) -> Healing:
    """Count an attempt, whether it succeeded or not; what was seen before it no longer counts."""
    count = before.count + 1
    return replace(
        before,
        problem="",
        seen_s=0.0,
        alive_s=0.0,
        busy=False,
        attempts_s=(*before.attempts_s, now_s),
        count=count,
        next_s=now_s + delay_s(count, jitter),
        last_action=f"{type(action).__name__}: {action.cause}",
        last_action_at=now,
    )


def describe_healing(
    container: ContainerStatus,
    ailment: Ailment | None,
    healing: Healing,
    decision: ContainerAction | Wait | Hold | None,
    now_s: float,
    now: int,
) -> ContainerStatus:
    """Say all of it in the status, which is also the memory for our next start."""
    until_s = decision.until_s if isinstance(decision, Wait | Hold) else None
    return container.model_copy(
        update={
            "problem": _problem(container, ailment, healing),
            "held": decision.reason if isinstance(decision, Hold) else "",
            "budget_used_up": isinstance(decision, Hold) and decision.budget,
            "next_attempt": now + max(0, round(until_s - now_s)) if until_s is not None else 0,
            "attempts": healing.count,
            "attempt_times": tuple(now - round(now_s - at_s) for at_s in healing.attempts_s),
            "not_before": now + round(healing.next_s - now_s) if healing.next_s > now_s else 0,
            "last_action": healing.last_action,
            "last_action_at": healing.last_action_at,
        }
    )


def _problem(container: ContainerStatus, ailment: Ailment | None, healing: Healing) -> str:
    if ailment is None:
        return ""
    return STARTING if container.state != "unknown" and healing.seen_s < 0 else ailment.problem


def recall_healing(container: ContainerStatus | None, now_s: float, now: int) -> Healing:
    """Take budget and back-off over from the last status; times in the future count as now."""
    if container is None:
        return Healing()
    return Healing(
        attempts_s=tuple(now_s - max(0, now - at) for at in container.attempt_times),
        count=container.attempts,
        next_s=now_s + min(max(0, container.not_before - now), LONGEST_S),
        last_action=container.last_action,
        last_action_at=container.last_action_at,
    )
