"""The container's health check: ask the running reconciler. Standard library only.

It runs every half minute beside the reconciler, so it must not load what the reconciler loads.
"""

import os
import sys
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException

_TIMEOUT_S = 8.0
_ALL_ADDRESSES = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where to ask, not to listen


def ask(listen: str) -> tuple[bool, str]:
    """Return whether it is well, and its words. `listen`: its host:port."""
    try:
        code, body = get(listen, "/healthz")
    except OSError as error:
        return False, f"does not answer at {listen}: {error}"
    return code == HTTPStatus.OK, body.decode(errors="replace").strip()


def get(listen: str, path: str) -> tuple[int, bytes]:
    """Ask the running reconciler for a page. Raises OSError."""
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    connection = HTTPConnection(_ALL_ADDRESSES.get(host, host), int(port), timeout=_TIMEOUT_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except HTTPException as error:
        raise OSError(f"no HTTP: {type(error).__name__}") from error
    finally:
        connection.close()


if __name__ == "__main__":
    well, reason = ask(os.environ.get("LISTEN", "127.0.0.1:9580"))
    sys.stdout.write(reason + "\n")
    sys.exit(not well)
