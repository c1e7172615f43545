"""Commands over VICI's wire, to a server that answers like charon or misbehaves."""

import contextlib
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from reconciler.edges.vici_client import ViciClient
from reconciler.errors import IkeLate, IkeNoAccess, IkeRefused, IkeUnreachable
from tests.builders import connection
from tests.edges.vici_samples import ALGORITHMS, IKE, KSPB, STATS, VERSION
from tests.edges.vici_server import ViciServer, vici_server

DEADLINE_S = 0.3
OTHER = connection(2, "kczk")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "charon.vici"


@pytest.fixture
def server(path: Path) -> Iterator[ViciServer]:
    with vici_server(path) as server:
        listed: dict[str, dict[str, Any]] = {
            c.name: {"children": {c.child_name: {}}} for c in (KSPB, OTHER)
        }
        server.answers = {
            "version": lambda _: VERSION,
            "stats": lambda _: STATS,
            "get-algorithms": lambda _: ALGORITHMS,
            "get-shared": lambda _: {"keys": [KSPB.secret_id, "theirs"]},
            "get-conns": lambda _: {"conns": [KSPB.name, OTHER.name]},
            **dict.fromkeys(("load-conn", "unload-conn", "load-shared", "unload-shared"), _success),
        }
        server.streams = {
            "list-conns": (
                "list-conn",
                lambda m: [
                    {name: body}
                    for name, body in listed.items()
                    if m.get("ike", name.encode()) == name.encode()
                ],
            ),
            "list-sas": ("list-sa", lambda _: [{KSPB.name: IKE}, {KSPB.name: IKE}]),
            "initiate": ("control-log", lambda _: [{"msg": "working on it"}] * 3),
            "terminate": ("control-log", lambda _: []),
        }
        yield server


def _success(_: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"success": "yes"}


def refusing(words: str) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
    return lambda _: {"success": "no", "errmsg": words}


@pytest.fixture
def client(path: Path) -> Iterator[ViciClient]:
    client = ViciClient(str(path), DEADLINE_S)
    yield client
    client.close()


def test_one_look_shows_daemon_connections_secrets_and_sas(
    server: ViciServer, client: ViciClient
) -> None:
    observed = client.observe(deep=True)
    assert (observed.daemon.version, observed.daemon.data_plane) == ("6.0.1", "userspace")
    children = {c.name: frozenset({c.child_name}) for c in (KSPB, OTHER)}
    assert observed.connections == children
    assert observed.secret_ids == {KSPB.secret_id, "theirs"}
    assert [sa.remote_host for sa in observed.sas] == ["198.51.100.7"] * 2
    assert "MODP_2048" in observed.algorithms


def test_a_shallow_look_asks_for_children_only_where_no_mark_vouches_for_them(
    server: ViciServer, client: ViciClient
) -> None:
    observed = client.observe(deep=False)
    assert observed.connections == {KSPB.name: None, OTHER.name: frozenset({OTHER.child_name})}
    asked = [message for name, message in server.requests if name == "list-conns"]
    assert asked == [{"ike": OTHER.name.encode()}]


def test_marks_are_read_before_connections_and_both_before_sas(
    server: ViciServer, client: ViciClient
) -> None:
    client.observe(deep=True)
    order = [n for n in server.names() if n in {"get-shared", "list-conns", "list-sas"}]
    assert order == ["get-shared", "list-conns", "list-sas"]


def test_busy_sas_are_waited_for_and_not_skipped(server: ViciServer, client: ViciClient) -> None:
    client.observe(deep=True)
    assert ("list-sas", {}) in server.requests


def test_algorithms_are_asked_for_once_a_connection(server: ViciServer, client: ViciClient) -> None:
    client.observe(deep=False)
    client.observe(deep=False)
    assert server.names().count("get-algorithms") == 1
    client.close()
    client.observe(deep=False)
    assert server.names().count("get-algorithms") == 2


