"""Events only wake the loop, and say so too when they may have been missed."""

import queue
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.core.flood import Limits
from reconciler.core.reasons import Code, Failure
from reconciler.core.tally import EndedChild, Passed
from reconciler.edges.vici_attempts import SETTLE_S
from reconciler.edges.vici_events import ALERT, LOG, TYPES, EventListener
from tests.docker import eventually
from tests.edges.vici_samples import CHILD, IKE
from tests.edges.vici_server import ViciServer, vici_server

DEADLINE_S = 5.0
Told = queue.Queue[str]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "charon.vici"


@pytest.fixture
def server(path: Path) -> Iterator[ViciServer]:
    with vici_server(path) as server:
        yield server


class Listening:
    """A listener that is started, and what it told."""

    def __init__(self, path: Path, limits: Limits | None = None) -> None:
        self.woken: Told = queue.Queue()
        self.deaf: Told = queue.Queue()
        self.failures: queue.Queue[Failure] = queue.Queue()
        self.ended: queue.Queue[EndedChild] = queue.Queue()
        self.alive = threading.Event()
        self.listener = EventListener(
            *(str(path), self.woken.put, self.failures.put, self.deaf.put, limits),
            note_ended=self.ended.put,
            note_life=self.alive.set,
        )
        self.listener.start()

    def expect(self, reason: str) -> None:
        """Wait for this reason; others may come before it."""
        self.until(reason)

    def until(self, reason: str) -> list[str]:
        """Return the reasons up to this one."""
        reasons = [self.woken.get(timeout=DEADLINE_S)]
        while reasons[-1] != reason:
            reasons.append(self.woken.get(timeout=DEADLINE_S))
        return reasons


@pytest.fixture
def listening(path: Path, server: ViciServer) -> Iterator[Listening]:
    listening = Listening(path)
    for _ in (ALERT, *TYPES):
        assert server.registered.acquire(timeout=DEADLINE_S)
    yield listening
    listening.listener.stop()


@pytest.mark.parametrize("kind", TYPES)
def test_every_event_is_a_sign_of_life_and_silence_is_none(
    server: ViciServer, listening: Listening, kind: str
) -> None:
    listening.expect("charon connected")
    assert listening.alive.is_set(), "it has said that it will tell events"
    listening.alive.clear()
    assert not listening.alive.wait(2 * SETTLE_S), "the listener looks up twice meanwhile"
    server.emit(kind, {"msg": "sending packet", "kspb_vpn": IKE})
    assert listening.alive.wait(DEADLINE_S)


@pytest.mark.parametrize("kind", [kind for kind in TYPES if kind != "log"])
def test_every_event_about_an_sa_wakes_by_its_name(
    server: ViciServer, listening: Listening, kind: str
) -> None:
    server.emit(kind, {"up": "yes", "kspb_vpn": IKE})
    listening.expect(kind)


def test_what_happened_before_the_events_were_registered_is_looked_for(
    server: ViciServer, listening: Listening
) -> None:
    listening.expect("charon connected")


def failure_log(words: str, unique_id: str, name: str = "kspb_vpn") -> dict[str, str]:
    return {"ikesa-name": name, "ikesa-uniqueid": unique_id, "msg": words}


MISMATCH = "tried 1 shared key for 'vpn.aviationwx.org' - 'kspb.remote', but MAC mismatched"


def test_a_failure_that_charon_logs_is_told_and_wakes(
    server: ViciServer, listening: Listening
) -> None:
    server.emit("log", failure_log(MISMATCH, "1"))
    told = listening.failures.get(timeout=DEADLINE_S)
    assert (told.connection, told.code, told.words) == ("kspb_vpn", Code.WRONG_PSK, MISMATCH)
    listening.expect("failure logged")


def test_the_last_counts_of_a_data_tunnel_are_told_when_it_ends(
    server: ViciServer, listening: Listening
) -> None:
    """As charon 6.0.1 was seen to send it: no key `up`, and two ways to hold a CHILD_SA."""
    server.emit("child-updown", {"up": "yes", "kspb_vpn": IKE})
    renewed = {"lan": {"old": CHILD, "new": {**CHILD, "spi-in": "c0000001", "bytes-in": "0"}}}
    server.emit("child-rekey", {"kspb_vpn": {**IKE, "child-sas": renewed}})
    down = {"lan-7": {**CHILD, "spi-in": "c0000001", "state": "DELETING"}, "lan-8": {}, "lan-9": ""}
    before_s = time.monotonic()
    server.emit("child-updown", {"kczk_vpn": {**IKE, "child-sas": down}})
    passed = Passed(640, 1280, 5, 10)
    renewed_one, ended = (listening.ended.get(timeout=DEADLINE_S) for _ in range(2))
    assert renewed_one[:3] == ("kspb_vpn", "c7e1a2b3", passed)
    assert ended[:3] == ("kczk_vpn", "c0000001", passed)
    assert before_s <= ended.born_s + 93 <= time.monotonic()
    assert listening.ended.empty()


