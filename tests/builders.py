"""Small makers of values for tests."""

from typing import Any

from reconciler.core.check import Decision, HubFacts, decide
from reconciler.core.render import Connection, Hub, render

HUB_ID = "vpn.aviationwx.org"
HUB = Hub(HUB_ID, b"k" * 32)
FACTS = HubFacts(HUB_ID)


def vpn(number: int = 1, **changes: Any) -> dict[str, Any]:
    """One good `vpn` object; equal numbers clash."""
    made = {
        "enabled": True,
        "type": "ipsec",
        "remote_subnet": f"192.168.{number}.0/24",
        "psk": f"correct-horse-battery-{number:04d}",
    }
    made.update(changes)
    return {key: value for key, value in made.items() if value is not ...}


def document(**airports: dict[str, Any]) -> dict[str, Any]:
    """Make a whole airports.json from `vpn` objects by airport id."""
    return {"airports": {airport_id: {"vpn": body} for airport_id, body in airports.items()}}


def decided(accepted: dict[str, Any] | None = None, **airports: dict[str, Any]) -> Decision:
    return decide(document(**airports), accepted or {}, FACTS)


def connections(**airports: dict[str, Any]) -> dict[str, Connection]:
    """Render what should be in charon for these airports."""
    decision = decided(**airports)
    assert not decision.errors, decision.errors
    return render(decision.sites.values(), HUB)


def connection(number: int = 1, airport_id: str = "kspb", **changes: Any) -> Connection:
    return connections(**{airport_id: vpn(number, **changes)})[f"{airport_id}_vpn"]
