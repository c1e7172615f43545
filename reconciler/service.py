"""`reconciler run`: the loop with its threads and signals."""

import logging
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Protocol

from reconciler.edges import http
from reconciler.edges.ask import ask
from reconciler.edges.container_events import ContainerEvents
from reconciler.edges.dns import Names, Resolver
from reconciler.edges.file_watch import FileWatch
from reconciler.edges.http_access import AccessError, Certificate, Token
from reconciler.edges.journal import Journal, journal_file
from reconciler.edges.metrics import Metrics
from reconciler.edges.probe_metrics import ProbeMetrics
from reconciler.edges.probes import Prober
from reconciler.edges.state import orders_file
from reconciler.edges.vici_client import ViciClient
from reconciler.edges.vici_events import EventListener
from reconciler.errors import UsageError
from reconciler.loop import Health, Loop
from reconciler.recent import RecentLogs
from reconciler.settings import Settings
from reconciler.wakes import Wakes
from reconciler.wiring import real_world
from reconciler.world import Evidence, World

log = logging.getLogger(__name__)
# A charon that hangs must not keep us from ending within 5 s.
_PATIENCE_AT_STOP_S = 3.0
_STAND_BY_S = 0.5


class _Worker(Protocol):
    """A thread of ours."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


def serve(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT. Tunnels stay up.

    Raises OSError if the port is taken, UsageError if token or certificate can't be used.
    """
    wakes, evidence, metrics, stopping = Wakes(), Evidence(), Metrics(), threading.Event()
    recent, leads = RecentLogs(settings.state_dir), threading.Event()
    names = Names(Resolver(), lambda: wakes.wake("names changed"))
    prober = Prober(ask, lambda: wakes.wake("probe changed")) if settings.makes_probes else None
    world = _world(settings, evidence, stopping, names, prober)
    loop = Loop(world, wakes, metrics, stopping)
    if prober is not None:
        ProbeMetrics(metrics.registry, prober, lambda: loop.status, world.clock.monotonic_s)
    server = _http_server(settings, metrics, loop)
    workers: list[_Worker] = [
        FileWatch(settings.config_path, "airports.json changed", wakes.wake),
        FileWatch(orders_file(settings.state_dir), "orders changed", wakes.wake),
        names,
        *([prober] if prober is not None else []),
        _event_listener(settings, wakes, evidence, metrics, _hear_while_leading(recent, leads)),
        ContainerEvents(settings.docker_host, settings.charon_container, wakes.wake),
    ]
    _handle_signals(stopping, wakes, world.ike)
    dead = _end_when_a_thread_dies(stopping, wakes)
    server.start()
    recent.start()
    for worker in workers:
        worker.start()
    _say_started(settings)
    try:
        if wait_for_the_lead(world, loop.health, stopping):
            leads.set()
            metrics.leading.set(1)
            loop.run()
    finally:
        for worker in workers:
            worker.stop()
        server.stop()
        log.info("stopped; tunnels stay up")
        recent.stop()
    return 1 if dead else 0


def _world(
    settings: Settings,
    evidence: Evidence,
    stopping: threading.Event,
    names: Names,
    prober: Prober | None,
) -> World:
    world = replace(
        real_world(settings, evidence),
        stopping=stopping.is_set,
        names=names.want,
        journal=Journal(journal_file(settings.state_dir)),
    )
    if prober is None:
        return world
    return replace(
        world, probe=prober.watch, probed=prober.records, why_not_probed=prober.why_stuck
    )


def _http_server(settings: Settings, metrics: Metrics, loop: Loop) -> http.HttpServer:
    return http.HttpServer(
        settings.listen_address,
        {
            "/metrics": lambda: http.metrics_answer(metrics.parts()),
            "/healthz": loop.health.healthy,
            "/readyz": loop.health.ready,
            "/status": loop.status_answer,
        },
        http_access(settings),
    )


def _event_listener(
    settings: Settings,
    wakes: Wakes,
    evidence: Evidence,
    metrics: Metrics,
    hear: Callable[..., None],
) -> EventListener:
    def note_deaf(why: str) -> None:
        evidence.deaf = why
        metrics.log_listening.set(not why)

    return EventListener(
        *(str(settings.vici_socket), wakes.wake, evidence.note, note_deaf),
        note_ended=evidence.note_ended,
        note_life=evidence.note_life,
        hear=hear,
    )


def _hear_while_leading(recent: RecentLogs, leads: threading.Event) -> Callable[..., None]:
    """Keep charon's words once: who stands by hears the same as who keeps the hub."""

    def hear(*line: str) -> None:
        if leads.is_set():
            recent.hear(*line)

    return hear


def _say_started(settings: Settings) -> None:
    log.info("started", extra={"fields": {"listen": settings.listen}})
    if settings.is_open:
        fields = {"listen": settings.listen, "missing": "HTTP_TOKEN_FILE"}
        log.info("whoever reaches the port may read metrics and status", extra={"fields": fields})


def http_access(settings: Settings) -> http.Access:
    """Return what the HTTP endpoint asks of its clients. Raises UsageError."""
    access = http.Access()
    try:
        if settings.http_token_file:
            access = replace(access, allows=Token(Path(settings.http_token_file)).allows)
        if settings.http_tls_certificate:
            certificate, key = Path(settings.http_tls_certificate), Path(settings.http_tls_key)
            access = replace(access, context=Certificate(certificate, key).context)
    except AccessError as error:
        raise UsageError(str(error)) from error
    return access


def wait_for_the_lead(world: World, health: Health, stopping: threading.Event) -> bool:
    """Stand by while another reconciler keeps this hub; False: stopped meanwhile."""
    lead = world.state.lead
    if lead.take():
        return True
    log.warning("standing by", extra={"fields": {"cause": "another reconciler keeps this hub"}})
    while not stopping.wait(_STAND_BY_S):
        health.waited()
        if lead.take():
            log.warning("taking over", extra={"fields": {"cause": "the other reconciler ended"}})
            world.take_failures()  # it has counted them
            return True
    return False


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
