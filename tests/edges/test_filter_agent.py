"""The filter's agent on its socket, with an nft of the test's own; a real one is in tests/real."""

import asyncio
import json
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from reconciler import filter_agent
from reconciler.core.nft_script import nft_change, nft_script
from reconciler.core.packet_filter import (
    Allowed,
    FilterRules,
    FilterState,
    FilterView,
    SiteRules,
    digest,
    to_json,
)
from reconciler.edges.filter_client import FilterClient
from reconciler.edges.nft import Nft
from reconciler.errors import FilterRefused, FilterUnreachable
from reconciler.filter_agent import FilterAgent, FilterServer
from reconciler.filter_health import main as health
from tests.docker import eventually
from tests.fake_filter import FakeFilter
from tests.filter_contract import MORE, SOME, FilterContract


class TestFakeFilter(FilterContract):
    @pytest.fixture
    def filter_(self) -> FakeFilter:
        return FakeFilter()


class Kernel(Nft):
    """An nft without a kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.table: str | None = None
        self.scripts: list[str] = []
        self.table_goes = False
        self.refuses, self.refuses_changes = "", False

    def load(self, script: str) -> None:
        whole = "delete table" in script
        if self.refuses or (self.refuses_changes and not whole):
            raise FilterRefused(self.refuses or "nft: no")
        self.scripts.append(script)
        self.table = script if whole else f"{self.table}{script}"

    def remove(self) -> None:
        self.table = None

    def listing(self) -> str | None:
        return None if self.table_goes else self.table

    def counters(self) -> dict[str, int]:
        return {"spoofed": 3} if self.table else {}


@contextmanager
def serving(agent: FilterAgent, path: Path) -> Iterator[None]:
    """Serve in a thread, as the command does in a process."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(FilterServer(agent).start(path), loop).result(10)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


