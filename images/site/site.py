#!/usr/bin/python3
"""A mock airport: charon as the router that dials the hub, and a camera on its LAN.

The camera gives a picture over HTTP, and describes its stream over RTSP; it has none to play.

Configured by the environment only; see Settings.
"""

from __future__ import annotations

import base64
import io
import ipaddress
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from types import FrameType
from urllib.request import urlopen

CONFIGURATION = Path("/etc/vpn/swanctl.conf")
VICI = "unix:///run/vici/charon.vici"
LOOK_SECONDS = 2.0
ATTEMPT_SECONDS = 10


@dataclass(frozen=True)
class Settings:
    airport: str
    hub_address: str
    hub_id: str
    site_id: str
    psk_file: Path
    lan: str
    camera: str
    camera_port: int
    rtsp_port: int
    hub_port: int
    hub_subnet: str
    ike_proposal: str
    esp_proposal: str
    dpd_delay: str
    close_action: str
    mode: str
    default_via: str
    swanctl_conf: str

    @property
    def dials(self) -> bool:
        """A configuration that was given must dial by itself."""
        return self.mode == "initiate" and not self.swanctl_conf


def read_settings(environment: dict[str, str]) -> Settings:
    swanctl_conf = environment.get("SWANCTL_CONF", "")
    names = ("AIRPORT", "HUB_ADDRESS", "LAN", "CAMERA", *(() if swanctl_conf else ("PSK_FILE",)))
    missing = [name for name in names if not environment.get(name)]
    if missing:
        sys.exit(f"site: must be set: {', '.join(missing)}")
    mode = environment.get("MODE", "initiate")
    if mode not in ("initiate", "respond"):
        sys.exit(f"site: MODE is {mode!r}; it must be initiate or respond")
    airport = environment["AIRPORT"]
    return Settings(
        airport=airport,
        hub_address=environment["HUB_ADDRESS"],
        hub_id=environment.get("HUB_ID", "vpn.aviationwx.org"),
        site_id=environment.get("SITE_ID", f"{airport}.remote"),
        psk_file=Path(environment.get("PSK_FILE", "")),
        lan=environment["LAN"],
        camera=environment["CAMERA"],
        camera_port=int(environment.get("CAMERA_PORT", "80")),
        rtsp_port=int(environment.get("RTSP_PORT", "554")),
        hub_port=int(environment.get("HUB_PORT", "0")),
        hub_subnet=environment.get("HUB_SUBNET", "0.0.0.0/0"),
        ike_proposal=environment.get("IKE_PROPOSAL", "aes256gcm128-sha256-modp2048"),
        esp_proposal=environment.get("ESP_PROPOSAL", "aes256gcm128-modp2048"),
        dpd_delay=environment.get("DPD_DELAY", "30s"),
        close_action=environment.get("CLOSE_ACTION", "none"),
        mode=mode,
        default_via=environment.get("DEFAULT_VIA", ""),
        swanctl_conf=swanctl_conf,
    )


def run(*command: str) -> None:
    subprocess.run(command, check=True)  # noqa: S603


def make_lan(settings: Settings) -> None:
    """Put the whole LAN on the loopback device: only the tunnel needs to reach it."""
    prefix = ipaddress.ip_network(settings.lan).prefixlen
    run("ip", "address", "replace", f"{settings.camera}/{prefix}", "dev", "lo")
    if settings.default_via:
        run("ip", "route", "replace", "default", "via", settings.default_via)


def render(settings: Settings, psk: bytes) -> str:
    start, again = ("start", "restart") if settings.dials else ("none", "clear")
    # Any other port than 500 is one at which ESP comes wrapped in UDP, too.
    port = f"\n    local_port = 4500\n    remote_port = {settings.hub_port}" * bool(
        settings.hub_port
    )
    # Base64 spares every question of quoting.
    secret = "0s" + base64.b64encode(psk).decode()
    return f"""\
connections {{
  hub {{
    version = 2
    remote_addrs = {settings.hub_address}{port}
    proposals = {settings.ike_proposal}
    dpd_delay = {settings.dpd_delay}
    keyingtries = 0
    mobike = no
    local {{
      auth = psk
      id = {settings.site_id}
    }}
    remote {{
      auth = psk
      id = {settings.hub_id}
    }}
    children {{
      lan {{
        local_ts = {settings.lan}
        remote_ts = {settings.hub_subnet}
        esp_proposals = {settings.esp_proposal}
        start_action = {start}
        close_action = {settings.close_action}
        dpd_action = {again}
      }}
    }}
  }}
}}
secrets {{
  ike-hub {{
    id = {settings.hub_id}
    secret = {secret}
  }}
}}
"""


def write_configuration(settings: Settings) -> None:
    if settings.swanctl_conf:
        text = Path(settings.swanctl_conf).read_text()
    else:
        text = render(settings, settings.psk_file.read_bytes().rstrip(b"\r\n"))
    CONFIGURATION.unlink(missing_ok=True)
    descriptor = os.open(CONFIGURATION, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def swanctl(*arguments: str) -> str:
    """Return what swanctl printed; nothing when charon does not answer."""
    command = ["swanctl", *arguments, "--uri", VICI]
    with suppress(subprocess.TimeoutExpired):
        result = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, timeout=ATTEMPT_SECONDS + 5, check=False
        )
        return result.stdout
    return ""


