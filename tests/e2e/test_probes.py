"""Truth at the level of the user: whether the camera behind the tunnel answers."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from reconciler.core.status import CameraStatus, ConnectionStatus
from tests.docker import docker, eventually, run
from tests.e2e.stack import PREFIX, PROJECT, RECONCILER, ROOT, SITES, Airports, Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

SITE = f"{PREFIX}site-kspb"
# Probes are made every 5 s here, and three must fail; cameras are asked every 10 s.
FAILS_WITHIN_S, CAMERA_WITHIN_S = 40.0, 60.0
LABELS = 'airport="kspb",connection="kspb_vpn"'


def kspb(stack: Stack) -> ConnectionStatus:
    connection = stack.connection("kspb_vpn")
    assert connection is not None
    return connection


def camera(stack: Stack, name: str) -> CameraStatus:
    return next(one for one in kspb(stack).cameras if one.name == name)


def health(stack: Stack) -> str:
    return kspb(stack).health_check


@pytest.fixture(autouse=True)
def all_cameras_answer(stack: Stack) -> None:
    def they_do() -> bool:
        found = stack.status().connections.values()
        cameras = [camera for one in found for camera in one.cameras]
        told = [one.health_check for one in found] + [one.health_check for one in cameras]
        return set(told) == {"pass"} and len(cameras) == 2 * len(SITES)

    eventually(they_do, CAMERA_WITHIN_S, "every camera answers")


@contextmanager
def switched_off(stack: Stack, *match: str) -> Iterator[None]:
    """Let the site drop what comes out of the tunnel for its camera, like one without power."""
    rule = ["INPUT", "--in-interface", "ipsec0", "--destination", SITES["kspb"], *match]
    rule += ["--jump", "DROP"]
    stack.inside(SITE, "iptables", "--insert", *rule)
    try:
        yield
    finally:
        stack.inside(SITE, "iptables", "--delete", *rule)


def test_every_camera_is_told_with_its_way_and_its_answer(stack: Stack) -> None:
    picture, stream = kspb(stack).cameras
    assert (picture.route, picture.addresses) == ("tunnel", (SITES["kspb"],))
    assert picture.detail == "image/jpeg"
    assert stream.detail == "answers over RTSP"
    probe = kspb(stack).probe
    assert probe is not None
    assert (probe.kind, probe.target) == ("tcp", f"{SITES['kspb']}:80")
    assert time.time() - probe.last_run < 40
    assert stack.metric(f"vpn_connection_probe_success{{{LABELS}}}") == 1
    for name in ("North", "North, moving"):
        labels = f'airport="kspb",camera="{name}",connection="kspb_vpn"'
        assert stack.metric(f"vpn_camera_up{{{labels}}}") == 1


def test_a_camera_that_is_off_behind_a_healthy_tunnel_is_told_and_the_tunnel_stays(
    stack: Stack,
) -> None:
    """The router's own address answers pings meanwhile, so packets do come back."""
    ids = stack.ike_ids()
    with stack.pinging(SITES["kspb"], SITES["kczk"], interval_s=1.0) as losses:
        with switched_off(stack, "--protocol", "tcp"):
            eventually(lambda: health(stack) == "fail", FAILS_WITHIN_S, "it is told")
            connection = kspb(stack)
            assert connection.status == "up"
            [reason] = connection.degraded_reasons
            assert (reason.code, reason.who_must_act) == ("probe-failed", "site")
            assert f"{SITES['kspb']}:80 does not answer" in reason.text
            eventually(
                lambda: camera(stack, "North").health_check == "fail",
                CAMERA_WITHIN_S,
                "the camera is told as well",
            )
            assert stack.metric(f"vpn_connection_probe_success{{{LABELS}}}") == 0
            # Long enough for everything that could end the tunnel: 40 s of silence, and its looks.
            until = time.monotonic() + 70
            eventually(lambda: time.monotonic() > until, 75, every_s=1)
            assert stack.ike_ids() == ids
        eventually(lambda: health(stack) == "pass", FAILS_WITHIN_S, "it answers again")
        assert not kspb(stack).degraded
    assert {name: loss.lost for name, loss in losses.items()} == {name: [] for name in losses}
    assert stack.ike_ids() == ids


def test_a_site_from_which_nothing_comes_back_is_made_to_dial_anew_but_not_again_and_again(
    stack: Stack,
) -> None:
    def ended() -> int:
        return sum(
            "no packet comes back; the site shall dial anew" in line
            for line in stack.container_log(RECONCILER)
            if '"EndIke"' in line and '"kspb_vpn"' in line
        )

    before = ended()
    others = {name: one for name, one in stack.ike_ids().items() if name != "kspb_vpn"}
    with switched_off(stack):
        eventually(lambda: ended() > before, 150, "it is made to dial anew", every_s=1)
        until = time.monotonic() + 150
        eventually(lambda: time.monotonic() > until, 155, every_s=5)
        assert ended() - before <= 3
        eventually(lambda: stack.is_up("kspb_vpn"), 30, "it is up all the same")
    now = stack.ike_ids()
    assert {name: now[name] for name in others} == others


