"""Faults of Docker: the engine, and the way to it."""

from faults.engine import restart, why_not_restartable
from faults.fault import ALL, Fault, Play
from faults.stage import PROXY
from tests.docker import docker

_AWAY_S = 30.0


def engine_restarted(play: Play) -> None:
    restart()
    play.counts_from_here()


def proxy_gone(play: Play) -> None:
    """Meanwhile an edit must come into force: everything else goes on."""
    stage = play.stage
    play.undo.callback(docker, "start", PROXY)
    docker("kill", PROXY)
    stage.wait_until_container_is_told("unknown", within_s=_AWAY_S)
    stage.edit_and_wait(within_s=10)
    play.let_pass(_AWAY_S)
    docker("start", PROXY)
    play.counts_from_here()


FAULTS = (
    Fault(
        "engine-restarted",
        "Docker Engine is restarted, and all containers with it",
        engine_restarted,
        90,
        ALL,
        counted_from="when the engine answers again",
        needs=why_not_restartable,
    ),
    Fault(
        "docker-proxy-gone",
        "the Docker API proxy is gone for 30 s; meanwhile the file is edited",
        proxy_gone,
        40,
        counted_from="when it is back",
    ),
)
