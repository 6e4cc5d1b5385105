"""The board's page: what it shows, and that only this machine can read it."""

import re
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.serving import BaseWSGIServer

from followups.board import HEADERS, HOST, application
from followups.watch import Poller
from tests.followups.conftest import Patch, Print
from tests.support.aws import CHARGE, NOTIFICATION, ORDER
from tests.support.deployed import FAILED_ORDER, LATE_ORDER, STACK, Deployed, make_busy
from tests.support.recorded_calls import refuse


@pytest.fixture
def client(poller: Poller) -> FlaskClient:
    """A browser without scripts, on this machine."""
    client = application(poller).test_client()
    client.environ_base["HTTP_HOST"] = f"{HOST}:1234"
    return client


def page(client: FlaskClient, query: str = "", status: int = 200) -> str:
    """The page's HTML, with single spaces."""
    answer = client.get(f"/{query}")
    assert answer.status_code == status
    return " ".join(answer.text.split())


def section(html: str, name: str) -> str:
    """The text of a part of the page."""
    [found] = re.findall(rf'<(section|ul|figure|aside|div) id="{name}"[^>]*>(.*?)</\1>', html)
    return " ".join(re.sub(r"<[^>]+>", " ", found[1]).split())


@pytest.mark.usefixtures("busy")
def test_page_shows_what_is_late_what_failed_and_what_waits(client: FlaskClient) -> None:
    """It has what `watch` has, the command that replays, and a plot of the last 24 hours."""
    html = page(client)
    assert section(html, "totals") == "1 late 2 failed 8 waiting"
    late = rf"{LATE_ORDER} valid chrg_\S+ PassFailed: pass 2: .+ 2 2 7 min 19 s retrying in 2 min$"
    assert re.search(late, section(html, "late"))
    assert "GaveUp: pass 2 is given up: pass 2: ProcessPaidOrder failed (Unhandled)" in section(html, "failed")
    assert f"followups replay --stack payment3-follow-up-dev -- {FAILED_ORDER}" in section(html, "failed")
    assert f"by hand: followups resolve --reason=TEXT --stack {STACK} -- ORDER " in section(html, "failed")
    waiting = r"ORDER-3000 valid chrg_\S+ 1 1 running ORDER-2004 valid chrg_\S+ 2 0 4 s waiting ORDER"
    assert re.search(waiting, section(html, "waiting"))
    hours = ["0"] * 18 + ["1"] + ["0"] * 4 + ["1"]
    assert f'aria-label="Failed in each of the last 24 hours: {", ".join(hours)}"' in html
    assert section(html, "plot") == "Failed per hour, the last 24 hours: 2"
    assert re.search(r"<title> ?1 late, 2 failed · Follow-ups of payment3-follow-up-dev ?</title>", html)


def test_search_takes_any_id(client: FlaskClient, deployed: Deployed) -> None:
    """An order, a charge, a notification or its beginning; what is typed is shown as text, and never as markup."""
    deployed.world.deliver()
    for word in (ORDER, CHARGE, f" {NOTIFICATION} ", f"{CHARGE} {NOTIFICATION}", ORDER[:6]):
        assert f"{ORDER} waiting" in section(page(client, f"?find={word}"), "panel")
    unknown = rf"{STACK} has no notification with this id\. Find what .* followups dead-letters list --stack {STACK}$"
    for query in ("?find=unknown", "?find=no+one"):
        assert re.search(unknown, section(page(client, query), "panel"))
    assert 'id="panel"' not in page(client, "?find=+")
    assert "“&lt;script&gt;?[2J”" in page(client, "?find=<script>%1b[2J")


