"""Name, time zone and cameras of an airport: shown, and never in the way of a tunnel."""

import json
import time
from typing import Any

import pytest

from reconciler.core.about import About, Camera, about, public_url, showable
from reconciler.core.check import Decision, Fault, HubFacts, decide, unreadable
from reconciler.core.observed import Unobserved
from reconciler.core.render import render
from reconciler.core.status import ConnectionStatus, Status
from reconciler.core.summary import summarise_connections
from tests.builders import HUB, HUB_ID, document, vpn

ZONES = frozenset({"America/Los_Angeles", "Europe/Berlin"})
FACTS = HubFacts(HUB_ID, time_zones=ZONES)
DESCRIBED = {
    "name": "Scappoose",
    "timezone": "America/Los_Angeles",
    "webcams": [{"name": "North", "url": "rtsp://me:secret@192.168.1.100:554/stream1?key=1#x"}],
}
NOW = 1_750_000_000


def file_with(**changes: Any) -> dict[str, Any]:
    content = document(kspb=vpn(1))
    content["airports"]["kspb"] |= DESCRIBED | changes
    return content


def shown(
    decision: Decision, before: dict[str, ConnectionStatus] | None = None
) -> dict[str, ConnectionStatus]:
    desired = render(decision.sites.values(), HUB)
    return summarise_connections(desired, decision, Unobserved("away"), before or {}, {}, NOW)


def test_name_time_zone_and_cameras_reach_the_status() -> None:
    kspb = shown(decide(file_with(), {}, FACTS))["kspb_vpn"]
    assert (kspb.airport_name, kspb.time_zone) == ("Scappoose", "America/Los_Angeles")
    assert [camera.model_dump(include={"name", "url"}) for camera in kspb.cameras] == [
        {"name": "North", "url": "rtsp://192.168.1.100:554/stream1"}
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "Elsewhere"},
        {"timezone": "Europe/Berlin"},
        {"webcams": []},
        {"name": ["a"], "timezone": 5, "webcams": {"a": 1}},
    ],
    ids=repr,
)
def test_they_are_no_part_of_what_charon_is_told_nor_of_what_is_accepted(
    changes: dict[str, Any],
) -> None:
    before, after = decide(file_with(), {}, FACTS), decide(file_with(**changes), {}, FACTS)
    assert before.about != after.about
    assert (before.accepted, before.faults) == (after.accepted, after.faults)
    assert render(before.sites.values(), HUB) == render(after.sites.values(), HUB)


@pytest.mark.parametrize("odd", [None, 5, True, 1.5, [], {}, [[]], [None, 3, "x"], "\ud800", ""])
@pytest.mark.parametrize("key", ["name", "timezone", "webcams"])
def test_whatever_stands_there_the_tunnel_is_the_same_and_there_is_no_fault(
    key: str, odd: object
) -> None:
    decision = decide(file_with(**{key: odd}), {}, FACTS)
    assert (list(decision.sites), decision.faults) == (["kspb"], ())
    written = shown(decision)["kspb_vpn"].model_dump_json()
    assert json.loads(written)["airport_id"] == "kspb"


@pytest.mark.parametrize("odd", [None, 5, [], {}, {"name": 5, "url": 7}, {"url": None}], ids=repr)
def test_an_odd_camera_takes_none_of_the_others_away(odd: object) -> None:
    good = {"name": "North", "url": "http://10.0.0.1/"}
    found = about({"webcams": [odd, good]}, ZONES)
    assert found.cameras[-1] == Camera("North", "http://10.0.0.1/")


def test_an_airport_that_is_no_object_says_nothing_of_itself() -> None:
    assert about("kspb", ZONES) == About()


@pytest.mark.parametrize("zone", ["PST", "Mars/Olympus", "america/los_angeles", "../etc", " "])
def test_a_time_zone_that_is_not_on_the_list_is_none(zone: str) -> None:
    assert about({"timezone": zone}, ZONES).time_zone == ""


def test_an_airport_that_cannot_be_read_just_now_is_described_as_it_last_was() -> None:
    first = decide(file_with(), {}, FACTS)
    before = shown(first)
    broken = unreadable(Fault("airports.json", "is not JSON"), first.accepted, FACTS)
    again = shown(broken, before)["kspb_vpn"]
    assert (again.airport_name, again.time_zone) == ("Scappoose", "America/Los_Angeles")
    assert again.cameras == before["kspb_vpn"].cameras


def test_one_whose_new_declaration_is_faulty_is_described_by_the_file() -> None:
    first = decide(file_with(), {}, FACTS)
    faulty = file_with(name="New name")
    faulty["airports"]["kspb"]["vpn"]["remote_subnet"] = "192.168.1.7/24"
    decision = decide(faulty, first.accepted, FACTS)
    kspb = shown(decision, shown(first))["kspb_vpn"]
    assert (kspb.last_good, kspb.airport_name) == (True, "New name")


def test_a_name_is_not_inherited_by_another_airport_with_the_same_connection() -> None:
    before = shown(decide(file_with(), {}, FACTS))
    accepted = {"kczk": vpn(2, connection_name="kspb_vpn")}
    broken = unreadable(Fault("airports.json", "is not JSON"), accepted, FACTS)
    assert shown(broken, before)["kspb_vpn"].airport_name == ""


