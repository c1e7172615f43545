"""charon's events and log lines: peers choose many of their words."""

from collections.abc import Iterator
from typing import Any

from reconciler.core.reasons import Failure
from reconciler.core.tally import EndedChild
from reconciler.edges.recent_log import charon_line
from reconciler.edges.vici_codec import BROKEN
from reconciler.edges.vici_events import EventListener
from tests.fuzz import bench, oracles
from tests.fuzz.source import Source
from tests.fuzz.vici import _message, _sa

_KINDS = (
    *(b"log", b"ike-updown", b"child-updown", b"ike-rekey", b"child-rekey", b"ike-update"),
    *(b"alert", b"list-sa", b"\xff\xfe"),
)
_LINES = (
    "received packet: from 198.51.100.7[4500] to 192.0.2.1[4500] (80 bytes)",
    "looking for peer configs matching 192.0.2.1[hub]...198.51.100.7[kspb.remote]",
    "tried 1 shared key for 'hub' - 'kspb.remote', but MAC mismatched",
    "received proposals: IKE:AES_CBC_128/HMAC_SHA1_96/PRF_HMAC_SHA1/MODP_1024",
    "configured proposals: IKE:AES_GCM_16_128/PRF_HMAC_SHA2_256/MODP_2048",
    "no matching peer config found",
    "traffic selectors 0.0.0.0/0 === 10.0.0.0/8 unacceptable",
    "giving up after 3 retransmits",
    "received AUTHENTICATION_FAILED notify error",
    "retransmit 1 of request with message ID 1",
    "sending DELETE for IKE_SA kspb_vpn[1]",
    "deleting half open IKE_SA with 198.51.100.7 after timeout",
)


def _line(source: Source) -> dict[str, Any]:
    words = source.pick(_LINES)
    for _ in range(source.byte() % 3):
        at = source.byte() % (len(words) + 1)
        words = words[:at] + source.text() + words[at + source.byte() % 8 :]
    return {
        "group": source.pick((b"IKE", b"CFG", b"NET", b"\xff")),
        "ikesa-name": source.pick((b"kspb_vpn", b"(unnamed)", b"", b"\x1b")),
        "ikesa-uniqueid": source.pick((b"1", b"2", b"", b"x")),
        "msg": words.encode(errors="replace"),
    }


def _event(source: Source) -> tuple[bytes, dict[str, Any]]:
    kind = source.pick(_KINDS)
    if kind == b"log":
        return kind, _line(source)
    if not source.byte() % 4:
        return kind, _message(source)
    about = _sa(source)
    if kind in (b"ike-rekey", b"child-rekey"):
        about = {"old": about, "new": _sa(source), "child-sas": {"lan": {"old": about}}}
    body: dict[str, Any] = {"kspb_vpn": about, "remote-host": b"198.51.100.9"}
    if source.byte() % 2:
        body["up"] = b"yes"
    return kind, {"ike-sa": body, "type": b"5"} if kind == b"alert" else body


def one_input(data: bytes) -> None:
    """Hear some events, as the listening thread does, and make a round of what they tell."""
    source = Source(data)
    failures: list[Failure] = []
    ended: list[EndedChild] = []
    lines: list[str] = []
    wakes: list[str] = []
    listener = EventListener(
        "/no/such/socket",
        wakes.append,
        failures.append,
        note_ended=ended.append,
        hear=lambda *line: lines.append(charon_line(*line)),
    )
    with bench.listening() as log:
        while not source.empty:
            try:
                listener._take(*_event(source))
            except BROKEN:
                return  # as good as a lost connection
        listener._tell(float("inf"))
        _judge(failures, ended, lines)
    bench.judge_log(log)
    assert len(wakes) <= len(data) + 1


def _judge(failures: list[Failure], ended: list[EndedChild], lines: list[str]) -> None:
    for failure in failures:
        for text in (failure.words, failure.claimed_id, failure.asked_id, failure.remote_address):
            assert oracles.is_one_line(text), text
            assert text.isascii()
    for line in lines:
        assert oracles.is_one_line(line)
        oracles.strict_json(line)
    if not failures and not ended:
        return
    reconciler = bench.fresh()
    reconciler.declare(
        kspb={"enabled": True, "remote_subnet": "192.168.1.0/24", "psk": oracles.SECRET}
    )
    reconciler.round()
    for one in failures:
        reconciler.evidence.note(one)
    for child in ended:
        reconciler.evidence.note_ended(child)
    bench.judge_round(reconciler, reconciler.round())


def seeds() -> Iterator[bytes]:
    """Yield choices at random; each line and each event is among them."""
    yield from (bytes([0, i, 0, 0, 0, 0]) * 3 for i in range(len(_LINES)))
    yield from (bytes((i, *((3 * i + 7 * j) % 256 for j in range(60)))) for i in range(24))
