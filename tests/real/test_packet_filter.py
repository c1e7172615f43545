"""The filter's agent in its container: what it loads into the kernel, and what others change."""

from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path

import pytest

from reconciler.core.nft_script import TABLE
from reconciler.core.packet_filter import (
    Allowed,
    FilterRules,
    FilterState,
    FilterView,
    SiteRules,
    digest,
)
from reconciler.edges.filter_client import FilterClient
from reconciler.errors import FilterUnreachable
from tests.docker import CommandError, docker, eventually, volume_path
from tests.filter_contract import MORE, SOME, FilterContract

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]

NETWORK, AGENT, VOLUME = "test-filter-net", "test-filter", "test-filter-run"
NET_ADMIN = ("--cap-drop", "ALL", "--cap-add", "NET_ADMIN")
MANY = FilterRules(
    tuple(
        SiteRules(
            f"a{number}_vpn",
            (
                ip_network((0x0A000000 + number * 512, 23)),
                ip_network((0xFD << 120 | number << 64, 64)),
            ),
            (Allowed("tcp", 1, 65535), Allowed("icmp")),
        )
        for number in range(1000)
    )
)


class RealFilter:
    """The agent in its container, and the hands of others in the same network."""

    def __init__(self, socket: Path) -> None:
        client = FilterClient(socket)
        self.look, self.load = client.look, client.load

    def nft(self, *words: str) -> str:
        return docker("exec", AGENT, "nft", *words)

    def delete_table(self) -> None:
        self.nft("delete", "table", *TABLE.split())

    def touch(self) -> None:
        self.nft("insert", "rule", *TABLE.split(), "input", "accept")

    def restart(self) -> None:
        docker("restart", "--time", "5", AGENT)
        wait_for(self)


def wait_for(filter_: RealFilter) -> FilterView:
    def answer() -> FilterView | None:
        try:
            return filter_.look()
        except FilterUnreachable:
            return None

    view = eventually(answer, 60, "the agent answers")
    assert view is not None
    return view


@contextmanager
def agent(*options: str) -> Iterator[RealFilter]:
    """Run an agent in the network of another container, which keeps the tables meanwhile."""
    docker(
        *("run", "--detach", "--name", AGENT, "--network", f"container:{NETWORK}", "--read-only"),
        *("--volume", f"{VOLUME}:/run/filter", *options, "vpn-filter"),
    )
    try:
        filter_ = RealFilter(volume_path(VOLUME) / "filter.sock")
        wait_for(filter_)
        yield filter_
    finally:
        print(docker("logs", AGENT, both=True)[-3000:])
        docker("rm", "--force", AGENT)


def remove() -> None:
    for name in (AGENT, NETWORK):
        docker("rm", "--force", name, check=False)
    docker("volume", "rm", "--force", VOLUME, check=False)


@pytest.fixture
def network() -> Iterator[None]:
    remove()
    docker("volume", "create", VOLUME)
    docker(
        *("run", "--detach", "--name", NETWORK, "--network", "none", *NET_ADMIN),
        *("--entrypoint", "sleep", "vpn-filter", "infinity"),
    )
    yield
    remove()


@pytest.fixture
def filter_(network: None) -> Iterator[RealFilter]:
    with agent(*NET_ADMIN) as made:
        made.nft("add", "table", *TABLE.split())
        yield made


class TestRealFilter(FilterContract):
    """The fake keeps the same promises."""


CHANGES = (
    f"flush table {TABLE}",
    f"flush chain {TABLE} from_tunnel",
    f"flush set {TABLE} sites4",
    f"add element {TABLE} sites4 {{ 10.0.0.0/8 }}",
    f"delete element {TABLE} chains4 {{ 192.168.1.0/24 }}",
    f"add table {TABLE} {{ flags dormant; }}",
    f"add chain {TABLE} input {{ policy drop; }}",
    f"add chain {TABLE} another",
    f"insert rule {TABLE} forward accept",
    f"add rule {TABLE} site_kspb_vpn accept",
)


def test_whatever_is_changed_by_hand_is_drift(filter_: RealFilter) -> None:
    for change in CHANGES:
        filter_.load(MORE)
        filter_.nft(change)
        assert filter_.look().state is FilterState.DRIFTED, change
        assert filter_.load(MORE).state is FilterState.IN_FORCE


def test_a_rule_that_is_deleted_by_hand_is_drift(filter_: RealFilter) -> None:
    filter_.load(MORE)
    listing = filter_.nft("--handle", "list", "chain", *TABLE.split(), "from_tunnel")
    handle = next(line for line in listing.splitlines() if "unasked" in line).rpartition(" ")[2]
    filter_.nft("delete", "rule", *TABLE.split(), "from_tunnel", "handle", handle)
    assert filter_.look().state is FilterState.DRIFTED


def test_other_peoples_tables_stay_as_they_are_and_are_no_drift(filter_: RealFilter) -> None:
    theirs = "table ip theirs { chain input { type filter hook input priority 0; policy drop; }; }"
    filter_.nft("add", "table", "inet", "vpn_gateway2")
    filter_.nft(theirs)
    before = filter_.nft("list", "ruleset")
    assert "policy drop" in before
    view = filter_.load(MORE)
    after = filter_.nft("list", "ruleset")
    for theirs in ("table inet vpn_gateway2 {", before[before.index("table ip theirs") :]):
        assert theirs in after
    filter_.nft("add", "table", "ip", "one_more")
    assert filter_.look() == view


