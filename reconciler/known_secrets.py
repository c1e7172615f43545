"""Which secrets this installation has, to be searched for before anything is handed out."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from reconciler.core import redact
from reconciler.core.model import UnreadableKey
from reconciler.core.redact import Finder, Secret
from reconciler.edges.key_files import with_keys
from reconciler.edges.manifest import LARGEST_BYTES, read_document
from reconciler.errors import ManifestError
from reconciler.settings import Settings


def known_secrets(settings: Settings) -> tuple[Finder, list[str]]:
    """Find every secret of this installation, and say which ones could not be looked at."""
    notes: list[str] = []
    finder = Finder(_secrets(settings, notes))
    notes += [
        f"{where}: too short to be searched for, so it was left out by its place only"
        for where in dict.fromkeys(finder.too_short)
    ]
    return finder, notes


def _secrets(settings: Settings, notes: list[str]) -> Iterator[Secret]:
    yield from _secrets_of_airports(settings.config_path, notes)
    for path, read in (
        *([(Path(settings.http_token_file), _of_token)] if settings.http_token_file else []),
        (settings.state_dir / "accepted.json", _of_accepted),
        (settings.swanctl_file, _of_swanctl),
        (settings.state_dir / "mark.key", _of_key),
    ):
        try:
            yield from read(path.read_bytes(), path.name)
        except FileNotFoundError:
            continue
        except OSError as error:
            notes.append(f"{path}: can't be read ({error.strerror}), so its secrets are not known")
    for name, value in os.environ.items():
        yield from redact.secrets_of_document({name: value}, "environment")
    yield from redact.secrets_of_url(settings.docker_host, "DOCKER_HOST")


def _of_accepted(content: bytes, where: str) -> Iterable[Secret]:
    try:
        return redact.secrets_of_document(json.loads(content), where)
    except (ValueError, RecursionError):
        return redact.secrets_of_broken_json(content.decode(errors="replace"), where)


def _of_swanctl(content: bytes, where: str) -> Iterable[Secret]:
    return redact.secrets_of_swanctl(content.decode(errors="replace"), where)


def _of_token(content: bytes, where: str) -> Iterable[Secret]:
    return (Secret(where, content.strip()),)


def _of_key(content: bytes, where: str) -> Iterable[Secret]:
    return (Secret(where, content),)


def _secrets_of_airports(path: Path, notes: list[str]) -> Iterator[Secret]:
    try:
        document = read_document(path)
    except ManifestError:
        with suppress(OSError):
            text = path.read_bytes()[:LARGEST_BYTES].decode(errors="replace")
            yield from redact.secrets_of_broken_json(text, path.name)
        return
    yield from redact.secrets_of_document(document, path.name)
    filled = with_keys(document)
    yield from redact.secrets_of_document(filled, path.name)
    airports = filled.get("airports") if isinstance(filled, Mapping) else None
    for airport_id, airport in airports.items() if isinstance(airports, Mapping) else ():
        vpn = airport.get("vpn") if isinstance(airport, Mapping) else None
        for key, value in vpn.items() if isinstance(vpn, Mapping) else ():
            if isinstance(value, UnreadableKey):
                notes.append(f"airports.{airport_id}.vpn.{key}: not known: {value.why}")
