"""Why a tunnel is not up, and who must act: the codes, and what each of them means."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address

_LONGEST_TEXT = 200


class Side(StrEnum):
    """Who must act."""

    SITE = "site"
    HUB = "hub"
    NETWORK = "network"
    NOBODY = "nobody"


class Code(StrEnum):
    """Reasons, in a form that programs can rely on. First failures, then states."""

    WRONG_PSK = "wrong-psk"
    REFUSED_BY_SITE = "refused-by-site"
    CLOSED_AT_ONCE = "closed-at-once"
    UNKNOWN_ID = "unknown-id"
    WRONG_IKE_VERSION = "wrong-ike-version"
    PROPOSAL_MISMATCH = "proposal-mismatch"
    SELECTOR_MISMATCH = "selector-mismatch"
    NO_KEY = "no-key"
    CHILD_FAILED = "child-failed"
    NO_ANSWER = "no-answer"
    HALF_OPEN = "half-open"
    DEAD_PEER = "dead-peer"
    REPLACED = "replaced"
    CLOSED_BY_SITE = "closed-by-site"

    NEVER_DIALLED_IN = "never-dialled-in"
    WAITING_FOR_SITE = "waiting-for-site"
    DIALLING = "dialling"
    NEGOTIATING = "negotiating"
    CHILD_MISSING = "child-missing"
    JUST_CAME_UP = "just-came-up"
    CLOSED_BY_HUB = "closed-by-hub"
    CHARON_RESTARTED = "charon-restarted"
    PAUSED = "paused"
    NAME_CLASH = "name-clash"
    CHARON_UNREACHABLE = "charon-unreachable"


# Both say that the site had no use for the key or identity with which the hub answered.
HUB_REFUSED = frozenset({Code.REFUSED_BY_SITE, Code.CLOSED_AT_ONCE})
# These concern the data tunnel: the IKE_SA may live on.
OF_CHILD = frozenset({Code.PROPOSAL_MISMATCH, Code.SELECTOR_MISMATCH, Code.CHILD_FAILED})


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a code says to people. `counts`: it is a failure, and each one is counted."""

    side: Side
    sentence: str
    fix: str
    counts: bool = True


