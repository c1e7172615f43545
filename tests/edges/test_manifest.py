"""Reading airports.json: whatever is on the disk, it is a document or a ManifestError."""

import json
import os
from pathlib import Path

import pytest

from reconciler.core.check import decide
from reconciler.edges import manifest
from reconciler.edges.manifest import mounted_as_file, read_document
from reconciler.errors import ManifestError
from tests.builders import FACTS, document, vpn

EXAMPLE = json.dumps(document(kspb=vpn(1), kczk=vpn(2)), indent=1, ensure_ascii=False).encode()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "airports.json"


def complaint(path: Path) -> str:
    with pytest.raises(ManifestError) as caught:
        read_document(path)
    return str(caught.value)


def test_a_good_file_is_read(path: Path) -> None:
    path.write_bytes(EXAMPLE)
    assert read_document(path) == document(kspb=vpn(1), kczk=vpn(2))


def test_a_byte_order_mark_does_not_matter(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbf" + EXAMPLE)
    assert read_document(path) == document(kspb=vpn(1), kczk=vpn(2))


def test_a_missing_file_is_named_as_such(path: Path) -> None:
    assert complaint(path) == "does not exist"
    assert complaint(path.parent / "no such directory" / "airports.json") == "does not exist"


@pytest.mark.parametrize("content", [b"", b" ", b"\n\n\t"], ids=repr)
def test_an_empty_file_is_named_as_such(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert complaint(path) == "is empty; write an object with the key airports"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xef\xbb\xbf", "is not JSON"),
        (b"{'airports': {}}", "is not JSON: Expecting property name .* line 1 column 2"),
        (b'{"airports": {},}', "is not JSON"),
        (b'{"airports": {}} {}', "is not JSON: Extra data"),
        (b'{"airports": \xff}', "is not UTF-8 at byte 13"),
        (EXAMPLE.decode().encode("utf-16"), "is not UTF-8 at byte 0"),
        (b"\0" * 100, "is not JSON"),
        (b"[" * 200_000, "is nested too deeply"),
        (b'{"a":' * 200_000, "is nested too deeply"),
        (b"9" * 100_000, "is not JSON"),
    ],
    ids=range(10),
)
def test_what_is_wrong_is_said_and_where(path: Path, content: bytes, words: str) -> None:
    path.write_bytes(content)
    with pytest.raises(ManifestError, match=words):
        read_document(path)


def test_a_file_that_is_cut_at_any_byte_is_a_document_or_a_manifest_error(path: Path) -> None:
    for length in range(len(EXAMPLE)):
        path.write_bytes(EXAMPLE[:length])
        with pytest.raises(ManifestError):
            read_document(path)


def test_a_file_with_any_byte_damaged_never_breaks_the_reading_or_the_deciding(path: Path) -> None:
    for place in range(0, len(EXAMPLE), 3):
        for byte in b"\0\xff{}\"'9 ":
            damaged = bytearray(EXAMPLE)
            damaged[place] = byte
            path.write_bytes(damaged)
            try:
                content = read_document(path)
            except ManifestError:
                continue
            decision = decide(content, {"kspb": vpn(1)}, FACTS)
            assert decision.sites or decision.faults or decision.disabled


def test_a_directory_in_the_files_place_is_not_read(path: Path) -> None:
    path.mkdir()
    assert complaint(path) == "can't be read: Is a directory"


def test_a_path_through_a_file_is_not_read(path: Path) -> None:
    path.write_bytes(EXAMPLE)
    assert complaint(path / "airports.json") == "can't be read: Not a directory"


@pytest.mark.timeout(10)
def test_a_pipe_to_which_nobody_writes_holds_up_no_round(path: Path) -> None:
    os.mkfifo(path)
    assert complaint(path) == "is no regular file; write the declaration into one"


def test_links_in_a_circle_are_not_read(path: Path) -> None:
    path.symlink_to(path)
    assert complaint(path).startswith("can't be read: Too many levels")


def test_a_file_that_is_too_large_is_refused_without_reading_all_of_it(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(manifest.LARGEST_BYTES + 1)
    size = manifest.LARGEST_BYTES + 1
    assert complaint(path) == f"has {size} bytes; at most {size - 1} (8 MiB) are read"


def test_a_complaint_does_not_show_the_content(path: Path) -> None:
    path.write_bytes(b'{"airports": {"kspb": {"vpn": {"psk": "hush-hush-hush" oops')
    assert "hush" not in complaint(path)


MOUNTS = """\
22 1 0:21 / / rw,relatime shared:1 - overlay overlay rw,lowerdir=/l,upperdir=/u
95 22 8:1 /srv/config/airports.json /config/airports.json ro,relatime - ext4 /dev/sda1 rw
96 22 8:1 /srv/cache /cache rw,relatime - ext4 /dev/sda1 rw
"""


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    path = tmp_path / "mountinfo"
    path.write_text(MOUNTS)
    return path


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/config/airports.json", True),
        ("/config", False),
        ("/cache/airports.json", False),
        ("/srv/config/airports.json", False),
        ("/config/airports.jso", False),
    ],
)
def test_a_file_that_is_itself_a_mount_is_noticed(mounts: Path, path: str, expected: bool) -> None:
    assert mounted_as_file(Path(path), mounts) is expected


@pytest.mark.parametrize("content", ["", "\n", "22 1 0:21 /\n", None], ids=repr)
def test_without_a_usable_table_of_mounts_nothing_is_claimed(
    tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "mountinfo"
    if content is not None:
        path.write_text(content)
    assert mounted_as_file(Path("/config/airports.json"), path) is False


def test_the_real_table_of_mounts_can_be_read() -> None:
    assert mounted_as_file(Path("/")) is True
    assert mounted_as_file(Path("/no/such/file")) is False


def test_an_airport_that_stands_there_twice_is_named(tmp_path: Path) -> None:
    file = tmp_path / "airports.json"
    file.write_text(
        '{"theme": 1, "theme": 2, "airports": {"a": {"x": 1, "x": 2}, "b": {}, "a": {}}}'
    )
    with pytest.raises(ManifestError, match="has airports twice: a;"):
        read_document(file)


def test_a_key_given_twice_elsewhere_is_none_of_our_business(tmp_path: Path) -> None:
    file = tmp_path / "airports.json"
    file.write_text('{"theme": 1, "theme": 2, "airports": {"a": {"x": 1, "x": 2}}}')
    assert read_document(file) == {"theme": 2, "airports": {"a": {"x": 2}}}
