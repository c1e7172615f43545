"""For everybody: by keyboard, with a screen reader, on a phone, in the dark."""

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.page.browser import PHONE, grave_findings, page_of, scrolls_sideways
from tests.page.fleets import connection, document, down, transitions
from tests.page.server import Served

pytestmark = pytest.mark.browser
DESK = {"width": 1280, "height": 800}
LONG = "Lang" * 49 + "wort"  # 200 characters without a blank


def busy() -> dict[str, Any]:
    """One of everything."""
    flaw = {"code": "narrowed-selectors", "text": "the site leaves out 10.0.0.0/24"}
    made = document(
        down("kczk", transitions=transitions(5, "down", 180), failures={"dead-peer": 2}),
        down("kxyz", status="connecting", airport_name=LONG),
        connection("kspb", transitions=transitions(4), key_rotation="old"),
        connection("s51", degraded=True, degraded_reasons=[flaw]),
        down("kggg", paused=True),
        down("khhh", observed=False),
        *(connection(f"k{number}") for number in range(20)),
    )
    made["connections"]["kczk_vpn"]["cameras"] = [
        {"name": LONG, "url": f"http://10.0.0.1/{LONG}", "health_check": "fail"}
    ]
    made["configuration"] |= {"valid": False, "removals_held": ["kgone"]}
    made["configuration"]["faults"] = [
        {"path": f"airports.{LONG}", "message": LONG, "severity": "error", "airport_id": None}
    ]
    return made


PLACES = {
    "fleet": "#/",
    "filtered": "#/?state=down&q=k",
    "detail": "#/airport/kczk_vpn",
    "degraded": "#/airport/s51_vpn",
    "nothing": "#/airport/none",
    "hub": "#/hub",
}


@pytest.fixture(params=["desk", "phone"])
def size(request: pytest.FixtureRequest) -> dict[str, int]:
    return PHONE if request.param == "phone" else DESK


@pytest.fixture(params=["light", "dark"])
def window(browser: Browser, request: pytest.FixtureRequest, size: Any) -> Iterator[Page]:
    with page_of(browser, viewport=size, color_scheme=request.param) as found:
        yield found


@pytest.mark.parametrize("place", PLACES)
def test_axe_finds_nothing_serious_and_nothing_runs_out_sideways(
    window: Page, served: Served, place: str
) -> None:
    served.show(busy())
    window.goto(served.url + PLACES[place])
    expect(window.locator("h1:visible")).to_have_count(1)
    assert grave_findings(window) == []
    assert not scrolls_sideways(window)


@pytest.mark.parametrize("place", ["fleet", "detail"])
def test_nor_while_what_is_shown_is_old(window: Page, served: Served, place: str) -> None:
    served.show(busy() | {"timestamp": int(time.time()) - 500})
    window.goto(served.url + PLACES[place])
    expect(window.get_by_role("alert")).to_contain_text("This is not how things are now.")
    assert grave_findings(window) == []
    assert not scrolls_sideways(window)
    expect(window.get_by_role("alert").locator("strong")).to_be_in_viewport()
    window.mouse.wheel(0, 900)
    expect(window.get_by_role("alert").locator("strong")).to_be_in_viewport()


def test_axe_does_find_something_where_there_is_something(page: Page, served: Served) -> None:
    """Else the tests above would prove nothing."""
    served.show(busy())
    page.goto(served.url)
    page.evaluate("document.querySelector('.search label').remove()")
    page.evaluate("document.querySelector('#search').removeAttribute('placeholder')")
    assert any(found.startswith("label") for found in grave_findings(page))


def test_everything_can_be_reached_and_done_by_keyboard(page: Page, served: Served) -> None:
    served.show(document(down("kczk"), connection("kspb")))
    page.goto(served.url)
    expect(page.locator("#rows li")).to_have_count(2)
    walked = []
    for _ in range(15):
        page.keyboard.press("Tab")
        walked.append(page.evaluate("document.activeElement.textContent.trim().slice(0, 20)"))
        shown = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert shown != "none", walked[-1]
    assert walked[:3] == ["Skip to content", "Airports", "Hub"]
    assert walked[-3:-1] == ["KCZK", "KSPB"]
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1, name="KSPB")).to_be_focused()
    page.go_back()
    expect(page.get_by_role("link", name="KSPB")).to_be_focused()
    page.keyboard.press("/")
    expect(page.get_by_label("Search")).to_be_focused()
    page.keyboard.type("kczk/")
    assert page.get_by_label("Search").input_value() == "kczk/"


def test_the_way_past_the_frame_leads_to_the_content(page: Page, served: Served) -> None:
    served.show(document(connection("kspb")))
    page.goto(served.url)
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Skip to content")).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()


