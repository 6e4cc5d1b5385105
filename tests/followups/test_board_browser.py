"""The board in a real browser: it renews itself, opens a timeline, stays on this machine, and is accessible."""

import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page

from followups.board import HOST, application, server
from followups.stack import Stack
from followups.watch import Poller
from tests.support.aws import made
from tests.support.deployed import FAILED_ORDER, LATE_ORDER, Deployed, make_busy, use_few_shards
from tests.support.programs import chromium
from tests.support.recorded_calls import listening, refuse

pytestmark = pytest.mark.enable_socket

HOSTILE = "<img src=//evil.example onerror=alert(1)>'\"$(reboot)"
NAMED = {"link", "button", "textbox", "searchbox", "heading", "image", "complementary", "columnheader"}
PAUSE = "document.getElementById('pause').click()"
# Each visible text, with its colour and that of its background, as the browser computes them.
TEXTS = """
(() => {
  const ground = (one) => {
    const colour = one ? getComputedStyle(one).backgroundColor : 'rgb(255, 255, 255)';
    return colour === 'rgba(0, 0, 0, 0)' ? ground(one.parentElement) : colour;
  };
  return [...document.querySelectorAll('body *')]
    .filter((one) => one.checkVisibility() && !one.closest('.unseen'))
    .filter((one) => [...one.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim()))
    .map((one) => [one, getComputedStyle(one)])
    .map(([one, style]) => [one.textContent, one.closest('svg') ? style.fill : style.color, ground(one)]);
})()
"""
# What takes the focus by no key, or does not show it.
UNSEEN_FOCUS = """
[...document.querySelectorAll('a, button, input')].filter((one) => one.checkVisibility()).filter((one) => {
  one.focus();
  return one.tabIndex < 0 || getComputedStyle(document.activeElement).outlineStyle === 'none';
}).map((one) => one.outerHTML)
"""


@pytest.fixture(scope="module")
def board() -> Iterator[tuple[Deployed, str]]:
    """A busy stack and the address of its board, whose clock starts at the world's time and then goes on."""
    with pytest.MonkeyPatch.context() as patch, made(listening(patch), patch) as world:
        use_few_shards(patch)
        deployed = Deployed(world)
        make_busy(deployed)
        begin, now = time.monotonic(), world.now
        poller = Poller(Stack(), clock=lambda: now + timedelta(seconds=time.monotonic() - begin))
        with world.wire, server(application(poller), 0) as served:
            thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.05})
            thread.start()
            yield deployed, f"http://{HOST}:{served.port}/"
            served.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The browser."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, board: tuple[Deployed, str]) -> Iterator[Page]:
    """The board in the browser. No test may make it log an error or send a request to another machine."""
    with browser.new_context(base_url=board[1]) as context:
        complaints, asked = list[str](), set[str]()
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.add(request.url))
        page.goto("/")
        yield page
        # What the browser logs in the test that takes the network away.
        assert [text for text in complaints if "ERR_INTERNET_DISCONNECTED" not in text] == []
        assert {url.split("/")[2].partition(":")[0] for url in asked} == {HOST}


def test_page_renews_itself_and_keeps_the_focus(page: Page, board: tuple[Deployed, str]) -> None:
    """A later read brings what has happened since, and the times go on."""
    page.evaluate("document.querySelector('#late a').focus()")
    late = page.evaluate("document.querySelector('#late td.due').innerText")
    board[0].world.deliver()
    page.wait_for_function("() => document.getElementById('waiting').innerText.includes('ORDER-1001')")
    assert page.evaluate("document.activeElement.innerText") == LATE_ORDER
    assert page.evaluate("document.querySelector('#late td.due').innerText") != late
    page.wait_for_function("() => !document.querySelector('#totals').innerText.includes('8\\n')")


def test_click_opens_the_timeline_above_the_board(page: Page) -> None:
    """It is in sight and has its own address; `back` leads to its row, and closing it to the board."""
    page.set_viewport_size({"width": 1280, "height": 400})
    row = "#waiting tbody tr:last-child a"
    order = page.inner_text(row)
    page.click(row)
    page.wait_for_function(f"() => document.getElementById('panel')?.innerText.includes('{order} waiting')")
    top = "document.querySelector('{}').getBoundingClientRect().top"
    assert 0 < page.evaluate(top.format("#panel h3")) < 400
    assert page.evaluate("document.querySelectorAll('#panel h3').length + location.search").startswith("1?find=")
    page.go_back()
    page.wait_for_function(f"() => !document.getElementById('panel') && {top.format(row)} < 400")
    page.go_forward()
    page.click("#close")
    page.wait_for_function("() => !document.getElementById('panel')")


def test_command_is_shown_as_it_stands(page: Page, board: tuple[Deployed, str]) -> None:
    """One click selects the whole command, whatever the order is called; markup in a name is shown as text."""
    board[0].put_failed("hostile", 600, orderId=HOSTILE)
    page.wait_for_function("() => document.getElementById('failed').innerText.includes('evil')")
    page.click("#failed tr:last-child code")
    assert page.evaluate("getSelection().toString()") == Stack().command("replay", ids=(HOSTILE,))


def test_pause_and_silence_are_shown(page: Page, board: tuple[Deployed, str]) -> None:
    """The page shows that it is paused, that a read failed, and that the board cannot be reached."""
    page.evaluate(PAUSE)
    assert page.evaluate("document.getElementById('pause').getAttribute('aria-pressed')") == "true"
    board[0].world.wire.before["dynamodb.Query"] = refuse("ThrottlingException", times=999)
    page.evaluate(PAUSE)
    page.wait_for_function("() => document.getElementById('problem').innerText.includes('AWS asks for patience')")
    assert page.evaluate("document.getElementById('late').innerText").count(LATE_ORDER) == 1
    del board[0].world.wire.before["dynamodb.Query"]
    page.context.set_offline(True)
    page.evaluate(f"{PAUSE}; {PAUSE}")
    page.wait_for_function("() => !document.getElementById('silence').hidden")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everyone_can_read_it(page: Page, scheme: Literal["light", "dark"]) -> None:
    """In both themes, down to 360 px: contrast, names, landmarks, order of headings, visible focus, nothing cut off."""
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    grounds = set()
    for width in (1280, 360):
        page.set_viewport_size({"width": width, "height": 800})
        page.goto(f"/?find={FAILED_ORDER}")
        texts = page.evaluate(TEXTS)
        grounds |= {ground for *_, ground in texts}
        assert len(texts) > 60
        assert [(text, _contrast(*colours)) for text, *colours in texts if _contrast(*colours) < 4.5] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert [role for role, name in _nodes(page) if role in NAMED and not name] == []
    assert (max(map(_light, grounds)) < 0.1) == (scheme == "dark")
    assert {"banner", "main", "complementary", "contentinfo", "search"} <= dict(_nodes(page)).keys()
    levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3')].map(one => Number(one.tagName[1]))")
    assert all(after - before <= 1 for before, after in pairwise([0, *levels]))
    assert page.evaluate("document.querySelectorAll('th:not([scope])').length") == 0
    assert page.evaluate(UNSEEN_FOCUS) == []


def _nodes(page: Page) -> list[tuple[str, str]]:
    """The role and the name of each node of the accessibility tree."""
    found = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    return [(one["role"]["value"], one.get("name", {}).get("value", "")) for one in found if not one["ignored"]]


def _contrast(one: str, other: str) -> float:
    darker, lighter = sorted((_light(one), _light(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _light(colour: str) -> float:
    """Relative luminance, as WCAG 2 defines it."""
    parts = [int(part) / 255 for part in colour[4:-1].split(",")]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
