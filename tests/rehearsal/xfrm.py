"""The kernel's own tables of tunnels, as `ip -s xfrm state list nokeys` prints them."""

import re
from dataclasses import dataclass
from itertools import pairwise

HEAD = re.compile(r"^src (\S+) dst (\S+)\n", re.MULTILINE)
# Only a state with keys carries packets: one that is being negotiated has none yet.
KEYED = re.compile(r"^\s+(aead|enc) ", re.MULTILINE)
SPI = re.compile(r"proto esp spi (0x[0-9a-f]+)")
# After `lifetime current:`, on a line of its own; the line before has the limits.
USED = re.compile(r"lifetime current:\s+(\d+)\(bytes\), (\d+)\(packets\)")


@dataclass(frozen=True)
class State:
    """One direction of a tunnel."""

    source: str
    destination: str
    spi: str
    in_udp: bool
    bytes: int
    packets: int


def read_states(text: str) -> list[State]:
    """Read those that carry packets."""
    starts = [found.start() for found in HEAD.finditer(text)]
    blocks = [text[a:b] for a, b in pairwise([*starts, len(text)])]
    return [read_state(block) for block in blocks if KEYED.search(block)]


def read_state(block: str) -> State:
    head, spi, used = HEAD.search(block), SPI.search(block), USED.search(block)
    assert head, block
    assert spi, block
    assert used, block
    return State(
        source=head[1],
        destination=head[2],
        spi=spi[1],
        in_udp="espinudp" in block,
        bytes=int(used[1]),
        packets=int(used[2]),
    )


def read_errors(proc_net_xfrm_stat: str) -> dict[str, int]:
    """Read what the kernel threw away, by reason."""
    pairs = (line.split() for line in proc_net_xfrm_stat.splitlines())
    return {name: int(number) for name, number in pairs}
