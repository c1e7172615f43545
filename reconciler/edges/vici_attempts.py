"""From charon's events to failures: what belongs to one IKE_SA is put together by its unique id.

Measured: charon says several things of one failed attempt, in lines and events that may overtake
one another; the first lines carry no connection's name; and `ike-updown` comes for attempts that
never were up. So what is said is gathered for a moment, and the word that tells most wins.
"""

import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from reconciler.core.reasons import Code, Failure, address, printable
from reconciler.core.words import Verdict, classify, classify_alert
from reconciler.edges import vici_codec as codec

SETTLE_S = 0.3
# An SA that is gone this soon after it came up was a failed attempt.
AT_ONCE_S = 2.0
# What follows from a failure (the SA is closed, say) is not one more failure.
CONSEQUENCE_S = 5.0
MOST_SAS = 2000
_UNNAMED = "(unnamed)"
_FACT = re.compile(
    r"received packet: from (?P<source>[0-9a-f.:]+)\[\d+\]"
    r"|initiating IKE_SA \S+ to (?P<target>[0-9a-f.:]+)$"
    r"|looking for peer configs matching \S+?\[(?P<asked>[^\]]*)\]\.\.\.[0-9a-f.:]+\[(?P<id>.*)\]$"
    r"|(?P<offered>received proposals: .*)"
    r"|(?P<accepted>configured proposals: .*)"
    r"|retransmit \d+ of request with message ID (?P<answered>[1-9]\d*)$"
    r"|(?P<ours>sending DELETE for IKE_SA )"
)


@dataclass(slots=True)
class _Sa:
    """What is known of one IKE_SA. `ended_by_us`: the hub closed it."""

    name: str = ""
    address: str = ""
    claimed_id: str = ""
    asked_id: str = ""
    proposals: dict[str, str] = field(default_factory=dict)
    answered: bool = False
    up_s: float | None = None
    ended_by_us: bool = False
    verdict: Verdict | None = None
    since_s: float = 0.0
    told_s: float | None = None


