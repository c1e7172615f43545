"""The vocabulary of the model: everything that people, sites, machines and chance do to a gateway.

A step is a value that prints as the Python that makes it, so a failing example can be replayed. It
does nothing where it makes no sense, so that any part of an example is an example, too.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import ip_network
from random import Random
from typing import Any, Protocol

from reconciler.core.observed import ChildSa, IkeSa
from tests.fake_charon import FakeCharon
from tests.model import fleet
from tests.model.fleet import AIRPORTS
from tests.model.stage import DAMAGED, Stage

FOREIGN_NAMES = ("hq-link", "guests", "alpha", "kabc_vpn")
_REQUESTS = (
    *("load_connection", "load_secret", "unload_connection", "unload_secret"),
    *("start_child", "end_child", "end_ike", "end_all", "rekey_ike", "rekey_child"),
)
_STATE_FILES = ("accepted.json", "mark.key", "swanctl.conf", "vpn-status.json")


class Step(Protocol):
    def do(self, stage: Stage) -> None: ...


# The operator.


@dataclass(frozen=True)
class Add:
    airport: str

    def do(self, stage: Stage) -> None:
        stage.fleet.add(self.airport)
        stage.disturb(self.airport)
        stage.write_file()


@dataclass(frozen=True)
class Remove:
    airport: str

    def do(self, stage: Stage) -> None:
        stage.fleet.good.pop(self.airport, None)
        stage.disturb(self.airport)
        stage.write_file()


@dataclass(frozen=True)
class Disable:
    airport: str

    def do(self, stage: Stage) -> None:
        if self.airport in stage.fleet.good:
            stage.fleet.change(self.airport, "enabled", value=False)
            stage.disturb(self.airport)
            stage.write_file()


@dataclass(frozen=True)
class Edit:
    airport: str
    key: str
    value: object

    def do(self, stage: Stage) -> None:
        if self.airport in stage.fleet.good:
            stage.fleet.change(self.airport, self.key, self.value)
            stage.disturb(self.airport)
            stage.write_file()


@dataclass(frozen=True)
class Swap:
    """Give two airports each other's name, LAN, identity or key."""

    one: str
    other: str
    key: str

    def do(self, stage: Stage) -> None:
        good = stage.fleet.good
        if self.one in good and self.other in good:
            mine, theirs = (self._value(stage, airport) for airport in (self.one, self.other))
            stage.fleet.change(self.one, self.key, theirs)
            stage.fleet.change(self.other, self.key, mine)
            stage.disturb(self.one, self.other)
            stage.write_file()

    def _value(self, stage: Stage, airport: str) -> object:
        body = stage.fleet.good[airport]
        implied: dict[str, Callable[[str, Any], str]]
        implied = {"connection_name": fleet.name_of, "remote_id": fleet.id_of}
        return implied[self.key](airport, body) if self.key in implied else body[self.key]


@dataclass(frozen=True)
class Slip:
    """Write something wrong into one airport: nobody is cut by that."""

    airport: str
    key: str
    value: object

    def do(self, stage: Stage) -> None:
        if stage.fleet.good.get(self.airport, {}).get("enabled"):
            stage.fleet.slips.setdefault(self.airport, {})[self.key] = self.value
            stage.write_file()


@dataclass(frozen=True)
class Omit:
    """Leave three airports out at once: nobody is cut before somebody confirms it."""

    airports: tuple[str, ...]

    def do(self, stage: Stage) -> None:
        in_force = stage.undisturbed_sas.keys() - stage.disturbed
        if in_force >= {*self.airports} and not stage.amnesia:
            stage.fleet.omitted = {*self.airports}
            stage.write_file()


@dataclass(frozen=True)
class TakeSlipsBack:
    def do(self, stage: Stage) -> None:
        stage.fleet.take_slips_back()
        stage.write_file()


@dataclass(frozen=True)
class Spoil:
    """Leave a file that can't be read as one of airports: nobody is cut by that."""

    content: str | None

    def do(self, stage: Stage) -> None:
        stage.fleet.unreadable = (self.content,)
        stage.write_file()


@dataclass(frozen=True)
class ConfirmRemovals:
    def do(self, stage: Stage) -> None:
        stage.disturb(*stage.fleet.omitted)
        stage.make_round("by hand", allow_removals=True)


# The loop and the clock.


@dataclass(frozen=True)
class Round:
    reason: str

    def do(self, stage: Stage) -> None:
        stage.make_round(self.reason)


@dataclass(frozen=True)
class Wait:
    seconds: int

    def do(self, stage: Stage) -> None:
        stage.age(self.seconds)


@dataclass(frozen=True)
class SetClock:
    by_s: int

    def do(self, stage: Stage) -> None:
        stage.clock.set_by_s += self.by_s
        if isinstance(stage.ike, FakeCharon):
            stage.ike.started_at += self.by_s


