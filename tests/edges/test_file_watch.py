"""FileWatch on real directories: whoever changes the file in whatever way, the loop wakes."""

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reconciler.edges.file_watch import FileWatch

DEADLINE_S = 5.0
# Sooner than the look every 2 s can find it.
SOON_S = 1.5
# A thread that has not begun to watch yet sees no difference; the file is touched until it does.
FIRST_TRY_S = 0.2


class Reasons(queue.Queue[str]):
    """What the watch told."""

    def expect(self, within_s: float = SOON_S) -> None:
        assert self.get(timeout=within_s) == "airports.json changed"

    def none_for(self, seconds: float) -> None:
        with pytest.raises(queue.Empty):
            self.get(timeout=seconds)


@contextmanager
def watching(path: Path, then: Callable[[], None] = lambda: None) -> Iterator[Reasons]:
    """Watch the path. `then`: done inside the wake-up itself."""
    reasons = Reasons()

    def wake(reason: str) -> None:
        then()
        reasons.put(reason)

    watch = FileWatch(path, "airports.json changed", wake)
    watch.start()
    try:
        yield reasons
    finally:
        watch.stop()


def until_awake(path: Path, reasons: Reasons) -> None:
    """Change the file until the watch is there to see it, then forget what it told."""
    for attempt in range(50):
        path.write_text(f"{{}} {' ' * attempt}")
        try:
            reasons.get(timeout=FIRST_TRY_S)
        except queue.Empty:
            continue
        while True:
            try:
                reasons.get(timeout=FIRST_TRY_S)
            except queue.Empty:
                return
    pytest.fail("the watch never saw a change")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    directory = tmp_path / "config"
    directory.mkdir()
    path = directory / "airports.json"
    path.write_text("{}")
    return path


def test_a_write_wakes(path: Path) -> None:
    with watching(path) as reasons:
        until_awake(path, reasons)
        path.write_text('{"airports": {}}')
        reasons.expect()


def test_a_rename_over_it_wakes_as_editors_and_deployments_do(path: Path) -> None:
    with watching(path) as reasons:
        until_awake(path, reasons)
        for number in range(3):
            new = path.with_name(".airports.json.swp")
            new.write_text(f'{{"airports": {{}}, "version": {number}}}')
            new.replace(path)
            reasons.expect()


def test_its_removal_wakes_and_so_does_its_return(path: Path) -> None:
    with watching(path) as reasons:
        until_awake(path, reasons)
        path.unlink()
        reasons.expect()
        path.write_text("{}")
        reasons.expect()


def test_a_move_away_wakes(path: Path) -> None:
    with watching(path) as reasons:
        until_awake(path, reasons)
        path.rename(path.with_suffix(".bak"))
        reasons.expect()


def test_a_file_that_appears_later_wakes(path: Path) -> None:
    path.unlink()
    with watching(path) as reasons:
        path.write_text("{}")
        until_awake(path, reasons)


def test_a_directory_that_appears_later_wakes(path: Path) -> None:
    path.unlink()
    path.parent.rmdir()
    with watching(path) as reasons:
        reasons.none_for(FIRST_TRY_S)
        path.parent.mkdir()
        path.write_text("{}")
        reasons.expect(DEADLINE_S)


def test_a_directory_that_is_replaced_wakes_and_is_watched_from_then_on(path: Path) -> None:
    with watching(path) as reasons:
        until_awake(path, reasons)
        path.parent.rename(path.parent.with_name("old"))
        path.parent.mkdir()
        path.write_text('{"airports": {}}')
        reasons.expect(DEADLINE_S)
        until_awake(path, reasons)


def test_a_link_that_is_turned_elsewhere_wakes(path: Path) -> None:
    """As a Kubernetes ConfigMap or a deployment by link does."""
    for version in ("v1", "v2"):
        (path.parent / version).write_text(f'{{"version": "{version}"}}')
    path.unlink()
    path.symlink_to("v1")
    with watching(path) as reasons:
        reasons.none_for(FIRST_TRY_S)
        turned = path.with_name("turned")
        turned.symlink_to("v2")
        turned.replace(path)
        reasons.expect()


def test_other_files_of_the_directory_do_not_wake(path: Path) -> None:
    with watching(path) as reasons:
        until_awake(path, reasons)
        path.with_name("notes.txt").write_text("hello")
        path.with_name(".airports.json.swp").write_text("draft")
        reasons.none_for(0.3)


def test_reading_it_does_not_wake(path: Path) -> None:
    with watching(path) as reasons:
        until_awake(path, reasons)
        path.read_text()
        reasons.none_for(0.3)


def test_a_change_in_the_moment_of_waking_is_not_missed(path: Path) -> None:
    """An editor that writes twice: the second write falls between two waits."""
    second_write = iter([True])

    def write_again() -> None:
        if next(second_write, False):
            path.write_text('{"airports": {}, "written": "a second time"}')

    with watching(path, then=write_again) as reasons:
        for attempt in range(50):
            path.write_text(f"{{}} {' ' * attempt}")
            try:
                reasons.get(timeout=FIRST_TRY_S)
                break
            except queue.Empty:
                continue
        reasons.expect()


def test_it_ends_when_it_is_stopped(path: Path) -> None:
    before = {*threading.enumerate()}
    watch = FileWatch(path, "changed", lambda reason: None)
    watch.start()
    (thread,) = {*threading.enumerate()} - before
    watch.stop()
    thread.join(timeout=DEADLINE_S)
    assert not thread.is_alive()
