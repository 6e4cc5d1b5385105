"""The HTML answer: where it leads, and where it can never lead."""

import re
from html import unescape
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callback.processor import redirect
from callback.settings import read_settings
from tests.support.aws import ORDER, PARAMETERS, RETURN_URL, World
from tests.support.template import resolved

SHOP = "https://shop.local.example"
FALLBACK = f"{SHOP}/orders/{ORDER}"
SETTINGS = read_settings(resolved(**PARAMETERS)["RecheckFunction"]["Properties"]["Environment"]["Variables"])


def targets(response: Any) -> list[str]:
    """Return where the page refreshes to and where its link leads; nothing leaves its attribute or adds a tag."""
    assert re.findall(r"<(\w+)", response["body"]) == ["html", "head", "meta", "meta", "title", "body", "p", "a"]
    return [unescape(url) for url in re.findall(r'(?:="0;url=|href=")([^"]*)"', response["body"])]


def test_customer_goes_to_the_orders_return_url(world: World) -> None:
    """Without one, the page leads to the order's own page; if no origin is allowed no order is read."""
    assert targets(world.deliver()) == [FALLBACK, FALLBACK]  # no such order
    world.cold_start(REDIRECT_ALLOWED_ORIGINS="https://else.example, https://Shop.Local.Example,")
    world.order()
    assert targets(world.deliver()) == [RETURN_URL, RETURN_URL]
    world.cold_start(REDIRECT_ALLOWED_ORIGINS="")
    world.wire.calls.clear()
    assert targets(world.deliver()) == [FALLBACK, FALLBACK]
    assert not any("order-table" in request["TableName"] for request in world.wire.of("dynamodb.GetItem"))


def test_answer_is_html_that_is_not_cached_and_loads_nothing() -> None:
    """Status, content type, no-store, not base64, and a policy under which nothing may load or run."""
    response: dict[str, Any] = redirect(ORDER, None, SETTINGS)
    assert (response["statusCode"], response["isBase64Encoded"]) == (200, False)
    assert response["headers"] == {
        "Content-Type": "text/html; charset=utf-8",
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    }


FOREIGN = [None, 5, "", "/orders", "//shop.local.example/", "https://evil.example/", "http://shop.local.example/"]
FOREIGN += ["javascript:alert(1)//https://shop.local.example/", " https://shop.local.example/"]
FOREIGN += [f"https://shop.local.example{rest}" for rest in (".evil.example/", "@evil.example/", ":8443/", "\\.evil/")]
FOREIGN += ["https://evil.example\\@shop.local.example/"]
TAILS = ("", "/", "?a=1&b=2", "#top", "/thanks/%E0%B8%81?q=%20", "/?a=1&copy=2&lt=3")
ALLOWED = [f"{origin}{tail}" for origin in (SHOP, "HTTPS://Shop.Local.Example") for tail in TAILS]


@pytest.mark.parametrize(("url", "leads_to"), [*((url, FALLBACK) for url in FOREIGN), *((url, url) for url in ALLOWED)])
def test_only_an_allowed_origin_is_followed_and_unchanged(url: object, leads_to: str) -> None:
    """Exactly and from the first character, in any case; path, query, fragment and escapes arrive as they are."""
    page: dict[str, Any] = redirect(ORDER, url, SETTINGS)
    assert targets(page) == [leads_to, leads_to]
    assert "&copy=" not in page["body"]  # a browser would read a copyright sign


@given(st.text())
def test_return_url_never_leaves_its_attribute_or_its_host(tail: str) -> None:
    """Whatever follows an allowed origin, the page has the same tags, the same host and no control characters."""
    found = targets(redirect(ORDER, f"{SHOP}/{tail}".encode("utf-8", "replace").decode(), SETTINGS))
    assert [urlsplit(target).netloc for target in found] == ["shop.local.example"] * 2
    assert all(target.isascii() and target.isprintable() and " " not in target for target in found)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1))
def test_order_id_is_percent_encoded(order_id: str) -> None:
    """An order id of any form is one segment of the shop's own URL."""
    [target, _] = targets(redirect(order_id, None, SETTINGS))
    assert target.startswith(f"{SHOP}/orders/")
    segment = target.removeprefix(f"{SHOP}/orders/")
    assert not set(segment) & set("/?#<>\"' ")
    assert unquote(segment) == order_id
