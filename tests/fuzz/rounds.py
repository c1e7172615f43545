"""Whole rounds over a hostile airports.json: status, metrics, log, and what charon is told."""

import json
from collections.abc import Iterator

from tests.fuzz import airports, bench, oracles


def one_input(data: bytes) -> None:
    """Two rounds. The bystander is up before, and is up afterwards, over the same SA."""
    reconciler = bench.with_bystander()
    before = reconciler.ike.sas[0].spi
    reconciler.settings.config_path.write_bytes(_content(data))
    with bench.listening() as log:
        reconciler.round()
        reconciler.age(3)
        status = bench.judge_round(reconciler, reconciler.round())
    bench.judge_log(log)
    assert status.connections["bystander_vpn"].status == "up"
    assert before in {sa.spi for sa in reconciler.ike.sas}
    content = reconciler.settings.swanctl_file.read_text()
    assert set(oracles.swanctl(content)["connections"]) == set(status.connections)


def _content(data: bytes) -> bytes:
    """Put the bystander into the file. One that can't be read removes nobody anyway."""
    content = airports.content(data)
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return content
    if not isinstance(found, dict) or not isinstance(found.get("airports"), dict):
        return content
    found["airports"][airports.BYSTANDER] = {"vpn": airports.BYSTANDERS}
    return json.dumps(found).encode()


def seeds() -> Iterator[bytes]:
    """Yield the same as for the file alone."""
    return airports.seeds()
