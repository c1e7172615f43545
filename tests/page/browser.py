"""The Chromium of this machine, without a window, driven from here."""

import contextlib
import shutil
from collections.abc import Iterator
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
PHONE = {"width": 360, "height": 740}
# The page asks every 5 s, and a small machine that is busy takes its time.
PATIENCE_MS = 30_000
expect.set_options(timeout=PATIENCE_MS)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Start one, with a profile of its own that is gone afterwards."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    assert path, "there is no Chromium here; scripts/test-tools installs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def page_of(browser: Browser, **options: Any) -> Iterator[Page]:
    """Open a window; whatever the page complains of on its console is a failure."""
    context = browser.new_context(**{"timezone_id": "Europe/Berlin", "locale": "en-GB", **options})
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if is_complaint(said) else None)
    try:
        yield page
        assert complaints == []
    finally:
        context.close()


def is_complaint(said: Any) -> bool:
    """Tell whether it is more than what Chromium itself says of a refused request."""
    return said.type in {"error", "warning"} and "Failed to load resource" not in said.text


def grave_findings(page: Page) -> list[str]:
    """Return what axe calls serious or critical, each with the elements that it concerns."""
    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {one['help']}: {[node['target'] for node in one['nodes']][:5]}"
        for one in found
        if one["impact"] in {"serious", "critical"}
    ]


def scrolls_sideways(page: Page) -> bool:
    """Tell whether the page is wider than its window."""
    width = "document.scrollingElement.scrollWidth > document.documentElement.clientWidth"
    return bool(page.evaluate(width))
