"""The hub's own networks and addresses, from the kernel's tables of this network namespace."""

import struct
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_network
from pathlib import Path

from reconciler.core.model import IpAddress, IpNetwork

_GATEWAY_OR_REJECT_FLAGS = 0x2 | 0x200
_TUNNEL_DEVICES = ("ipsec", "xfrm", "vti")


def read_hub_networks(proc_net: Path = Path("/proc/net")) -> dict[str, IpNetwork]:
    """Return connected networks and local addresses by what they are. Empty where unreadable."""
    found: dict[str, IpNetwork] = {}
    for device, network in _connected(proc_net / "route"):
        found[f"network {network} on {device}"] = network
    addresses = _addresses(proc_net / "fib_trie") | _addresses_of_ipv6(proc_net / "if_inet6")
    for address in sorted(addresses, key=str):
        if not address.is_loopback and not address.is_link_local:
            found[f"address {address}"] = ip_network(address)
    return found


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _connected(path: Path) -> list[tuple[str, IPv4Network]]:
    """Read the routes without a gateway; addresses stand there as little-endian hex."""
    found = []
    for line in _lines(path)[1:]:
        fields = line.split()
        device, destination, flags, mask = fields[0], fields[1], int(fields[3], 16), fields[7]
        default = int(mask, 16) == 0
        if (
            not default
            and not flags & _GATEWAY_OR_REJECT_FLAGS
            and not device.startswith(_TUNNEL_DEVICES)
        ):
            network = IPv4Network((_address(destination), int(mask, 16).bit_count()))
            found.append((device, network))
    return found


def _address(little_endian_hex: str) -> int:
    return int(struct.unpack(">I", struct.pack("<I", int(little_endian_hex, 16)))[0])


def _addresses_of_ipv6(path: Path) -> set[IpAddress]:
    """Read the addresses; each line begins with 32 hex digits."""
    return {IPv6Address(int(line.split()[0], 16)) for line in _lines(path)}


def _addresses(path: Path) -> set[IpAddress]:
    """Read the local addresses: in the trie an address stands on the line above its kind."""
    found: set[IpAddress] = set()
    above = ""
    for line in _lines(path):
        if "/32 host LOCAL" in line:
            found.add(IPv4Address(above.split()[-1]))
        above = line
    return found