MEANINGS: Mapping[Code, Meaning] = {
    Code.WRONG_PSK: Meaning(
        Side.SITE,
        "the site has another key than the declared one",
        "Enter the key of `psk` on the router. Mind blanks and line ends when you copy it.",
    ),
    Code.REFUSED_BY_SITE: Meaning(
        Side.SITE,
        "the site refuses the hub's key or identity",
        "Compare key and identities on both sides; the router's log says which of them it refuses. "
        "The hub's identity is the setting `HUB_ID`.",
    ),
    Code.CLOSED_AT_ONCE: Meaning(
        Side.SITE,
        "the tunnel came up, and the site closed it within two seconds",
        "Look into the router's log. Often it expects another key or identity of the hub.",
    ),
    Code.UNKNOWN_ID: Meaning(
        Side.SITE,
        "no declared tunnel fits what the site says of itself",
        "The router must call itself by `remote_id` (default `<airport id>.remote`) and the hub by "
        "`HUB_ID`, both of the type domain name (FQDN), and call from `remote_address` if that is "
        "declared. Or the airport is not declared, or disabled.",
    ),
    Code.WRONG_IKE_VERSION: Meaning(
        Side.SITE,
        "the site speaks IKEv1, and the hub only IKEv2",
        "Set the router to IKEv2.",
    ),
    Code.PROPOSAL_MISMATCH: Meaning(
        Side.SITE,
        "site and hub have no set of algorithms in common",
        "Set the router to the declared `encryption` and `dh_group`, for IKE and for ESP; or "
        "declare what the router uses.",
    ),
    Code.SELECTOR_MISMATCH: Meaning(
        Side.SITE,
        "the site asks for other subnets than the declared ones",
        "Make the router's local network equal to `remote_subnet`, and its remote network equal to "
        "`local_subnet` or a part of it.",
    ),
    Code.NO_KEY: Meaning(
        Side.HUB,
        "the hub has no key loaded for the site",
        "The reconciler loads it in its next round. If this stays, `reconciler status` says what "
        "keeps it from that.",
    ),
    Code.CHILD_FAILED: Meaning(
        Side.HUB,
        "the data tunnel could not be set up",
        "Look into `docker logs gateway`; often the kernel lacks ESP (`DATAPLANE`).",
    ),
    Code.NO_ANSWER: Meaning(
        Side.NETWORK,
        "the site does not answer at its declared address",
        "See whether `remote_address` is right, the router on, and UDP 500 open towards it.",
    ),
    Code.HALF_OPEN: Meaning(
        Side.NETWORK,
        "the negotiation began, and then nothing more came from the site",
        "Let UDP 4500 pass in both directions, at the site's firewall and at the hub's.",
    ),
    Code.DEAD_PEER: Meaning(
        Side.NETWORK,
        "the site stopped answering",
        "Look at the site's power and internet line. It comes back by itself when they do.",
    ),
    Code.REPLACED: Meaning(
        Side.NOBODY,
        "the site dialled in anew without having closed the tunnel before",
        "Nothing, if the router was restarted. If it goes on, two routers use the same identity.",
    ),
    Code.CLOSED_BY_SITE: Meaning(
        Side.SITE,
        "the site closed the tunnel and has not dialled in again",
        "Was the router switched off, or its tunnel? Its log says why.",
    ),
    Code.NEVER_DIALLED_IN: Meaning(
        Side.SITE,
        "no IKE_SA; the site has never dialled in",
        "Set up the router. If it is, see whether its packets arrive: troubleshooting.md, "
        "*Nobody dials in*.",
        counts=False,
    ),
    Code.WAITING_FOR_SITE: Meaning(
        Side.SITE,
        "no IKE_SA; the site must dial in",
        "A router dials again within minutes. If not, see whether its packets arrive: "
        "troubleshooting.md, *Nobody dials in*.",
        counts=False,
    ),
    Code.DIALLING: Meaning(
        Side.NOBODY,
        "no IKE_SA; the hub dials it",
        "Wait: `next_attempt` says when.",
        counts=False,
    ),
    Code.NEGOTIATING: Meaning(
        Side.NOBODY,
        "IKE_SA is being negotiated",
        "Wait half a minute.",
        counts=False,
    ),
    Code.CHILD_MISSING: Meaning(
        Side.NOBODY,
        "IKE_SA is up, CHILD_SA is missing",
        "Wait: the reconciler asks for the data tunnel by itself, with growing pauses.",
        counts=False,
    ),
    Code.JUST_CAME_UP: Meaning(
        Side.NOBODY,
        "the tunnel has just come up",
        "Wait two seconds: a tunnel that is closed again at once was never up.",
        counts=False,
    ),
    Code.CLOSED_BY_HUB: Meaning(
        Side.NOBODY,
        "the hub closed the tunnel so that the site dials in anew",
        "Wait for the site; the router dials by itself.",
        counts=False,
    ),
    Code.CHARON_RESTARTED: Meaning(
        Side.NOBODY,
        "charon was started anew, with which every tunnel ended",
        "Nothing: every site dials in by itself. `reconciler status` says why it was restarted, "
        "if the reconciler did it. This one stands in the history only.",
        counts=False,
    ),
    Code.PAUSED: Meaning(
        Side.HUB,
        "left alone by order",
        "`reconciler resume NAME` ends that.",
        counts=False,
    ),
    Code.NAME_CLASH: Meaning(
        Side.HUB,
        "somebody else loaded a connection of this name into charon; rename one of them",
        "Rename yours by `connection_name`, or unload the other one.",
        counts=False,
    ),
    Code.CHARON_UNREACHABLE: Meaning(
        Side.HUB,
        "not known: charon could not be asked",
        "See troubleshooting.md, *charon can't be asked*.",
        counts=False,
    ),
}
FAILURES = tuple(code for code in Code if MEANINGS[code].counts)


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed attempt, or the end of a tunnel that nobody at the hub asked for.

    Attributes:
        connection: its name; empty as long as charon did not know whose attempt it was.
        words: charon's own, made harmless.
        at_s: when, on the monotonic clock.
        remote_address: where it came from; empty if that is not known.
        claimed_id: the identity the peer gave itself, proved or not.
        asked_id: the identity by which the peer called the hub.

    """

    connection: str
    code: Code
    words: str
    at_s: float
    remote_address: str = ""
    ike_unique_id: str = ""
    claimed_id: str = ""
    asked_id: str = ""


def printable(text: str, longest: int = _LONGEST_TEXT) -> str:
    """Make harmless what a peer may have chosen: plain characters, and not too many."""
    plain = "".join(c if " " <= c <= "~" else "?" for c in text[: longest + 1])
    return plain if len(plain) <= longest else plain[: longest - 3] + "..."


def address(text: str) -> str:
    """Return the text if it is an IP address, else nothing."""
    try:
        return str(ip_address(text))
    except ValueError:
        return ""