@pytest.fixture
def path(kernel: Kernel, tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "filter.sock"
    with serving(FilterAgent(kernel, tmp_path / "saved.nft"), path):
        yield path


def say(path: Path, request: bytes) -> Any:
    """Send bytes, return the reply as JSON, or nothing if it hung up."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(str(path))
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        reply = b"".join(iter(lambda: connection.recv(65536), b""))
    return json.loads(reply) if reply else None


def test_rules_go_over_the_socket_into_the_kernel(path: Path, kernel: Kernel) -> None:
    client = FilterClient(path)
    assert client.look() == FilterView(None, FilterState.MISSING)
    view = client.load(MORE)
    assert view == FilterView(digest(MORE), FilterState.IN_FORCE, {"spoofed": 3})
    assert kernel.table == nft_script(MORE)
    assert client.look() == view


def test_what_is_known_is_changed_and_not_replaced(path: Path, kernel: Kernel) -> None:
    client = FilterClient(path)
    client.load(SOME)
    view = client.load(MORE)
    assert (view.loaded, view.state) == (digest(MORE), FilterState.IN_FORCE)
    assert kernel.scripts == [nft_script(SOME), nft_change(SOME, MORE)]


@pytest.mark.parametrize("table", [None, "touched by hand"])
def test_what_is_not_known_is_replaced(path: Path, kernel: Kernel, table: str | None) -> None:
    client = FilterClient(path)
    client.load(SOME)
    kernel.table = table
    client.load(MORE)
    assert kernel.table == nft_script(MORE)


def test_a_table_that_goes_as_soon_as_it_was_loaded_is_told_and_loaded_again(
    path: Path, kernel: Kernel
) -> None:
    client = FilterClient(path)
    kernel.table_goes = True
    view = client.load(SOME)
    assert (view.loaded, view.state) == (None, FilterState.MISSING)
    assert view.error == "somebody took the table away as soon as it was loaded"
    kernel.table_goes = False
    assert client.load(SOME) == FilterView(digest(SOME), FilterState.IN_FORCE, {"spoofed": 3})


def test_a_change_that_is_longer_than_the_whole_is_made_as_a_whole(
    path: Path, kernel: Kernel
) -> None:
    def fleet(*allowed: Allowed) -> FilterRules:
        lans = (ip_network((0x0A000000 + 256 * n, 24)) for n in range(40))
        return FilterRules(tuple(SiteRules(f"a{n}_vpn", (x,), allowed) for n, x in enumerate(lans)))

    client = FilterClient(path)
    client.load(fleet(Allowed("icmp")))
    client.load(fleet(Allowed("tcp", 21, 22)))
    assert kernel.scripts[1] == nft_script(fleet(Allowed("tcp", 21, 22)))


def test_a_change_that_nft_refuses_is_made_as_a_whole(path: Path, kernel: Kernel) -> None:
    client = FilterClient(path)
    client.load(SOME)
    kernel.refuses_changes = True
    view = client.load(MORE)
    assert (view.loaded, view.state, view.error) == (digest(MORE), FilterState.IN_FORCE, "")
    assert kernel.table == nft_script(MORE)


def test_what_is_in_force_is_saved_for_charons_next_start(path: Path, tmp_path: Path) -> None:
    FilterClient(path).load(SOME)
    saved = tmp_path / "saved.nft"
    assert saved.read_text() == nft_script(SOME)
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600


def test_only_our_own_user_may_ask(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_nft_refuses_is_said_and_what_was_in_force_stays(path: Path, kernel: Kernel) -> None:
    client = FilterClient(path)
    client.load(SOME)
    kernel.refuses = "nft: no"
    view = client.load(MORE)
    assert (view.loaded, view.state) == (digest(SOME), FilterState.IN_FORCE)
    assert view.error == "nft: no"
    assert client.look().error == ""


def test_that_it_could_not_be_saved_is_said(kernel: Kernel, tmp_path: Path) -> None:
    agent = FilterAgent(kernel, tmp_path / "absent" / "saved.nft")
    view = agent.load(SOME)
    assert (view.loaded, view.state) == (digest(SOME), FilterState.IN_FORCE)
    assert (
        view.error == "in force, but not saved for charon's next start: No such file or directory"
    )


def test_switched_off_it_removes_the_table_and_loads_nothing(
    kernel: Kernel, tmp_path: Path
) -> None:
    saved = tmp_path / "saved.nft"
    FilterAgent(kernel, saved).load(SOME)
    agent = FilterAgent(kernel, saved, on=False)
    agent.remove()
    assert agent.load(SOME) == agent.look() == FilterView(None, FilterState.OFF)
    assert kernel.table is None
    assert not saved.exists()


GARBAGE = [
    b"\n",
    b"null\n",
    b"[]\n",
    b"{}\n",
    b'{"do": "look", "more": 1}\n',
    b'{"do": "load"}\n',
    b'{"do": "load", "rules": null}\n',
    b'{"do": "flush"}\n',
    b'{"do": ["look"]}\n',
    b"\xff\xfe\n",
    b"[" * 100_000 + b"\n",
    b"9" * 10_000 + b"\n",
    b'{"do": "load", "rules": {"sites": [{"connection": "a;b", "subnets": [], "allowed": []}]}}\n',
]


@pytest.mark.parametrize("garbage", GARBAGE, ids=lambda garbage: garbage[:40])
def test_garbage_is_refused_in_words_and_loads_nothing(
    path: Path, kernel: Kernel, garbage: bytes
) -> None:
    FilterClient(path).load(SOME)
    reply = say(path, garbage)
    assert reply["error"]
    assert len(reply["error"]) < 500
    assert (reply["loaded"], reply["state"]) == (digest(SOME), "in-force")
    assert kernel.table == nft_script(SOME)


@pytest.mark.parametrize("cut", [b"", b'{"do": "look"}', b"x" * (9 * 1024 * 1024)])
def test_who_says_no_line_gets_no_reply_and_the_next_one_does(path: Path, cut: bytes) -> None:
    try:
        assert say(path, cut) is None
    except (BrokenPipeError, ConnectionResetError):
        assert len(cut) > filter_agent.LARGEST_REQUEST_BYTES
    assert FilterClient(path).look().state is FilterState.MISSING


def test_silent_clients_keep_nobody_waiting_for_long(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filter_agent, "_REQUEST_WITHIN_S", 0.3)
    silent = [socket.socket(socket.AF_UNIX) for _ in range(20)]
    try:
        for one in silent:
            one.connect(str(path))

        def answered() -> bool:
            try:
                return FilterClient(path).look().state is FilterState.MISSING
            except FilterUnreachable:
                return False  # there are too many just now

        eventually(answered, 20, "an answer beside silent clients")
    finally:
        for one in silent:
            one.close()


def test_the_largest_of_fleets_fits_into_one_request() -> None:
    site = to_json(MORE)["sites"][0]
    request = json.dumps({"do": "load", "rules": {"sites": [site] * 10_000}})
    assert len(request) < filter_agent.LARGEST_REQUEST_BYTES


@contextmanager
def replying(path: Path, reply: bytes) -> Iterator[None]:
    """Play an agent that answers one client with these bytes."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(reply)

        thread = threading.Thread(target=answer)
        thread.start()
        yield
        thread.join(10)


GOOD: dict[str, object] = {"loaded": None, "state": "missing", "dropped": {}, "error": ""}


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"{}\n",
        b"nonsense\n",
        json.dumps(GOOD).encode(),  # cut off before the end of the line
        json.dumps({**GOOD, "state": "fine"}).encode() + b"\n",
        json.dumps({**GOOD, "loaded": 1}).encode() + b"\n",
        json.dumps({**GOOD, "error": None}).encode() + b"\n",
        json.dumps({**GOOD, "dropped": {"spoofed": "3"}}).encode() + b"\n",
        json.dumps({**GOOD, "dropped": {"spoofed": True}}).encode() + b"\n",
        b"[" * 50_000 + b"\n",
        b" " * 100_000 + b"\n",
    ],
    ids=range(11),
)
def test_a_reply_that_makes_no_sense_is_no_view(tmp_path: Path, reply: bytes) -> None:
    path = tmp_path / "filter.sock"
    with replying(path, reply), pytest.raises(FilterUnreachable, match=r"filter\.sock: "):
        FilterClient(path).look()


