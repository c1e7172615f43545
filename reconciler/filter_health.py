"""The filter container's health check: the agent answers. Standard library only."""

import os
import socket
import sys

_TIMEOUT_S = 8.0


def main() -> int:
    """Return the exit code."""
    path = os.environ.get("FILTER_SOCKET", "/run/filter/filter.sock")
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_TIMEOUT_S)
            connection.connect(path)
            connection.sendall(b'{"do": "look"}\n')
            reply = connection.recv(65_536).decode(errors="replace").strip()
    except OSError as error:
        reply = f"does not answer at {path}: {error}"
    sys.stdout.write(reply + "\n")
    return 0 if reply.startswith("{") else 1


if __name__ == "__main__":
    sys.exit(main())
