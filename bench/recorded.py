"""A daemon that answers VICI's questions at once, with packets that were made before.

So the time of an observation is the reconciler's own. A real charon needs some more.
"""

import multiprocessing
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from vici.protocol import Message, Packet

from reconciler.core.render import Connection
from tests.fake_ike import ALGORITHMS

_STARTED = "Nov 22 15:00:00 2025"
_HELLO: dict[str, Any] = {
    "version": {"daemon": "charon-systemd", "version": "6.0.1", "sysname": "Linux"},
    "get-algorithms": {"all": dict.fromkeys(sorted(ALGORITHMS), "openssl")},
}


@contextmanager
def recorded_daemon(path: Path, connections: Iterable[Connection]) -> Iterator[None]:
    """Be a charon that has all these connections loaded and up, in a process of its own."""
    answers = _answers(list(connections))
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(3)
    process = multiprocessing.get_context("fork").Process(target=_serve, args=(listener, answers))
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()
        listener.close()
        path.unlink()


def _serve(listener: socket.socket, answers: Mapping[str, bytes]) -> None:
    while True:
        connection, _ = listener.accept()
        with suppress(OSError), connection:
            while head := connection.recv(4, socket.MSG_WAITALL):
                packet = connection.recv(struct.unpack("!I", head)[0], socket.MSG_WAITALL)
                connection.sendall(_answer(packet, answers))


def _answer(packet: bytes, answers: Mapping[str, bytes]) -> bytes:
    kind, length = struct.unpack("!BB", packet[:2])
    if kind in (Packet.EVENT_REGISTER, Packet.EVENT_UNREGISTER):
        return _framed(struct.pack("!B", Packet.EVENT_CONFIRM))
    return answers[packet[2 : 2 + length].decode()]


def _framed(payload: bytes) -> bytes:
    return struct.pack("!I", len(payload)) + payload


def _answers(connections: list[Connection]) -> dict[str, bytes]:
    count = len(connections)
    replies = {
        **_HELLO,
        "stats": _stats(count),
        "get-conns": {"conns": [one.name for one in connections]},
        "get-shared": {"keys": [one.secret_id for one in connections]},
    }
    listed = (_event("list-conn", {one.name: _loaded(one)}) for one in connections)
    up = (_event("list-sa", {one.name: _up(n, one)}) for n, one in enumerate(connections))
    return {
        **{name: _reply(message) for name, message in replies.items()},
        "list-conns": b"".join(listed) + _reply({}),
        "list-sas": b"".join(up) + _reply({}),
    }


def _reply(message: Mapping[str, Any]) -> bytes:
    return _framed(struct.pack("!B", Packet.CMD_RESPONSE) + bytes(Message.serialize(message)))


def _event(name: str, message: Mapping[str, Any]) -> bytes:
    head: bytes = struct.pack("!BB", Packet.EVENT, len(name)) + name.encode()
    return _framed(head + bytes(Message.serialize(message)))


def _stats(count: int) -> dict[str, Any]:
    return {
        "uptime": {"running": "2 hours", "since": _STARTED},
        "workers": {"total": "32", "idle": "23", "active": {"critical": "8", "medium": "1"}},
        "queues": {"critical": "0", "high": "0", "medium": "0", "low": "0"},
        "scheduled": str(3 * count),
        "ikesas": {"total": str(count), "half-open": "0"},
        "plugins": ["charon-systemd", "openssl", "kernel-libipsec", "vici"],
    }


def _loaded(connection: Connection) -> dict[str, Any]:
    """Return what charon 6.0.1 was seen to tell of a loaded connection."""
    child = _fields(
        "mode=TUNNEL rekey_time=3240 rekey_bytes=0 rekey_packets=0 "
        "dpd_action=clear close_action=none"
    )
    times = _fields("rekey_time=14400 reauth_time=0 dpd_delay=20 dpd_timeout=0")
    return {
        "local_addrs": ["%any"],
        "remote_addrs": ["%any"],
        **_fields("version=IKEv2 unique=UNIQUE_REPLACE"),
        **times,
        "local-1": {"class": "pre-shared key", "id": "vpn.aviationwx.org"},
        "remote-1": {"class": "pre-shared key", "id": connection.remote_id},
        "children": {connection.child_name: {**child, **_selectors(connection)}},
    }


def _up(number: int, connection: Connection) -> dict[str, Any]:
    """Return what charon 6.0.1 was seen to tell of a tunnel that is up."""
    child = _fields(
        f"name={connection.child_name} uniqueid={number + 1} reqid={number + 1} "
        "state=INSTALLED mode=TUNNEL protocol=ESP encap=yes "
        f"spi-in={0xC0000000 + number:08x} spi-out={0xD0000000 + number:08x} "
        "encr-alg=AES_GCM_16 encr-keysize=128 "
        "bytes-in=123456789 packets-in=123456 use-in=3 "
        "bytes-out=1234567 packets-out=12345 use-out=3 "
        "rekey-time=2900 life-time=3600 install-time=300"
    )
    ike = _fields(
        f"uniqueid={number + 1} version=2 state=ESTABLISHED "
        "local-host=203.0.113.1 local-port=4500 local-id=vpn.aviationwx.org "
        f"remote-host=198.51.100.7 remote-port=4500 remote-id={connection.remote_id} "
        f"initiator-spi={number + 1:016x} responder-spi={number + 7:016x} "
        "nat-remote=yes nat-any=yes encr-alg=AES_GCM_16 encr-keysize=128 "
        "prf-alg=PRF_HMAC_SHA2_256 dh-group=MODP_2048 established=300 rekey-time=13000"
    )
    name = f"{connection.child_name}-{number + 1}"
    return {**ike, "child-sas": {name: {**child, **_selectors(connection)}}}


def _selectors(connection: Connection) -> dict[str, list[str]]:
    return {"local-ts": ["0.0.0.0/0"], "remote-ts": list(map(str, connection.remote_subnets))}


def _fields(words: str) -> dict[str, str]:
    return dict(word.split("=") for word in words.split())
