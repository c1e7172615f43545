"""`reconciler run` and who may ask it: real processes with files of their own, no charon."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docker import eventually
from tests.edges.certificates import write_certificate

OPEN = "whoever reaches the port may read metrics and status"


def start(folder: Path, *flags: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "reconciler", "run", "--docker-host=", "--log-format=json"),
            *(f"--config-path={folder / 'airports.json'}", f"--status-file={folder / 'status'}"),
            *(f"--state-dir={folder}", f"--swanctl-file={folder / 'swanctl.conf'}"),
            *(f"--vici-socket={folder / 'no.vici'}", *flags),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def words_of(folder: Path, *flags: str) -> str:
    """Let it make a round, end it, and return what it said."""
    process = start(folder, *flags)
    try:
        eventually((folder / "status").exists, 30, "it made a round")
    finally:
        process.terminate()
    return process.communicate(timeout=30)[0]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--http-token-file=/nowhere/token"], "HTTP_TOKEN_FILE=/nowhere/token: No such file"),
        (
            ["--http-tls-certificate=/nowhere/a.pem", "--http-tls-key=/nowhere/b.pem"],
            "HTTP_TLS_CERTIFICATE=/nowhere/a.pem: No such file",
        ),
        (["--http-tls-key=/nowhere/b.pem"], "HTTP_TLS_KEY: needs HTTP_TLS_CERTIFICATE as well"),
    ],
)
def test_it_does_not_start_open_when_token_or_certificate_can_not_be_had(
    tmp_path: Path, flags: list[str], words: str
) -> None:
    process = start(tmp_path, "--listen=127.0.0.1:1", *flags)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 2
    assert said.startswith(f"reconciler: {words}")
    assert "Traceback" not in said
    assert not (tmp_path / "status").exists()


def test_that_the_port_is_open_is_said_once_at_the_start(tmp_path: Path, free_port: int) -> None:
    lines = [
        json.loads(line)
        for line in words_of(tmp_path, f"--listen=0.0.0.0:{free_port}").splitlines()
    ]
    told = [line for line in lines if line["message"] == OPEN]
    assert [(line["level"], line["missing"]) for line in told] == [("info", "HTTP_TOKEN_FILE")]


def test_with_a_token_it_is_not_open_and_the_token_is_nowhere_in_the_log(
    tmp_path: Path, free_port: int
) -> None:
    token = "c0ffee5ec2e7c0ffee5ec2e7"  # noqa: S105 - a test's own
    (tmp_path / "token").write_text(token)
    certificate, key = write_certificate(tmp_path, "hub.example")
    said = words_of(
        tmp_path,
        *(f"--listen=0.0.0.0:{free_port}", "--log-level=debug"),
        *(f"--http-token-file={tmp_path / 'token'}", f"--http-tls-certificate={certificate}"),
        f"--http-tls-key={key}",
    )
    assert '"started"' in said
    assert OPEN not in said
    assert token not in said
