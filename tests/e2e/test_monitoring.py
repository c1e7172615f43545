"""Prometheus and Alertmanager beside the stack: what they see of it, and what they say."""

import contextlib
import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.docker import docker, eventually
from tests.e2e.monitoring import Alertmanager, Prometheus, alertmanager, prometheus
from tests.e2e.stack import (
    ALERTMANAGER_PORT,
    GATEWAY,
    PREFIX,
    PROMETHEUS_PORT,
    SITES,
    Stack,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

# The shipped rules, but with seconds for minutes, so that a test can wait for them.
SHORT = {
    "keep_firing_for: 2m": "keep_firing_for: 1s",
    "for: 5m": "for: 6s",
    "for: 4m": "for: 5s",
    "for: 2m": "for: 2s",
}
PROMTOOL = ("--network", "none", "--entrypoint", "promtool", "vpn-prometheus")
COMPOSED = (f"{PREFIX}prometheus", f"{PREFIX}alertmanager")


@pytest.fixture(scope="module")
def watched(
    whole_stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Prometheus, Alertmanager]]:
    whole_stack.wait_until_all_up()
    with (
        alertmanager() as sender,
        prometheus(
            tmp_path_factory.mktemp("watched"),
            alertmanager=f"{sender.name}:9693",
            replaced=SHORT,
        ) as watcher,
    ):
        yield watcher, sender


@contextlib.contextmanager
def cut(stack: Stack, airport: str) -> Iterator[None]:
    """Stop a site for a while; afterwards all is up again."""
    docker("stop", "--time", "2", f"{PREFIX}site-{airport}")
    try:
        yield
    finally:
        docker("start", f"{PREFIX}site-{airport}")
        stack.wait_until_all_up()


def is_weekly(rule: dict[str, Any]) -> bool:
    return bool(rule["name"] == "VpnRotationUnfinished")


def test_every_tunnel_is_seen_and_every_rule_can_be_computed(
    stack: Stack, watched: tuple[Prometheus, Alertmanager]
) -> None:
    watcher, _ = watched
    assert [target["health"] for target in watcher.targets()] == ["up"]
    up = watcher.query("vpn_connection_up == 1")
    assert {one["metric"]["airport"] for one in up} == set(SITES)
    often = 90  # the slowest group that is waited for is computed once a minute

    def computed() -> bool:
        return all(rule["health"] != "unknown" for rule in watcher.rules() if not is_weekly(rule))

    eventually(computed, often, "every rule was computed")
    assert [rule for rule in watcher.rules() if rule.get("lastError")] == []

    def summed() -> bool:
        # A rule that was first computed before the first scrape has no value until its next turn.
        return watcher.value("instance:vpn_connection_desired:sum") == len(SITES)

    eventually(summed, often, "the sum is that of the stack")


