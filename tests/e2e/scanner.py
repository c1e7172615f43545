"""Scan ports from the network in which this runs; print what answered, as JSON.

Arguments: the source address, the target, seconds to wait, and ports like tcp/80 or udp/53.
"""

import errno
import json
import selectors
import socket
import sys
import time

REACHED = {0: "open", errno.ECONNREFUSED: "closed"}


def scan(source: str, target: str, within_s: float, ports: list[str]) -> dict[str, str]:
    """Return `open` or `closed` by port; one that is not named has not answered."""
    found: dict[str, str] = {}
    waiting = selectors.DefaultSelector()
    for port in ports:
        protocol, _, number = port.partition("/")
        kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
        one = socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK)
        one.bind((source, 0))
        one.connect_ex((target, int(number)))
        if protocol == "udp":
            one.send(b"hello")
        event = selectors.EVENT_WRITE if protocol == "tcp" else selectors.EVENT_READ
        waiting.register(one, event, port)
    deadline = time.monotonic() + within_s
    while waiting.get_map() and time.monotonic() < deadline:
        for key, _ in waiting.select(0.2):
            answered = key.fileobj
            assert isinstance(answered, socket.socket)
            error = answered.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error in REACHED:
                found[str(key.data)] = REACHED[error]
            waiting.unregister(answered)
            answered.close()
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(scan(sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4:])))