def hanging_cameras(stack: Stack) -> int:
    return [one.detail for one in kspb(stack).cameras].count("no answer within 10 s")


def test_cameras_that_hang_delay_no_round(stack: Stack) -> None:
    """A dozen that take a connection and never answer."""
    hanging = [{"name": f"Hangs {n}", "url": f"http://{SITES['kspb']}:81/{n}"} for n in range(12)]

    def add(airports: Airports) -> None:
        airports["kspb"]["webcams"] += hanging

    with switched_off(stack, "--protocol", "tcp", "--dport", "81"), stack.edited(add):
        eventually(lambda: hanging_cameras(stack) == 12, CAMERA_WITHIN_S, "all of them hang")
        rounds = [
            json.loads(line)
            for line in stack.container_log(RECONCILER)[-40:]
            if '"message": "round"' in line
        ]
        docker("kill", "--signal", "HUP", RECONCILER)
        first = stack.status().reconciler.round
        eventually(lambda: stack.status().reconciler.round > first, 3, "a round is made at once")
        assert all(one["took_s"] < 2 for one in rounds)
        assert health(stack) == "pass"


# epoll_wait and epoll_pwait on x86-64, epoll_pwait on 64-bit ARM.
EPOLL_WAITS = ("232", "281", "22")
PTRACE_SEIZE, PTRACE_INTERRUPT = 0x4206, 0x4207
STOPPER = f"""
import ctypes, os, sys, time
libc = ctypes.CDLL(None, use_errno=True)
for thread in map(int, sys.argv[1:]):
    for request in ({PTRACE_SEIZE}, {PTRACE_INTERRUPT}):
        if libc.ptrace(request, thread, None, None):
            sys.exit(os.strerror(ctypes.get_errno()))
print("stopped", flush=True)
time.sleep(600)
"""


def last_turn(stack: Stack) -> float | None:
    return stack.metric("vpn_prober_last_turn_timestamp_seconds")


def stands_still(stack: Stack) -> bool:
    """Tell whether the prober, which turns every second, no longer does, and all else goes on."""
    before, until_s = last_turn(stack), time.monotonic() + 3
    eventually(lambda: time.monotonic() >= until_s, 5)
    return before is not None and last_turn(stack) == before


@contextmanager
def prober_stopped(stack: Stack) -> Iterator[None]:
    """Stop the threads that wait as asyncio's do, and nothing else of the reconciler."""
    process = stack.process_of(RECONCILER)
    with ExitStack() as cleanup:

        def stop() -> bool:
            threads = [
                path.name
                for path in Path(f"/proc/{process}/task").iterdir()
                if (path / "syscall").read_text().split()[0] in EPOLL_WAITS
            ]
            command = [sys.executable, "-c", STOPPER, *threads]
            stopper = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            with ExitStack() as undo:
                undo.callback(stopper.communicate)
                undo.callback(stopper.kill)
                assert stopper.stdout is not None
                assert stopper.stdout.readline() == "stopped\n"
                # It may have been at work just then, or have held the interpreter's lock.
                if threads and stands_still(stack):
                    cleanup.push(undo.pop_all())
                    return True
            return False

        eventually(stop, 60, "only the prober is stopped")
        yield


def test_a_prober_that_is_dead_is_told_and_nothing_looks_well_because_of_it(stack: Stack) -> None:
    with prober_stopped(stack):
        # 2.5 intervals and 15 s, and the next look at a timer.
        eventually(lambda: health(stack) == "unknown", 80, "its results say nothing any more")
        assert kspb(stack).status == "up"
        errors = stack.status().reconciler.errors
        assert any("the prober has not turned" in error for error in errors), errors
        assert stack.metric(f"vpn_connection_probe_success{{{LABELS}}}") is None
        turned = last_turn(stack)
        assert turned is not None
        assert time.time() - turned > 20
    eventually(lambda: health(stack) == "pass", 40, "it goes on")


def test_a_declared_ping_needs_no_capability_and_a_changed_probe_touches_no_tunnel(
    stack: Stack,
) -> None:
    actions, ids = stack.actions_done(), stack.ike_ids()

    def ping(airports: Airports) -> None:
        airports["kspb"]["vpn"]["health_check"] = {"target": SITES["kspb"], "interval_s": 5}

    with stack.edited(ping):

        def answered() -> bool:
            probe = kspb(stack).probe
            return probe is not None and probe.kind == "ping" and health(stack) == "pass"

        eventually(answered, 20, "the ping is answered")
    assert (stack.actions_done(), stack.ike_ids()) == (actions, ids)


