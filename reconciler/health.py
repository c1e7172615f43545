"""The container's health check: ask the running reconciler. Standard library only.

It runs every half minute beside the reconciler, so it must not load what the reconciler loads.
"""

import os
import ssl
import sys
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path

_TIMEOUT_S = 8.0
_ALL_ADDRESSES = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where to ask, not to listen


def ask(listen: str, *, tls: bool = False) -> tuple[bool, str]:
    """Return whether it is well, and its words. `listen`: its host:port."""
    try:
        code, body = get(listen, "/healthz", tls=tls)
    except OSError as error:
        return False, f"does not answer at {listen}: {error}"
    return code == HTTPStatus.OK, body.decode(errors="replace").strip()


def get(listen: str, path: str, *, tls: bool = False, token_file: str = "") -> tuple[int, bytes]:
    """Ask the running reconciler for a page. Raises OSError."""
    headers = {}
    if token_file:
        headers["Authorization"] = f"Bearer {Path(token_file).read_text().strip()}"
    connection = _connection(listen, tls=tls)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except HTTPException as error:
        raise OSError(f"no HTTP: {type(error).__name__}") from error
    finally:
        connection.close()


def _connection(listen: str, *, tls: bool) -> HTTPConnection:
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    host = _ALL_ADDRESSES.get(host, host)
    if not tls:
        return HTTPConnection(host, int(port), timeout=_TIMEOUT_S)
    # A port of this very machine, asked by its address, for which no certificate is made out.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return HTTPSConnection(host, int(port), timeout=_TIMEOUT_S, context=context)


if __name__ == "__main__":
    well, reason = ask(
        os.environ.get("LISTEN", "127.0.0.1:9580"),
        tls=bool(os.environ.get("HTTP_TLS_CERTIFICATE")),
    )
    sys.stdout.write(reason + "\n")
    sys.exit(not well)
