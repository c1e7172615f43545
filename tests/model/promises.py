"""What the model holds the reconciler to, told from charon's tables and from what was declared."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from reconciler.core.observed import IkeSa
from reconciler.round import Report
from tests.fake_charon import read_saved
from tests.model.charon import Charon
from tests.model.fleet import id_of, keys_of, name_of, subnets_of

if TYPE_CHECKING:
    from tests.model.stage import Stage

# Written out once more, so that a mistake in the product is not believed here.
_OUR_CHILD = re.compile(r"lan-[0-9a-f]{24}")
_OUR_SECRET = re.compile(r"(ike-)?(?P<name>.+)[#_][0-9a-f]{24}(-spare)?")
_GROUPS = {"14": "modp2048", "15": "modp3072", "19": "ecp256"}


@dataclass(frozen=True)
class Foreign:
    """All in charon that is not ours.

    What is left of a tunnel whose connection its owner has unloaded is nobody's.
    """

    connections: Mapping[str, Any]
    secrets: Mapping[str, Any]
    sas: tuple[IkeSa, ...]

    @classmethod
    def seen(cls, charon: Charon) -> "Foreign":
        ours = {match["name"] for id_ in charon.secrets if (match := _OUR_SECRET.fullmatch(id_))}
        connections = {
            name: settings
            for name, settings in charon.connections.items()
            if name not in ours and not any(map(_OUR_CHILD.fullmatch, settings["children"]))
        }
        secrets = {
            id_: secret for id_, secret in charon.secrets.items() if not _OUR_SECRET.fullmatch(id_)
        }
        sas = tuple(
            sa
            for sa in charon.sas
            if sa.name in connections
            and sa.children
            and not any(_OUR_CHILD.fullmatch(child.name) for child in sa.children)
        )
        return cls(connections, secrets, sas)


def check_foreign(before: Foreign, charon: Charon, requests: Iterable[tuple[str, ...]]) -> None:
    """Find that nothing foreign was touched, not even to put it back."""
    for kind in ("connections", "secrets"):
        for name, value in getattr(before, kind).items():
            assert getattr(charon, kind).get(name) == value, f"foreign {name} was touched"
    for sa in before.sas:
        assert sa in charon.sas, f"foreign SA {sa.name} was touched"
    untouchable = {*before.connections, *before.secrets, *(sa.unique_id for sa in before.sas)}
    untouchable |= {child.unique_id for sa in before.sas for child in sa.children}
    for request in requests:
        match = _OUR_SECRET.fullmatch(request[1])
        touched = match["name"] if match else request[1]
        assert touched not in untouchable, f"{request}: that is not ours"


def newest_by_name(charon: Charon) -> dict[str, IkeSa]:
    """Return the newest IKE_SA of each name."""
    newest: dict[str, IkeSa] = {}
    for sa in sorted(charon.sas, key=lambda sa: -sa.established_s):
        newest[sa.name] = sa
    return newest


def check_newest(
    before: Mapping[str, IkeSa], charon: Charon, requests: Iterable[tuple[str, ...]]
) -> None:
    """Find that the newest tunnel lives on if it is as declared: the older ones may be dead.

    One that is rekeyed does so under another id.
    """
    left = {sa.unique_id for sa in charon.sas if sa.live}
    left |= {request[1] for request in requests if request[0] == "rekey_ike"}
    for name, sa in before.items():
        settings = charon.connections.get(name, {"remote_addrs": [], "children": {}})
        right = {child.name for child in sa.carrying_children} & settings["children"].keys()
        if right and settings["remote_addrs"] == ["%any"]:
            assert sa.unique_id in left, f"the newest tunnel of {name} was ended"


def check_truth(report: Report, charon: Charon) -> None:
    """Hold the status to charon: what is called up carries packets. No key is in it."""
    carried = {sa.name for sa in charon.sas if sa.carrying_children}
    for name, status in report.status.connections.items():
        assert status.status != "up" or name in carried, f"{name} is called up and is not"
        assert status.observed == report.status.daemon.reachable
        if status.observed:
            assert status.transitions[-1].to_status == status.status
            assert all(a.to_status == b.from_status for a, b in pairwise(status.transitions))
    assert "pre-shared-key" not in report.status.model_dump_json()
    assert "correct-horse" not in report.status.model_dump_json()


def check_as_declared(stage: "Stage") -> None:
    """Find in charon what is declared and nothing else of ours, and so in its own copy."""
    assert stage.plan() == ()
    charon, foreign = stage.ike, Foreign.seen(stage.ike)
    declared = {name_of(id_, body): (id_, body) for id_, body in stage.fleet.declared.items()}
    ours = charon.connections.keys() - foreign.connections.keys()
    assert ours == declared.keys() - foreign.connections.keys(), "connections of ours in charon"
    keys = _keys(charon)
    assert keys.keys() == ours, "secrets of ours in charon"
    for name in ours:
        _check_settings(charon.connections[name], *declared[name])
        assert sorted(keys[name]) == sorted(_keys_of(*declared[name])), f"keys of {name}"
    for sa in charon.sas:
        mine = any(_OUR_CHILD.fullmatch(child.name) for child in sa.children)
        assert not mine or sa.name in declared, f"an SA of {sa.name} is left"
    for name in map(stage.name, stage.expected_up()):
        _check_sas([sa for sa in charon.sas if sa.name == name and sa.live], *declared[name])
    _check_saved(stage, declared)
    _check_status(stage, declared)


def _check_settings(settings: Mapping[str, Any], airport: str, body: Mapping[str, Any]) -> None:
    (child,) = settings["children"].values()
    assert settings["remote"]["id"] == id_of(airport, body)
    assert settings["remote_addrs"] == [body.get("remote_address") or "%any"]
    assert child["remote_ts"] == [str(subnet) for subnet in subnets_of(body)]
    assert child["life_time"] == f"{body.get('lifetime', 3600)}s"
    group = _GROUPS[str(body.get("dh_group", 14))]
    assert any(proposal.endswith(group) for proposal in child["esp_proposals"])
    assert any(proposal.endswith(group) for proposal in settings["proposals"])
    assert body.get("local_subnet") is None or child["local_ts"] == [body["local_subnet"]]


def _check_sas(sas: Sequence[IkeSa], airport: str, body: Mapping[str, Any]) -> None:
    """One IKE_SA, with the declared party; what it carries is what is declared, and no more."""
    assert [sa.remote_id for sa in sas] == [id_of(airport, body)], f"IKE_SAs of {airport}"
    assert body.get("remote_address") in (None, sas[0].remote_host)
    for child in sas[0].carrying_children:
        assert set(child.remote_subnets) <= set(subnets_of(body)), f"selectors of {airport}"


def _keys_of(airport: str, body: Mapping[str, Any]) -> list[tuple[str, bytes]]:
    return [(id_of(airport, body), key) for key in keys_of(body)]


def _keys(charon: Charon) -> dict[str, list[tuple[str, bytes]]]:
    found: dict[str, list[tuple[str, bytes]]] = {}
    for id_, secret in charon.secrets.items():
        if match := _OUR_SECRET.fullmatch(id_):
            found.setdefault(match["name"], []).append(secret)
    return found


def _check_saved(stage: "Stage", declared: Mapping[str, Any]) -> None:
    """Compare charon's own copy with charon; of names that are taken there is no more to see."""
    connections, secrets = read_saved(stage.settings.swanctl_file.read_text())
    assert connections.keys() == declared.keys(), "connections in swanctl.conf"
    for name in connections.keys() & stage.ike.connections.keys():
        if name not in Foreign.seen(stage.ike).connections:
            assert connections[name] == stage.ike.connections[name], f"{name} in swanctl.conf"
    assert sorted(secrets.values()) == sorted(
        k for one in declared.values() for k in _keys_of(*one)
    )
    assert stage.settings.swanctl_file.stat().st_mode & 0o777 == 0o600


def _check_status(stage: "Stage", declared: Mapping[str, Any]) -> None:
    status = stage.status
    assert status.connections.keys() == declared.keys()
    up = {name for name, one in status.connections.items() if one.status == "up"}
    assert up == {stage.name(airport) for airport in stage.expected_up()}, "up in the status"
    assert status.configuration.valid
    assert status.reconciler.errors == ()
    assert status.configuration.removals_held == ()
