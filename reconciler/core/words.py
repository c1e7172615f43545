"""charon's words about failures, sorted into codes.

They are those of releases 5.9 to 6.0 at log level 1. Every pattern begins at the beginning of a
line, where charon's own words stand: what a peer chose (its identity, say) comes later, so nobody
can pretend another failure by a clever name.
"""

import re
from dataclasses import dataclass

from reconciler.core.reasons import Code, printable

# Of one attempt charon says several things, in no certain order. The higher rank tells more.
_RULES: tuple[tuple[Code, int, str], ...] = (
    (Code.WRONG_IKE_VERSION, 4, r"parsed (ID_PROT|AGGRESSIVE) request"),
    (Code.WRONG_PSK, 3, r"tried \d+ shared keys? for .* but MAC mismatched$"),
    (Code.NO_KEY, 3, r"no shared key found for "),
    (Code.PROPOSAL_MISMATCH, 3, r"received proposals (un|in)acceptable"),
    (Code.PROPOSAL_MISMATCH, 3, r"no acceptable proposal found"),
    (Code.PROPOSAL_MISMATCH, 3, r"received NO_PROPOSAL_CHOSEN notify"),
    (Code.PROPOSAL_MISMATCH, 3, r"ignore candidate '.*' without matching IKE proposal"),
    (Code.SELECTOR_MISMATCH, 3, r"traffic selectors .* (un|in)acceptable$"),
    (Code.SELECTOR_MISMATCH, 3, r"no acceptable traffic selectors found"),
    (Code.SELECTOR_MISMATCH, 3, r"received TS_UNACCEPTABLE notify"),
    (Code.CHILD_FAILED, 3, r"unable to install .*IPsec"),
    (Code.CHILD_FAILED, 3, r"unable to allocate SPI"),
    (Code.NO_ANSWER, 3, r"establishing IKE_SA failed, peer not responding"),
    (Code.NO_ANSWER, 3, r"peer not responding, trying again"),
    (Code.HALF_OPEN, 3, r"deleting half.open IKE_SA"),
    (Code.REPLACED, 3, r"(deleting|destroying) duplicate IKE_SA for peer "),
    (Code.UNKNOWN_ID, 2, r"no matching peer config found"),
    (Code.UNKNOWN_ID, 2, r"no alternative config found"),
    (Code.UNKNOWN_ID, 2, r"no IKE config found for "),
    (Code.REFUSED_BY_SITE, 2, r"received AUTHENTICATION_FAILED notify error"),
    # After the hub proved itself: the site's answer to that, which charon does not comment on.
    (Code.REFUSED_BY_SITE, 2, r"parsed INFORMATIONAL request \d+ \[ .*\bN\(AUTH_FAILED\) "),
    (Code.DEAD_PEER, 2, r"giving up after \d+ retransmits"),
    (Code.CHILD_FAILED, 1, r"received \w+ notify, no CHILD_SA built"),
    (Code.CHILD_FAILED, 1, r"failed to establish CHILD_SA"),
    (Code.CHILD_FAILED, 1, r"closing IKE_SA due CHILD_SA setup failure"),
    (Code.REFUSED_BY_SITE, 1, r"received \w+ notify error"),
    (Code.CLOSED_BY_SITE, 0, r"received DELETE for IKE_SA"),
)
_WORDS = re.compile("|".join(f"({pattern})" for _, _, pattern in _RULES))
# Where in the one big pattern the group of each rule stands.
_RULE_AT = {
    1 + sum(1 + re.compile(pattern).groups for _, _, pattern in _RULES[:index]): rule
    for index, rule in enumerate(_RULES)
}
# From release 6.0.3 charon tells these by events of type `alert`; its words say more.
_ALERTS = {
    "local-auth-failed": Code.REFUSED_BY_SITE,
    "half-open-timeout": Code.HALF_OPEN,
    "proposal-mismatch-ike": Code.PROPOSAL_MISMATCH,
    "proposal-mismatch-child": Code.PROPOSAL_MISMATCH,
    "ts-mismatch": Code.SELECTOR_MISMATCH,
    "install-child-sa-failed": Code.CHILD_FAILED,
    "install-child-policy-failed": Code.CHILD_FAILED,
    "keep-on-child-sa-failure": Code.CHILD_FAILED,
    "unique-replace": Code.REPLACED,
    "peer-init-unreachable": Code.NO_ANSWER,
    "retransmit-send-timeout": Code.DEAD_PEER,
}
_ALERT_RANK = 1


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one line of charon says about an attempt. A higher rank tells more."""

    code: Code
    rank: int
    words: str


def classify(words: str) -> Verdict | None:
    """Sort one line of charon's log; None: it tells of no failure."""
    match = _WORDS.match(words)
    if match is None:
        return None
    code, rank, _ = next(rule for at, rule in _RULE_AT.items() if match[at] is not None)
    return Verdict(code, rank, printable(words))


def classify_alert(kind: str, connection: str) -> Verdict | None:
    """Sort an `alert` event; None: it tells of no failure."""
    code = _ALERTS.get(kind)
    if kind == "peer-auth-failed":
        # charon raises it as well if it found no connection for the peer's identity.
        code = Code.WRONG_PSK if connection else Code.UNKNOWN_ID
    return None if code is None else Verdict(code, _ALERT_RANK, f"alert: {kind}")
