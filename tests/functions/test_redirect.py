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


NOTHING = ("default-src", "base-uri", "form-action", "frame-ancestors")


def targets(response: Any) -> list[str]:
    """Where the page refreshes to and where its link leads: as nothing leaves its attribute, up to the next quote."""
    assert re.findall(r"<(\w+)", response["body"]) == ["html", "head", "meta", "meta", "title", "body", "p", "a"]
    return [unescape(url) for url in re.findall(r'(?:="0;url=|href=")([^"]*)"', response["body"])]


def test_customer_goes_to_the_orders_return_url(world: World) -> None:
    """The page refreshes and links to it, else to its own page; where no origin is allowed no order is read."""
    assert targets(world.deliver()) == [FALLBACK, FALLBACK]  # no such order
    world.cold_start(REDIRECT_ALLOWED_ORIGINS="https://else.example, https://Shop.Local.Example,")
    world.order()
    assert targets(world.deliver()) == [RETURN_URL, RETURN_URL]
    world.cold_start(REDIRECT_ALLOWED_ORIGINS="")
    world.wire.calls.clear()
    assert targets(world.deliver()) == [FALLBACK, FALLBACK]
    assert not any("order-table" in request["TableName"] for request in world.wire.of("dynamodb.GetItem"))


def test_answer_is_html_that_nobody_keeps_and_nothing_can_use() -> None:
    """Status, content type, no-store, plain text to API Gateway, and a policy under which nothing may load or run."""
    response: dict[str, Any] = redirect(ORDER, None, SETTINGS)
    assert (response["statusCode"], response["isBase64Encoded"]) == (200, False)
    assert response["headers"] == {
        "Content-Type": "text/html; charset=utf-8",
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "; ".join(f"{what} 'none'" for what in NOTHING),
    }


FOREIGN = [None, 5, "", "/orders", "//shop.local.example/", "https://evil.example/", "http://shop.local.example/"]
FOREIGN += ["javascript:alert(1)//https://shop.local.example/", " https://shop.local.example/"]
FOREIGN += [f"https://shop.local.example{rest}" for rest in (".evil.example/", "@evil.example/", ":8443/", "\\.evil/")]
FOREIGN += ["https://evil.example\\@shop.local.example/"]


@pytest.mark.parametrize("url", FOREIGN)
def test_foreign_origin_is_never_redirected_to(url: object) -> None:
    """Only an allowed origin, exactly and from the first character, is followed."""
    assert targets(redirect(ORDER, url, SETTINGS)) == [FALLBACK, FALLBACK]


@pytest.mark.parametrize("tail", ["", "/", "?a=1&b=2", "#top", "/thanks/%E0%B8%81?q=%20", "/?a=1&copy=2&lt=3"])
@pytest.mark.parametrize("origin", [SHOP, "HTTPS://Shop.Local.Example"])
def test_allowed_origin_is_followed_as_it_is(origin: str, tail: str) -> None:
    """Path, query, fragment and escapes of an allowed URL arrive unchanged; hosts have no case, and `&copy` no sign."""
    assert targets(redirect(ORDER, origin + tail, SETTINGS)) == [origin + tail] * 2
    assert "&copy=" not in str(redirect(ORDER, origin + tail, SETTINGS)["body"])


@given(st.text())
def test_return_url_never_leaves_its_attribute_or_its_host(tail: str) -> None:
    """Whatever follows an allowed origin: the same eight tags, the same host, no control characters."""
    found = targets(redirect(ORDER, f"{SHOP}/{tail}".encode("utf-8", "replace").decode(), SETTINGS))
    assert [urlsplit(target).netloc for target in found] == ["shop.local.example"] * 2
    assert all(target.isascii() and target.isprintable() and " " not in target for target in found)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1))
def test_order_id_is_percent_encoded(order_id: str) -> None:
    """An order id of any shape is one segment of the shop's own URL."""
    [target, _] = targets(redirect(order_id, None, SETTINGS))
    assert target.startswith(f"{SHOP}/orders/")
    segment = target.removeprefix(f"{SHOP}/orders/")
    assert not set(segment) & set("/?#<>\"' ")
    assert unquote(segment) == order_id
