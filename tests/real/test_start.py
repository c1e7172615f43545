"""How charon's container starts, and what it says when it can't.

A machine has one kernel. What another one would answer comes from a stand-in for `ip`, or from a
start script that looks elsewhere, and the name of such a test says so.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reconciler.core.swanctl import swanctl_text
from reconciler.edges.vici_client import ViciClient
from tests.builders import connections, vpn
from tests.charon import answers, start_charon
from tests.docker import docker, eventually, volume_path
from tests.processes import (
    CAPABILITIES,
    NET_ADMIN,
    NET_BIND_SERVICE,
    capabilities,
    status_of,
)
from tests.real.conftest import NAME

pytestmark = pytest.mark.real

ROOT = Path(__file__).parents[2]
OTHER, HOLDER = "test-charon-other", "test-charon-holder"
NO_NETWORK = ("--network", "none")

# Stands before the real one in the path. It remembers a state as a kernel with ESP does.
IP_OF_A_KERNEL_WITH_ESP = """\
#!/bin/sh
case "$1 $2 $3" in
  'xfrm state add') mkdir /tmp/state ;;
  'xfrm state delete') rmdir /tmp/state ;;
  *) exec /usr/sbin/ip "$@" ;;
esac
"""
IP_OF_A_KERNEL_WITHOUT_ESP = """\
#!/bin/sh
case "$1 $2" in
  'xfrm state') echo 'RTNETLINK answers: Protocol not supported' >&2; exit 2 ;;
  *) exec /usr/sbin/ip "$@" ;;
