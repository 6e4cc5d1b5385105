"""`followups board`: what `watch` shows, as a read-only web page on 127.0.0.1.

A page elsewhere can send a browser to 127.0.0.1, and by DNS rebinding under a name of its own: requests from any other
page are refused, as is a Host that is not this machine's, and no answer may be framed, embedded or stored.
"""

import logging
import socket
import webbrowser
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta

import click
from flask import Flask, Response, abort, render_template, request
from werkzeug.serving import BaseWSGIServer, make_server

from followups.cli import LETTERS, READ, TIMERS, Operator, manual
from followups.listing import extent, group_command
from followups.output import clock_time, visible
from followups.records import Found, Notification, grouped, status
from followups.show import timeline
from followups.stack import ERRORS, Stack, explain
from followups.tables import get, look_up
from followups.watch import SECTIONS, Poller, when

HOST = "127.0.0.1"
_POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'"
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": f"{_POLICY}; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def application(poller: Poller) -> Flask:
    """Return the application over one stack."""
    app, stack = Flask(__name__), poller.stack
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters["visible"] = visible
    functions = (clock_time, extent, group_command, grouped, matching, per_hour, status, when)
    app.jinja_env.globals.update({one.__name__: one for one in functions}, stack=stack, sections=SECTIONS)
    app.before_request(_refuse)
    app.after_request(_protected)

    @app.get("/")
    def board() -> tuple[str, int]:
        """Show the board, and above it what is asked for."""
        (snapshot, problem), now = poller.poll(), poller.clock()
        asked = {name: request.args.get(name, "").strip() for name in ("find", "text", "state")}
        about = {"snapshot": snapshot, "problem": problem, "asked": asked, "panel": _panel(stack, asked["find"], now)}
        return render_template("board.html", now=now, **about), 200 if snapshot else 503

    return app


def _refuse() -> None:
    host = request.environ.get("HTTP_HOST", "")
    if host.partition(":")[0] not in {HOST, "localhost"}:
        abort(421)
    # A browser sends both by itself, and no page can change them. Another program sends neither.
    is_own = request.headers.get("Origin", f"http://{host}") == f"http://{host}"
    if not is_own or request.headers.get("Sec-Fetch-Site", "none") not in {"same-origin", "none"}:
        abort(403)
    if request.method not in {"GET", "HEAD"}:
        abort(405)


def _protected(response: Response) -> Response:
    response.headers.update(HEADERS)
    # Werkzeug leaves a file open where the browser hangs up in the middle of it.
    response.direct_passthrough = False
    response.get_data()
    response.close()
    return response


def per_hour(rows: Iterable[Notification], now: datetime) -> list[int]:
    """Count what failed in each of the last 24 hours, the oldest first."""
    hours = Counter(int((now - at) / timedelta(hours=1)) for one in rows if (at := one.time("failedAt")))
    return [hours[hour] for hour in reversed(range(24))]


def matching(rows: Iterable[Notification], text: str) -> list[Notification]:
    """Return the rows that have a text in an id, the verdict or the reason."""
    return [row for row in rows if text.lower() in f"{row.names} {row.checksum} {row.reason}".lower()]


def _panel(stack: Stack, word: str, now: datetime) -> dict[str, object] | None:
    """Return the timelines of what is asked for, the newest first, or what was in the way."""
    if not word:
        return None
    charge, _, notification = word.rpartition(" ")  # a row's link asks for both
    try:
        one = get(stack, charge, notification) if charge else None
        found = Found((one,)) if one else look_up(stack, word, now)
        timelines = [(one, timeline(stack, one, now)) for one in reversed(found.rows)]
    except ERRORS as error:
        return {"problem": explain(error)}
    return {"timelines": timelines, "more": found.more}


def server(app: Flask, port: int) -> BaseWSGIServer:
    """Listen on a port of 127.0.0.1, a free one for 0. Raises `OSError` where it is taken."""
    with socket.create_server((HOST, port)) as bound:  # werkzeug would end the process where the port is taken
        return make_server(HOST, port, app, threaded=True, fd=bound.fileno())


@manual("board", READ + LETTERS + TIMERS, "followups board --port 8080 --no-browser")
@click.option("--port", type=click.IntRange(0, 65_535), default=0, metavar="N", help="the port (default: a free one)")
@click.option("--browser/--no-browser", default=True, help="open it in the browser, or only print the address")
def board_command(operator: Operator, port: int, *, browser: bool) -> int:
    """Show what `followups watch` shows, and timelines, as a web page on 127.0.0.1, until Ctrl-C.

    The page only reads. It is served to this machine alone: anyone logged in here can open it; a page elsewhere cannot
    read it. It needs no network but AWS, which is asked every 2 seconds at most, however many pages are open.
    """
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # not each request
    app = application(Poller(operator.stack, clock=operator.clock, at_most_every=timedelta(seconds=2)))
    try:
        listening = server(app, port)
    except OSError as error:
        raise click.ClickException(f"port {port} cannot be had: {error.strerror}") from error
    address = f"http://{HOST}:{listening.port}/"
    with listening, suppress(KeyboardInterrupt):
        operator.output.note(f"The board is at {address} until Ctrl-C.")
        if browser:
            webbrowser.open(address)
        listening.serve_forever()
    return 0
