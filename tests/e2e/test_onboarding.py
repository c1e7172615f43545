"""From an airport that wants a camera to a picture, with what the commands print."""

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docker import docker, eventually
from tests.e2e.stack import (
    ELSEWHERE,
    ELSEWHERE_HOST,
    PAUSE,
    PREFIX,
    PROJECT,
    Stack,
)

pytestmark = pytest.mark.e2e

LAN, CAMERA, CONTAINER = "192.168.88.0/24", "192.168.88.100", f"{PREFIX}site-knew"
PICTURE_WITHIN_S = 30


def reconciler(stack: Stack, *arguments: str) -> dict[str, Any]:
    """Run one command as the documentation says: in a container that may write the file."""
    printed = docker(
        *("run", "--rm", "--user", "root", "--network", f"container:{PAUSE}"),
        *("--volume", f"{PROJECT}_vici:/run/vici", "--volume", f"{stack.folder}:/config"),
        *("vpn-reconciler", *arguments, "--hub-address", ELSEWHERE_HOST, "--json"),
    )
    return dict(json.loads(printed))


@contextlib.contextmanager
def site(configuration: Path) -> Iterator[None]:
    """Run an airport's router with a configuration that was given to it."""
    environment = {
        "AIRPORT": "knew",
        "HUB_ADDRESS": ELSEWHERE_HOST,
        "LAN": LAN,
        "CAMERA": CAMERA,
        "SWANCTL_CONF": "/run/secrets/hub.conf",
    }
    docker("rm", "--force", CONTAINER, check=False)
    docker(
        *("run", "--detach", "--name", CONTAINER, "--network", ELSEWHERE, "--cap-drop", "ALL"),
        *("--cap-add", "NET_ADMIN", "--cap-add", "NET_BIND_SERVICE", "--device", "/dev/net/tun"),
        *("--volume", f"{configuration}:/run/secrets/hub.conf:ro"),
        *(part for key, value in environment.items() for part in ("--env", f"{key}={value}")),
        "vpn-site",
    )
    try:
        yield
    finally:
        docker("rm", "--force", CONTAINER)


def test_onboarded_with_what_is_printed_an_airport_gives_a_picture_within_30_seconds(
    stack: Stack,
) -> None:
    before = stack.airports_file.read_text()
    rights = stack.airports_file.stat()
    others = stack.ike_ids()
    try:
        began = time.monotonic()
        done = reconciler(
            *(stack, "onboard", "knew", "--new-airport", "--airport-name", "New", "--lan", LAN),
            *("--router", "strongswan", "--camera", f"North=http://{CAMERA}/snapshot.jpg"),
            "--write",
        )
        assert done["written"] is True
        changed = stack.airports_file.stat()
        assert (changed.st_uid, changed.st_gid, changed.st_mode) == (
            rights.st_uid,
            rights.st_gid,
            rights.st_mode,
        )
        shown = reconciler(stack, "site-config", "knew", "--router", "strongswan", "--show-key")
        configuration = stack.folder / "secrets" / "knew.conf"
        configuration.write_text(shown["configuration"])
        os.chown(configuration, 10001, 10001)
        configuration.chmod(0o600)
        with site(configuration):
            picture = eventually(lambda: stack.picture(CAMERA), 40, "a picture of the new airport")
            took_s = time.monotonic() - began
            assert b"knew" in picture
            assert took_s < PICTURE_WITHIN_S
            assert {name: others[name] for name in others} == {
                name: id_ for name, id_ in stack.ike_ids().items() if name in others
            }
            gone = reconciler(stack, "offboard", "knew", "--whole-airport", "--write")
            assert gone["written"] is True
            assert stack.airports_file.read_text() == before
            eventually(lambda: not stack.sas("knew_vpn"), 20, "its tunnel is gone")
    finally:
        stack.write(before)


def test_a_key_is_in_no_log_after_onboarding(stack: Stack) -> None:
    before = stack.airports_file.read_text()
    try:
        reconciler(
            *(stack, "onboard", "knew", "--new-airport", "--lan", LAN, "--router", "strongswan"),
            "--write",
        )
        key = stack.airports()["knew"]["vpn"]["psk"]
        eventually(lambda: stack.connection("knew_vpn"), 20, "the new airport is known")
        for container in (f"{PREFIX}reconciler", f"{PREFIX}gateway"):
            assert key not in stack.container_text(container)
        assert key not in stack.status_file.read_text()
    finally:
        stack.write(before)
