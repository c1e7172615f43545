"""Ping through all tunnels all the time, from inside the hub's network, and remember every ping."""

import contextlib
import ctypes
import math
import os
import select
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.docker import docker
from tests.e2e.pinger import echo_request
from tests.e2e.stack import PAUSE

# What is not answered by then is lost.
ANSWER_WITHIN_S = 2.0
# So long an answer may be under way before it is asked for.
_TO_ANSWER_S = 0.3
_CLONE_NEWNET = 0x40000000
_SEQUENCES = 0x10000
_LOOK_EVERY_S = 0.5


@dataclass
class Series:
    """The pings through one tunnel. `sent_s`, `answered`: one entry a ping."""

    every_s: float
    due_s: float
    sent_s: list[float] = field(default_factory=list)
    answered: bytearray = field(default_factory=bytearray)

    def note_answer(self, sequence: int) -> None:
        """Sequences are counted modulo 65536; it is always the latest of those."""
        last = len(self.sent_s) - 1
        index = last - (last - sequence) % _SEQUENCES
        if 0 <= index <= last:
            self.answered[index] = 1

    def lost(self, since_s: float) -> list[float]:
        """Return when the lost ones were sent, of those since that moment."""
        return [
            sent_s
            for sent_s, answered in zip(self.sent_s, self.answered, strict=True)
            if not answered and sent_s >= since_s
        ]

    def carries(self, since_s: float) -> bool:
        """Whether the last pings whose answer can be there by now were answered, all of them.

        `since_s`: what was sent before proves nothing.
        """
        now_s = time.monotonic()
        begin_s = max(since_s, now_s - 2.5 * self.every_s - 0.5)
        recent = [
            bool(answered)
            for sent_s, answered in zip(self.sent_s[-40:], self.answered[-40:], strict=True)
            if begin_s <= sent_s <= now_s - _TO_ANSWER_S
        ]
        return bool(recent) and all(recent)


class Pings:
    """A thread that pings. It follows the hub's network when that is made anew."""

    def __init__(self) -> None:
        self._series: dict[str, Series] = {}
        self._identifier = os.getpid() & 0xFFFF
        self._socket: socket.socket | None = None
        self._pid = 0
        self._looked_s = 0.0
        self._ending_s = math.inf
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pings", daemon=True)

    def start(self) -> None:
        """Ping from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Wait for the last answers, then end. A second call does nothing."""
        if not self._thread.is_alive():
            return
        self._ending_s = time.monotonic()
        self._stopping.wait(ANSWER_WITHIN_S)
        self._stopping.set()
        self._thread.join()
        self._detach()

    def add(self, address: str, every_s: float = 0.05) -> None:
        """Ping this address, too."""
        now_s = time.monotonic()
        self._series = {**self._series, address: Series(every_s, now_s)}

    def remove(self, address: str) -> None:
        """Ping it no longer."""
        self._series = {a: series for a, series in self._series.items() if a != address}

    def of(self, address: str) -> Series:
        """Return the pings to one address so far."""
        return self._series[address]

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._attach()
            self._send()
            due_s = min((series.due_s for series in self._series.values()), default=0.0)
            self._receive(max(due_s, time.monotonic() + 0.005))

    def _send(self) -> None:
        for address, series in self._series.items():
            now_s = time.monotonic()
            if series.due_s > now_s or now_s > self._ending_s:
                continue
            sequence = len(series.sent_s) & 0xFFFF
            series.answered.append(0)
            series.sent_s.append(now_s)
            # After a stall the missed ones are not made up for.
            series.due_s = max(series.due_s + series.every_s, now_s)
            if self._socket is not None:
                with contextlib.suppress(OSError):  # what can't be sent counts as lost
                    request = echo_request(self._identifier, sequence)
                    self._socket.sendto(request, (address, 0))

    def _receive(self, until_s: float) -> None:
        while (left_s := until_s - time.monotonic()) > 0:
            if self._socket is None:
                time.sleep(left_s)
                return
            if not select.select([self._socket], [], [], left_s)[0]:
                return
            with contextlib.suppress(OSError):
                self._take(*self._socket.recvfrom(2048))

    def _take(self, packet: bytes, source: tuple[str, int]) -> None:
        kind, _, _, identifier, sequence = struct.unpack("!BBHHH", packet[20:28])
        series = self._series.get(source[0])
        if kind == 0 and identifier == self._identifier and series is not None:
            series.note_answer(sequence)

    def _attach(self) -> None:
        """Be in the network of the container that owns it, also after that was started again."""
        if self._pid and Path(f"/proc/{self._pid}").exists():
            return
        self._detach()
        if time.monotonic() - self._looked_s < _LOOK_EVERY_S:
            return
        self._looked_s = time.monotonic()
        found = docker("inspect", "--format", "{{.State.Pid}}", PAUSE, check=False).strip()
        if found.isdecimal() and int(found):
            with contextlib.suppress(OSError):
                self._socket = socket_in_network_of(int(found))
                self._pid = int(found)

    def _detach(self) -> None:
        self._pid = 0
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def socket_in_network_of(pid: int) -> socket.socket:
    """Open a socket for pings in the network of that process; this thread is there meanwhile."""
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        there = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
        try:
            _enter(there)
        finally:
            os.close(there)
        try:
            return socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        finally:
            _enter(here)
    finally:
        os.close(here)


def _enter(namespace: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(namespace, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
