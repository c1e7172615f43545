"""What people read: the table of tunnels, the plan, times and sizes."""

import pytest

from reconciler.core.actions import EndIke, Load, Remove
from reconciler.core.failures import Stranger
from reconciler.core.negotiated import Flaw
from reconciler.core.reasons import Code, Side
from reconciler.core.status import (
    ConnectionStatus,
    ContainerStatus,
    DegradedReason,
    FaultStatus,
    ProbeStatus,
)
from reconciler.text import View, duration, plan_text, size, status_text
from tests.builders import connection
from tests.edges.test_status_file import CONNECTION, status

NOW = 1_750_000_060
UP = CONNECTION.model_copy(
    update={
        "since": NOW - 7200,
        "remote_address": "198.51.100.7",
        "remote_port": 4500,
        "received_bytes": 12_300_000,
        "sent_bytes": 512,
    }
)
DOWN = CONNECTION.model_copy(
    update={
        "airport_id": "kczk",
        "connection_name": "kczk_vpn",
        "status": "down",
        "reason": "no IKE_SA; the site must dial in",
        "who_must_act": Side.SITE,
        "last_error": "NO_PROPOSAL_CHOSEN",
    }
)


def text(*connections: ConnectionStatus, colour: bool = False, **changes: object) -> str:
    named = {one.connection_name: one for one in connections}
    made = status(NOW - 5).model_copy(update={"connections": named, **changes})
    return status_text(made, NOW, View(colour=colour))


def test_the_table_has_a_line_for_each_tunnel_in_order_of_name() -> None:
    lines = text(UP, DOWN).splitlines()
    assert lines[0].split() == [
        *["AIRPORT", "CONNECTION", "STATUS", "FOR", "PEER", "RECEIVED", "SENT"],
        *["MUST", "ACT", "REASON"],
    ]
    assert lines[1].split()[:4] == ["kczk", "kczk_vpn", "down", "-"]
    assert lines[1].endswith("  site      no IKE_SA; the site must dial in; NO_PROPOSAL_CHOSEN")
    assert lines[2].split() == [
        *["kspb", "kspb_vpn", "up", "2h", "198.51.100.7:4500", "12.3", "MB", "512", "B", "-", "-"]
    ]
    assert "1 of 2 up, as of 5s ago" in lines


def test_a_tunnel_that_is_up_but_not_as_declared_says_so() -> None:
    flaw = DegradedReason(code=Flaw.NO_NAT_TRAVERSAL, text="ESP is not wrapped in UDP")
    worse = UP.model_copy(update={"degraded": True, "degraded_reasons": (flaw,)})
    assert text(worse).splitlines()[1].endswith("degraded: ESP is not wrapped in UDP")


def stranger(number: int = 9, **changes: object) -> Stranger:
    made = Stranger(
        remote_address=f"203.0.113.{number}",
        claimed_id="other.remote",
        code=Code.UNKNOWN_ID,
        words="no matching peer config found",
        count=4,
        first_seen=NOW - 600,
        last_seen=NOW - 3,
    )
    return made.model_copy(update=changes)


def test_a_stranger_is_told_with_its_address_and_what_it_says_of_itself() -> None:
    lines = text(UP, strangers=(stranger(),)).splitlines()
    assert (
        "stranger: 203.0.113.9 calls itself 'other.remote': unknown-id, 4 times, last 3s ago"
        in lines
    )
    lines = text(UP, strangers=(stranger(claimed_id="", count=1),)).splitlines()
    assert "stranger: 203.0.113.9: unknown-id, 1 time, last 3s ago" in lines


def test_of_many_strangers_the_latest_are_told() -> None:
    lines = text(UP, strangers=tuple(stranger(n) for n in range(50))).splitlines()
    told = [line for line in lines if line.startswith("stranger")]
    assert len(told) == 10
    assert "203.0.113.49" in told[0]
    assert "and 40 more strangers; see reconciler status --json" in lines


def test_columns_stand_below_each_other() -> None:
    heading, *rows = text(UP, DOWN).splitlines()[:3]
    column = heading.index("STATUS")
    assert [row[column:].split()[0] for row in rows] == ["down", "up"]


def test_colours_show_on_a_terminal_and_nowhere_else() -> None:
    assert "\x1b" not in text(UP, DOWN)
    coloured = text(UP, DOWN, colour=True)
    assert "\x1b[31mdown\x1b[0m" in coloured
    assert "\x1b[32mup\x1b[0m" in coloured


def test_whatever_needs_attention_stands_below_the_table() -> None:
    made = status()
    fault = FaultStatus(path="airports.k1.vpn.psk", message="is weak", severity="warning")
    found = text(
        UP,
        daemon=made.daemon.model_copy(update={"reachable": False, "error": "no answer"}),
        configuration=made.configuration.model_copy(
            update={"faults": (fault,), "removals_held": ("k1", "k2")}
        ),
        reconciler=made.reconciler.model_copy(update={"errors": ("disk full",)}),
    )
    assert "charon can't be asked: no answer" in found
    assert "warning: airports.k1.vpn.psk: is weak" in found
    assert "held: removal of k1, k2; confirm with: reconciler apply --allow-removals" in found
    assert "error: disk full" in found


