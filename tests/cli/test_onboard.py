"""`reconciler onboard` and `offboard`: a tunnel into the file, and out of it."""

import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from reconciler import questions
from reconciler.core.far_side import PLACEHOLDER
from tests.builders import document, vpn
from tests.cli.conftest import Answer, Installation

HUB = "--hub-address=vpn.example.org"
NEW = ("kxyz", "--new-airport", "--lan=192.168.77.0/24", "--router=strongswan")
FILE = """\
{
    "site": "ours",
    "airports": {
        "kspb": {"name": "Scappoose", "vpn": VPN},
        "kpdx": {"name": "Portland",
                 "webcams": [{"name": "Tower", "url": "https://example.org/t.jpg"}], "x": 1}
    },
    "more": [1,  2]
}
"""


@pytest.fixture
def declared(installation: Installation) -> Installation:
    installation.config.write_text(FILE.replace("VPN", json.dumps(vpn(1))))
    return installation


def ask(installation: Installation, *arguments: str) -> Answer:
    return installation.run("onboard", HUB, *arguments)


def airports(installation: Installation) -> dict[str, Any]:
    return dict(json.loads(installation.config.read_text())["airports"])


# What is printed


def test_it_prints_the_json_the_far_side_and_what_is_to_be_done(declared: Installation) -> None:
    answer = ask(declared, *NEW)
    assert (answer.code, answer.err) == (0, "")
    assert '"remote_subnet": "192.168.77.0/24"' in answer.out
    assert "  kxyz_vpn {\n" in answer.out
    assert "1. Put the JSON above into airports.json" in answer.out
    assert "UDP 500 and 4500 out to vpn.example.org" in answer.out


def test_without_write_the_file_stays_as_it_is(declared: Installation) -> None:
    before = declared.config.read_bytes()
    assert ask(declared, *NEW, "--show-key").code == 0
    assert declared.config.read_bytes() == before
    assert [path.name for path in declared.config.parent.iterdir() if ".bak" in path.name] == []


def test_json_for_scripts(declared: Installation) -> None:
    found = json.loads(ask(declared, *NEW, "--json").out)
    assert found["written"] is False
    assert found["backup"] is None
    assert found["airports"]["kxyz"]["vpn"]["psk"] == PLACEHOLDER
    assert found["configuration"].startswith("# kxyz_vpn: ")
    assert len(found["checklist"]) >= 5


def test_the_key_is_new_each_time_and_shown_on_request_only(declared: Installation) -> None:
    def key() -> str:
        found = json.loads(ask(declared, *NEW, "--json", "--show-key").out)
        return str(found["airports"]["kxyz"]["vpn"]["psk"])

    first, second = key(), key()
    assert first != second
    assert len(first) >= 43


# What is written


def test_with_write_the_tunnel_is_declared_and_a_copy_kept(declared: Installation) -> None:
    before = declared.config.read_text()
    found = json.loads(
        ask(declared, *NEW, "--camera=East=http://192.168.77.9/a.jpg", "--write", "--json").out
    )
    assert found["written"] is True
    assert Path(found["backup"]).read_text() == before
    made = airports(declared)["kxyz"]
    assert made["webcams"] == [{"name": "East", "url": "http://192.168.77.9/a.jpg"}]
    assert len(made["vpn"]["psk"]) >= 43
    assert declared.run("validate").code == 0


def test_the_key_that_is_written_is_not_printed(declared: Installation) -> None:
    answer = ask(declared, *NEW, "--write")
    assert airports(declared)["kxyz"]["vpn"]["psk"] not in answer.out + answer.err
    shown = declared.run("site-config", HUB, "kxyz", "--router=generic", "--show-key")
    assert airports(declared)["kxyz"]["vpn"]["psk"] in shown.out


def test_everything_else_in_the_file_stays_as_it_is(declared: Installation) -> None:
    before = declared.config.read_text()
    ask(declared, *NEW, "--write")
    declared.run("offboard", "kxyz", "--whole-airport", "--write")
    assert declared.config.read_text() == before


def test_a_known_airport_keeps_what_it_has(declared: Installation) -> None:
    camera = "--camera=North=rtsp://user:secret@192.168.77.8:554/1"
    ask(declared, "kpdx", *NEW[2:], camera, "--write")
    found = airports(declared)["kpdx"]
    assert [name["name"] for name in found["webcams"]] == ["Tower", "North"]
    assert (found["x"], found["name"]) == (1, "Portland")
    assert found["vpn"]["enabled"] is True


