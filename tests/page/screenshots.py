"""Pictures of the status page for the README, from the demo that runs here: make screenshots.

One site's container is killed for it, as if its power had failed, and started again afterwards.
"""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, expect

from tests.docker import docker
from tests.page.browser import chromium, page_of

URL = f"http://127.0.0.1:{os.environ.get('WEB_PORT', '9680')}/"
FOLDER = Path(__file__).parents[2] / "docs" / "images"
CUT, ITS_NAME = "site-kczk", "Cascade Locks"
DESK, PHONE = {"width": 1200, "height": 640}, {"width": 360, "height": 740}
NOTICED_MS = 90_000
# What "system-ui" is on a machine without a desktop is nobody's choice.
FONTS = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><include>/etc/fonts/fonts.conf</include><match target="pattern">
<test name="family"><string>system-ui</string></test>
<edit name="family" mode="assign" binding="strong"><string>Noto Sans</string></edit>
</match></fontconfig>
"""


@contextlib.contextmanager
def one_site_cut() -> Iterator[None]:
    docker("kill", CUT)
    try:
        yield
    finally:
        docker("start", CUT)


@contextlib.contextmanager
def noto_sans() -> Iterator[None]:
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write(FONTS)
        file.flush()
        os.environ["FONTCONFIG_FILE"] = file.name
        yield


def take(browser: Browser, name: str, place: str, **options: Any) -> None:
    """Take one picture and make it small."""
    with page_of(browser, **{"viewport": DESK, "timezone_id": "UTC", **options}) as page:
        page.goto(URL + place)
        wait_until_down(page)
        file = FOLDER / f"{name}.png"
        page.screenshot(path=file)
    shrink(file)
    print(f"{file} ({file.stat().st_size} bytes)")


def wait_until_down(page: Page) -> None:
    expect(page.locator(".badge.is-down:visible").first).to_be_visible(timeout=NOTICED_MS)
    expect(page.locator("body")).to_contain_text(ITS_NAME)


def shrink(file: Path) -> None:
    if shutil.which("pngquant"):
        command = ["pngquant", "--force", "--ext", ".png", "--strip", "128", str(file)]
        subprocess.run(command, check=True)


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with noto_sans(), chromium() as browser, one_site_cut():
        take(browser, "status-page-fleet", "#/")
        take(browser, "status-page-detail", "#/airport/kczk_vpn", viewport={**DESK, "height": 800})
        take(browser, "status-page-phone", "#/", viewport=PHONE)
        take(browser, "status-page-dark", "#/", color_scheme="dark")


if __name__ == "__main__":
    main()
