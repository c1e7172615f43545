"""What charon answers: whole, cut, damaged, huge, or of wrong kinds."""

import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from vici import Session
from vici.protocol import Message

from reconciler.core.observed import Observed
from reconciler.edges.vici_client import ViciClient
from reconciler.edges.vici_view import ike_view
from reconciler.errors import IkeRefused, IkeUnreachable
from tests.builders import vpn
from tests.fuzz import bench
from tests.fuzz.source import Source

_RESPONSE, _EVENT = 1, 7
_NAMES = (
    *("kspb_vpn", "child-sas", "children", "uniqueid", "state", "version", "since", "uptime"),
    *("local-ts", "remote-ts", "bytes-in", "install-time", "use-in", "keys", "conns", "workers"),
    *("queues", "plugins", "remote-port", "remote-host", "established", "name", "remote_addrs"),
    *("initiator-spi", "spi-in", "life-time", "tasks-active", "success", "errmsg", "encr-keysize"),
)
_VALUES = (
    *(b"", b"1", b"-1", b"yes", b"no", b"ESTABLISHED", b"INSTALLED", b"CONNECTING", b"DELETING"),
    *(b"192.168.1.0/24", b"192.168.1.0/24[tcp/80]", b"0.0.0.0/0", b"fd00::/64", b"198.51.100.7"),
    *(b"9" * 30, b"1e9", "١٢".encode(), b"\xff\xfe", b"\x1b[2J\r\n", b"kspb_vpn", b"x" * 5000),
    *(b"Nov 25 17:01:02 2026", b"Feb 30 99:99:99 0000", b"kernel-libipsec", b"%any", b"nan"),
)


class _Wire:
    """A socket to which the answers have come already."""

    def __init__(self, answers: bytes) -> None:
        self._answers, self._at = answers, 0
        self.timed_out = False

    def sendall(self, _: bytes) -> None:
        """Swallow the request."""

    def recv(self, size: int) -> bytes:
        """Return the next bytes; none: the connection is closed."""
        taken = self._answers[self._at : self._at + size]
        self._at += len(taken)
        return taken

    def gettimeout(self) -> None:
        """There is none."""

    def settimeout(self, _: float | None) -> None:
        """Nothing waits here."""

    def shutdown(self, _: int) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""


class _Client(ViciClient):
    """The client, on a wire of ours; every connection finds the same answers."""

    def __init__(self, answers: bytes) -> None:
        super().__init__("/no/such/socket")
        self._answers = answers

    def _connected(self) -> Session:
        if self._session is None:
            self._socket = _Wire(self._answers)  # type: ignore[assignment]
            self._session = Session(self._socket)
        return self._session


def _packet(kind: int, message: bytes, event: bytes = b"") -> bytes:
    name = bytes([len(event)]) + event if kind == _EVENT else b""
    content = bytes([kind]) + name + message
    return struct.pack("!I", len(content)) + content


def _message(source: Source, depth: int = 3) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for _ in range(source.byte() % 5):
        name = source.pick(_NAMES) if source.byte() % 4 else source.take(20).decode("latin-1")
        match source.byte() % (6 if depth else 4):
            case 0 | 1 | 2:
                made[name] = source.pick(_VALUES)
            case 3:
                made[name] = [source.pick(_VALUES) for _ in range(source.byte() % 4)]
            case _:
                made[name] = _message(source, depth - 1)
    return made


def _sa(source: Source) -> dict[str, Any]:
    """Return an IKE_SA that is real but for some places."""
    child = {
        **_CHILD,
        **({source.pick([*_CHILD]): source.pick(_VALUES)} if source.byte() % 2 else {}),
    }
    made: dict[str, Any] = {**_SA, "child-sas": {"lan-1": child}}
    for _ in range(source.byte() % 4):
        wrong: Any = source.pick(_VALUES) if source.byte() % 2 else _message(source, 1)
        made[source.pick([*made])] = wrong
    return made


