"""Log lines: whatever travels in one is one line, in both formats."""

import logging
from collections.abc import Iterator
from typing import Any

from reconciler.core.mask import Mask
from reconciler.edges.logs import hide
from tests.fuzz import bench, oracles
from tests.fuzz.source import Source

_log = logging.getLogger("reconciler.fuzz")


def one_input(data: bytes) -> None:
    """Log some fields, and an error that holds a key."""
    source = Source(data)
    fields: dict[str, Any] = {source.text(): source.value() for _ in range(source.byte() % 4)}
    with bench.listening() as log:
        hide(Mask().also([oracles.SECRET]))
        _log.info("something", extra={"fields": fields})
        fields["cause"] = f"{source.text()}{oracles.SECRET}{source.text()}"
        _log.warning("something", extra={"fields": fields})
    bench.judge_log(log)
    lines = [line for line in log.getvalue().split("\n") if line.startswith("{")]
    assert len(lines) == 2


def seeds() -> Iterator[bytes]:
    """Yield choices at random."""
    yield from (bytes((5 * i + 11 * j) % 256 for j in range(60)) for i in range(24))