def test_a_last_good_or_held_tunnel_says_so_in_its_line() -> None:
    kept = UP.model_copy(update={"last_good": True})
    held = DOWN.model_copy(update={"removal_held": True})
    lines = text(kept, held).splitlines()
    assert lines[1].endswith("NO_PROPOSAL_CHOSEN; removal held")
    assert lines[2].endswith("last good declaration, the new one is faulty")


def test_what_is_wrong_with_the_container_and_what_is_done_about_it_stands_below_the_table() -> (
    None
):
    ill = ContainerStatus(
        name="gateway",
        state="exited",
        problem="stopped with exit code 1",
        next_attempt=NOW + 40,
        last_action="StartContainer: stopped with exit code 1",
        last_action_at=NOW - 7200,
    )
    lines = text(DOWN, container=ill).splitlines()
    assert "container gateway: stopped with exit code 1; acted upon in 40s" in lines
    assert "container gateway: 2h ago StartContainer: stopped with exit code 1" in lines
    held = ill.model_copy(update={"held": "HEAL_CONTAINER=no", "next_attempt": 0})
    lines = text(DOWN, container=held).splitlines()
    assert "container gateway: stopped with exit code 1" in lines
    assert "container gateway: held: HEAL_CONTAINER=no" in lines


def test_of_a_container_that_is_well_nothing_is_said() -> None:
    assert "container" not in text(UP, container=ContainerStatus(name="gateway", state="running"))


def test_a_docker_api_that_does_not_answer_is_told() -> None:
    unknown = ContainerStatus(name="gateway", state="unknown", error="Docker API: refused")
    assert "container gateway: Docker API: refused" in text(UP, container=unknown).splitlines()


def test_without_tunnels_the_table_is_a_heading() -> None:
    assert "0 of 0 up" in text()


def test_a_plan_says_what_why_and_who_loses_packets() -> None:
    found = plan_text(
        [Remove("kczk_vpn", (), "no longer declared"), Load(connection(), "not loaded")],
        ["warning: x"],
    )
    lines = found.splitlines()
    assert lines[1].startswith("-  Remove  kczk_vpn    no longer declared")
    assert "kczk_vpn loses its tunnel for good" in lines[1]
    assert lines[2].startswith("+  Load    kspb_vpn    not loaded")
    assert lines[2].endswith("nobody loses packets")
    assert lines[3:] == ["", "2 changes", "warning: x"]


def test_one_change_is_not_several() -> None:
    assert "1 change\n" in plan_text([EndIke("k", "1", "x")]) + "\n"
    assert "~  EndIke" in plan_text([EndIke("k", "1", "x")])


def test_nothing_to_do_is_said() -> None:
    assert plan_text([]) == "nothing to do"
    assert plan_text([], ["warning: x"]) == "nothing to do\nwarning: x"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, "0s"), (119, "119s"), (120, "2m"), (7199, "119m"), (7200, "2h"), (172_800, "2d")],
)
def test_durations_are_short(seconds: int, expected: str) -> None:
    assert duration(seconds) == expected


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (12_345_678, "12.3 MB"),
        (10**9, "1.0 GB"),
        (10**16, "10000.0 TB"),
    ],
)
def test_sizes_are_short(count: int, expected: str) -> None:
    assert size(count) == expected


def test_a_failing_probe_is_told_once_and_not_as_if_no_packet_came_back() -> None:
    text = "the tunnel is up, but 192.168.1.100:80 does not answer: refuses the connection"
    probe = ProbeStatus(
        target="192.168.1.100:80",
        kind="tcp",
        success=False,
        round_trip_s=0.0,
        last_run=90,
        failures_in_a_row=3,
        detail="refuses the connection",
    )
    reason = DegradedReason(code=Flaw.PROBE_FAILED, text=text, who_must_act=Side.SITE)
    seen = {"health_check": "fail", "probe": probe, "degraded_reasons": (reason,)}
    tunnel = CONNECTION.model_copy(update=seen)
    found = status().model_copy(update={"connections": {"kspb_vpn": tunnel}})
    line = status_text(found, 100)
    assert text in line
    assert "no packet comes back" not in line


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ({"health_check": "fail"}, "no packet comes back"),
        ({"paused": True}, "paused"),
        ({"paused": True, "paused_until": 160}, "paused for 60s more"),
        ({"key_rotation": "old"}, "the site uses the old key"),
        ({"key_rotation": "new"}, "the site uses the new key: next_psk can become psk"),
    ],
)
def test_what_is_worth_a_word_stands_beside_the_tunnel(seen: dict[str, object], words: str) -> None:
    tunnel = CONNECTION.model_copy(update=seen)
    found = status().model_copy(update={"connections": {"kspb_vpn": tunnel}})
    assert words in status_text(found, 100)
