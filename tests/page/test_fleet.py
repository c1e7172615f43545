"""The list of all airports, and one of them: what an operator sees, and how he finds it."""

import re
import time

import pytest
from playwright.sync_api import Page, expect

from reconciler.core.reasons import MEANINGS, Code
from tests.page.fleets import connection, document, down, transitions
from tests.page.server import Served

pytestmark = pytest.mark.browser
NAMES = "#rows .c-name a"


def shown(page: Page) -> list[str]:
    return page.locator(NAMES).all_inner_texts()


@pytest.fixture
def mixed(page: Page, served: Served) -> Page:
    now = int(time.time())
    served.show(
        document(
            connection("kaaa", airport_name="Aachen", remote_address="203.0.113.5"),
            connection("kbbb", airport_name="Bärwalde", since=now - 50, received_bytes=9**12),
            down("kccc", Code.WRONG_PSK, airport_name="Cadiz", since=now - 5000),
            down("kddd", Code.DEAD_PEER, airport_name="Delft", since=now - 120),
            down("keee", Code.NEGOTIATING, airport_name="Elba", status="connecting"),
            connection("kfff", airport_name="Faro", degraded=True, degraded_reasons=[FLAW]),
            down("kggg", Code.PAUSED, airport_name="Genoa", paused=True),
            connection("khhh", airport_name="Hof", health_check="fail"),
        )
    )
    page.goto(served.url)
    expect(page.locator(NAMES)).to_have_count(8)
    return page


FLAW = {"code": "narrowed-selectors", "text": "the site leaves out 10.0.0.0/24"}


def test_what_is_down_stands_first_and_the_latest_of_it_at_the_top(mixed: Page) -> None:
    assert shown(mixed)[:3] == ["Delft", "Cadiz", "Elba"]
    assert shown(mixed)[-2:] == ["Bärwalde", "Aachen"]


def test_a_row_says_since_when_why_and_who_must_act(mixed: Page) -> None:
    row = mixed.locator("#rows li").first
    expect(row.locator(".badge")).to_have_text("down")
    expect(row.locator(".c-reason")).to_contain_text("the site stopped answering")
    expect(row.locator(".c-side")).to_contain_text("must act: the network")
    expect(row.locator(".c-since")).to_contain_text(re.compile(r"since 2 min ago"))
    expect(row.locator("time")).to_have_attribute("datetime", re.compile(r"^20..-.*Z$"))


def test_the_heading_and_the_tiles_count_each_state_once(mixed: Page) -> None:
    expect(mixed.locator("h1:visible")).to_have_text("2 down, 1 connecting, 2 degraded")
    tiles = mixed.locator("#tiles button").all_inner_texts()
    counts = {text.split("\n")[1]: int(text.split("\n")[0]) for text in tiles}
    assert counts == {"down": 2, "connecting": 1, "degraded": 2, "paused": 1, "up": 2}


def test_a_fleet_that_is_well_says_so_in_one_sentence(page: Page, served: Served) -> None:
    served.show(document(connection("kaaa"), connection("kbbb")))
    page.goto(served.url)
    expect(page.locator("h1:visible")).to_have_text("All 2 airports are up")


def test_an_empty_fleet_says_so(page: Page, served: Served) -> None:
    served.show(document())
    page.goto(served.url)
    expect(page.locator("h1:visible")).to_have_text("No tunnel is declared")


def test_tiles_choose_states_and_several_of_them(mixed: Page) -> None:
    mixed.get_by_role("button", name=re.compile("connecting")).click()
    assert shown(mixed) == ["Elba"]
    mixed.get_by_role("button", name=re.compile("paused")).click()
    assert shown(mixed) == ["Elba", "Genoa"]
    expect(mixed.locator("#found")).to_contain_text("2 of 8 airports match")
    mixed.get_by_role("button", name="Show all").click()
    assert len(shown(mixed)) == 8


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("delft", ["Delft"]),
        ("barwalde", ["Bärwalde"]),
        ("KCCC", ["Cadiz"]),
        ("kccc_vpn", ["Cadiz"]),
        ("203.0.113.5", ["Aachen"]),
        ("198.51 faro", ["Faro"]),
        ("no such place", []),
    ],
)
def test_the_search_finds_name_id_and_address(mixed: Page, typed: str, found: list[str]) -> None:
    mixed.get_by_label("Search").fill(typed)
    expect(mixed.locator(NAMES)).to_have_count(len(found))
    assert shown(mixed) == found
    if not found:
        expect(mixed.locator("#found")).to_contain_text("No airport matches")


