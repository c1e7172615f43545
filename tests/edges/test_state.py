"""The state volume: one key for ever, the last good declarations, charon's own copy."""

import multiprocessing
import threading
from pathlib import Path

import pytest

from reconciler.core.orders import Orders
from reconciler.edges.state import State
from reconciler.errors import StateError
from tests.builders import vpn


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path, tmp_path / "swanctl.conf")


def _short(content: object) -> str:
    return repr(content)[:12]


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_the_key_is_made_once_and_kept(state: State, tmp_path: Path) -> None:
    key = state.mark_key(may_make=True)
    assert len(key) == 32
    assert state.mark_key(may_make=True) == key
    assert State(tmp_path, tmp_path / "other").mark_key(may_make=True) == key
    assert mode(tmp_path / "mark.key") == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["mark.key"]


def test_every_installation_has_a_key_of_its_own(tmp_path: Path) -> None:
    keys = set()
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        keys.add(State(tmp_path / name, tmp_path / "swanctl.conf").mark_key(may_make=True))
    assert len(keys) == 2


def _make_key(directory: Path, barrier: threading.Barrier) -> bytes:
    barrier.wait()
    return State(directory, directory / "swanctl.conf").mark_key(may_make=True)


def test_makers_that_race_in_one_process_or_under_one_id_agree_on_one_key(tmp_path: Path) -> None:
    """In two containers both makers are process 1, so an id tells nobody apart."""
    for attempt in range(40):
        directory = tmp_path / str(attempt)
        directory.mkdir()
        barrier, keys, errors = threading.Barrier(4), list[bytes](), list[Exception]()

        def make(
            directory: Path = directory,
            barrier: threading.Barrier = barrier,
            keys: list[bytes] = keys,
            errors: list[Exception] = errors,
        ) -> None:
            try:
                keys.append(_make_key(directory, barrier))
            except (StateError, OSError) as error:
                errors.append(error)

        makers = [threading.Thread(target=make) for _ in range(4)]
        for maker in makers:
            maker.start()
        for maker in makers:
            maker.join()
        assert errors == []
        assert len(set(keys)) == 1
        assert keys[0] == (directory / "mark.key").read_bytes()
        assert [entry.name for entry in directory.iterdir()] == ["mark.key"]


def test_makers_in_two_processes_agree_on_one_key(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, context.Pool(2) as pool:
        barrier = manager.Barrier(2)
        keys = pool.starmap(_make_key, [(tmp_path, barrier)] * 2)
    assert len(set(keys)) == 1


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 33])
def test_a_damaged_key_is_never_replaced_silently(
    state: State, tmp_path: Path, content: bytes
) -> None:
    """A new key means that every tunnel is taken for changed: somebody has to want it."""
    (tmp_path / "mark.key").write_bytes(content)
    with pytest.raises(StateError, match="is damaged; restore it from a backup"):
        state.mark_key(may_make=True)
    assert (tmp_path / "mark.key").read_bytes() == content


def test_without_a_directory_there_is_no_key(tmp_path: Path) -> None:
    missing = State(tmp_path / "missing", tmp_path / "swanctl.conf")
    with pytest.raises(StateError, match=r"mark\.key: No such file"):
        missing.mark_key(may_make=True)


def test_what_was_accepted_is_remembered(state: State, tmp_path: Path) -> None:
    assert state.read_accepted() == {}
    accepted = {"kspb": vpn(1, psk="kéy with ünusual 漢字")}
    state.write_accepted(accepted)
    assert state.read_accepted() == accepted
    assert mode(tmp_path / "accepted.json") == 0o600


DEEP = b"[" * 100_000


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", DEEP], ids=_short)
def test_a_damaged_memory_is_an_error_and_not_an_empty_one(
    state: State, tmp_path: Path, content: bytes
) -> None:
    """Taken for empty, it would let a faulty file remove tunnels."""
    (tmp_path / "accepted.json").write_bytes(content)
    with pytest.raises(StateError, match=r"accepted\.json: "):
        state.read_accepted()


def test_a_damaged_memory_is_mended_by_the_next_good_file(state: State, tmp_path: Path) -> None:
    (tmp_path / "accepted.json").write_bytes(b"{")
    state.write_accepted({"kspb": vpn(1)})
    assert state.read_accepted() == {"kspb": vpn(1)}


@pytest.mark.parametrize("content", [None, b"", b"[]", b"\xff\xfe", DEEP], ids=_short)
def test_a_memory_that_is_lost_while_we_run_is_known_and_written_again(
    state: State, tmp_path: Path, content: bytes | None
) -> None:
    """Forgotten, it would let a newcomer take over a name or a LAN that is in force."""
    path = tmp_path / "accepted.json"
    state.write_accepted({"kspb": vpn(1)})
    for _ in ("after writing", "after reading"):
        good = path.read_bytes()
        path.unlink() if content is None else path.write_bytes(content)
        assert state.read_accepted() == {"kspb": vpn(1)}
        state.write_accepted(state.read_accepted())
        assert path.read_bytes() == good
        state = State(tmp_path, tmp_path / "swanctl.conf")
        assert state.read_accepted() == {"kspb": vpn(1)}