class SaMemory:
    """The IKE_SAs of one run of charon, as far as its events told of them. Bounded."""

    def __init__(self) -> None:
        self._sas: OrderedDict[str, _Sa] = OrderedDict()
        # In order of time, so that what is not due need not be walked at every event.
        self._pending: OrderedDict[str, _Sa] = OrderedDict()
        self._up: dict[str, set[str]] = {}

    def __len__(self) -> int:
        return len(self._sas)

    def take(self, kind: str, message: Mapping[str, Any], now_s: float) -> None:
        """Take in one event."""
        match kind:
            case "log":
                self._log(message, now_s)
            case "ike-updown":
                self._updown(message, now_s)
            case "ike-rekey":
                self._rekey(message)
            case "ike-update":
                name, about = section_of(message)
                sa = self._sa(codec.text(about, "uniqueid"), name)
                sa.address = address(codec.text(message, "remote-host"))
            case "alert":
                name, about = section_of(codec.section(message, "ike-sa"))
                unique_id = codec.text(about, "uniqueid")
                verdict = classify_alert(codec.text(message, "type"), name)
                if verdict and unique_id:
                    self._learn(unique_id, name, about)
                    self._judge(unique_id, verdict, now_s)
            case _:
                pass  # of CHILD_SAs nothing is remembered

    def due(self, now_s: float) -> Iterator[Failure]:
        """Yield the failures of which all has been said, in order of time."""
        while self._pending:
            unique_id, sa = next(iter(self._pending.items()))
            if now_s - sa.since_s < SETTLE_S:
                return
            del self._pending[unique_id]
            verdict, sa.verdict = self._final(unique_id, sa), None
            if verdict is not None:
                sa.told_s = sa.since_s
                yield _failure(unique_id, sa, verdict)

    def _log(self, message: Mapping[str, Any], now_s: float) -> None:
        words, unique_id = codec.text(message, "msg"), codec.text(message, "ikesa-uniqueid")
        if not unique_id:
            return
        name = name_of(codec.text(message, "ikesa-name"))
        fact = _FACT.match(words)
        # Of a site that is up and well there is nothing to remember, and a lot is said.
        if fact and (not name or unique_id in self._sas or fact["target"]):
            self._note(self._sa(unique_id, name), fact)
        verdict = classify(words)
        if verdict is not None:
            self._sa(unique_id, name)
            self._judge(unique_id, verdict, now_s)

    def _note(self, sa: _Sa, fact: re.Match[str]) -> None:
        sa.address = fact["source"] or fact["target"] or sa.address
        if fact["id"] is not None:
            sa.claimed_id, sa.asked_id = printable(fact["id"]), printable(fact["asked"])
        for kind in ("offered", "accepted"):
            if fact[kind]:
                sa.proposals[kind] = printable(fact[kind])
        sa.answered = sa.answered or bool(fact["answered"])
        sa.ended_by_us = sa.ended_by_us or bool(fact["ours"])

    def _updown(self, message: Mapping[str, Any], now_s: float) -> None:
        name, about = section_of(message)
        unique_id = codec.text(about, "uniqueid")
        sa = self._learn(unique_id, name, about)
        if codec.text(message, "up") == "yes":
            sa.up_s = now_s
            self._up.setdefault(name, set()).add(unique_id)
            return
        self._forget_up(name, unique_id)
        if sa.up_s is not None and now_s - sa.up_s <= AT_ONCE_S:
            words = f"up for {now_s - sa.up_s:.1f} s only"
            self._judge(unique_id, Verdict(Code.CLOSED_AT_ONCE, 0, words), now_s)

    def _rekey(self, message: Mapping[str, Any]) -> None:
        name, about = section_of(message)
        old, new = (codec.text(codec.section(about, key), "uniqueid") for key in ("old", "new"))
        self._forget_up(name, old)
        self._up.setdefault(name, set()).add(new)

    def _forget_up(self, name: str, unique_id: str) -> None:
        up = self._up.get(name, set())
        up.discard(unique_id)
        if not up:
            self._up.pop(name, None)

    def _learn(self, unique_id: str, name: str, about: Mapping[str, Any]) -> _Sa:
        """Take over what an event says of the SA itself."""
        sa = self._sa(unique_id, name)
        sa.address = address(codec.text(about, "remote-host")) or sa.address
        sa.claimed_id = _identity(about, "remote-id") or sa.claimed_id
        sa.asked_id = _identity(about, "local-id") or sa.asked_id
        return sa

    def _sa(self, unique_id: str, name: str) -> _Sa:
        sa = self._sas.get(unique_id)
        if sa is None:
            sa = self._sas[unique_id] = _Sa()
            if len(self._sas) > MOST_SAS:
                self._sas.popitem(last=False)
        sa.name = name or sa.name
        return sa

    def _judge(self, unique_id: str, verdict: Verdict, now_s: float) -> None:
        sa = self._sas[unique_id]
        if sa.verdict is None:
            sa.since_s = now_s
            self._pending[unique_id] = sa
            self._pending.move_to_end(unique_id)
        if sa.verdict is None or verdict.rank > sa.verdict.rank:
            sa.verdict = verdict

    def _final(self, unique_id: str, sa: _Sa) -> Verdict | None:
        """Weigh what was said; None: it was no failure, or it followed from one already told."""
        verdict = sa.verdict
        consequence = sa.told_s is not None and sa.since_s - sa.told_s < CONSEQUENCE_S
        if verdict is None or consequence:
            return None
        if verdict.code is Code.NO_ANSWER and sa.answered:
            return Verdict(Code.HALF_OPEN, verdict.rank, verdict.words)
        if verdict.rank > 0:
            return verdict
        carried = self._up.get(sa.name, set()) - {unique_id}
        if sa.ended_by_us or carried:
            return None
        if sa.up_s is not None and sa.since_s - sa.up_s <= AT_ONCE_S:
            return Verdict(Code.CLOSED_AT_ONCE, 0, verdict.words)
        return verdict


def section_of(message: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Return name and body of the IKE_SA of an event; the name is empty while it has none."""
    found = ((key, value) for key, value in message.items() if isinstance(value, Mapping))
    name, about = next(found, ("", {}))
    return name_of(name), about


def _identity(about: Mapping[str, Any], key: str) -> str:
    identity = printable(codec.text(about, key))
    return "" if identity == "%any" else identity


def name_of(name: str) -> str:
    """Return a connection's name as charon tells it; empty while it has none."""
    return "" if name == _UNNAMED else name


def _failure(unique_id: str, sa: _Sa, verdict: Verdict) -> Failure:
    words = verdict.words
    if verdict.code is Code.PROPOSAL_MISMATCH:
        words = "; ".join([words, *(sa.proposals[k] for k in sorted(sa.proposals, reverse=True))])
    return Failure(
        connection=sa.name,
        code=verdict.code,
        words=words,
        at_s=sa.since_s,
        remote_address=sa.address,
        ike_unique_id=unique_id,
        claimed_id=sa.claimed_id,
        asked_id=sa.asked_id,
    )
