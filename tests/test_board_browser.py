"""The board in a real browser: it moves, leads to the timeline, stays on this machine, and everyone can use it."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from followups.board import HOST, application, server
from followups.stack import Stack
from followups.watch import Poller
from local.chromium import Page, browser
from tests.busy import FAILED_ORDER, LATE_ORDER, OLD_ORDER, make_busy, use_few_shards
from tests.deployed import Deployed
from tests.programs import program
from tests.wire import listening, refuse
from tests.world import World, made

pytestmark = pytest.mark.enable_socket

HOSTILE = "<img src=//evil.example onerror=alert(1)>'\"$(reboot)"
TIMELINE = f"document.getElementById('panel')?.innerText.includes('{FAILED_ORDER}')"
# Each text, with the colours that it is drawn in, as the browser computes them.
TEXTS = """
(() => {
  const ground = (one) => {
    for (; one; one = one.parentElement) {
      const colour = getComputedStyle(one).backgroundColor;
      if (colour !== 'rgba(0, 0, 0, 0)') return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    const text = walker.currentNode.data.trim(), one = walker.currentNode.parentElement;
    if (text && one.checkVisibility() && !one.closest('.unseen')) {
      const style = getComputedStyle(one);
      found.push([text, one.closest('svg') ? style.fill : style.color, ground(one)]);
    }
  }
  return found;
})()
"""


@dataclass(frozen=True)
class Board:
    """A board that is served, and the world behind it."""

    world: World
    poller: Poller
    address: str


@pytest.fixture(scope="module")
def board() -> Iterator[Board]:
    """A board over a stack in which much has happened, whose clock goes on from the world's with the machine's own."""
    with pytest.MonkeyPatch.context() as patch, made(listening(patch), patch) as world:
        use_few_shards(patch)
        make_busy(Deployed(world))
        begin, now = time.monotonic(), world.now
        poller = Poller(Stack(), clock=lambda: now + timedelta(seconds=time.monotonic() - begin))
        with world.wire, _served(poller) as address:
            yield Board(world, poller, address)


@contextmanager
def _served(poller: Poller) -> Iterator[str]:
    with server(application(poller, lambda order: f"followups replay -- {order}"), 0) as served:
        thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://{HOST}:{served.port}/"
        finally:
            served.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The browser."""
    found = program("chromium", "chromium-browser", "google-chrome", package="chromium")
    with browser(found, tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture
def page(chromium: Page) -> Iterator[Page]:
    """A page of the browser; whatever it does, it complains of nothing and asks nobody but this machine."""
    with chromium.fresh() as page:
        yield page
        page.run("1")  # what was told until now is read
        assert _complaints(page) == []
        asked = {event["params"]["request"]["url"] for event in page.told if event["method"].endswith("WillBeSent")}
        assert {url.split("/")[2].partition(":")[0] for url in asked} == {HOST}


def test_countdowns_move_and_the_page_renews_itself(page: Page, board: Board) -> None:
    """Between two looks the seconds go down; a later look brings what has happened since, and keeps the focus."""
    page.go(board.address)
    page.run("document.getElementById('pause').click()")
    first = page.run("document.querySelector('[data-due]').innerText")
    bar = page.run("document.querySelector('progress').value")
    page.wait_for(f"document.querySelector('[data-due]').innerText !== '{first}'")
    assert page.run("document.querySelector('progress').value") > bar
    page.run("document.getElementById('pause').click()")
    page.run("document.querySelector('#late a').focus()")
    board.world.deliver()
    page.wait_for("document.getElementById('waiting').innerText.includes('ORDER-1001')")
    assert page.run("document.activeElement.innerText") == LATE_ORDER
    page.wait_for("!document.querySelector('#totals').innerText.includes('8\\n')")


def test_click_opens_the_timeline_beside_the_board(page: Page, board: Board) -> None:
    """A row leads to its timeline without leaving the place; the address is its own, and back closes it again."""
    page.size(1280, 400)
    page.go(board.address)
    page.run("scrollTo(0, 300)")
    page.run("document.querySelector('#failed a').click()")
    page.wait_for(TIMELINE)
    assert page.run("scrollY") > 100
    assert page.run("document.activeElement.id") == "panel-title"
    assert "notification=" in page.run("location.search")
    page.run("history.back()")
    page.wait_for("!document.getElementById('panel')")
    assert page.run("location.search") == ""


def test_closing_the_timeline_leads_back_to_its_row(page: Page, board: Board) -> None:
    """The focus of who works by keyboard is where it was before."""
    page.go(board.address)
    page.run("document.querySelector('#late a').click()")
    page.wait_for("document.activeElement.id === 'panel-title'")
    page.run("document.querySelector('#panel .close a').click()")
    page.wait_for("!document.getElementById('panel')")
    page.wait_for(f"document.activeElement.innerText === '{LATE_ORDER}'")


def test_page_works_without_scripts(page: Page, board: Board) -> None:
    """Links and the search are the server's own; nothing that needs a script is offered."""
    page.send("Emulation.setScriptExecutionDisabled", value=True)
    page.go(board.address)
    page.go(f"{board.address}?find={FAILED_ORDER}")
    text = page.send("DOM.getDocument", depth=-1)
    html = page.send("DOM.getOuterHTML", nodeId=text["root"]["nodeId"])["outerHTML"]
    assert "GaveUp" in html
    names = {node["name"]["value"] for node in _nodes(page) if node["role"]["value"] == "button"}
    assert names == {"Find"}


def test_command_is_copied_as_it_stands(page: Page, board: Board) -> None:
    """Copy takes the whole command, whatever the order is called; nothing of a name is run as markup."""
    for row in board.world.rows("CREDIT_CARD_NOTIFY_TABLE"):
        if row["orderId"] == OLD_ORDER:
            board.world.table("CREDIT_CARD_NOTIFY_TABLE").put_item(Item=row | {"orderId": HOSTILE})
    page.go(board.address)
    # The clipboard itself is the browser's, and asks a person first.
    page.run("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
    page.run("document.querySelectorAll('.copy')[1].click()")
    page.wait_for("document.querySelectorAll('.copy')[1].innerText === 'Copied'")
    assert page.run("window.copied") == f"followups replay -- {HOSTILE}"


def test_pause_and_silence_are_said(page: Page, board: Board) -> None:
    """Paused, the page asks no more; a look that failed, and a board that was ended, are said in it."""
    page.go(board.address)
    page.run("document.getElementById('pause').click()")
    assert page.run("document.getElementById('pause').getAttribute('aria-pressed')") == "true"
    board.world.wire.before["dynamodb.Query"] = refuse("ThrottlingException", times=999)
    page.run("document.getElementById('pause').click()")
    page.wait_for("document.getElementById('problem').innerText.includes('AWS asks for patience')")
    assert page.run("document.getElementById('late').innerText").count(LATE_ORDER) == 1
    del board.world.wire.before["dynamodb.Query"]
    page.send("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=-1, uploadThroughput=-1)
    page.run("document.getElementById('pause').click(); document.getElementById('pause').click()")
    page.wait_for("!document.getElementById('silence').hidden")
    # The browser's own word for it.
    page.told = [event for event in page.told if "ERR_INTERNET_DISCONNECTED" not in json.dumps(event)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everyone_can_read_it(page: Page, board: Board, scheme: str, tmp_path: Path) -> None:
    """In both themes and at 360 px: enough contrast, names, landmarks, headings in order, nothing beyond the edge."""
    page.prefer(color_scheme=scheme, reduced_motion="reduce")
    grounds = set()
    for width in (1280, 360):
        page.size(width, 800)
        page.go(f"{board.address}?find={FAILED_ORDER}")
        texts = page.run(TEXTS)
        grounds |= {ground for *_, ground in texts}
        assert len(texts) > 60
        assert [(text, _contrast(*colours)) for text, *colours in texts if _contrast(*colours) < 4.5] == []
        assert page.run("document.documentElement.scrollWidth") <= width
        assert _unnamed(page) == []
        page.shoot(tmp_path / f"{scheme}-{width}.png", whole=True)
    assert (max(map(_light, grounds)) < 0.1) == (scheme == "dark")
    roles = [node["role"]["value"] for node in _nodes(page)]
    assert {"banner", "main", "complementary", "contentinfo", "search"} <= set(roles)
    levels = page.run("[...document.querySelectorAll('h1, h2, h3')].map(one => Number(one.tagName[1]))")
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert page.run("document.querySelectorAll('th:not([scope])').length") == 0


def test_focus_is_seen_and_reaches_everything(page: Page, board: Board) -> None:
    """By the keyboard alone: each link and button is reached in turn, and has an outline when it is."""
    page.go(board.address)
    wanted = page.run("[...document.querySelectorAll('a, button, input')].filter(x => x.checkVisibility()).length")
    seen = set()
    for _ in range(wanted):
        for kind in ("rawKeyDown", "keyUp"):
            page.send("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        place = "JSON.stringify(document.activeElement.getBoundingClientRect())"
        style = page.run("getComputedStyle(document.activeElement).outlineStyle")
        assert style != "none"
        seen.add(page.run(place) + page.run("document.activeElement.outerHTML"))
    assert len(seen) == wanted


def _complaints(page: Page) -> list[str]:
    kinds = {"Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"}
    return [json.dumps(event["params"]) for event in page.told if event["method"] in kinds]


def _nodes(page: Page) -> list[dict[str, dict[str, str]]]:
    found = page.send("Accessibility.getFullAXTree")["nodes"]
    return [node for node in found if not node["ignored"]]


def _unnamed(page: Page) -> list[str]:
    named = {"link", "button", "textbox", "searchbox", "heading", "image", "complementary", "columnheader"}
    return [
        node["role"]["value"]
        for node in _nodes(page)
        if node["role"]["value"] in named and not node.get("name", {}).get("value")
    ]


def _contrast(one: str, other: str) -> float:
    darker, lighter = sorted((_light(one), _light(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _light(colour: str) -> float:
    """Relative luminance, as WCAG 2 defines it."""
    parts = [int(part) / 255 for part in colour[4:-1].split(",")]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
