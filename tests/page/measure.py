"""How smooth the page is with a large fleet: python -m tests.page.measure [AIRPORTS [RUNS]].

A task that keeps the browser for more than 50 ms is felt; Chromium reports each of them. Nothing is
asserted about times anywhere.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page

from tests.docker import eventually
from tests.page.browser import chromium, page_of
from tests.page.fleets import fleet
from tests.page.server import Served, serving

OBSERVE = """
window.tasks = [];
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) window.tasks.push(Math.round(entry.duration));
}).observe({ type: 'longtask', buffered: true });
"""
TAKE = "() => { const taken = window.tasks; window.tasks = []; return taken; }"
REST_MS = 400
TYPED = "tillamook 12"


def main() -> None:
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    seen: dict[str, list[list[int]]] = {}
    with chromium() as browser, serving() as served:
        for _ in range(runs):
            with page_of(browser, viewport={"width": 1280, "height": 800}) as page:
                one_run(page, served, size, seen)
        print(f"{size} airports, {len(served.body)} bytes, {runs} runs, Chromium {browser.version}")
    print(f"{'':28}{'tasks over 50 ms a run':>24}{'longest':>10}")
    for what, tasks in seen.items():
        longest = max((task for run in tasks for task in run), default=0)
        print(f"{what:28}{sum(map(len, tasks)) / runs:>24.1f}{f'{longest} ms':>10}")


def one_run(page: Page, served: Served, size: int, seen: dict[str, list[list[int]]]) -> None:
    made = fleet(size)
    served.show(made)
    page.add_init_script(OBSERVE)

    def measured(what: str, doing: Callable[[], Any]) -> None:
        doing()
        page.wait_for_timeout(REST_MS)
        seen.setdefault(what, []).append(page.evaluate(TAKE))

    all_there = f"document.querySelectorAll('#rows li').length === {size}"
    measured("load", lambda: (page.goto(served.url), page.wait_for_function(all_there)))
    measured("update, nothing changed", lambda: update(page, served, made, 0))
    measured("update, 3 % went down", lambda: update(page, served, made, size * 3 // 100))
    page.focus("#search")
    measured("typing in the search", lambda: page.keyboard.type(TYPED, delay=80))
    measured("deleting it again", lambda: erase(page))
    measured("scrolling", lambda: scroll(page))
    measured("sorting", lambda: page.select_option("#sort", "name"))
    page.evaluate("scrollTo(0, 0)")
    measured("opening an airport", lambda: page.click("#rows li:nth-child(5) a"))
    measured("going back", page.go_back)


def erase(page: Page) -> None:
    for _ in TYPED:
        page.keyboard.press("Backspace")
        page.wait_for_timeout(80)


def scroll(page: Page) -> None:
    for _ in range(40):
        page.mouse.wheel(0, 600)
        page.wait_for_timeout(30)


def update(page: Page, served: Served, made: dict[str, Any], changes: int) -> None:
    """Serve the next document, as after a round: every counter has moved, some states too."""
    went = {"status": "down", "reason": "the site stopped answering", "who_must_act": "network"}
    up = [one for one in made["connections"].values() if one["status"] == "up"]
    for one in up:
        one["received_bytes"] += 1000
    for one in up[:: max(1, len(up) // changes)][:changes] if changes else ():
        one.update(went, reason_code="dead-peer", since=int(time.time()))
    made["timestamp"] = int(time.time())
    served.show(made)
    asked = len(served.asked)
    eventually(lambda: len(served.asked) > asked, 15, "the page asks")
    page.wait_for_timeout(1000)


if __name__ == "__main__":
    main()
