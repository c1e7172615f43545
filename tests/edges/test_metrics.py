"""/metrics: what Prometheus reads, and that nothing is claimed that was not seen."""

import re
from collections.abc import Mapping

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from reconciler.core.actions import (
    EndIke,
    Load,
    Outcome,
    RestartContainer,
    StartContainer,
    UnpauseContainer,
)
from reconciler.core.failures import Stranger
from reconciler.core.packet_filter import FilterState
from reconciler.core.reasons import FAILURES, Code
from reconciler.core.status import (
    AttemptStatus,
    ContainerStatus,
    DaemonStatus,
    FilterStatus,
    Status,
)
from reconciler.core.tally import Tally
from reconciler.core.transitions import State
from reconciler.edges.metrics import Metrics
from tests.builders import connection
from tests.edges.status_samples import TALLIES, everything, status, tunnel

LABELS = {"airport": "kspb", "connection": "kspb_vpn"}
STATES: tuple[State, ...] = ("up", "down")


def families(metrics: Metrics) -> dict[str, Metric]:
    found = {
        family.name: family for family in text_string_to_metric_families(metrics.text().decode())
    }
    assert found
    return found


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    for family in families(metrics).values():
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return sample.value
    return None


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def publish(
    metrics: Metrics, found: Status | None = None, tallies: Mapping[str, Tally] = TALLIES
) -> None:
    metrics.publish(found or status(tunnel()), tallies, [], 0.1)


def test_before_the_first_round_series_stand_at_zero_and_nothing_is_said_of_tunnels(
    metrics: Metrics,
) -> None:
    for result in ("ok", "charon_unreachable", "failed"):
        assert value(metrics, "vpn_rounds_total", result=result) == 0
    for result in ("ok", "invalid"):
        assert value(metrics, "vpn_configuration_reads_total", result=result) == 0
    for action in ("Load", "Remove", "StartChild", "EndChild", "EndIke", "DropSecret"):
        for result in ("accepted", "failed"):
            assert value(metrics, "vpn_actions_total", action=action, result=result) == 0
    assert value(metrics, "vpn_status_write_errors_total") == 0
    assert value(metrics, "vpn_last_complete_round_timestamp_seconds") == 0
    assert value(metrics, "vpn_log_listening") == 1
    assert value(metrics, "vpn_daemon_reachable") is None
    assert not any(name.startswith("vpn_connection") for name in families(metrics))


@pytest.mark.parametrize("state", ["up", "down", "connecting"])
def test_a_tunnel_is_in_exactly_one_state(metrics: Metrics, state: State) -> None:
    publish(metrics, status(tunnel(state)))
    for name in ("up", "down", "connecting"):
        expected = float(name == state)
        assert value(metrics, "vpn_connection_state", **LABELS, state=name) == expected
    assert value(metrics, "vpn_connection_up", **LABELS) == float(state == "up")
    assert value(metrics, "vpn_connection_desired", **LABELS) == 1
    last = value(metrics, "vpn_connection_last_transition_timestamp_seconds", **LABELS)
    assert last == 1_750_000_000


def test_failures_are_counted_by_reason_from_zero(metrics: Metrics) -> None:
    publish(metrics, status(tunnel(failures={Code.WRONG_PSK: 3})))
    for code in FAILURES:
        expected = 3 if code is Code.WRONG_PSK else 0
        series = "vpn_connection_failures_total"
        assert value(metrics, series, **LABELS, reason=code.value) == expected


def test_the_reason_is_a_series_of_tunnels_that_are_not_up(metrics: Metrics) -> None:
    publish(metrics, status(tunnel("down", reason_code=Code.DEAD_PEER)))
    assert value(metrics, "vpn_connection_reason", **LABELS, reason="dead-peer") == 1
    publish(metrics, status(tunnel("up")))
    assert not families(metrics)["vpn_connection_reason"].samples