# The machine.


@dataclass(frozen=True)
class RestartCharon:
    saved: bool

    def do(self, stage: Stage) -> None:
        stage.restart_charon(saved=self.saved)


@dataclass(frozen=True)
class RestartReconciler:
    def do(self, stage: Stage) -> None:
        stage.start_reconciler()


@dataclass(frozen=True)
class KillReconciler:
    """Kill it right after it has changed something outside."""

    after: int

    def do(self, stage: Stage) -> None:
        stage.trouble.kill_after = self.after


@dataclass(frozen=True)
class LoseRequest:
    number: int

    def do(self, stage: Stage) -> None:
        stage.trouble.lose_request = self.number


@dataclass(frozen=True)
class LoseAnswer:
    number: int

    def do(self, stage: Stage) -> None:
        stage.trouble.lose_answer = self.number


@dataclass(frozen=True)
class Refuse:
    request: str

    def do(self, stage: Stage) -> None:
        stage.trouble.refuse.add(self.request)


@dataclass(frozen=True)
class Unreachable:
    rounds: int

    def do(self, stage: Stage) -> None:
        stage.trouble.unreachable_rounds = self.rounds


@dataclass(frozen=True)
class FillVolume:
    rounds: int

    def do(self, stage: Stage) -> None:
        stage.trouble.full_rounds = self.rounds


@dataclass(frozen=True)
class SpoilState:
    """Lose or damage a file of the reconciler's own."""

    file: str
    lost: bool

    def do(self, stage: Stage) -> None:
        settings = stage.settings
        folders = (settings.state_dir, settings.swanctl_file.parent, settings.status_file.parent)
        for path in (folder / self.file for folder in folders):
            if path.exists():
                path.unlink() if self.lost else path.write_bytes(DAMAGED)


@dataclass(frozen=True)
class LoseWhileDown:
    """Lose or damage a file while no reconciler runs."""

    file: str
    lost: bool

    def do(self, stage: Stage) -> None:
        SpoilState(self.file, self.lost).do(stage)
        stage.start_reconciler()


@dataclass(frozen=True)
class AddHubNetwork:
    """Give the hub a network of its own that may be an airport's LAN."""

    subnet: str

    def do(self, stage: Stage) -> None:
        stage.hub_networks = {"network eth1": ip_network(self.subnet)}


# The sites.


@dataclass(frozen=True)
class Adopt:
    """Let the site's operator write into the router what is declared."""

    airport: str

    def do(self, stage: Stage) -> None:
        if self.airport in stage.fleet.good:
            stage.adopt(self.airport)


@dataclass(frozen=True)
class SwitchKey:
    """Let the site's operator enter the newest key that is declared; its tunnels go on."""

    airport: str

    def do(self, stage: Stage) -> None:
        if self.airport in stage.fleet.good:
            stage.sites[self.airport].psk = fleet.keys_of(stage.fleet.good[self.airport])[-1]


@dataclass(frozen=True)
class Order:
    """Ask for something by command line: pause for a minute, retry, rekey."""

    airport: str
    wish: str

    def do(self, stage: Stage) -> None:
        now = stage.clock.now()
        wishes: dict[str, dict[str, int | bool]] = {
            "pause": {"paused_since": now, "paused_until": now + 60},
            "retry": {"retried_at": now},
            "rekey": {"rekey_after": now},
            "reauth": {"rekey_after": now, "reauthenticate": True},
        }
        name = stage.name(self.airport)
        stage.disturb(*stage.named(name))
        stage.state.change_orders(lambda orders: orders.changed(name, **wishes[self.wish]))


@dataclass(frozen=True)
class Dial:
    airport: str
    initial_contact: bool

    def do(self, stage: Stage) -> None:
        stage.disturb(self.airport)
        stage.ike.dial(stage.sites[self.airport], initial_contact=self.initial_contact)


@dataclass(frozen=True)
class ComeAndGo:
    """Dial in, and be gone before anybody looks."""

    airport: str

    def do(self, stage: Stage) -> None:
        stage.disturb(self.airport)
        stage.ike.dial(stage.sites[self.airport])
        stage.ike.hang_up(stage.sites[self.airport])


@dataclass(frozen=True)
class RefuseChildren:
    airport: str

    def do(self, stage: Stage) -> None:
        stage.disturb(self.airport)
        stage.sites[self.airport].refuses_children = True


@dataclass(frozen=True)
class SiteDoes:
    """Hang up, vanish, open or close a child, rekey, or have a second IKE_SA."""

    airport: str
    what: str

    def do(self, stage: Stage) -> None:
        stage.disturb(self.airport)
        if isinstance(stage.ike, FakeCharon) or self.what in ("hang_up", "close_child"):
            getattr(stage.ike, self.what)(stage.sites[self.airport])


