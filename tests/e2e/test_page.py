"""The status page of the demo in a real browser: what happens to a tunnel is seen at once."""

import http.client
import json
import re
import subprocess
from collections.abc import Iterator, Mapping

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.docker import docker, eventually
from tests.e2e.stack import PREFIX, RECONCILER, SITES, WEB_PORT, Stack
from tests.page.browser import PHONE, chromium, grave_findings, page_of, scrolls_sideways

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]
URL = f"http://127.0.0.1:{WEB_PORT}/"
WEB = f"{PREFIX}web"
CUT_MS, BACK_MS, STALE_MS = 90_000, 60_000, 60_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture
def page(browser: Browser, stack: Stack) -> Iterator[Page]:
    with page_of(browser, viewport={"width": 1280, "height": 800}) as found:
        found.goto(URL)
        expect(found.locator("#rows li")).to_have_count(len(SITES), timeout=15_000)
        yield found


def fetch(
    path: str, port: int = WEB_PORT, headers: Mapping[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    asked = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        asked.request("GET", f"/{path}", headers=headers or {})
        answer = asked.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        asked.close()


def test_the_page_shows_the_demo_as_it_is(page: Page) -> None:
    expect(page.locator("h1:visible")).to_have_text("All 3 airports are up")
    expect(page.locator("#rows")).to_contain_text("Scappoose")
    expect(page.locator("#banner")).to_be_empty()
    page.get_by_role("link", name="Scappoose").click()
    detail = page.locator("#detail")
    for words in ("192.168.1.0/24", "America/Los_Angeles", "http://192.168.1.100/snapshot.jpg"):
        expect(detail).to_contain_text(words)
    page.get_by_role("link", name="Hub").click()
    expect(page.locator("#hub")).to_contain_text("userspace")
    expect(page.locator("#hub")).to_contain_text("running, healthy")


def test_a_site_that_is_cut_is_shown_with_the_reason_and_so_is_its_return_without_reload(
    page: Page, stack: Stack
) -> None:
    page.evaluate("window.loaded = true")
    site, row = f"{PREFIX}site-kspb", page.locator("#rows li").first
    docker("kill", site)  # its power fails: nothing says good-bye
    try:
        expect(page.locator("h1:visible")).to_have_text(re.compile("1 down"), timeout=CUT_MS)
        expect(row).to_contain_text("Scappoose")
        expect(row).to_contain_text("the site stopped answering")
        expect(row).to_contain_text("the network")
        expect(page.get_by_role("status").last).to_contain_text("Scappoose is down")
        row.get_by_role("link").click()
        expect(page.locator("#detail")).to_contain_text("Look at the site's power")
        page.go_back()
    finally:
        docker("start", site)
    expect(page.locator("h1:visible")).to_have_text("All 3 airports are up", timeout=BACK_MS)
    assert page.evaluate("window.loaded") is True


def test_an_edit_of_the_name_is_shown_and_costs_the_tunnel_nothing(
    page: Page, stack: Stack
) -> None:
    ids, done = stack.ike_ids(), stack.actions_done()
    with stack.edited(lambda airports: airports["kspb"].update(name="New Name", webcams=5)):
        expect(page.locator("#rows")).to_contain_text("New Name", timeout=15_000)
    expect(page.locator("#rows")).to_contain_text("Scappoose", timeout=15_000)
    assert (stack.ike_ids(), stack.actions_done()) == (ids, done)


def test_when_the_hub_stops_nothing_is_claimed_any_more(page: Page, stack: Stack) -> None:
    docker("stop", RECONCILER)
    try:
        banner = page.get_by_role("alert")
        expect(banner).to_contain_text("This is not how things are now.", timeout=STALE_MS)
        assert page.locator("#rows .badge").all_inner_texts() == ["was up"] * 3
        assert grave_findings(page) == []
    finally:
        docker("start", RECONCILER)
    expect(page.locator("#banner")).to_be_empty(timeout=STALE_MS)
    assert page.locator("#rows .badge").all_inner_texts() == ["up"] * 3


def test_when_the_web_server_stops_the_page_says_so_and_recovers(page: Page) -> None:
    docker("stop", WEB)
    try:
        expect(page.get_by_role("alert")).to_contain_text("does not answer", timeout=STALE_MS)
    finally:
        docker("start", WEB)
    expect(page.locator("#banner")).to_be_empty(timeout=STALE_MS)


@pytest.mark.parametrize("place", ["#/", "#/airport/kspb_vpn", "#/hub"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_and_a_phone_has_no_sideways_scroll(
    browser: Browser, stack: Stack, place: str, scheme: str
) -> None:
    for size in (PHONE, {"width": 1280, "height": 800}):
        with page_of(browser, viewport=size, color_scheme=scheme) as page:
            page.goto(URL + place)
            expect(page.locator("h1:visible")).to_have_count(1)
            assert grave_findings(page) == []
            assert not scrolls_sideways(page)


def test_a_walk_by_keyboard_reaches_an_airport_and_returns(page: Page) -> None:
    page.keyboard.press("Tab")
    for _ in range(20):
        if page.evaluate("document.activeElement.closest('#rows') !== null"):
            break
        page.keyboard.press("Tab")
    name = page.evaluate("document.activeElement.textContent")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1, name=name)).to_be_focused()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name=name)).to_be_focused()


