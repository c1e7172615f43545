"""Look at charon's container, mend it if that is due, and say so. Decisions: core/container.py."""

import logging
from dataclasses import dataclass, replace

from reconciler.core.actions import ContainerAction, Outcome, RestartContainer
from reconciler.core.container import (
    STARTING,
    Ailment,
    Healing,
    Hold,
    Wait,
    after_attempt,
    after_look,
    after_short_answer,
    describe_healing,
    diagnose,
    heal,
)
from reconciler.core.observed import Observed, Unobserved
from reconciler.core.status import ContainerStatus
from reconciler.errors import ContainerRefused
from reconciler.world import World

log = logging.getLogger(__name__)
_Decision = ContainerAction | Wait | Hold | None


@dataclass(frozen=True, slots=True)
class Healed:
    """What became of the container in one round. `container` None: no Docker API is configured."""

    healing: Healing
    container: ContainerStatus | None = None
    outcomes: tuple[Outcome, ...] = ()


def heal_container(
    world: World, before: Healing, observed: Observed | Unobserved, asked_s: float
) -> Healed:
    """Act at most once. `asked_s`: when charon was asked for what was observed."""
    container = world.observe_container()
    if container is None:
        return Healed(before)
    ailment, healing, decision = _decide(world, before, container, observed, asked_s)
    outcomes: tuple[Outcome, ...] = ()
    if not isinstance(decision, Wait | Hold | None):
        outcome = _carry_out(world, decision)
        outcomes = (outcome,)
        healing = after_attempt(
            healing, decision, world.clock.monotonic_s(), world.clock.now(), world.jitter()
        )
        container = world.observe_container() or container
        if outcome.error is None:
            ailment, decision = None, None
        else:
            decision = Wait(healing.next_s)
    now_s, now = world.clock.monotonic_s(), world.clock.now()
    described = describe_healing(container, ailment, healing, decision, now_s, now)
    healing = _say(healing, described)
    return Healed(healing, described, outcomes)


def _decide(
    world: World,
    before: Healing,
    container: ContainerStatus,
    observed: Observed | Unobserved,
    asked_s: float,
) -> tuple[Ailment | None, Healing, _Decision]:
    settings = world.settings
    ailment = diagnose(container, observed, settings.daemon_deadline_seconds)
    now_s = world.clock.monotonic_s()
    now, heard_s = world.clock.now(), world.heard_s()
    healing = after_look(before, container, ailment, asked_s, now_s, now, heard_s)
    decision = heal(ailment, healing, settings.restarts_per_hour, now_s)
    if decision is not None and not settings.heals_container:
        return ailment, healing, Hold("HEAL_CONTAINER=no: the container is only looked at")
    if isinstance(decision, Wait | Hold | None):
        return ailment, healing, decision
    if world.stopping():
        return ailment, healing, Wait(now_s)
    # The last question before everybody is cut: a charon that is only busy answers this one.
    if isinstance(decision, RestartContainer) and world.ike.answers():
        healing = after_short_answer(healing)
        return ailment, healing, heal(ailment, healing, settings.restarts_per_hour, now_s)
    return ailment, healing, decision


def remedy(
    world: World, before: Healing, observed: Unobserved
) -> tuple[list[ContainerAction], str]:
    """For `plan`: what would mend the container, and in words what is wrong or in the way."""
    container = world.observe_container()
    if container is None:
        return [], ""
    asked_s = world.clock.monotonic_s()
    ailment, _, decision = _decide(world, before, container, observed, asked_s)
    if ailment is None:
        return [], ""
    held = decision.reason if isinstance(decision, Hold) else ""
    words = f"container {container.name}: {ailment.problem}"
    actions = [ailment.remedy] if ailment.remedy else []
    return actions, f"{words}; held: {held}" if held else words


def _carry_out(world: World, action: ContainerAction) -> Outcome:
    try:
        world.mend_container(action)
    except ContainerRefused as error:
        outcome = Outcome(action, str(error))
    else:
        outcome = Outcome(action)
    fields = {
        "action": type(action).__name__,
        "container": action.name,
        "cause": action.cause,
        "outcome": outcome.error or "accepted",
    }
    level = logging.WARNING if outcome.error is None else logging.ERROR
    log.log(level, "action", extra={"fields": fields})
    return outcome


def _say(healing: Healing, container: ContainerStatus) -> Healing:
    """Log what is wrong when it changes, not every round."""
    told = (container.problem, container.held)
    if told == healing.told:
        return healing
    fields = {"container": container.name, "problem": container.problem, "held": container.held}
    if container.problem and container.problem != STARTING:
        log.warning("container", extra={"fields": fields})
    return replace(healing, told=told)
