"""What the fuzzers have found, each by itself."""

import json
import logging
import tracemalloc
from pathlib import Path
from typing import Any

import docker
import pytest

from reconciler.core.actions import RestartContainer
from reconciler.core.check import decide
from reconciler.core.mask import Mask
from reconciler.edges import containers as edge
from reconciler.edges.containers import Containers
from reconciler.edges.logs import HumanFormatter, JsonFormatter
from reconciler.edges.manifest import LARGEST_BYTES, MOST_MARKS, parse_document, read_document
from reconciler.edges.vici_view import ike_view
from reconciler.errors import ContainerRefused, IkeUnreachable, ManifestError
from tests.builders import FACTS, document, vpn
from tests.fuzz import oracles
from tests.fuzz.docker_api import _Adapter, _Answered
from tests.fuzz.source import nested
from tests.fuzz.vici import _Client, _packet, _serialized
from tests.worlds import Bench

_RESPONSE, _EVENT, _CONFIRM = 1, 7, 5


# airports.json


def kept_through(tmp_path: Path, content: bytes, words: str) -> None:
    """See that a tunnel stays up through a file that is refused with these words."""
    bench = Bench(tmp_path)
    bench.declare(kspb=vpn(1))
    bench.rounds(2)
    bench.ike.dial_in("kspb_vpn")
    bench.rounds(2)
    spi = bench.ike.sas[0].spi
    bench.settings.config_path.write_bytes(content)
    bench.rounds(2)
    (fault,) = bench.status.configuration.faults
    assert words in fault.message
    assert bench.connection().status == "up"
    assert [sa.spi for sa in bench.ike.sas] == [spi]


def test_a_file_of_100_mb_is_refused_in_little_memory_and_every_tunnel_stays(
    tmp_path: Path,
) -> None:
    limit = f"has 100000000 bytes; at most {LARGEST_BYTES} (8 MiB) are read"
    kept_through(tmp_path, b'{"airports": {' + b" " * (100_000_000 - 14), limit)
    tracemalloc.start()
    try:
        with pytest.raises(ManifestError, match="at most"):
            read_document(tmp_path / "config" / "airports.json")
        assert tracemalloc.get_traced_memory()[1] < 3 * LARGEST_BYTES
    finally:
        tracemalloc.stop()


def test_a_small_file_that_would_take_gigabytes_is_refused(tmp_path: Path) -> None:
    """63 MB of empty objects took 10.7 GB, and six minutes."""
    content = b'{"airports": {}, "x": [' + b"{}," * MOST_MARKS + b"1]}"
    kept_through(tmp_path, content, f"commas and opening brackets; at most {MOST_MARKS} are read")


def test_more_airports_than_anybody_has_are_refused(tmp_path: Path) -> None:
    """A fault for each of half a million took more memory than there is."""
    many = json.dumps({"airports": dict.fromkeys(map(str, range(20_001)), 1)}).encode()
    kept_through(tmp_path, many, "has 20001 airports; at most 20000 are read")


def test_an_airport_with_thousands_of_keys_is_one_fault() -> None:
    decision = decide(document(kspb=vpn(1, **{f"k{i}": 1 for i in range(5000)})), {}, FACTS)
    (fault,) = decision.errors
    assert "has 5004 keys; known: enabled, type" in fault.message


def test_more_subnets_than_can_be_negotiated_are_refused() -> None:
    """A message to charon has 512 KiB at most."""
    many = [f"10.{number >> 8}.{number & 255}.0/24" for number in range(101)]
    decision = decide(document(kspb=vpn(1, remote_subnet=many), kczk=vpn(2)), {}, FACTS)
    assert {*decision.sites} == {"kczk"}
    (fault,) = decision.errors
    assert fault.message == "are 101 subnets; at most 100 can be negotiated"


@pytest.mark.parametrize("depth", [101, 500, 900, 960, 985, 2000, 200_000])
@pytest.mark.parametrize("place", ["psk", "lifetime", "name", "unknown"])
def test_deep_nesting_is_refused_wherever_it_stands(tmp_path: Path, depth: int, place: str) -> None:
    body = json.dumps(document(kspb=vpn(1, **{place: "HERE"}))).encode()
    content = body.replace(b'"HERE"', b"[" * depth + b"]" * depth)
    kept_through(tmp_path, content, "is nested too deeply; at most 100 levels are read")


def test_nesting_that_is_deep_but_bearable_harms_its_own_airport_only() -> None:
    decision = decide(document(kspb=vpn(1, lifetime=nested(90)), kczk=vpn(2)), {}, FACTS)
    assert {*decision.sites} == {"kczk"}
    assert decision.invalid == {"kspb"}


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_what_no_other_program_takes_for_json_is_refused(tmp_path: Path, word: str) -> None:
    content = f'{{"airports": {{}}, "x": {word}}}'.encode()
    kept_through(tmp_path, content, f"is not JSON: {word} is no number")


def test_all_airports_under_the_same_key_twice_are_refused(tmp_path: Path) -> None:
    """The first half was lost without a word, and up to two tunnels were removed at once."""
    both = b'{"airports": {"kspb": {}}, "airports": {"kczk": {}}}'
    kept_through(tmp_path, both, "has the key airports twice; put all airports under one")


def test_an_id_of_a_million_characters_does_not_fill_the_status() -> None:
    decision = decide(document(**{"x" * 1_000_000: vpn(1), "kczk": vpn(2)}), {}, FACTS)
    (fault,) = decision.errors
    assert "the id is longer than 100 characters" in fault.message
    assert len(str(fault)) < 500
    assert len(str(fault.airport_id)) < 200
    assert {*decision.sites} == {"kczk"}