def test_a_connection_is_sent_as_charon_wants_it(server: ViciServer, client: ViciClient) -> None:
    client.load_connection(KSPB.name, KSPB.settings)
    [(name, message)] = server.requests
    assert name == "load-conn"
    body = message[KSPB.name]
    assert body["remote_addrs"] == [b"%any"]
    assert body["remote"] == {"auth": b"psk", "id": b"kspb.remote"}
    assert body["children"][KSPB.child_name]["remote_ts"] == [b"192.168.1.0/24"]


def test_a_key_is_sent_as_bytes_with_the_site_as_its_only_owner(
    server: ViciServer, client: ViciClient
) -> None:
    client.load_secret(KSPB.secret_id, KSPB.remote_id, b"0s\xff\x00 raw")
    assert server.requests == [
        (
            "load-shared",
            {
                "id": KSPB.secret_id.encode(),
                "type": b"IKE",
                "data": b"0s\xff\x00 raw",
                "owners": [b"kspb.remote"],
            },
        )
    ]


def test_no_request_waits_for_a_peer(server: ViciServer, client: ViciClient) -> None:
    client.start_child("kspb_vpn", "lan-1")
    client.end_child("7")
    client.end_ike("3")
    client.end_all("kspb_vpn")
    assert server.requests == [
        ("initiate", {"ike": b"kspb_vpn", "child": b"lan-1", "timeout": b"-1"}),
        ("terminate", {"child-id": b"7", "timeout": b"-1"}),
        ("terminate", {"ike-id": b"3", "timeout": b"-1"}),
        ("terminate", {"ike": b"kspb_vpn", "force": b"yes", "timeout": b"-1"}),
    ]


def test_a_no_is_a_refusal_in_charons_words_and_the_connection_stays(
    server: ViciServer, client: ViciClient
) -> None:
    server.answers["load-conn"] = refusing("unknown option: x, config discarded")
    with pytest.raises(IkeRefused, match=r"^unknown option: x, config discarded$"):
        client.load_connection(KSPB.name, KSPB.settings)
    client.load_secret(KSPB.secret_id, KSPB.remote_id, b"x")
    assert len(server.connections) == 1


def test_a_no_after_a_stream_is_a_refusal_as_well(server: ViciServer, client: ViciClient) -> None:
    server.answers["initiate"] = refusing("CHILD_SA config 'lan-1' not found")
    with pytest.raises(IkeRefused, match="not found"):
        client.start_child("kspb_vpn", "lan-1")
    client.unload_secret("x")
    assert len(server.connections) == 1


@pytest.mark.parametrize(
    ("command", "words", "call"),
    [
        ("unload-conn", "connection 'k' not found", lambda c: c.unload_connection("k")),
        ("terminate", "no matching SAs to terminate found", lambda c: c.end_ike("3")),
        ("terminate", "no matching SAs to terminate found", lambda c: c.end_child("7")),
        ("terminate", "no matching SAs to terminate found", lambda c: c.end_all("k")),
    ],
    ids=["connection", "IKE_SA", "CHILD_SA", "all"],
)
def test_what_is_gone_already_is_no_error_where_it_was_to_go(
    server: ViciServer,
    client: ViciClient,
    command: str,
    words: str,
    call: Callable[[ViciClient], None],
) -> None:
    server.answers[command] = refusing(words)
    call(client)
    server.answers[command] = refusing("permission denied")
    with pytest.raises(IkeRefused, match="permission denied"):
        call(client)


def test_a_missing_socket_is_unreachable(path: Path, client: ViciClient) -> None:
    with pytest.raises(IkeUnreachable, match="No such file or directory"):
        client.observe(deep=False)


def test_a_way_that_is_barred_is_told_from_a_charon_that_does_not_answer(
    path: Path, client: ViciClient
) -> None:
    """No socket says nothing of charon; a socket at which nobody listens says enough."""
    with pytest.raises(IkeNoAccess):
        client.observe(deep=False)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    with pytest.raises(IkeUnreachable) as caught:
        client.observe(deep=False)
    assert not isinstance(caught.value, IkeNoAccess | IkeLate)