@dataclass(frozen=True)
class Move:
    airport: str
    address: str

    def do(self, stage: Stage) -> None:
        if isinstance(stage.ike, FakeCharon):
            stage.disturb(self.airport)
            stage.ike.vanish(stage.sites[self.airport])
            stage.sites[self.airport].address = self.address


# Somebody with swanctl.


@dataclass(frozen=True)
class UnloadByHand:
    name: str

    def do(self, stage: Stage) -> None:
        stage.ike.unload_connection(self.name)


@dataclass(frozen=True)
class LoadByHand:
    """Load a connection of one's own: a foreign one, or over one of ours."""

    name: str

    def do(self, stage: Stage) -> None:
        children = {"net": {"local_ts": ["10.0.0.0/8"], "remote_ts": ["10.99.0.0/16"]}}
        remote = {"auth": "psk", "id": "hq.example"}
        settings = {"remote_addrs": ["%any"], "remote": remote, "children": children}
        stage.disturb(*stage.named(self.name))
        stage.ike.load_connection(self.name, settings)


@dataclass(frozen=True)
class CopyByHand:
    """Load one of our connections once more under another name."""

    airport: str
    name: str

    def do(self, stage: Stage) -> None:
        settings = stage.ike.connections.get(stage.name(self.airport))
        if settings is not None and self.name not in stage.ike.connections:
            stage.disturb(self.airport)
            stage.ike.load_connection(self.name, settings)


@dataclass(frozen=True)
class ForeignSa:
    """Let a tunnel of somebody else come up."""

    name: str

    def do(self, stage: Stage) -> None:
        if not isinstance(stage.ike, FakeCharon):
            return
        child = ChildSa("net", str(5000 + len(stage.ike.sas)), "INSTALLED")
        sa = IkeSa(self.name, str(4000 + len(stage.ike.sas)), "ESTABLISHED", children=(child,))
        if stage.ike.connections.get(self.name, {}).get("children", {}).keys() == {"net"}:
            stage.ike.sas.append(replace(sa, remote_id="hq.example"))


@dataclass(frozen=True)
class LoadSecretByHand:
    """Load a foreign secret, or the key of ours under another mark or a second id."""

    id_: str
    airport: str

    def do(self, stage: Stage) -> None:
        secrets = stage.ike.secrets
        name = stage.name(self.airport)
        for id_, (owner, psk) in list(secrets.items()):
            if id_.startswith(f"{name}#"):
                made = self.id_.format(name=name, mark=id_.rpartition("#")[2])
                stage.ike.load_secret(made, owner if made != self.id_ else "hq.example", psk)


@dataclass(frozen=True)
class UnloadSecretsByHand:
    """Unload the keys of one airport, or all there are."""

    airport: str | None

    def do(self, stage: Stage) -> None:
        for id_ in list(stage.ike.secrets):
            if self.airport is None or stage.name(self.airport) in id_:
                stage.ike.unload_secret(id_)


@dataclass(frozen=True)
class EndByHand:
    name: str

    def do(self, stage: Stage) -> None:
        stage.disturb(*stage.named(self.name))
        stage.ike.end_all(self.name)


@dataclass(frozen=True)
class Settle:
    """All trouble ends, all behave, and everything must come to what is declared."""

    def do(self, stage: Stage) -> None:
        stage.settle()


_SITE_DOES = (
    *("hang_up", "vanish", "open_child", "close_child"),
    *("renew_ike", "renew_children", "duplicate"),
)
_SECRET_IDS = ("hq-key", "ike-{name}_{mark}", "{name}#000011112222333344445555")

_Make = Callable[[Random], Step]


def _airport(random: Random) -> str:
    return random.choice(AIRPORTS)


def _edit(random: Random) -> Step:
    key = random.choice([*fleet.GOOD])
    return Edit(_airport(random), key, random.choice(fleet.GOOD[key]))


def _slip(random: Random) -> Step:
    key = random.choice([*fleet.BAD])
    return Slip(_airport(random), key, random.choice(fleet.BAD[key]))


def _swap(random: Random) -> Step:
    one, other = random.sample(AIRPORTS, 2)
    keys = ("connection_name", "remote_subnet", "remote_id", "psk")
    return Swap(one, other, random.choice(keys))


def _name(random: Random) -> str:
    return random.choice((*FOREIGN_NAMES, *(f"{id_}_vpn" for id_ in AIRPORTS)))


