"""The declared airports of a benchmark, and the sites that dial in for some of them."""

import hashlib
from base64 import b64encode
from collections.abc import Iterable
from typing import Any

from reconciler.settings import Settings

HUB_ID = Settings().hub_id
HUB_LAN = "10.255.0.0/24"  # what the sites ask for of the hub's 0.0.0.0/0
HUB_LAN_ADDRESS = "10.255.0.1"
CAMERA = "10.0.0.10"  # of the first airport
LIFETIME_S = 3600


def airport_id(number: int) -> str:
    """Name one airport."""
    return f"ap{number:04d}"


def manifest(count: int) -> dict[str, Any]:
    """Return a whole airports.json, with keys beside `vpn` as real files have them."""
    return {"airports": {airport_id(n): _airport(n) for n in range(count)}}


def edit(document: dict[str, Any], number: int) -> None:
    """Change one airport, as an operator would with an editor."""
    document["airports"][airport_id(number)]["vpn"]["lifetime"] += 60


def sites_swanctl(numbers: Iterable[int], hub_address: str) -> str:
    """Return swanctl.conf of the one charon that plays all these sites."""
    numbers = list(numbers)
    connections = "".join(_dialling(n, hub_address) for n in numbers)
    secrets = "".join(_secret(n) for n in numbers)
    return f"connections {{\n{connections}}}\nsecrets {{\n{secrets}}}\n"


def _airport(number: int) -> dict[str, Any]:
    name = airport_id(number)
    return {
        "name": f"Airport {number}",
        "webcams": [{"name": "North", "url": f"http://{lan(number, '10')}/snapshot.jpg"}],
        "vpn": {
            "enabled": True,
            "type": "ipsec",
            "connection_name": f"{name}_vpn",
            "remote_subnet": lan(number, "0/24"),
            "psk": psk(number),
            "lifetime": LIFETIME_S,
        },
    }


def lan(number: int, end: str) -> str:
    """Return the subnet of one airport, or an address in it."""
    return f"10.{number // 250}.{number % 250}.{end}"


def psk(number: int) -> str:
    """Return the key of one airport."""
    return hashlib.sha256(b"bench %d" % number).hexdigest()[:40]


def _dialling(number: int, hub_address: str) -> str:
    name = airport_id(number)
    return f"""\
  {name} {{
    version = 2
    remote_addrs = {hub_address}
    proposals = aes256gcm128-sha256-modp2048
    keyingtries = 0
    mobike = no
    local {{
      auth = psk
      id = {name}.remote
    }}
    remote {{
      auth = psk
      id = {HUB_ID}
    }}
    children {{
      lan {{
        local_ts = {lan(number, "0/24")}
        remote_ts = {HUB_LAN}
        esp_proposals = aes256gcm128-modp2048
        start_action = start
        close_action = start
        dpd_action = restart
      }}
    }}
  }}
"""


def _secret(number: int) -> str:
    secret = b64encode(psk(number).encode()).decode()
    name = airport_id(number)
    # The site's own id is the only owner: all of them share the hub's.
    return f"  ike-{name} {{\n    id = {name}.remote\n    secret = 0s{secret}\n  }}\n"
