"""A real hub and real sites, with the same face as the fake charon with its sites.

charon does not tell what a connection or a secret was loaded from, so that is remembered here, and
held against the names that charon does tell.
"""

import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from reconciler.core.observed import IkeSa, Observed
from reconciler.edges.vici_client import ViciClient
from reconciler.errors import IkeRefused
from tests.builders import HUB_ID
from tests.charon import answers, start_charon
from tests.docker import docker, eventually, volume_path
from tests.fake_charon import FakeSite, read_saved

HUB, SITES, HOLDER, NETWORK = "model-hub", "model-sites", "model-holder", "model-net"
VOLUMES = ("model-hub-vici", "model-hub-saved", "model-sites-vici")
HUB_ADDRESS = "198.18.7.2"
_SUBNET = "198.18.7.0/24"
_GROUPS = ("modp2048", "modp3072", "ecp256")
_CIPHERS = ("aes256gcm16", "aes128gcm16", "aes256-sha256")
# A handshake takes some hundredths of a second here.
_DIAL_S, _START_S = 5, 60
# Ages in charon are whole seconds of real time; the reconciler's clock may run faster.
_SECOND_S = 1.0


class RealCharon:
    """A hub that is restarted when it is killed, and one more charon that plays the sites."""

    def __init__(self, hub: Path, saved: Path, sites: Path) -> None:
        self.sites: list[FakeSite] = []
        self.refused: list[str] = []
        self._hub, self._saved = hub, saved
        self._client, self._far = ViciClient(str(hub)), ViciClient(str(sites))
        self._settings: dict[str, Mapping[str, Any]] = {}
        self._keys: dict[str, tuple[str, bytes]] = {}

    @property
    def connections(self) -> dict[str, Mapping[str, Any]]:
        """What charon has by its own word, with what it was loaded from."""
        found = self._client.observe(deep=True).connections
        for name, children in found.items():
            assert self._settings[name]["children"].keys() == children, f"children of {name}"
        return {name: self._settings[name] for name in found}

    @property
    def secrets(self) -> dict[str, tuple[str, bytes]]:
        """What charon has by its own word, with what it was loaded from."""
        return {id_: self._keys[id_] for id_ in self._client.observe(deep=False).secret_ids}

    @property
    def sas(self) -> Sequence[IkeSa]:
        """What charon has."""
        return self._client.observe(deep=False).sas

    # The port.

    def observe(self, *, deep: bool) -> Observed:
        return self._client.observe(deep=deep)

    def load_connection(self, name: str, settings: Mapping[str, Any]) -> None:
        self._client.load_connection(name, settings)
        self._settings[name] = settings

    def load_secret(self, secret_id: str, owner: str, psk: bytes) -> None:
        self._client.load_secret(secret_id, owner, psk)
        self._keys[secret_id] = (owner, psk)

    def unload_connection(self, name: str) -> None:
        self._client.unload_connection(name)

    def unload_secret(self, secret_id: str) -> None:
        self._client.unload_secret(secret_id)

    def start_child(self, name: str, child_name: str) -> None:
        self._client.start_child(name, child_name)

    def end_child(self, unique_id: str) -> None:
        self._client.end_child(unique_id)

    def end_ike(self, unique_id: str) -> None:
        self._client.end_ike(unique_id)

    def end_all(self, name: str) -> None:
        self._client.end_all(name)

    def close(self) -> None:
        """Drop all connections."""
        self._client.close()
        self._far.close()

    def __getattr__(self, request: str) -> Any:
        """Pass on what the port may have beside these."""
        return getattr(self._client, request)

    # What happens to it.

    def empty(self) -> None:
        """Unload everything, end everything, forget the sites."""
        for client in (self._far, self._client):
            seen = client.observe(deep=False)
            for name in {*seen.connections, *(sa.name for sa in seen.sas)}:
                client.unload_connection(name)
                client.end_all(name)
            for secret_id in seen.secret_ids:
                client.unload_secret(secret_id)
        self.sites = []

    def age(self, seconds: float) -> None:
        """Let a second pass: the least in which charon's own ages change."""
        time.sleep(min(seconds, _SECOND_S))

    def restart(self, now: int, saved: Path | None = None) -> None:
        """Kill it; Docker starts it again, and it loads what was saved, if that is there."""
        kept = self._saved.read_bytes() if self._saved.exists() else None
        if saved is None:
            self._saved.unlink(missing_ok=True)
        elif kept is not None:
            owner = self._saved.parent.stat()
            os.chown(self._saved, owner.st_uid, owner.st_gid)
        os.kill(process_of(HUB), signal.SIGKILL)
        self._settings, self._keys = {}, {}
        if saved is not None and kept is not None:
            self._settings, self._keys = read_saved(kept.decode())
        eventually(lambda: answers(self._hub) and self._has_loaded(), _START_S, "charon is back")
        if saved is None and kept is not None:
            self._saved.write_bytes(kept)

    def _has_loaded(self) -> bool:
        seen = self._client.observe(deep=False)
        connections, secrets = set(self._settings), set(self._keys)
        return set(seen.connections) == connections and seen.secret_ids == secrets

    # The sites.

    def dial(self, site: FakeSite, *, initial_contact: bool = True) -> bool:
        """Configure the site anew, if anything has changed, and let it dial."""
        name = self._name(site)
        self._far.load_connection(name, _dialling(site))
        self._far.load_secret(name, site.identity, site.psk)
        with suppress(IkeRefused):
            self._far.start_child(name, "lan")
        eventually(lambda: not self._dials(name), _DIAL_S, f"{name} is in or refused")
        up = any(sa.carrying_children for sa in self._held(name))
        if not up:
            self._note_refusal(site)
        return up

    def _note_refusal(self, site: FakeSite) -> None:
        """Note what the hub's log says where it has the site's key, and answered with another."""
        keys = [key for owner, key in self.secrets.values() if owner == site.identity]
        if len(keys) > 1 and site.psk in keys:
            loaded = self.connections.items()
            self.refused += [n for n, one in loaded if one["remote"]["id"] == site.identity]

    def hang_up(self, site: FakeSite) -> None:
        """Let the site say goodbye, and wait until the hub has heard it."""
        before = {sa.unique_id for sa in self.held_by(site)}
        self._far.end_all(self._name(site))
        eventually(
            lambda: not before & {sa.unique_id for sa in self.sas}, _DIAL_S, "the hub knows it"
        )

    def close_child(self, site: FakeSite) -> None:
        """Let the site end one CHILD_SA, and wait until it has; the IKE_SA stays."""
        name = self._name(site)
        before = self._children(name)
        if before:
            self._far.end_child(before[0])
            eventually(lambda: before[0] not in self._children(name), _DIAL_S, "closed")

    def _children(self, name: str) -> list[str]:
        return [child.unique_id for sa in self._held(name) for child in sa.children]

    def held_by(self, site: FakeSite) -> list[IkeSa]:
        """Return the hub's IKE_SAs with the site, if the site has one."""
        far = self._held(self._name(site))
        return [sa for sa in self.sas if far and sa.live and sa.remote_id == site.identity]

    def _held(self, name: str) -> list[IkeSa]:
        return [sa for sa in self._far.observe(deep=False).sas if sa.name == name and sa.live]

    def _dials(self, name: str) -> bool:
        sas = [sa for sa in self._far.observe(deep=False).sas if sa.name == name]
        return any(not sa.live for sa in sas)

    def _name(self, site: FakeSite) -> str:
        return f"site{self.sites.index(site)}"