def test_who_must_act_chooses_and_filters_add_up(mixed: Page) -> None:
    mixed.get_by_label("Who must act").select_option("site")
    assert shown(mixed) == ["Cadiz"]
    mixed.get_by_label("Search").fill("delft")
    assert shown(mixed) == []


def test_the_list_is_sorted_as_asked(mixed: Page) -> None:
    sort = mixed.get_by_label("Sort by")
    sort.select_option("name")
    assert shown(mixed) == sorted(shown(mixed))
    sort.select_option("since")
    assert shown(mixed)[0] == "Bärwalde"
    sort.select_option("side")
    assert shown(mixed)[:3] == ["Genoa", "Cadiz", "Delft"]
    sort.select_option("traffic")
    assert shown(mixed)[0] == "Bärwalde"


def test_filters_are_in_the_address_and_survive_reload_and_back(mixed: Page) -> None:
    mixed.get_by_label("Search").fill("k")
    mixed.get_by_role("button", name=re.compile("down")).click()
    mixed.get_by_label("Sort by").select_option("name")
    mixed.reload()
    expect(mixed.locator(NAMES)).to_have_count(2)
    assert shown(mixed) == ["Cadiz", "Delft"]
    mixed.get_by_role("link", name="Cadiz").click()
    expect(mixed.get_by_role("heading", level=1, name="Cadiz")).to_be_focused()
    mixed.go_back()
    expect(mixed.get_by_role("link", name="Cadiz")).to_be_focused()
    assert shown(mixed) == ["Cadiz", "Delft"]
    assert mixed.get_by_label("Search").input_value() == "k"
    mixed.get_by_role("link", name="Delft").click()
    mixed.get_by_role("link", name="All airports").click()
    expect(mixed.get_by_role("link", name="Delft")).to_be_focused()
    assert mixed.get_by_label("Search").input_value() == "k"


def test_one_airport_has_an_address_of_its_own_with_reason_side_and_remedy(mixed: Page) -> None:
    mixed.goto(mixed.url.split("#")[0] + "#/airport/kccc_vpn")
    detail = mixed.locator("#detail")
    meaning = MEANINGS[Code.WRONG_PSK]
    expect(detail.locator(".what")).to_have_text(meaning.sentence)
    expect(detail.locator(".matter")).to_contain_text("Must act: the site")
    expect(detail.locator(".fix")).to_have_text("What to do: " + meaning.fix.replace("`", ""))
    expect(mixed).to_have_title("Cadiz · VPN tunnels")


def test_a_tunnel_that_is_up_but_not_as_declared_says_what_and_what_to_do(mixed: Page) -> None:
    mixed.goto(mixed.url.split("#")[0] + "#/airport/kfff_vpn")
    matter = mixed.locator("#detail .matter")
    expect(matter).to_contain_text("the site leaves out 10.0.0.0/24")
    expect(matter).to_contain_text("Set the router's remote network to local_subnet.")


def test_a_name_that_is_not_there_is_no_riddle(mixed: Page) -> None:
    mixed.goto(mixed.url.split("#")[0] + "#/airport/kzzz_vpn")
    expect(mixed.locator("#detail")).to_contain_text("no tunnel named kzzz_vpn")
    mixed.get_by_role("link", name="All airports").click()
    expect(mixed.locator(NAMES)).to_have_count(8)


