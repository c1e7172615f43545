"""What a web page elsewhere relies on, by name and by type; more keys may stand beside these."""

import json
import sys
import time
from pathlib import Path
from typing import Any

KEYS = {
    "airport_id": str,
    "connection_name": str,
    "status": str,
    "last_connected": int,
    "last_disconnected": int,
    "uptime_seconds": int,
    "health_check": str,
}
WORDS = {"status": {"up", "down", "connecting"}, "health_check": {"pass", "fail", "unknown"}}


def faults(document: Any) -> list[str]:
    """Return what is not as agreed."""
    if not isinstance(document, dict) or type(document.get("timestamp")) is not int:
        return ["timestamp is not an integer"]
    if not isinstance(document.get("connections"), dict):
        return ["connections is not an object"]
    return [
        f"{name}: {fault}"
        for name, connection in document["connections"].items()
        for fault in _faults_of_one(name, connection)
    ]


def _faults_of_one(name: str, connection: Any) -> list[str]:
    if not isinstance(connection, dict):
        return ["is not an object"]
    found = [
        f"{key} is {connection.get(key)!r}"
        for key, kind in KEYS.items()
        if type(connection.get(key)) is not kind
        or (key in WORDS and connection[key] not in WORDS[key])
    ]
    if connection.get("connection_name") != name:
        found.append("calls itself otherwise")
    if connection.get("status") == "up" and not connection.get("last_connected"):
        found.append("is up, but never came up")
    return found


def read_for(file: Path, seconds: float) -> dict[str, Any]:
    """Read the file over and over, and return how often, how many documents, and what was wrong."""
    reads, documents, found = 0, set[int](), list[str]()
    ends_s = time.monotonic() + seconds
    while time.monotonic() < ends_s and len(found) < 20:
        reads += 1
        try:
            text = file.read_bytes()
            documents.add(hash(text))
            found += faults(json.loads(text))
        except (OSError, ValueError) as error:
            found.append(repr(error))
    return {"reads": reads, "documents": len(documents), "faults": found}


if __name__ == "__main__":
    print(json.dumps(read_for(Path(sys.argv[1]), float(sys.argv[2]))))
