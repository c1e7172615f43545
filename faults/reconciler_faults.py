"""Faults of the reconciler itself, and of its clock."""

import time

from faults.fault import Fault, Play
from faults.stage import STAND_IN, Stage
from tests.docker import docker, eventually, run
from tests.e2e.stack import (
    PREFIX,
    RECONCILER,
    ROOT,
    Airports,
    declaration,
    new_psk,
    toggle_lifetime,
)

_POINTS_AT_MOST = 400
_AWAY_S = 600.0
_HOUR_S = 3600
_EDITS = 10
_CLOCK_IMAGE = f"{PREFIX}faketime"
_CLOCK_DOCKERFILE = """\
FROM vpn-reconciler
USER root
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends libfaketime
USER vpn
"""
_KILLED = 247  # SIGKILL, as fault_point.py tells it


def killed_at_every_point(play: Play) -> None:
    """Each time with an addition, a change and a removal to do; its successor does the rest."""
    stage = play.stage
    play.undo.callback(stage.write, stage.airports_file.read_text())
    play.undo.callback(docker, "start", RECONCILER)
    for number in range(1, _POINTS_AT_MOST):
        docker("stop", RECONCILER)
        _give_work(stage, number)
        code, passed = _round_that_dies(stage, number)
        if code == 0:
            assert len(play.points) == number - 1
            break
        assert code == _KILLED, f"point {number}: exit {code}\n{passed}"
        play.points.append(passed.splitlines()[-1])
        play.counts_from_here()
        docker("start", RECONCILER)
        try:
            play.heal()
        except AssertionError as error:
            raise AssertionError(f"killed after {play.points[-1]}: {error}") from error
    docker("start", RECONCILER)


def _give_work(stage: Stage, number: int) -> None:
    """Add one airport, remove that of the last time, change a third."""

    def change(airports: Airports) -> None:
        airports.pop(f"point{number - 1}", None)
        added = declaration("", new_psk(), f"10.80.{number % 250}.0/24")
        airports[f"point{number}"] = added
        toggle_lifetime(airports)

    stage.edit(change)


def _round_that_dies(stage: Stage, number: int) -> tuple[int, str]:
    volume = f"{ROOT}/faults/inside/fault_point.py:/fault_point.py:ro"
    with stage.another_reconciler(
        "/fault_point.py", str(number), volumes=(volume,), program="python"
    ) as name:
        code = int(docker("wait", name))
        return code, "\n".join(
            line for line in docker("logs", name).splitlines() if line[:1].isdecimal()
        )


def away_while_the_file_changes_twice(play: Play) -> None:
    """Both edits come into force when it is back, and meanwhile nothing drops."""
    stage, psk = play.stage, new_psk()
    lan, camera = "192.168.77.0/24", "192.168.77.100"
    before = stage.airports_file.read_text()

    def forget() -> None:
        stage.cameras.pop("kxyz", None)
        stage.write(before)

    play.undo.enter_context(stage.site("kxyz", psk, lan, camera))
    play.undo.callback(forget)
    play.begins()
    play.undo.callback(docker, "start", RECONCILER)
    docker("stop", RECONCILER)
    play.let_pass(_AWAY_S / 3)
    stage.edit(lambda airports: airports.update(kxyz=declaration("kxyz", psk, lan)))
    play.let_pass(2 * _AWAY_S / 3)
    stage.edit(toggle_lifetime)
    play.let_pass(_AWAY_S)
    play.pings.add(camera)
    stage.cameras["kxyz"] = camera
    docker("start", RECONCILER)
    play.counts_from_here()


def two_at_once(play: Play) -> None:
    """One acts, the other stands by, and takes over when the first is gone."""
    stage = play.stage
    play.undo.callback(docker, "start", RECONCILER)
    play.undo.callback(stage.write, stage.airports_file.read_text())
    environment = {"LISTEN": "127.0.0.1:9591"}
    with stage.another_reconciler("run", environment=environment):
        eventually(lambda: docker("logs", STAND_IN, both=True).strip(), 20, "the second says so")
        for _ in range(_EDITS):
            before = _keys_of(stage, "k80_vpn")
            _declare_one(stage, "k80")
            eventually(lambda old=before: _keys_of(stage, "k80_vpn") - old, 10, "in force")  # type: ignore[misc]
        # Whoever stands by must not do the same a moment later.
        time.sleep(3)
        acted = [name for name in (RECONCILER, STAND_IN) if _has_acted(name, play.began)]
        assert len(acted) == 1, f"not one of the two acted: {acted}"
        docker("stop", RECONCILER)
        play.counts_from_here()
        at_s = time.monotonic()
        _declare_one(stage, "k81")
        eventually(lambda: _keys_of(stage, "k81_vpn"), 35, "the second takes over")
        play.took(time.monotonic() - at_s)
        docker("start", RECONCILER)
    play.counts_from_here()
    play.heal()