def test_times_of_a_tunnel_are_told_whether_it_is_up_or_not(metrics: Metrics) -> None:
    for state in STATES:
        times = {"last_connected": 1_750_000_040, "last_received_at": 1_750_000_050}
        publish(metrics, status(tunnel(state).model_copy(update=times)))
        series = "vpn_connection_{}_timestamp_seconds"
        assert value(metrics, series.format("established"), **LABELS) == 1_750_000_040
        assert value(metrics, series.format("last_received"), **LABELS) == 1_750_000_050


def test_the_hard_expiry_is_a_series_while_there_is_something_to_expire(metrics: Metrics) -> None:
    series = "vpn_connection_hard_expiry_timestamp_seconds"
    publish(metrics, status(tunnel(child_expires_at=1_750_003_600)))
    assert value(metrics, series, **LABELS) == 1_750_003_600
    publish(metrics, status(tunnel("down")))
    assert value(metrics, series, **LABELS) is None


@pytest.mark.parametrize("health", ["pass", "fail", "unknown"])
def test_the_health_is_exactly_one(metrics: Metrics, health: str) -> None:
    publish(metrics, status(tunnel().model_copy(update={"health_check": health})))
    for one in ("pass", "fail", "unknown"):
        found = value(metrics, "vpn_connection_health", **LABELS, health=one)
        assert found == float(one == health)


def test_what_was_counted_is_told(metrics: Metrics) -> None:
    publish(metrics, status(tunnel(establishments=3)))
    for name, expected in (
        ("received_bytes", 1000),
        ("sent_bytes", 2000),
        ("received_packets", 10),
        ("sent_packets", 20),
        ("establishments", 3),
    ):
        assert value(metrics, f"vpn_connection_{name}_total", **LABELS) == expected
    for sa, expected in (("ike", 1), ("child", 4)):
        assert value(metrics, "vpn_connection_rekeys_total", **LABELS, sa=sa) == expected


def test_a_tunnel_that_is_down_keeps_its_counters(metrics: Metrics) -> None:
    publish(metrics, status(tunnel("down")))
    assert value(metrics, "vpn_connection_received_bytes_total", **LABELS) == 1000


def test_a_tunnel_that_never_was_up_begins_at_zero(metrics: Metrics) -> None:
    publish(metrics, status(tunnel("down")), {})
    for name in ("received_bytes", "sent_bytes", "received_packets", "sent_packets"):
        assert value(metrics, f"vpn_connection_{name}_total", **LABELS) == 0
    assert value(metrics, "vpn_connection_establishments_total", **LABELS) == 0
    for sa in ("ike", "child"):
        assert value(metrics, "vpn_connection_rekeys_total", **LABELS, sa=sa) == 0


def test_a_disabled_airport_is_counted_and_never_looks_like_one_that_is_down(
    metrics: Metrics,
) -> None:
    found = status()
    disabled = found.configuration.model_copy(update={"airports_disabled": ("kspb",)})
    publish(metrics, found.model_copy(update={"configuration": disabled}))
    assert value(metrics, "vpn_airports", state="disabled") == 1
    assert "kspb" not in metrics.text().decode()


def test_a_paused_tunnel_that_is_down_says_both(metrics: Metrics) -> None:
    publish(metrics, status(tunnel("down", paused=True, reason_code=Code.PAUSED)))
    assert value(metrics, "vpn_connection_up", **LABELS) == 0
    assert value(metrics, "vpn_connection_paused", **LABELS) == 1
    assert value(metrics, "vpn_connection_reason", **LABELS, reason="paused") == 1


def test_each_flaw_of_a_degraded_tunnel_is_a_series_and_no_other(metrics: Metrics) -> None:
    series = "vpn_connection_degraded_reason"
    publish(metrics, everything())
    found = families(metrics)[series].samples
    assert [s.labels for s in found] == [{**LABELS, "reason": "narrowed-selectors"}]
    publish(metrics)
    assert not families(metrics)[series].samples


