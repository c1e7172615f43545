"""The history file: any bytes. Whole lines survive, and only they."""

import json
from collections.abc import Iterator

from reconciler.core.transitions import Transition
from reconciler.edges.journal import Journal, read_journal
from tests.fuzz import bench

_LINE = (
    b'{"connection_name":"kspb_vpn","from_status":"up","to_status":"down","at":1700000000,'
    b'"airport_id":"kspb","reason_code":"dpd","reason":"silent"}\n'
)


def one_input(data: bytes) -> None:
    """Read it, add to it, read it again."""
    path = bench.directory() / "history.jsonl"
    for one in bench.directory().glob("history.jsonl*"):
        one.unlink()
    path.write_bytes(data)
    with bench.listening() as log:
        before = [*read_journal(path)]
        journal = Journal(path, sync=lambda _: None, patience_s=20)
        tails = journal.recall(5)
        new = Transition(1_700_000_001, "down", "up", "", "")
        journal.add({"one": (new,)}, {**tails, "one": (new,)}, {"one": "one"})
        assert journal.flush()
    bench.judge_log(log)
    after = [*read_journal(path)]
    assert (after[-1].connection, after[-1].transition) == ("one", new)
    assert after[:-1] == before
    assert path.read_bytes().endswith(b"}\n")


def seeds() -> Iterator[bytes]:
    """Yield a file, whole, cut and damaged."""
    yield b""
    yield _LINE * 3
    yield _LINE + _LINE[:50]
    yield _LINE + b"\0" * 20 + b"\n" + _LINE
    yield _LINE.replace(b"silent", json.dumps("\ud800").encode()[1:-1])
    yield _LINE.replace(b"1700000000", b"9" * 15)
    yield b"\xff\xfe" + _LINE
