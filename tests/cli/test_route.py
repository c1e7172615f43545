"""`reconciler route`: the verdict on a URL or on all cameras of an airport."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reconciler import routes
from reconciler.cli import main
from reconciler.core.names import Lookup, Resolution, after
from tests.builders import vpn

Say = Callable[..., tuple[int, str, str]]
PASSWORD = "s3cr3t-Pass"  # noqa: S105 - of no camera


@pytest.fixture
def say(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Say:
    monkeypatch.setattr("reconciler.cli.configure_logging", lambda *_: None)

    def file(webcams: list[Any], **declared: Any) -> dict[str, Any]:
        return {"vpn": vpn(1, **declared), "webcams": webcams}

    north = {"name": "North", "url": f"rtsp://admin:{PASSWORD}@192.168.1.100/s"}
    airports = {
        "kspb": file([north]),
        "kczk": {
            "vpn": vpn(2),
            "webcams": [
                {"name": "River", "url": "http://192.168.2.9/"},
                {"url": "https://8.8.8.8/"},
            ],
        },
        "s51": {"vpn": vpn(3, enabled=False), "webcams": [{"url": "http://192.168.3.9/a.jpg"}]},
        "kbad": {
            "vpn": vpn(4),
            "webcams": [{"name": "Lost", "url": "http://192.168.9.9/"}, north],
        },
        "knone": {"vpn": vpn(5)},
    }
    path = tmp_path / "airports.json"
    path.write_text(json.dumps({"airports": airports}))
    monkeypatch.setattr(routes, "read_hub_networks", dict)
    monkeypatch.setattr(routes, "_look_up", _look_up)

    def run(*arguments: str) -> tuple[int, str, str]:
        where = ["--config-path", str(path), "--state-dir", str(tmp_path / "none")]
        code = main(["route", *arguments, *where])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def _look_up(names: Any) -> dict[str, Resolution]:
    return {
        name: after(None, Lookup(absent="there is no such name", ttl_s=60), 0.0, lambda: 0.5)
        for name in names
    }


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["http://192.168.1.100/a.jpg"], 0, "tunnel: 192.168.1.100 is in the LAN of kspb_vpn"),
        (["http://8.8.8.8/a.jpg"], 3, "direct: 8.8.8.8 is a public address"),
        (["http://192.168.9.9/"], 1, "no-tunnel: 192.168.9.9 is a private address"),
        (["http://192.168.2.9/", "--airport", "kspb"], 1, "other-tunnel: "),
        (["http://192.168.2.9/", "--airport", "kczk"], 0, "tunnel: "),
        (["http://gone.example.org/"], 1, "unresolved: there is no such name"),
        (["http://192.168.1.300/"], 1, "invalid-url: is not an IPv4 address"),
        (["kspb"], 0, "North: tunnel: 192.168.1.100 is in the LAN 192.168.1.0/24"),
        (["kczk"], 3, "River: tunnel: "),
        (["s51"], 1, "no-tunnel: 192.168.3.9 is a private address, and the airport has no tunnel"),
        (["kbad"], 1, "Lost: outside-lan: "),
        (["knone"], 3, "knone has no cameras"),
    ],
)
def test_the_exit_code_tells_whether_all_is_well(
    say: Say, arguments: list[str], code: int, words: str
) -> None:
    ended, printed, _ = say(*arguments)
    assert (ended, words in printed) == (code, True), printed


def test_json_answers_a_program(say: Say) -> None:
    code, printed, _ = say(f"rtsp://admin:{PASSWORD}@192.168.1.100:554/s?k=1", "--json")
    assert (code, json.loads(printed)) == (
        0,
        {
            "name": "",
            "url": "rtsp://192.168.1.100:554/s",
            "route": "tunnel",
            "needs_tunnel": True,
            "connection": "kspb_vpn",
            "addresses": ["192.168.1.100"],
            "reason": "192.168.1.100 is in the LAN of kspb_vpn",
            "airport": None,
        },
    )
    _, printed, _ = say("kczk", "--json")
    found = json.loads(printed)
    assert (found["airport"], found["connection"]) == ("kczk", "kczk_vpn")
    assert [one["needs_tunnel"] for one in found["cameras"]] == [True, False]


def test_a_url_from_standard_input_is_seen_in_no_list_of_processes(
    say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"http://u:{PASSWORD}@192.168.1.100/\n"))
    assert say("-", "--airport", "kspb")[0] == 0


@pytest.mark.parametrize(
    "what",
    ["rtsp://admin:{}@192.168.1.100/s", "rtsp://admin:{}/x@192.168.1.9/", "admin:{}@h/", "kspb"],
)
@pytest.mark.parametrize("more", [[], ["--json"]])
def test_no_password_is_printed(say: Say, what: str, more: list[str]) -> None:
    _, printed, said = say(what.format(PASSWORD), *more)
    assert PASSWORD not in printed + said


@pytest.mark.parametrize("arguments", [["kxyz"], ["http://8.8.8.8/", "--airport", "kxyz"]])
def test_an_airport_that_is_not_there_is_told(say: Say, arguments: list[str]) -> None:
    code, printed, said = say(*arguments)
    assert (code, printed) == (1, "")
    assert "kxyz" in said


def test_a_file_that_cannot_be_read_is_told(say: Say, tmp_path: Path) -> None:
    (tmp_path / "airports.json").write_text("{")
    code, _, said = say("kspb")
    assert (code, "is not JSON" in said) == (1, True)