def test_charons_copy_is_for_root_alone_because_it_has_the_keys(
    state: State, tmp_path: Path
) -> None:
    state.write_swanctl("connections {\n}\n")
    assert (tmp_path / "swanctl.conf").read_text() == "connections {\n}\n"
    assert mode(tmp_path / "swanctl.conf") == 0o600


def test_what_did_not_change_is_not_written_again(state: State, tmp_path: Path) -> None:
    files = tmp_path / "swanctl.conf", tmp_path / "accepted.json"

    def write(text: str) -> list[int]:
        state.write_swanctl(text)
        state.write_accepted({"kspb": text})
        return [file.stat().st_ino for file in files]

    first = write("one")
    assert write("one") == first
    assert all(a != b for a, b in zip(write("two"), first, strict=True))


def test_a_directory_in_the_way_is_moved_aside_with_what_is_in_it(
    state: State, tmp_path: Path
) -> None:
    (tmp_path / "swanctl.conf").mkdir()
    (tmp_path / "swanctl.conf" / "something").touch()
    state.write_swanctl("good")
    assert (tmp_path / "swanctl.conf").read_text() == "good"
    assert [path.name for path in tmp_path.glob("*.in-the-way-*/*")] == ["something"]


@pytest.mark.parametrize("wrong", [0o000, 0o644, 0o666])
def test_a_file_that_not_just_its_owner_may_read_is_written_again(
    state: State, tmp_path: Path, wrong: int
) -> None:
    path = tmp_path / "swanctl.conf"
    state.write_swanctl("good")
    path.chmod(wrong)
    state.write_swanctl("good")
    assert mode(path) == 0o600
    assert path.read_text() == "good"


def test_a_volume_that_is_not_there_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    missing = State(tmp_path / "missing", tmp_path / "missing" / "swanctl.conf")
    with pytest.raises(StateError, match=r"swanctl\.conf: No such file"):
        missing.write_swanctl("x")
    with pytest.raises(StateError, match=r"accepted\.json: No such file"):
        missing.write_accepted({})


def test_no_error_shows_a_key(state: State, tmp_path: Path) -> None:
    (tmp_path / "accepted.json").write_text('{"kspb": {"psk": "hush-hush-hush" oops')
    with pytest.raises(StateError) as caught:
        state.read_accepted()
    assert "hush" not in str(caught.value)
    with pytest.raises(StateError) as refused:
        State(tmp_path, tmp_path / "missing" / "swanctl.conf").write_swanctl("hush-hush-hush")
    assert "hush" not in str(refused.value)


def test_a_key_that_vanishes_while_we_run_is_written_again(tmp_path: Path) -> None:
    state = State(tmp_path, tmp_path / "swanctl.conf")
    key = state.mark_key(may_make=True)
    (tmp_path / "mark.key").unlink()
    assert state.mark_key(may_make=False) == key
    assert (tmp_path / "mark.key").read_bytes() == key


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 33])
def test_a_key_that_is_damaged_while_we_run_is_written_again(
    tmp_path: Path, content: bytes
) -> None:
    """Found out at the next start only, it would cost every site its tunnel."""
    state = State(tmp_path, tmp_path / "swanctl.conf")
    key = state.mark_key(may_make=True)
    (tmp_path / "mark.key").write_bytes(content)
    assert state.mark_key(may_make=False) == key
    assert (tmp_path / "mark.key").read_bytes() == key


def test_a_lost_key_is_not_replaced_while_charon_has_something_under_it(tmp_path: Path) -> None:
    state = State(tmp_path, tmp_path / "swanctl.conf")
    with pytest.raises(StateError, match="is missing; restore it from a backup"):
        state.mark_key(may_make=False)
    assert list(tmp_path.iterdir()) == []
    state.make_new_key()
    assert len(state.mark_key(may_make=False)) == 32


def test_who_only_reads_makes_no_key(tmp_path: Path) -> None:
    state = State(tmp_path, tmp_path / "swanctl.conf", read_only=True)
    assert len(state.mark_key(may_make=True)) == 32
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_is_whole_is_not_replaced_under_a_running_reconciler(tmp_path: Path) -> None:
    state = State(tmp_path, tmp_path / "swanctl.conf")
    key = state.mark_key(may_make=True)
    with pytest.raises(StateError, match="is there and whole"):
        State(tmp_path, tmp_path / "swanctl.conf").make_new_key()
    assert (tmp_path / "mark.key").read_bytes() == key


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", DEEP], ids=_short)
def test_orders_that_are_damaged_while_we_run_are_remembered_and_not_overwritten(
    state: State, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "orders.json"
    state.change_orders(lambda orders: orders.changed("kspb_vpn", paused_since=1))
    good = state.read_orders()
    path.write_bytes(content)
    for _ in range(2):
        with pytest.raises(
            StateError, match=r"orders\.json: can't be read .*; restore it, or delete"
        ):
            state.read_orders()
        assert state.last_orders == good
    with pytest.raises(StateError, match="restore it, or delete it"):
        state.change_orders(lambda orders: orders.changed("kspb_vpn", paused_since=0))
    assert path.read_bytes() == content
    path.unlink()
    assert state.read_orders() == state.last_orders == Orders()
