"""Hostile packets to an IKE daemon, by a program that stands in the network of a container.

    hostile_ike.py flood ADDRESS SECONDS A_SECOND FROM_SUBNET
    hostile_ike.py malformed ADDRESS SECONDS A_SECOND SEED

`flood`: good IKE_SA_INITs under forged source addresses, none of which is ever followed up.
`malformed`: real messages, mutated, to both ports.
Prints how many were sent. Standard library only.
"""

import ipaddress
import itertools
import os
import random
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator

_SA, _KE, _NONCE, _NOTIFY, _VENDOR, _SK, _SKF = 33, 34, 40, 41, 43, 46, 53
_IKE_SA_INIT, _IKE_AUTH, _CREATE_CHILD_SA, _INFORMATIONAL = 34, 35, 36, 37
_MODP_2048, _MODP_2048_BYTES = 14, 256
_NON_ESP_MARKER = b"\0\0\0\0"
_MOST_BYTES = 65_000


def payload(following: int, body: bytes) -> bytes:
    """Return a generic payload (RFC 7296, 3.2)."""
    return struct.pack("!BBH", following, 0, 4 + len(body)) + body


def transform(kind: int, number: int, *, last: bool, key_bits: int = 0) -> bytes:
    """Return one transform of a proposal (RFC 7296, 3.3.2)."""
    attribute = struct.pack("!HH", 0x800E, key_bits) if key_bits else b""
    head = struct.pack("!BBHBBH", 0 if last else 3, 0, 8 + len(attribute), kind, 0, number)
    return head + attribute


def proposal() -> bytes:
    """Return what the simulated sites propose: AES-GCM-16-256, PRF-SHA-256, MODP-2048."""
    transforms = (
        transform(1, 20, last=False, key_bits=256)
        + transform(2, 5, last=False)
        + transform(4, _MODP_2048, last=True)
    )
    return struct.pack("!BBHBBBB", 0, 0, 8 + len(transforms), 1, 1, 0, 3) + transforms


def header(
    spi: bytes,
    other: bytes,
    following: int,
    exchange: int,
    body: bytes,
    flags: int = 8,
    message_id: int = 0,
) -> bytes:
    """Return a whole message: the header (RFC 7296, 3.1) and what follows."""
    fields = struct.pack("!BBBBII", following, 0x20, exchange, flags, message_id, 28 + len(body))
    return spi + other + fields + body


def ike_sa_init(dice: random.Random) -> bytes:
    """Return an IKE_SA_INIT that any responder would take."""
    public = b"\x7f" + dice.randbytes(_MODP_2048_BYTES - 1)
    body = (
        payload(_KE, proposal())
        + payload(_NONCE, struct.pack("!HH", _MODP_2048, 0) + public)
        + payload(_NOTIFY, dice.randbytes(32))
        + payload(_NOTIFY, struct.pack("!BBH", 0, 0, 16388) + dice.randbytes(20))
        + payload(_NOTIFY, struct.pack("!BBH", 0, 0, 16389) + dice.randbytes(20))
        + payload(0, struct.pack("!BBH", 0, 0, 16430))
    )
    return header(dice.randbytes(8), bytes(8), _SA, _IKE_SA_INIT, body)


def encrypted(dice: random.Random) -> bytes:
    """Return a message that claims to belong to an IKE_SA, whole or as a fragment (RFC 7383)."""
    exchange = dice.choice((_IKE_AUTH, _CREATE_CHILD_SA, _INFORMATIONAL))
    number, total = dice.choice(((1, 1), (1, 65535), (65535, 1), (0, 0), (2, 3)))
    if dice.random() < 0.5:
        kind, body = _SKF, struct.pack("!HH", number, total) + dice.randbytes(dice.randrange(400))
    else:
        kind, body = _SK, dice.randbytes(dice.randrange(400))
    return header(
        dice.randbytes(8),
        dice.randbytes(8),
        kind,
        exchange,
        payload(_SA, body),
        dice.randrange(256),
        dice.choice((0, 1, 2**32 - 1)),
    )


def chained(dice: random.Random) -> bytes:
    """Return very many payloads, of known and unknown kinds."""
    kinds = [
        dice.choice((_SA, _KE, _NONCE, _NOTIFY, _VENDOR, dice.randrange(256)))
        for _ in range(dice.choice((3, 50, 2000)))
    ]
    body = b"".join(payload(kind, dice.randbytes(dice.randrange(12))) for kind in [*kinds[1:], 0])
    return header(dice.randbytes(8), bytes(8), kinds[0], _IKE_SA_INIT, body)