def _declare_one(stage: Stage, airport: str) -> None:
    """Declare it, with a new key each time."""
    lan = f"10.80.{airport[1:]}.0/24"
    stage.edit(lambda airports: airports.update({airport: declaration(airport, new_psk(), lan)}))


def _keys_of(stage: Stage, connection: str) -> set[str]:
    return {id_ for id_ in stage.look().secret_ids if id_.startswith(f"{connection}#")}


def _has_acted(container: str, since: float) -> bool:
    log = docker("logs", "--since", f"{since:.3f}", container, both=True)
    return any('"message": "action"' in line for line in log.splitlines())


def clock_jumps(play: Play, by_s: int) -> None:
    """Set the reconciler's clock alone (libfaketime); charon's intervals come from another."""
    stage = play.stage
    folder = stage.folder / "clock"
    folder.mkdir(exist_ok=True)
    offset = folder / "offset"
    offset.write_text("+0\n")
    folder.chmod(0o755)
    docker("build", "--quiet", "--tag", _CLOCK_IMAGE, "-", stdin=_CLOCK_DOCKERFILE.encode())
    environment = {
        "LD_PRELOAD": _library(),
        "FAKETIME_TIMESTAMP_FILE": "/clock/offset",
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }
    play.undo.callback(docker, "start", RECONCILER)
    play.undo.callback(setattr, stage, "reconciler", RECONCILER)
    docker("stop", RECONCILER)
    play.undo.enter_context(
        stage.another_reconciler(
            "run", image=_CLOCK_IMAGE, environment=environment, volumes=(f"{folder}:/clock:ro",)
        )
    )
    stage.reconciler = STAND_IN
    play.undo.callback(setattr, stage, "clock_offset_s", 0)
    stage.wait_until_ready()
    for seconds in (by_s, 0):
        actions, ids = stage.actions_done(), stage.ike_ids()
        rounds = stage.status().reconciler.round
        offset.write_text(f"{seconds:+}\n")
        stage.clock_offset_s = seconds
        play.begins() if seconds else play.counts_from_here()
        play.heal()
        # The timer wakes it in its own time: a clock that was set is no event.
        eventually(lambda at=rounds: stage.status().reconciler.round > at + 1, 60, "rounds go on")  # type: ignore[misc]
        assert stage.actions_done() == actions, "a clock that was set made it act"
        assert stage.ike_ids() == ids, "a clock that was set cost a tunnel"


def _library() -> str:
    find = "find /usr/lib -name libfaketime.so.1"
    return run("docker", "run", "--rm", "--entrypoint", "sh", _CLOCK_IMAGE, "-c", find).strip()


FAULTS = (
    Fault(
        "reconciler-killed",
        "the reconciler is killed in each step of a round",
        killed_at_every_point,
        45,
        # Its tunnel is replaced at each point. A packet that leaves the site by the new one in the
        # millisecond before the hub has that, too, is lost.
        ("kspb",),
        counted_from="the start of its successor, in each step",
        at_most=2,
    ),
    Fault(
        "reconciler-away",
        "the reconciler is stopped for 10 min, while the file changes twice",
        away_while_the_file_changes_twice,
        30,
        counted_from="its start",
    ),
    Fault(
        "two-reconcilers",
        "two reconcilers run at once, then the first ends",
        two_at_once,
        45,
        counted_from="the end of the first",
    ),
    Fault(
        "clock-ahead",
        "the reconciler's clock jumps ahead by 1 h, and later back",
        lambda play: clock_jumps(play, _HOUR_S),
        45,
        counted_from="each jump",
    ),
    Fault(
        "clock-back",
        "the reconciler's clock jumps back by 1 h, and later ahead",
        lambda play: clock_jumps(play, -_HOUR_S),
        45,
        counted_from="each jump",
    ),
)