def test_a_screen_reader_finds_landmarks_headings_and_a_list(page: Page, served: Served) -> None:
    served.show(document(down("kczk"), connection("kspb")))
    page.goto(served.url)
    for role in ("banner", "navigation", "main", "contentinfo", "search"):
        expect(page.get_by_role(role)).to_have_count(1)
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    listed = page.get_by_role("list", name="Airports")
    expect(listed.get_by_role("listitem")).to_have_count(2)
    expect(listed.get_by_role("listitem").first).to_contain_text("down")
    tile = page.get_by_role("button", name=re.compile("down"))
    expect(tile).to_have_attribute("aria-pressed", "false")
    expect(page.get_by_role("link", name="Airports")).to_have_attribute("aria-current", "page")


def test_no_state_is_told_by_colour_alone(page: Page, served: Served) -> None:
    served.show(busy())
    page.goto(served.url)
    badges = page.locator("#rows .badge")
    words = badges.all_text_contents()
    shapes = badges.locator("path").evaluate_all("all => all.map(one => one.getAttribute('d'))")
    assert len(set(words)) == 6
    assert len(set(zip(words, shapes, strict=True))) == len(set(shapes)) == 6


def test_nothing_moves_for_those_who_ask_for_that(browser: Browser, served: Served) -> None:
    served.show(document(connection("kspb")))
    with page_of(browser, reduced_motion="reduce") as page:
        page.goto(served.url)
        expect(page.locator("#rows li")).to_have_count(1)
        moving = """[...document.querySelectorAll('*')].filter(one => {
          const style = getComputedStyle(one);
          return style.transitionDuration !== '0s' || style.animationName !== 'none';
        }).length"""
        assert page.evaluate(moving) == 0


HOSTILE = (
    "<img src=x onerror=window.harm=1>",
    "<script>window.harm=1</script>",
    "\"'><svg/onload=window.harm=1>",
    "javascript:window.harm=1",
    "{{constructor.constructor('window.harm=1')()}}",
    "مطار بغداد الدولي",
    "\u202eevil\u202c",
    "👩‍✈️🛩️ 🇺🇸",
    "Z̷̡a̶l̵g̸o̷" * 20,
    "x" * 200,
    "__proto__",
    "../../etc/passwd",
    "%00%0a#?&/",
)


def test_names_and_words_from_elsewhere_do_no_harm(browser: Browser, served: Served) -> None:
    made = document()
    for number, text in enumerate(HOSTILE):
        one = down(
            f"k{number}",
            airport_name=text,
            connection_name=text,
            reason=text,
            last_error=text,
            remote_address=text,
            cameras=[{"name": text, "url": text, "detail": text}],
            last_failure={"code": text, "at": 1, "words": text, "claimed_id": text},
            transitions=[{"at": 1, "from_status": "", "to_status": text, "reason": text}],
            time_zone=text,
            reason_code=text,
            who_must_act=text,
            key_rotation=text,
            failures={text: 1},
        )
        made["connections"][text] = one
    made["daemon"] |= {"reachable": False, "error": HOSTILE[0]}
    made["reconciler"] |= {"errors": list(HOSTILE), "version": HOSTILE[0]}
    made["configuration"] |= {"valid": False, "path": HOSTILE[1], "removals_held": list(HOSTILE)}
    made["strangers"] = [{"remote_address": text, "claimed_id": text} for text in HOSTILE]
    served.show(made)
    for size in (DESK, PHONE):
        with page_of(browser, viewport=size) as page:
            page.goto(served.url)
            expect(page.locator("#rows li")).to_have_count(len(HOSTILE))
            assert not scrolls_sideways(page)
            for text in HOSTILE:
                page.get_by_role("link", name=text, exact=True).first.click()
                expect(page.locator("#detail h1")).to_have_text(text)
                assert not scrolls_sideways(page), text
                page.go_back()
            page.goto(served.url + "#/hub")
            expect(page.locator("#hub")).to_contain_text(HOSTILE[0])
            assert not scrolls_sideways(page)
            assert page.evaluate("window.harm") is None
            assert page.evaluate("document.querySelectorAll('main img, main script').length") == 0


def test_the_policy_stops_what_would_get_in_all_the_same(browser: Browser, served: Served) -> None:
    served.show(document(connection("kspb")))
    context = browser.new_context()
    try:
        page = context.new_page()
        page.goto(served.url)
        page.evaluate("""() => {
          const script = document.createElement('script');
          try { script.text = 'window.harm = 1'; document.head.append(script); } catch {}
        }""")
        refused = (
            "() => { try { document.body.innerHTML = '<p>'; return false } catch { return true } }"
        )
        assert page.evaluate("window.harm") is None
        assert page.evaluate(refused), "trusted types are required"
    finally:
        context.close()
