"""A running reconciler keeps its latest log lines, also for those who come after its end."""

import json
import signal
from pathlib import Path

from reconciler.edges.recent_log import read_recent, recent_file
from tests.builders import document, vpn
from tests.cli.test_standby import asked, running
from tests.docker import eventually


def test_the_lines_of_a_whole_life_are_there_afterwards(tmp_path: Path) -> None:
    (tmp_path / "airports.json").write_text(json.dumps(document(kspb=vpn())))
    with running(tmp_path, "one") as (process, port):
        eventually(lambda: asked(port, "/healthz")[0] == 200, 30)
        process.send_signal(signal.SIGTERM)
        process.wait(20)
    lines = read_recent(recent_file(tmp_path, "reconciler")).splitlines()
    messages = [json.loads(line)["message"] for line in lines]
    assert messages[0] == "started"
    assert messages[-1] == "stopped; tunnels stay up"
    assert "charon unreachable" in messages
