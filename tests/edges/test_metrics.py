"""/metrics: what Prometheus reads, and that nothing is claimed that was not seen."""

import re
from dataclasses import replace
from typing import Any

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
from reconciler.core.history import Stranger
from reconciler.core.observed import ChildSa, Daemon, IkeSa, Observed, Unobserved
from reconciler.core.reasons import FAILURES, Code
from reconciler.core.status import (
    AttemptStatus,
    ConfigurationStatus,
    ConnectionStatus,
    ContainerStatus,
    DaemonStatus,
    LoopStatus,
    State,
    Status,
)
from reconciler.edges.metrics import Metrics
from tests.builders import connection

DAEMON = Daemon("6.0.1", 1_600_000_000, "userspace", 32, 23, 7, 3, 1)
LABELS = {"airport": "kspb", "connection": "kspb_vpn"}


def tunnel(state: State = "up", *, observed: bool = True, **changes: Any) -> ConnectionStatus:
    return ConnectionStatus(
        airport_id="kspb",
        connection_name="kspb_vpn",
        status=state,
        last_connected=0,
        last_disconnected=0,
        uptime_seconds=0,
        health_check="unknown",
        observed=observed,
        since=1_750_000_000,
        **changes,
    )


def status(
    *tunnels: ConnectionStatus, reachable: bool = True, valid: bool = True, reason: str = "timer"
) -> Status:
    return Status(
        timestamp=1_750_000_060,
        connections={one.connection_name: one for one in tunnels},
        daemon=DaemonStatus(
            reachable=reachable, workers_idle=23, workers_total=32, queued_jobs=7, ike_sas=3
        ),
        configuration=ConfigurationStatus(
            path="x",
            valid=valid,
            last_read=2,
            last_valid=1,
            airports_declared=3,
            airports_invalid=("k2",),
            removals_held=("k7", "k8"),
        ),
        reconciler=LoopStatus(version="0", round=1, reasons=(reason,)),
    )


def observed(
    *children: ChildSa, started_at: int = 1_600_000_000, name: str = "kspb_vpn"
) -> Observed:
    sas = (IkeSa(name, "1", "ESTABLISHED", children=children),)
    return Observed(replace(DAEMON, started_at=started_at), {}, frozenset(), sas, frozenset())


def child(unique_id: str, received: int, sent: int = 0, state: str = "INSTALLED") -> ChildSa:
    spi = f"c0{unique_id}"
    return ChildSa("lan", unique_id, state, (), (), received, sent, spi_in=spi)


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


def publish(metrics: Metrics, seen: Observed | Unobserved, found: Status | None = None) -> None:
    metrics.publish(found or status(tunnel()), seen, [], 0.1)


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
    publish(metrics, observed(), status(tunnel(state)))
    for name in ("up", "down", "connecting"):
        expected = float(name == state)
        assert value(metrics, "vpn_connection_state", **LABELS, state=name) == expected
    assert value(metrics, "vpn_connection_up", **LABELS) == float(state == "up")
    assert value(metrics, "vpn_connection_desired", **LABELS) == 1
    last = value(metrics, "vpn_connection_last_transition_timestamp_seconds", **LABELS)
    assert last == 1_750_000_000


def test_failures_are_counted_by_reason_from_zero(metrics: Metrics) -> None:
    publish(metrics, observed(), status(tunnel(failures={Code.WRONG_PSK: 3})))
    for code in FAILURES:
        expected = 3 if code is Code.WRONG_PSK else 0
        series = "vpn_connection_failures_total"
        assert value(metrics, series, **LABELS, reason=code.value) == expected


def test_the_reason_is_a_series_of_tunnels_that_are_not_up(metrics: Metrics) -> None:
    publish(metrics, observed(), status(tunnel("down", reason_code=Code.DEAD_PEER)))
    assert value(metrics, "vpn_connection_reason", **LABELS, reason="dead-peer") == 1
    publish(metrics, observed(), status(tunnel("up")))
    assert not families(metrics)["vpn_connection_reason"].samples


@pytest.mark.parametrize("degraded", [True, False])
def test_a_tunnel_that_is_not_as_declared_is_degraded(metrics: Metrics, degraded: bool) -> None:
    publish(metrics, observed(), status(tunnel(degraded=degraded)))
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
    publish(metrics, observed(), status(tunnel()).model_copy(update={"strangers": (evil,)}))
    assert value(metrics, "vpn_strangers") == 1
    assert "203.0.113.9" not in metrics.text().decode()


def test_while_charon_is_unreachable_nothing_is_said_of_tunnels_or_daemon_but_that(
    metrics: Metrics,
) -> None:
    publish(metrics, observed(child("1", 100)))
    blind = status(tunnel("down", observed=False), reachable=False)
    publish(metrics, Unobserved("no answer"), blind)
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
    publish(metrics, observed(), status(tried))
    assert value(metrics, "vpn_connection_attempts", **LABELS) == 3
    assert value(metrics, "vpn_connection_next_attempt_timestamp_seconds", **LABELS) == 9
    assert value(metrics, "vpn_connection_paused", **LABELS) == 1
    assert value(metrics, "vpn_connection_key_rotation", **LABELS, stage="old") is None
    publish(metrics, observed(), status(tunnel(key_rotation="new")))
    for stage in ("old", "switching", "new"):
        expected = float(stage == "new")
        assert value(metrics, "vpn_connection_key_rotation", **LABELS, stage=stage) == expected
    assert value(metrics, "vpn_connection_attempts", **LABELS) == 0


def test_a_tunnel_that_is_gone_from_the_declaration_is_gone_from_the_metrics(
    metrics: Metrics,
) -> None:
    publish(metrics, observed(child("1", 100)))
    publish(metrics, observed(child("1", 100)), status())
    assert not [
        s for f in families(metrics).values() for s in f.samples if "connection" in s.labels
    ]


