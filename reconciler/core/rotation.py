"""Replacing a key while the tunnel lives: which of two the hub answers with, and how far it is.

While `vpn.next_psk` is declared charon accepts either key from the site, but proves itself with the
one loaded last only. So the hub answers with the key that the site is known to use; a site that
switches is refused once, by its own router, and that is the sign to answer with the other key.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from reconciler.core.model import Site
from reconciler.core.observed import IkeSa, Observed, Unobserved
from reconciler.core.render import (
    Connection,
    Hub,
    is_spare,
    mark_of_child,
    mark_of_secret,
    mark_under,
)

Stage = Literal["", "unknown", "old", "switching", "new"]
# What failed while the other key was being loaded still concerns the one before.
_IN_FLIGHT_S = 1.0
# A tunnel that its site closes at once proves nothing about the site's key.
_LASTED_S = 2


@dataclass(frozen=True, slots=True)
class Answer:
    """The key that the hub answers one site with, as the mark under that key; since when."""

    mark: str
    since_s: float


def follow(
    sites: Iterable[Site],
    hub: Hub,
    observed: Observed | Unobserved,
    before: Mapping[str, Answer],
    refused_s: Mapping[str, float],
    now_s: float,
) -> dict[str, Answer]:
    """Choose the key for every site that has two, by connection name.

    `refused_s`: when the site last refused the hub's proof. Times on the monotonic clock.
    """
    rotating = [site for site in sites if site.next_psk is not None]
    seen = _seen(observed) if rotating else {}
    return {
        site.connection_name: _answer(
            _marks(site, hub),
            seen.get(site.connection_name, ()),
            before.get(site.connection_name),
            # While charon ends, so do its tunnels; that tells nothing about keys.
            refused_s.get(site.connection_name) if isinstance(observed, Observed) else None,
            now_s,
        )
        for site in rotating
        # Without a look and a memory nothing is known that would be worth remembering.
        if isinstance(observed, Observed) or site.connection_name in before
    }


def with_next(sites: Iterable[Site], hub: Hub, answers: Mapping[str, Answer]) -> frozenset[str]:
    """Name the connections whose site is answered with `next_psk`."""
    return frozenset(
        site.connection_name
        for site in sites
        if site.connection_name in answers
        and _marks(site, hub)[1] == answers[site.connection_name].mark
    )


def _marks(site: Site, hub: Hub) -> tuple[str, str]:
    """Return the marks under the old and under the new key."""
    new = site.psk if site.next_psk is None else site.next_psk
    return mark_under(site, hub, site.psk), mark_under(site, hub, new)


def _answer(
    marks: tuple[str, str],
    seen: Iterable[str],
    before: Answer | None,
    refused_s: float | None,
    now_s: float,
) -> Answer:
    old, new = marks
    if before is None or before.mark not in marks:
        return Answer(next((mark for mark in seen if mark in marks), old), now_s)
    if refused_s is not None and refused_s > before.since_s + _IN_FLIGHT_S:
        return Answer(old if before.mark == new else new, now_s)
    return before


def _seen(observed: Observed | Unobserved) -> dict[str, list[str]]:
    """Return marks by connection: of the key that charon answers with, then of the newest SA."""
    found: dict[str, list[str]] = {}
    if isinstance(observed, Unobserved):
        return found
    for secret_id in observed.secret_ids:
        secret = mark_of_secret(secret_id)
        if secret is not None and not is_spare(secret_id):
            found.setdefault(secret[0], []).append(secret[1].ike)
    for sa in sorted(observed.sas, key=lambda sa: sa.established_s):
        found.setdefault(sa.name, []).extend(_ike_marks(sa))
    return found


def _ike_marks(sa: IkeSa) -> list[str]:
    marks = [mark_of_child(child.name) for child in sa.carrying_children]
    return [mark.ike for mark in marks if mark is not None]


def stage_of(connection: Connection, sas: Iterable[IkeSa]) -> Stage:
    """Tell how far the site is: which of the keys its newest tunnel was made with.

    `new`: the old key is not needed any more. `unknown`: no tunnel tells.
    """
    if not connection.next_mark:
        return ""
    answers_new = connection.mark.ike == connection.next_mark
    newest = next(
        (
            mark
            for sa in sorted(sas, key=lambda sa: sa.established_s)
            for mark in (_ike_marks(sa) if sa.established_s >= _LASTED_S else ())
            if mark in connection.ike_marks
        ),
        None,
    )
    if answers_new:
        return "new" if newest == connection.next_mark else "switching"
    if newest is None:
        return "unknown"
    return "switching" if newest == connection.next_mark else "old"