def test_a_charon_that_is_too_busy_to_let_anybody_in_may_be_busy(path: Path) -> None:
    """Its queue of those who want to connect is short."""
    with socket.socket(socket.AF_UNIX) as listener, contextlib.ExitStack() as waiting:
        listener.bind(str(path))
        listener.listen(0)
        waiting.enter_context(socket.socket(socket.AF_UNIX)).connect(str(path))
        with pytest.raises(IkeLate, match="no answer within"):
            ViciClient(str(path), deadline_s=0.2).observe(deep=False)


def test_a_charon_that_takes_the_question_and_does_not_answer_may_be_busy(
    server: ViciServer, client: ViciClient
) -> None:
    server.misbehave = never
    with pytest.raises(IkeLate):
        client.observe(deep=False)
    server.misbehave = hang_up
    with pytest.raises(IkeUnreachable) as caught:
        client.observe(deep=False)
    assert not isinstance(caught.value, IkeLate)


def test_a_charon_that_stopped_answering_lists_still_answers_the_shortest_of_questions(
    server: ViciServer, client: ViciClient
) -> None:
    def falls_silent(_: Mapping[str, Any]) -> Mapping[str, Any]:
        server.misbehave = never
        return STATS

    server.answers["stats"] = falls_silent
    with pytest.raises(IkeUnreachable):
        client.observe(deep=False)
    server.misbehave = None
    assert client.answers()


def test_a_charon_that_is_gone_or_hangs_answers_nothing(
    path: Path, server: ViciServer, client: ViciClient
) -> None:
    server.misbehave = never
    assert not client.answers()
    server.close()
    assert not client.answers()
    path.unlink()
    assert not client.answers()


def test_a_socket_that_nobody_listens_at_is_unreachable(path: Path, client: ViciClient) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    with pytest.raises(IkeUnreachable, match="refused"):
        client.observe(deep=False)


def never(_: socket.socket) -> None:
    """Take the request and say nothing."""


def half_a_header(connection: socket.socket) -> None:
    connection.sendall(b"\0\0")


def half_a_packet(connection: socket.socket) -> None:
    connection.sendall(b"\0\0\0\x40\x01half")


def hang_up(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_RDWR)


def hang_up_half_way(connection: socket.socket) -> None:
    half_a_packet(connection)
    hang_up(connection)


def garbage(connection: socket.socket) -> None:
    connection.sendall(b"\0\0\0\x06\x01\x03\xff\xff\xff\xff")


def nonsense(connection: socket.socket) -> None:
    connection.sendall(b"\0\0\0\x02\x63\x63")


def nothing(connection: socket.socket) -> None:
    connection.sendall(b"\0\0\0\0")


@pytest.mark.parametrize("misbehaviour", [never, half_a_header, half_a_packet])
def test_a_charon_that_falls_silent_is_unreachable_after_the_deadline(
    server: ViciServer, client: ViciClient, misbehaviour: Callable[[socket.socket], None]
) -> None:
    server.misbehave = misbehaviour
    began_s = time.monotonic()
    with pytest.raises(IkeUnreachable, match=r"charon\.vici: no answer within 0\.3 s$"):
        client.observe(deep=False)
    assert DEADLINE_S * 0.9 <= time.monotonic() - began_s < DEADLINE_S * 3


BROKEN = [hang_up, hang_up_half_way, garbage, nonsense, nothing]


@pytest.mark.parametrize("misbehaviour", [*BROKEN, never, half_a_packet])
def test_after_any_failure_the_next_call_begins_with_a_new_connection(
    server: ViciServer, client: ViciClient, misbehaviour: Callable[[socket.socket], None]
) -> None:
    server.misbehave = misbehaviour
    with pytest.raises(IkeUnreachable):
        client.load_connection(KSPB.name, KSPB.settings)
    assert client.observe(deep=False).daemon.version == "6.0.1"
    assert len(server.connections) == 2


