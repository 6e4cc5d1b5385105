"""The board's page: what it says, to whom, and that nothing in it is obeyed."""

import gc
import re
import socket
import struct
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import NoCredentialsError
from flask.testing import FlaskClient
from werkzeug.serving import BaseWSGIServer
from werkzeug.test import Client

from callback.clock import moment, stamp
from followups.board.app import application
from followups.board.guard import HEADERS, HOST
from followups.board.measures import Minute, Recheck
from followups.board.plots import WIDTH, lateness, throughput
from followups.board.records import SAMPLE
from followups.board.server import serve, server
from followups.overview import Looker
from followups.stack import Stack
from local.scene import FAILED_ORDER, LATE_ORDER
from tests.busy import make_busy, use_few_shards
from tests.deployed import Deployed
from tests.wire import Call, refuse
from tests.world import CHARGE, NOTIFICATION, ORDER

NOW = moment("2026-11-22T09:30:17.250000Z")
HOSTILE = "'\"><script>alert(1)</script>&amp;\x1b[31m"
SHOWN = "&#39;&#34;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;amp;?[31m"


@pytest.fixture(autouse=True)
def _few_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    use_few_shards(monkeypatch)


@pytest.fixture
def looker(deployed: Deployed) -> Iterator[Looker]:
    """What the board looks with."""
    with deployed.world.wire:
        yield Looker(Stack(), clock=lambda: deployed.world.now)


@pytest.fixture
def client(looker: Looker) -> FlaskClient:
    """A browser without scripts, on this machine."""
    app = application(looker, lambda order: f"followups replay -- {order}")
    app.testing = True
    client = app.test_client()
    client.environ_base["HTTP_HOST"] = f"{HOST}:1234"
    return client


@pytest.fixture
def busy(deployed: Deployed) -> Deployed:
    """A stack in which much has happened."""
    make_busy(deployed.world)
    return deployed


def page(client: FlaskClient, query: str = "", status: int = 200) -> str:
    """The page's HTML, its white space made one space."""
    answer = client.get(f"/{query}")
    assert answer.status_code == status
    return " ".join(answer.text.split())


def section(html: str, name: str) -> str:
    """The text of a part of the page, without its tags."""
    [found] = re.findall(rf'<(section|ul|figure|aside|div) id="{name}"[^>]*>(.*?)</\1>', html)
    return " ".join(re.sub(r"<[^>]+>", " ", found[1]).split())


def test_page_says_what_is_late_what_failed_and_what_waits(client: FlaskClient, busy: Deployed) -> None:
    """The same as in a terminal: totals, lateness, reasons with the command that replays, countdowns, claims."""
    assert busy
    html = page(client)
    assert (
        section(html, "totals") == "1 late 2 failed in 24 hours, 1 in the last hour 8 waiting 3 done in the last hour"
    )
    assert re.search(rf"{LATE_ORDER} chrg_…\S+ 2 1 7 min 19 s$", section(html, "late"))
    assert "PassFailed: pass 2: ProcessPaidOrder failed (Unhandled)" in section(html, "failed")
    assert f"followups replay -- {FAILED_ORDER}" in section(html, "failed")
    assert re.search(r"ORDER-\d+ chrg_…\S+ 1 1 claimed ORDER-\d+ chrg_…\S+ 2 0 6 s ORDER", section(html, "waiting"))
    assert '<progress max="60" value="54.' in html
    assert re.search(r"<title> ?1 late, 2 failed · Follow-ups of payment3-follow-up-dev ?</title>", html)


def test_page_of_nothing_says_so(client: FlaskClient) -> None:
    """Every part is a sentence where there is nothing to list."""
    html = page(client)
    for name, words in {"late": "Nothing is late.", "failed": "Nothing failed", "waiting": "Nothing waits."}.items():
        assert words in section(html, name)
    assert "Nothing ended." in section(html, "throughput")
    assert "No recheck in the last hour." in section(html, "lateness")


def test_row_leads_to_its_timeline(client: FlaskClient, busy: Deployed) -> None:
    """A row's link works without a script: the same page, and beside it what became of the notification."""
    assert busy
    [link] = re.findall(rf'href="/(\?[^"]+)"[^>]*>{FAILED_ORDER}</a>', page(client))
    html = page(client, link.replace("&amp;", "&"))
    story = section(html, "panel")
    assert story.startswith(f"Timeline Close {FAILED_ORDER} FAILED Charge chrg_test_")
    assert "AttemptsExhausted: pass 2 is given up after its last allowed attempt" in story
    assert 'aria-current="true"' in html
    assert section(html, "totals")