def test_the_daemon_is_told(metrics: Metrics) -> None:
    daemon = DaemonStatus(
        reachable=True,
        version="6.0.1",
        running_since=1_749_990_000,
        data_plane="userspace",
        scheduled_jobs=12,
        workers_active={"critical": 4, "medium": 1},
        queues={"low": 5},
    )
    publish(metrics, status().model_copy(update={"daemon": daemon}))
    assert value(metrics, "vpn_daemon_info", version="6.0.1", data_plane="userspace") == 1
    assert value(metrics, "vpn_daemon_start_timestamp_seconds") == 1_749_990_000
    assert value(metrics, "vpn_daemon_scheduled_jobs") == 12
    for priority, active, queued in (
        *(("critical", 4, 0), ("high", 0, 0)),
        *(("medium", 1, 0), ("low", 0, 5)),
    ):
        assert value(metrics, "vpn_daemon_workers_active", priority=priority) == active
        assert value(metrics, "vpn_daemon_queue_jobs", priority=priority) == queued


@pytest.mark.parametrize("degraded", [True, False])
def test_a_tunnel_that_is_not_as_declared_is_degraded(metrics: Metrics, degraded: bool) -> None:
    publish(metrics, status(tunnel(degraded=degraded)))
    assert value(metrics, "vpn_connection_degraded", **LABELS) == degraded


def test_strangers_are_a_number_and_nothing_that_they_say_is_a_label(metrics: Metrics) -> None:
    evil = Stranger(
        remote_address="203.0.113.9",
        claimed_id='x"} 1\nvpn_connection_up{airport="kspb"} 0',
        code=Code.UNKNOWN_ID,
        words="no matching peer config found",
        count=7,
        first_seen=1,
        last_seen=2,
    )
    publish(metrics, status(tunnel()).model_copy(update={"strangers": (evil,)}))
    assert value(metrics, "vpn_strangers") == 1
    assert "203.0.113.9" not in metrics.text().decode()


def test_while_charon_is_unreachable_nothing_is_said_of_tunnels_or_daemon_but_that(
    metrics: Metrics,
) -> None:
    publish(metrics)
    blind = status(tunnel("down", observed=False), reachable=False)
    publish(metrics, blind)
    assert value(metrics, "vpn_daemon_reachable") == 0
    told = {
        name
        for name, family in families(metrics).items()
        if family.samples and re.match(r"vpn_(connection|daemon)_", name)
    }
    # What failed before, was tried and was ordered is remembered, not seen.
    told -= {"vpn_connection_failures", "vpn_connection_attempts", "vpn_connection_paused"}
    told -= {"vpn_connection_next_attempt_timestamp_seconds"}
    assert told == {"vpn_daemon_reachable", "vpn_connection_desired"}
    assert value(metrics, "vpn_rounds_total", result="charon_unreachable") == 1


def test_attempts_pause_and_stage_of_the_key_are_told(metrics: Metrics) -> None:
    made = AttemptStatus(goal="dial", count=3, last_attempt=5, next_attempt=9, made_for="")
    tried = tunnel("down", attempts=(made,), next_attempt=9, paused=True)
    publish(metrics, status(tried))
    assert value(metrics, "vpn_connection_attempts", **LABELS) == 3
    assert value(metrics, "vpn_connection_next_attempt_timestamp_seconds", **LABELS) == 9
    assert value(metrics, "vpn_connection_paused", **LABELS) == 1
    assert value(metrics, "vpn_connection_key_rotation", **LABELS, stage="old") is None
    publish(metrics, status(tunnel(key_rotation="new")))
    for stage in ("old", "switching", "new"):
        expected = float(stage == "new")
        assert value(metrics, "vpn_connection_key_rotation", **LABELS, stage=stage) == expected
    assert value(metrics, "vpn_connection_attempts", **LABELS) == 0


def test_a_tunnel_that_is_gone_from_the_declaration_is_gone_from_the_metrics(
    metrics: Metrics,
) -> None:
    publish(metrics)
    publish(metrics, status())
    assert not [
        s for f in families(metrics).values() for s in f.samples if "connection" in s.labels
    ]


