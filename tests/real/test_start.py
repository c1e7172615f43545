"""How charon's container starts, and what it says when it can't."""

import pytest

from reconciler.core.swanctl import swanctl_text
from reconciler.edges.vici_client import ViciClient
from tests.builders import connections, vpn
from tests.charon import start_charon
from tests.docker import docker, eventually, volume_path
from tests.real.conftest import NAME

pytestmark = pytest.mark.real

OTHER = "test-charon-other"


def words_at_exit(*options: str) -> str:
    """Start one more charon, wait until it has given up, and return what it said."""
    docker("rm", "--force", "--volumes", OTHER, check=False)
    start_charon(OTHER, *options)
    try:
        state = ("inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", OTHER)
        eventually(lambda: docker(*state).strip() == "exited 1", 15, "it gives up with exit 1")
        return docker("logs", OTHER, both=True)
    finally:
        docker("rm", "--force", "--volumes", OTHER)


@pytest.mark.usefixtures("charon_socket")
def test_with_its_port_taken_charon_says_so_instead_of_running_deaf() -> None:
    assert "UDP 500 is taken" in words_at_exit("--network", f"container:{NAME}")


def test_a_data_plane_that_does_not_exist_is_named() -> None:
    words = words_at_exit("--env", "DATAPLANE=quantum", "--network", "none")
    assert "DATAPLANE is 'quantum'; it must be auto, kernel or userspace" in words


def test_what_was_saved_is_loaded_by_charon_itself_under_the_same_marks() -> None:
    """Keys with every awkward character among them: what is saved is what is loaded."""
    psks = ['quote"s and \\ and #', "{braces} $money 0x41", "0sQUJD", "zażółć gęślą jaźń ~~~~"]
    wanted = connections(**{f"k{n}": vpn(n, psk=psk + "-" * 16) for n, psk in enumerate(psks)})
    docker("rm", "--force", "--volumes", OTHER, check=False)
    for volume in (f"{OTHER}-vici", f"{OTHER}-config"):
        docker("volume", "create", volume)
    saved = volume_path(f"{OTHER}-config") / "swanctl.conf"
    saved.write_text(swanctl_text(wanted.values()))
    start_charon(
        OTHER,
        *("--network", "none", "--volume", f"{OTHER}-vici:/run/vici"),
        *("--volume", f"{OTHER}-config:/etc/vpn:ro"),
    )
    client = ViciClient(str(volume_path(f"{OTHER}-vici") / "charon.vici"))
    try:
        eventually(lambda: "saved connections loaded: 4" in docker("logs", OTHER, both=True), 15)
        observed = client.observe(deep=True)
        assert observed.connections == {
            name: frozenset({one.child_name}) for name, one in wanted.items()
        }
        assert observed.secret_ids == {one.file_secret_id for one in wanted.values()}
    finally:
        client.close()
        docker("rm", "--force", OTHER)
        docker("volume", "rm", f"{OTHER}-vici", f"{OTHER}-config")
