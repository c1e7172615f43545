"""Names of cameras, looked up in a thread of their own, and again when their TTL ends.

/etc/hosts comes first, as containers and their hosts are told apart there; then the servers, search
domains and options of /etc/resolv.conf. Both files are read again when they change. Nothing else of
the machine's name service (mDNS, LDAP, …) is asked.
"""

import asyncio
import contextlib
import random
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from ipaddress import ip_address
from pathlib import Path

import dns.asyncresolver
import dns.exception
import dns.message
import dns.rdatatype
import dns.resolver

from reconciler.core.model import IpAddress
from reconciler.core.names import Lookup, Resolution, after

MOST_AT_ONCE = 16
# One question with all its attempts.
PATIENCE_S = 4.0
# While one family of addresses is not known, it is asked for again so soon.
_HALF_AN_ANSWER_S = 60.0
_WITHOUT_SOA_S = 60.0
_TURN_S = 1.0
_HOSTS_TTL_S = 60.0


def read_hosts(path: Path) -> dict[str, tuple[IpAddress, ...]]:
    """Read addresses by name in lower case; lines that make no sense are passed over."""
    found: dict[str, list[IpAddress]] = {}
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return {}
    for line in lines:
        fields = line.partition("#")[0].split()
        try:
            address = ip_address(fields[0]) if fields else None
        except ValueError:
            continue
        for name in fields[1:] if address is not None else ():
            if address is not None:
                found.setdefault(name.lower().rstrip("."), []).append(address)
    return {name: tuple(addresses) for name, addresses in found.items()}


