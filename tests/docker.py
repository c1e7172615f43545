"""Containers for tests, through the docker command; what fails shows what it said."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


class CommandError(AssertionError):
    """A command of the test failed."""


def run(
    *command: str,
    stdin: bytes | None = None,
    check: bool = True,
    both: bool = False,
    timeout_s: float = 120,
) -> str:
    """Run a command and return what it printed. Raises CommandError with its words."""
    errors = subprocess.STDOUT if both else subprocess.PIPE
    done = subprocess.run(
        command, input=stdin, stdout=subprocess.PIPE, stderr=errors, timeout=timeout_s, check=False
    )
    printed = done.stdout.decode(errors="replace")
    if check and done.returncode != 0:
        words = (done.stderr or b"").decode(errors="replace")
        raise CommandError(f"{' '.join(command)}: exit {done.returncode}\n{printed}\n{words}")
    return printed


def docker(
    *arguments: str, stdin: bytes | None = None, check: bool = True, both: bool = False
) -> str:
    """Run a docker command. `both`: return what it wrote on standard error as well."""
    return run("docker", *arguments, stdin=stdin, check=check, both=both)


def eventually(check: Callable[[], T], within_s: float, what: str = "", every_s: float = 0.2) -> T:
    """Return the first true answer of `check`; fail with the last one once time is up.

    A CommandError while waiting counts as "not yet".
    """
    deadline = time.monotonic() + within_s
    last: object = None
    while True:
        try:
            answer = check()
            if answer:
                return answer
            last = answer
        except (CommandError, subprocess.TimeoutExpired) as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s} s: {what or check}; last: {last!r}")
        time.sleep(every_s)


def eventually_nothing(missing: Callable[[], object], within_s: float, what: str = "") -> None:
    """Wait until nothing is missing any more; fail with what still was once time is up."""
    found: object = None

    def none() -> bool:
        nonlocal found
        found = missing()
        return not found

    try:
        eventually(none, within_s, what)
    except AssertionError as error:
        raise AssertionError(
            f"not within {within_s} s: {what or missing}; missing: {found}"
        ) from error


def pause(name: str) -> None:
    """Pause a container. Docker may give up freezing one whose threads are busy; then once more."""
    eventually(lambda: docker("pause", name), 30, f"{name} is paused")


def volume_path(name: str) -> Path:
    """Return where a named volume lies on this machine (the tests are root on its host)."""
    return Path(docker("volume", "inspect", "--format", "{{.Mountpoint}}", name).strip())
