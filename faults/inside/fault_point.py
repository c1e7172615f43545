"""Make one round as the reconciler does, and die at one point of it.

Runs in the reconciler's image, in its place and with its volumes; no part of the product. Every
call of a port is a point, and so is every step of replacing a file. The process kills itself
after point number N; with 0 it lives. Prints the number and the name of each point it passed.
"""

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from reconciler.edges.logs import configure_logging
from reconciler.recall import recall
from reconciler.round import run_round
from reconciler.settings import read_settings
from reconciler.wiring import real_world

_NOT_PORTS = {"settings", "clock", "stopping", "jitter", "time_zones"}
_NOT_PORTS |= {"names", "probe", "probed", "why_not_probed"}  # nobody probes in one round


class Points:
    """Counts, and kills at the right one."""

    def __init__(self, last: int) -> None:
        self._last = last
        self._passed = 0

    def after(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return the call with a point behind it."""

        def counted(*arguments: Any, **options: Any) -> Any:
            result = call(*arguments, **options)
            self._passed += 1
            sys.stdout.write(f"{self._passed} {name}\n")
            sys.stdout.flush()
            if self._passed == self._last:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return counted


class Port:
    """A port whose every method is a point."""

    def __init__(self, name: str, inner: object, points: Points) -> None:
        self._name, self._inner, self._points = name, inner, points

    def __getattr__(self, method: str) -> Any:
        found = getattr(self._inner, method)
        return self._points.after(f"{self._name}.{method}", found) if callable(found) else found


def one_round(last_point: int) -> None:
    """Make it."""
    points = Points(last_point)
    settings = read_settings(os.environ, {})
    configure_logging("json", "info")
    os.fsync = points.after("fsync", os.fsync)
    Path.replace = points.after("rename", Path.replace)  # type: ignore[method-assign]
    world = real_world(settings)
    ports = {
        field.name: _counted(field.name, getattr(world, field.name), points)
        for field in fields(world)
        if field.name not in _NOT_PORTS
    }
    world = replace(world, **ports)
    run_round(world, recall(settings.status_file, world.clock), {"start"})


def _counted(name: str, port: Any, points: Points) -> Any:
    if port is None:
        return None
    return points.after(name, port) if callable(port) else Port(name, port, points)


def main() -> int:
    """Fork, as the first process of a container can't kill itself."""
    child = os.fork()
    if child == 0:
        one_round(int(sys.argv[1]))
        return 0
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) % 256


if __name__ == "__main__":
    sys.exit(main())