VOCABULARY: dict[_Make, int] = {
    lambda r: Round(r.choice(("timer", "airports.json changed", "child-updown"))): 40,
    lambda r: Wait(r.choice((1, 5, 12, 60, 400))): 10,
    lambda r: SetClock(r.choice((-3600, 3600))): 1,
    _edit: 14,
    _slip: 5,
    _swap: 5,
    lambda r: Add(_airport(r)): 6,
    lambda r: Remove(_airport(r)): 4,
    lambda r: Disable(_airport(r)): 2,
    lambda r: Omit(tuple(r.sample(AIRPORTS[:4], 3))): 3,
    lambda _: TakeSlipsBack(): 2,
    lambda r: Spoil(r.choice(fleet.UNREADABLE)): 2,
    lambda _: ConfirmRemovals(): 2,
    lambda r: RestartCharon(saved=r.random() < 0.5): 3,
    lambda _: RestartReconciler(): 4,
    lambda r: KillReconciler(r.randint(1, 12)): 8,
    lambda r: LoseRequest(r.randint(1, 6)): 3,
    lambda r: LoseAnswer(r.randint(1, 6)): 3,
    lambda r: Refuse(r.choice(_REQUESTS)): 4,
    lambda r: Unreachable(r.randint(1, 3)): 3,
    lambda r: FillVolume(r.randint(1, 3)): 2,
    lambda r: SpoilState(r.choice(_STATE_FILES), lost=r.random() < 0.5): 3,
    lambda r: LoseWhileDown(r.choice(_STATE_FILES), lost=r.random() < 0.5): 3,
    lambda r: AddHubNetwork(r.choice(("192.168.2.0/24", "192.168.0.0/16"))): 1,
    lambda r: Adopt(_airport(r)): 8,
    lambda r: Dial(_airport(r), initial_contact=r.random() < 0.5): 10,
    lambda r: ComeAndGo(_airport(r)): 2,
    lambda r: RefuseChildren(_airport(r)): 3,
    lambda r: SwitchKey(_airport(r)): 5,
    lambda r: Order(_airport(r), r.choice(("pause", "retry", "rekey", "reauth"))): 4,
    lambda r: SiteDoes(_airport(r), r.choice(_SITE_DOES)): 12,
    lambda r: Move(_airport(r), r.choice(("198.51.100.1", "203.0.113.9"))): 2,
    lambda r: UnloadByHand(_name(r)): 3,
    lambda r: LoadByHand(_name(r)): 3,
    lambda r: CopyByHand(_airport(r), r.choice(FOREIGN_NAMES)): 1,
    lambda r: ForeignSa(r.choice(FOREIGN_NAMES)): 3,
    lambda r: LoadSecretByHand(r.choice(_SECRET_IDS), _airport(r)): 3,
    lambda r: UnloadSecretsByHand(r.choice((*AIRPORTS, *AIRPORTS, None))): 2,
    lambda r: EndByHand(_name(r)): 2,
    lambda _: Settle(): 5,
}


def _changed_in_place(random: Random) -> list[Step]:
    """Change an airport whose site follows at once and keeps its tunnel."""
    airport, key = _airport(random), random.choice(("remote_subnet", "lifetime", "psk"))
    edit = Edit(airport, key, random.choice(fleet.GOOD[key]))
    return [edit, Adopt(airport), Round("airports.json changed"), Wait(5), Round("timer")]


def _clash_without_memory(random: Random) -> list[Step]:
    """Ask for what another airport has, in the moment in which nobody could know who has it."""
    one, other = random.sample(AIRPORTS, 2)
    edits = [
        Edit(one, "connection_name", f"{other}_vpn"),
        Edit(one, "remote_subnet", f"192.168.{AIRPORTS.index(other) + 1}.0/24"),
        Edit(one, "remote_id", f"{other}.remote"),
    ]
    return [SpoilState("accepted.json", lost=True), random.choice(edits), Round("timer")]


def _slip_without_memory(random: Random) -> list[Step]:
    """Lose the last good declarations with an airport in the file that can't be read."""
    return [LoseWhileDown("accepted.json", lost=True), _slip(random), Round("timer")]


def _reboot(random: Random) -> list[Step]:
    """Vanish and dial in again, so that two IKE_SAs stand side by side."""
    airport = _airport(random)
    again = Dial(airport, initial_contact=random.random() < 0.3)
    return [SiteDoes(airport, "vanish"), again, Round("child-updown"), Wait(12), Round("timer")]


# What takes several steps in a row that chance would seldom put there.
STORIES = (_changed_in_place, _clash_without_memory, _slip_without_memory, _reboot)
STORIES_SHARE = 0.05


def random_steps(random: Random, count: int) -> list[Step]:
    """Make an example that ends in peace."""
    makers, weights = [*VOCABULARY], [*VOCABULARY.values()]
    steps: list[Step] = []
    while len(steps) < count:
        if random.random() < STORIES_SHARE:
            steps += random.choice(STORIES)(random)
        else:
            steps.append(random.choices(makers, weights)[0](random))
    return [*steps, Settle()]