@pytest.mark.parametrize("misbehaviour", BROKEN)
def test_an_old_connection_that_turns_out_to_be_gone_is_replaced_unnoticed(
    server: ViciServer, client: ViciClient, misbehaviour: Callable[[socket.socket], None]
) -> None:
    """As after charon's restart: the new daemon is well, only the connection is not."""
    client.observe(deep=False)
    server.misbehave = misbehaviour
    client.load_connection(KSPB.name, KSPB.settings)
    assert server.names()[-2:] == ["load-conn", "load-conn"]
    assert len(server.connections) == 2


@pytest.mark.parametrize("misbehaviour", [never, half_a_packet])
def test_a_silent_charon_is_not_waited_for_twice(
    server: ViciServer, client: ViciClient, misbehaviour: Callable[[socket.socket], None]
) -> None:
    client.observe(deep=False)
    server.misbehave = misbehaviour
    began_s = time.monotonic()
    with pytest.raises(IkeUnreachable):
        client.load_connection(KSPB.name, KSPB.settings)
    assert time.monotonic() - began_s < DEADLINE_S * 1.9
    assert len(server.connections) == 1


@pytest.mark.parametrize("misbehaviour", [never, hang_up])
def test_a_failure_in_the_middle_of_a_stream_is_unreachable_too(
    server: ViciServer, client: ViciClient, misbehaviour: Callable[[socket.socket], None]
) -> None:
    def break_off(_: dict[str, Any]) -> list[Mapping[str, Any]]:
        server.emit("list-sa", {KSPB.name: IKE})
        misbehaviour(server.connections[-1])
        time.sleep(0 if misbehaviour is hang_up else DEADLINE_S * 2)
        return []

    server.streams["list-sas"] = ("list-sa", break_off)
    with pytest.raises(IkeUnreachable):
        client.observe(deep=False)


def test_a_charon_that_does_not_read_is_unreachable_after_the_deadline(
    path: Path, client: ViciClient
) -> None:
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(path))
        deaf.listen()
        began_s = time.monotonic()
        with pytest.raises(IkeUnreachable):
            client.load_connection("k", {f"key{n}": "x" * 60_000 for n in range(100)})
        # Each part of the message that still finds room begins the kernel's deadline anew.
        assert time.monotonic() - began_s < DEADLINE_S * 10


def test_a_restarted_charon_is_found_again(
    path: Path, server: ViciServer, client: ViciClient
) -> None:
    client.observe(deep=False)
    answers, streams = server.answers, server.streams
    server.close()
    path.unlink()
    with pytest.raises(IkeUnreachable):
        client.observe(deep=False)
    with vici_server(path) as restarted:
        restarted.answers, restarted.streams = answers, streams
        assert client.observe(deep=False).connections


def test_no_error_shows_a_key(server: ViciServer, client: ViciClient) -> None:
    for misbehaviour in (hang_up, garbage, never):
        server.misbehave = misbehaviour
        with pytest.raises(IkeUnreachable) as caught:
            client.load_secret(KSPB.secret_id, KSPB.remote_id, b"hush-hush-hush")
        assert "hush" not in str(caught.value)


def test_after_abort_every_call_fails_at_once(server: ViciServer, client: ViciClient) -> None:
    client.observe(deep=False)
    client.abort()
    began_s = time.monotonic()
    with pytest.raises(IkeUnreachable, match="stopping"):
        client.observe(deep=False)
    assert time.monotonic() - began_s < DEADLINE_S


def test_closing_twice_or_unused_harms_nothing(client: ViciClient) -> None:
    client.close()
    client.close()


def test_a_question_for_a_reader_is_answered_as_charon_says_it(
    server: ViciServer, client: ViciClient
) -> None:
    assert client.read("version") == [VERSION]
    assert client.read("list-conns", ike=OTHER.name) == [
        {OTHER.name: {"children": {OTHER.child_name: {}}}}
    ]
    (sa, _) = client.read("list-sas")
    assert sa[KSPB.name]["child-sas"] == IKE["child-sas"]
    assert client.read("get-shared") == [{"keys": [KSPB.secret_id, "theirs"]}]


def test_nothing_that_changes_anything_is_a_question(client: ViciClient) -> None:
    for command in ("load-conn", "terminate", "clear-creds"):
        with pytest.raises(KeyError):
            client.read(command)
