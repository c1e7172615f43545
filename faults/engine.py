"""Restart Docker Engine, as far as that can be done on this machine."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

from tests.docker import docker, eventually
from tests.e2e.stack import ROOT

_SYSTEMD = Path("/run/systemd/system")
_PID_FILE = Path("/var/run/docker.pid")
COMMAND = "RESTART_DOCKER"  # environment: how to do it here, if neither way below fits


def why_not_restartable() -> str:
    """Say why the engine can't be restarted here; empty if it can."""
    if os.environ.get(COMMAND):
        return ""
    if os.geteuid() != 0:
        return "restarting Docker Engine needs root"
    if _systemd_has_it() or _PID_FILE.exists():
        return ""
    return f"no systemd and no {_PID_FILE}; set {COMMAND} to a command that restarts the engine"


def restart() -> None:
    """Stop the engine, with which every container stops, and start it again."""
    if command := os.environ.get(COMMAND):
        subprocess.run(command, shell=True, check=True)  # noqa: S602 - the operator's own command
    elif _systemd_has_it():
        subprocess.run(["systemctl", "restart", "docker"], check=True)
    else:
        process = int(_PID_FILE.read_text())
        os.kill(process, signal.SIGTERM)
        eventually(lambda: not Path(f"/proc/{process}").exists(), 60, "the engine has ended")
        setup = ROOT / "scripts" / "setup"
        subprocess.run([setup], check=True, stdout=subprocess.DEVNULL)
    eventually(lambda: docker("version"), 60, "the engine answers")


def _systemd_has_it() -> bool:
    if not _SYSTEMD.is_dir() or shutil.which("systemctl") is None:
        return False
    asked = subprocess.run(["systemctl", "is-active", "--quiet", "docker"], check=False)
    return asked.returncode == 0
