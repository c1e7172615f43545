"""airports.json as bytes on disk, read whole."""

import json
from pathlib import Path

from reconciler.errors import ManifestError

LARGEST_BYTES = 64 * 1024 * 1024


def read_document(path: Path) -> object:
    """Read and parse the file. Raises ManifestError with what is wrong and where."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
        if len(content) > LARGEST_BYTES:
            raise ManifestError(f"is larger than {LARGEST_BYTES} bytes")
        if not content.strip():
            raise ManifestError("is empty; write an object with the key airports")
        return _parse(content.decode("utf-8-sig"))
    except FileNotFoundError as error:
        raise ManifestError("does not exist") from error
    except OSError as error:
        raise ManifestError(f"can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ManifestError(f"is not UTF-8 at byte {error.start}") from error
    except RecursionError as error:
        raise ManifestError("is nested too deeply") from error
    except ValueError as error:
        raise ManifestError(f"is not JSON: {error}") from error


class _Object(dict[str, object]):
    """A JSON object that remembers which keys it was given twice; the last value counts."""

    def __init__(self, pairs: list[tuple[str, object]]) -> None:
        super().__init__(pairs)
        seen: set[str] = set()
        self.doubles = list[str]()
        for key, _ in pairs:
            if key in seen:
                self.doubles.append(key)
            seen.add(key)


def _parse(text: str) -> object:
    """Raise ManifestError if an airport stands in the file twice: one of them would be lost."""
    document = json.loads(text, object_pairs_hook=_Object)
    airports = document.get("airports") if isinstance(document, _Object) else None
    if isinstance(airports, _Object) and airports.doubles:
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
