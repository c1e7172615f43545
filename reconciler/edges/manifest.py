"""airports.json as bytes on disk, read whole."""

import json
from pathlib import Path
from typing import Never

from reconciler.core.nesting import DEEPEST, is_too_deep
from reconciler.errors import ManifestError
from reconciler.files import NotRegularError, read_regular

LARGEST_BYTES = 8 * 1024 * 1024
# What a file takes in memory depends on how many values it has: an empty object is 3 bytes long,
# and takes 30 times as many.
MOST_MARKS = 500_000
MOST_AIRPORTS = 20_000
_MARKS = (b",", b"{", b"[")


def read_document(path: Path) -> object:
    """Read and parse the file. Raises ManifestError with what is wrong and where."""
    try:
        content = read_regular(path, LARGEST_BYTES)
        size = len(content)
        if size > LARGEST_BYTES:
            size = max(size, path.stat().st_size)
    except FileNotFoundError as error:
        raise ManifestError("does not exist") from error
    except NotRegularError as error:
        raise ManifestError("is no regular file; write the declaration into one") from error
    except OSError as error:
        raise ManifestError(f"can't be read: {error.strerror}") from error
    if size > LARGEST_BYTES:
        limit = f"at most {LARGEST_BYTES} ({LARGEST_BYTES >> 20} MiB) are read"
        raise ManifestError(f"has {size} bytes; {limit}")
    return parse_document(content)


def parse_document(content: bytes) -> object:
    """Parse what the file holds. Raises ManifestError with what is wrong and where."""
    if not content.strip():
        raise ManifestError("is empty; write an object with the key airports")
    marks = sum(map(content.count, _MARKS))
    if marks > MOST_MARKS:
        limit = f"at most {MOST_MARKS} are read"
        raise ManifestError(f"has {marks} commas and opening brackets; {limit}")
    try:
        document = _parse(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ManifestError(f"is not UTF-8 at byte {error.start}") from error
    except RecursionError as error:
        raise ManifestError(_TOO_DEEP) from error
    except ValueError as error:
        raise ManifestError(f"is not JSON: {error}") from error
    if is_too_deep(document):
        raise ManifestError(_TOO_DEEP)
    airports = document.get("airports") if isinstance(document, dict) else None
    if isinstance(airports, dict) and len(airports) > MOST_AIRPORTS:
        raise ManifestError(f"has {len(airports)} airports; at most {MOST_AIRPORTS} are read")
    return document


_TOO_DEEP = f"is nested too deeply; at most {DEEPEST} levels are read"


class _Doubled(dict[str, object]):
    """A JSON object that was given keys twice; the last value counts."""

    doubles: tuple[str, ...] = ()


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    seen, doubles = set[str](), dict[str, None]()
    for key, _ in pairs:
        if key in seen:
            doubles[key] = None
        seen.add(key)
    doubled = _Doubled(found)
    doubled.doubles = tuple(doubles)
    return doubled


def _no_number(text: str) -> Never:
    raise ValueError(f"{text} is no number")


def _parse(text: str) -> object:
    """Raise ManifestError if an airport stands in the file twice: one of them would be lost."""
    document = json.loads(text, object_pairs_hook=_object, parse_constant=_no_number)
    airports = document.get("airports") if isinstance(document, dict) else None
    if isinstance(document, _Doubled) and "airports" in document.doubles:
        raise ManifestError("has the key airports twice; put all airports under one")
    if isinstance(airports, _Doubled):
        raise ManifestError(f"has airports twice: {', '.join(airports.doubles)}; keep one of each")
    return document


def mounted_as_file(path: Path, mounts: Path = Path("/proc/self/mountinfo")) -> bool:
    """Tell whether the file itself is a mount point.

    Such a mount shows the old file for ever once an editor or a deployment replaces it by rename.
    """
    try:
        points = [line.split()[4] for line in mounts.read_text().splitlines()]
    except (OSError, IndexError):
        return False
    return str(path) in points
