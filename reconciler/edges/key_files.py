"""Keys that stand in files of their own, like Docker secrets, put where the file names them."""

import os
from collections.abc import Mapping
from typing import Any

from reconciler.core.mask import shown
from reconciler.core.model import UnreadableKey
from reconciler.files import NotRegularError, read_regular

_LARGEST_BYTES = 4096
_FIELDS = ("psk", "next_psk")


def with_keys(document: object) -> object:
    """Return the parsed airports.json with every `psk_file` and `next_psk_file` read.

    Where a file can't be read, an UnreadableKey stands for the key. A key that is given in both
    ways is left as it is, for the model to complain about.
    """
    airports = document.get("airports") if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(airports, dict):
        return document
    read = {id_: _airport_with_keys(airport) for id_, airport in airports.items()}
    return {**document, "airports": read}


def _airport_with_keys(airport: object) -> object:
    vpn = airport.get("vpn") if isinstance(airport, dict) else None
    if not isinstance(airport, dict) or not isinstance(vpn, dict):
        return airport
    return {**airport, "vpn": _vpn_with_keys(vpn)}


def _vpn_with_keys(vpn: Mapping[str, Any]) -> Mapping[str, Any]:
    read = dict(vpn)
    for field in _FIELDS:
        if read.get(f"{field}_file") is not None and read.get(field) is None:
            read[field] = _read(f"{field}_file", read.pop(f"{field}_file"))
    return read


def _named(path: str) -> str:
    """Return the path, unless it may be the key itself: base64 may begin with a slash, too."""
    folder = os.path.dirname(path)  # noqa: PTH120 - of what may be no path at all
    there = folder.strip("/") and "\0" not in folder and os.path.isdir(folder)  # noqa: PTH112
    return path if there or shown(path) == repr(path) else shown(path)


def _read(field: str, path: object) -> str | UnreadableKey:
    if not isinstance(path, str) or not path.startswith("/"):
        return UnreadableKey(f"{field} is not an absolute path; write one like /run/secrets/kspb")
    try:
        content = read_regular(path, _LARGEST_BYTES)
        if len(content) > _LARGEST_BYTES:
            return UnreadableKey(
                f"{field} names {_named(path)}, which is larger than {_LARGEST_BYTES} bytes"
            )
        return content.decode().rstrip("\r\n")
    except NotRegularError:
        advice = "is no regular file; name a file that holds the key"
        return UnreadableKey(f"{field} names {_named(path)}, which {advice}")
    except UnicodeDecodeError:
        return UnreadableKey(f"{field} names {_named(path)}, which is not UTF-8 text")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "is no path"
        return UnreadableKey(f"{field} names {_named(path)}, which can't be read: {why}")
