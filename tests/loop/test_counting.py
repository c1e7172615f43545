"""What is counted of each tunnel, over whole rounds: into the status and into the metrics."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.core.tally import EndedChild, passed_through
from reconciler.edges.metrics import Metrics
from reconciler.errors import IkeUnreachable
from tests.builders import vpn
from tests.fake_charon import FakeCharon, FakeSite
from tests.worlds import Bench

NAME = "kspb_vpn"
LAN = vpn()["remote_subnet"]


class Counting:
    """A reconciler with its metrics, a hub, and the site of one airport."""

    def __init__(self, directory: Path) -> None:
        self.hub = FakeCharon()
        self.bench = Bench(directory, ike=self.hub)
        self.metrics = Metrics()
        self.bench.declare(kspb=vpn())
        self.round()
        connection = self.bench.memory.decided.desired[NAME]  # type: ignore[union-attr]
        self.site = FakeSite("kspb.remote", connection.psk, connection.remote_subnets)
        self.hub.sites.append(self.site)

    def round(self, seconds: float = 5) -> None:
        """Let time pass, and look."""
        self.bench.clock.elapsed_s += seconds
        self.hub.age(seconds)
        report = self.bench.round()
        outcomes, took_s = report.outcomes, report.took_s
        self.metrics.publish(report.status, report.tallies, outcomes, took_s)

    def restart_reconciler(self) -> None:
        self.bench.restart_reconciler()
        self.metrics = Metrics()

    def come_up(self) -> None:
        assert self.hub.dial(self.site)
        self.round()

    def hang_up(self, *, told: bool = True) -> None:
        """Let the site leave; charon tells the last counts, if somebody listens."""
        for sa in self.hub.held_by(self.site) if told else ():
            for child in sa.children:
                born_s = self.bench.clock.monotonic_s() - child.installed_s
                ended = EndedChild(NAME, child.spi_in, passed_through(child), born_s)
                self.bench.evidence.note_ended(ended)
        self.hub.hang_up(self.site)

    def counted(self) -> Mapping[str, float]:
        """Return what the metrics say of the connection."""
        labels = f'{{airport="kspb",connection="{NAME}"'
        found = {}
        for line in self.metrics.text().decode().splitlines():
            series, _, value = line.rpartition(" ")
            if series.partition("{")[0].endswith("_total") and labels in series:
                found[series.replace(labels, "").strip("},").replace("}", "")] = float(value)
        return found

    def received(self) -> tuple[float, float]:
        """Return packets and bytes."""
        found = self.counted()
        names = ("vpn_connection_received_packets_total", "vpn_connection_received_bytes_total")
        return found[names[0]], found[names[1]]

    def renewed(self) -> tuple[float, float]:
        """Return how often the IKE_SA was renewed, and the CHILD_SA."""
        found = self.counted()
        names = (f'vpn_connection_rekeys_total,sa="{sa}"' for sa in ("ike", "child"))
        ike, child = (found[name] for name in names)
        assert self.bench.connection().rekeys == ike + child
        return ike, child

    def establishments(self) -> float:
        found = self.counted()["vpn_connection_establishments_total"]
        assert self.bench.connection().establishments == found
        return found


@pytest.fixture
def counting(tmp_path: Path) -> Counting:
    return Counting(tmp_path)


def test_a_tunnel_that_never_was_there_has_counters_at_zero(counting: Counting) -> None:
    assert counting.received() == (0, 0)
    assert counting.renewed() == (0, 0)
    assert counting.establishments() == 0


def test_what_passes_is_counted_and_when_it_came_is_told(counting: Counting) -> None:
    counting.come_up()
    counting.hub.carry(NAME, received=7, sent=9)
    counting.round(0)
    assert counting.received() == (7, 700)
    connection = counting.bench.connection()
    assert (connection.received_packets, connection.sent_packets) == (7, 9)
    assert connection.last_received_at == counting.bench.clock.now()
    assert connection.child_expires_at == counting.bench.clock.now() + 3600
    assert counting.establishments() == 1


def test_it_goes_on_across_renewals_of_both(counting: Counting) -> None:
    counting.come_up()
    counting.hub.carry(NAME, received=7)
    counting.round()
    counting.hub.renew_ike(counting.site)
    counting.round()
    assert counting.renewed() == (1, 0)
    counting.hub.carry(NAME, received=2)
    counting.hub.renew_children(counting.site)
    counting.hub.carry(NAME, received=1)
    for _ in range(3):
        counting.round(seconds=2)
    assert counting.renewed() == (1, 1)
    assert counting.received() == (10, 1000)
    assert counting.establishments() == 1


def test_it_goes_on_across_a_reconnect_with_what_passed_before_it(counting: Counting) -> None:
    counting.come_up()
    counting.hub.carry(NAME, received=7)
    counting.round()
    counting.hub.carry(NAME, received=3)
    counting.hang_up()
    counting.round()
    assert counting.received() == (10, 1000)
    assert counting.bench.connection().status == "down"
    counting.come_up()
    counting.hub.carry(NAME, received=1)
    counting.round()
    assert counting.received() == (11, 1100)
    assert counting.renewed() == (0, 0)
    assert counting.establishments() == 2


def test_a_reconnect_between_two_looks_is_counted_though_it_never_was_seen_down(
    counting: Counting,
) -> None:
    counting.come_up()
    counting.hang_up()
    counting.come_up()
    counting.round()
    assert counting.bench.connection().last_disconnected == 0
    assert counting.establishments() == 2


def test_what_nobody_told_of_before_the_end_is_lost_and_no_more(counting: Counting) -> None:
    counting.come_up()
    counting.hub.carry(NAME, received=7)
    counting.round()
    counting.hub.carry(NAME, received=3)
    counting.hang_up(told=False)
    counting.round()
    assert counting.received() == (7, 700)


def test_it_goes_on_across_a_restart_of_charon(counting: Counting) -> None:
    counting.come_up()
    counting.hub.carry(NAME, received=7)
    counting.round()
    ids = {sa.unique_id for sa in counting.hub.sas}
    counting.hub.restart(counting.bench.clock.now())
    counting.round()
    counting.hub.sites[0].holds.clear()
    counting.come_up()
    assert {sa.unique_id for sa in counting.hub.sas} & ids, "unique ids begin anew"
    counting.hub.carry(NAME, received=5)
    counting.round()
    assert counting.received() == (12, 1200)
    assert counting.renewed() == (0, 0)
    assert counting.establishments() == 2


def test_a_new_reconciler_counts_from_zero_what_passes_from_now_on(counting: Counting) -> None:
    counting.come_up()
    counting.hub.carry(NAME, received=7)
    counting.hub.renew_children(counting.site)
    counting.round()
    heard_at = counting.bench.connection().last_received_at
    counting.restart_reconciler()
    counting.round()
    assert counting.received() == (0, 0)
    assert counting.renewed() == (0, 0)
    assert counting.establishments() == 0
    assert counting.bench.connection().last_received_at == heard_at
    counting.hub.carry(NAME, received=2)
    counting.round()
    assert counting.received() == (2, 200)


def test_while_charon_is_unreachable_no_count_is_claimed_and_afterwards_none_is_missing(
    counting: Counting,
) -> None:
    counting.come_up()
    counting.hub.carry(NAME, received=7)
    counting.round()
    counting.hub.faults["observe"] = IkeUnreachable("no answer")
    counting.round()
    assert {name.partition(",")[0] for name in counting.counted()} == {
        "vpn_connection_failures_total"  # remembered, not seen
    }
    assert counting.bench.connection().establishments == 1
    counting.hub.carry(NAME, received=1)
    counting.hub.renew_ike(counting.site)
    counting.round()
    assert counting.received() == (8, 800)
    assert counting.renewed() == (1, 0)
    assert counting.establishments() == 1


def test_what_ended_while_nobody_could_look_is_counted_at_the_next_look(counting: Counting) -> None:
    counting.come_up()
    counting.hub.carry(NAME, received=7)
    counting.hub.faults["observe"] = IkeUnreachable("no answer")
    counting.hang_up()
    counting.round()
    counting.round()
    assert counting.received() == (7, 700)


def test_an_airport_that_is_declared_anew_begins_anew(counting: Counting) -> None:
    counting.come_up()
    counting.hub.carry(NAME, received=7)
    counting.round()
    counting.bench.declare()
    counting.bench.round(allow_removals=True)
    counting.bench.declare(kspb=vpn())
    counting.round()
    assert counting.received() == (0, 0)
    assert counting.establishments() == 0
    counting.come_up()
    assert counting.establishments() == 1


def test_the_last_packet_is_not_forgotten_with_the_tunnel_it_came_through(
    counting: Counting,
) -> None:
    counting.come_up()
    counting.hub.carry(NAME, received=7)
    counting.round(0)
    heard_at = counting.bench.connection().last_received_at
    counting.hub.renew_children(counting.site)
    counting.round()
    assert counting.bench.connection().last_received_at == heard_at
    counting.hang_up()
    counting.round()
    assert counting.bench.connection().last_received_at == heard_at


def test_an_age_that_is_rounded_is_no_new_packet(counting: Counting) -> None:
    counting.come_up()
    counting.hub.carry(NAME, received=7)
    counting.round(0)
    heard_at = counting.bench.connection().last_received_at
    (sa,) = counting.hub.sas
    counting.hub.sas = [replace(sa, children=(replace(sa.children[0], received_s=4),))]
    counting.bench.clock.elapsed_s += 5
    counting.round(0)
    assert counting.bench.connection().last_received_at == heard_at
    counting.hub.sas = [replace(sa, children=(replace(sa.children[0], received_s=3),))]
    counting.round(0)
    assert counting.bench.connection().last_received_at == heard_at + 2


def test_a_last_packet_from_the_future_was_noted_before_the_clock_was_set(
    counting: Counting,
) -> None:
    counting.come_up()
    counting.hub.carry(NAME, received=7)
    counting.round(0)
    counting.bench.clock.set_by_s = -86_400
    counting.round(0)
    assert counting.bench.connection().last_received_at == counting.bench.clock.now()
