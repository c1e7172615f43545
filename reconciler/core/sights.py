"""Where every camera is, and what is therefore probed; made anew only on a change."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from reconciler.core.about import Camera
from reconciler.core.camera_url import CameraUrl
from reconciler.core.check import Decision
from reconciler.core.model import IpNetwork
from reconciler.core.names import Resolution
from reconciler.core.probing import Key, Probe, plan
from reconciler.core.routing import Surroundings, Tunnels, Verdict, judge, lans_of

# What is told of a resolver that is down changes with time alone.
_MADE_ANEW_AFTER_S = 30.0


@dataclass(frozen=True, slots=True)
class Intervals:
    """How often is asked, in seconds: a connection, unless it declares something, and a camera."""

    connection_s: float
    camera_s: float


@dataclass(frozen=True, slots=True)
class Sights:
    """The cameras of every airport with a tunnel, in the order of the file.

    Attributes:
        cameras: by airport id; while the file can't be read, those of the last time.
        verdicts: where each camera is, by airport id.
        probes: by connection name, its own probe first.
        decision, names, networks, made_s: what it was made from, and when.

    """

    cameras: Mapping[str, tuple[Camera, ...]] = field(default_factory=dict)
    verdicts: Mapping[str, tuple[Verdict, ...]] = field(default_factory=dict)
    probes: Mapping[str, tuple[Probe, ...]] = field(default_factory=dict)
    decision: Decision | None = None
    names: Mapping[str, Resolution] = field(default_factory=dict)
    networks: tuple[IpNetwork, ...] = ()
    made_s: float = 0.0

    def still_holds(self, decision: Decision, around: Surroundings) -> bool:
        """Whether making them again would give the same."""
        aged = bool(self.names) and around.now_s - self.made_s > _MADE_ANEW_AFTER_S
        same = self.decision is decision and self.names is around.names
        return same and not aged and self.networks == tuple(around.hub)


def cameras_of(before: Sights, decision: Decision) -> Mapping[str, tuple[Camera, ...]]:
    """Return the cameras by airport id."""
    if before.decision is decision or not decision.readable:
        return before.cameras
    return {id_: about.cameras for id_, about in decision.about.items() if about.cameras}


def host_names(cameras: Mapping[str, Collection[Camera]]) -> set[str]:
    """Name the hosts that must be looked up."""
    return {
        camera.link.host
        for of_airport in cameras.values()
        for camera in of_airport
        if isinstance(camera.link, CameraUrl) and not camera.link.readings
    }


def make_sights(
    before: Sights,
    decision: Decision,
    cameras: Mapping[str, tuple[Camera, ...]],
    networks: Collection[IpNetwork],
    names: Mapping[str, Resolution],
    intervals: Intervals,
    now_s: float,
) -> Sights:
    """Judge every camera, unless nothing has changed."""
    hub = tuple(networks)
    if before.still_holds(decision, Surroundings(hub=hub, names=names, now_s=now_s)):
        return before
    lans = lans_of(decision.sites.values())
    around = Surroundings(Tunnels(lans.values()), hub, names, now_s)
    verdicts = {
        id_: tuple(judge(camera.link, lans.get(id_), around) for camera in of_airport)
        for id_, of_airport in cameras.items()
    }
    probes = plan(
        decision.sites.values(), cameras, verdicts, intervals.connection_s, intervals.camera_s
    )
    return Sights(cameras, verdicts, probes, decision, names, hub, now_s)


def probes_of(sights: Sights, connections: Collection[str]) -> dict[Key, Probe]:
    """Return all probes of these connections."""
    return {probe.key: probe for name in connections for probe in sights.probes.get(name, ())}