def shortest(dice: random.Random) -> bytes:
    """Return what is no message at all: nothing, a keepalive, ESP of nobody, noise."""
    return dice.choice(
        (
            b"",
            b"\xff",
            b"\0",
            _NON_ESP_MARKER,
            dice.randbytes(28),
            struct.pack("!II", dice.getrandbits(32), 1) + dice.randbytes(dice.randrange(200)),
        )
    )


def huge(dice: random.Random) -> bytes:
    """Return a message as large as UDP carries, whose lengths are right or not."""
    body = payload(0, dice.randbytes(dice.choice((2000, 20_000, 60_000))))
    made = header(dice.randbytes(8), bytes(8), _VENDOR, _IKE_SA_INIT, body)
    return made if dice.random() < 0.5 else mutated(made, dice)


def mutated(message: bytes, dice: random.Random) -> bytes:
    """Damage a message: bits, bytes, lengths, order, and its end."""
    made = bytearray(message)
    for _ in range(dice.randrange(1, 6)):
        if not made:
            break
        at = dice.randrange(min(len(made), dice.choice((28, 120, len(made)))))
        match dice.randrange(7):
            case 0:
                made[at] ^= 1 << dice.randrange(8)
            case 1:
                made[at] = dice.choice((0, 1, 0x7F, 0x80, 0xFF))
            case 2:
                made[at : at + 2] = struct.pack("!H", dice.choice((0, 1, 3, 4, 0x7FFF, 0xFFFF)))
            case 3:
                del made[at:]
            case 4:
                made[at:at] = made[max(0, at - 40) : at]
            case 5:
                del made[at : at + dice.randrange(1, 9)]
            case _:
                made[at:at] = dice.randbytes(dice.randrange(1, 40))
    return bytes(made[:_MOST_BYTES])


def malformed(dice: random.Random) -> Iterator[bytes]:
    """Yield packets for ever, the same ones for the same seed."""
    makers: tuple[tuple[Callable[[random.Random], bytes], int], ...] = (
        (lambda dice: mutated(ike_sa_init(dice), dice), 60),
        (encrypted, 15),
        (lambda dice: mutated(encrypted(dice), dice), 10),
        (chained, 5),
        (shortest, 8),
        (huge, 2),
    )
    kinds, weights = zip(*makers, strict=True)
    while True:
        yield dice.choices(kinds, weights)[0](dice)


def udp_in_ip(source: str, port: int, target: str, content: bytes) -> bytes:
    """Return an IPv4 packet under any source address; the kernel fills in its checksum."""
    datagram = struct.pack("!HHHH", port, 500, 8 + len(content), 0) + content
    addresses = socket.inet_aton(source) + socket.inet_aton(target)
    return (
        struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(datagram), 0, 0, 64, 17, 0)
        + addresses
        + (datagram)
    )


def paced(packets: Iterator[Callable[[], object]], seconds: float, a_second: int) -> int:
    """Send so many a second, as far as this machine keeps up; return how many it were."""
    began_s, sent = time.monotonic(), 0
    for send in packets:
        passed_s = time.monotonic() - began_s
        if passed_s >= seconds:
            break
        ahead_s = sent / a_second - passed_s
        if ahead_s > 0:
            time.sleep(ahead_s)
        send()
        sent += 1
    return sent


def flood(target: str, seconds: float, a_second: int, subnet: str) -> int:
    """Send IKE_SA_INITs under all addresses of a subnet in turn."""
    dice = random.Random(os.urandom(8))  # noqa: S311 - no secret is made of it
    sources = itertools.cycle([*map(str, ipaddress.ip_network(subnet).hosts())])
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)

    def packets() -> Iterator[Callable[[], object]]:
        while True:
            port = dice.choice((500, dice.randrange(1024, 65536)))
            packet = udp_in_ip(next(sources), port, target, ike_sa_init(dice))
            yield lambda packet=packet: raw.sendto(packet, (target, 0))  # type: ignore[misc]

    return paced(packets(), seconds, a_second)


def damage(target: str, seconds: float, a_second: int, seed: str) -> int:
    """Send malformed packets to both ports, at the second one with and without the marker."""
    dice = random.Random(seed)  # noqa: S311 - so that a failure can be repeated
    made = malformed(dice)
    socket_ = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def packets() -> Iterator[Callable[[], object]]:
        for content in made:
            port, marker = dice.choice(((500, b""), (4500, _NON_ESP_MARKER), (4500, b"")))
            packet = (marker + content)[:_MOST_BYTES]
            yield lambda packet=packet, port=port: socket_.sendto(packet, (target, port))  # type: ignore[misc]

    return paced(packets(), seconds, a_second)


if __name__ == "__main__":
    how, address, for_s, rate, more = sys.argv[1:]
    print({"flood": flood, "malformed": damage}[how](address, float(for_s), int(rate), more))
