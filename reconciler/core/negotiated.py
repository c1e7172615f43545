"""What was negotiated against what is declared: a tunnel can be up and yet not be as it should.

Which side dialled is no fault. A CHILD_SA made together with its IKE_SA has no group of its own,
and one without PFS has none either; both are declared.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from reconciler.core.crypto import Suite
from reconciler.core.observed import Algorithms, ChildSa, IkeSa
from reconciler.core.reasons import Side
from reconciler.core.render import Connection
from reconciler.core.selectors import uncovered

# The reconciler ends duplicates after 10 s by itself; only those that stay are worth a word.
_LASTING_S = 20


class Flaw(StrEnum):
    """What may be wrong with a tunnel that is up."""

    NARROWED_SELECTORS = "narrowed-selectors"
    OTHER_IKE_ALGORITHMS = "other-ike-algorithms"
    OTHER_ESP_ALGORITHMS = "other-esp-algorithms"
    DUPLICATE_IKE_SAS = "duplicate-ike-sas"
    DUPLICATE_CHILD_SAS = "duplicate-child-sas"
    NO_NAT_TRAVERSAL = "no-nat-traversal"
    PROBE_FAILED = "probe-failed"

    @property
    def side(self) -> Side:
        """Who must act."""
        duplicate = self in (Flaw.DUPLICATE_IKE_SAS, Flaw.DUPLICATE_CHILD_SAS)
        return Side.NOBODY if duplicate else Side.SITE


FIXES: Mapping[Flaw, str] = {
    Flaw.NARROWED_SELECTORS: "Set the router's remote network to `local_subnet`.",
    Flaw.OTHER_IKE_ALGORITHMS: "Set the router's IKE proposal to `encryption` and `dh_group`.",
    Flaw.OTHER_ESP_ALGORITHMS: (
        "For some seconds after a change of the declaration this is right. Otherwise set the "
        "router's ESP proposal."
    ),
    Flaw.DUPLICATE_IKE_SAS: (
        "The reconciler ends the older ones. If this stays or comes back, two routers use the same "
        "identity."
    ),
    Flaw.DUPLICATE_CHILD_SAS: "See the router's log. It should have closed the older one.",
    Flaw.NO_NAT_TRAVERSAL: "Switch on NAT traversal on the router.",
    Flaw.PROBE_FAILED: (
        "See whether the camera has power and still has its address, and whether the router lets "
        "packets from the tunnel into its LAN. Or declare another `health_check`."
    ),
}


@dataclass(frozen=True, slots=True)
class Degradation:
    """One flaw, and what of it was seen."""

    code: Flaw
    text: str


def compare(connection: Connection, sas: Iterable[IkeSa]) -> tuple[Degradation, ...]:
    """List the flaws of a tunnel that is up."""
    live = [sa for sa in sas if sa.carrying_children]
    children = [child for sa in live for child in sa.carrying_children]
    found = [
        *_narrowed(connection, children),
        *(_ike_algorithms(connection.suite, sa.algorithms) for sa in live),
        *(_esp_algorithms(connection.suite, child.algorithms) for child in children),
        *_duplicates(live),
        *(_traversal(sa) for sa in live),
    ]
    return tuple(dict.fromkeys(one for one in found if one is not None))


def has_other_algorithms(connection: Connection, sa: IkeSa) -> bool:
    """Tell whether the tunnel uses other algorithms than its airport declares."""
    used = [_ike_algorithms(connection.suite, sa.algorithms)]
    used += [_esp_algorithms(connection.suite, c.algorithms) for c in sa.carrying_children]
    return any(used)


def _narrowed(connection: Connection, children: list[ChildSa]) -> Iterator[Degradation]:
    """By default the hub's side is whatever the site asks for; only less than declared is wrong."""
    declared = [subnet for subnet in connection.local_subnets if subnet.prefixlen > 0]
    if not declared:
        return
    have = [subnet for child in children for subnet in child.local_subnets]
    missing = uncovered(declared, have)
    if missing:
        text = f"the site's selectors leave out {', '.join(map(str, missing))} on the hub's side"
        yield Degradation(Flaw.NARROWED_SELECTORS, text)


def _ike_algorithms(suite: Suite, used: Algorithms) -> Degradation | None:
    wrong = _other_cipher(suite, used)
    wrong += [used.prf] if used.prf not in ("", suite.hash.prf_name) else []
    wrong += [used.group] if used.group not in ("", suite.group.charon_name) else []
    text = f"IKE uses {', '.join(wrong)} instead of {suite.ike_proposal}"
    return Degradation(Flaw.OTHER_IKE_ALGORITHMS, text) if wrong else None


def _esp_algorithms(suite: Suite, used: Algorithms) -> Degradation | None:
    wrong = _other_cipher(suite, used)
    wrong += [used.group] if used.group not in ("", suite.group.charon_name) else []
    text = f"ESP uses {', '.join(wrong)} instead of {suite.esp_proposals[0]}"
    return Degradation(Flaw.OTHER_ESP_ALGORITHMS, text) if wrong else None


def _other_cipher(suite: Suite, used: Algorithms) -> list[str]:
    """Name cipher and integrity if they are others; what charon does not tell is not compared."""
    wrong = []
    if used.encryption and (
        used.encryption != suite.cipher.charon_name
        or used.key_bits not in (0, suite.cipher.key_bits)
    ):
        wrong.append(f"{used.encryption}_{used.key_bits}" if used.key_bits else used.encryption)
    if not suite.cipher.aead and used.integrity not in ("", suite.hash.integrity_name):
        wrong.append(used.integrity)
    return wrong


def _duplicates(live: list[IkeSa]) -> Iterator[Degradation]:
    lasting = [sa for sa in live if sa.established_s >= _LASTING_S] if len(live) > 1 else []
    if len(lasting) > 1:
        numbers = ", ".join(sorted((sa.unique_id for sa in lasting), key=int))
        text = f"{len(lasting)} IKE_SAs carry it at the same time: {numbers}"
        yield Degradation(Flaw.DUPLICATE_IKE_SAS, text)
    for sa in live:
        if len(sa.children) < 2:
            continue
        seen = [
            (child.local_subnets, child.remote_subnets)
            for child in sa.carrying_children
            if child.installed_s >= _LASTING_S
        ]
        if len(seen) > len(set(seen)):
            text = f"IKE_SA {sa.unique_id} holds several CHILD_SAs for the same subnets"
            yield Degradation(Flaw.DUPLICATE_CHILD_SAS, text)


def _traversal(sa: IkeSa) -> Degradation | None:
    if not sa.nat_seen or all(child.udp_encapsulated for child in sa.carrying_children):
        return None
    text = "there is NAT on the way, but ESP is not wrapped in UDP"
    return Degradation(Flaw.NO_NAT_TRAVERSAL, text)
