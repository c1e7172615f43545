"""`reconciler filter`: puts packet filter rules in force and says how they are.

A process of its own, because it alone may change the hub's network: the reconciler, which reads
what strangers write, has no capability. It takes rules as values, never a script.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
from pathlib import Path

from reconciler.core.nft_script import nft_change, nft_script, parts
from reconciler.core.packet_filter import (
    FilterRules,
    FilterState,
    FilterView,
    digest,
    from_json,
    view_to_json,
)
from reconciler.edges.nft import Nft
from reconciler.errors import FilterRefused
from reconciler.files import write_atomically
from reconciler.settings import Settings

log = logging.getLogger(__name__)
DEFAULT_SOCKET = "/run/filter/filter.sock"
LARGEST_REQUEST_BYTES = 8 * 1024 * 1024
_REQUEST_WITHIN_S = 5.0
_MOST_CLIENTS = 8
_LONGEST_ERROR = 400
_SAVED = "saved.nft"


class FilterAgent:
    """What was loaded, and what the kernel's table was made of right after that."""

    def __init__(self, nft: Nft, saved: Path, *, on: bool = True) -> None:
        self._nft, self._saved, self._on = nft, saved, on
        self._rules: FilterRules | None = None
        self._parts: frozenset[str] = frozenset()

    def look(self) -> FilterView:
        """Compare the kernel's table with what was loaded."""
        if not self._on:
            return FilterView(None, FilterState.OFF)
        try:
            return FilterView(self._loaded(), self._state(), self._nft.counters())
        except FilterRefused as error:
            return FilterView(self._loaded(), FilterState.UNKNOWN, error=str(error))

    def _loaded(self) -> str | None:
        return digest(self._rules) if self._rules is not None else None

    def _state(self) -> FilterState:
        listing = self._nft.listing()
        if listing is None:
            return FilterState.MISSING
        if self._rules is None:
            return FilterState.UNKNOWN
        return FilterState.IN_FORCE if parts(listing) == self._parts else FilterState.DRIFTED

    def load(self, rules: FilterRules) -> FilterView:
        """Put the rules in force; if that fails, what was in force stays so."""
        if not self._on:
            return self.look()
        try:
            how = self._put_in_force(rules)
        except FilterRefused as error:
            return self._with_error(str(error))
        fields = {"sites": len(rules.sites), "digest": self._loaded(), "how": how}
        log.info("packet filter loaded", extra={"fields": fields})
        try:
            write_atomically(self._saved, nft_script(rules).encode(), 0o600)
        except OSError as error:
            why = f"in force, but not saved for charon's next start: {error.strerror}"
            return self._with_error(why)
        return self.look()

    def _put_in_force(self, rules: FilterRules) -> str:
        """Change what is there, if it is what we loaded; else, or if that fails, replace it.

        A new table may drop a packet of a site that has not changed; a change does not.
        """
        how = "changed" if self._change(rules) else "replaced"
        if how == "replaced":
            self._nft.load(nft_script(rules))
        self._rules = None
        listing = self._nft.listing()
        if listing is None:
            raise FilterRefused("somebody took the table away as soon as it was loaded")
        self._rules, self._parts = rules, parts(listing)
        return how

    def _change(self, rules: FilterRules) -> bool:
        """Load what differs, if that is possible and less than the whole."""
        if self._rules is None:
            return False
        change = nft_change(self._rules, rules)
        try:
            if self._state() is not FilterState.IN_FORCE or len(change) > len(nft_script(rules)):
                return False
            self._nft.load(change)
        except FilterRefused as error:
            log.warning("packet filter not changed", extra={"fields": {"fault": str(error)}})
            return False
        return True

    def _with_error(self, why: str) -> FilterView:
        log.error("packet filter", extra={"fields": {"fault": why}})
        view = self.look()
        return FilterView(view.loaded, view.state, view.dropped, why)

    def remove(self) -> None:
        """Take the table away, and what charon would load. Raises FilterRefused."""
        self._saved.unlink(missing_ok=True)
        self._nft.remove()

    def answer(self, line: bytes) -> FilterView:
        """Do what one request asks for; whatever is wrong with it is said in the view."""
        try:
            request = json.loads(line)
            match request:
                case {"do": "look"} if len(request) == 1:
                    return self.look()
                case {"do": "load", "rules": rules} if len(request) == 2:
                    return self.load(from_json(rules))
            why = 'ask for {"do": "look"} or {"do": "load", "rules": …}'
        except (ValueError, RecursionError) as error:
            why = f"the request can't be read: {error}"[:_LONGEST_ERROR]
        return self._with_error(why)


class FilterServer:
    """Answers one request a connection, one at a time; whoever is slow or silent is cut off."""

    def __init__(self, agent: FilterAgent) -> None:
        self._agent = agent
        self._turn = asyncio.Lock()
        self._clients = 0

    async def start(self, path: Path) -> asyncio.Server:
        """Listen, for our own user only. Raises OSError."""
        before = os.umask(0o177)
        try:
            return await asyncio.start_unix_server(
                self._serve, path, limit=LARGEST_REQUEST_BYTES, backlog=_MOST_CLIENTS
            )
        except OSError as error:
            raise OSError(f"{path} can't be made: {error.strerror}") from error
        finally:
            os.umask(before)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients += 1
        try:
            if self._clients <= _MOST_CLIENTS:
                async with asyncio.timeout(_REQUEST_WITHIN_S):
                    line = await reader.readuntil(b"\n")
                async with self._turn:
                    view = await asyncio.to_thread(self._agent.answer, line)
                writer.write(json.dumps(view_to_json(view)).encode() + b"\n")
                async with asyncio.timeout(_REQUEST_WITHIN_S):
                    await writer.drain()
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
            pass  # it is gone, said nothing, or far too much
        finally:
            self._clients -= 1
            writer.close()


def filter_agent(settings: Settings, _options: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT; the rules stay. Raises OSError if the socket can't be made."""
    on = settings.packet_filter == "yes"
    path = Path(settings.filter_socket or DEFAULT_SOCKET)
    agent = FilterAgent(Nft(), path.with_name(_SAVED), on=on)
    if not on:
        _switch_off(agent)
    asyncio.run(_run(agent, path))
    return 0


def _switch_off(agent: FilterAgent) -> None:
    try:
        agent.remove()
        log.warning("packet filter off", extra={"fields": {"cause": "PACKET_FILTER=no"}})
    except FilterRefused as error:  # such as a kernel without nf_tables, which is why it is off
        log.warning("packet filter off", extra={"fields": {"cause": str(error)}})


async def _run(agent: FilterAgent, path: Path) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    server = await FilterServer(agent).start(path)
    log.info("started", extra={"fields": {"listen": str(path)}})
    await stopping.wait()
    server.close()
    with contextlib.suppress(OSError):
        path.unlink()