def test_a_status_written_by_an_earlier_release_is_read() -> None:
    old = shown(decide(file_with(), {}, FACTS))["kspb_vpn"].model_dump()
    for key in ("airport_name", "time_zone", "cameras"):
        del old[key]
    assert ConnectionStatus.model_validate(old).cameras == ()
    assert "cameras" in Status.model_json_schema()["$defs"]["ConnectionStatus"]["properties"]


@pytest.mark.parametrize(
    ("declared", "seen"),
    [
        ("http://192.168.1.100/snapshot.jpg", "http://192.168.1.100/snapshot.jpg"),
        ("RTSP://Cam.example:554/a/b", "rtsp://cam.example:554/a/b"),
        ("http://[fd00::7]:8080/x", "http://[fd00::7]:8080/x"),
        ("https://host", "https://host"),
        ("http://u:p@host/x", "http://host/x"),
        ("http://u@host/x", "http://host/x"),
        ("http://u:p%40@host/x", "http://host/x"),
        ("http://u:p@q@host/x", "http://host/x"),
        ("http://host/x?user=u&pwd=p#f", "http://host/x"),
        ("http://host/live;pwd=p/x", "http://host/…/x"),
        ("rtsp://host:554/user=admin_password=p_channel=1.sdp", "rtsp://host:554/…"),
        ("rtsp://host/user%3Dadmin%26password%3Dp", "rtsp://host/…"),
    ],
)
def test_a_url_is_shown_without_what_may_be_secret(declared: str, seen: str) -> None:
    assert public_url(declared) == seen


@pytest.mark.parametrize(
    "declared",
    [
        *("", " ", "none", "/relative", "//host/x", "mailto:me", "http:///x", "http://", "host:80"),
        *("http://u:12/34@host/x", "http://u:12?34@host/x", "http://u:12#34@host/x"),
        *("http://u:a/b@host/x", "http://host:99999/x", "http://host:port/", "http://[::1/x"),
        *("http://host/\x1b[31m", "http://ho\nst/", "http:\\\\u:p@host", "http://u:p\\@host/x"),
        *("http://host/\u202egpj", 5, None, ["http://host/"]),
    ],
    ids=repr,
)
def test_a_url_that_cannot_be_read_for_sure_is_not_shown(declared: object) -> None:
    assert public_url(declared) == ""


@pytest.mark.parametrize(
    ("declared", "seen"),
    [
        ("  Two\r\n\tlines\x00 ", "Two lines"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("مطار 🛩️ 👩‍✈️", "مطار 🛩️ 👩‍✈️"),
        ("a\u202eb\u2066c", "abc"),
        ("half \ud83d", "half"),
        ("x" * 201, "x" * 199 + "…"),
        ("x" * 200, "x" * 200),
    ],
)
def test_a_name_is_one_line_and_disturbs_nothing_around_it(declared: str, seen: str) -> None:
    assert showable(declared) == seen


def test_texts_of_megabytes_cost_no_round() -> None:
    webcam = {"name": "b" * 20_000_000, "url": "http://192.168.1.100" + "/" * 20_000_000}
    began_s = time.monotonic()
    found = about({"name": "a" * 20_000_000, "webcams": [webcam]}, ())
    assert time.monotonic() - began_s < 1
    assert (len(found.name), len(found.cameras[0].name)) == (200, 200)


@pytest.mark.parametrize(
    "name",
    [
        "rtsp://admin:Kx7-secret@192.168.1.10/live",
        "http://192.168.1.10/?pwd=Kx7-secret",
        "admin:Kx7-secret@192.168.1.10",
        "http:admin:Kx7-secret@192.168.1.10",
        "see http://admin:Kx7-secret@192.168.1.10/",
    ],
)
def test_a_url_in_the_place_of_a_name_shows_no_password(name: str) -> None:
    found = about({"name": name, "webcams": [{"name": name}]}, ())
    assert "Kx7" not in found.name + found.cameras[0].name


@pytest.mark.parametrize(
    "name", ["North: runway 15/33", "Camera @ 10:30", "Tower@north", "A:1 @ B"]
)
def test_other_names_stay_as_they_are(name: str) -> None:
    assert about({"name": name}, ()).name == name


@pytest.mark.parametrize("path", ["me:Kx7/live", "me%3aKx7", "snap.cgi&me&Kx7", "me:Kx7%40x"])
def test_user_and_password_in_a_path_are_not_shown(path: str) -> None:
    assert "Kx7" not in public_url(f"http://192.168.1.10/{path}")


def test_of_more_cameras_than_an_airport_has_the_first_are_looked_at_and_that_is_told() -> None:
    """Ten thousand that are off would keep the prober from all others for minutes."""
    webcams = [{"name": str(number), "url": "http://10.9.9.9/"} for number in range(10_000)]
    decision = decide(file_with(webcams=webcams), {}, FACTS)
    assert [camera.name for camera in decision.about["kspb"].cameras] == [*map(str, range(200))]
    assert decision.faults[0].message == "are 10000; only the first 200 are looked at"
    assert len(decision.faults) == 201
    assert not decision.errors