def received(metrics: Metrics) -> float | None:
    return value(metrics, "vpn_connection_received_bytes_total", **LABELS)


def test_what_was_carried_before_we_came_is_not_counted_again(metrics: Metrics) -> None:
    """Or each restart of ours would look like a burst of traffic."""
    publish(metrics, observed(child("1", 100, sent=10)))
    assert received(metrics) == 0
    publish(metrics, observed(child("1", 130, sent=10)))
    assert received(metrics) == 30


def test_bytes_go_on_across_a_rekey(metrics: Metrics) -> None:
    publish(metrics, observed())
    publish(metrics, observed(child("1", 100, sent=10)))
    assert received(metrics) == 100
    publish(metrics, observed(child("1", 150, 20, "DELETED"), child("2", 30, 3)))
    assert received(metrics) == 180
    publish(metrics, observed(child("2", 50, 5)))
    assert received(metrics) == 200
    assert value(metrics, "vpn_connection_sent_bytes_total", **LABELS) == 25


def test_bytes_go_on_across_a_reconnect(metrics: Metrics) -> None:
    publish(metrics, observed())
    publish(metrics, observed(child("1", 100)))
    publish(metrics, observed())
    assert received(metrics) == 100
    publish(metrics, observed(child("9", 40)))
    assert received(metrics) == 140


def test_bytes_go_on_across_a_restart_of_the_daemon_whose_ids_begin_anew(
    metrics: Metrics,
) -> None:
    publish(metrics, observed())
    publish(metrics, observed(child("1", 100)))
    again = replace(child("1", 300), spi_in="d7")
    publish(metrics, observed(again, started_at=1_600_009_999))
    assert received(metrics) == 400


def test_bytes_stand_still_while_nobody_looks_and_are_made_up_for(metrics: Metrics) -> None:
    publish(metrics, observed())
    publish(metrics, observed(child("1", 100)))
    publish(metrics, Unobserved("x"), status(tunnel("down", observed=False), reachable=False))
    publish(metrics, observed(child("1", 170)))
    assert received(metrics) == 170


def test_bytes_never_go_back(metrics: Metrics) -> None:
    publish(metrics, observed())
    publish(metrics, observed(child("1", 100)))
    publish(metrics, observed(child("1", 40)))
    assert received(metrics) == 100


def test_bytes_of_connections_that_are_not_ours_are_not_counted(metrics: Metrics) -> None:
    publish(metrics, observed(child("1", 100), name="theirs"))
    assert received(metrics) == 0


def test_actions_are_counted_by_kind_and_result(metrics: Metrics) -> None:
    load, end = Load(connection(), ""), EndIke("kspb_vpn", "1", "")
    outcomes = [Outcome(load), Outcome(load, "refused"), Outcome(end)]
    metrics.publish(status(), observed(), outcomes, 0.1)
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
    metrics.publish(status(), Unobserved("gone"), outcomes, 0.1)
    for result in ("accepted", "failed"):
        assert value(metrics, "vpn_actions_total", action=kind.__name__, result=result) == 1
    expected = 1 if kind is RestartContainer else 0
    assert value(metrics, "vpn_container_restarts_total") == expected


def test_the_container_is_in_exactly_one_state(metrics: Metrics) -> None:
    container = ContainerStatus(
        name="gateway", state="exited", budget_used_up=True, next_attempt=1_750_000_090
    )
    found = status(reachable=False).model_copy(update={"container": container})
    publish(metrics, Unobserved("gone"), found)
    family = families(metrics)["vpn_container_state"]
    assert len(family.samples) == 9
    assert [s.labels["state"] for s in family.samples if s.value] == ["exited"]
    assert value(metrics, "vpn_container_healing_held") == 1
    assert value(metrics, "vpn_container_next_attempt_timestamp_seconds") == 1_750_000_090


def test_without_a_docker_api_nothing_is_said_of_the_container(metrics: Metrics) -> None:
    publish(metrics, observed(), status(tunnel()))
    assert "vpn_container_state" not in families(metrics)
    assert "vpn_container_healing_held" not in families(metrics)


def test_rounds_readings_reasons_and_errors_are_counted(metrics: Metrics) -> None:
    publish(metrics, observed(), status(valid=False, reason="SIGHUP"))
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
    publish(metrics, observed(), status(valid=False))
    assert value(metrics, "vpn_configuration_valid") == 0
    assert value(metrics, "vpn_configuration_last_valid_timestamp_seconds") == 1
    assert value(metrics, "vpn_removals_held") == 2
    assert value(metrics, "vpn_airports", state="declared") == 3
    assert value(metrics, "vpn_airports", state="invalid") == 1
    assert value(metrics, "vpn_airports", state="disabled") == 0


def test_names_units_and_labels_follow_the_rules(metrics: Metrics) -> None:
    publish(metrics, observed(child("1", 100)))
    bounded = {"state", "direction", "result", "action", "reason", "version", "le"}
    for name, family in families(metrics).items():
        assert re.fullmatch(r"vpn_[a-z0-9]+(_[a-z0-9]+)*", name)
        assert family.documentation
        assert not re.search(r"_(ms|milliseconds|minutes|kb|percent|count|sum|bucket)$", name)
        assert (family.type == "counter") == any(s.name.endswith("_total") for s in family.samples)
        for sample in family.samples:
            assert sample.labels.keys() - {"airport", "connection"} <= bounded


def test_no_series_appears_twice(metrics: Metrics) -> None:
    publish(metrics, observed(child("1", 100)))
    lines = [line for line in metrics.text().decode().splitlines() if not line.startswith("#")]
    series = [line.rsplit(" ", 1)[0] for line in lines]
    assert len(series) == len(set(series))
