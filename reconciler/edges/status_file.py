"""vpn-status.json on the volume that a web page reads."""

from pathlib import Path

from pydantic import ValidationError

from reconciler.core.status import Status
from reconciler.errors import StatusError
from reconciler.files import write_atomically


def read_status(path: Path) -> Status:
    """Read a status document. Raises StatusError if there is none or it is damaged."""
    try:
        return Status.model_validate_json(path.read_bytes())
    except OSError as error:
        raise StatusError(f"{path}: {error.strerror}") from error
    except ValidationError as error:
        raise StatusError(f"{path}: is damaged ({error.error_count()} faults)") from error


def write_status(path: Path, status: Status) -> None:
    """Replace the file whole, readable for everybody. Raises StatusError; the old one stays."""
    try:
        write_atomically(path, status.model_dump_json(indent=1).encode() + b"\n", 0o644)
    except OSError as error:
        raise StatusError(f"{path}: {error.strerror}") from error
