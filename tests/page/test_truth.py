"""The page never says more than it knows: old, missing, damaged and unknown are told as such."""

import re
import time
from datetime import datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from tests.docker import eventually
from tests.page.fleets import connection, document, down
from tests.page.server import Served

pytestmark = pytest.mark.browser
BANNER = "#banner"
NOW = "This is not how things are now."


def open_fleet(page: Page, served: Served) -> None:
    served.show(document(connection("kspb"), down("kczk")))
    page.goto(served.url)
    expect(page.locator("#rows li")).to_have_count(2)
    expect(page.locator(BANNER)).to_be_empty()


def wait_for_poll(page: Page, served: Served) -> None:
    """Let the page ask once more."""
    asked = len(served.asked)
    eventually(lambda: len(served.asked) > asked, 15, "a request")


def test_a_status_older_than_30_s_is_marked_and_no_state_is_claimed(
    page: Page, served: Served
) -> None:
    open_fleet(page, served)
    served.show(document(connection("kspb"), down("kczk"), timestamp=int(time.time()) - 31))
    expect(page.locator(BANNER)).to_contain_text(NOW, timeout=10_000)
    expect(page.locator(BANNER)).to_contain_text("The reconciler isn't running")
    assert page.locator("#rows .badge").all_inner_texts() == ["was down", "was up"]
    expect(page.locator("h1:visible")).to_have_text("Last known: 1 down")
    expect(page).to_have_title(re.compile("not current"))
    colours = page.locator("#rows .badge").evaluate_all(
        "badges => badges.map(badge => getComputedStyle(badge).color)"
    )
    assert len(set(colours)) == 1
    served.show(document(connection("kspb"), down("kczk")))
    expect(page.locator(BANNER)).to_be_empty(timeout=10_000)
    assert page.locator("#rows .badge").all_inner_texts() == ["down", "up"]


def test_one_that_is_30_s_old_is_not(page: Page, served: Served) -> None:
    open_fleet(page, served)
    served.show(document(connection("kspb"), timestamp=int(time.time()) - 24))
    wait_for_poll(page, served)
    expect(page.locator("#rows li")).to_have_count(1)
    expect(page.locator(BANNER)).to_be_empty()


def test_a_status_from_the_future_is_not_believed(page: Page, served: Served) -> None:
    served.show(document(connection("kspb"), timestamp=int(time.time()) + 600))
    page.goto(served.url)
    expect(page.locator(BANNER)).to_contain_text("one of the hub's clocks is wrong")


@pytest.mark.parametrize("wrong_by", [timedelta(hours=-3), timedelta(hours=3)], ids=str)
def test_a_viewers_clock_that_is_wrong_makes_nothing_stale_or_old(
    page: Page, served: Served, wrong_by: timedelta
) -> None:
    page.clock.install(time=datetime.now().astimezone() + wrong_by)
    served.show(document(down("kczk", since=int(time.time()) - 600)))
    page.goto(served.url)
    expect(page.locator("#rows .c-since")).to_contain_text("10 min ago")
    expect(page.locator(BANNER)).to_be_empty()
    word = "behind" if wrong_by < timedelta(0) else "ahead"
    expect(page.locator("#footer")).to_contain_text(f"Your clock is 3 h {word}")


def test_without_an_answer_the_page_says_so_and_goes_on_asking(page: Page, served: Served) -> None:
    page.clock.install()
    open_fleet(page, served)
    page.clock.pause_at(datetime.now().astimezone() + timedelta(seconds=1))
    served.gone = True
    with page.expect_event("requestfailed"):
        page.clock.run_for(6_000)
    expect(page.locator(BANNER)).to_be_empty()  # one answer that is missing proves nothing
    for _ in range(2):
        with page.expect_event("requestfailed"):
            page.clock.run_for(10_000)
    expect(page.locator(BANNER)).to_contain_text("The server that holds this page does not answer")
    assert page.locator("#rows .badge").all_inner_texts() == ["was down", "was up"]
    served.gone = False
    served.show(document(connection("kspb"), down("kczk")))
    with page.expect_response("**/vpn-status.json"):
        for _ in range(5):
            page.clock.run_for(5_000)
            page.wait_for_timeout(100)  # a request may take its time, which the page's clock skips
    expect(page.locator(BANNER)).to_be_empty()


