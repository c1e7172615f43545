"""What charon says all the time of tunnels that are well: of no use to whoever looks for a cause.

At 1,000 tunnels, asking for signs of life makes 250 lines a second; everything else makes three.
"""

import re

_ROUTINE = re.compile(
    r"sending DPD request$"
    r"|(generating|parsed) INFORMATIONAL (request|response) \d+ \[ \]$"
    r"|(sending|received) packet: from "
    r"|sending keep alive to "
)


def is_routine(connection: str, words: str) -> bool:
    """Tell whether a line may be left out; of a peer that is not known by name, none is."""
    return bool(connection) and _ROUTINE.match(words) is not None
