"""News come in without a reload, and disturb nobody who is reading or typing."""

import time
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.docker import eventually
from tests.page.browser import PATIENCE_MS
from tests.page.fleets import connection, document, down, fleet
from tests.page.server import Served

pytestmark = pytest.mark.browser
SOON = PATIENCE_MS


def news(page: Page, served: Served, made: dict[str, Any]) -> None:
    """Serve another document, and wait until the page has taken it over."""
    served.show(made)
    asked = len(served.asked)
    eventually(lambda: len(served.asked) > asked, 15, "a request")
    page.wait_for_timeout(400)


def test_a_tunnel_that_goes_down_and_returns_is_shown_and_told_to_listeners(
    page: Page, served: Served
) -> None:
    served.show(document(connection("kspb"), connection("kczk")))
    page.goto(served.url)
    expect(page.locator("#rows li")).to_have_count(2)
    said = page.get_by_role("status").last
    expect(said).to_be_empty()  # the first look is no news
    served.show(document(connection("kspb"), down("kczk", since=int(time.time()))))
    expect(page.locator("#rows li").first).to_contain_text("KCZK", timeout=SOON)
    expect(said).to_have_text("KCZK is down: the site stopped answering.")
    served.show(document(connection("kspb"), connection("kczk")))
    expect(said).to_have_text("KCZK is up.", timeout=SOON)


def test_many_changes_at_once_are_told_in_short(page: Page, served: Served) -> None:
    served.show(document(*(connection(f"k{n}") for n in range(9))))
    page.goto(served.url)
    expect(page.locator("#rows li")).to_have_count(9)
    served.show(document(*(down(f"k{n}") for n in range(9))))
    said = page.get_by_role("status").last
    expect(said).to_contain_text("6 more airports changed.", timeout=SOON)


def test_focus_selection_scroll_and_rows_stay_where_they_are(page: Page, served: Served) -> None:
    made = fleet(200)
    served.show(made)
    page.goto(served.url)
    expect(page.locator("#rows li")).to_have_count(200)
    link = page.locator("#rows li:nth-child(150) a")
    link.focus()
    link.evaluate("""link => {
      const words = link.closest('li').querySelector('.id').firstChild;
      getSelection().selectAllChildren(words.parentNode);
      document.querySelectorAll('#rows li').forEach(row => { row.seen = true; });
    }""")
    before = page.evaluate("[scrollY, String(getSelection()), document.activeElement.href]")
    assert before[0] > 1000
    assert before[1]
    for one in made["connections"].values():
        one["received_bytes"] += 1
    below = list(made["connections"])[199]
    made["connections"][below]["airport_name"] = "Renamed"
    made["timestamp"] = int(time.time())
    news(page, served, made)
    expect(page.get_by_role("link", name="Renamed")).to_have_count(1)
    after = page.evaluate("[scrollY, String(getSelection()), document.activeElement.href]")
    assert after == before
    assert page.evaluate("[...document.querySelectorAll('#rows li')].every(row => row.seen)")


def test_the_row_in_focus_keeps_it_when_it_moves(page: Page, served: Served) -> None:
    served.show(document(*(connection(f"k{n}") for n in range(30))))
    page.goto(served.url)
    page.get_by_role("link", name="K20").focus()
    moved = (down("k20") if n == 20 else connection(f"k{n}") for n in range(30))
    news(page, served, document(*moved))
    expect(page.locator("#rows li").first).to_contain_text("K20")
    expect(page.get_by_role("link", name="K20")).to_be_focused()


def test_what_is_typed_stays_while_news_come(page: Page, served: Served) -> None:
    served.show(document(connection("kspb"), connection("kczk")))
    page.goto(served.url)
    search = page.get_by_label("Search")
    search.press_sequentially("ksp")
    search.evaluate("input => input.setSelectionRange(1, 2)")
    news(page, served, document(connection("kspb"), connection("kczk"), connection("ksp2")))
    expect(search).to_be_focused()
    assert search.evaluate("input => [input.value, input.selectionStart]") == ["ksp", 1]
    assert page.locator("#rows .c-name a").all_inner_texts() == ["KSP2", "KSPB"]


