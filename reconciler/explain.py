"""`reconciler explain NAME`: look at everything that concerns one tunnel, and put it together.

It works without charon, without a running reconciler and with a broken file; what could not be had
is said.
"""

import argparse
import difflib
import json
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from reconciler.core import explain as core
from reconciler.core.about import shown_name
from reconciler.core.explain import Explanation, Subject
from reconciler.core.observed import Observed, Unobserved
from reconciler.core.reasons import MEANINGS
from reconciler.core.status import ConnectionStatus, Status
from reconciler.core.transitions import Tail
from reconciler.edges.logs import masked
from reconciler.edges.manifest import read_document
from reconciler.edges.status_file import read_status
from reconciler.edges.vici_client import ViciClient
from reconciler.edges.vici_view import ike_view
from reconciler.errors import IkeRefused, IkeUnreachable, ManifestError, OrderError, StatusError
from reconciler.explain_text import page
from reconciler.look import Look, look
from reconciler.recall import recall
from reconciler.recent import charon_said
from reconciler.report import Done, make_status
from reconciler.settings import Settings
from reconciler.show import colour_option, is_stale
from reconciler.terminal import columns_of, wants_colour
from reconciler.text import duration
from reconciler.wiring import real_world

_MOST_LINES = 12
_MOST_NAMES = 20


def explain_options(parser: argparse.ArgumentParser) -> None:
    """Take the name, and how to show what is found."""
    parser.add_argument("name", metavar="NAME", help="connection or airport")
    colour_option(parser)


def explain(settings: Settings, options: argparse.Namespace) -> int:
    """Print the page. Raises OrderError if there is nothing of that name."""
    found = look_into(settings, options.name)
    if options.json:
        text = json.dumps(found.model_dump(mode="json"), indent=1)
    else:
        colour = wants_colour(options.colour, sys.stdout, os.environ)
        text = page(found, columns_of(sys.stdout), colour=colour)
    sys.stdout.write(text + "\n")
    return 0


def look_into(settings: Settings, wanted: str) -> Explanation:
    """Look at everything that concerns one tunnel. Raises OrderError."""
    world = real_world(settings, read_only=True)
    memory = recall(settings.status_file, world.clock)
    try:
        seen = look(world, memory, deep=True)
    finally:
        world.ike.close()
    now = world.clock.now()
    airports = _airports(settings)
    in_charon = seen.observed.connections if isinstance(seen.observed, Observed) else ()
    subject = core.find(wanted, seen.desired, seen.decision, airports, in_charon)
    if subject is None:
        raise OrderError(_unknown(wanted, seen, airports))
    done = Done(seen.observed)
    fresh = make_status(world, memory, seen, done, ("explain",), seen.errors, counted_before={})
    said = _Said.read(settings, now)
    return _Case(settings, seen, subject, airports, said, fresh, now).explanation()


def _airports(settings: Settings) -> Mapping[str, Any]:
    """Return the airports as they stand in the file, without the keys of other files."""
    try:
        document = read_document(settings.config_path)
    except ManifestError:
        return {}
    airports = document.get("airports") if isinstance(document, Mapping) else None
    return airports if isinstance(airports, Mapping) else {}


def _unknown(wanted: str, seen: Look, airports: Mapping[str, Any]) -> str:
    names = sorted({*seen.desired, *airports, *(c.airport_id for c in seen.desired.values())})
    close = difflib.get_close_matches(wanted.lower(), names, n=5, cutoff=0.5)
    hint = f"close to it: {', '.join(close)}" if close else "there are: " + _few(names)
    return f"{wanted!r} is no connection or airport; {hint}"


