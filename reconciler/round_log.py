"""The log lines of one round. Each one about a connection names it and its airport."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from reconciler.core.actions import Outcome
from reconciler.core.reasons import Failure
from reconciler.core.render import Connection
from reconciler.core.status import ConnectionStatus, Status
from reconciler.core.transitions import Tail, Transition, is_repeated

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RoundLog:
    """Says what a round does.

    Attributes:
        number: of the round, since our start.
        desired, previous: what is declared, and what was seen last, to know each one's airport.

    """

    number: int
    desired: Mapping[str, Connection]
    previous: Mapping[str, ConnectionStatus]

    def _airport(self, name: str) -> str:
        """Return the airport's id; of what is no longer declared, as far as it is remembered."""
        known = self.desired.get(name) or self.previous.get(name)
        return known.airport_id if known is not None else ""

    def action(self, outcome: Outcome) -> None:
        """Tell of one action."""
        action = outcome.action
        fields = {
            "round": self.number,
            "action": type(action).__name__,
            "airport": self._airport(action.name),
            "connection": action.name,
            "cause": action.cause,
            "outcome": outcome.error or "accepted",
        }
        level = logging.INFO if outcome.error is None else logging.WARNING
        log.log(level, "action", extra={"fields": fields})

    def failures(self, failures: Iterable[Failure]) -> None:
        """Tell of each attempt for those who debug: anybody may make thousands of them."""
        for failure in failures:
            fields = {
                "round": self.number,
                "airport": self._airport(failure.connection),
                "connection": failure.connection,
                "code": failure.code,
                "words": failure.words,
                "remote_address": failure.remote_address,
                "claimed_id": failure.claimed_id,
            }
            log.debug("failed attempt", extra={"fields": fields})

    def transitions(self, new: Mapping[str, Tail], tails: Mapping[str, Tail]) -> bool:
        """Tell what changed; return whether it is news. `tails`: what came before it.

        What a tunnel that is down does again and again is told once.
        """
        news = False
        for name, ones in new.items():
            tail = tails.get(name, ())
            for one in ones:
                repeated = is_repeated(one, tail)
                self._transition(name, one, repeated=repeated)
                news |= not repeated
                tail = (*tail, one)
        return news

    def _transition(self, name: str, one: Transition, *, repeated: bool) -> None:
        level = logging.WARNING if one.bad else logging.INFO
        fields = {
            "round": self.number,
            "airport": self._airport(name),
            "connection": name,
            "from": one.from_status,
            "to": one.to_status,
            "reason_code": one.reason_code,
            "reason": one.reason,
        }
        log.log(logging.DEBUG if repeated else level, "transition", extra={"fields": fields})

    def round(
        self,
        status: Status,
        outcomes: tuple[Outcome, ...],
        failures: int,
        took_s: float,
        *,
        news: bool,
    ) -> None:
        """Sum up; one in which nothing changed is for those who debug."""
        counts = Counter(one.status for one in status.connections.values() if one.observed)
        fields = {
            "round": self.number,
            "reasons": ", ".join(status.reconciler.reasons),
            "up": counts["up"],
            "down": counts["down"],
            "connecting": counts["connecting"],
            "unknown": len(status.connections) - counts.total(),
            "actions": len(outcomes),
            "failed": sum(outcome.error is not None for outcome in outcomes),
            "failed_attempts": failures,
            "took_s": round(took_s, 3),
        }
        level = logging.INFO if outcomes or news else logging.DEBUG
        log.log(level, "round", extra={"fields": fields})
