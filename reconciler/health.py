"""The container's health check: ask the running reconciler. Standard library only.

It runs every half minute beside the reconciler, so it must not load what the reconciler loads.
"""

import os
import sys
from http import HTTPStatus
from http.client import HTTPConnection

_TIMEOUT_S = 8.0
_ALL_ADDRESSES = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where to ask, not to listen


def ask(listen: str) -> tuple[bool, str]:
    """Return whether it is well, and its words. `listen`: its host:port."""
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    connection = HTTPConnection(_ALL_ADDRESSES.get(host, host), int(port), timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        return answer.status == HTTPStatus.OK, answer.read().decode(errors="replace").strip()
    except OSError as error:
        return False, f"does not answer at {listen}: {error}"
    finally:
        connection.close()


if __name__ == "__main__":
    well, reason = ask(os.environ.get("LISTEN", "127.0.0.1:9580"))
    sys.stdout.write(reason + "\n")
    sys.exit(not well)
