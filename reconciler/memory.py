"""What one round hands to the next."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.core.backoff import Attempts, Key
from reconciler.core.check import Decision, HubFacts
from reconciler.core.container import Healing
from reconciler.core.failures import FailureRecord
from reconciler.core.mask import Mask
from reconciler.core.render import Connection
from reconciler.core.rotation import Answer
from reconciler.core.sights import Sights
from reconciler.core.site_rules import Filtering
from reconciler.core.status import ConnectionStatus
from reconciler.core.tally import Tallies
from reconciler.core.traffic import Flow
from reconciler.core.transitions import Tail


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision with all that it was made from, so that it need not be made twice.

    Attributes:
        document: airports.json as parsed, or the fault that kept it from being parsed.
        accepted: the last good declarations; None if they could not be read. They hold keys.
        keyed: whether there was a key for the marks.
        answers: the key that sites with two of them are answered with.
        desired: what charon should have, by connection name.
        mask: covers every key that was read.

    """

    document: object = field(repr=False)
    accepted: Mapping[str, object] | None = field(repr=False)
    hub: HubFacts
    allow_removals: bool
    keyed: bool
    decision: Decision
    answers: Mapping[str, Answer]
    desired: Mapping[str, Connection] = field(repr=False)
    mask: Mask = field(repr=False)

    def still_holds(
        self,
        document: object,
        accepted: Mapping[str, object] | None,
        hub: HubFacts,
        *,
        allow_removals: bool,
    ) -> bool:
        """Whether deciding again would give the same."""
        before = (self.keyed, self.allow_removals, self.hub, self.document, self.accepted)
        return before == (True, allow_removals, hub, document, accepted)


@dataclass(frozen=True, slots=True)
class Memory:
    """What one round hands to the next. Everything here can be lost without harm to a tunnel.

    Attributes:
        previous: the last statuses that were really observed, by connection name.
        record: what failed, by connection name, and who knocked that is not declared.
        looked_s: when charon was last seen, on the monotonic clock; None: never.
        last_valid: when airports.json last had no error, unix seconds.
        decided: the last decision.
        answers: the key that sites with two of them were answered with.
        refused_s: when a site has just refused the hub's proof of its key, on the monotonic clock.
        flows: what has passed through each tunnel so far.
        tallies: what was counted of each tunnel since our start.
        lost: why an earlier memory could not be taken over; empty if it was.
        unsaved: the last attempt to write what must survive us failed.
        sights: where every camera is.
        excused: tunnels that work although their probe fails.
        tails: the newest transitions of each connection.

    """

    rounds: int = 0
    previous: Mapping[str, ConnectionStatus] = field(default_factory=dict)
    looked_s: float | None = None
    attempts: Mapping[Key, Attempts] = field(default_factory=dict)
    record: FailureRecord = field(default_factory=FailureRecord)
    last_valid: int = 0
    decided: Decided | None = None
    answers: Mapping[str, Answer] = field(default_factory=dict)
    refused_s: Mapping[str, float] = field(default_factory=dict)
    lost: str = ""
    healing: Healing = field(default_factory=Healing)
    filtering: Filtering = field(default_factory=Filtering)
    flows: Mapping[str, Flow] = field(default_factory=dict)
    tallies: Tallies = field(default_factory=Tallies)
    unsaved: bool = False
    sights: Sights = field(default_factory=Sights)
    excused: frozenset[str] = frozenset()
    tails: Mapping[str, Tail] = field(default_factory=dict)
