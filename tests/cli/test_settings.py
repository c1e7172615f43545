"""Settings: from the environment, flags win, and each bad value is named."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.settings import HELP, Settings, SettingsError, read_settings


def test_without_anything_the_defaults_hold() -> None:
    assert read_settings({}, {}) == Settings()


def test_the_environment_wins_over_the_defaults_and_flags_over_both() -> None:
    environment = {"CONFIG_PATH": "/e/airports.json", "RESYNC_SECONDS": "20"}
    assert read_settings(environment, {"resync_seconds": "10", "listen": None}) == replace(
        Settings(), config_path=Path("/e/airports.json"), resync_seconds=10.0
    )


def test_other_variables_and_flags_do_not_matter() -> None:
    assert read_settings({"PATH": "/bin", "HOME": "/"}, {"command": "plan"}) == Settings()


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("STATUS_FILE", "/cache/x.json", Path("/cache/x.json")),
        ("STATE_DIR", "/state", Path("/state")),
        ("SWANCTL_FILE", "/vpn/swanctl.conf", Path("/vpn/swanctl.conf")),
        ("VICI_SOCKET", "/run/x.vici", Path("/run/x.vici")),
        ("HUB_ID", "hub.example.org", "hub.example.org"),
        ("CHARON_CONTAINER", "vpn", "vpn"),
        ("DOCKER_HOST", "tcp://proxy:2375", "tcp://proxy:2375"),
        ("DOCKER_HOST", "", ""),
        ("HEAL_CONTAINER", "no", "no"),
        ("DAEMON_DEADLINE_SECONDS", "10", 10.0),
        ("DAEMON_DEADLINE_SECONDS", "600", 600.0),
        ("RESTARTS_PER_HOUR", "1", 1),
        ("RESTARTS_PER_HOUR", "1000", 1000),
        ("LISTEN", "[::1]:9580", "[::1]:9580"),
        ("HTTP_TOKEN_FILE", "/config/token", "/config/token"),
        ("RESYNC_SECONDS", "5", 5.0),
        ("RESYNC_SECONDS", "300", 300.0),
        ("DPD_DELAY_SECONDS", "10", 10),
        ("LOG_FORMAT", "json", "json"),
        ("LOG_LEVEL", "DEBUG", "DEBUG"),
    ],
)
def test_every_setting_is_read(name: str, text: str, value: Any) -> None:
    assert getattr(read_settings({name: text}, {}), name.lower()) == value
    assert getattr(read_settings({}, {name.lower(): text}), name.lower()) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("RESYNC_SECONDS", "soon"),
        ("RESYNC_SECONDS", ""),
        ("RESYNC_SECONDS", "4.9"),
        ("RESYNC_SECONDS", "301"),
        ("RESYNC_SECONDS", "nan"),
        ("RESYNC_SECONDS", "inf"),
        ("DPD_DELAY_SECONDS", "9"),
        ("DPD_DELAY_SECONDS", "31"),
        ("DPD_DELAY_SECONDS", "20.5"),
        ("HEAL_CONTAINER", "maybe"),
        ("HEAL_CONTAINER", ""),
        ("DAEMON_DEADLINE_SECONDS", "9.9"),
        ("DAEMON_DEADLINE_SECONDS", "601"),
        ("DAEMON_DEADLINE_SECONDS", "nan"),
        ("RESTARTS_PER_HOUR", "0"),
        ("RESTARTS_PER_HOUR", "1001"),
        ("RESTARTS_PER_HOUR", "often"),
        ("LOG_FORMAT", "xml"),
        ("LOG_LEVEL", "loud"),
        ("LISTEN", "9580"),
        ("LISTEN", ":9580"),
        ("LISTEN", "localhost:"),
        ("LISTEN", "localhost:http"),
        ("LISTEN", "localhost:0"),
        ("LISTEN", "localhost:65536"),
        ("HUB_ID", ""),
        ("HUB_ID", "%any"),
        ("HUB_ID", "203.0.113.1"),
        ("HUB_ID", "vpn.example.org\n"),
        ("HUB_ID", "vpn example"),
    ],
    ids=repr,
)
def test_a_bad_value_is_refused_and_its_setting_named(name: str, text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings({name: text}, {})
    assert str(caught.value).startswith(name)


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        ("127.0.0.1:9580", ("127.0.0.1", 9580)),
        ("localhost:80", ("localhost", 80)),
        ("[::1]:9580", ("::1", 9580)),
    ],
)
def test_the_address_to_listen_at(listen: str, address: tuple[str, int]) -> None:
    assert Settings(listen=listen).listen_address == address


@pytest.mark.parametrize(
    ("given", "missing"),
    [("HTTP_TLS_CERTIFICATE", "HTTP_TLS_KEY"), ("HTTP_TLS_KEY", "HTTP_TLS_CERTIFICATE")],
)
def test_certificate_and_key_need_each_other(given: str, missing: str) -> None:
    with pytest.raises(SettingsError, match=f"^{given}: needs {missing} as well$"):
        read_settings({given: "/config/x.pem", missing: ""}, {})
    both = read_settings({given: "/a.pem", missing: "/b.pem"}, {})
    assert {both.http_tls_certificate, both.http_tls_key} == {"/a.pem", "/b.pem"}


@pytest.mark.parametrize(
    ("listen", "is_open"),
    [
        *(
            ("127.0.0.1:1", False),
            ("127.8.8.8:1", False),
            ("[::1]:1", False),
            ("localhost:1", False),
        ),
        *(("0.0.0.0:1", True), ("[::]:1", True), ("192.168.1.2:1", True), ("hub.example:1", True)),
    ],
)
def test_what_listens_beyond_this_machine_without_a_token_is_open(
    listen: str, *, is_open: bool
) -> None:
    assert Settings(listen=listen).is_open is is_open
    assert not Settings(listen=listen, http_token_file="/config/http").is_open  # noqa: S106


def test_every_setting_has_a_line_of_help() -> None:
    assert set(HELP) == {field.name for field in fields(Settings)}