READ_FOR_15_S = """() => {
  const saw = { reads: 0, faults: [], ended: false };
  window.saw = saw;
  const check = ({ connections }) => {
    for (const name of ['kspb_vpn', 'kczk_vpn', 's51_vpn']) {
      const { status, last_connected: at } = connections[name];
      if (status !== 'up' || !Number.isInteger(at)) saw.faults.push(name);
    }
  };
  (async () => {
    const end = Date.now() + 15000;
    while (Date.now() < end) {
      try {
        check(await (await fetch('vpn-status.json', { cache: 'no-store' })).json());
        saw.reads += 1;
      } catch (error) {
        saw.faults.push(String(error));
      }
    }
    saw.ended = true;
  })();
}"""


def test_a_browser_that_reads_in_a_tight_loop_always_gets_a_whole_document(page: Page) -> None:
    page.evaluate(READ_FOR_15_S)
    while not page.evaluate("window.saw.ended"):
        docker("kill", "--signal", "HUP", RECONCILER)
    saw = page.evaluate("window.saw")
    assert saw["faults"] == []
    assert saw["reads"] > 500


def test_the_server_says_no_more_than_it_should_and_keeps_nothing(stack: Stack) -> None:
    code, headers, body = fetch("")
    assert (code, b"<title>VPN tunnels</title>" in body) == (200, True)
    assert headers["Server"] == "nginx"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert (headers["X-Content-Type-Options"], headers["Referrer-Policy"]) == (
        "nosniff",
        "no-referrer",
    )
    assert fetch("", headers={"If-None-Match": headers["ETag"]})[0] == 304
    code, headers, body = fetch("vpn-status.json")
    assert headers["Cache-Control"] == "no-store"
    assert headers["Content-Type"].startswith("application/json")
    assert set(json.loads(body)["connections"]) == {f"{airport}_vpn" for airport in SITES}
    for path in ("airports.json", "../etc/passwd", "cache/", "cache/vpn-status.json", "nginx.conf"):
        assert fetch(path)[0] in {400, 404}, path
    assert "Content-Security-Policy" in fetch("nothing")[1]


def test_its_container_can_do_next_to_nothing(stack: Stack) -> None:
    found = json.loads(docker("inspect", WEB))[0]
    host = found["HostConfig"]
    assert found["Config"]["User"] == "10001:10001"
    assert (host["ReadonlyRootfs"], host["Privileged"]) == (True, False)
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert [(one["Destination"], one["RW"]) for one in found["Mounts"]] == [("/cache", False)]
    bindings = host["PortBindings"]["8080/tcp"]
    assert bindings == [{"HostIp": "127.0.0.1", "HostPort": str(WEB_PORT)}]
    eventually(
        lambda: json.loads(docker("inspect", WEB))[0]["State"]["Health"]["Status"] == "healthy",
        30,
        "the page's container is healthy",
    )
    worker = docker("exec", WEB, "sh", "-c", "grep -h CapEff /proc/[0-9]*/status | sort -u")
    assert worker.split() == ["CapEff:", "0000000000000000"]


def test_where_there_is_no_status_file_yet_the_page_waits_for_it(
    browser: Browser, stack: Stack
) -> None:
    name = f"{PREFIX}web-early"
    run = ("run", "--detach", "--rm", "--name", name, "--read-only", "--tmpfs", "/tmp")  # noqa: S108
    docker(*run, "--publish", "127.0.0.1::8080", "--tmpfs", "/cache:mode=777", "vpn-web")
    try:
        port = int(docker("port", name, "8080").strip().rpartition(":")[2])
        with page_of(browser) as page:
            eventually(lambda: answers(port), 10, "the server answers")
            page.goto(f"http://127.0.0.1:{port}/")
            expect(page.get_by_role("alert")).to_contain_text("There is no vpn-status.json")
            content = stack.status_file.read_bytes()
            docker("exec", "-i", name, "sh", "-c", "cat > /cache/vpn-status.json", stdin=content)
            expect(page.locator("#rows li")).to_have_count(3, timeout=15_000)
    finally:
        docker("rm", "--force", name)


def answers(port: int) -> bool:
    try:
        return fetch("", port)[0] == 200
    except OSError:
        return False


def test_the_demo_prints_where_the_page_is(stack: Stack) -> None:
    assert f"page      {URL}" in stack.demo_output


def test_in_production_the_page_is_there_only_when_asked_for() -> None:
    def services(*profile: str) -> list[str]:
        command = ["docker", "compose", "--file", "compose.yaml", *profile, "config", "--services"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return done.stdout.split()

    assert "web" not in services()
    assert "web" in services("--profile", "web")