def test_a_file_that_is_not_there_is_made(installation: Installation) -> None:
    assert ask(installation, *NEW, "--airport-name=Nowhere", "--write").code == 0
    assert airports(installation)["kxyz"]["name"] == "Nowhere"


def test_what_is_given_is_declared(declared: Installation) -> None:
    more = (
        *("--local-subnet=10.0.0.0/24, 10.1.0.0/24", "--site-address=198.51.100.7"),
        *("--connection-name=east", "--encryption=aes256-sha512", "--dh-group=19"),
        "--airport-name=Elsewhere",
    )
    ask(declared, "kxyz", "--new-airport", "--lan=192.168.77.0/24,192.168.78.0/24",
        "--router=generic", *more, "--write")  # fmt: skip
    made = airports(declared)["kxyz"]
    psk = made["vpn"].pop("psk")
    assert psk
    assert made == {
        "name": "Elsewhere",
        "vpn": {
            "enabled": True,
            "type": "ipsec",
            "remote_subnet": ["192.168.77.0/24", "192.168.78.0/24"],
            "connection_name": "east",
            "local_subnet": ["10.0.0.0/24", "10.1.0.0/24"],
            "remote_address": "198.51.100.7",
            "encryption": "aes256-sha512",
            "dh_group": 19,
        },
    }


def test_algorithms_are_chosen_that_the_router_can(declared: Installation) -> None:
    new = ("kxyz", "--new-airport", "--lan=192.168.77.0/24", "--local-subnet=10.0.0.0/24")
    ask(declared, *new, "--router=mikrotik", "--write")
    assert airports(declared)["kxyz"]["vpn"]["encryption"] == "aes256-sha256"


# What is refused


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["kxyz", *NEW[2:]],
            "'kxyz' is not in the file, which has: kspb, kpdx; give --new-airport",
        ),
        (["kspb", *NEW[2:]], "kspb has a tunnel already"),
        ([*NEW, "--connection-name=kspb_vpn"], "'kspb_vpn' is the name of airport kspb"),
        ([*NEW[:2], "--lan=192.168.1.0/25", NEW[3]], "intersects the subnets of airport kspb"),
        ([*NEW[:2], "--lan=192.168.77.1/24", NEW[3]], "write 192.168.77.0/24"),
        ([*NEW[:2], "--lan=nonsense", NEW[3]], "--lan: 'nonsense' is not a subnet"),
        ([*NEW, "--local-subnet=10.0.0.1/24"], "--local-subnet: '10.0.0.1/24' has host bits set"),
        ([*NEW, "--site-address=there"], "'there' is not an IP address"),
        ([*NEW, "--encryption=rot13"], "'rot13' is not known"),
        ([*NEW, "--dh-group=99"], "'99' is not a known group"),
        ([*NEW, "--camera=http://192.168.77.9/"], "write it as NAME=URL"),
        ([*NEW, "--camera=A=ftp://192.168.77.9/"], "write http, https, rtsp or rtsps"),
        ([*NEW, "--camera=A=http://192.168.78.9/"], "192.168.78.9 is outside the LAN"),
        ([*NEW, "--camera=A=http://[::1/"], "is no URL"),
        (
            [*NEW, "--camera=A=http://192.168.77.9/", "--camera=A=http://192.168.77.8/"],
            "there is a camera 'A' already",
        ),
        (["k/x", *NEW[1:]], "'k/x' can't be an airport's id"),
        ([*NEW[:3], "--router=unifi"], "declare local_subnet"),
        ([*NEW[:3], "--router=unifi", "--encryption=aes256gcm128"], "it has no aes256gcm128"),
    ],
)
def test_what_is_wrong_is_told_and_nothing_written(
    declared: Installation, arguments: list[str], words: str
) -> None:
    before = declared.config.read_bytes()
    answer = ask(declared, *arguments, "--write")
    assert (answer.code, answer.out) == (1, "")
    assert words in answer.err
    assert declared.config.read_bytes() == before


