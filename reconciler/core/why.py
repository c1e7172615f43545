"""From what is seen of a tunnel and what is remembered of its failures to the reason it is down."""

import re
from dataclasses import dataclass

from reconciler.core.failures import LastFailure
from reconciler.core.reasons import MEANINGS, OF_CHILD, Code, Side
from reconciler.core.render import Connection

_PROPOSALS = re.compile(r"received proposals: (?P<offered>.*); configured proposals: (?P<ours>.*)")
_SELECTORS = re.compile(r"traffic selectors (?P<ours>.*) === (?P<theirs>.*) (un|in)acceptable")


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a tunnel is not up."""

    code: Code
    text: str

    @property
    def side(self) -> Side:
        """Who must act."""
        return MEANINGS[self.code].side


def reason(code: Code, particulars: str = "") -> Reason:
    """Say it in a sentence."""
    return Reason(code, ": ".join(filter(None, (MEANINGS[code].sentence, particulars))))


def without_ike(
    connection: Connection, last: LastFailure | None, *, negotiating: bool, was_up: bool
) -> Reason:
    """Give the reason while no IKE_SA is established.

    An attempt that is under way does not hide how the one before it ended: it may end likewise.
    """
    if last is not None and last.code is not Code.REPLACED:
        return _of_failure(connection, last)
    if negotiating:
        return reason(Code.NEGOTIATING)
    if connection.remote_address is not None:
        return reason(Code.DIALLING)
    return reason(Code.WAITING_FOR_SITE if was_up else Code.NEVER_DIALLED_IN)


def without_child(connection: Connection, last: LastFailure | None, since: int) -> Reason:
    """Give the reason while an IKE_SA is up and no data tunnel. `since`: the IKE_SA, unix s."""
    if last is not None and last.code in OF_CHILD and last.at >= since:
        return _of_failure(connection, last)
    return reason(Code.CHILD_MISSING)


def _of_failure(connection: Connection, last: LastFailure) -> Reason:
    found = [_particulars(connection, last)]
    if last.remote_address and str(connection.remote_address) != last.remote_address:
        found.append(f"from {last.remote_address}")
    if not last.certain:
        found.append("told apart by its address only")
    return reason(last.code, "; ".join(filter(None, found)))


def _particulars(connection: Connection, last: LastFailure) -> str:
    match last.code:
        case Code.PROPOSAL_MISMATCH:
            if found := _PROPOSALS.search(last.words):
                return f"the site offers {found['offered']}, the hub accepts {found['ours']}"
        case Code.SELECTOR_MISMATCH:
            if found := _SELECTORS.search(last.words):
                return f"it asks for {found['theirs']} behind it and {found['ours']} here"
        case Code.UNKNOWN_ID:
            return _identities(connection, last)
        case Code.CLOSED_BY_HUB | Code.CHILD_FAILED:
            return last.words
        case _:
            pass
    return ""


def _identities(connection: Connection, last: LastFailure) -> str:
    said = []
    if last.claimed_id:
        said.append(f"it calls itself {last.claimed_id!r}")
    if last.asked_id and last.asked_id != connection.hub_id:
        said.append(f"it calls the hub {last.asked_id!r} instead of {connection.hub_id!r}")
    declared = connection.remote_address
    if declared is not None and last.remote_address not in ("", str(declared)):
        said.append(f"{declared} is declared as its address")
    return ", ".join(said)
