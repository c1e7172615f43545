"""What can be said of the page without showing it."""

import re
from pathlib import Path

import pytest

from tests.page.fixes import script
from tests.page.server import IMAGE, PAGE, headers

SCRIPTS = sorted(PAGE.glob("*.js"))
SINKS = (
    *("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"),
    *("DOMParser", "createContextualFragment", "srcdoc", ".setHTML"),
)


def test_what_to_do_is_what_the_documentation_says() -> None:
    assert (PAGE / "fixes.js").read_text() == script(), "make it anew: see CONTRIBUTING.md"


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda path: path.name)
def test_no_script_can_turn_text_into_markup_or_code(file: Path) -> None:
    assert len(SCRIPTS) > 8
    text = file.read_text()
    assert [sink for sink in SINKS if sink in text] == []


def test_nothing_comes_from_elsewhere_and_nothing_stands_inline() -> None:
    namespace = "http://www.w3.org/2000/svg"
    for file in sorted(PAGE.iterdir()):
        text = file.read_text().replace(namespace, "")
        assert not re.search(r"(https?:)?//[a-z0-9.-]+\.[a-z]{2,}", text), file.name
    html = (PAGE / "index.html").read_text()
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)", html)


def test_the_policy_lets_in_the_pages_own_files_and_nothing_else() -> None:
    policy = headers()["Content-Security-Policy"].split("; ")
    assert dict(part.split(" ", 1) for part in policy) == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self'",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    assert headers()["X-Content-Type-Options"] == "nosniff"
    assert headers()["Referrer-Policy"] == "no-referrer"


def test_every_place_that_adds_a_header_adds_all_of_them() -> None:
    """Where nginx finds one header, it forgets those of the level above."""
    nginx = (IMAGE / "nginx.conf").read_text()
    places = re.findall(r"location [^{]+\{(.*?)\n    \}", nginx, re.DOTALL)
    assert len(places) == 2
    for place in places:
        assert "include headers.conf;" in place
        assert "Cache-Control" in place
