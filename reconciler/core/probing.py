"""What is probed, how often, and what the results amount to. Nothing is sent from here.

A probe passes at its first success, and fails only after several failures in a row; from then on it
takes two successes to pass again. A result is good for a few intervals and then says nothing: a
prober that died must not look well.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from reconciler.core.about import Camera
from reconciler.core.camera_url import BadUrl, CameraUrl
from reconciler.core.model import IpAddress, IpNetwork, Site
from reconciler.core.routing import Route, Verdict
from reconciler.core.traffic import SILENT_AFTER_S, Flow, Health

FAILURES_TO_FAIL = 3
SUCCESSES_TO_PASS = 2
# A result is believed for so many intervals and a little, which is for the jitter and the queue.
_BELIEVED_INTERVALS, _BELIEVED_MORE_S = 2.5, 15.0
# Intervals are spread by so much, and only upwards: never faster than declared.
SPREAD = 0.1
_FIRST_WITHIN_S = 5.0
_HTTP, _RTSP = frozenset({"http", "https"}), frozenset({"rtsp", "rtsps", "rtspt", "rtspu"})
# What these carry is not asked for by a TCP connection.
_NOT_TCP = frozenset({"udp", "rtp", "srt"})

Kind = Literal["ping", "tcp", "http", "rtsp"]
# Connection and number of the camera; the connection's own probe has this in its place.
Key = tuple[str, int]
OF_CONNECTION = -1


@dataclass(frozen=True, slots=True)
class Probe:
    """One thing that is asked again and again. `url`: of a camera; holds keys.

    `lan`: where a redirect may lead.
    """

    key: Key
    kind: Kind
    address: IpAddress
    port: int
    interval_s: float
    url: CameraUrl | None = field(default=None, repr=False)
    lan: tuple[IpNetwork, ...] = ()

    @property
    def target(self) -> str:
        """Say whom it asks."""
        if not self.port:
            return str(self.address)
        host = f"[{self.address}]" if self.address.version == 6 else str(self.address)
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Result:
    """What one attempt brought. `success` None: it could not be made here, which proves nothing."""

    success: bool | None
    round_trip_s: float
    detail: str


@dataclass(frozen=True, slots=True)
class ProbeRecord:
    """The results of one probe so far.

    Attributes:
        last: the last result; None: there is none yet.
        last_run: when that was, unix seconds.
        last_run_s: the same on the monotonic clock.
        in_a_row: how many results like the last one there were.
        failing: whether it counts as failed.
        passed_once: whether there ever was a success.
        last_success_s: on the monotonic clock; None: never.
        first_failure_s: the first of the failures since then; None: there is none.

    """

    probe: Probe
    last: Result | None = None
    last_run: int = 0
    last_run_s: float = 0.0
    in_a_row: int = 0
    failing: bool = False
    passed_once: bool = False
    last_success_s: float | None = None
    first_failure_s: float | None = None

    @property
    def failures_in_a_row(self) -> int:
        """Failures since the last success."""
        return self.in_a_row if self.last is not None and self.last.success is False else 0

    def counted(self, result: Result, now: int, now_s: float) -> "ProbeRecord":
        """Take one result over."""
        same = self.last is not None and self.last.success is result.success
        in_a_row = self.in_a_row + 1 if same else 1
        made = replace(self, last=result, last_run=now, last_run_s=now_s, in_a_row=in_a_row)
        if result.success is None:
            return made
        if result.success:
            recovered = not self.failing or in_a_row >= SUCCESSES_TO_PASS
            made = replace(made, failing=not recovered, passed_once=True)
            return replace(made, last_success_s=now_s, first_failure_s=None)
        since_s = now_s if self.first_failure_s is None else self.first_failure_s
        failing = self.failing or in_a_row >= FAILURES_TO_FAIL
        return replace(made, failing=failing, first_failure_s=since_s)

    def is_fresh(self, now_s: float) -> bool:
        """Whether the last result still says something."""
        believed_s = _BELIEVED_INTERVALS * self.probe.interval_s + _BELIEVED_MORE_S
        return self.last is not None and now_s - self.last_run_s <= believed_s

    def health(self, now_s: float) -> Health:
        """Say what the results amount to."""
        if self.last is None or self.last.success is None or not self.is_fresh(now_s):
            return "unknown"
        if self.failing:
            return "fail"
        return "pass" if self.passed_once else "unknown"


def first_wait_s(interval_s: float, jitter: float) -> float:
    """Seconds until the first attempt. `jitter` in [0, 1)."""
    return jitter * min(interval_s, _FIRST_WITHIN_S)


def wait_s(interval_s: float, jitter: float) -> float:
    """Seconds from one attempt to the next: the interval, or a little more."""
    return interval_s * (1 + SPREAD * jitter)


def plan(
    sites: Iterable[Site],
    cameras: Mapping[str, Sequence[Camera]],
    verdicts: Mapping[str, Sequence[Verdict]],
    interval_s: float,
    camera_interval_s: float,
) -> dict[str, tuple[Probe, ...]]:
    """Say what is probed of each connection while it is up, its own probe first."""
    found = {}
    for site in sites:
        judged = [*zip(cameras.get(site.airport_id, ()), verdicts.get(site.airport_id, ()))]  # noqa: B905
        probes = [_of_camera(site, n, *one, camera_interval_s) for n, one in enumerate(judged)]
        behind = [probe for probe in probes if probe is not None]
        own = _own(site, behind, interval_s)
        made = (*((own,) if own else ()), *behind)
        if made:
            found[site.connection_name] = made
    return found


def _own(site: Site, behind: Sequence[Probe], interval_s: float) -> Probe | None:
    """Take the declared target, or the first camera behind the tunnel."""
    key = (site.connection_name, OF_CONNECTION)
    declared = site.health_check
    if declared is not None:
        interval_s = declared.interval_s or interval_s
        return Probe(key, declared.kind, declared.target, declared.port, interval_s)
    for one in behind:
        return Probe(key, "tcp", one.address, one.port, interval_s)
    return None


def _of_camera(
    site: Site, number: int, camera: Camera, verdict: Verdict, interval_s: float
) -> Probe | None:
    url = camera.link
    if verdict.route is not Route.TUNNEL or isinstance(url, BadUrl) or why_unprobed(url):
        return None
    kind: Kind = "http" if url.scheme in _HTTP else "rtsp" if url.scheme in _RTSP else "tcp"
    return Probe(
        key=(site.connection_name, number),
        kind=kind,
        address=verdict.addresses[0],
        port=url.port or 0,
        interval_s=interval_s,
        url=url,
        lan=site.remote_subnets,
    )


def why_unprobed(url: CameraUrl) -> str:
    """Say why nothing can be asked at this URL; empty if something can."""
    if url.scheme in _NOT_TCP:
        return f"{url.scheme} can't be probed"
    return "" if url.port else f"no port is known for {url.scheme}; write one into the URL"


def is_dead_way(
    record: ProbeRecord | None, flow: Flow | None, now_s: float, looks_s: float
) -> bool:
    """Tell whether it may be the tunnel that fails and not what is behind it.

    The probe answered before and now fails, and since its last success nothing at all has come
    through the tunnel. `looks_s`: so long it may take until a look sees what has come. A probe with
    a short interval fails sooner than silence can be told.
    """
    if record is None or flow is None or record.health(now_s) != "fail":
        return False
    success_s, heard_s = record.last_success_s, flow.answered_s
    if success_s is None or record.first_failure_s is None or not flow.ever_answered:
        return False
    silent = heard_s is None or now_s - heard_s >= SILENT_AFTER_S
    return silent and (heard_s is None or heard_s <= success_s + looks_s)


def excused(
    before: Collection[str],
    records: Mapping[Key, ProbeRecord],
    flows: Mapping[str, Flow],
    looks_s: float,
) -> frozenset[str]:
    """Name the tunnels that work although their probe fails.

    Something came through after the probe had begun to fail: an answer of another camera, or of the
    router. Then what is sent in vain to the one that is off must not end the tunnel, until that one
    answers again; also not after new keys, with which all counters begin anew.
    """
    found = set(before)
    for (name, number), record in records.items():
        if number != OF_CONNECTION:
            continue
        since_s, flow = record.first_failure_s, flows.get(name)
        heard_s = flow.answered_s if flow is not None else None
        if since_s is not None and heard_s is not None and heard_s > since_s + looks_s:
            found.add(name)
        elif since_s is None and record.passed_once:
            found.discard(name)
    return frozenset(found)