def test_actions_are_counted_by_kind_and_result(metrics: Metrics) -> None:
    load, end = Load(connection(), ""), EndIke("kspb_vpn", "1", "")
    outcomes = [Outcome(load), Outcome(load, "refused"), Outcome(end)]
    metrics.publish(status(), {}, outcomes, 0.1)
    for action, result, count in (
        ("Load", "accepted", 1),
        ("Load", "failed", 1),
        ("EndIke", "accepted", 1),
        ("EndIke", "failed", 0),
    ):
        assert value(metrics, "vpn_actions_total", action=action, result=result) == count


@pytest.mark.parametrize("kind", [StartContainer, UnpauseContainer, RestartContainer])
def test_what_was_done_to_the_container_is_counted_and_its_restarts_by_themselves(
    metrics: Metrics, kind: type[StartContainer | UnpauseContainer | RestartContainer]
) -> None:
    for result in ("accepted", "failed"):
        assert value(metrics, "vpn_actions_total", action=kind.__name__, result=result) == 0
    assert value(metrics, "vpn_container_restarts_total") == 0
    outcomes = [Outcome(kind("gateway", "why")), Outcome(kind("gateway", "why"), "refused")]
    metrics.publish(status(), {}, outcomes, 0.1)
    for result in ("accepted", "failed"):
        assert value(metrics, "vpn_actions_total", action=kind.__name__, result=result) == 1
    expected = 1 if kind is RestartContainer else 0
    assert value(metrics, "vpn_container_restarts_total") == expected


def test_the_container_is_in_exactly_one_state(metrics: Metrics) -> None:
    container = ContainerStatus(
        name="gateway", state="exited", budget_used_up=True, next_attempt=1_750_000_090
    )
    found = status(reachable=False).model_copy(update={"container": container})
    publish(metrics, found)
    family = families(metrics)["vpn_container_state"]
    assert len(family.samples) == 9
    assert [s.labels["state"] for s in family.samples if s.value] == ["exited"]
    assert value(metrics, "vpn_container_healing_held") == 1
    assert value(metrics, "vpn_container_next_attempt_timestamp_seconds") == 1_750_000_090


def test_the_packet_filter_is_in_exactly_one_state_and_its_drops_are_counted(
    metrics: Metrics,
) -> None:
    found = FilterStatus(
        state=FilterState.DRIFTED, as_declared=False, dropped_packets={"unasked": 7}
    )
    publish(metrics, status(reachable=False).model_copy(update={"packet_filter": found}))
    found_in = families(metrics)
    samples = found_in["vpn_packet_filter_state"].samples
    assert {s.labels["state"]: s.value for s in samples} == {
        state: float(state == "drifted") for state in FilterState
    }
    assert value(metrics, "vpn_packet_filter_as_declared") == 0
    samples = found_in["vpn_packet_filter_dropped_packets"].samples
    assert {s.labels["cause"]: s.value for s in samples} == {
        "redirects": 0,
        "spoofed": 0,
        "unasked": 7,
    }


def test_without_a_packet_filter_nothing_is_said_of_one(metrics: Metrics) -> None:
    publish(metrics, status())
    assert not any(name.startswith("vpn_packet_filter") for name in families(metrics))


def test_without_a_docker_api_nothing_is_said_of_the_container(metrics: Metrics) -> None:
    publish(metrics, status(tunnel()))
    assert "vpn_container_state" not in families(metrics)
    assert not any(
        name.startswith("vpn_container_") and name != "vpn_container_restarts"
        for name in families(metrics)
    )


@pytest.mark.parametrize("health", ["healthy", "unhealthy", "starting", ""])
def test_the_health_of_the_container_is_exactly_one(metrics: Metrics, health: str) -> None:
    container = ContainerStatus(name="gateway", state="running", health=health, restart_count=7)
    publish(metrics, status().model_copy(update={"container": container}))
    family = families(metrics)["vpn_container_health"]
    assert [s.labels["health"] for s in family.samples if s.value] == [health or "none"]
    assert len(family.samples) == 4
    assert value(metrics, "vpn_container_docker_restarts") == 7


