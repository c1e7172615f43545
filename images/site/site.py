#!/usr/bin/python3
"""A mock airport: charon as the router that dials the hub, and an HTTP camera on its LAN.

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
from socketserver import ThreadingTCPServer
from types import FrameType
from urllib.request import urlopen

from PIL import Image, ImageDraw, ImageFont

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
    # Base64 spares every question of quoting.
    secret = "0s" + base64.b64encode(psk).decode()
    return f"""\
connections {{
  hub {{
    version = 2
    remote_addrs = {settings.hub_address}
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
    """
    while not Path("/sys/class/net/ipsec0").exists():
        time.sleep(0.1)  # there is none with the data plane in the kernel, which needs no route
    table = ("table", "219")
    run("ip", "route", "replace", "throw", f"{settings.hub_address}/32", *table)
    run(
        *("ip", "route", "replace", settings.hub_subnet, "dev", "ipsec0"),
        *("src", settings.camera, *table),
    )
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


def start_in_background(target: Callable[[], object]) -> None:
    threading.Thread(target=target, daemon=True).start()


def serve() -> int:
    settings = read_settings(dict(os.environ))
    make_lan(settings)
    write_configuration(settings)
    Camera.airport = settings.airport
    camera = CameraServer((settings.camera, settings.camera_port), Camera)
    start_in_background(camera.serve_forever)
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