def _few(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return (", ".join(names[:_MOST_NAMES]) or "none") + more


@dataclass(frozen=True, slots=True)
class _Said:
    """What the running reconciler said last; `missing`: why nothing can be had of it."""

    status: Status | None
    stale: bool = False
    missing: str = ""

    @classmethod
    def read(cls, settings: Settings, now: int) -> "_Said":
        try:
            status = read_status(settings.status_file)
        except StatusError as error:
            return cls(None, missing=str(error))
        return cls(status, stale=is_stale(status, settings, now))

    def of(self, name: str) -> ConnectionStatus | None:
        """Return what it says of a connection, as far as it counts now."""
        return self.status.connections.get(name) if self.status and not self.stale else None

    def transitions(self, name: str) -> Tail:
        """Return the last ones, from a stale status as well: they have their times."""
        found = self.status.connections.get(name) if self.status else None
        return found.transitions if found else ()


@dataclass(frozen=True, slots=True)
class _Case:
    """All that one explanation is made from."""

    settings: Settings
    seen: Look
    subject: Subject
    airports: Mapping[str, Any]
    said: _Said
    fresh: Status
    now: int

    def explanation(self) -> Explanation:
        """Put everything together."""
        name, airport_id = self.subject.name, self.subject.airport_id
        connection = self.seen.desired.get(name)
        planned = [action for action in self.seen.planned if action.name == name]
        raw_conn, raw_sas, missing = self._ask_charon(name)
        faults = self.seen.decision.faults
        common: dict[str, Any] = {
            "name": name,
            "airport_id": airport_id,
            "airport_name": self._airport_name(airport_id),
            "at": self.now,
            "notes": tuple(map(masked, (*self._notes(), *missing))),
            "faults": core.faults_of(airport_id, faults) if airport_id else (),
            "loaded": core.loaded(name, connection, self.seen.observed, planned, raw_conn),
            "negotiated": tuple(
                ike_view(sa, self.now, partial(core.is_as_declared, connection)) for sa in raw_sas
            ),
            "charon_said": charon_said(self.settings.state_dir, name, _MOST_LINES),
            "transitions": self.said.transitions(name),
        }
        if connection is None:
            return Explanation(
                **common,
                verdict=core.verdict_without(self.subject, planned),
                plan=core.steps(planned, (), self.now),
                lookalikes=self._lookalikes(f"{airport_id}.remote", ()) if airport_id else (),
            )
        status = self._status(name)
        last = status.last_failure
        return Explanation(
            **common,
            verdict=core.verdict_of(status),
            declaration=core.declaration(
                connection, status, self.seen.decision, self._key_sources(airport_id)
            ),
            deviations=core.deviations(status),
            last_failure=last,
            last_failure_sentence=MEANINGS[last.code].sentence if last else "",
            last_error=status.last_error,
            failures=core.failure_counts(status),
            attempts=status.attempts,
            next_attempt=status.next_attempt,
            plan=core.steps(planned, status.attempts, self.now),
            lookalikes=self._lookalikes(
                connection.remote_id,
                (
                    status.remote_address,
                    status.last_remote_address,
                    str(connection.remote_address or ""),
                ),
            ),
        )

    def _status(self, name: str) -> ConnectionStatus:
        """Return how it is now. What the running one says has more in it, if it says the same."""
        fresh, said = self.fresh.connections[name], self.said.of(name)
        if said is None:
            return fresh
        same = (said.status, said.reason_code) == (fresh.status, fresh.reason_code)
        return said if same or isinstance(self.seen.observed, Unobserved) else fresh

    def _airport_name(self, airport_id: str) -> str:
        return masked(shown_name(_key(self.airports.get(airport_id), "name")))

    def _key_sources(self, airport_id: str) -> Mapping[str, str]:
        decision = self.seen.decision
        kept = airport_id in decision.kept or airport_id in decision.held
        vpn = _key(self.airports.get(airport_id), "vpn")
        return core.key_sources(vpn, in_force=not kept)

    def _lookalikes(self, site_id: str, addresses: Iterable[str]) -> tuple[core.Lookalike, ...]:
        strangers = self.said.status.strangers if self.said.status else ()
        return core.lookalikes(self.subject.airport_id, site_id, addresses, strangers)

    def _ask_charon(
        self, name: str
    ) -> tuple[Mapping[str, Any], list[Mapping[str, Any]], tuple[str, ...]]:
        """Return connection and SAs as charon tells them, and what it did not tell."""
        if isinstance(self.seen.observed, Unobserved):
            return {}, [], ()
        client = ViciClient(str(self.settings.vici_socket))
        try:
            conns = client.read("list-conns", ike=name)
            sas = client.read("list-sas", ike=name)
        except (IkeUnreachable, IkeRefused) as error:
            return {}, [], (f"charon did not tell more: {error}",)
        finally:
            client.close()
        loaded: Mapping[str, Any] = next((one[name] for one in conns if name in one), {})
        return loaded, [one[name] for one in sas if name in one], ()

    def _notes(self) -> Iterable[str]:
        """Say what makes this less than the whole truth."""
        said, observed = self.said, self.seen.observed
        if said.missing:
            yield f"there is no status, so nothing is known of earlier: {said.missing}"
        elif said.status and said.stale:
            age = duration(self.now - said.status.timestamp)
            yield f"the status is stale, {age} old; the reconciler does not run, or can't write it"
        if isinstance(observed, Unobserved):
            yield f"charon can't be asked, so this is what was seen last: {observed.reason}"
            container = said.status.container if said.status else None
            if container and container.problem:
                yield f"container {container.name}: {container.problem}"
        elif not self.seen.decided.keyed:
            yield "without the key of the marks nothing can be planned or compared"
        yield from self.seen.errors
        running = said.status.reconciler.errors if said.status and not said.stale else ()
        yield from (error for error in running if error not in self.seen.errors)


def _key(value: object, key: str) -> Any:
    return value.get(key) if isinstance(value, Mapping) else None
