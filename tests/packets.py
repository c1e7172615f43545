"""Raw IP packets for tests, and devices that give and take them like charon's own."""

import ctypes
import fcntl
import os
import select
import struct
import threading
import time
from ipaddress import ip_address

ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
SYN, RST, ACK = 0x02, 0x04, 0x10
ECHO, ECHO_REPLY, UNREACHABLE, REDIRECT = 8, 0, 3, 5
ECHO_V6, ECHO_REPLY_V6, UNREACHABLE_V6, REDIRECT_V6 = 128, 129, 1, 137
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x1, 0x1000
_CLONE_NEWNET = 0x40000000


def _sum(data: bytes) -> int:
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return int(~total & 0xFFFF)


def ip(source: str, destination: str, protocol: int, body: bytes) -> bytes:
    """Make an IP packet, of whichever version the addresses are."""
    from_, to = ip_address(source).packed, ip_address(destination).packed
    if len(from_) == 16:
        return struct.pack(">IHBB", 6 << 28, len(body), protocol, 64) + from_ + to + body
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), 1, 0, 64, protocol, 0)
    total = _sum(head + from_ + to)
    return head[:10] + struct.pack(">H", total) + from_ + to + body


def _pseudo(source: str, destination: str, protocol: int, length: int) -> bytes:
    addresses = ip_address(source).packed + ip_address(destination).packed
    return addresses + struct.pack(">II" if len(addresses) == 32 else ">HH", protocol, length)


def udp(source: str, destination: str, from_port: int, to_port: int) -> bytes:
    """Make a packet of UDP."""
    body = b"hello"
    head = struct.pack(">HHHH", from_port, to_port, 8 + len(body), 0)
    total = _sum(_pseudo(source, destination, UDP, len(head + body)) + head + body)
    return ip(source, destination, UDP, head[:6] + struct.pack(">H", total or 0xFFFF) + body)


def tcp(source: str, destination: str, from_port: int, to_port: int, flags: int) -> bytes:
    """Make a packet of TCP."""
    head = struct.pack(">HHIIBBHHH", from_port, to_port, 1, 1, 5 << 4, flags, 65535, 0, 0)
    total = _sum(_pseudo(source, destination, TCP, len(head)) + head)
    return ip(source, destination, TCP, head[:16] + struct.pack(">HH", total, 0))


def icmp(source: str, destination: str, type_: int, code: int = 0, about: bytes = b"") -> bytes:
    """Make a packet of ICMP; `about`: the packet that an error or a redirect is about."""
    body = struct.pack(">BBHI", type_, code, 0, 0x00010001) + about
    if ip_address(source).version == 4:
        return ip(source, destination, ICMP, body[:2] + struct.pack(">H", _sum(body)) + body[4:])
    total = _sum(_pseudo(source, destination, ICMPV6, len(body)) + body)
    return ip(source, destination, ICMPV6, body[:2] + struct.pack(">H", total) + body[4:])


def _in_network_of(pid: int, name: str) -> int:
    """Make a TUN device in the network of a process."""
    made: list[int | Exception] = []

    def make() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        try:
            with open(f"/proc/{pid}/ns/net", "rb") as there:  # noqa: PTH123 - its descriptor
                entered = libc.setns(there.fileno(), _CLONE_NEWNET) == 0
            assert entered, os.strerror(ctypes.get_errno())
            device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            request = struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI)
            fcntl.ioctl(device, _TUNSETIFF, request)
            made.append(device)
        except (OSError, AssertionError) as error:
            made.append(error)

    thread = threading.Thread(target=make)  # it enters that network alone, and ends
    thread.start()
    thread.join()
    if isinstance(made[0], Exception):
        raise made[0]
    return made[0]


class Wire:
    """A TUN device: what is sent comes out of it, what is routed into it is seen."""

    def __init__(self, pid: int, name: str) -> None:
        self._device = _in_network_of(pid, name)

    def send(self, packet: bytes) -> None:
        os.write(self._device, packet)

    def seen(self) -> list[bytes]:
        """Return what has arrived so far."""
        packets = []
        while select.select([self._device], [], [], 0)[0]:
            packets.append(os.read(self._device, 65536))
        return packets

    def next(self, source: str, protocol: int, within_s: float = 20) -> bytes:
        """Return the next packet of this source and protocol; others don't matter."""
        from_, deadline = ip_address(source).packed, time.monotonic() + within_s
        while time.monotonic() < deadline:
            select.select([self._device], [], [], 0.2)
            for packet in self.seen():
                if (source_of(packet), protocol_of(packet)) == (from_, protocol):
                    return packet
        raise AssertionError(f"no packet of {source}, protocol {protocol}, within {within_s} s")

    def close(self) -> None:
        os.close(self._device)


def source_of(packet: bytes) -> bytes:
    return packet[12:16] if packet[0] >> 4 == 4 else packet[8:24]


def protocol_of(packet: bytes) -> int:
    return packet[9] if packet[0] >> 4 == 4 else packet[6]
