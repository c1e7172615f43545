"""Log lines: one JSON object each, constant messages, and no secret from anybody's locals."""

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pytest

from reconciler.edges.logs import configure_logging

log = logging.getLogger("tests.logs")
PSK = "hush-hush-hush-hush"


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        return True


@contextmanager
def logging_to(stream: io.StringIO, log_format: str, level: str = "info") -> Iterator[None]:
    """Configure as `main` does, and put everything back."""
    root = logging.getLogger()
    handlers, before = [*root.handlers], root.level
    root.handlers = []
    configure_logging(log_format, level, stream)
    try:
        yield
    finally:
        root.handlers = handlers
        root.setLevel(before)


def fail_with_a_key(psk: str) -> None:
    cause = OSError(28, "No space left on device")
    raise RuntimeError("status not written") from cause


def json_lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_record_is_one_json_object_with_its_fields() -> None:
    stream = io.StringIO()
    with logging_to(stream, "json"):
        log.info("action", extra={"fields": {"airport": "kspb", "took_s": 0.5}})
        log.warning("removals held")
    first, second = json_lines(stream)
    assert (first["level"], first["message"]) == ("info", "action")
    assert (first["airport"], first["took_s"]) == ("kspb", 0.5)
    assert datetime.fromisoformat(first["time"]).utcoffset() is not None
    assert (second["level"], second["message"]) == ("warning", "removals held")


@pytest.mark.parametrize(
    "value", ["two\nlines", '"quoted"', "\x1b[31mred", "ünï", object(), {1}, None], ids=range(7)
)
def test_no_value_breaks_the_line(value: Any) -> None:
    stream = io.StringIO()
    with logging_to(stream, "json"):
        log.error("fault", extra={"fields": {"value": value}})
    assert len(json_lines(stream)) == 1
    assert stream.getvalue().isascii()


def test_an_error_is_told_with_the_whole_chain_of_its_causes() -> None:
    stream = io.StringIO()
    with logging_to(stream, "json"):
        try:
            fail_with_a_key(PSK)
        except RuntimeError:
            log.exception("round failed", extra={"fields": {"round": 7}})
    [line] = json_lines(stream)
    assert line["error"] == (
        "RuntimeError: status not written <- OSError: [Errno 28] No space left on device"
    )
    assert (line["message"], line["round"]) == ("round failed", 7)
    assert any("fail_with_a_key" in frame for frame in line["traceback"])


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_a_key_in_the_locals_of_what_failed_does_not_appear(log_format: str) -> None:
    stream = io.StringIO()
    with logging_to(stream, log_format):
        try:
            fail_with_a_key(PSK)
        except RuntimeError:
            log.exception("round failed")
    assert "round failed" in stream.getvalue()
    assert PSK not in stream.getvalue()


def test_people_get_one_readable_line() -> None:
    stream = io.StringIO()
    with logging_to(stream, "text"):
        log.info("action", extra={"fields": {"airport": "kspb", "cause": "not loaded"}})
    line = stream.getvalue()
    assert line.count("\n") == 1
    assert line.rstrip().endswith("info    action airport=kspb cause=not loaded")


@pytest.mark.parametrize(
    ("log_format", "stream", "human"),
    [
        ("auto", io.StringIO(), False),
        ("auto", Terminal(), True),
        ("json", Terminal(), False),
        ("text", io.StringIO(), True),
    ],
    ids=["auto, no terminal", "auto, terminal", "json, terminal", "text, no terminal"],
)
def test_the_format_follows_the_setting_or_the_terminal(
    log_format: str, stream: io.StringIO, human: bool
) -> None:
    with logging_to(stream, log_format):
        log.info("started")
    assert stream.getvalue().startswith("{") is not human


def test_what_is_below_the_level_is_not_written() -> None:
    stream = io.StringIO()
    with logging_to(stream, "json", "warning"):
        log.info("round")
        log.warning("fault")
    assert [line["message"] for line in json_lines(stream)] == ["fault"]


def test_configuring_again_does_not_double_the_lines() -> None:
    stream = io.StringIO()
    with logging_to(stream, "json"):
        configure_logging("json", "info", stream)
        log.info("once")
    assert len(json_lines(stream)) == 1