@pytest.mark.parametrize("state", ["missing", "unknown"])
def test_of_a_container_that_could_not_be_inspected_no_number_is_claimed(
    metrics: Metrics, state: str
) -> None:
    container = ContainerStatus(name="gateway", state=state)
    publish(metrics, status().model_copy(update={"container": container}))
    assert value(metrics, "vpn_container_state", state=state) == 1
    assert "vpn_container_health" not in families(metrics)
    assert "vpn_container_docker_restarts" not in families(metrics)


def test_rounds_readings_reasons_and_errors_are_counted(metrics: Metrics) -> None:
    publish(metrics, status(valid=False, reason="SIGHUP"))
    metrics.count_failed_round()
    metrics.count_status_error()
    assert value(metrics, "vpn_rounds_total", result="ok") == 1
    assert value(metrics, "vpn_rounds_total", result="failed") == 1
    assert value(metrics, "vpn_round_wakes_total", reason="SIGHUP") == 1
    assert value(metrics, "vpn_configuration_reads_total", result="invalid") == 1
    assert value(metrics, "vpn_status_write_errors_total") == 1
    assert value(metrics, "vpn_round_duration_seconds_count") == 1
    assert value(metrics, "vpn_last_complete_round_timestamp_seconds") == 1_750_000_060


def test_the_configuration_is_told(metrics: Metrics) -> None:
    publish(metrics, status(valid=False))
    assert value(metrics, "vpn_configuration_valid") == 0
    assert value(metrics, "vpn_configuration_last_valid_timestamp_seconds") == 1
    assert value(metrics, "vpn_removals_held") == 2
    assert value(metrics, "vpn_airports", state="declared") == 3
    assert value(metrics, "vpn_airports", state="invalid") == 1
    assert value(metrics, "vpn_airports", state="disabled") == 0


def test_what_failed_in_a_round_is_counted(metrics: Metrics) -> None:
    assert value(metrics, "vpn_round_errors_total") == 0
    found = status(tunnel())
    loop = found.reconciler.model_copy(update={"errors": ("state not written", "deaf")})
    publish(metrics, found.model_copy(update={"reconciler": loop}))
    assert value(metrics, "vpn_round_errors_total") == 2


def test_names_units_and_labels_follow_the_rules(metrics: Metrics) -> None:
    publish(metrics, everything())
    bounded = {"state", "direction", "result", "action", "reason", "version", "le", "sa"}
    bounded |= {"health", "priority", "stage", "data_plane", "cause"}
    for name, family in families(metrics).items():
        assert re.fullmatch(r"vpn_[a-z0-9]+(_[a-z0-9]+)*", name)
        assert family.documentation
        assert not re.search(r"_(ms|milliseconds|minutes|kb|percent|count|sum|bucket)$", name)
        assert (family.type == "counter") == any(s.name.endswith("_total") for s in family.samples)
        for sample in family.samples:
            assert sample.labels.keys() - {"airport", "connection"} <= bounded


def test_no_series_appears_twice_and_no_family_is_torn(metrics: Metrics) -> None:
    publish(metrics, everything())
    lines = metrics.text().decode().splitlines()
    series = [line.rsplit(" ", 1)[0] for line in lines if not line.startswith("#")]
    assert len(series) == len(set(series))
    helped = [line.split()[2] for line in lines if line.startswith("# HELP")]
    typed = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert helped == typed
    assert len(helped) == len(set(helped))
    assert metrics.text().endswith(b"\n")


def test_whatever_an_airport_is_called_the_page_can_be_read(metrics: Metrics) -> None:
    name = 'k"s\\p\nb'
    found = tunnel().model_copy(update={"airport_id": name, "connection_name": name})
    publish(metrics, status(found), {})
    labels = {"airport": name, "connection": name}
    assert value(metrics, "vpn_connection_up", **labels) == 1
    assert value(metrics, "vpn_connection_state", **labels, state="up") == 1
