"""Pings one address until it answers, then prints when that was (seconds, monotonic).

A program of its own, because it runs in the network of the hub's container (nsenter).
Usage: python -m bench.first_ping ADDRESS
"""

import sys
import time

from tests.e2e.pinger import Pinger

EVERY_S = 0.02


def main(address: str) -> None:
    """Ping until the first answer."""
    pinger = Pinger([address])
    while not pinger.answered[address]:
        pinger.send()
        pinger.receive(time.monotonic() + EVERY_S)
    print(time.monotonic())


if __name__ == "__main__":
    main(sys.argv[1])