def test_a_click_beside_the_name_opens_the_airport_too(mixed: Page) -> None:
    mixed.locator("#rows li", has_text="Cadiz").locator(".c-reason").click()
    expect(mixed.get_by_role("heading", level=1, name="Cadiz")).to_be_visible()


def everything(now: int) -> dict[str, object]:
    return {
        "transitions": transitions(4),
        "ike_algorithms": "AES_GCM_16-256/PRF_HMAC_SHA2_256/MODP_2048",
        "child_algorithms": "AES_GCM_16-256",
        "received_packets": 123_444,
        "sent_packets": 222,
        "last_received_at": now - 60,
        "child_expires_at": now + 1805,
        "rekeys": 4,
        "establishments": 1,
        "failures": {"dead-peer": 3, "wrong-psk": 1},
        "last_failure": {
            "code": "dead-peer",
            "at": now - 7200,
            "words": "giving up after 3 retransmits",
            "remote_address": "203.0.113.9",
            "claimed_id": "kspb.remote",
            "certain": False,
        },
        "key_rotation": "switching",
        "attempts": [{"goal": "dial", "count": 3, "last_attempt": now - 20, "next_attempt": 0}],
        "next_attempt": now + 3605,
        "probe": {
            "target": "192.168.1.100",
            "kind": "ping",
            "success": True,
            "round_trip_s": 0.0234,
            "last_run": now - 9,
            "failures_in_a_row": 0,
            "detail": "",
        },
        "cameras": [
            {
                "name": "North",
                "url": "rtsp://192.168.1.100:554/stream1",
                "route": "tunnel",
                "route_reason": "it is in the LAN",
                "addresses": ["192.168.1.100"],
                "health_check": "fail",
                "last_checked": now - 9,
                "detail": "refused",
            }
        ],
    }


@pytest.mark.parametrize(
    "told",
    [
        *("packets come back", "AES_GCM_16-256/PRF_HMAC_SHA2_256/MODP_2048", "123,444 packets"),
        *("123.5 MB", "4 times", "1 time", "in 30 min", "giving up after 3 retransmits"),
        *("203.0.113.9", "kspb.remote", "only the address says", "the site is changing"),
        *("dial 3 times", "in 1 h", "23.4 ms", "rtsp://192.168.1.100:554/stream1"),
        *("tunnel: it is in the LAN", "no answer", "refused", "the site stopped answering"),
        *("for 1 h 30 min", "until now", "198.51.100.7:4500", "passes NAT", "0.0.0.0/0"),
    ],
)
def test_the_detail_tells_all_that_is_known(page: Page, served: Served, told: str) -> None:
    served.show(document(connection("kspb", **everything(int(time.time())))))
    page.goto(served.url + "#/airport/kspb_vpn")
    expect(page.locator("#detail")).to_contain_text(told)


def test_what_the_status_does_not_say_is_left_out(page: Page, served: Served) -> None:
    served.show(document(connection("kspb", cameras=[])))
    page.goto(served.url + "#/airport/kspb_vpn")
    expect(page.locator("#detail h1")).to_be_visible()
    headings = page.locator("#detail h2").all_inner_texts()
    assert headings == ["Tunnel", "Addresses", "Traffic"]
    words = page.locator("#detail").inner_text()
    assert not [odd for odd in ("undefined", "null", "NaN", "[object") if odd in words]


def test_the_timeline_is_drawn_and_said(page: Page, served: Served) -> None:
    served.show(document(connection("kspb", transitions=transitions(3, ago_s=5400))))
    page.goto(served.url + "#/airport/kspb_vpn")
    drawn = page.get_by_role("img", name=re.compile("Timeline: up 66.7 % of the last 4 h 30 min"))
    expect(drawn.locator("rect")).to_have_count(3)
    expect(page.locator(".changes li")).to_have_count(3)


