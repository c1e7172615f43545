"""A reconciler that does nothing but write its status, as fast as it can."""

import contextlib
import itertools
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from reconciler.core.status import Status
from reconciler.edges.status_file import write_status
from tests.page.fleets import fleet

Write = Callable[[Path, Status], None]


def write_in_place(path: Path, status: Status) -> None:
    """Write as it must not be done."""
    path.write_text(status.model_dump_json(indent=1))


def forget_a_key(path: Path, status: Status) -> None:
    """Write what a careless change of the model would."""
    document = status.model_dump(mode="json")
    for one in document["connections"].values():
        del one["last_connected"]
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(document))
    draft.replace(path)


@contextlib.contextmanager
def writing(path: Path, write: Write = write_status) -> Iterator[None]:
    """Write documents of very different lengths meanwhile, one after another."""
    documents = [Status.model_validate(fleet(size, seed=size)) for size in (0, 3, 200, 40)]
    stop = threading.Event()
    write(path, documents[1])

    def run() -> None:
        for number in itertools.count(1):
            if stop.is_set():
                return
            document = documents[number % len(documents)]
            write(path, document.model_copy(update={"timestamp": document.timestamp + number}))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
