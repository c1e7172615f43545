"""airports.json: from its bytes to what charon, its file and people are told."""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from vici.protocol import FiniteStream, Message

from reconciler.core.about import without_keys
from reconciler.core.check import Decision, decide
from reconciler.core.crypto import CIPHERS
from reconciler.core.mask import Mask, keys_in
from reconciler.core.model import Vpn
from reconciler.core.redact import shown_document
from reconciler.core.render import Connection, render
from reconciler.core.swanctl import swanctl_text
from reconciler.edges.key_files import with_keys
from reconciler.edges.manifest import parse_document
from reconciler.errors import ManifestError
from tests.builders import FACTS, HUB, document, vpn
from tests.fuzz import oracles
from tests.fuzz.source import Source

BYSTANDER = "bystander"
BYSTANDERS = vpn(200, psk=oracles.SECRET)
_IDS = ("kspb", "kczk", "s51", "KSPB")
_KEYS = (*Vpn.model_fields, "psk_fil", "passphrase")
_GOOD: Mapping[str, tuple[Any, ...]] = {
    "enabled": (True, "yes", False),
    "remote_subnet": ("192.168.1.0/24", ["10.9.0.0/16", "fd00:7::/64"], "192.168.200.0/25"),
    "local_subnet": ("10.0.0.0/24", ["10.0.0.0/24", "fd00::/64"]),
    "psk": ("correct-horse-battery-staple", "kurz", "🔑" * 20),
    "next_psk": ("another-horse-battery-staple",),
    "connection_name": ("kspb_vpn", "one-other"),
    "remote_id": ("kspb.remote", "vpn.aviationwx.org", "bystander.remote"),
    "remote_address": ("198.51.100.7", "2001:db8::7"),
    "encryption": tuple(CIPHERS),
    "dh_group": (14, "19", "modp2048"),
    "lifetime": (300, "3600"),
    "rekey_after": (0, 1764072000, "2026-11-25T12:00:00Z"),
    "health_check": ("192.168.1.1", {"target": "192.168.1.1", "kind": "ping"}),
}


def content(data: bytes) -> bytes:
    """Return what the file holds: the bytes themselves, or a document that was made by them."""
    source = Source(data)
    if source.byte() % 2:
        return source.rest()
    made = {"airports": {_id(source): _airport(source) for _ in range(1 + source.byte() % 4)}}
    return json.dumps(made).encode()


def _id(source: Source) -> str:
    return source.pick(_IDS) if source.byte() % 4 else source.text()


def _airport(source: Source) -> Any:
    if source.byte() % 16 == 15:
        return source.value()
    made: dict[str, Any] = {"vpn": _vpn(source)}
    if source.byte() % 2:
        made["name"] = source.value(1)
        made["timezone"] = source.value(1)
        made["webcams"] = [
            {"name": source.value(1), "url": source.value(1)} for _ in range(source.byte() % 3)
        ]
    return made


def _vpn(source: Source) -> Any:
    made: dict[str, Any] = vpn(source.byte() % 8)
    for _ in range(source.byte() % 6):
        key = source.pick(_KEYS) if source.byte() % 8 else source.text()
        good = _GOOD.get(key)
        made[key] = source.pick(good) if good and source.byte() % 4 else source.value()
    return made


def one_input(data: bytes) -> None:
    """Read it, decide, and look at everything that comes out."""
    try:
        found = parse_document(content(data))
    except ManifestError:
        return
    found = with_keys(found)
    for accepted in ({}, {BYSTANDER: BYSTANDERS}):
        _judge(found, accepted)
    oracles.assert_untold(json.dumps(shown_document(found)))


def _judge(found: object, accepted: Mapping[str, Any]) -> None:
    """Look at the decision, with a good airport added to the file."""
    airports = found.get("airports") if isinstance(found, dict) else None
    if isinstance(found, dict) and isinstance(airports, dict):
        found = {**found, "airports": {**airports, BYSTANDER: {"vpn": BYSTANDERS}}}
    decision = decide(found, accepted, FACTS)
    _judge_words(decision, found)
    made = render(decision.sites.values(), HUB)
    _judge_file(made.values())
    for connection in made.values():
        judge_message({connection.name: connection.settings})
    assert json.loads(json.dumps(decision.accepted)) == decision.accepted
    if accepted:
        assert BYSTANDER not in decision.invalid
        assert _what_runs(made["bystander_vpn"]) == _what_runs(_ALONE["bystander_vpn"])


