"""Pings several addresses at once until told to stop, then prints what was lost, as JSON.

A program of its own, because it runs in the network of the hub's container (nsenter).
Usage: pinger.py INTERVAL_S ADDRESS...; ends at SIGTERM.
"""

import contextlib
import json
import os
import select
import signal
import socket
import struct
import sys
import time

LAST_WAIT_S = 2.0
AT_LEAST = 40  # so that a quick test still tells something, of the time just after it


def checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def echo_request(identifier: int, sequence: int) -> bytes:
    head = struct.pack("!BBHHH", 8, 0, 0, identifier, sequence)
    return struct.pack("!BBHHH", 8, 0, checksum(head), identifier, sequence)


class Pinger:
    def __init__(self, addresses: list[str]) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        self.identifier = os.getpid() & 0xFFFF
        self.addresses = addresses
        self.sent: dict[str, int] = dict.fromkeys(addresses, 0)
        self.answered: dict[str, set[int]] = {address: set() for address in addresses}

    def send(self) -> None:
        for address in self.addresses:
            self.send_to(address)

    def send_to(self, address: str) -> None:
        sequence = self.sent[address]
        with contextlib.suppress(OSError):  # what can't be sent counts as lost
            self.socket.sendto(echo_request(self.identifier, sequence & 0xFFFF), (address, 0))
        self.sent[address] += 1

    def receive(self, until_s: float) -> None:
        while (left := until_s - time.monotonic()) > 0:
            if not select.select([self.socket], [], [], left)[0]:
                return
            packet, (address, _) = self.socket.recvfrom(2048)
            kind, _, _, identifier, sequence = struct.unpack("!BBHHH", packet[20:28])
            if kind == 0 and identifier == self.identifier and address in self.answered:
                self.answered[address].add(sequence)

    def report(self) -> dict[str, dict[str, object]]:
        return {
            address: {
                "sent": self.sent[address],
                "lost": [n for n in range(self.sent[address]) if n not in self.answered[address]],
            }
            for address in self.addresses
        }


def main() -> None:
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopping.append(number))
    interval_s, pinger = float(sys.argv[1]), Pinger(sys.argv[2:])
    due_s = time.monotonic()
    while not stopping or min(pinger.sent.values()) < AT_LEAST:
        pinger.send()
        due_s += interval_s
        pinger.receive(due_s)
    pinger.receive(time.monotonic() + LAST_WAIT_S)
    print(json.dumps(pinger.report()))


if __name__ == "__main__":
    main()
