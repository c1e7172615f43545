"""Events only wake the loop, and say so too when they may have been missed."""

import queue
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.edges.vici_events import TYPES, EventListener
from tests.edges.vici_samples import IKE
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

    def __init__(self, path: Path) -> None:
        self.woken: Told = queue.Queue()
        self.failures: queue.Queue[tuple[str, str]] = queue.Queue()
        self.listener = EventListener(
            str(path), self.woken.put, lambda name, words: self.failures.put((name, words))
        )
        self.listener.start()

    def expect(self, reason: str) -> None:
        """Wait for this reason; others may come before it."""
        while self.woken.get(timeout=DEADLINE_S) != reason:
            pass


@pytest.fixture
def listening(path: Path, server: ViciServer) -> Iterator[Listening]:
    listening = Listening(path)
    for _ in TYPES:
        assert server.registered.acquire(timeout=DEADLINE_S)
    yield listening
    listening.listener.stop()


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


@pytest.mark.parametrize(
    "words",
    [
        "received AUTHENTICATION_FAILED notify error",
        "tried 1 shared key for 'vpn.aviationwx.org' - 'kspb.remote', but MAC mismatched",
        "no shared key found for 'vpn.aviationwx.org' - 'kspb.remote'",
        "no matching peer config found",
        "received NO_PROPOSAL_CHOSEN notify error",
        "traffic selectors 0.0.0.0/0 === 10.0.0.0/8 inacceptable",
        "received TS_UNACCEPTABLE notify, no CHILD_SA built",
        "giving up after 3 retransmits",
    ],
)
def test_charons_words_about_a_failure_are_kept_for_the_connection(
    server: ViciServer, listening: Listening, words: str
) -> None:
    server.emit("log", {"group": "IKE", "level": "1", "ikesa-name": "kspb_vpn", "msg": words})
    assert listening.failures.get(timeout=DEADLINE_S) == ("kspb_vpn", words)
    listening.expect("failure logged")


def test_other_log_lines_do_not_wake(server: ViciServer, listening: Listening) -> None:
    server.emit("log", {"msg": "sending DPD request", "ikesa-name": "kspb_vpn"})
    server.emit("log", {"msg": "giving up after 3 retransmits", "ikesa-name": "kczk_vpn"})
    assert listening.failures.get(timeout=DEADLINE_S)[0] == "kczk_vpn"
    reasons = {listening.woken.get(timeout=DEADLINE_S) for _ in range(1)}
    assert reasons <= {"charon connected", "failure logged"}


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
        for _ in TYPES:
            assert restarted.registered.acquire(timeout=DEADLINE_S)
        restarted.emit("ike-updown", {"up": "yes", "kspb_vpn": IKE})
        listening.expect("charon connected")
        listening.expect("ike-updown")


def test_a_charon_that_starts_later_is_found(path: Path) -> None:
    listening = Listening(path)
    with vici_server(path):
        listening.expect("charon connected")
    listening.listener.stop()