def test_promtool_finds_nothing_to_say_about_our_metrics(stack: Stack) -> None:
    code, text = stack.http("/metrics")
    assert code == 200
    done = subprocess.run(
        ["docker", "run", "--rm", "--interactive", *PROMTOOL, "check", "metrics"],
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_a_site_that_is_cut_is_told_with_what_to_do_and_no_longer_once_it_is_back(
    stack: Stack, watched: tuple[Prometheus, Alertmanager]
) -> None:
    watcher, sender = watched
    with cut(stack, "kspb"):
        eventually(lambda: watcher.alerts("VpnTunnelDown", "pending"), 60, "it is pending")
        eventually(lambda: watcher.alerts("VpnTunnelDown", "firing"), 30, "it fires")
        (told,) = eventually(lambda: sender.alerts("VpnTunnelDown"), 20, "Alertmanager is told")
        assert (
            told["labels"].items()
            >= {
                "airport": "kspb",
                "connection": "kspb_vpn",
                "severity": "warning",
            }.items()
        )
        assert told["status"]["state"] == "active"
        reason = stack.status().connections["kspb_vpn"].reason_code
        said = told["annotations"]
        assert said["summary"] == "kspb_vpn of kspb is down"
        assert said["description"].endswith(f"Reason: {reason}.")
        assert "reasons.md" in said["action"]
        assert said["runbook"] == "docs/reasons.md#failures"
        assert {alert["labels"]["connection"] for alert in watcher.alerts("VpnTunnelDown")} == {
            "kspb_vpn"
        }
    eventually(lambda: not watcher.alerts("VpnTunnelDown"), 30, "it no longer fires")
    eventually(lambda: not sender.alerts("VpnTunnelDown"), 30, "Alertmanager knows that")


def test_a_charon_that_is_killed_is_told_and_holds_back_what_is_said_of_tunnels(
    stack: Stack, watched: tuple[Prometheus, Alertmanager]
) -> None:
    watcher, sender = watched
    with cut(stack, "kspb"):
        eventually(lambda: sender.alerts("VpnTunnelDown"), 60, "Alertmanager is told of the site")
        docker("kill", GATEWAY)
        eventually(lambda: watcher.alerts("VpnDaemonUnreachable", "firing"), 30, "it fires")

        def held_back() -> bool:
            daemons, tunnels = (
                sender.alerts(name) for name in ("VpnDaemonUnreachable", "VpnTunnelDown")
            )
            return (
                [one["fingerprint"] for one in daemons]
                == [by for one in tunnels for by in one["status"]["inhibitedBy"]]
                != []
            )

        eventually(held_back, 20, "the tunnel's alert is held back by the daemon's")
    eventually(lambda: not watcher.alerts("VpnDaemonUnreachable"), 60, "charon is back")
    eventually(lambda: not watcher.alerts("VpnTunnelDown"), 60, "and so are the sites")


def test_the_profile_monitoring_brings_both_up_beside_the_demo(stack: Stack) -> None:
    environment = {**stack.environment, "COMPOSE_PROFILES": "monitoring"}
    before = stack.ike_ids()
    stack.environment, kept = environment, stack.environment
    try:
        printed = stack.demo("up")
    finally:
        stack.environment = kept
    try:
        assert stack.ike_ids() == before, "no tunnel is touched"
        assert f"http://127.0.0.1:{PROMETHEUS_PORT}/classic/alerts" in printed
        assert f"http://127.0.0.1:{ALERTMANAGER_PORT}" in printed
        watcher = Prometheus(COMPOSED[0], PROMETHEUS_PORT)
        sender = Alertmanager(COMPOSED[1], ALERTMANAGER_PORT)
        eventually(lambda: watcher.value('up{job="vpn"}') == 1, 30, "it is scraped")
        eventually(sender.answers, 30, "Alertmanager answers")
        known = watcher.get("/api/v1/alertmanagers")["data"]["activeAlertmanagers"]
        assert [one["url"] for one in known] == ["http://alertmanager:9693/api/v2/alerts"]
        assert "VpnTunnelDown" in {rule["name"] for rule in watcher.rules()}
        assert (
            docker("exec", COMPOSED[1], "amtool", "alert").splitlines()[0].startswith("Alertname")
        )
        for name in COMPOSED:
            keeps_to_itself(name)
    finally:
        # The end of the session shows that `demo down` removes them without the profile.
        docker("stop", "--time", "5", *COMPOSED, check=False)


def keeps_to_itself(container: str) -> None:
    """Check that it is healthy, ordinary, and reached from this machine only."""
    healthy = "{{.State.Health.Status}}"
    eventually(
        lambda: docker("inspect", "--format", healthy, container).strip() == "healthy",
        30,
        f"{container} is healthy",
    )
    found = json.loads(docker("inspect", container))[0]
    assert found["Config"]["User"] == "vpn"
    assert found["HostConfig"]["ReadonlyRootfs"] is True
    assert found["HostConfig"]["CapDrop"] == ["ALL"]
    ports = found["NetworkSettings"]["Ports"].values()
    assert {one["HostIp"] for published in ports for one in published or ()} == {"127.0.0.1"}
