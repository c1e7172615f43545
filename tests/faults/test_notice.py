"""How a fault was noticed: by what it changed in the status, and not by what always changes."""

import json
import time
from pathlib import Path
from typing import Any

from faults.notice import Watch
from tests.docker import eventually


def a_status(state: str, restless: int) -> dict[str, Any]:
    daemon = {
        **dict.fromkeys(("scheduled_jobs", "ike_sas", "queued_jobs", "workers_idle"), restless),
        "workers_active": {"critical": restless},
        "queues": {"medium": restless},
    }
    tunnel = dict.fromkeys(("received_packets", "sent_packets", "last_received_at"), restless)
    return {
        "timestamp": restless,
        "daemon": daemon,
        "container": {"state": state},
        "connections": {"kspb_vpn": tunnel},
        "reconciler": {"round": restless, "reasons": ["timer"], "actions": [], "errors": []},
    }


def test_what_changes_all_the_time_is_no_sign_of_a_fault(tmp_path: Path) -> None:
    file = tmp_path / "vpn-status.json"
    watch = Watch(file)

    def write(status: dict[str, Any]) -> None:
        known = len(watch.versions())
        file.write_text(json.dumps(status))
        eventually(lambda: len(watch.versions()) > known, 5, "it was seen")

    watch.start()
    try:
        write(a_status("running", restless=1))
        began = time.time()
        write(a_status("running", restless=2))
        assert watch.first_sign(began) is None
        write(a_status("exited", restless=3))
        sign = watch.first_sign(began)
    finally:
        watch.stop()
    assert sign is not None
    assert sign.sign == "status: container.state running → exited (woken by: timer)"