def test_a_server_that_refuses_is_asked_less_and_less_often(page: Page, served: Served) -> None:
    page.clock.install()
    open_fleet(page, served)
    page.clock.pause_at(datetime.now().astimezone() + timedelta(seconds=1))
    served.code = 503
    waited_s(page, served)  # the look that was due when the server began to refuse
    for least_s, most_s in ((5, 5), (7.5, 10), (15, 20), (30, 40), (45, 60), (45, 60)):
        assert least_s - _STEP_S <= waited_s(page, served) <= most_s + 3 * _STEP_S


_STEP_S = 0.5


def waited_s(page: Page, served: Served) -> float:
    """Let the page's clock go on in steps until it asks again, and return how long that was."""
    page.wait_for_timeout(300)  # what the page makes of the last answer; its own clock stands still
    asked, waited = len(served.asked), 0.0
    while len(served.asked) == asked and waited < 120:
        page.clock.run_for(int(_STEP_S * 1000))
        waited += _STEP_S
        page.wait_for_timeout(20)
    return waited


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b'{"timestamp": 5, "connec', b"[]", b"null", b"5", b'{"timestamp": 5}', b"<html>"],
    ids=repr,
)
def test_what_is_no_status_document_is_damaged_and_the_last_one_stays(
    page: Page, served: Served, body: bytes
) -> None:
    open_fleet(page, served)
    served.body = body
    expect(page.locator(BANNER)).to_contain_text("is no status document", timeout=10_000)
    expect(page.locator("#rows li")).to_have_count(2)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (404, "there is no vpn-status.json; the reconciler has not written one yet"),
        (403, "refused to hand out vpn-status.json (403)"),
        (502, "refused to hand out vpn-status.json (502)"),
    ],
)
def test_before_there_is_a_status_the_page_says_what_is_missing_and_then_shows_it(
    page: Page, served: Served, code: int, words: str
) -> None:
    served.code = code
    page.goto(served.url)
    expect(page.locator(BANNER)).to_contain_text("Nothing is known yet.")
    expect(page.locator(BANNER)).to_contain_text(re.compile(re.escape(words), re.IGNORECASE))
    expect(page.locator("#fleet")).to_be_hidden()
    served.show(document(connection("kspb")))
    expect(page.locator("#rows li")).to_have_count(1, timeout=10_000)
    expect(page.locator(BANNER)).to_be_empty()


def test_when_charon_cannot_be_asked_nothing_is_called_down(page: Page, served: Served) -> None:
    unknown = {
        "status": "down",
        "observed": False,
        "reason_code": "charon-unreachable",
        "reason": "not known: charon could not be asked",
        "who_must_act": "hub",
    }
    made = document(connection("kspb", **unknown))
    made["daemon"] = {"reachable": False, "error": "Connection refused"}
    served.show(made)
    page.goto(served.url)
    expect(page.locator("#rows .badge")).to_have_text("not known")
    expect(page.locator("h1:visible")).to_have_text("1 not known")
    expect(page.locator("#notices")).to_contain_text("charon can't be asked")
    expect(page.locator("#notices")).to_contain_text("Connection refused")
    assert page.locator("#tiles button.is-down .count").inner_text() == "0"
    page.goto(served.url + "#/airport/kspb_vpn")
    expect(page.locator("#detail")).to_contain_text("it may well work")


def test_an_odd_document_harms_nothing(page: Page, served: Served) -> None:
    odd = {"airport_id": 5, "status": [], "since": "x", "degraded_reasons": "y", "cameras": [1]}
    odd |= {"transitions": {"a": 1}, "probe": 7, "failures": [], "last_failure": "z"}
    made = document(connection("kspb"))
    made["connections"] |= {"odd_vpn": odd, "none": None, "__proto__x": {}}
    made |= {"daemon": 5, "container": "x", "configuration": [], "reconciler": None}
    served.show(made)
    page.goto(served.url)
    expect(page.locator("#rows li")).to_have_count(3)
    for place in ("#/airport/odd_vpn", "#/hub", "#/airport/__proto__x", "#/airport/%", "#/nowhere"):
        page.goto(served.url + place)
        expect(page.locator("h1:visible")).to_have_count(1)
