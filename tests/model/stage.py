"""One reconciler, one charon, an operator and sites: what the steps of the model act on.

What must be true at every moment is checked after every round, what must come true at last by
`settle`. Both judge by what was declared and by charon's tables, not by what the reconciler thinks.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from reconciler.core.actions import Action
from reconciler.core.observed import IkeSa
from reconciler.core.reasons import Code, Failure
from reconciler.look import look
from reconciler.ports import Ike
from reconciler.round import Report, run_round
from reconciler.world import World
from tests.fake_charon import FakeCharon, FakeSite
from tests.fake_ike import Killed
from tests.model import promises
from tests.model.charon import Charon
from tests.model.fleet import AIRPORTS, Fleet, id_of, keys_of, name_of, subnets_of
from tests.model.trouble import Trouble, TroubledIke, TroubledState
from tests.worlds import Bench

# Back-off ends after 300 s at most, so each attempt that is due falls into these rounds.
ROUNDS_TO_CONVERGE = 40
SECONDS_A_ROUND = 15
DAMAGED = b"{damaged"
# A pause is 5 s at least, give or take a half; and there are several ways to the same end: in
# place, beside, anew.
SHORTEST_PAUSE_S = 2.5
WAYS_TO_A_CHILD = 3
# A site that has had no tunnel for so many rounds dials anew.
PATIENCE_ROUNDS = 25


@dataclass
class Stage(Bench):
    """A bench with everything on it that can go wrong.

    Attributes:
        with_sites: airports that have a site which dials in.
        disturbed: airports that something was done to since all was well; the IKE_SAs of all
            others must not change.
        asked_s: when each CHILD_SA was asked for last, by name and child.
        amnesia: the last good declarations were lost before a reconciler had read them, so nobody
            knows who came first.
        undisturbed_sas: unique ids of IKE_SAs by airport, as they were when all was well.

    """

    ike: Charon = field(default_factory=FakeCharon)  # type: ignore[assignment]
    with_sites: Collection[str] = AIRPORTS
    swanctl_file: Path | None = None
    fleet: Fleet = field(default_factory=Fleet)
    trouble: Trouble = field(default_factory=Trouble)
    sites: dict[str, FakeSite] = field(default_factory=dict)
    disturbed: set[str] = field(default_factory=set)
    undisturbed_sas: dict[str, set[str]] = field(default_factory=dict)
    asked_s: dict[tuple[str, ...], list[float]] = field(default_factory=dict)
    amnesia: bool = False
    has_read: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.swanctl_file is not None:
            self.settings = replace(self.settings, swanctl_file=self.swanctl_file)
        self.troubled = TroubledIke(self.ike, self.trouble)
        for number, airport in enumerate(AIRPORTS, 1):
            address = f"198.51.100.{number}"
            site = FakeSite(f"{airport}.remote", b"not yet known", (), address)
            site.can_be_dialled = number % 2 == 1
            self.sites[airport] = site
        self.ike.sites = [*self.sites.values()]
        self.start_reconciler()
        for airport in AIRPORTS[:4]:
            self.fleet.add(airport)
        self.settle()

    @property
    def world(self) -> World:
        return replace(
            super().world,
            ike=cast(Ike, self.troubled),
            state=self.state,
            write_status=self._write_status,
        )

    def _write_status(self, status: Any) -> None:
        super().world.write_status(status)
        self.trouble.effect()

    # What the steps do.

    def disturb(self, *airports: str) -> None:
        """Note that these may be cut by what was done."""
        self.disturbed |= {*airports}

    def name(self, airport: str) -> str:
        """Return the name of an airport's connection, as it was declared last."""
        return name_of(airport, self.fleet.good.get(airport, {}))

    def named(self, name: str) -> Iterable[str]:
        """Return the airports whose connection has that name."""
        return (airport for airport in AIRPORTS if self.name(airport) == name)

    def write_file(self) -> None:
        """Put into airports.json what the operator has written."""
        text = self.fleet.text()
        if text is None:
            self.settings.config_path.unlink(missing_ok=True)
        else:
            self.settings.config_path.write_bytes(text.encode("latin-1"))

    def start_reconciler(self) -> None:
        """Begin with nothing but what is on disk."""
        self.restart_reconciler()
        self.asked_s.clear()
        self.has_read = False
        self.state = TroubledState(self.settings.state_dir, self.settings.swanctl_file)
        self.state.trouble = self.trouble

    def _remembers(self) -> bool:
        path = self.settings.state_dir / "accepted.json"
        return path.exists() and path.read_bytes() != DAMAGED

    def restart_charon(self, *, saved: bool) -> None:
        """Kill charon; the next one is empty, or has loaded what was saved."""
        self.ike.restart(self.clock.now(), self.settings.swanctl_file if saved else None)
        self.disturb(*AIRPORTS)

    def age(self, seconds: float) -> None:
        """Let time pass, for the SAs as well."""
        self.clock.elapsed_s += seconds
        self.ike.age(seconds)

    def adopt(self, airport: str) -> None:
        """Let the site's operator write into the router what is declared."""
        body, site = self.fleet.good[airport], self.sites[airport]
        site.identity = id_of(airport, body)
        if site.psk not in keys_of(body):
            site.psk = keys_of(body)[0]
        site.lans = tuple(subnets_of(body))
        if "remote_address" in body:
            site.address, site.can_be_dialled = body["remote_address"], True

    def make_round(self, *reasons: str, allow_removals: bool = False) -> Report | None:
        """Make one round, and check all that must always be true; None: killed in it."""
        before = promises.Foreign.seen(self.ike)
        orders = self.state.read_orders()
        newest = {
            name: sa
            for name, sa in promises.newest_by_name(self.ike).items()
            if not orders.of(name).rekey_after  # what is renewed is new, and may cost a cut
        }
        self.amnesia |= not self.has_read and not self._remembers()
        self.has_read = True
        if self.amnesia:
            self.disturb(*self.fleet.clashing())
        for name in self.ike.refused:
            at_s = self.clock.monotonic_s()
            self.evidence.note(Failure(name, Code.REFUSED_BY_SITE, "N(AUTH_FAILED)", at_s))
        self.ike.refused.clear()
        report = None
        try:
            self.memory, report = run_round(
                self.world, self.memory, reasons, allow_removals=allow_removals
            )
        except Killed:
            self.start_reconciler()
        self.trouble.round_ended()
        promises.check_foreign(before, self.ike, self.troubled.requests)
        promises.check_newest(newest, self.ike, self.troubled.requests)
        if report is not None:
            self._check_pauses()
        self.troubled.requests.clear()
        if report is not None:
            promises.check_truth(report, self.ike)
        self._check_undisturbed()
        return report

    # How it must end.

    def settle(self) -> None:
        """End all trouble, let everybody behave, and check that all comes to what is declared."""
        self._end_trouble()
        self._mend_declarations()
        self._converge()
        promises.check_as_declared(self)
        self.start_reconciler()
        self.make_round("start")
        promises.check_as_declared(self)
        self.amnesia = False
        self.disturbed.clear()
        self.undisturbed_sas = {
            airport: self.ike_ids(airport)
            for airport in self.expected_up()
            if "rekey_after" not in self.fleet.good[airport]  # which may come at any time
        }

    def _end_trouble(self) -> None:
        """Let the reconciler find out what there is without the operator's help, too."""
        self.trouble.end()
        self.hub_networks = {}
        for name in self.state.read_orders().connections:
            self._resume(name)
        for reason in ("timer", "child-updown", "timer"):
            self.make_round(reason)
            self.age(SECONDS_A_ROUND)

    def _resume(self, name: str) -> None:
        self.state.change_orders(lambda orders: orders.changed(name, paused_since=0))

    def _mend_declarations(self) -> None:
        """Do what the status asks the operator for."""
        self.disturb(*self.fleet.mend(self.disturbed))
        self.write_file()
        report = self.make_round("airports.json changed", allow_removals=True)
        assert report is not None
        if any("apply --new-mark-key" in error for error in report.status.reconciler.errors):
            self.state.make_new_key()
            self.disturb(*AIRPORTS)
            self.start_reconciler()
            self.make_round("start", allow_removals=True)

    def _converge(self) -> None:
        for turn in range(ROUNDS_TO_CONVERGE):
            at_rest = not any([*(self._behave(airport, turn) for airport in self.with_sites)])
            if not at_rest:
                self.make_round("child-updown")
            report = self.make_round("timer")
            at_rest &= report is not None and not report.outcomes and not self.plan()
            at_rest &= all(sa.live for sa in self.ike.sas)  # else an attempt is waited for
            if turn and at_rest and report and self._all_up() and self._all_said_up(report):
                return
            self.age(SECONDS_A_ROUND)
        down = sorted(id_ for id_ in self.expected_up() if not self._is_up(id_))
        raise AssertionError(
            f"not converged in {ROUNDS_TO_CONVERGE} rounds; down: {down}; plan: {self.plan()}"
        )

    def plan(self) -> tuple[Action, ...]:
        """Return what the next round would do, held back or not."""
        return look(self.world, self.memory, deep=True).planned

    def expected_up(self) -> Iterable[str]:
        """Name the airports whose tunnels must come up: not those whose name others have taken."""
        foreign = promises.Foreign.seen(self.ike).connections
        return (
            id_
            for id_ in self.fleet.declared
            if id_ in self.with_sites and self.name(id_) not in foreign
        )

    def ike_ids(self, airport: str) -> set[str]:
        """Return the unique ids of an airport's established IKE_SAs."""
        return {sa.unique_id for sa in self._sas(airport) if sa.live}

    def _sas(self, airport: str) -> list[IkeSa]:
        return [sa for sa in self.ike.sas if sa.name == self.name(airport)]

    def _all_up(self) -> bool:
        return all(self._is_up(airport) for airport in self.expected_up())

    def _all_said_up(self, report: Report) -> bool:
        said = {name for name, one in report.status.connections.items() if one.status == "up"}
        return said == {self.name(airport) for airport in self.expected_up()}

    def _is_up(self, airport: str) -> bool:
        wanted = set(subnets_of(self.fleet.good[airport]))
        return any(
            wanted <= set(child.remote_subnets)
            for sa in self._sas(airport)
            for child in sa.carrying_children
        )

    def _behave(self, airport: str, turn: int) -> bool:
        """Let a site do what a good router does; return whether it did anything.

        It dials when it has no tunnel, if the hub doesn't, and renews one that was negotiated
        before it had its present LAN. Everything else is the hub's to bring about.
        """
        site, body = self.sites[airport], self.fleet.good.get(airport, {})
        if body:
            self.adopt(airport)
        site.refuses_children = False
        if airport not in self.fleet.declared and self._is_anothers(site.identity):
            self.ike.hang_up(site)  # else two routers take the same tunnel from each other
            return False
        mine = self.ike.held_by(site)
        present = self.ike.connections.get(self.name(airport), {}).get("children", {})
        children = [child for sa in mine for child in sa.carrying_children]
        too_narrow = any(
            child.name in present and not set(site.lans) <= set(child.remote_subnets)
            for child in children
        )
        if mine and not too_narrow and (children or turn < PATIENCE_ROUNDS):
            return False
        self.ike.hang_up(site)
        return "remote_address" not in body and self.ike.dial(site)

    def _is_anothers(self, identity: str) -> bool:
        declared = self.fleet.declared.items()
        return identity.lower() in {id_of(id_, body).lower() for id_, body in declared}

    def _check_pauses(self) -> None:
        """Find that no CHILD_SA is asked for again at once, unless it came up in between."""
        for request in self.troubled.requests:
            if request[0] == "start_child":
                asked_s = self.asked_s.setdefault(request[1:], [])
                asked_s.append(self.clock.elapsed_s)
                lately = [at_s for at_s in asked_s if at_s > asked_s[-1] - SHORTEST_PAUSE_S]
                assert len(lately) <= WAYS_TO_A_CHILD, f"{request} again and again"
        up = {(sa.name, child.name) for sa in self.ike.sas for child in sa.carrying_children}
        self.asked_s = {asked: at_s for asked, at_s in self.asked_s.items() if asked not in up}

    def _check_undisturbed(self) -> None:
        for airport, before in self.undisturbed_sas.items():
            if airport not in self.disturbed:
                now = self.ike_ids(airport)
                assert now == before, f"the IKE_SAs of {airport} changed: {before} -> {now}"