def test_the_hub_says_what_is_wrong_with_it_on_every_view(page: Page, served: Served) -> None:
    made = document(connection("kspb"))
    made["configuration"] |= {
        "valid": False,
        "removals_held": ["s51"],
        "airports_invalid": ["kczk"],
        "faults": [
            {
                "path": "airports.kczk.vpn.psk",
                "message": "is missing",
                "severity": "error",
                "airport_id": "kczk",
            }
        ],
    }
    made["container"] |= {"problem": "charon does not answer", "last_action": "restarted"}
    made["reconciler"]["errors"] = ["state not written"]
    made["strangers"] = [
        {
            "remote_address": "192.0.2.66",
            "claimed_id": "other.remote",
            "code": "unknown-id",
            "words": "no config",
            "count": 4,
            "first_seen": 1,
            "last_seen": int(time.time()),
        }
    ]
    served.show(made)
    page.goto(served.url)
    notices = page.locator("#notices")
    for words in ("charon does not answer", "airports.json has 1 error", "1 removal is held"):
        expect(notices).to_contain_text(words)
    page.get_by_role("link", name="See the hub").first.click()
    hub = page.locator("#hub")
    for words in ("airports.kczk.vpn.psk", "is missing", "s51", "state not written", "restarted"):
        expect(hub).to_contain_text(words)
    expect(hub).to_contain_text("192.0.2.66 calls itself other.remote: unknown-id, 4 times")
    expect(page.get_by_role("link", name=re.compile(r"Hub \(4 to look at\)"))).to_be_visible()


@pytest.mark.parametrize(
    ("state", "as_declared", "error", "words"),
    [
        ("in-force", True, "", ""),
        ("drifted", False, "", "the packet filter is not in force as declared"),
        ("unknown", False, "no such file", "the packet filter is not in force as declared"),
        ("off", False, "", "the packet filter is off"),
    ],
)
def test_the_hub_says_how_its_packet_filter_is(
    page: Page, served: Served, state: str, as_declared: bool, error: str, words: str
) -> None:
    made = document(connection("kspb"))
    made["packet_filter"] |= {"state": state, "as_declared": as_declared, "error": error}
    served.show(made)
    page.goto(f"{served.url}#/hub")
    card = page.locator("#hub .card", has_text="Packet filter")
    expect(card).to_contain_text(state)
    expect(card).to_contain_text("12 unasked")
    expect(card).to_contain_text(error)
    if words:
        expect(page.locator("#hub .matters")).to_contain_text(words)
    else:
        expect(page.locator("#hub .matters")).to_have_count(0)


def test_times_are_the_airports_or_the_viewers_and_the_choice_is_kept(
    page: Page, served: Served
) -> None:
    since = 1_790_000_000  # 2026-09-21 14:13:20 UTC
    far = connection("kspb", since=since, last_connected=since)
    here = connection("kxyz", since=since, time_zone="")
    served.show(document(far, here))
    page.goto(served.url + "#/airport/kspb_vpn")
    state = page.locator("#detail .state")
    expect(state).to_contain_text(re.compile("2026-09-21 07:13:20 UTC.07:00"))
    expect(state.locator("time")).to_have_attribute("datetime", "2026-09-21T14:13:20Z")
    page.get_by_label("Times").select_option("mine")
    expect(state).to_contain_text("2026-09-21 16:13:20 UTC+02:00")
    page.reload()
    expect(state).to_contain_text("2026-09-21 16:13:20 UTC+02:00")
    page.get_by_label("Times").select_option("airport")
    page.goto(served.url + "#/airport/kxyz_vpn")
    expect(state).to_contain_text("2026-09-21 16:13:20 UTC+02:00")


def test_the_theme_is_the_systems_or_the_chosen_one_and_the_choice_is_kept(
    page: Page, served: Served
) -> None:
    served.show(document(connection("kspb")))
    page.emulate_media(color_scheme="dark")
    page.goto(served.url)
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    assert page.evaluate(ground) == "rgb(14, 19, 26)"
    page.get_by_label("Theme").select_option("light")
    assert page.evaluate(ground) == "rgb(244, 246, 249)"
    page.reload()
    assert page.evaluate(ground) == "rgb(244, 246, 249)"