def test_a_long_text_that_is_all_key_is_covered_in_no_time() -> None:
    """Each character was once walked back to the first one: minutes for a text of this length."""
    assert Mask().also(["A" * 8]).text("A" * 100_000) == "***"


def test_a_key_of_megabytes_is_remembered_in_part() -> None:
    mask = Mask().also(["k3y-" * 1_000_000])
    assert sum(map(len, mask.keys)) <= 2000
    assert "k3y-k3y-" not in mask.text("unknown key k3y-k3y-k3y-k3y-")


def test_a_remembered_declaration_that_is_nested_too_deeply_is_damage(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.declare(kspb=vpn(1))
    accepted = bench.settings.state_dir / "accepted.json"
    accepted.write_bytes(b'{"kspb": ' + b"[" * 900 + b"]" * 900 + b"}")
    bench.round()
    assert any("nested too deeply" in error for error in bench.status.reconciler.errors)


# charon's answers


def refused_with(answers: bytes) -> str:
    with pytest.raises(IkeUnreachable) as caught:
        _Client(answers).observe(deep=True)
    return str(caught.value)


def said(message: dict[str, Any]) -> bytes:
    return _packet(_RESPONSE, _serialized(message))


def test_a_question_that_charon_refuses_is_one_that_was_not_answered() -> None:
    answers = said({"success": "no", "errmsg": "out of memory"})
    assert "a question was refused: out of memory" in refused_with(answers)


def test_a_refusal_whose_words_are_no_text_is_no_answer() -> None:
    refused_with(said({"success": "no", "errmsg": {"a": "b"}}))


@pytest.mark.parametrize("wrong", ["a text", ["a", "list"]])
def test_an_sa_that_is_no_section_is_no_answer_rather_than_no_sa(wrong: Any) -> None:
    good = said({}) * 2 + said({}) + said({"keys": []})
    conns = _packet(_CONFIRM, b"") + said({}) + _packet(_CONFIRM, b"")
    listed = _packet(_EVENT, _serialized({"kspb_vpn": wrong}), b"list-sa")
    answers = good + conns + _packet(_CONFIRM, b"") + listed + said({}) + _packet(_CONFIRM, b"")
    assert "kspb_vpn is not a section" in refused_with(answers)


def test_sections_a_thousand_deep_are_no_answer() -> None:
    deep = b"\1\1a" * 5000 + b"\2" * 5000
    with pytest.raises(IkeUnreachable, match="nested too deeply"):
        _Client(_packet(_RESPONSE, deep)).read("version")


def test_children_that_are_no_sections_are_left_out_of_what_explain_shows() -> None:
    assert ike_view({"child-sas": "x"}, 0).children == ()
    assert ike_view({"child-sas": {"lan": "x"}}, 0).children == ()


# Docker's answers


def answering(status: int, content: Any) -> Containers:
    return _Answered(_Adapter(status, json.dumps(content).encode()))


@pytest.mark.parametrize(
    "wrong", [{"ExitCode": {}}, {"ExitCode": "x"}, {"ExitCode": 1e999}, {"ExitCode": 10**400}]
)
def test_an_exit_code_that_is_none_is_not_told(wrong: dict[str, Any]) -> None:
    seen = answering(200, {"State": {"Status": "exited", **wrong}}).observe()
    assert seen is not None
    assert (seen.state, seen.exit_code) == ("exited", 0)


@pytest.mark.parametrize("content", [[], 1, True, None, "x"])
def test_an_answer_that_is_no_object_says_nothing_of_the_container(content: object) -> None:
    seen = answering(200, content).observe()
    assert seen is not None
    assert seen.state == "unknown"


@pytest.mark.parametrize("content", [{}, [], {"message": {}}, 1])
def test_an_error_of_docker_without_words_is_an_error_like_others(content: object) -> None:
    """The docker package takes for granted that there are some."""
    containers = answering(500, content)
    seen = containers.observe()
    assert seen is not None
    assert seen.state == "unknown"
    assert "can't be understood" in seen.error or "500" in seen.error
    with pytest.raises(ContainerRefused):
        containers.carry_out(RestartContainer("gateway", "test"))


def test_control_characters_in_a_state_reach_no_terminal() -> None:
    seen = answering(
        200, {"State": {"Status": "\x1b[2J\ud800", "Health": {"Status": "\n"}}}
    ).observe()
    assert seen is not None
    assert seen.state.isprintable()
    assert seen.health.isprintable()
    seen.model_dump_json()


def test_what_the_docker_package_raises_is_known() -> None:
    """One that is raised while it builds its own error is among what is caught."""
    with pytest.raises(edge.BROKEN):
        _Answered(_Adapter(500, b"{}"))._connected(2).version()
    assert issubclass(docker.errors.APIError, edge.BROKEN)


# The log


def test_a_line_for_a_terminal_stays_one_line_and_moves_no_cursor() -> None:
    record = logging.LogRecord("x", logging.INFO, "", 0, "a\nb", None, None)
    record.fields = {"cause": "x\x1b[2J\r\nlevel=error"}
    assert HumanFormatter().format(record).isprintable()


def test_a_number_that_json_does_not_know_is_written_as_text() -> None:
    record = logging.LogRecord("x", logging.INFO, "", 0, "m", None, None)
    record.fields = {"one": float("inf"), "two": float("nan")}
    assert oracles.strict_json(JsonFormatter().format(record))["one"] == "inf"


def test_parsing_leaves_good_documents_as_they_are() -> None:
    made = document(kspb=vpn(1), kczk=vpn(2))
    assert parse_document(json.dumps(made).encode()) == made
