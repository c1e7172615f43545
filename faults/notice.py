"""What of the status file or the log changed first: how a fault was noticed."""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.docker import docker

_LOOK_EVERY_S = 0.05
# These change with time alone, or tell of the reconciler's work and not of the world.
_VOLATILE = {
    *{"timestamp", "uptime_seconds", "received_bytes", "sent_bytes", "since", "last_read"},
    *{"last_valid", "last_connected", "last_disconnected", "next_attempt", "round", "reasons"},
    *{"workers_idle", "workers_total", "queued_jobs", "ike_sas", "half_open_ike_sas"},
    *{"running_since", "remote_port", "version", "scheduled_jobs", "workers_active", "queues"},
    *{"received_packets", "sent_packets", "last_received_at"},
}
# If several changed in one round, the first of these is named.
_FIRST = ("container.", "daemon.", "configuration.", "reconciler.errors", "connections.")
_DULL_MESSAGES = {
    *{"round", "started", "stopped; tunnels stay up", "no earlier status"},
    *{"configuration in force", "whoever reaches the port may read metrics and status"},
}


@dataclass(frozen=True, slots=True)
class Notice:
    """The first sign of a fault, and how long after its beginning it showed."""

    sign: str
    after_s: float


class Watch:
    """Keeps every version of the status file that it sees."""

    def __init__(self, status_file: Path) -> None:
        self._file = status_file
        self._seen: list[tuple[float, dict[str, Any]]] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="notice", daemon=True)

    def start(self) -> None:
        """Watch from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no longer."""
        self._stopping.set()
        self._thread.join()

    def versions(self) -> list[tuple[float, dict[str, Any]]]:
        """Return all versions with the times at which they were found (wall clock)."""
        return [*self._seen]

    def _run(self) -> None:
        known = 0
        while not self._stopping.wait(_LOOK_EVERY_S):
            try:
                now = self._file.stat().st_mtime_ns
                if now != known:
                    known = now
                    self._seen.append((time.time(), json.loads(self._file.read_text())))
            except (OSError, ValueError):
                continue

    def first_sign(self, began: float) -> Notice | None:
        """Compare with the last version from before the fault. `began`: wall clock."""
        before = [document for at, document in self._seen if at < began]
        after = [(at, document) for at, document in self._seen if at >= began]
        if not before:
            return None
        known = dict(_flat(before[-1]))
        for at, document in after:
            sign = _first_difference(known, dict(_flat(document)))
            if sign:
                woken = ", ".join(document["reconciler"]["reasons"])
                return Notice(f"status: {sign} (woken by: {woken})", at - began)
        return None


def first_log_line(container: str, began: float) -> Notice | None:
    """Find the first line of the reconciler's log that tells of the fault or of a remedy."""
    text = docker("logs", "--since", f"{began:.3f}", container, check=False, both=True)
    for line in text.splitlines():
        try:
            entry = json.loads(line)
            at = datetime.fromisoformat(entry["time"]).timestamp()
        except (ValueError, KeyError, TypeError):
            continue
        if at >= began and entry["message"] not in _DULL_MESSAGES:
            what = entry.get("action") or entry.get("path") or ""
            words = f"{entry['message']} {what}".strip()
            return Notice(f"log: {words}", at - began)
    return None


def _flat(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key not in _VOLATILE:
                yield from _flat(inner, f"{path}.{key}" if path else key)
    else:
        yield path, value if not isinstance(value, list) else json.dumps(value)


def _first_difference(before: Mapping[str, object], after: Mapping[str, object]) -> str:
    changed = sorted(k for k in before.keys() | after.keys() if before.get(k) != after.get(k))
    for prefix in _FIRST:
        for path in changed:
            if path.startswith(prefix):
                return _words(path, before.get(path), after.get(path))
    actions = [path for path in changed if path == "reconciler.actions" and after[path] != "[]"]
    return f"actions: {_kinds(str(after[actions[0]]))}" if actions else ""


def _words(path: str, before: object, after: object) -> str:
    if path.startswith("connections."):
        # The name of the site doesn't matter, and it differs between runs.
        path = "a connection's " + path.rpartition(".")[2]
    if path.endswith("remote_address") or str(after).startswith("["):
        return f"{path} changed"
    if path in {"configuration.faults", "reconciler.errors"} or path.endswith((".error", "reason")):
        return f"{path} told"
    return f"{path} {_short(before)} → {_short(after)}"


def _kinds(actions: str) -> str:
    return ", ".join(sorted({line.split()[0] for line in json.loads(actions)}))


def _short(value: object) -> str:
    text = "none" if value in (None, "") else str(value).lower()
    return text if len(text) <= 40 else text[:39] + "…"