_ALONE = render(decide(document(bystander=BYSTANDERS), {}, FACTS).sites.values(), HUB)


def _what_runs(one: Connection) -> Any:
    """Return all but the list of IKE proposals, which is one for all, and the mark of it."""
    settings = {**one.settings, "proposals": None, "children": [*one.settings["children"].values()]}
    return one.name, one.psk, one.mark.ike, one.mark.child, settings


def _judge_words(decision: Decision, found: object) -> None:
    airports = found.get("airports") if isinstance(found, dict) else None
    keys = [key for key in keys_in(airports) if len(key) >= 8]
    mask = Mask().also(keys_in(airports))
    about = [without_keys(one, mask.text) for one in decision.about.values()]
    assert all(map(oracles.is_one_line, map(str, decision.faults)))
    for text in [*map(str, decision.faults), *_texts(about)]:
        assert oracles.is_harmless(text), text
        assert len(text) < 2000
        oracles.assert_untold(text)
        assert not any(key in text for key in keys), "a key was told"
        text.encode()


def _texts(about: Iterable[Any]) -> Iterator[str]:
    for one in about:
        yield from (one.name, one.time_zone)
        for camera in one.cameras:
            yield from (camera.name, camera.url)


def _judge_file(made: Iterable[Connection]) -> None:
    """See that the file says what charon is told: the same sections and values, no other."""
    made = list(made)
    found = oracles.swanctl(swanctl_text(made))
    assert list(found) == ["connections", "secrets"]
    assert found["connections"] == {one.name: oracles.as_text(one.settings) for one in made}
    secrets: dict[str, tuple[str, bytes]] = {}
    for one in made:
        secrets[one.file_secret_id] = (one.remote_id, one.psk)
        if one.spare_psk is not None:
            secrets[one.file_spare_secret_id] = (one.remote_id, one.spare_psk)
    assert secrets == {
        name: (body["id"], base64.b64decode(body["secret"].removeprefix("0s"), validate=True))
        for name, body in found["secrets"].items()
    }
    assert all(set(body) == {"id", "secret"} for body in found["secrets"].values())


def judge_message(message: Mapping[str, Any]) -> None:
    """See that what charon reads in a message is what was to be said, and nothing else."""
    read = Message.deserialize(FiniteStream(Message.serialize(message)))
    assert _decoded(read) == message


def _decoded(value: Any) -> Any:
    match value:
        case bytes():
            return value.decode()
        case list():
            return [*map(_decoded, value)]
        case _:
            return {key: _decoded(one) for key, one in value.items()}


def seeds() -> Iterator[bytes]:
    """Yield real files, and choices at random."""
    example = {
        "theme": "dark",
        "airports": {
            "kspb": {
                "name": "Scappoose",
                "timezone": "America/Los_Angeles",
                "vpn": vpn(1, next_psk="another-horse-battery-staple", dh_group=19),
                "webcams": [{"name": "North", "url": "http://192.168.1.100/snapshot.jpg"}],
            },
            "kczk": {"vpn": vpn(2, remote_subnet=["192.168.2.0/24", "fd00:2::/64"])},
            "s51": {"vpn": {"enabled": False}},
        },
    }
    yield b"\1" + (Path(__file__).parents[2] / "manifests" / "airports.example.json").read_bytes()
    yield b"\1" + json.dumps(example, indent=1).encode()
    yield b"\1" + json.dumps(document(kspb=vpn(1))).encode()
    yield b'\1{"airports": {"a": {}, "a": {}}}'
    yield b'\1{"airports": {"a": {"vpn": {"lifetime": NaN}}}}'
    yield b"\1" + b'{"airports":' * 150 + b"1" + b"}" * 150
    yield from (bytes((7 * i + 13 * j) % 256 for j in range(120)) + b"\0" for i in range(8))