class Resolver:
    """Answers one name at a time, from the two files of this machine."""

    def __init__(
        self,
        resolv_conf: Path = Path("/etc/resolv.conf"),
        hosts: Path = Path("/etc/hosts"),
        *,
        port: int | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._resolv_conf, self._hosts_file = resolv_conf, hosts
        self._port, self._patience_s = port, patience_s
        self._signature: object = None
        self._hosts: Mapping[str, tuple[IpAddress, ...]] = {}
        self._resolver: dns.asyncresolver.Resolver | None = None
        self._unusable = ""

    async def lookup(self, name: str) -> Lookup:
        """Ask for both families. Never raises for what the outside does."""
        self._refresh()
        if found := self._hosts.get(name.rstrip(".")):
            return Lookup(found, _HOSTS_TTL_S)
        if self._resolver is None:
            return Lookup(failure=self._unusable)
        four, six = await asyncio.gather(
            self._ask(self._resolver, name, "A"), self._ask(self._resolver, name, "AAAA")
        )
        return _joined(four, six)

    def _refresh(self) -> None:
        signature = _signature(self._resolv_conf), _signature(self._hosts_file)
        if signature == self._signature:
            return
        self._signature = signature
        self._hosts = read_hosts(self._hosts_file)
        try:
            self._resolver = dns.asyncresolver.Resolver(str(self._resolv_conf))
        except (dns.exception.DNSException, OSError, ValueError):
            self._resolver = None
            self._unusable = f"{self._resolv_conf} names no server"
        if self._resolver is not None and self._port is not None:
            self._resolver.port = self._port

    async def _ask(self, resolver: dns.asyncresolver.Resolver, name: str, kind: str) -> Lookup:
        try:
            answer = await resolver.resolve(name, kind, search=True, lifetime=self._patience_s)
        except dns.resolver.NXDOMAIN as error:
            responses = error.kwargs.get("responses") or {}
            ttl_s = _negative_ttl_s(responses.values())
            return Lookup(absent="there is no such name", ttl_s=ttl_s)
        except dns.resolver.NoAnswer as error:
            response = error.kwargs.get("response")
            ttl_s = _negative_ttl_s([response] if response is not None else [])
            return Lookup(absent="the name has no address", ttl_s=ttl_s)
        except dns.exception.Timeout:
            return Lookup(failure="no server answers in time")
        except dns.resolver.NoNameservers:
            return Lookup(failure="no server gives a usable answer")
        except (dns.exception.DNSException, OSError, ValueError) as error:
            return Lookup(failure=f"the question failed ({type(error).__name__})")
        addresses = tuple(ip_address(record.address) for record in answer)
        return Lookup(addresses, float(answer.chaining_result.minimum_ttl))


def _joined(four: Lookup, six: Lookup) -> Lookup:
    """Make one of the answers for the two families; one of them is enough."""
    both = (four, six)
    addresses = (*four.addresses, *six.addresses)
    failures = [one.failure for one in both if one.failure]
    if addresses:
        ttls_s = [one.ttl_s for one in both if one.addresses]
        return Lookup(addresses, min([*ttls_s, *([_HALF_AN_ANSWER_S] if failures else [])]))
    if failures:
        return Lookup(failure=failures[0])
    return Lookup(absent=four.absent, ttl_s=min(four.ttl_s, six.ttl_s))


def _negative_ttl_s(responses: Iterable[dns.message.Message]) -> float:
    """Return how long a "no" holds: RFC 2308, by the SOA record beside it."""
    found = [
        float(min(record.minimum, rrset.ttl))
        for response in responses
        for rrset in response.authority
        if rrset.rdtype == dns.rdatatype.SOA
        for record in rrset
    ]
    return min(found, default=_WITHOUT_SOA_S)


def _signature(path: Path) -> object:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


class Names:
    """Keeps what is wanted looked up. `changed` is called, from its thread, after each news."""

    def __init__(
        self,
        resolver: Resolver,
        changed: Callable[[], object] = lambda: None,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._resolver = resolver
        self._changed = changed
        self._monotonic_s = monotonic_s
        self._wanted: frozenset[str] = frozenset()
        self._known: Mapping[str, Resolution] = {}
        self._asking: dict[str, asyncio.Task[Lookup]] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dns", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._nudge = asyncio.Event()

    def start(self) -> None:
        """Look up from now on."""
        self._thread.start()

    def stop(self) -> None:
        """End within a second or so."""
        self._stopping.set()
        self._wake()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end; whether it came."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def want(self, names: Collection[str]) -> Mapping[str, Resolution]:
        """Keep these names looked up, and no others; return what is known.

        While nothing changes, it is the same object that is returned.
        """
        wanted = frozenset(names)
        if wanted != self._wanted:
            self._wanted = wanted
            self._wake()
        return self._known

    def _wake(self) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it may be closed by now
                self._loop.call_soon_threadsafe(self._nudge.set)

    def _run(self) -> None:
        asyncio.run(self._turn_for_ever())

    async def _turn_for_ever(self) -> None:
        self._loop = asyncio.get_running_loop()
        while not self._stopping.is_set():
            self._take_answers()
            self._forget()
            wait_s = self._ask_what_is_due()
            await self._wait(wait_s)
        for task in self._asking.values():
            task.cancel()

    async def _wait(self, wait_s: float) -> None:
        waits = [asyncio.ensure_future(self._nudge.wait()), *self._asking.values()]
        await asyncio.wait(waits, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        waits[0].cancel()
        self._nudge.clear()

    def _ask_what_is_due(self) -> float:
        """Begin questions; return after how many seconds the next one is due."""
        now_s, next_s = self._monotonic_s(), _TURN_S
        for name in sorted(self._wanted - self._asking.keys(), key=self._due_s):
            if len(self._asking) >= MOST_AT_ONCE:
                break
            if self._due_s(name) > now_s:
                return min(next_s, self._due_s(name) - now_s)
            self._asking[name] = asyncio.ensure_future(self._resolver.lookup(name))
        return next_s

    def _due_s(self, name: str) -> float:
        known = self._known.get(name)
        return known.due_s if known is not None else 0.0

    def _take_answers(self) -> None:
        done = {name: task for name, task in self._asking.items() if task.done()}
        if not done:
            return
        now_s, known = self._monotonic_s(), dict(self._known)
        for name, task in done.items():
            del self._asking[name]
            if name in self._wanted:
                known[name] = after(known.get(name), task.result(), now_s, random.random)
        news = any(_told(known.get(name)) != _told(self._known.get(name)) for name in done)
        self._known = known
        if news:
            self._changed()

    def _forget(self) -> None:
        if self._known.keys() - self._wanted:
            self._known = {n: one for n, one in self._known.items() if n in self._wanted}


def _told(known: Resolution | None) -> object:
    """Return what of it makes a difference to anybody."""
    return known and (known.addresses, known.absent, known.failure, known.answered_s is None)


def look_up_now(names: Collection[str], resolver: Resolver) -> dict[str, Resolution]:
    """Look these names up once, for a command that ends. Takes as long as the slowest of them."""

    async def ask() -> dict[str, Resolution]:
        limit = asyncio.Semaphore(MOST_AT_ONCE)

        async def one(name: str) -> Lookup:
            async with limit:
                return await resolver.lookup(name)

        wanted = sorted(names)
        found = await asyncio.gather(*map(one, wanted))
        now_s = time.monotonic()
        return {
            name: after(None, lookup, now_s, random.random)
            for name, lookup in zip(wanted, found, strict=True)
        }

    return asyncio.run(ask())
