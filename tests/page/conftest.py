"""A real Chromium, one for all tests of the page; each test has a window of its own."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.page.browser import chromium, page_of
from tests.page.server import Served, serving


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture
def served() -> Iterator[Served]:
    with serving() as found:
        yield found


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with page_of(browser) as found:
        yield found
