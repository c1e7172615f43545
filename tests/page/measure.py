"""How smooth the page is with a large fleet: python -m tests.page.measure [AIRPORTS [RUNS]].

A task that keeps the page's thread for more than 50 ms is felt. Its processor time is taken, from
Chromium's own trace, so that other programs of the machine don't count. No test asserts a time.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Browser, Page, expect

from tests.docker import eventually
from tests.page.browser import chromium, page_of
from tests.page.fleets import fleet
from tests.page.server import Served, serving

TRACED = ["disabled-by-default-devtools.timeline"]
FELT_MS = 50
REST_MS = 400
TYPED = "tillamook 12"


def main() -> None:
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    seen: dict[str, list[list[float]]] = {}
    with chromium() as browser, serving() as served:
        for _ in range(runs):
            with page_of(browser, viewport={"width": 1280, "height": 800}) as page:
                one_run(browser, page, served, size, seen)
        print(f"{size} airports, {len(served.body)} bytes, {runs} runs, Chromium {browser.version}")
    print(f"{'':26}{'tasks over 50 ms a run':>24}{'longest task':>14}")
    for what, tasks in seen.items():
        felt = sum(task > FELT_MS for run in tasks for task in run) / runs
        longest = max(task for run in tasks for task in run)
        print(f"{what:26}{felt:>24.1f}{f'{longest:.0f} ms':>14}")


def tasks_ms(trace: bytes) -> list[float]:
    """Return the processor time of every task of the page's main thread."""
    events = json.loads(trace)["traceEvents"]
    main_threads = {
        (event["pid"], event["tid"])
        for event in events
        if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
    }
    return [
        event.get("tdur", 0) / 1000  # too short to be counted
        for event in events
        if event["name"] == "RunTask" and (event["pid"], event["tid"]) in main_threads
    ]


def one_run(
    browser: Browser, page: Page, served: Served, size: int, seen: dict[str, list[list[float]]]
) -> None:
    made = fleet(size)
    served.show(made)

    def measured(what: str, doing: Callable[[], Any]) -> None:
        browser.start_tracing(page=page, categories=TRACED)
        doing()
        page.wait_for_timeout(REST_MS)
        seen.setdefault(what, []).append(tasks_ms(browser.stop_tracing()))

    measured("load", lambda: load(page, served, size))
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


def load(page: Page, served: Served, size: int) -> None:
    page.goto(served.url)
    expect(page.locator("#rows li")).to_have_count(size, timeout=30_000)


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
