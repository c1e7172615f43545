"""Settings by environment; each is also a flag of the command line."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from reconciler.core.model import check_identity


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that differs between one installation and another."""

    config_path: Path = Path("/config/airports.json")
    status_file: Path = Path("/cache/vpn-status.json")
    state_dir: Path = Path("/var/lib/reconciler")
    swanctl_file: Path = Path("/etc/vpn/swanctl.conf")
    vici_socket: Path = Path("/run/vici/charon.vici")
    hub_id: str = "vpn.aviationwx.org"
    hub_address: str = ""
    charon_container: str = "gateway"
    docker_host: str = ""
    filter_socket: str = ""
    packet_filter: str = "yes"
    heal_container: str = "yes"
    daemon_deadline_seconds: float = 20.0
    restarts_per_hour: int = 6
    listen: str = "127.0.0.1:9580"
    http_token_file: str = ""
    http_tls_certificate: str = ""
    http_tls_key: str = ""
    proxy_listen: str = "127.0.0.1:9585"
    resync_seconds: float = 30.0
    dpd_delay_seconds: int = 20
    hold_removals: str = "yes"
    probes: str = "yes"
    probe_interval_seconds: float = 30.0
    camera_interval_seconds: float = 120.0
    log_format: str = "auto"
    log_level: str = "info"

    @property
    def heals_container(self) -> bool:
        """Whether the container is acted upon, not only looked at."""
        return self.heal_container == "yes"

    @property
    def makes_probes(self) -> bool:
        """Whether anything is asked through the tunnels."""
        return self.probes == "yes"

    @property
    def listen_address(self) -> tuple[str, int]:
        """Host and port of the HTTP endpoint."""
        return _host_and_port(self.listen)

    @property
    def is_open(self) -> bool:
        """Whether the HTTP endpoint answers more than this machine, and asks for no token."""
        host = self.listen_address[0]
        with suppress(ValueError):
            return not self.http_token_file and not ip_address(host).is_loopback
        return not self.http_token_file and host != "localhost"

    @property
    def proxy_address(self) -> tuple[str, int]:
        """Host and port of the camera proxy."""
        return _host_and_port(self.proxy_listen)


def _host_and_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


HELP = {
    "config_path": "airports.json",
    "status_file": "status document for the web page",
    "state_dir": "directory of what must survive a restart",
    "swanctl_file": "copy of the connections that charon loads at its own start",
    "vici_socket": "charon's control socket",
    "hub_id": "IKE identity of the hub",
    "hub_address": "name or address at which sites reach the hub; only site-config and "
    "onboard need it",
    "charon_container": "name of the container that holds charon",
    "docker_host": "Docker API to look at and heal that container; empty: do neither",
    "filter_socket": "socket of the packet filter's agent; empty: `run` keeps none",
    "packet_filter": "limit what may come out of a tunnel: yes or no; only `filter` heeds it",
    "heal_container": "start, unpause and restart it when it fails: yes or no",
    "daemon_deadline_seconds": "after so long a silence charon is restarted; 10 to 600",
    "restarts_per_hour": "so often at most the container is acted upon; 1 to 1000",
    "listen": "host:port of /metrics, /healthz, /readyz and /status",
    "http_token_file": "file with the token that /metrics and /status ask for; empty: none",
    "http_tls_certificate": "PEM file of the certificate with which these are served over TLS",
    "http_tls_key": "PEM file of its key",
    "proxy_listen": "host:port of the camera proxy; only `proxy` heeds it",
    "resync_seconds": "the status is never older than this; 5 to 300",
    "dpd_delay_seconds": "silence after which a site is asked for a sign of life; 10 to 30",
    "probes": "ask through the tunnels whether what is behind them answers; yes or no",
    "probe_interval_seconds": "how often, if vpn.health_check says nothing else; 5 to 3600",
    "camera_interval_seconds": "how often each camera is asked for a picture; 10 to 86400",
    "hold_removals": "hold the removal of many tunnels at once until confirmed; yes or no",
    "log_format": "json, text, or auto: text on a terminal",
    "log_level": "debug, info, warning or error",
}


