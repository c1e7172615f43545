"""`reconciler explain NAME`: one page that answers why, with charon and without."""

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from reconciler.core.failures import LastFailure, Stranger
from reconciler.core.reasons import MEANINGS, Code, Side
from reconciler.core.render import Connection, Hub, render
from reconciler.core.status import AttemptStatus, ConnectionStatus, ContainerStatus, Status
from reconciler.core.transitions import Transition
from reconciler.edges.recent_log import charon_line, recent_file
from reconciler.edges.state import State
from reconciler.edges.status_file import write_status
from reconciler.layout import width
from tests.builders import HUB_ID, decided, document, vpn
from tests.cli.conftest import Answer, Installation
from tests.edges.test_status_file import CONNECTION, status
from tests.edges.vici_samples import ALGORITHMS, CHILD, IKE, STATS, VERSION
from tests.edges.vici_server import ViciServer, vici_server

NOW = int(time.time())


@pytest.fixture(autouse=True)
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the tests before took, the statuses of these are as old as they say."""
    monkeypatch.setattr(time, "time", lambda: float(NOW))


KEY = b"k" * 32
PSK = "correct-horse-battery-0001"
FLEET = {"kspb": vpn(1), "kczk": vpn(2), "koff": {"enabled": False}}


class Charon:
    """A charon that has loaded what is declared; `sas` by name."""

    def __init__(self, server: ViciServer, connections: dict[str, Connection]) -> None:
        self.connections = connections
        self.others: dict[str, dict[str, Any]] = {}
        self.sas: dict[str, dict[str, Any]] = {}
        self.secrets = [one.secret_id for one in connections.values()]
        server.answers = {
            "version": lambda _: VERSION,
            "stats": lambda _: STATS,
            "get-algorithms": lambda _: ALGORITHMS,
            "get-shared": lambda _: {"keys": self.secrets},
            "get-conns": lambda _: {"conns": [*self.connections]},
        }
        server.streams = {
            "list-conns": ("list-conn", lambda m: self._only(self._listed(), m)),
            "list-sas": ("list-sa", lambda m: self._only(self.sas, m)),
        }

    def _listed(self) -> dict[str, dict[str, Any]]:
        ours = {
            name: {
                "local_addrs": ["%any"],
                "remote_addrs": list(one.remote_addresses),
                "children": {one.child_name: {}},
            }
            for name, one in self.connections.items()
        }
        return {**ours, **self.others}

    def _only(self, found: dict[str, Any], message: dict[str, Any]) -> list[Mapping[str, Any]]:
        wanted = message.get("ike", b"").decode()
        return [{name: body} for name, body in found.items() if wanted in ("", name)]

    def come_up(self, name: str, **changes: Any) -> None:
        child = {
            **CHILD,
            "name": self.connections[name].child_name,
            "remote-ts": ["192.168.1.0/24"],
            "use-in": "4",
            "use-out": "9",
            "spi-in": "c1",
            "encr-alg": "AES_GCM_16",
            "encr-keysize": "256",
            **changes,
        }
        self.sas[name] = {
            **IKE,
            "local-id": HUB_ID,
            "nat-remote": "yes",
            "nat-any": "yes",
            "encr-alg": "AES_GCM_16",
            "encr-keysize": "256",
            "prf-alg": "PRF_HMAC_SHA2_256",
            "dh-group": "MODP_2048",
            "child-sas": {"x-7": child},
        }


@pytest.fixture
def site(installation: Installation) -> Installation:
    installation.config.write_text(json.dumps(named()))
    (installation.state / "mark.key").write_bytes(KEY)
    return installation


def named(**changes: Any) -> dict[str, Any]:
    made = document(**{**FLEET, **changes})
    made["airports"]["kspb"]["name"] = "Scappoose"
    return made


@pytest.fixture
def charon(site: Installation) -> Iterator[Charon]:
    fleet = {name: body for name, body in FLEET.items() if body["enabled"]}
    with vici_server(site.config.parent / "no.vici") as server:
        yield Charon(server, render(decided(**fleet).sites.values(), Hub(HUB_ID, KEY)))


def say(site: Installation, age_s: int = 5, *connections: ConnectionStatus, **more: Any) -> Status:
    named = {one.connection_name: one for one in connections}
    made = status(NOW - age_s).model_copy(update={"connections": named, **more})
    write_status(site.status, made)
    return made


def wrong_key(**changes: Any) -> ConnectionStatus:
    failure = LastFailure(
        code=Code.WRONG_PSK,
        at=NOW - 7,
        words="tried 1 shared key for 'vpn.aviationwx.org' - 'kspb.remote', but MAC mismatched",
        remote_address="198.51.100.7",
        claimed_id="kspb.remote",
        asked_id=HUB_ID,
    )
    made = {
        "status": "down",
        "since": NOW - 7300,
        "reason": f"{MEANINGS[Code.WRONG_PSK].sentence}: from 198.51.100.7",
        "reason_code": Code.WRONG_PSK,
        "who_must_act": Side.SITE,
        "last_failure": failure,
        "last_error": failure.words,
        "failures": {Code.WRONG_PSK: 12, Code.DEAD_PEER: 1},
        "last_remote_address": "198.51.100.7",
        "declared_subnets": ("192.168.1.0/24",),
    }
    return CONNECTION.model_copy(update={**made, **changes})


def flat(answer: Answer) -> str:
    return " ".join(answer.out.split())


def section(answer: Answer, title: str) -> str:
    assert f"\n\n{title}\n" in answer.out, answer.out
    return answer.out.split(f"\n\n{title}\n")[1].split("\n\n")[0]


def test_a_wrong_key_is_told_with_who_must_act_and_what_helps(
    site: Installation, charon: Charon
) -> None:
    say(site, 5, wrong_key())
    answer = site.run("explain", "kspb")
    assert answer.code == 0
    first, *_ = answer.out.splitlines()
    assert first.startswith("kspb_vpn (kspb Scappoose) is down since 20")
    assert "(2h ago): the site has another key than the declared one: from 198.51.100.7" in first
    assert "who must act the site: whoever looks after the airport's router" in flat(answer)
    assert f"what to do {MEANINGS[Code.WRONG_PSK].fix}" in flat(answer)
    failures = section(answer, "Failures")
    assert "tried 1 shared key" in failures
    assert "kspb.remote, and calls the hub vpn.aviationwx.org" in failures
    assert "12 times: the site has another key" in failures
    assert "as declared" in section(answer, "Loaded in charon")
    assert section(answer, "Negotiated").strip() == "nothing"
    assert section(answer, "What the hub does next").strip() == "nothing: it waits for the site"


def test_a_tunnel_that_is_up_is_shown_as_negotiated(site: Installation, charon: Charon) -> None:
    charon.come_up("kspb_vpn")
    answer = site.run("explain", "kspb_vpn")
    assert "is up since" in answer.out.splitlines()[0]
    shown = " ".join(section(answer, "Negotiated").split())
    for words in (
        "ESTABLISHED, dialled by the site; 203.0.113.1:4500 to 198.51.100.7:61234; NAT before the "
        "site",
        "identities vpn.aviationwx.org to kspb.remote",
        "algorithms AES_GCM_16-256/PRF_HMAC_SHA2_256/MODP_2048",
        "established 2m ago, renewed in 3h",
        "INSTALLED, ESP in UDP tunnel",
        "subnets 0.0.0.0/0 to 192.168.1.0/24",
        "installed 93s ago, renewed in 50m, ends in 58m",
        "received 640 B in 5 packets, the last 4s ago",
        "sent 1.3 kB in 10 packets, the last 9s ago",
    ):
        assert words in shown, shown
    assert "made under an earlier declaration" not in shown


def test_what_is_not_as_declared_is_told_with_its_fix(site: Installation, charon: Charon) -> None:
    charon.come_up("kspb_vpn", encap="no")
    answer = site.run("explain", "kspb")
    shown = " ".join(section(answer, "Negotiated, but not as declared").split())
    first = answer.out.splitlines()[0]
    assert ", but not as declared: there is NAT on the way" in first
    assert "no-nat-traversal there is NAT on the way, but ESP is not wrapped in UDP." in shown
    assert "Switch on NAT traversal on the router." in shown


def test_what_only_the_next_negotiation_depends_on_makes_no_tunnel_an_earlier_one(
    site: Installation, charon: Charon
) -> None:
    charon.come_up("kspb_vpn")
    site.config.write_text(json.dumps(named(kczk=vpn(2, dh_group=20))))
    answer = site.run("explain", "kspb")
    assert "to be loaded anew: declaration changed: proposal list" in flat(answer)
    assert "made under an earlier declaration" not in flat(answer)
    site.config.write_text(json.dumps(named(kspb=vpn(1, lifetime=1800))))
    assert "made under an earlier declaration" in flat(site.run("explain", "kspb"))


def test_drift_is_told_with_what_the_hub_does_about_it(site: Installation, charon: Charon) -> None:
    charon.come_up("kspb_vpn")
    site.config.write_text(json.dumps(named(kspb=vpn(1, psk="another-key-that-is-long"))))
    answer = site.run("explain", "kspb")
    assert "to be loaded anew: declaration changed: identities or key" in flat(answer)
    plan = " ".join(section(answer, "What the hub does next").split())
    assert "Load declaration changed: identities or key; nobody loses packets" in plan
    assert "Redial identities or key changed, which takes a new IKE_SA; kspb_vpn may lose" in plan
    assert "kczk" not in plan


def test_the_declaration_says_where_the_key_is_and_never_the_key(
    site: Installation, charon: Charon, tmp_path: Path
) -> None:
    secret = tmp_path / "next.psk"
    secret.write_text("the-next-key-of-all-keys")
    body = vpn(1, next_psk_file=str(secret), remote_address="198.51.100.7")
    site.config.write_text(json.dumps(named(kspb=body)))
    for arguments in ([], ["--json"]):
        answer = site.run("explain", "kspb", *arguments)
        assert "psk in airports.json" in answer.out
        assert f"next_psk_file {secret}" in answer.out
        assert PSK not in answer.out
        assert "the-next-key" not in answer.out
    declared = " ".join(section(site.run("explain", "kspb"), "Declared").split())
    for words in (
        "behind the site 192.168.1.0/24",
        "the site is called kspb.remote",
        "address 198.51.100.7; the hub dials",
        "IKE proposal aes256gcm16-prfsha256-modp2048",
        "CHILD_SA ends after 3600s",
        "rotation two keys are declared; no tunnel tells which one the site uses",
    ):
        assert words in declared, declared


def test_the_last_good_declaration_is_called_that_and_the_fault_is_told(
    site: Installation, charon: Charon
) -> None:
    State(site.state, site.state / "x").write_accepted({"kspb": vpn(1)})
    site.config.write_text(json.dumps(named(kspb=vpn(1, remote_subnet="x"))))
    answer = site.run("explain", "kspb")
    assert "in force the last good declaration, as the one in the file is faulty" in flat(answer)
    assert "error: airports.kspb.vpn.remote_subnet: 'x' is not a subnet" in flat(answer)
    assert "key psk, as last accepted; kept on the state volume" in flat(answer)


def test_an_invalid_one_without_an_earlier_one_is_told_with_its_faults(
    site: Installation, charon: Charon
) -> None:
    site.config.write_text(json.dumps(named(kspb=vpn(1, psk=""))))
    answer = site.run("explain", "kspb_vpn")
    assert answer.code == 0
    assert "its declaration has errors and there is no earlier one" in flat(answer)
    assert "airports.kspb.vpn.psk: missing or empty" in flat(answer)
    assert "Declared" not in answer.out


def test_a_held_one_says_what_would_let_go_of_it(site: Installation, charon: Charon) -> None:
    fleet = {f"k{n}": vpn(n) for n in range(1, 6)}
    State(site.state, site.state / "x").write_accepted(fleet)
    site.config.write_text(json.dumps(document(k1=vpn(1))))
    answer = site.run("explain", "k4")
    assert "reconciler apply --allow-removals" in section(answer, "Declared")


def test_one_that_is_switched_off_or_has_no_tunnel_says_so(
    site: Installation, charon: Charon
) -> None:
    made = named()
    made["airports"]["kno"] = {"name": "Nowhere"}
    site.config.write_text(json.dumps(made))
    off = site.run("explain", "koff")
    assert off.code == 0
    assert off.out.startswith("koff_vpn (koff) is switched off: `vpn.enabled` is not true")
    assert section(off, "Loaded in charon").strip() == "there  no"
    none = site.run("explain", "kno")
    assert none.out.startswith("kno_vpn (kno Nowhere) is not declared: the airport has no `vpn`")


def test_what_charon_has_and_nobody_declares_is_explained_as_well(
    site: Installation, charon: Charon
) -> None:
    site.config.write_text(json.dumps(document(kspb=vpn(1))))
    left = site.run("explain", "kczk_vpn")
    assert "charon has it, and no airport declares it" in flat(left)
    assert "Remove no longer declared" in " ".join(section(left, "What the hub does next").split())


def test_what_somebody_else_loaded_is_left_alone(site: Installation, charon: Charon) -> None:
    charon.others["theirs"] = {"children": {"net": {}}, "remote_addrs": ["203.0.113.9"]}
    answer = site.run("explain", "theirs")
    assert "somebody else loaded it, so it is left alone" in flat(answer)
    assert "nothing is to be done" in section(answer, "What the hub does next")


def test_a_name_that_is_not_there_is_1_and_those_that_are_close_are_named(
    site: Installation, charon: Charon
) -> None:
    answer = site.run("explain", "kspc")
    assert (answer.code, answer.out) == (1, "")
    assert (
        answer.err
        == "reconciler: 'kspc' is no connection or airport; close to it: kspb, kspb_vpn, kczk\n"
    )
    far = site.run("explain", "zzz").err
    assert far.endswith("there are: kczk, kczk_vpn, koff, kspb, kspb_vpn\n")


def test_without_charon_the_last_word_of_the_reconciler_counts(site: Installation) -> None:
    container = ContainerStatus(name="gateway", state="exited", problem="stopped with exit code 1")
    say(site, 5, wrong_key(), container=container)
    answer = site.run("explain", "kspb")
    assert answer.code == 0
    assert "is down since" in answer.out
    assert "charon can't be asked, so this is what was seen last" in flat(answer)
    assert "container gateway: stopped with exit code 1" in flat(answer)
    assert "not known: charon can't be asked" in section(answer, "Loaded in charon")
    assert "Negotiated" not in answer.out


def test_a_stale_status_is_called_stale_and_nothing_is_claimed_from_it(site: Installation) -> None:
    say(site, 7300, wrong_key())
    answer = site.run("explain", "kspb")
    assert "the status is stale, 2h old; the reconciler does not run" in flat(answer)
    assert answer.out.startswith("kspb_vpn (kspb Scappoose) is in an unknown state")


def test_without_the_reconciler_charon_itself_tells_how_it_is(
    site: Installation, charon: Charon
) -> None:
    charon.come_up("kspb_vpn")
    say(site, 7300, wrong_key())
    answer = site.run("explain", "kspb")
    assert "is up since" in answer.out.splitlines()[0]
    assert "the status is stale" in flat(answer)
    site.status.unlink()
    answer = site.run("explain", "kspb")
    assert "is up since" in answer.out.splitlines()[0]
    assert "there is no status, so nothing is known of earlier" in flat(answer)


def test_attempts_and_the_next_one_are_told(site: Installation, charon: Charon) -> None:
    made = AttemptStatus(
        goal="child", count=3, last_attempt=NOW - 40, next_attempt=NOW + 300, made_for="x"
    )
    say(site, 5, wrong_key(attempts=(made,), next_attempt=NOW + 300))
    shown = " ".join(section(site.run("explain", "kspb"), "What the hub does next").split())
    assert "tried: child 3 times, last 20" in shown
    assert "next attempt 20" in shown


def test_the_history_is_read_from_the_status(site: Installation, charon: Charon) -> None:
    transitions = (
        Transition(NOW - 900, "", "up"),
        Transition(NOW - 7, "up", "down", "dead-peer", "the site stopped"),
        Transition(NOW - 3, "down", "down", "wrong-psk", "a wrong key"),
    )
    say(site, 5, wrong_key(transitions=transitions))
    shown = section(site.run("explain", "kspb"), "History").splitlines()
    assert len(shown) == 3
    assert shown[0].endswith("(15m ago)  first seen to up")
    assert shown[1].endswith("up to down: the site stopped")
    assert shown[2].endswith("still down: a wrong key")


def test_strangers_that_may_be_this_site_are_named_with_the_likeness(
    site: Installation, charon: Charon
) -> None:
    def stranger(address: str, claimed: str) -> Stranger:
        return Stranger(
            remote_address=address,
            claimed_id=claimed,
            code=Code.UNKNOWN_ID,
            words="no matching peer config found",
            count=4,
            first_seen=NOW - 60,
            last_seen=NOW - 3,
        )

    strangers = (
        stranger("198.51.100.7", ""),
        stranger("203.0.113.9", "kspb.remotr"),
        stranger("203.0.113.10", "router.kspb.example"),
        stranger("203.0.113.11", "somebody.else.example"),
    )
    say(site, 5, wrong_key(), strangers=strangers)
    answer = site.run("explain", "kspb")
    shown = section(answer, "Strangers that may be this site")
    assert "198.51.100.7  it comes from this site's address" in shown
    assert "203.0.113.9   its identity is like kspb.remote" in shown
    assert "203.0.113.10" in shown
    assert "somebody" not in shown


def test_charons_latest_words_about_it_are_shown(site: Installation, charon: Charon) -> None:
    recent_file(site.state, "charon").write_text(
        charon_line("IKE", "kspb_vpn", "7", "MAC mismatched") + "\n"
    )
    assert "<7>  MAC mismatched" in section(site.run("explain", "kspb"), "charon's log")


@pytest.mark.parametrize("option", [(), ("--json",)], ids=["text", "json"])
def test_a_key_that_others_repeat_is_not_shown(
    site: Installation, charon: Charon, option: tuple[str, ...]
) -> None:
    """A router may call itself by its key, and charon says so in its log."""
    content = named()
    content["airports"]["kspb"]["name"] = f"Scappoose {PSK}\x1b[31m"
    site.config.write_text(json.dumps(content))
    recent_file(site.state, "charon").write_text(
        charon_line("CFG", "kspb_vpn", "7", f"looking for peer configs matching '{PSK}'") + "\n"
    )
    answer = site.run("explain", "kspb", *option)
    assert "matching '***'" in answer.out
    assert "Scappoose ***" in answer.out
    assert PSK[:8] not in answer.out
    assert "\x1b" not in answer.out


def test_json_has_the_same_content(site: Installation, charon: Charon) -> None:
    charon.come_up("kspb_vpn")
    found = json.loads(site.run("explain", "kspb", "--json").out)
    assert found["verdict"]["condition"] == "up"
    assert found["loaded"]["drift"] == ""
    (sa,) = found["negotiated"]
    assert sa["nat"] == ["site"]
    (child,) = sa["children"]
    assert (child["as_declared"], child["received_packets"]) == (True, 5)
    assert abs(child["expires_at"] - NOW - 3500) < 60
    assert found["declaration"]["key"] == "psk in airports.json"


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_the_page_fits_the_terminal(
    site: Installation, charon: Charon, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    charon.come_up("kspb_vpn")
    monkeypatch.setattr("reconciler.explain.columns_of", lambda _: columns)
    answer = site.run("explain", "kspb")
    longest = max(map(width, answer.out.splitlines()))
    assert longest <= columns