def test_other_log_lines_do_not_wake(server: ViciServer, listening: Listening) -> None:
    server.emit("log", failure_log("sending DPD request", "1"))
    server.emit("log", failure_log("giving up after 3 retransmits", "2", "kczk_vpn"))
    assert listening.failures.get(timeout=DEADLINE_S).connection == "kczk_vpn"
    reasons = {listening.woken.get(timeout=DEADLINE_S) for _ in range(1)}
    assert reasons <= {"charon connected", "failure logged"}


def test_a_site_that_hammers_is_counted_each_time_and_wakes_once(
    server: ViciServer, listening: Listening
) -> None:
    for number in range(20):
        server.emit("log", failure_log(MISMATCH, str(number)))
    for _ in range(20):
        assert listening.failures.get(timeout=DEADLINE_S).code is Code.WRONG_PSK
    server.emit("ike-updown", {"up": "yes", "kczk_vpn": IKE})
    assert listening.until("ike-updown").count("failure logged") == 1


def test_another_failure_of_the_same_site_wakes_at_once(
    server: ViciServer, listening: Listening
) -> None:
    server.emit("log", failure_log(MISMATCH, "1"))
    server.emit("log", failure_log("no acceptable proposal found", "2"))
    listening.expect("failure logged")
    listening.expect("failure logged")


def test_a_flood_of_strangers_wakes_once(server: ViciServer, listening: Listening) -> None:
    for number in range(50):
        knock = {"uniqueid": str(number), "state": "CONNECTING", "remote-host": f"10.9.9.{number}"}
        server.emit("ike-update", {"remote-host": f"10.9.9.{number}", "(unnamed)": knock})
        words = "no matching peer config found"
        server.emit("log", failure_log(words, str(number), "(unnamed)"))
        server.emit("ike-updown", {"(unnamed)": knock})
    for _ in range(50):
        assert listening.failures.get(timeout=DEADLINE_S).connection == ""
    server.emit("child-rekey", {"kczk_vpn": IKE})
    woken = listening.until("child-rekey")
    assert woken.count("failure logged") == 1
    assert not {"ike-update", "ike-updown"} & set(woken)


def test_an_attempt_that_never_was_up_wakes_by_its_failure_alone(
    server: ViciServer, listening: Listening
) -> None:
    server.emit("ike-updown", {"kspb_vpn": {**IKE, "state": "CONNECTING"}})
    server.emit("child-rekey", {"kczk_vpn": IKE})
    assert "ike-updown" not in listening.until("child-rekey")


def test_alerts_are_listened_to_where_charon_knows_them(
    server: ViciServer, listening: Listening
) -> None:
    about = {**IKE, "child-sas": {}}
    server.emit("alert", {"type": "ts-mismatch", "ike-sa": {"kspb_vpn": about}})
    told = listening.failures.get(timeout=DEADLINE_S)
    assert (told.connection, told.code) == ("kspb_vpn", Code.SELECTOR_MISMATCH)
    listening.expect("failure logged")


def test_without_alerts_the_rest_is_listened_to_at_once(path: Path) -> None:
    with vici_server(path) as older:
        older.unknown_events = {"alert"}
        listening = Listening(path)
        listening.expect("charon connected")
        older.emit("ike-updown", {"up": "yes", "kspb_vpn": IKE})
        listening.expect("ike-updown")
        older.emit("log", failure_log(MISMATCH, "1"))
        assert listening.failures.get(timeout=DEADLINE_S).code is Code.WRONG_PSK
        listening.listener.stop()


def test_what_charon_said_last_is_not_lost_when_it_goes_away(
    server: ViciServer, listening: Listening
) -> None:
    listening.expect("charon connected")
    server.emit("log", failure_log(MISMATCH, "1"))
    server.drop()
    assert listening.failures.get(timeout=DEADLINE_S).code is Code.WRONG_PSK