def test_the_one_that_is_in_force_wins_wherever_it_stands(declared: Installation) -> None:
    text = declared.config.read_text().replace('"kspb"', '"late"').replace('"kpdx"', '"kaaa"')
    parsed = json.loads(text)
    parsed["airports"] = dict(reversed(parsed["airports"].items()))
    declared.config.write_text(json.dumps(parsed))
    answer = ask(declared, "kaaa", "--lan=192.168.1.0/24", "--router=generic")
    assert "intersects the subnets of airport late" in answer.err


def test_a_clash_with_an_airport_whose_key_stands_in_a_file_is_seen(
    declared: Installation,
) -> None:
    body = vpn(1, psk=..., psk_file="/run/secrets/not-here")
    declared.config.write_text(json.dumps(document(kspb=body)))
    answer = ask(declared, *NEW[:2], "--lan=192.168.1.0/24", "--router=generic")
    assert "intersects the subnets of airport kspb" in answer.err


def test_a_password_in_a_url_is_not_told(declared: Installation) -> None:
    answer = ask(declared, *NEW, "--camera=A=ftp://me:hush-hush@192.168.77.9/")
    assert "hush" not in answer.err


@pytest.mark.parametrize(
    "camera",
    [
        "http://me:hush-hush@192.168.77.9/",
        "me:hush-hush@192.168.77.9",
        "A=http://me:hu/hush-hush@192.168.77.9/",
        "A=ftp://192.168.77.9/?pwd=hush-hush",
        "A=http:me:hush-hush@192.168.77.9/",
    ],
)
def test_nor_however_else_it_is_written(declared: Installation, camera: str) -> None:
    answer = ask(declared, *NEW, f"--camera={camera}")
    assert answer.code != 0
    assert "--camera" in answer.err
    assert "hush-hush" not in answer.out + answer.err


def test_nor_with_a_name_that_is_taken(declared: Installation) -> None:
    camera = "--camera=Tower=http://me:hush-hush@192.168.77.9/"
    answer = ask(declared, "kpdx", *NEW[2:], camera)
    assert "there is a camera 'Tower' already" in answer.err
    assert "hush-hush" not in answer.out + answer.err


@pytest.mark.parametrize("webcams", [None, 5, "x", {"a": 1}, [None, {"name": ["x"]}, {}]], ids=repr)
def test_cameras_that_are_none_are_in_nobodys_way(declared: Installation, webcams: Any) -> None:
    content = json.loads(declared.config.read_text())
    content["airports"]["kpdx"]["webcams"] = webcams
    declared.config.write_text(json.dumps(content))
    answer = ask(declared, "kpdx", *NEW[2:])
    assert answer.code == 0, answer.err


def test_a_camera_with_a_name_is_taken_as_it_is(declared: Installation) -> None:
    assert ask(declared, *NEW, "--camera=A=http://camera.example.org/a").code == 0


@pytest.mark.parametrize("given", [[], ["kxyz"], ["kxyz", "--lan=192.168.77.0/24"]])
def test_away_from_a_terminal_what_is_missing_is_a_wrong_usage(
    declared: Installation, given: list[str]
) -> None:
    answer = ask(declared, *given)
    assert answer.code == 2
    assert "missing: " in answer.err
    assert "--router" in answer.err


@pytest.mark.parametrize("content", ["{", "[]", '{"airports": []}'])
def test_a_file_that_can_not_be_used_is_told(installation: Installation, content: str) -> None:
    installation.config.write_text(content)
    answer = ask(installation, *NEW, "--write")
    assert answer.code == 1
    assert str(installation.config) in answer.err
    assert installation.config.read_text() == content


def test_the_faults_of_others_are_nobody_elses(declared: Installation) -> None:
    body = vpn(1, dh_group=99)
    declared.config.write_text(json.dumps(document(kspb=body)))
    assert ask(declared, *NEW, "--write").code == 0


# On a terminal


def answers(monkeypatch: pytest.MonkeyPatch, lines: Iterable[str]) -> None:
    monkeypatch.setattr(questions, "interactive", lambda: True)
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))


