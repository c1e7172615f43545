"""The hub's own networks, from samples of the kernel's tables."""

from ipaddress import ip_network
from pathlib import Path

import pytest

from reconciler.edges.hub_networks import read_hub_networks

HEADER = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
DEFAULT_BY_GATEWAY = "eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
ETH0 = "eth0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
ETH0_SECOND = "eth0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
DOCKER0 = "docker0\t000012AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
BY_GATEWAY = "eth0\t0000090A\t010011AC\t0003\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
TRIE = """\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 127.0.0.0/8 2 0 2
        |-- 127.0.0.1
           /32 host LOCAL
     +-- 172.17.0.0/16 2 0 2
        |-- 172.17.0.0
           /16 link UNICAST
        |-- 172.17.0.2
           /32 host LOCAL
        |-- 172.17.255.255
           /32 link BROADCAST
"""


def found(tmp_path: Path, routes: str = "", trie: str = "", **files: str) -> dict[str, str]:
    (tmp_path / "route").write_text(HEADER + routes)
    (tmp_path / "fib_trie").write_text(trie)
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    return {name: str(network) for name, network in read_hub_networks(tmp_path).items()}


def test_connected_networks_and_local_addresses_are_found(tmp_path: Path) -> None:
    assert found(tmp_path, DEFAULT_BY_GATEWAY + ETH0 + DOCKER0, TRIE) == {
        "network 172.17.0.0/16 on eth0": "172.17.0.0/16",
        "network 172.18.0.0/16 on docker0": "172.18.0.0/16",
        "address 172.17.0.2": "172.17.0.2/32",
    }


def test_what_lies_behind_a_gateway_is_not_the_hubs_own(tmp_path: Path) -> None:
    assert found(tmp_path, DEFAULT_BY_GATEWAY + BY_GATEWAY) == {}


@pytest.mark.parametrize("device", ["ipsec0", "xfrm7", "vti0"])
def test_what_lies_behind_a_tunnel_is_not_the_hubs_own(tmp_path: Path, device: str) -> None:
    assert found(tmp_path, ETH0.replace("eth0", device)) == {}


def test_two_networks_on_one_device_are_both_found(tmp_path: Path) -> None:
    both = {"172.17.0.0/16", "192.168.1.0/24"}
    assert set(found(tmp_path, ETH0 + ETH0_SECOND).values()) == both


@pytest.mark.parametrize("device", ["ppp0", "tun0", "wg0"])
def test_a_default_route_without_a_gateway_is_not_the_hubs_own_network(
    tmp_path: Path, device: str
) -> None:
    """As on a point-to-point line: else every airport would overlap it."""
    line = DEFAULT_BY_GATEWAY.replace("eth0", device).replace("010011AC\t0003", "00000000\t0001")
    assert found(tmp_path, line) == {}


def test_the_hubs_ipv6_addresses_are_found(tmp_path: Path) -> None:
    table = (
        "00000000000000000000000000000001 01 80 10 80       lo\n"
        "fe80000000000000004211fffeac0002 02 40 20 80     eth0\n"
        "20010db8000100000000000000000002 02 40 00 80     eth0\n"
    )
    networks = [ip_network(text) for text in found(tmp_path, if_inet6=table).values()]
    own = ip_network("2001:db8:1::2/128")
    assert any(own.subnet_of(network) for network in networks if network.version == 6)  # type: ignore[arg-type]
    assert ip_network("::1/128") not in networks


def test_where_there_are_no_tables_nothing_is_claimed(tmp_path: Path) -> None:
    assert read_hub_networks(tmp_path) == {}
    assert read_hub_networks(tmp_path / "missing") == {}


def test_the_real_tables_of_this_machine_can_be_read() -> None:
    assert "address 127.0.0.1" not in read_hub_networks()
