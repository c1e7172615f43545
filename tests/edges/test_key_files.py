"""Keys in files of their own, like Docker secrets."""

import os
from pathlib import Path
from typing import Any

import pytest

from reconciler.core.check import Decision, decide
from reconciler.edges.key_files import with_keys
from tests.builders import FACTS, document, vpn
from tests.leaks import PSK, leaked

KEY = "a-key-in-a-file-of-its-own-0001"


def declared(**changes: Any) -> Decision:
    content = with_keys(document(kspb=vpn(1, psk=..., **changes), kczk=vpn(2)))
    decision = decide(content, {}, FACTS)
    assert "kczk" in decision.sites, "the others must not suffer"
    return decision


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_the_key_is_the_file_without_its_line_end(tmp_path: Path, end: str) -> None:
    file = tmp_path / "kspb"
    file.write_bytes(f"{KEY}{end}".encode())
    decision = declared(psk_file=str(file))
    assert decision.faults == ()
    assert decision.sites["kspb"].psk.get_secret_value() == KEY


def test_the_next_key_may_stand_in_a_file_as_well(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).write_text(f"{KEY}-{name}")
    decision = declared(psk_file=str(tmp_path / "old"), next_psk_file=str(tmp_path / "new"))
    site = decision.sites["kspb"]
    assert site.next_psk is not None
    assert site.next_psk.get_secret_value() == f"{KEY}-new"


def test_what_was_accepted_survives_the_loss_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "kspb"
    file.write_text(KEY)
    content = document(kspb=vpn(1, psk=..., psk_file=str(file)))
    accepted = decide(with_keys(content), {}, FACTS).accepted
    file.unlink()
    decision = decide(with_keys(content), accepted, FACTS)
    assert decision.sites["kspb"].psk.get_secret_value() == KEY
    assert decision.kept == {"kspb"}


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("{}/missing", "can't be read: No such file"),
        ("{}", "can't be read: Is a directory"),
        ("{}/fifo", "which is no regular file; name a file that holds the key"),
        ("/dev/zero", "which is no regular file"),
        ("relative", "is not an absolute path; write one like /run/secrets/kspb"),
        (["/x"], "is not an absolute path"),
        ("/x\0y", "can't be read"),
        ("{}/binary", "is not UTF-8 text"),
        ("{}/large", "is larger than 4096 bytes"),
        ("{}/empty", "missing or empty"),
    ],
)
def test_a_file_that_gives_no_key_is_a_fault_of_its_airport_only(
    tmp_path: Path, path: object, words: str
) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "large").write_bytes(b"x" * 5000)
    (tmp_path / "empty").write_bytes(b"\n")
    named = path.format(tmp_path) if isinstance(path, str) else path
    decision = declared(psk_file=named)
    [fault] = decision.faults
    assert fault.path == "airports.kspb.vpn.psk"
    assert words in fault.message


@pytest.mark.parametrize("field", ["psk", "next_psk"])
def test_a_key_given_in_both_ways_is_a_fault(tmp_path: Path, field: str) -> None:
    file = tmp_path / "kspb"
    file.write_text(KEY)
    both = {"psk": KEY, field: KEY + "x", f"{field}_file": str(file)}
    content = with_keys(document(kspb=vpn(1, **both)))
    [fault] = decide(content, {}, FACTS).faults
    assert str(fault) == f"airports.kspb.vpn.{field}_file: stands beside {field}; keep one"


def test_a_key_that_is_null_is_not_given(tmp_path: Path) -> None:
    file = tmp_path / "kspb"
    file.write_text(KEY)
    for field in ("psk", "next_psk"):
        given = {"psk": KEY + "x", field: None, f"{field}_file": str(file)}
        decision = decide(with_keys(document(kspb=vpn(1, **given))), {}, FACTS)
        assert decision.faults == ()
        key = getattr(decision.sites["kspb"], field)
        assert key.get_secret_value() == KEY


@pytest.mark.parametrize("content", [None, [], {}, {"airports": 3}, {"airports": {"kspb": 3}}])
def test_what_is_no_manifest_is_left_for_others_to_complain_about(content: object) -> None:
    assert with_keys(content) == content


@pytest.mark.parametrize("path", ["/" + PSK, "/" + PSK[:9] + "/" + PSK[9:], "/no/" + PSK, PSK])
def test_a_key_that_stands_where_its_file_should_be_named_is_not_shown(path: str) -> None:
    found: Any = with_keys({"airports": {"kspb": {"vpn": {"psk_file": path}}}})
    why = found["airports"]["kspb"]["vpn"]["psk"].why
    assert why.startswith("psk_file ")
    assert not leaked(why, PSK), why