class SettingsError(ValueError):
    """A setting is wrong; the text names it and says what would be right."""


def read_settings(environment: Mapping[str, str], flags: Mapping[str, Any]) -> Settings:
    """Merge defaults, environment and flags, the later ones winning. Raises SettingsError."""
    values: dict[str, Any] = {}
    for field in fields(Settings):
        text = flags.get(field.name)
        if text is None:
            text = environment.get(field.name.upper())
        if text is not None:
            values[field.name] = _convert(field.name, str(text))
    settings = Settings(**values)
    _check(settings)
    return settings


def _convert(name: str, text: str) -> object:
    default = getattr(Settings(), name)
    try:
        return type(default)(text) if not isinstance(default, Path) else Path(text)
    except ValueError as error:
        raise SettingsError(f"{name.upper()}={text!r}: is not a number") from error


def _check(settings: Settings) -> None:
    checks = {
        "RESYNC_SECONDS": (5 <= settings.resync_seconds <= 300, "write 5 to 300"),
        "HEAL_CONTAINER": (settings.heal_container in {"yes", "no"}, "write yes or no"),
        "DAEMON_DEADLINE_SECONDS": (
            10 <= settings.daemon_deadline_seconds <= 600,
            "write 10 to 600",
        ),
        "RESTARTS_PER_HOUR": (1 <= settings.restarts_per_hour <= 1000, "write 1 to 1000"),
        "DPD_DELAY_SECONDS": (10 <= settings.dpd_delay_seconds <= 30, "write 10 to 30"),
        "PACKET_FILTER": (settings.packet_filter in {"yes", "no"}, "write yes or no"),
        "HOLD_REMOVALS": (settings.hold_removals in {"yes", "no"}, "write yes or no"),
        "PROBES": (settings.probes in {"yes", "no"}, "write yes or no"),
        "PROBE_INTERVAL_SECONDS": (
            5 <= settings.probe_interval_seconds <= 3600,
            "write 5 to 3600",
        ),
        "CAMERA_INTERVAL_SECONDS": (
            10 <= settings.camera_interval_seconds <= 86_400,
            "write 10 to 86400",
        ),
        "LOG_FORMAT": (settings.log_format in {"json", "text", "auto"}, "write json, text or auto"),
        "LOG_LEVEL": (
            settings.log_level.lower() in {"debug", "info", "warning", "error"},
            "write debug, info, warning or error",
        ),
        "LISTEN": (_is_address(settings.listen), "write host:port, like 127.0.0.1:9580"),
        "PROXY_LISTEN": (
            _is_address(settings.proxy_listen),
            "write host:port, like 127.0.0.1:9585",
        ),
    }
    for name, (right, hint) in checks.items():
        if not right:
            raise SettingsError(f"{name}={getattr(settings, name.lower())}: {hint}")
    if bool(settings.http_tls_certificate) != bool(settings.http_tls_key):
        given, missing = "HTTP_TLS_CERTIFICATE", "HTTP_TLS_KEY"
        if settings.http_tls_key:
            given, missing = missing, given
        raise SettingsError(f"{given}: needs {missing} as well")
    try:
        check_identity(settings.hub_id)
    except ValueError as error:
        raise SettingsError(f"HUB_ID: {error}") from error
    check_hub_address(settings.hub_address)


def check_hub_address(text: str) -> None:
    """Raise SettingsError unless it is empty, an IP address or the name of a host."""
    if not text:
        return
    with suppress(ValueError):
        ip_address(text)
        return
    try:
        check_identity(text)
    except ValueError as error:
        message = f"{text!r} is neither an IP address nor a host name"
        raise SettingsError(f"HUB_ADDRESS: {message}") from error


def _is_address(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return bool(host) and port.isascii() and port.isdecimal() and 0 < int(port) < 65536
