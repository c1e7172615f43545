"""Pings every camera and fetches pictures from each, evenly spread over the time.

A program of its own, because it runs in the network of the hub's container (nsenter). The pictures
are fetched in turns directly and through the camera proxy. At the end it prints what failed.
Usage: python -m bench.capacity.traffic PING_EVERY_S PICTURE_EVERY_S ADDRESS...; ends at SIGTERM.
"""

import json
import signal
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from itertools import count

from bench.capacity.cameras import PICTURE_BYTES
from tests.e2e.pinger import LAST_WAIT_S, Pinger

PROXY = "127.0.0.1:9585"
_PATIENCE_S = 20
_FETCHERS = 16
_WAYS = {
    "direct": urllib.request.build_opener(urllib.request.ProxyHandler({})),
    "through the camera proxy": urllib.request.build_opener(
        urllib.request.ProxyHandler({"http": f"http://{PROXY}"})
    ),
}


class Pictures(threading.Thread):
    """Fetches one picture after the other, evenly spread over the time."""

    def __init__(self, addresses: list[str], every_s: float, stopping: threading.Event) -> None:
        super().__init__(name="pictures")
        self.right = dict.fromkeys(_WAYS, 0)
        self.failed: list[str] = []
        self._addresses = addresses
        self._every_s = every_s
        self._stopping = stopping
        self._lock = threading.Lock()

    def run(self) -> None:
        """Fetch until stopped; wait for those under way."""
        began_s, pause_s = time.monotonic(), self._every_s / len(self._addresses)
        with ThreadPoolExecutor(_FETCHERS) as pool:
            for turn in count():
                if self._stopping.wait(max(0.0, began_s + turn * pause_s - time.monotonic())):
                    return
                time_round, number = divmod(turn, len(self._addresses))
                way = list(_WAYS)[(time_round + number) % len(_WAYS)]
                pool.submit(self._fetch, way, self._addresses[number])

    def _fetch(self, way: str, address: str) -> None:
        try:
            with _WAYS[way].open(f"http://{address}/snapshot.jpg", timeout=_PATIENCE_S) as answer:
                body = answer.read()
            whole = len(body) == PICTURE_BYTES and address.encode() in body[:64]
            error = "" if whole else f"not its picture: {len(body)} bytes"
        except OSError as failure:
            error = str(failure)
        with self._lock:
            if error:
                self.failed.append(f"{address}, {way}: {error}")
            else:
                self.right[way] += 1


def ping(pinger: Pinger, every_s: float, stopping: threading.Event) -> None:
    """Ping one address after the other, evenly spread over the time."""
    began_s, pause_s = time.monotonic(), every_s / len(pinger.addresses)
    for turn in count():
        if stopping.is_set():
            break
        pinger.receive(began_s + turn * pause_s)
        pinger.send_to(pinger.addresses[turn % len(pinger.addresses)])
    pinger.receive(time.monotonic() + LAST_WAIT_S)


def main(ping_every_s: float, picture_every_s: float, addresses: list[str]) -> None:
    """Go on until SIGTERM."""
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    pinger, pictures = Pinger(addresses), Pictures(addresses, picture_every_s, stopping)
    pictures.start()
    ping(pinger, ping_every_s, stopping)
    pictures.join()
    report = pinger.report()
    lost = {address: seen["lost"] for address, seen in report.items() if seen["lost"]}
    print(
        json.dumps(
            {
                "pings": sum(pinger.sent.values()),
                "fewest_pings": min(pinger.sent.values()),
                "pings_lost": lost,
                "pictures": pictures.right,
                "pictures_failed": pictures.failed,
            }
        )
    )


if __name__ == "__main__":
    main(float(sys.argv[1]), float(sys.argv[2]), sys.argv[3:])