def test_order_is_found_by_any_id(client: FlaskClient, deployed: Deployed) -> None:
    """What is asked for may be an order, a charge or a delivery; what was never saved is said to be nowhere."""
    deployed.world.deliver()
    for word in (ORDER, CHARGE, f" {NOTIFICATION} "):
        assert f"{ORDER} PENDING" in section(page(client, f"?find={word}"), "panel")
    assert "No notification was saved under it" in section(page(client, "?find=nobody"), "panel")
    assert "No notification was saved under it" in section(page(client, "?charge=no&notification=one"), "panel")
    assert 'id="panel"' not in page(client, "?find=+&charge=x")


def test_what_others_sent_is_text(client: FlaskClient, deployed: Deployed) -> None:
    """An id, an error, an outcome or a word that holds markup or control characters shows it, and does nothing."""
    ended = {"endedAt": stamp(deployed.world.now), "endedShard": "FAILED#1", "lastError": HOSTILE, "state": "FAILED"}
    done = {"number": 1, "at": stamp(deployed.world.now), "outcome": HOSTILE, "durationMs": 1, "attempt": 1}
    for changes in ({"sweepShard": 1, "nextPassDue": stamp(deployed.world.now)}, ended):
        _put(deployed, f"{HOSTILE} {len(changes)}", orderId=HOSTILE, chargeId=HOSTILE, passes=[done], **changes)
    deployed.world.wait(1)
    [link] = {link.replace("&amp;", "&") for link in re.findall(r'href="/(\?charge[^"]+\+4)"', page(client))}
    for html in (page(client), page(client, link), page(client, f"?find={link[8:]}")):
        assert "<script>" not in html
        # The command alone has it as it is, for the shell.
        assert "\x1b" not in re.sub(r"<code>.*?</code>|<[^>]+>", "", html)
        assert SHOWN in html


def test_card_data_is_never_read(client: FlaskClient, busy: Deployed) -> None:
    """No query and no read asks for the body, which alone holds card data."""
    page(client, f"?find={FAILED_ORDER}")
    requests = [*busy.world.wire.of("dynamodb.GetItem"), *busy.world.wire.of("dynamodb.Query")]
    of_table = [request for request in requests if request["TableName"].startswith("payment3-credit-card-notify")]
    named = {name for request in of_table for name in request.get("ExpressionAttributeNames", {}).values()}
    assert not {"body", "bodyDigest"} & named
    # What asks for no attributes by name gets those of an index, which holds no body.
    assert all(
        "ProjectionExpression" in request or request.get("IndexName") in {"due", "ended"} for request in of_table
    )


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_board_only_reads(client: FlaskClient, method: str) -> None:
    """Whatever else is asked for is refused, and asks AWS nothing."""
    for path in ("/", "/static/board.css"):
        assert client.open(path, method=method).status_code == 405
    assert client.head("/").status_code == 200
    assert client.head("/").data == b""


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "evil.example:1234", "[::1]:1234", "127.0.0.2", "", "LOCALHOST."]
)
def test_other_hosts_are_refused(client: FlaskClient, deployed: Deployed, host: str) -> None:
    """A page elsewhere that leads its own name to this machine reads nothing, and asks AWS nothing."""
    answer = client.get("/", headers={"Host": host})
    assert answer.status_code == 421
    assert "payment3" not in answer.text
    assert deployed.world.wire.calls == []
    assert client.get("/", headers={"Host": "localhost:1234"}).status_code == 200


