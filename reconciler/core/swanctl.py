"""The same connections as swanctl.conf, for charon's own start while the reconciler is gone.

Everything is quoted; a key is written in base64 (`0s…`), so no character of it needs escaping.
"""

from base64 import b64encode
from collections.abc import Iterable, Mapping

from reconciler.core.render import Connection

_HEADER = "# Written by the reconciler from airports.json; edits are overwritten.\n"


def swanctl_text(connections: Iterable[Connection]) -> str:
    """Return the whole file. It holds keys: mode 0600, and never in a log."""
    connections = list(connections)
    lines = [_HEADER, "connections {"]
    for connection in connections:
        lines += _section(connection.name, connection.settings, "  ")
    lines += ["}", "secrets {"]
    for connection in connections:
        if connection.spare_psk is not None:  # first: charon answers with the one loaded last
            spare_id = connection.file_spare_secret_id
            lines += _secret(spare_id, connection.remote_id, connection.spare_psk)
        lines += _secret(connection.file_secret_id, connection.remote_id, connection.psk)
    return "\n".join([*lines, "}", ""])


def _secret(section: str, owner: str, psk: bytes) -> Iterable[str]:
    body = {"id": owner, "secret": f"0s{b64encode(psk).decode()}"}
    return _section(section, body, "  ")


def _section(name: str, body: Mapping[str, object], indent: str) -> Iterable[str]:
    yield f"{indent}{name} {{"
    for key, value in body.items():
        if isinstance(value, Mapping):
            yield from _section(key, value, indent + "  ")
        else:
            text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
            yield f'{indent}  {key} = "{text}"'
    yield f"{indent}}}"
