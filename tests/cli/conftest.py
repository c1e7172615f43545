"""The command line in this process, with files of its own and no charon."""

import logging
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from reconciler.cli import main


@dataclass(frozen=True)
class Answer:
    """What one command did."""

    code: int
    out: str
    err: str


class Installation:
    """Paths of one installation, and `reconciler` on it."""

    def __init__(self, directory: Path, read: Callable[[], tuple[str, str]]) -> None:
        self.config = directory / "airports.json"
        self.status = directory / "vpn-status.json"
        self.state = directory / "state"
        self.state.mkdir()
        self.flags = [
            f"--config-path={self.config}",
            f"--status-file={self.status}",
            f"--state-dir={self.state}",
            f"--swanctl-file={self.state / 'swanctl.conf'}",
            f"--vici-socket={directory / 'no.vici'}",
            "--hub-id=vpn.aviationwx.org",
            "--docker-host=",
        ]
        self._read = read

    def run(self, command: str, *arguments: str) -> Answer:
        """Call `reconciler <command> …`."""
        self._read()
        code = main([command, *self.flags, *arguments])
        return Answer(code, *self._read())


@pytest.fixture
def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture
def installation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Installation]:
    root = logging.getLogger()
    handlers, level = [*root.handlers], root.level
    root.handlers = []

    def read() -> tuple[str, str]:
        captured = capsys.readouterr()
        return captured.out, captured.err

    yield Installation(tmp_path, read)
    root.handlers = handlers
    root.setLevel(level)
