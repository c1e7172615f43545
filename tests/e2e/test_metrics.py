"""The metrics of a live hub: what is counted is what passed, and nothing is missing."""

import json
from collections.abc import Callable

import pytest

from tests.docker import docker, eventually, eventually_nothing
from tests.e2e.stack import PING_EVERY_S, PREFIX, RECONCILER, SITES, Stack
from tests.test_metrics_page import described

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
URI = ("--uri", "unix:///run/vici/charon.vici")
# There only in circumstances that this stack is not in.
OF_OTHER_TIMES = {
    *("vpn_connection_reason", "vpn_connection_degraded_reason", "vpn_connection_key_rotation"),
}


def counter(stack: Stack, name: str, airport: str = "kspb", more: str = "") -> float:
    found = stack.metric(f'{name}{{airport="{airport}",connection="{airport}_vpn"{more}}}')
    assert found is not None, f"{name} of {airport}"
    return found


def packets(stack: Stack, airport: str = "kspb") -> tuple[float, float]:
    names = (f"vpn_connection_{way}_packets_total" for way in ("received", "sent"))
    received, sent = (counter(stack, name, airport) for name in names)
    return received, sent


def renewals(stack: Stack) -> tuple[float, float]:
    name = "vpn_connection_rekeys_total"
    ike, child = (counter(stack, name, more=f',sa="{sa}"') for sa in ("ike", "child"))
    return ike, child


def establishments(stack: Stack, airport: str = "kspb") -> float:
    return counter(stack, "vpn_connection_establishments_total", airport)


def look(stack: Stack) -> None:
    """Let the reconciler make a round now."""
    before = stack.status().reconciler.round
    docker("kill", "--signal", "HUP", RECONCILER)
    eventually(lambda: stack.status().reconciler.round > before, 10, "a round")


def carried(stack: Stack) -> int:
    """Return what charon itself has counted of its present CHILD_SAs."""
    sas = stack.sas("kspb_vpn")
    return sum(child.received_packets for sa in sas for child in sa.carrying_children)


def ping(stack: Stack) -> int:
    """Ping the camera of kspb for a while, and return how often."""
    before = carried(stack)
    with stack.pinging(SITES["kspb"]) as losses:
        eventually(lambda: carried(stack) > before, 10, "packets pass")
    assert losses[SITES["kspb"]].lost == []
    return losses[SITES["kspb"]].sent


def risen(stack: Stack, before: tuple[float, float], by: int) -> Callable[[], bool]:
    def has() -> bool:
        now = packets(stack)
        return all(later >= earlier + by for later, earlier in zip(now, before, strict=True))

    return has


def ping_between_two_looks(stack: Stack) -> tuple[tuple[float, float], int]:
    """Return the counters as they still are, and how many pings they do not know of."""
    for _ in range(10):
        look(stack)
        before = packets(stack)
        sent = ping(stack)
        if not risen(stack, before, sent)():
            return before, sent
    raise AssertionError("there was a look in between each time, so this would prove nothing")


def test_every_documented_metric_is_there(stack: Stack) -> None:
    """A probe's are there once it has run, which a reconciler that just started has not."""

    def missing() -> set[str]:
        text = stack.http("/metrics")[1]
        typed = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
        assert typed == described().keys()
        series = {line.partition(" ")[0].partition("{")[0] for line in text.splitlines()}
        return {name for name, (kind, _) in described().items() if kind != "histogram"} - series

    eventually_nothing(lambda: missing() ^ OF_OTHER_TIMES, 40, "every series is there")


def test_what_is_pinged_is_counted_for_that_site_and_for_no_other(stack: Stack) -> None:
    look(stack)
    before, others = packets(stack), packets(stack, "s51")
    bytes_before = counter(stack, "vpn_connection_received_bytes_total")
    sent = ping(stack)
    look(stack)
    eventually(risen(stack, before, sent), 5, "all packets are counted")
    assert counter(stack, "vpn_connection_received_bytes_total") >= bytes_before + sent * 28
    assert packets(stack, "s51")[0] < others[0] + sent
    heard = counter(stack, "vpn_connection_last_received_timestamp_seconds")
    assert abs(heard - stack.status().timestamp) < 30
    assert counter(stack, "vpn_connection_health", more=',health="pass"') == 1


def test_the_counters_go_on_across_a_renewal_of_all_keys(stack: Stack) -> None:
    """What was sent between the last look and the renewal is forgotten by charon: half a second."""
    look(stack)
    before, renewed, came_up = packets(stack), renewals(stack), establishments(stack)
    # What is two seconds old or younger is as new as what is asked for.
    eventually(lambda: stack.sas("kspb_vpn")[0].established_s > 3, 10, "old enough")
    with stack.pinging(SITES["kspb"]) as losses:
        answer = docker("exec", RECONCILER, "reconciler", "rekey", "kspb_vpn", "--json")
        assert json.loads(answer)["renewed"]
    look(stack)
    sent = losses[SITES["kspb"]].sent
    received_now, sent_now = packets(stack)
    assert received_now >= before[0] + sent
    assert sent_now >= before[1] + sent - 0.5 / PING_EVERY_S
    ike, child = renewals(stack)
    assert (ike, child) == (renewed[0] + 1, renewed[1] + 1)
    assert establishments(stack) == came_up


def test_what_passes_right_before_the_end_of_a_tunnel_is_counted(stack: Stack) -> None:
    renewed, came_up = renewals(stack), establishments(stack)
    before, sent = ping_between_two_looks(stack)
    docker(
        *("exec", f"{PREFIX}site-kspb", "swanctl", "--terminate", "--ike", "hub", *URI), check=False
    )
    eventually(lambda: establishments(stack) == came_up + 1, 30, "it came up anew")
    assert risen(stack, before, sent)()
    assert renewals(stack) == renewed


def test_a_scrape_is_compressed_for_who_takes_gzip(stack: Stack) -> None:
    script = (
        "import gzip, urllib.request as u; "
        "r = u.Request('http://127.0.0.1:9580/metrics', headers={'Accept-Encoding': 'gzip'}); "
        "print(len(gzip.decompress(u.urlopen(r, timeout=5).read())))"
    )
    found = int(docker("exec", RECONCILER, "python", "-c", script))
    assert found > 1000
