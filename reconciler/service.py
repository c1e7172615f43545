"""`reconciler run`: the loop with its threads and signals."""

import logging
import signal
import threading
from dataclasses import replace
from types import FrameType

from reconciler.edges import http
from reconciler.edges.container_events import ContainerEvents
from reconciler.edges.manifest import ManifestWatch
from reconciler.edges.metrics import Metrics
from reconciler.edges.vici_client import ViciClient
from reconciler.edges.vici_events import EventListener
from reconciler.loop import Loop
from reconciler.settings import Settings
from reconciler.wakes import Wakes
from reconciler.wiring import real_world
from reconciler.world import Failures

log = logging.getLogger(__name__)
# A charon that hangs must not keep us from ending within 5 s.
_PATIENCE_AT_STOP_S = 3.0


def serve(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT. Tunnels stay up. Raises OSError if the port is taken."""
    wakes, failures, metrics, stopping = Wakes(), Failures(), Metrics(), threading.Event()
    world = replace(real_world(settings, failures), stopping=stopping.is_set)
    loop = Loop(world, wakes, metrics, stopping)
    server = http.HttpServer(
        settings.listen_address,
        {
            "/metrics": lambda: http.metrics_answer(metrics.text()),
            "/healthz": loop.health.healthy,
            "/readyz": loop.health.ready,
            "/status": loop.status_answer,
        },
    )
    watch = ManifestWatch(settings.config_path, wakes.wake)
    events = EventListener(str(settings.vici_socket), wakes.wake, failures.note)
    docker = ContainerEvents(settings.docker_host, settings.charon_container, wakes.wake)
    _handle_signals(stopping, wakes, world.ike)
    dead = _end_when_a_thread_dies(stopping, wakes)
    for part in (server, watch, events, docker):
        part.start()
    log.info("started", extra={"fields": {"listen": settings.listen}})
    try:
        loop.run()
    finally:
        watch.stop()
        events.stop()
        docker.stop()
        server.stop()
    log.info("stopped; tunnels stay up")
    return 1 if dead else 0


def _end_when_a_thread_dies(stopping: threading.Event, wakes: Wakes) -> list[str]:
    """Let a bug in any thread end the process: Docker starts a whole one, and no tunnel drops."""
    dead: list[str] = []

    def note(arguments: threading.ExceptHookArgs) -> None:
        name = arguments.thread.name if arguments.thread else "unknown"
        log.critical(
            "thread died", extra={"fields": {"thread": name}}, exc_info=arguments.exc_value
        )
        dead.append(name)
        stopping.set()
        wakes.wake(f"thread {name} died")

    threading.excepthook = note
    return dead


def _handle_signals(stopping: threading.Event, wakes: Wakes, ike: object) -> None:
    def stop(number: int, _frame: FrameType | None) -> None:
        stopping.set()
        wakes.wake(signal.Signals(number).name)
        if isinstance(ike, ViciClient):
            timer = threading.Timer(_PATIENCE_AT_STOP_S, ike.abort)
            timer.daemon = True
            timer.start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGHUP, lambda *_: wakes.wake("SIGHUP"))