def test_a_charon_that_goes_away_wakes_at_once_so_that_nobody_is_told_old_news(
    server: ViciServer, listening: Listening
) -> None:
    server.emit("ike-updown", {"kspb_vpn": IKE})
    listening.expect("ike-updown")
    server.drop()
    listening.expect("charon disconnected")


def test_a_charon_that_comes_back_is_listened_to_again(
    path: Path, server: ViciServer, listening: Listening
) -> None:
    server.close()
    path.unlink()
    with vici_server(path) as restarted:
        for _ in (ALERT, *TYPES):
            assert restarted.registered.acquire(timeout=DEADLINE_S)
        restarted.emit("ike-updown", {"up": "yes", "kspb_vpn": IKE})
        listening.expect("charon connected")
        listening.expect("ike-updown")


def test_a_charon_that_starts_later_is_found(path: Path) -> None:
    listening = Listening(path)
    with vici_server(path):
        listening.expect("charon connected")
    listening.listener.stop()


ALL = {ALERT, *TYPES}


def flood(server: ViciServer, kind: str = LOG, times: int = 400) -> None:
    for number in range(times):
        words = "no IKE config found for 10.1.2.3...10.9.9.9, sending NO_PROPOSAL_CHOSEN"
        server.emit(kind, failure_log(words, str(number), "(unnamed)"))


@pytest.fixture
def wary(path: Path, server: ViciServer) -> Iterator[Listening]:
    """Listen to 300 events at most; the window is long, so that no slow machine matters."""
    listening = Listening(path, Limits(most_a_second=10, window_s=30.0, quiet_s=60.0))
    listening.expect("charon connected")
    yield listening
    listening.listener.stop()


def test_a_flood_of_the_log_ends_the_connection_and_the_next_one_is_without_log(
    server: ViciServer, wary: Listening
) -> None:
    flood(server)
    assert wary.until("charon connected").count("charon disconnected") == 1
    assert server.subscribed == [ALL, ALL - {LOG}]
    eventually(lambda: server.connections[0].fileno() == -1, DEADLINE_S, "closed by us")
    assert "more than 10 lines a second" in wary.deaf.get(timeout=DEADLINE_S)


def test_without_the_log_sas_still_wake(server: ViciServer, wary: Listening) -> None:
    flood(server)
    wary.expect("charon connected")
    server.emit("child-updown", {"up": "yes", "kspb_vpn": IKE})
    wary.expect("child-updown")


def test_a_flood_even_without_the_log_ends_the_connection_again_and_is_said_once(
    server: ViciServer, wary: Listening
) -> None:
    flood(server)
    wary.expect("charon connected")
    flood(server, "ike-update")
    wary.expect("charon connected")
    assert server.subscribed == [ALL, ALL - {LOG}, ALL - {LOG}]
    assert wary.deaf.qsize() == 1


def test_after_the_quiet_time_the_log_is_listened_to_again(path: Path, server: ViciServer) -> None:
    listening = Listening(path, Limits(most_a_second=10, window_s=30.0, quiet_s=0.5))
    listening.expect("charon connected")
    flood(server)
    assert listening.deaf.get(timeout=DEADLINE_S)
    assert listening.deaf.get(timeout=DEADLINE_S) == ""
    eventually(lambda: server.subscribed[-1] == ALL, DEADLINE_S)
    server.emit("log", failure_log(MISMATCH, "1"))
    codes = {listening.failures.get(timeout=DEADLINE_S).code}
    while Code.WRONG_PSK not in codes:
        codes.add(listening.failures.get(timeout=DEADLINE_S).code)
    listening.listener.stop()


def test_each_line_of_charons_log_is_handed_on(path: Path, server: ViciServer) -> None:
    heard: queue.Queue[tuple[str, str, str, str]] = queue.Queue()
    listener = EventListener(
        str(path), lambda _: None, lambda _: None, hear=lambda *line: heard.put(line)
    )
    listener.start()
    for _ in (ALERT, *TYPES):
        assert server.registered.acquire(timeout=DEADLINE_S)
    line = {"group": "IKE", "ikesa-name": "kspb_vpn", "ikesa-uniqueid": "7", "msg": "hello"}
    server.emit(LOG, line)
    line = {"group": "NET", "ikesa-name": "(unnamed)", "ikesa-uniqueid": "8", "msg": "sent"}
    server.emit(LOG, line)
    try:
        assert heard.get(timeout=DEADLINE_S) == ("IKE", "kspb_vpn", "7", "hello")
        assert heard.get(timeout=DEADLINE_S) == ("NET", "", "8", "sent")
    finally:
        listener.stop()