def test_the_detail_is_kept_up_to_date_and_a_removed_airport_is_said_to_be_gone(
    page: Page, served: Served
) -> None:
    served.show(document(connection("kspb")))
    page.goto(served.url + "#/airport/kspb_vpn")
    expect(page.locator("#detail .badge").first).to_have_text("up")
    served.show(document(down("kspb")))
    expect(page.locator("#detail .what")).to_have_text("the site stopped answering", timeout=SOON)
    served.show(document())
    expect(page.locator("#detail")).to_contain_text("no tunnel named kspb_vpn", timeout=SOON)


def test_a_document_that_has_not_changed_is_not_sent_again(page: Page, served: Served) -> None:
    served.show(document(connection("kspb")), etag='"one"')
    served.changed_s = time.time() - 10
    page.goto(served.url)
    expect(page.locator("#rows li")).to_have_count(1)
    eventually(lambda: len(served.asked) > 1, 15, "a second request")
    assert "if-none-match" not in served.asked[0]
    assert served.asked[1]["if-none-match"] == '"one"'
    expect(page.locator("#banner")).to_be_empty()


def test_one_that_was_written_a_moment_ago_is_asked_for_as_a_whole(
    page: Page, served: Served
) -> None:
    """A second write in the same second may have the same ETag."""
    served.show(document(connection("kspb")), etag='"one"')
    served.changed_s = time.time()
    page.goto(served.url)
    eventually(lambda: len(served.asked) > 1, 15, "a second request")
    assert "if-none-match" not in served.asked[1]


def test_a_page_that_nobody_looks_at_asks_nothing_and_asks_at_once_when_it_is_seen(
    page: Page, served: Served
) -> None:
    page.clock.install()
    served.show(document(connection("kspb")))
    page.goto(served.url)
    expect(page.locator("#rows li")).to_have_count(1)
    see(page, hidden=True)
    asked = len(served.asked)
    page.clock.run_for(120_000)
    assert len(served.asked) == asked
    served.show(document(connection("kspb"), connection("kczk")))
    see(page, hidden=False)
    expect(page.locator("#rows li")).to_have_count(2)


def see(page: Page, *, hidden: bool) -> None:
    page.evaluate(
        """hidden => {
          Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });
          document.dispatchEvent(new Event('visibilitychange'));
        }""",
        hidden,
    )


def test_the_page_asks_for_its_own_files_and_the_status_and_nothing_else(
    page: Page, served: Served
) -> None:
    asked: set[str] = set()
    page.on("request", lambda request: asked.add(request.url))
    served.show(document(connection("kspb")))
    page.goto(served.url)
    page.get_by_role("link", name="KSPB").click()
    page.get_by_role("link", name="Hub").click()
    paths = {url.removeprefix(served.url) for url in asked}
    assert {"", "style.css", "main.js", "vpn-status.json"} <= paths
    assert not [path for path in paths if ":" in path or (path and "/" in path)]


def test_a_thousand_airports_are_all_there_can_be_found_and_are_not_drawn_in_vain(
    page: Page, served: Served
) -> None:
    made = fleet(1000)
    served.show(made)
    page.goto(served.url)
    expect(page.locator("#rows li")).to_have_count(1000)
    page.evaluate("document.querySelectorAll('#rows li').forEach(row => { row.seen = true; })")
    drawn = "row => row.querySelector('a').checkVisibility({ contentVisibilityAuto: true })"
    assert page.locator("#rows li").first.evaluate(drawn)
    assert not page.locator("#rows li").last.evaluate(drawn)
    page.get_by_label("Search").fill("k0999")
    expect(page.locator("#rows li")).to_have_count(1)
    page.get_by_label("Search").fill("")
    expect(page.locator("#rows li")).to_have_count(1000)
    name = next(name for name, one in made["connections"].items() if one["status"] == "up")
    made["connections"][name] |= {"status": "down", "reason": "gone", "since": int(time.time())}
    made["timestamp"] = int(time.time())
    news(page, served, made)
    assert page.locator("#rows li").first.locator("a").get_attribute("href") == f"#/airport/{name}"
    assert page.evaluate("[...document.querySelectorAll('#rows li')].every(row => row.seen)")
    page.locator("#rows li").last.scroll_into_view_if_needed()
    expect(page.locator("#rows li").last.locator("a")).to_be_in_viewport()
