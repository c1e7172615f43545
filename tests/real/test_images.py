"""What is in the images, file by file, and what the reconciler's was made from."""

import json
import re
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.markers import Marker

from tests.docker import docker

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
IMAGES = sorted(path.parent.name for path in (ROOT / "images").glob("*/Dockerfile"))
COMPILER = re.compile(r"(.*-)?(gcc|g\+\+|cc|c\+\+|cpp|ld|as|make|clang|tcc|go|rustc)(-[\d.]+)?")
TOOL = re.compile(r"(pip|pip3|pip3\.\d+|uv|npm|gem|git|sudo|ssh|nc|ncat|telnet)")
CAPABILITY = "SCHILY.xattr.security.capability"

# By these files charon and a mock site get their two, and the filter its one: decision 3.
CAPABLE = {
    "charon": ["/usr/bin/setpriv"],
    "site": ["/usr/bin/setpriv"],
    "filter": ["/usr/sbin/nft"],
}


def members(image: str) -> Iterator[tarfile.TarInfo]:
    """Yield every file of an image with its mode and attributes; nothing of it runs."""
    name = f"test-image-{image}"
    docker("rm", "--force", name, check=False)
    docker("create", "--name", name, f"vpn-{image}", check=True)
    export = subprocess.Popen(["docker", "export", name], stdout=subprocess.PIPE)
    assert export.stdout
    try:
        with tarfile.open(fileobj=export.stdout, mode="r|") as archive:
            yield from archive
        export.stdout.read()
    finally:
        export.stdout.close()
        export.wait(timeout=60)
        docker("rm", "--force", name)
    assert export.returncode == 0


@pytest.mark.parametrize("image", IMAGES)
def test_no_file_lends_anybodys_rights_and_there_is_nothing_to_build_or_fetch_with(
    image: str,
) -> None:
    lending, capable, tools, seen = [], [], [], 0
    for member in members(image):
        seen += 1
        file = Path("/") / member.name
        if member.isfile() and member.mode & (stat.S_ISUID | stat.S_ISGID):
            lending.append(str(file))
        if CAPABILITY in member.pax_headers:
            capable.append(str(file))
        if file.parent.name in {"bin", "sbin"} and (
            COMPILER.fullmatch(file.name) or TOOL.fullmatch(file.name)
        ):
            tools.append(str(file))
        if file.name == "pip" and member.isdir():
            tools.append(str(file))
    assert seen > 1000
    assert lending == []
    assert capable == CAPABLE.get(image, [])
    assert tools == []


def locked() -> dict[str, str]:
    """Return what requirements.lock says for the Python of the image."""
    version = docker(
        *("run", "--rm", "--network", "none", "--entrypoint", "python", "vpn-reconciler"),
        *("-c", "import sys; print('%d.%d' % sys.version_info[:2])"),
    ).strip()
    environment = {"python_version": version, "python_full_version": f"{version}.0"}
    found = {}
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        pinned = re.match(r"([\w.-]+)(?:\[\w+\])?==([\w.!+]+)(?: ; ([^\\]+))?", line)
        if pinned and (not pinned[3] or Marker(pinned[3].strip()).evaluate(environment)):
            found[normal(pinned[1])] = pinned[2]
    return found


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_reconcilers_image_holds_exactly_what_is_locked_and_itself() -> None:
    script = (
        "import importlib.metadata as m, json; "
        "print(json.dumps({d.name: d.version for d in m.distributions(path=['/opt/reconciler/lib/'"
        "+ 'python%d.%d' % __import__('sys').version_info[:2] + '/site-packages'])}))"
    )
    printed = docker(
        *("run", "--rm", "--network", "none", "--entrypoint", "python", "vpn-reconciler"),
        *("-c", script),
    )
    found = {normal(name): version for name, version in json.loads(printed).items()}
    assert found.pop("reconciler")
    assert found == locked()