@contextmanager
def real_charon() -> Iterator[tuple[RealCharon, Path]]:
    """Start everything; give the charon and where its saved connections lie."""
    _clean_up()
    try:
        docker("network", "create", "--internal", "--subnet", _SUBNET, NETWORK)
        for volume in VOLUMES:
            docker("volume", "create", volume)
        vici, saved, far = VOLUMES
        here = ("--network", NETWORK, "--ip", HUB_ADDRESS)
        docker("run", "--detach", "--name", HOLDER, *here, "vpn-pause")
        volumes = ("--volume", f"{vici}:/run/vici", "--volume", f"{saved}:/etc/vpn:ro")
        start_charon(
            *(HUB, "--network", f"container:{HOLDER}", "--restart", "unless-stopped", *volumes)
        )
        start_charon(SITES, "--network", NETWORK, "--volume", f"{far}:/run/vici")
        hub, sites = (volume_path(volume) / "charon.vici" for volume in (vici, far))
        eventually(lambda: answers(hub) and answers(sites), 30, "both answer")
        path = volume_path(saved) / "swanctl.conf"
        charon = RealCharon(hub, path, sites)
        try:
            yield charon, path
        finally:
            charon.close()
    finally:
        _clean_up()


def process_of(container: str) -> int:
    return int(docker("inspect", "--format", "{{.State.Pid}}", container))


def _clean_up() -> None:
    docker("rm", "--force", "--volumes", HUB, SITES, HOLDER, check=False)
    docker("volume", "rm", "--force", *VOLUMES, check=False)
    docker("network", "rm", NETWORK, check=False)


def _dialling(site: FakeSite) -> dict[str, Any]:
    """Return a router's configuration that takes whatever the hub may be declared to speak."""
    ike = [
        f"{cipher}-prfsha256-{group}" if "gcm" in cipher else f"{cipher}-{group}"
        for cipher in _CIPHERS
        for group in _GROUPS
    ]
    child = {
        "local_ts": [str(lan) for lan in site.lans],
        "remote_ts": ["0.0.0.0/0"],
        "esp_proposals": [f"{cipher}-{group}" for cipher in _CIPHERS for group in _GROUPS],
    }
    return {
        "version": "2",
        "remote_addrs": [HUB_ADDRESS],
        "mobike": "no",
        "proposals": ike,
        "local": {"auth": "psk", "id": site.identity},
        "remote": {"auth": "psk", "id": HUB_ID},
        "children": {"lan": child},
    }