def test_on_a_terminal_it_asks_for_what_is_missing(
    declared: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(
        monkeypatch,
        [
            *("k/x", "kxyz", "perhaps", "", "Elsewhere", "192.168.77.1/24", "192.168.77.0/24"),
            *(
                "toaster",
                "libreswan",
                "10.0.0.5/32",
                "http://192.168.99.9/",
                "http://192.168.77.9/",
            ),
            *("East", "", "bad name", "vpn.example.org"),
        ],
    )
    answer = declared.run("onboard", "--hub-address=", "--write")
    assert answer.code == 0
    for words in (
        *("write letters, digits", "write yes or no", "host bits set", "'toaster' is not in"),
        *("192.168.99.9 is outside the LAN", "is neither an IP address nor a host name"),
    ):
        assert words in answer.err
    made = airports(declared)["kxyz"]
    assert made["name"] == "Elsewhere"
    assert made["vpn"]["local_subnet"] == "10.0.0.5/32"
    assert made["webcams"] == [{"name": "East", "url": "http://192.168.77.9/"}]
    assert "right=vpn.example.org" in answer.out


def test_what_is_given_is_not_asked_for(
    declared: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(monkeypatch, [])
    answer = ask(
        *(declared, *NEW, "--airport-name=E", "--local-subnet=10.0.0.0/24"),
        "--camera=A=http://192.168.77.9/",
    )
    assert (answer.code, answer.err) == (0, "")


def test_with_yes_nothing_is_asked(declared: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, [])
    assert ask(declared, *NEW, "--yes").err == ""


def test_no_answer_ends_it(declared: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, ["kxyz"])
    assert declared.run("onboard").code == 130


def test_it_works_on_a_real_terminal(declared: Installation) -> None:
    """The questions go to the terminal, and only the answer to standard output."""
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "reconciler", "onboard", HUB, *NEW, "--json"]
    flags = [f"--config-path={declared.config}", "--vici-socket=/nowhere"]
    process = subprocess.Popen(
        [*command, *flags], stdin=slave, stdout=subprocess.PIPE, stderr=slave, close_fds=True
    )
    os.close(slave)
    os.write(master, b"Elsewhere\n10.0.0.0/24\n\n")
    output, _ = process.communicate(timeout=60)
    asked = os.read(master, 65536).decode()
    os.close(master)
    assert process.returncode == 0, asked
    assert "Name of the airport: " in asked
    assert json.loads(output)["airports"]["kxyz"]["name"] == "Elsewhere"


# Offboard


def test_offboard_says_what_to_remove_where(declared: Installation) -> None:
    before = declared.config.read_bytes()
    answer = declared.run("offboard", "kspb")
    assert answer.code == 0
    for words in ("remove airports.kspb.vpn", "The router: delete the tunnel to kspb_vpn"):
        assert words in answer.out
    assert declared.config.read_bytes() == before


def test_offboard_removes_the_tunnel_only(declared: Installation) -> None:
    found = json.loads(declared.run("offboard", "kspb_vpn", "--write", "--json").out)
    assert found["written"] is True
    assert airports(declared)["kspb"] == {"name": "Scappoose"}
    assert declared.run("validate").code == 0


def test_offboard_names_the_keys_file_and_the_open_ports(installation: Installation) -> None:
    body = vpn(1, psk=..., psk_file="/run/secrets/kspb", remote_address="198.51.100.7")
    installation.config.write_text(json.dumps(document(kspb=body)))
    answer = installation.run("offboard", "kspb")
    assert "delete the key's file /run/secrets/kspb" in answer.out
    assert "close UDP 500 and 4500" in answer.out


def test_offboard_also_removes_what_is_disabled_or_faulty(installation: Installation) -> None:
    installation.config.write_text(
        json.dumps(document(kspb=vpn(1, enabled=False), kczk=vpn(2, dh_group=99)))
    )
    for name in ("kspb", "kczk"):
        assert "is disabled or has an error" in installation.run("offboard", name, "--write").out
    assert airports(installation) == {"kspb": {}, "kczk": {}}


def test_offboard_of_an_unknown_tunnel_is_told(declared: Installation) -> None:
    answer = declared.run("offboard", "kpdx", "--write")
    assert (answer.code, answer.err) == (1, "reconciler: 'kpdx' has no tunnel in the file\n")


def test_no_key_is_printed_by_offboard(declared: Installation) -> None:
    answer = declared.run("offboard", "kspb", "--json", "--write")
    assert "correct-horse" not in answer.out + answer.err