_CHILD = {
    "name": "lan-" + "0" * 24,
    "uniqueid": "2",
    "state": "INSTALLED",
    "spi-in": "c0000001",
    "local-ts": ["0.0.0.0/0"],
    "remote-ts": ["192.168.1.0/24"],
    "bytes-in": "100",
    "packets-in": "1",
    "bytes-out": "100",
    "packets-out": "1",
    "install-time": "30",
    "use-in": "3",
    "encr-alg": "AES_GCM_16",
    "encr-keysize": "128",
    "life-time": "3000",
}
_SA = {
    "uniqueid": "1",
    "version": "2",
    "state": "ESTABLISHED",
    "remote-host": "198.51.100.7",
    "remote-port": "4500",
    "remote-id": "kspb.remote",
    "initiator-spi": "0123456789abcdef",
    "nat-any": "yes",
    "encr-alg": "AES_GCM_16",
    "encr-keysize": "128",
    "prf-alg": "PRF_HMAC_SHA2_256",
    "dh-group": "MODP_2048",
    "established": "30",
}
_STATS = {
    "uptime": {"running": "1 minute", "since": "Nov 14 22:13:00 2023"},
    "workers": {"total": "16", "idle": "11", "active": {"critical": "4"}},
    "queues": {"critical": "0", "high": "0", "medium": "0", "low": "0"},
    "scheduled": "2",
    "ikesas": {"total": "1", "half-open": "0"},
    "plugins": ["kernel-libipsec", "vici"],
}


def _answers(source: Source) -> bytes:
    """Answer what `observe` asks, in its order, each time right or wrong."""
    right: tuple[Mapping[str, Any], ...] = (
        {"daemon": "charon", "version": "6.0.1"},
        _STATS,
        {"encryption": {"AES_GCM_16": "openssl"}, "dh": {"MODP_2048": "openssl"}},
        {"keys": ["kspb_vpn#" + "0" * 24]},
    )
    packets = [
        _packet(_RESPONSE, _serialized(_message(source) if source.byte() % 8 == 7 else one))
        for one in right
    ]
    confirmed = _packet(5, b"")
    connection = {"children": {"lan-" + "0" * 24: {}}, "remote_addrs": ["%any"]}
    listed = {"kspb_vpn": connection} if source.byte() % 4 else _message(source)
    packets += [confirmed, _packet(_EVENT, _serialized(listed), b"list-conn")]
    packets += [_packet(_RESPONSE, b""), confirmed, confirmed]
    for _ in range(source.byte() % 4):
        sa = {"kspb_vpn": _sa(source)} if source.byte() % 4 else _message(source)
        packets.append(_packet(_EVENT, _serialized(sa), b"list-sa"))
    packets += [_packet(_RESPONSE, b""), confirmed]
    return b"".join(packets)


def _serialized(message: Mapping[str, Any]) -> bytes:
    return bytes(Message.serialize(message))


def wire(data: bytes) -> bytes:
    """Return what charon sends: the bytes themselves, or answers that were made by them."""
    source = Source(data)
    kind = source.byte() % 4
    if kind == 0:
        return source.rest()
    made = bytearray(_answers(source))
    for _ in range(kind - 1):
        at = (source.byte() * 256 + source.byte()) % len(made)
        if source.byte() % 4:
            made[at] = source.byte()
        else:
            del made[at:]
            break
        if not made:
            break
    return bytes(made)


class _Charon(bench.StrictIke):
    """charon as the client sees it on the hostile wire; it takes every command."""

    answers_with = b""

    def observe(self, *, deep: bool) -> Observed:
        return _Client(self.answers_with).observe(deep=deep)

    def _request(self, method: str, what: str) -> None:
        pass


def one_input(data: bytes) -> None:
    """Look at charon as a round does, and as whoever asks `explain`."""
    answers = wire(data)
    with suppress(IkeUnreachable, IkeRefused):
        for one in _Client(answers).read("list-sas"):
            for message in one.values():
                ike_view(message, 1_700_000_000)
    with suppress(IkeUnreachable, IkeRefused):
        _Client(answers).start_child("kspb_vpn", "lan-1")
    try:
        _Client(answers).observe(deep=False)
        _Client(answers).observe(deep=True)
    except IkeUnreachable:
        return  # which changes nothing, see tests/loop
    reconciler = bench.fresh()
    charon = _Charon()
    charon.answers_with = answers
    reconciler.ike = charon
    reconciler.declare(kspb=vpn(1))
    with bench.listening() as log:
        reconciler.round()
        status = bench.judge_round(reconciler, reconciler.round())
    bench.judge_log(log)
    # Of algorithms that charon did not tell it has, no tunnel can be made.
    refused = {"kspb"} & {*status.configuration.airports_invalid}
    assert set(status.connections) == (set() if refused else {"kspb_vpn"})


def seeds() -> Iterator[bytes]:
    """Yield whole conversations, and choices at random."""
    yield b"\0" + _answers(Source(b"\0" * 5 + b"\1" + b"\2" * 40))
    yield b"\0" + _packet(2, b"")
    yield b"\0\xff\xff\xff\xff"
    yield b"\1" + b"\0" * 4 + b"\1\2" + b"\0\1\1" * 20
    yield from (
        bytes([kind]) + bytes((5 * i + 11 * j) % 256 for j in range(90))
        for kind in (1, 2, 3)
        for i in range(4)
    )
