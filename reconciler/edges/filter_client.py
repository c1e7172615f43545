"""The way to the filter agent: one line of JSON there, one back, over its socket."""

import json
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reconciler.core.packet_filter import FilterRules, FilterView, to_json, view_from_json
from reconciler.errors import FilterUnreachable

# A hung agent must not keep a round for long; the status is due every half minute.
_LOOK_WITHIN_S, _LOAD_WITHIN_S = 4.0, 10.0
_LARGEST_REPLY_BYTES = 64 * 1024


class FilterClient:
    """Asks the agent. Both methods raise FilterUnreachable; what nft refused is in the view."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def look(self) -> FilterView:
        """Ask how the filter is."""
        return self._ask({"do": "look"}, _LOOK_WITHIN_S)

    def load(self, rules: FilterRules) -> FilterView:
        """Put rules in force, all at once or not at all."""
        return self._ask({"do": "load", "rules": to_json(rules)}, _LOAD_WITHIN_S)

    def _ask(self, request: Mapping[str, Any], within_s: float) -> FilterView:
        try:
            reply = _exchange(self._path, json.dumps(request).encode() + b"\n", within_s)
            return view_from_json(json.loads(reply))
        except OSError as error:
            why = error.strerror or str(error) or type(error).__name__
            raise FilterUnreachable(f"{self._path}: {why}") from error
        except (ValueError, RecursionError) as error:
            raise FilterUnreachable(f"{self._path}: no reply that can be read: {error}") from error


def _exchange(path: Path, request: bytes, within_s: float) -> bytes:
    """Send and read up to the end of the line. Raises OSError."""
    deadline = time.monotonic() + within_s
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(within_s)
        connection.connect(str(path))
        connection.sendall(request)
        reply = b""
        while not reply.endswith(b"\n"):
            if time.monotonic() > deadline:
                raise TimeoutError(f"no whole reply within {within_s:g} s")
            part = connection.recv(_LARGEST_REPLY_BYTES)
            reply += part
            if not part or len(reply) > _LARGEST_REPLY_BYTES:
                raise ConnectionError("the reply is cut off" if not part else "too long a reply")
        return reply
