"""What happened is written down, with reasons, and survives whoever wrote it."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.docker import docker, eventually
from tests.e2e.stack import PREFIX, PROJECT, RECONCILER, Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def history(*arguments: str) -> list[dict[str, Any]]:
    printed = docker("exec", RECONCILER, "reconciler", "history", "--json", *arguments)
    return list(json.loads(printed))


def steps(*arguments: str) -> list[tuple[str, str]]:
    """Return the changes of the status, oldest first, as people tell them."""
    found = [(one["from_status"], one["to_status"]) for one in history(*arguments)[::-1]]
    return [(before, after) for before, after in found if "up" in (before, after)]


@contextlib.contextmanager
def cut_off(stack: Stack, container: str) -> Iterator[None]:
    """Let nothing get in or out meanwhile."""
    rules = [
        [chain, way, "eth0", "-j", "DROP"] for chain, way in (("INPUT", "-i"), ("OUTPUT", "-o"))
    ]
    for rule in rules:
        stack.inside(container, "iptables", "-I", *rule)
    try:
        yield
    finally:
        for rule in rules:
            stack.inside(container, "iptables", "-D", *rule)


def test_a_site_that_is_cut_and_returns_is_told_with_the_reason_and_whatever_happens_kept(
    stack: Stack,
) -> None:
    earlier = len(history("kspb"))
    with cut_off(stack, f"{PREFIX}site-kspb"):
        eventually(lambda: not stack.is_up("kspb_vpn"), 90, "down")
        eventually(lambda: history("kspb")[0]["reason_code"] == "dead-peer", 20, "told why")
    stack.wait_until_all_up(90)
    eventually(lambda: history("kspb")[0]["to_status"] == "up", 10, "told that it is back")
    new = history("kspb")[: len(history("kspb")) - earlier][::-1]
    outage = next(one for one in new if one["from_status"] == "up")
    assert (outage["airport_id"], outage["connection_name"]) == ("kspb", "kspb_vpn")
    assert "stopped answering" in " ".join(one["reason"] for one in new)
    assert "dead-peer" in {one["reason_code"] for one in new}
    assert outage["lasted_s"] == new[-1]["at"] - outage["at"]
    assert (new[-1]["to_status"], new[-1]["reason_code"], new[-1]["lasts"]) == ("up", "", True)

    shown = stack.status().connections["kspb_vpn"].transitions
    told = history("kspb")[::-1]
    assert [one.at for one in shown] == [one["at"] for one in told]

    log = stack.container_log(RECONCILER)
    lines = [json.loads(line) for line in log if '"transition"' in line]
    down = [one for one in lines if one["connection"] == "kspb_vpn" and one["from"] == "up"]
    assert (down[-1]["level"], down[-1]["airport"]) == ("warning", "kspb")

    before = told_by_all()
    docker("restart", RECONCILER)
    stack.wait_until_ready()
    assert told_by_all() == before
    stack.kill(RECONCILER)
    stack.wait_until_ready()
    stack.wait_until_all_up()
    assert told_by_all() == before
    assert [one.at for one in stack.status().connections["kspb_vpn"].transitions] == [
        one["at"] for one in told
    ]


def told_by_all() -> list[tuple[str, int, str]]:
    return [(one["connection_name"], one["at"], one["to_status"]) for one in history()]


def test_what_happens_while_the_reconciler_is_away_is_told_when_it_is_back(stack: Stack) -> None:
    docker("stop", RECONCILER)
    site = f"{PREFIX}site-kczk"
    try:
        docker("stop", site)
        docker("start", RECONCILER)
        eventually(lambda: not stack.is_up("kczk_vpn"), 60, "told as down")
        eventually(lambda: steps("kczk")[-1] == ("up", "down"), 10, "written down")
    finally:
        docker("start", RECONCILER)
        docker("start", site)
    stack.wait_until_all_up(90)
    eventually(lambda: steps("kczk")[-1][1] == "up", 10, "written down")


def test_the_history_can_be_read_without_the_reconciler_and_a_stranger_is_refused(
    stack: Stack,
) -> None:
    docker("stop", RECONCILER)
    try:
        mounts = ("--volume", f"{PROJECT}_state:/var/lib/reconciler:ro")
        files = ("--volume", f"{stack.folder}:/config:ro")
        printed = docker("run", "--rm", *mounts, *files, "vpn-reconciler", "history", "kspb")
        assert "kspb_vpn" in printed
        assert "so far" not in printed
    finally:
        docker("start", RECONCILER)
    stack.wait_until_ready()
    assert docker("exec", RECONCILER, "reconciler", "history", "knone", check=False) == ""
    where = ("stat", "--format", "%a", "/var/lib/reconciler/history.jsonl")
    assert docker("exec", RECONCILER, *where).strip() == "600"
