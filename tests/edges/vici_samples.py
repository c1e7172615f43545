"""Messages as charon 6.0 sends them, with values as the wire brings them."""

from typing import Any

from tests.builders import connection

KSPB = connection()
VERSION = {"daemon": "charon-systemd", "version": "6.0.1", "sysname": "Linux"}
STATS: dict[str, Any] = {
    "uptime": {"running": "2 hours", "since": "Nov 22 15:00:00 2025"},
    "workers": {"total": "32", "idle": "23", "active": {"critical": "4", "medium": "1"}},
    "queues": {"critical": "0", "high": "1", "medium": "2", "low": "4"},
    "scheduled": "9",
    "ikesas": {"total": "3", "half-open": "1"},
    "plugins": ["charon-systemd", "openssl", "kernel-libipsec", "vici"],
}
ALGORITHMS = {
    "encryption": {"AES_CBC": "openssl"},
    "aead": {"AES_GCM_16": "openssl"},
    "prf": {"PRF_HMAC_SHA2_256": "openssl"},
    "ke": {"MODP_2048": "openssl", "ECP_384": "openssl"},
}
CHILD: dict[str, Any] = {
    "name": KSPB.child_name,
    "uniqueid": "7",
    "reqid": "1",
    "state": "INSTALLED",
    "mode": "TUNNEL",
    "protocol": "ESP",
    "encap": "yes",
    "spi-in": "c7e1a2b3",
    "use-in": "4",
    "bytes-in": "640",
    "packets-in": "5",
    "bytes-out": "1280",
    "packets-out": "10",
    "rekey-time": "3000",
    "life-time": "3500",
    "install-time": "93",
    "local-ts": ["0.0.0.0/0"],
    "remote-ts": ["192.168.1.0/24", "fd00:1::/64"],
}
IKE: dict[str, Any] = {
    "uniqueid": "3",
    "version": "2",
    "state": "ESTABLISHED",
    "local-host": "203.0.113.1",
    "local-port": "4500",
    "remote-host": "198.51.100.7",
    "remote-port": "61234",
    "remote-id": "kspb.remote",
    "initiator-spi": "0f1e2d3c4b5a6978",
    "established": "120",
    "rekey-time": "13000",
    "tasks-active": [],
    "child-sas": {f"{KSPB.child_name}-7": CHILD},
}


def on_the_wire(value: Any) -> Any:
    """Turn texts into bytes, as they arrive."""
    if isinstance(value, dict):
        return {key: on_the_wire(item) for key, item in value.items()}
    if isinstance(value, list):
        return [on_the_wire(item) for item in value]
    return value.encode()