def test_the_running_container_says_which_way_a_camera_is(stack: Stack) -> None:
    command = ("exec", RECONCILER, "reconciler", "route")
    found = json.loads(docker(*command, "kspb", "--json"))
    assert [one["needs_tunnel"] for one in found["cameras"]] == [True, True]
    answer = json.loads(docker(*command, f"http://{SITES['s51']}/snapshot.jpg", "--json"))
    assert (answer["route"], answer["connection"]) == ("tunnel", "s51_vpn")


# From the web application's side

WEB, WEB_NETWORK = f"{PREFIX}web-app", f"{PREFIX}web-app"
FETCH = """
import sys, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": sys.argv[1]}))
sys.stdout.buffer.write(opener.open(sys.argv[2], timeout=10).read())
"""
OPTIONS = """
import http.client, sys
proxy, camera = sys.argv[1].removeprefix("http://"), sys.argv[2]
connection = http.client.HTTPConnection(proxy, timeout=10)
connection.set_tunnel(camera, 554)
connection.connect()
request = f"OPTIONS rtsp://{camera}/stream1 RTSP/1.0\\r\\nCSeq: 1\\r\\n\\r\\n"
connection.sock.sendall(request.encode())
print(connection.sock.recv(1000).decode())
"""


@pytest.fixture
def web(stack: Stack) -> Iterator[str]:
    """Run a container like an existing web service, on a bridge network of its own."""
    file = str(ROOT / "compose.demo.yaml")
    compose = ["docker", "compose", "--progress", "quiet", "--file", file]
    profile = [*compose, "--profile", "camera-proxy"]
    docker("rm", "--force", WEB, check=False)
    docker("network", "rm", WEB_NETWORK, check=False)
    docker("network", "create", WEB_NETWORK)
    try:
        command = [*profile, "up", "--detach", "--no-deps", "camera-proxy"]
        subprocess.run(command, env=stack.environment, check=True, cwd=ROOT)
        docker(
            *("run", "--detach", "--name", WEB, "--network", WEB_NETWORK, "--cap-drop", "ALL"),
            *("--entrypoint", "sleep", "vpn-reconciler", "600"),
        )
        # What is done by `networks: [default, hub]` in the web service's own compose file.
        docker("network", "connect", f"{PROJECT}_outside", WEB)
        yield "http://pause:9585"
    finally:
        docker("rm", "--force", WEB, check=False)
        docker("network", "rm", WEB_NETWORK, check=False)
        remove = [*profile, "rm", "--stop", "--force", "camera-proxy"]
        subprocess.run(remove, env=stack.environment, check=True, cwd=ROOT)


def from_web(program: str, *arguments: str) -> bytes:
    command = ["docker", "exec", WEB, "python", "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, check=False).stdout


def test_a_web_service_on_a_network_of_its_own_reaches_cameras_by_the_proxy(
    stack: Stack, web: str
) -> None:
    url = f"http://{SITES['kspb']}/snapshot.jpg"
    eventually(lambda: b"kspb 20" in from_web(FETCH, web, url), 20, "a picture over HTTP")
    assert b"RTSP/1.0 200 OK" in from_web(OPTIONS, web, SITES["kspb"])
    assert from_web(FETCH, web, "http://pause:9580/metrics") == b"", "and nothing else"
    docker("stop", "--time", "5", RECONCILER)
    try:
        assert b"kspb 20" in from_web(FETCH, web, url), "also without the reconciler"
    finally:
        docker("start", RECONCILER)
        stack.wait_until_ready()


def test_one_that_shares_the_hubs_network_reaches_them_directly(stack: Stack) -> None:
    script = (
        f"exec 3<>/dev/tcp/{SITES['kspb']}/554; printf 'OPTIONS rtsp://x RTSP/1.0\\r\\n\\r\\n' >&3"
    )
    command = ("--network", f"container:{PREFIX}pause", "--entrypoint", "bash", "vpn-reconciler")
    said = docker("run", "--rm", *command, "-c", f"{script}; head -1 <&3")
    assert "RTSP/1.0 200 OK" in said
    assert b"kspb 20" in stack.picture(SITES["kspb"])


def test_no_route_leads_from_one_site_to_another_through_the_hub(stack: Stack) -> None:
    forwarding = run(
        *("nsenter", f"--net=/proc/{stack.process_of(f'{PREFIX}pause')}/ns/net"),
        *("cat", "/proc/sys/net/ipv4/ip_forward"),
    )
    assert forwarding.strip() == "0"