@pytest.mark.parametrize(
    ("path", "host", "status"),
    [("/", HOST, 200), ("/static/board.js", HOST, 200), ("/nowhere", HOST, 404), ("/", "evil.example", 421)],
)
def test_every_answer_is_protected(client: FlaskClient, path: str, host: str, status: int) -> None:
    """Nothing may be kept, framed or embedded, and no script but the board's own runs, whatever the answer is."""
    with client.get(path, headers={"Host": host}) as answer:
        assert answer.status_code == status
    assert HEADERS.items() <= dict(answer.headers).items()
    policy = dict(part.split(" ", 1) for part in HEADERS["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"


def test_page_needs_no_inline_script_or_style(client: FlaskClient, busy: Deployed) -> None:
    """The policy forbids them, so that there is none to be missed."""
    assert busy
    html = page(client, f"?find={FAILED_ORDER}")
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! src=)|javascript:|https?://", html)


def test_missing_credentials_are_a_page_that_says_what_to_do(client: FlaskClient, deployed: Deployed) -> None:
    """Before anything was read: a page with a status of its own, the error and the advice."""

    def without(_call: Call) -> None:
        raise NoCredentialsError

    deployed.world.wire.before["cloudformation.DescribeStacks"] = without
    html = page(client, status=503)
    assert "Unable to locate credentials</strong> Sign in again" in html
    assert "Nothing has been read yet." in html


def test_failed_look_keeps_the_last_page(client: FlaskClient, busy: Deployed) -> None:
    """A throttled look is said above the last picture, and the next one that succeeds replaces it."""
    page(client)
    busy.world.wait(5)
    busy.world.wire.before["dynamodb.Query"] = refuse("ThrottlingException", times=99)
    html = page(client)
    assert "AWS asks for patience; the next look may succeed. Below is the last picture, of 09:30:17 UTC." in html
    assert LATE_ORDER in section(html, "late")
    del busy.world.wire.before["dynamodb.Query"]
    assert "AWS asks for patience" not in page(client)


def test_what_may_not_be_read_costs_only_its_part(client: FlaskClient, busy: Deployed) -> None:
    """Without the permission to read records the board still lists them; the plot and the timeline say why not."""
    busy.world.wire.before["dynamodb.GetItem"] = refuse("AccessDeniedException", times=99)
    html = page(client, f"?find={FAILED_ORDER}")
    assert "Could not be read." in section(html, "lateness")
    assert "The profile may not read this" in section(html, "panel")
    assert LATE_ORDER in section(html, "late")


def test_more_than_is_read_is_said(client: FlaskClient, deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    """A count whose bound was reached has a plus, and its list says that it goes on."""
    monkeypatch.setattr("followups.overview.BOUNDS", dict.fromkeys(("overdue", "failed", "pending", "done"), 2))
    for number in range(4):
        late = {"sweepShard": number % 2, "nextPassDue": stamp(deployed.world.now - timedelta(hours=1))}
        _put(deployed, f"late {number}", **late)
        _put(deployed, f"wait {number}", **late | {"nextPassDue": stamp(deployed.world.now + timedelta(seconds=9))})
        for state in ("DONE", "FAILED"):
            ended = {"state": state, "endedAt": stamp(deployed.world.now), "endedShard": f"{state}#{number % 2}"}
            _put(deployed, f"{state} {number}", **ended)
    html = page(client)
    assert section(html, "totals").startswith("2+ late 2+ failed in 24 hours, 2+ in the last hour 2+ waiting 2+ done")
    for name in ("late", "failed", "waiting"):
        assert "… and more than these 2" in section(html, name)
    assert "of the latest 2" in section(html, "throughput")


def test_what_has_ended_is_told_by_the_minute(client: FlaskClient, busy: Deployed) -> None:
    """The plot's table has each minute in which something ended, and each recheck with how late it began."""
    html = page(client)
    minutes = re.findall(r"<tr><td>(\d+)</td><td class=\"number\">(\d+)</td><td class=\"number\">(\d+)</td></tr>", html)
    ended = [row["endedAt"] for row in busy.world.rows("CREDIT_CARD_NOTIFY_TABLE") if "endedAt" in row]
    ago = sorted(int((busy.world.now - moment(at)).total_seconds() // 60) for at in ended)
    assert sorted(int(minute) for minute, *_ in minutes) == [minute for minute in ago if minute < 60]
    assert sum(int(done) for _, done, _ in minutes) == 3
    assert sum(int(failed) for *_, failed in minutes) == 1
    assert len(re.findall(r"<circle", html)) == 3
    assert "of the 3 done last" in section(html, "lateness")


def test_record_that_has_ended_is_read_once(client: FlaskClient, busy: Deployed) -> None:
    """The sample costs its reads when the first page is shown; each later page only reads what ended since."""
    page(client)
    assert len(busy.world.wire.of("dynamodb.GetItem")) == 3 < SAMPLE
    page(client)
    assert len(busy.world.wire.of("dynamodb.GetItem")) == 3


def test_record_that_is_gone_or_spoilt_costs_no_page(client: FlaskClient, busy: Deployed) -> None:
    """A record that was deleted between two reads, or that another hand has spoilt, is left out of the sample."""
    gone, spoilt, _ = (row for row in busy.world.rows("CREDIT_CARD_NOTIFY_TABLE") if row["state"] == "DONE")
    spoilt["passes"][1]["at"] = "yesterday"
    busy.world.table("CREDIT_CARD_NOTIFY_TABLE").put_item(Item=spoilt)
    key = {"S": gone["notificationId"]}
    busy.world.wire.around = lambda call, effect: (
        {} if call.request.get("Key", {}).get("notificationId") == key else effect()
    )
    html = page(client)
    assert "of the 2 done last" in section(html, "lateness")
    assert len(re.findall(r"<circle", html)) == 1


def test_recheck_is_as_late_as_its_begin_after_its_due_time(client: FlaskClient, deployed: Deployed) -> None:
    """Begin is end less duration, due the end of the pass before plus the plan's delay: 60 s here."""
    now = deployed.world.now
    first = {"number": 1, "at": stamp(now - timedelta(seconds=200)), "outcome": "", "durationMs": 9, "attempt": 1}
    second = first | {"number": 2, "at": stamp(now - timedelta(seconds=100)), "durationMs": 5000}
    _put(deployed, "n", state="DONE", endedAt=second["at"], endedShard="DONE#1", passes=[first, second])
    assert re.search(rf"{ORDER} 2 09:28:32 UTC 35 s$", section(page(client), "lateness"))


def test_plots_scale_with_what_there_is() -> None:
    """Bars stand on each other within the plot; lateness has the least scale that fits, and labels have room."""
    minutes = [Minute(59, 0, 0), Minute(1, 1500, 500), Minute(0, 3, 0)]
    plot = throughput(minutes)
    assert [line.label for line in plot.lines] == ["0", "1000", "2000"]
    assert [bar.kind for bar in plot.bars] == ["done", "failed", "done"]
    assert plot.bars[1].y + plot.bars[1].height == pytest.approx(plot.bars[0].y, abs=0.1)
    assert all(0 < bar.x < WIDTH for bar in plot.bars)
    for seconds, labels, kind in (
        (30, ["0 s", "1 min", "2 min", "3 min"], "good"),
        (90, ["0 s", "1 min", "2 min", "3 min"], "fair"),
        (200, ["0 s", "1 min", "2 min", "5 min"], "late"),
        (9000, ["0 s", "", "", "1 h"], "late"),
    ):
        late = lateness([Recheck(ORDER, 2, NOW, timedelta(seconds=seconds))], NOW)
        assert [line.label for line in late.lines] == labels
        assert [dot.kind for dot in late.dots] == [kind]


@pytest.mark.enable_socket
def test_board_listens_on_this_machine_only(looker: Looker) -> None:
    """It is bound to 127.0.0.1, says nothing of what it is made of, and a port that is taken is an error."""
    app = application(looker, str)
    with server(app, 0) as listening:
        assert listening.socket.getsockname() == (HOST, listening.port)
        assert listening.port
        with pytest.raises(OSError, match="in use"):
            server(app, listening.port)


@pytest.mark.enable_socket
@pytest.mark.filterwarnings("error")
def test_browser_that_hangs_up_leaves_nothing_open(looker: Looker) -> None:
    """Whenever a connection is reset, no file stays open: a leak would show as a warning when it is collected."""
    with server(application(looker, str), 0) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        before = set(threading.enumerate())
        for number in range(60):
            with socket.create_connection((HOST, listening.port)) as browser:
                browser.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                browser.sendall(f"GET /static/board.css HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
                browser.recv(number % 2)
        listening.shutdown()
        for answering in {thread, *threading.enumerate()} - (before - {thread}):
            answering.join()
    gc.collect()


@pytest.mark.parametrize("browser", [True, False])
@pytest.mark.enable_socket
def test_board_tells_its_address_until_it_is_stopped(
    looker: Looker, monkeypatch: pytest.MonkeyPatch, *, browser: bool
) -> None:
    """It says where it is, opens the browser if it may, and ends quietly at Ctrl-C."""
    opened: list[str] = []
    told: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)

    def stopped(_server: BaseWSGIServer) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(BaseWSGIServer, "serve_forever", stopped)
    serve(application(looker, str), 0, told.append, browser=browser)
    [line] = told
    assert (found := re.fullmatch(r"The board is at (http://127\.0\.0\.1:\d+/) until Ctrl-C\.", line))
    assert opened == ([found[1]] if browser else [])


@pytest.mark.enable_socket
def test_command_serves_the_board(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`followups board`: on a free port, with replay commands for the stack asked for; a taken port is said."""
    served: list[BaseWSGIServer] = []

    def asked_once(listening: BaseWSGIServer) -> None:
        served.append(listening)
        answer = Client(listening.app).get("/", headers={"Host": HOST})
        assert "followups replay --stack payment3-follow-up-dev -- ORDER-1001" in answer.text
        assert deployed.run("board", "--no-browser", "--port", str(listening.port)) == 2

    _put(deployed, "n", state="FAILED", endedAt=stamp(deployed.world.now), endedShard="FAILED#1")
    monkeypatch.setattr(BaseWSGIServer, "serve_forever", asked_once)
    assert deployed.run("--stack", "payment3-follow-up-dev", "board", "--no-browser") == 0
    printed = capsys.readouterr()
    assert printed.out == f"The board is at http://127.0.0.1:{served[0].port}/ until Ctrl-C.\n"
    assert f"port {served[0].port} cannot be had: Address already in use" in printed.err
    assert len(served) == 1


def _put(deployed: Deployed, notification: str, **changes: Any) -> None:
    item = {
        "chargeId": CHARGE,
        "notificationId": notification,
        "orderId": ORDER,
        "state": "PENDING",
        "receivedAt": stamp(deployed.world.now - timedelta(minutes=9)),
        "passesDone": 1,
        "attempts": 1,
        "attemptsBefore": 1,
    }
    deployed.world.table("CREDIT_CARD_NOTIFY_TABLE").put_item(Item=item | changes)
