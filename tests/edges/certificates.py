"""Certificates for tests, made by openssl."""

from pathlib import Path

from tests.docker import run

KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")


def write_certificate(folder: Path, name: str, *options: str) -> tuple[Path, Path]:
    """Make a self-signed certificate for `name` and its key; return both files."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    run(
        *("openssl", "req", "-x509", *KEY, *(options or ("-nodes",)), "-days", "2"),
        *("-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"),
        *("-keyout", str(key), "-out", str(certificate)),
    )
    return certificate, key
