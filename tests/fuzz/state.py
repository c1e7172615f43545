"""What lies on the volumes at our start: status, last good declarations, orders, key, history."""

import json
from collections.abc import Iterator
from pathlib import Path

from reconciler.edges.journal import journal_file
from reconciler.edges.state import orders_file
from tests.builders import vpn
from tests.fuzz import bench
from tests.fuzz.source import Source
from tests.worlds import Bench


def _paths(reconciler: Bench) -> tuple[Path, ...]:
    directory = reconciler.settings.state_dir
    return (
        reconciler.settings.status_file,
        directory / "accepted.json",
        orders_file(directory),
        directory / "mark.key",
        journal_file(directory),
    )


def one_input(data: bytes) -> None:
    """Begin with damaged files. The tunnel that is up stays up, and is known as up."""
    reconciler = bench.with_bystander()
    before = reconciler.ike.sas[0].spi
    source = Source(data)
    paths = _paths(reconciler)
    path = source.pick(paths)
    content = path.read_bytes() if path.exists() else _EXAMPLES[paths.index(path)]
    damaged = _damaged(content, source)
    path.write_bytes(damaged)
    reconciler.keep_journal()
    with bench.listening() as log:
        reconciler.restart_reconciler()
        reconciler.round()
        reconciler.age(3)
        status = bench.judge_round(reconciler, reconciler.round())
        assert reconciler.journal is not None
        assert reconciler.journal.flush()
    bench.judge_log(log)
    assert status.connections["bystander_vpn"].status == "up"
    # Under another key, whole, every tunnel looks changed, and is renewed.
    if path.name != "mark.key" or len(damaged) != len(content):
        assert before in {sa.spi for sa in reconciler.ike.sas}


def _damaged(content: bytes, source: Source) -> bytes:
    match source.byte() % 4:
        case 0:
            return source.rest()
        case 1:
            return _with_other_value(content, source)
        case 2:
            return content[: (source.byte() * 256 + source.byte()) % (len(content) + 1)]
        case _:
            pass
    made = bytearray(content)
    while made and not source.empty:
        made[(source.byte() * 256 + source.byte()) % len(made)] = source.byte()
    return bytes(made)


def _with_other_value(content: bytes, source: Source) -> bytes:
    """Put something else in the place of one value of a JSON document."""
    try:
        document = json.loads(content)
    except ValueError:
        return content[::-1]
    for _ in range(1 + source.byte() % 3):
        place = document
        while isinstance(place, dict) and place:
            key = source.pick([*place])
            if not isinstance(place[key], dict) or not source.byte() % 4:
                place[key] = source.value()
                break
            place = place[key]
    return json.dumps(document).encode()


_EXAMPLES = (
    b"{}",
    json.dumps({"kspb": vpn(1)}).encode(),
    json.dumps({"connections": {"bystander_vpn": {"retried_at": 5, "rekey_after": 6}}}).encode(),
    b"k" * 32,
    b'{"connection_name":"bystander_vpn","from_status":"","to_status":"up","at":1700000000,'
    b'"airport_id":"bystander","reason_code":"","reason":""}\n' * 3,
)


def seeds() -> Iterator[bytes]:
    """Yield damage to each of the files."""
    for file in range(len(_EXAMPLES)):
        yield bytes([file, 0]) + _EXAMPLES[file]
        yield bytes([file, 2, 1, 7])
        yield bytes([file, 3, 0, 40, 0, 0, 90, 34])
        yield from (bytes((file, 1, *((3 * i + 7 * j) % 256 for j in range(40)))) for i in range(6))