esac
"""
NO_ESP = "RTNETLINK answers: Protocol not supported"


@pytest.fixture
def kernel_with_esp(tmp_path: Path) -> tuple[str, ...]:
    return _instead_of_ip(tmp_path, IP_OF_A_KERNEL_WITH_ESP)


@pytest.fixture
def kernel_without_esp(tmp_path: Path) -> tuple[str, ...]:
    return _instead_of_ip(tmp_path, IP_OF_A_KERNEL_WITHOUT_ESP)


def _instead_of_ip(folder: Path, script: str) -> tuple[str, ...]:
    file = folder / "ip"
    file.write_text(script)
    file.chmod(0o755)
    return "--volume", f"{file}:/usr/local/bin/ip:ro"


@contextmanager
def charon(*options: str, network: str = "none") -> Iterator[tuple[str, str]]:
    """Run one more charon; yield what its start says of the data plane, and what charon says."""
    remove(OTHER)
    docker("volume", "create", OTHER)
    client = ViciClient(str(volume_path(OTHER) / "charon.vici"))
    start_charon(OTHER, "--volume", f"{OTHER}:/run/vici", "--network", network, *options)
    try:
        eventually(lambda: answers(volume_path(OTHER) / "charon.vici"), 30, "charon answers")
        daemon = client.observe(deep=False).daemon
        lines = docker("logs", OTHER, both=True).splitlines()
        [told] = [line for line in lines if line.startswith("data plane: ")]
        yield told, daemon.data_plane
    finally:
        client.close()
        remove(OTHER)
        docker("volume", "rm", "--force", OTHER)


def remove(name: str) -> None:
    docker("rm", "--force", "--volumes", name, check=False)


def words_at_exit(*options: str, capabilities: tuple[str, ...] | None = None) -> str:
    """Start one more charon, wait until it has given up, and return what it said."""
    remove(OTHER)
    if capabilities is None:
        start_charon(OTHER, *options)
    else:
        added = [part for one in capabilities for part in ("--cap-add", one)]
        docker(
            *("run", "--detach", "--name", OTHER, "--cap-drop", "ALL", *added),
            *("--device", "/dev/net/tun", *NO_NETWORK, *options, "vpn-charon"),
        )
    try:
        state = ("inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", OTHER)
        eventually(lambda: docker(*state).strip() == "exited 1", 40, "it gives up with exit 1")
        return docker("logs", OTHER, both=True)
    finally:
        remove(OTHER)


@pytest.mark.usefixtures("charon_socket")
def test_with_its_port_taken_charon_says_so_instead_of_running_deaf() -> None:
    assert "UDP 500 is taken" in words_at_exit("--network", f"container:{NAME}")


def test_a_data_plane_that_does_not_exist_is_named() -> None:
    words = words_at_exit("--env", "DATAPLANE=quantum", "--network", "none")
    assert "DATAPLANE is 'quantum'; it must be auto, kernel or userspace" in words


# Which data plane


def test_the_log_tells_the_data_plane_that_charon_itself_then_has() -> None:
    """`auto`, on the kernel of this machine, whichever it is."""
    with charon("--env", "DATAPLANE=auto") as (line, plane):
        assert line.startswith(f"data plane: {plane} (the kernel ")


def test_user_space_is_taken_when_it_is_asked_for() -> None:
    with charon("--env", "DATAPLANE=userspace") as told:
        assert told == ("data plane: userspace (as DATAPLANE says)", "userspace")


def test_without_a_setting_a_kernel_that_refuses_esp_is_not_used_says_a_stand_in_for_ip(
    kernel_without_esp: tuple[str, ...],
) -> None:
    with charon(*kernel_without_esp, "--env", "DATAPLANE=") as told:
        assert told == (f"data plane: userspace (the kernel refuses ESP: {NO_ESP})", "userspace")


@pytest.mark.parametrize(
    ("wish", "why"), [("auto", "the kernel has ESP"), ("kernel", "as DATAPLANE says")]
)
def test_a_kernel_that_takes_esp_is_used_says_a_stand_in_for_ip(
    kernel_with_esp: tuple[str, ...], wish: str, why: str
) -> None:
    with charon(*kernel_with_esp, "--env", f"DATAPLANE={wish}") as told:
        assert told == (f"data plane: kernel ({why})", "kernel")
        assert docker("exec", OTHER, "ls", "/tmp").strip() == "", "the trial is undone"  # noqa: S108


def test_what_a_killed_start_left_in_the_kernel_does_not_hide_its_esp_says_a_stand_in_for_ip(
    kernel_with_esp: tuple[str, ...], tmp_path: Path
) -> None:
    left = tmp_path / "left"
    left.mkdir()
    left.chmod(0o777)
    (left / "state").mkdir()
    with charon(*kernel_with_esp, "--env", "DATAPLANE=auto", "--volume", f"{left}:/tmp") as told:
        assert told == ("data plane: kernel (the kernel has ESP)", "kernel")


def test_a_kernel_that_is_asked_for_and_refuses_is_an_error_says_a_stand_in_for_ip(
    kernel_without_esp: tuple[str, ...],
) -> None:
    assert (
        f"data plane: DATAPLANE=kernel, but the kernel refuses ESP ({NO_ESP}); "
        "on the host: modprobe esp4, or set DATAPLANE=userspace"
    ) in words_at_exit(*kernel_without_esp, *NO_NETWORK, "--env", "DATAPLANE=kernel")


def test_when_neither_works_both_are_told_with_what_helps_says_a_stand_in_for_ip(
    kernel_without_esp: tuple[str, ...],
) -> None:
    docker_without_tun = ("--env", "DATAPLANE=auto", *kernel_without_esp, *NO_NETWORK)
    assert (
        f"data plane: none works. Kernel: {NO_ESP}; on the host: modprobe esp4. User space: there "
        "is no /dev/net/tun; start the container with --device /dev/net/tun"
    ) in words_without_device(*docker_without_tun)


def words_without_device(*options: str) -> str:
    """Start it with both capabilities, and without the device unless the options bring one."""
    remove(OTHER)
    docker(
        *("run", "--detach", "--name", OTHER, "--cap-drop", "ALL", "--cap-add", "NET_ADMIN"),
        *("--cap-add", "NET_BIND_SERVICE", *options, "vpn-charon"),
    )
    try:
        state = ("inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", OTHER)
        eventually(lambda: docker(*state).strip() == "exited 1", 40, "it gives up with exit 1")
        return docker("logs", OTHER, both=True)
    finally:
        remove(OTHER)


def test_a_tun_device_that_is_missing_is_told() -> None:
    words = words_without_device(*NO_NETWORK, "--env", "DATAPLANE=userspace")
    assert (
        "data plane: DATAPLANE=userspace, but it cannot work: there is no /dev/net/tun; "
        "start the container with --device /dev/net/tun"
    ) in words


TUN, NOTHING = os.makedev(10, 200), os.makedev(10, 253)


@pytest.mark.parametrize(
    ("device", "mode", "rule", "words"),
    [
        (TUN, 0o600, "c 10:200 rwm", "user 10001 may not open /dev/net/tun; on the host: chmod"),
        # Some engines let every container open the device of TUN; this one none lets.
        (NOTHING, 0o666, "", "the container may not open /dev/net/tun; start it with --device"),
        (NOTHING, 0o666, "c 10:253 rwm", "the kernel has nothing behind /dev/net/tun; on the ho"),
    ],
    ids=["closed to us", "closed to the container", "without a driver"],
)
def test_a_tun_device_that_can_not_be_opened_is_told_with_what_helps(
    device: int, mode: int, rule: str, words: str
) -> None:
    node = Path("/dev/test-tun")  # other file systems may hold no devices
    node.unlink(missing_ok=True)
    os.mknod(node, mode | stat.S_IFCHR, device)
    node.chmod(mode)
    allowed = ("--device-cgroup-rule", rule) if rule else ()
    try:
        said = words_without_device(
            *("--volume", f"{node}:/dev/net/tun", *allowed, *NO_NETWORK),
            *("--env", "DATAPLANE=userspace"),
        )
    finally:
        node.unlink()
    assert words in said


def test_without_ipv6_user_space_is_no_way_says_a_script_that_looks_elsewhere(
    tmp_path: Path,
) -> None:
    text = (ROOT / "images" / "charon" / "start-charon").read_text()
    assert "/proc/net/if_inet6" in text
    script = tmp_path / "start-charon"
    script.write_text(text.replace("/proc/net/if_inet6", "/proc/net/no_such_file"))
    script.chmod(0o755)
    assert (
        "charon needs IPv6 in the kernel to make its TUN device; boot without ipv6.disable=1"
        in (words_at_exit("--volume", f"{script}:/usr/local/bin/start-charon:ro", *NO_NETWORK))
    )


def test_what_a_killed_start_left_on_the_network_does_not_keep_the_next_from_starting() -> None:
    """On the host's network a trial's device outlives the container that made it."""
    remove(HOLDER)
    docker("run", "--detach", "--name", HOLDER, *NO_NETWORK, "vpn-pause")
    shared = ("--network", f"container:{HOLDER}")
    try:
        docker(
            *("run", "--rm", *shared, "--user", "root", "--cap-add", "NET_ADMIN"),
            *("--device", "/dev/net/tun", "--entrypoint", "ip", "vpn-charon"),
            *("tuntap", "add", "dev", "vpnprobe", "mode", "tun"),
        )
        with charon(network=shared[1]) as (_, plane):
            assert plane == "userspace"
    finally:
        remove(HOLDER)


# What the container must be granted


@pytest.mark.parametrize(
    ("granted", "missing"),
    [
        (["NET_BIND_SERVICE"], "--cap-add NET_ADMIN"),
        (["NET_ADMIN"], "--cap-add NET_BIND_SERVICE"),
        ([], "--cap-add NET_ADMIN --cap-add NET_BIND_SERVICE"),
    ],
)
def test_a_capability_that_is_missing_is_named(granted: list[str], missing: str) -> None:
    words = words_at_exit(capabilities=tuple(granted))
    assert words == f"a capability is missing; start the container with {missing}\n"


def test_no_new_privileges_is_named() -> None:
    words = words_at_exit(*NO_NETWORK, "--security-opt", "no-new-privileges:true")
    assert words == (
        "no-new-privileges is set; "
        "start the container with --security-opt no-new-privileges:false\n"
    )


def test_charon_keeps_one_capability_of_the_two_and_can_gain_no_more() -> None:
    """It gives up NET_BIND_SERVICE by itself once it has its ports."""
    with charon():
        found = status_of(int(docker("inspect", "--format", "{{.State.Pid}}", OTHER)))
    assert capabilities(found) == {
        **dict.fromkeys(CAPABILITIES, NET_ADMIN),
        "CapBnd": NET_ADMIN | NET_BIND_SERVICE,
    }
    assert found["NoNewPrivs"] == "1"
    assert found["Uid"].split() == ["10001"] * 4


# What is loaded


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
