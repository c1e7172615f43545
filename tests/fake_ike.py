"""A charon made of values, for tests that need speed or faults.

Held to the real one by tests/contract.py, which runs the same sentences against both.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from typing import Any

from reconciler.core.observed import ChildSa, Daemon, IkeSa, Observed
from reconciler.core.render import mark_of_secret
from reconciler.errors import IkeRefused, IkeUnreachable

ALGORITHMS = frozenset(
    {"AES_CBC", "AES_GCM_16", "HMAC_SHA2_256_128", "PRF_HMAC_SHA2_256", "PRF_HMAC_SHA2_384"}
    | {"MODP_2048", "MODP_3072", "ECP_256", "ECP_384", "CURVE_25519"}
)


class Killed(BaseException):
    """We were killed right after this request: nothing that follows happens."""


@dataclass
class FakeIke:
    """charon's tables, changed by requests as charon changes its own.

    `faults`: one-shot errors by method name. `kill_after`: raise Killed after so many requests.
    `refuses_new_children`: sites that answer TS_UNACCEPTABLE to a CHILD_SA that the hub asks for.
    `refuses_redial`: sites that don't let themselves be dialled.
    """

    connections: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    secrets: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    sas: list[IkeSa] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    faults: dict[str, Exception] = field(default_factory=dict)
    refuses_new_children: set[str] = field(default_factory=set)
    kill_after: int | None = None
    refuses_redial: set[str] = field(default_factory=set)
    reachable: bool = True
    started_at: int = 1_600_000_000
    _next_id: int = 1
    _last_spi: int = 0xC0000000
    _made_from: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def observe(self, *, deep: bool) -> Observed:
        if not self.reachable:
            raise IkeUnreachable("no answer within 10 s")
        self._raise_fault("observe")
        marked = {found[0] for id_ in self.secrets if (found := mark_of_secret(id_))}
        return Observed(
            daemon=Daemon("6.0.1", self.started_at, "userspace", 32, 20, 0, len(self.sas), 0),
            connections={
                name: frozenset(settings["children"]) if deep or name not in marked else None
                for name, settings in self.connections.items()
            },
            secret_ids=frozenset(self.secrets),
            sas=tuple(self.sas),
            algorithms=ALGORITHMS,
            remote_addresses={
                name: tuple(settings.get("remote_addrs", ()))
                for name, settings in self.connections.items()
                if deep
            },
        )

    def load_connection(self, name: str, settings: Mapping[str, Any]) -> None:
        self._request("load_connection", name)
        self.connections[name] = settings
        # charon 6.0 ends IKE_SAs of that name that have no CHILD_SA.
        self.sas = [sa for sa in self.sas if sa.name != name or sa.children]
        self._done()

    def unload_connection(self, name: str) -> None:
        self._request("unload_connection", name)
        self.connections.pop(name, None)
        self.sas = [sa for sa in self.sas if sa.name != name or sa.children]
        self._done()

    def load_secret(self, secret_id: str, owner: str, psk: bytes) -> None:
        self._request("load_secret", secret_id)
        self.secrets[secret_id] = (owner, psk)
        self._done()

    def unload_secret(self, secret_id: str) -> None:
        self._request("unload_secret", secret_id)
        self.secrets.pop(secret_id, None)
        self._done()

    def start_child(self, name: str, child_name: str) -> None:
        self._request("start_child", f"{name} {child_name}")
        settings = self.connections.get(name)
        if settings is None or child_name not in settings["children"]:
            raise IkeRefused(f"CHILD_SA config '{child_name}' not found")
        sa = next((sa for sa in self.sas if self._reusable(sa, name, settings)), None)
        if sa is None and settings["remote_addrs"] == ["%any"]:
            raise IkeRefused(f"establishing CHILD_SA '{child_name}' failed")
        if sa is None and name not in self.refuses_redial:
            self.dial_in(name, established_s=2)
        elif sa is not None and name not in self.refuses_new_children:
            self._put(sa, (*sa.children, self._child(child_name, settings)))
        self._done()

    def _reusable(self, sa: IkeSa, name: str, settings: Mapping[str, Any]) -> bool:
        """Charon starts a child over an IKE_SA only if its connection equals the loaded one."""
        made_from = self._made_from.get(sa.unique_id, settings)
        same = {**made_from, "children": None} == {**settings, "children": None}
        return sa.name == name and sa.live and same

    def rekey_ike(self, unique_id: str) -> None:
        self._request("rekey_ike", unique_id)
        for sa in [sa for sa in self.sas if sa.unique_id == unique_id]:
            renewed = replace(sa, unique_id=self._id(), established_s=0, spi=self._spi())
            self._made_from[renewed.unique_id] = self._made_from.get(unique_id, {})
            self.sas[self.sas.index(sa)] = renewed
        self._done()

    def rekey_child(self, unique_id: str) -> None:
        self._request("rekey_child", unique_id)
        for sa in list(self.sas):
            renewed = (self._anew(c) if c.unique_id == unique_id else c for c in sa.children)
            self._put(sa, tuple(renewed))
        self._done()

    def end_child(self, unique_id: str) -> None:
        self._request("end_child", unique_id)
        for sa in list(self.sas):
            self._put(sa, tuple(c for c in sa.children if c.unique_id != unique_id))
        self._done()

    def end_ike(self, unique_id: str) -> None:
        self._request("end_ike", unique_id)
        self.sas = [sa for sa in self.sas if sa.unique_id != unique_id]
        self._done()

    def end_all(self, name: str) -> None:
        self._request("end_all", name)
        self.sas = [sa for sa in self.sas if sa.name != name]
        self._done()

    def answers(self) -> bool:
        return self.reachable

    def close(self) -> None:
        pass

    def dial_in(self, name: str, established_s: int = 60) -> None:
        """Play the site: establish what is loaded, as a responder would."""
        settings = self.connections[name]
        child_name = next(iter(settings["children"]))
        child = replace(self._child(child_name, settings), installed_s=established_s)
        sa = IkeSa(name, self._id(), "ESTABLISHED", "198.51.100.7", 4500, spi=self._spi())
        self._made_from[sa.unique_id] = settings
        self.sas.append(replace(sa, established_s=established_s, children=(child,)))

    def carry(self, name: str, received: int, sent: int = 0) -> None:
        """Let packets of 100 bytes through the tunnel that was made last."""
        sa = [sa for sa in self.sas if sa.name == name and sa.carrying_children][-1]
        child = sa.carrying_children[-1]
        used = replace(
            child,
            received_bytes=child.received_bytes + 100 * received,
            sent_bytes=child.sent_bytes + 100 * sent,
            received_packets=child.received_packets + received,
            sent_packets=child.sent_packets + sent,
            received_s=0 if received else child.received_s,
        )
        self._put(sa, tuple(used if c is child else c for c in sa.children))

    def restart(self, now: int) -> None:
        """Play `kill -9` of charon: everything it had is gone."""
        self.connections, self.secrets, self.sas = {}, {}, []
        self.started_at = now
        self._next_id = 1

    def _child(self, name: str, settings: Mapping[str, Any]) -> ChildSa:
        child = settings["children"][name]
        return ChildSa(
            name=name,
            unique_id=self._id(),
            state="INSTALLED",
            local_subnets=tuple(map(ip_network, child["local_ts"])),
            remote_subnets=tuple(map(ip_network, child["remote_ts"])),
            installed_s=60,
            spi_in=self._spi(),
            expires_s=3600,
        )

    def _anew(self, child: ChildSa) -> ChildSa:
        """Return a CHILD_SA with new keys, through which nothing has passed yet."""
        return ChildSa(
            name=child.name,
            unique_id=self._id(),
            state=child.state,
            local_subnets=child.local_subnets,
            remote_subnets=child.remote_subnets,
            spi_in=self._spi(),
            algorithms=child.algorithms,
            expires_s=3600,
        )

    def _put(self, sa: IkeSa, children: tuple[ChildSa, ...]) -> None:
        self.sas[self.sas.index(sa)] = replace(sa, children=children)

    def _id(self) -> str:
        self._next_id += 1
        return str(self._next_id)

    def _spi(self) -> str:
        """Make one; other than ids, they never come again."""
        self._last_spi += 1
        return f"{self._last_spi:08x}"

    def _raise_fault(self, method: str) -> None:
        fault = self.faults.pop(method, None)
        if fault is not None:
            raise fault

    def _request(self, method: str, what: str) -> None:
        if not self.reachable:
            raise IkeUnreachable("no answer within 10 s")
        self._raise_fault(method)
        self.requests.append(f"{method} {what}")

    def _done(self) -> None:
        if self.kill_after is not None:
            self.kill_after -= 1
            if self.kill_after == 0:
                self.kill_after = None
                raise Killed