def keep_route_to_hub(settings: Settings) -> None:
    """Send what the tunnel is for into charon's TUN device, and the tunnel itself past it.

    charon keeps such a route itself, in table 220; but of two child tunnels that share the route,
    the first to end takes it away from the other. So this one stands before it.
    The data plane in the kernel has no such device, and its policies need no such route.
    """
    while not swanctl("--stats"):
        time.sleep(0.1)  # charon makes its device before it answers
    if not Path("/sys/class/net/ipsec0").exists():
        return
    # Past it by its ports only: the hub may fetch from the very address that the tunnel leads to.
    hub = ("to", settings.hub_address, "ipproto", "udp", "dport")
    for port in ("500", str(settings.hub_port or 4500)):
        run("ip", "rule", "add", "priority", "218", *hub, port, "lookup", "main")
    route = (settings.hub_subnet, "dev", "ipsec0", "src", settings.camera)
    run("ip", "route", "replace", *route, "table", "219")
    run("ip", "rule", "add", "priority", "219", "lookup", "219")


def dial_for_ever() -> None:
    """Charon redials by itself when the hub is silent, but not when the hub refuses or hangs up.

    It can be told to (close_action = start), but then every second tunnel that the hub closes comes
    back as well.
    """
    while True:
        time.sleep(LOOK_SECONDS)
        state = swanctl("--list-sas")
        # A tunnel that is being set up is left alone, or there would soon be two of them.
        if "CONNECTING" in state or "INSTALLED" in state:
            continue
        swanctl("--initiate", "--child", "lan", "--timeout", str(ATTEMPT_SECONDS))


def picture(airport: str, now: datetime) -> bytes:
    """Draw a JPEG that says whose it is, to people and to programs."""
    # Not at the top: the health check needs none of it, and is run every few seconds.
    from PIL import Image, ImageDraw, ImageFont

    text = f"{airport} {now:%Y-%m-%dT%H:%M:%SZ}"
    image = Image.new("RGB", (640, 360), (96, 148, 196))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 250, 640, 360), fill=(88, 120, 72))
    draw.text((24, 150), text, fill="white", font=ImageFont.load_default(36))
    file = io.BytesIO()
    image.save(file, "JPEG", comment=text.encode())
    return file.getvalue()


class CameraServer(ThreadingTCPServer):
    """Asks no name server for its own name, as http.server does; that takes long without one."""

    allow_reuse_address = True
    daemon_threads = True


class Camera(BaseHTTPRequestHandler):
    airport = ""

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != "/snapshot.jpg":
            self.send_error(404)
            return
        body = picture(self.airport, datetime.now(UTC))
        self.send_response(200)
        self.send_header("Content-Type", "image/jpeg")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        print(f"camera: {self.client_address[0]} {format % args}", flush=True)


class Stream(StreamRequestHandler):
    """Answers over RTSP what players and probes ask first."""

    airport = ""
    timeout = 60
    methods = "OPTIONS, DESCRIBE"

    def handle(self) -> None:
        with suppress(OSError):
            while request := self._request():
                self.wfile.write(self._answer(*request).replace("\n", "\r\n").encode())

    def _request(self) -> tuple[str, str, str] | None:
        """Return method, URL and number of the next request; nothing when there is none."""
        words = self.rfile.readline(4096).decode(errors="replace").split()
        if len(words) != 3 or words[2] != "RTSP/1.0":
            return None
        number = "0"
        while line := self.rfile.readline(4096).decode(errors="replace").strip():
            name, _, value = line.partition(":")
            number = value.strip() if name.lower() == "cseq" else number
        print(f"camera: {self.client_address[0]} {words[0]} over RTSP", flush=True)
        return words[0], words[1], number

    def _answer(self, method: str, url: str, number: str) -> str:
        if method == "OPTIONS":
            return f"RTSP/1.0 200 OK\nCSeq: {number}\nPublic: {self.methods}\n\n"
        if method != "DESCRIBE":
            status = "405 Method Not Allowed"
            return f"RTSP/1.0 {status}\nCSeq: {number}\nAllow: {self.methods}\n\n"
        lines = [
            *("v=0", "o=- 0 0 IN IP4 0.0.0.0", f"s={self.airport}", "c=IN IP4 0.0.0.0", "t=0 0"),
            *("m=video 0 RTP/AVP 26", "a=control:track1", ""),
        ]
        kind, size = "Content-Type: application/sdp", sum(len(line) + 2 for line in lines[:-1])
        head = f"RTSP/1.0 200 OK\nCSeq: {number}\nContent-Base: {url}/\n{kind}"
        return f"{head}\nContent-Length: {size}\n\n" + "\n".join(lines)


def start_in_background(target: Callable[[], object]) -> None:
    threading.Thread(target=target, daemon=True).start()


def serve() -> int:
    settings = read_settings(dict(os.environ))
    make_lan(settings)
    write_configuration(settings)
    Camera.airport = settings.airport
    camera = CameraServer((settings.camera, settings.camera_port), Camera)
    start_in_background(camera.serve_forever)
    Stream.airport = settings.airport
    stream = CameraServer((settings.camera, settings.rtsp_port), Stream)
    start_in_background(stream.serve_forever)
    charon = subprocess.Popen(["start-charon"])  # noqa: S607

    def stop(_signal: int, _frame: FrameType | None) -> None:
        charon.terminate()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    start_in_background(lambda: keep_route_to_hub(settings))
    if settings.dials:
        start_in_background(dial_for_ever)
    return charon.wait()


def check() -> int:
    settings = read_settings(dict(os.environ))
    url = f"http://{settings.camera}:{settings.camera_port}/snapshot.jpg"
    with urlopen(url, timeout=3) as answer:
        return 0 if answer.status == 200 else 1


if __name__ == "__main__":
    sys.exit(check() if sys.argv[1:] == ["check"] else serve())