def test_request_is_answered_for_this_machine_alone(client: FlaskClient, deployed: Deployed) -> None:
    """A request of another method, host or page reads nothing, and AWS is not called; the board's own page may read."""
    methods = ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE")
    hosts = ("evil.example", "127.0.0.1.evil.example", "evil.example:1", "[::1]:1", "127.0.0.2", "", "LOCALHOST.")
    origins = ("https://evil.example", "null", "http://127.0.0.1:4321", "https://127.0.0.1:1234")
    refused: list[tuple[int, dict[str, Any]]] = [(405, {"method": method}) for method in methods]
    refused += [(421, {"headers": {"Host": host}}) for host in hosts]
    refused += [(403, {"headers": {"Origin": origin}}) for origin in origins]
    refused += [(403, {"headers": {"Sec-Fetch-Site": site}}) for site in ("cross-site", "same-site")]
    for path in ("/", "/static/board.css", "/?find=x"):
        for code, how in refused:
            answer = client.open(path, **how)
            assert (answer.status_code, "payment3" in answer.text) == (code, False), how
    assert deployed.world.wire.calls == []
    own = {"Host": f"{HOST}:1234", "Origin": f"http://{HOST}:1234", "Sec-Fetch-Site": "same-origin"}
    for headers in (own, {"Sec-Fetch-Site": "none"}, {"Host": "localhost:1234"}):
        assert client.get("/", headers=headers).status_code == 200


@pytest.mark.usefixtures("busy")
def test_every_answer_is_protected(client: FlaskClient) -> None:
    """Nothing may be stored, framed or embedded, and only scripts and styles from the board's own files run."""
    for path, host in (("/", HOST), ("/static/board.js", HOST), ("/nowhere", HOST), ("/", "x")):
        with client.get(path, headers={"Host": host}) as answer:
            assert HEADERS.items() <= dict(answer.headers).items()
    policy = dict(part.split(" ", 1) for part in HEADERS["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    html = page(client, f"?find={FAILED_ORDER}")
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! src=)|javascript:|https?://", html)


def test_what_cannot_be_read_is_reported_in_its_place(client: FlaskClient, deployed: Deployed) -> None:
    """Before the first read, a page shows only the advice; later it is above the last picture or in the panel."""
    before = deployed.world.wire.before
    before["cloudformation.DescribeStacks"] = refuse("ExpiredToken")
    html = page(client, status=503)
    assert re.search(r"ExpiredToken for a test</strong> Sign in again.*Nothing has been read yet\.", html)
    before.clear()
    make_busy(deployed)
    page(client)
    before["dynamodb.Query"] = refuse("AccessDeniedException", times=99)
    html = page(client, f"?find={FAILED_ORDER}")
    assert "docs/operations.md, What operators may do" in section(html, "panel")
    assert LATE_ORDER in section(html, "late")


def test_text_and_state_choose_what_is_shown(client: FlaskClient, busy: Deployed) -> None:
    """A text is searched in ids, verdicts and reasons; what matches is counted, and no command replays more."""
    html = page(client, "?text=order-2004")
    assert re.search(r"ORDER-2004 .* 1 of 8 match\.", section(html, "waiting"))
    assert "0 of 2 match." in section(html, "failed")
    assert section(html, "totals") == "1 late 2 failed 8 waiting"
    html = page(client, "?state=failed")
    assert re.findall(r'<section id="(\w+)"', html) == ["failed"]
    assert re.search(r'href="/\?find=[^"]+&amp;state=failed"', html)
    assert "did not answer" in section(page(client, "?text=DID+NOT+answer"), "failed")
    for name in ("n1", "n2"):
        busy.put_failed(name)
    assert re.search("no followups replay --state=failed --cause.* 2 of this cause", section(page(client), "failed"))
    assert "PassFailed: no 2 of this cause" in section(page(client, "?text=PassFailed"), "failed")


@pytest.mark.enable_socket
def test_command_serves_the_board(deployed: Deployed, monkeypatch: Patch, capsys: Print) -> None:
    """It listens on 127.0.0.1 alone, opens a browser, and ends with Ctrl-C; a port that is in use is exit 2."""
    opened = list[str]()

    def serve_once(listening: BaseWSGIServer) -> None:
        assert listening.socket.getsockname() == (HOST, listening.port)
        assert deployed.run("board", "--no-browser", "--port", str(listening.port)) == 2
        assert f"port {listening.port} cannot be had: Address already in use" in capsys.readouterr().err
        raise KeyboardInterrupt

    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr(BaseWSGIServer, "serve_forever", serve_once)
    assert deployed.run("board") == 0
    assert deployed.run("board", "--no-browser") == 0
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", " ".join(opened))  # once