def test_a_thousand_sites_are_loaded_and_seen_in_force(filter_: RealFilter) -> None:
    view = filter_.load(MANY)
    assert (view.loaded, view.state, view.error) == (digest(MANY), FilterState.IN_FORCE, "")
    assert filter_.look() == view


def test_every_subnet_is_one_that_nft_takes(filter_: RealFilter) -> None:
    for subnet in ("0.0.0.0/0", "::/0", "10.1.2.3/32", "255.255.255.255/32", "fd00::1/128"):
        network = ip_network(subnet)
        allowed = (Allowed("tcp", 1, 1, network), Allowed("udp", 65535, 65535), Allowed("icmp"))
        name = "9-" + "x" * 61
        rules = FilterRules((SiteRules(name, (network,), allowed), *SOME.sites))
        view = filter_.load(rules)
        assert (view.loaded, view.state, view.error) == (digest(rules), FilterState.IN_FORCE, "")


def test_without_the_capability_it_says_what_to_do_and_goes_on(network: None) -> None:
    for options in (("--cap-drop", "ALL"), (*NET_ADMIN, "--security-opt", "no-new-privileges")):
        with agent(*options) as without:
            view = without.load(SOME)
            assert (view.loaded, view.state) == (None, FilterState.UNKNOWN)
            assert "--cap-add NET_ADMIN, and without no-new-privileges" in view.error


def test_switched_off_it_takes_our_table_away_and_nobody_elses(network: None) -> None:
    with agent(*NET_ADMIN) as on:
        on.load(SOME)
        on.nft("add", "table", "ip", "theirs")
    with agent(*NET_ADMIN, "--env", "PACKET_FILTER=no") as off:
        assert off.look() == off.load(SOME) == FilterView(None, FilterState.OFF)
        assert off.nft("list", "tables").split() == ["table", "ip", "theirs"]


def gateway(*options: str) -> str:
    """Start charon in the network of the test, wait until it runs or has ended, and remove it."""
    docker(
        *("run", "--detach", "--name", AGENT, "--network", f"container:{NETWORK}", "--read-only"),
        *("--volume", f"{VOLUME}:/run/filter:ro", "--device", "/dev/net/tun"),
        *("--cap-drop", "ALL", "--cap-add", "NET_ADMIN", "--cap-add", "NET_BIND_SERVICE"),
        *(*options, "vpn-charon"),
    )

    def log() -> str:
        said = docker("logs", AGENT, both=True)
        running = docker("inspect", "--format", "{{.State.Running}}", AGENT).strip() == "true"
        return said if not running or "charon-systemd" in said or "spawning" in said else ""

    try:
        return eventually(log, 60, "charon runs, or has said why not")
    finally:
        docker("rm", "--force", AGENT)


def table() -> str:
    try:
        return docker("exec", NETWORK, "nft", "--stateless", "list", "table", *TABLE.split())
    except CommandError:
        return ""


def test_charon_starts_behind_a_filter_that_lets_nothing_in(network: None) -> None:
    assert "packet filter: in force; nothing may come out of a tunnel until" in gateway()
    assert 'counter name "unasked" drop' in table()
    assert "site_" not in table()


def test_charon_starts_behind_the_filter_that_was_loaded_last(network: None) -> None:
    with agent(*NET_ADMIN) as filter_:
        filter_.load(SOME)
        before = table()
        filter_.delete_table()
    assert "packet filter: in force, as it was loaded last" in gateway()
    assert table() == before


def test_a_filter_that_is_there_stays_when_charon_starts(network: None) -> None:
    with agent(*NET_ADMIN) as filter_:
        filter_.load(MORE)
        before = table()
        (volume_path(VOLUME) / "saved.nft").write_text("nonsense")
        assert filter_.look().state is FilterState.IN_FORCE
    assert "packet filter: in force already" in gateway()
    assert table() == before


def test_a_saved_filter_that_is_broken_gives_way_to_one_that_lets_nothing_in(
    network: None,
) -> None:
    (volume_path(VOLUME) / "saved.nft").write_text("nonsense")
    assert "packet filter: in force; nothing may come out of a tunnel until" in gateway()
    assert 'counter name "unasked" drop' in table()


def test_without_a_filter_charon_does_not_start_and_says_what_to_do(network: None) -> None:
    broken = ("--volume", "/dev/null:/usr/sbin/nft:ro")
    said = gateway(*broken)
    assert "charon does not start without it, and it can't be loaded: " in said
    assert "or set PACKET_FILTER=no to do without" in said
    assert "spawning" not in said


def test_switched_off_charon_starts_without_a_filter_and_says_so(network: None) -> None:
    said = gateway("--env", "PACKET_FILTER=no")
    assert "packet filter: off, as PACKET_FILTER says; what may come out of a tunnel is not" in said
    assert table() == ""


def test_a_setting_that_is_neither_yes_nor_no_is_named(network: None) -> None:
    assert "PACKET_FILTER is 'maybe'; it must be yes or no" in gateway(
        "--env", "PACKET_FILTER=maybe"
    )