def test_without_an_agent_the_client_says_so(tmp_path: Path) -> None:
    client = FilterClient(tmp_path / "filter.sock")
    for ask in (client.look, lambda: client.load(FilterRules())):
        with pytest.raises(FilterUnreachable, match="No such file or directory"):
            ask()


def test_an_agent_that_answers_is_healthy(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FILTER_SOCKET", str(path))
    assert health() == 0
    assert '"state": "missing"' in capsys.readouterr().out
    monkeypatch.setenv("FILTER_SOCKET", f"{path}.absent")
    assert health() == 1
    assert "does not answer at " in capsys.readouterr().out


def nft_that(tmp_path: Path, body: str) -> Nft:
    """Make a program that plays nft."""
    program = tmp_path / "nft"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    return Nft((str(program),), within_s=0.5)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "echo 'Operation not permitted (you must be root)' >&2; exit 1",
            "nft: Operation not permitted .* --cap-add NET_ADMIN",
        ),
        (
            "echo 'netlink: Error: cache initialization: Protocol not supported' >&2; exit 1",
            "nft: netlink: Error: cache .*modprobe nf_tables, or set PACKET_FILTER=no",
        ),
        (
            "echo '/dev/stdin:9:1-2: Error: Could not process rule: No such file or directory' >&2"
            "; echo '   meta ipsec exists' >&2; exit 1",
            "nft: /dev/stdin:9:1-2: Error: .*modprobe -a nf_tables nft_ct nft_fib_inet nft_xfrm",
        ),
        ("exit 3", "nft: no word"),
        ("exec sleep 60", "nft did not end within"),
    ],
)
def test_why_nft_failed_is_one_clear_sentence(tmp_path: Path, body: str, message: str) -> None:
    with pytest.raises(FilterRefused, match=message) as caught:
        nft_that(tmp_path, body).load("x")
    assert "\n" not in str(caught.value)


def test_an_nft_that_is_not_there_or_may_not_be_run_is_said(tmp_path: Path) -> None:
    with pytest.raises(FilterRefused, match="install nftables"):
        Nft((str(tmp_path / "absent"),)).listing()
    program = tmp_path / "nft"
    program.touch(mode=0o600)
    with pytest.raises(FilterRefused, match="nft may not be run; start the container with"):
        Nft((str(program),)).listing()


def test_that_the_kernel_can_not_be_asked_is_not_the_same_as_no_table(
    kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = FilterAgent(kernel, tmp_path / "saved.nft")
    agent.load(SOME)

    def fail() -> str | None:
        raise FilterRefused("nft: no")

    monkeypatch.setattr(kernel, "listing", fail)
    assert agent.look() == FilterView(digest(SOME), FilterState.UNKNOWN, error="nft: no")
