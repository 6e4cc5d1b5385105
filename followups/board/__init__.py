"""`followups board`: the same picture as a read-only web page on 127.0.0.1.

A page elsewhere can send a browser to 127.0.0.1, and by DNS rebinding under a name of its own: what a page other than
ours asks for is refused, as is a Host that is not this machine's, and no answer may be framed, embedded or kept.
"""

import socket
import webbrowser
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import click
from flask import Flask, Response, abort, render_template, request
from werkzeug.exceptions import HTTPException
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from callback.schema import MAX_ID_BYTES, MAX_SORT_ID_BYTES
from followups.listing import command_of, extent
from followups.manual import LETTERS, READ, TIMERS, ManualCommand
from followups.operator import Operator
from followups.records import Found, Notification, find, get, grouped, status
from followups.stack import ERRORS, Problem, Stack, explain
from followups.text import clock_time, shortened, span, visible
from followups.timeline import Event, timeline
from followups.watch import Part, Poller, wait_of

HOST = "127.0.0.1"
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'"
        "; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_UNAVAILABLE, _MISDIRECTED, _SHORT = 503, 421, 18


@dataclass(frozen=True)
class Asked:
    """What the address asks for beside the board: a word to find, or one notification by its key; a text to match."""

    word: str = ""
    charge: str = ""
    notification: str = ""
    text: str = ""

    def matching(self, part: Part) -> list[Notification]:
        """Return the rows that have the text in an id, the verdict or the reason."""
        wanted = self.text.lower()
        return [row for row in part.rows if wanted in " ".join([*row.ids.values(), row.checksum, row.reason]).lower()]


@dataclass(frozen=True)
class Panel:
    """The notifications that were asked for, each with its timeline, or what was in the way."""

    asked: Asked
    stories: Sequence[tuple[Notification, Sequence[Event]]] = ()
    more: bool = False
    problem: Problem | None = None


def application(poller: Poller, replay: Callable[[str], str]) -> Flask:
    """Return the application over one stack; `replay` words the command that replays an order."""
    app = Flask(__name__)
    known = {"replay": replay, "status": status, "wait_of": wait_of, "extent": extent, "grouped": grouped}
    app.jinja_env.globals |= known | {"group_command": partial(command_of, poller.stack)}
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters |= {"visible": visible, "shortened": lambda text: shortened(text, _SHORT), "span": span}
    app.before_request(_refuse)
    app.after_request(_protected)
    app.register_error_handler(HTTPException, _refused)

    @app.get("/")
    def board() -> tuple[str, int]:
        """Show the board, and beside it what is asked for."""
        html = render_template("board.html", **_about(poller, request.args))
        return html, 200 if poller.seen.snapshot else _UNAVAILABLE

    return app


def _refuse() -> None:
    host = request.environ.get("HTTP_HOST", "")
    if host.partition(":")[0] not in {HOST, "localhost"}:
        abort(_MISDIRECTED)
    # A browser says both by itself, and no page can change them. Another program says neither.
    if request.headers.get("Origin", f"http://{host}") != f"http://{host}":
        abort(403)
    if request.headers.get("Sec-Fetch-Site", "none") not in {"same-origin", "none"}:
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


def _refused(error: HTTPException) -> tuple[str, int]:
    return render_template("board.html", error=error), error.code or 500


def _about(poller: Poller, given: Mapping[str, str]) -> dict[str, object]:
    asked = Asked(*(given.get(name, "").strip() for name in ("find", "charge", "notification", "text")))
    seen, now = poller.poll(), poller.clock()
    about: dict[str, object] = {"stack": poller.stack.name, "seen": seen, "snapshot": seen.snapshot, "asked": asked}
    about |= {"now": now, "clock": partial(clock_time, now=now), "matching": asked.matching}
    return about | {"panel": _panel(poller.stack, asked, now)}


def _panel(stack: Stack, asked: Asked, now: datetime) -> Panel | None:
    """Tell the stories that are asked for, the newest first."""
    # No id of ours is longer, and DynamoDB refuses much longer ones.
    charge, notification = asked.charge[:MAX_ID_BYTES], asked.notification[:MAX_SORT_ID_BYTES]
    if not asked.word and not (charge and notification):
        return None
    try:
        found = find(stack, asked.word[:MAX_ID_BYTES]) if asked.word else Found(_one(stack, charge, notification))
        stories = [(one, timeline(stack, one, now)) for one in found]
    except ERRORS as error:
        return Panel(asked, problem=explain(error))
    return Panel(asked, stories[::-1], found.more)


def _one(stack: Stack, charge: str, notification: str) -> list[Notification]:
    one = get(stack, charge, notification)
    return [one] if one else []


# However many pages are open: they share a snapshot.
AT_MOST_EVERY = timedelta(seconds=2)


class _Quiet(WSGIRequestHandler):
    """Says nothing of its making, and prints no line for each request."""

    server_version, sys_version = "followups", ""

    def log_request(self, *_: object) -> None:
        """Keep quiet; errors are still logged."""


def server(app: Flask, port: int) -> BaseWSGIServer:
    """Listen on a port of 127.0.0.1, a free one for 0. Raises `OSError` where it is taken."""
    # Bound here: werkzeug would end the process where the port is taken.
    with socket.create_server((HOST, port)) as bound:
        return make_server(HOST, port, app, threaded=True, request_handler=_Quiet, fd=bound.fileno())


def serve(app: Flask, port: int, tell: Callable[[str], None], *, browser: bool) -> None:
    """Serve until Ctrl-C; tell the address, and show it in the browser."""
    with server(app, port) as listening, suppress(KeyboardInterrupt):
        address = f"http://{HOST}:{listening.port}/"
        tell(f"The board is at {address} until Ctrl-C.")
        if browser:
            webbrowser.open(address)
        listening.serve_forever()


_HELP = """Show the board as a web page on 127.0.0.1, until Ctrl-C.

What `followups watch` shows, with the timeline of each notification, and a search by order, charge or notification.

The page only reads. It is served to this machine alone: anyone logged in here can open it; a page elsewhere cannot
read it. It needs no network but AWS, which is asked every 2 seconds
at most, however many pages are open."""


@click.command(
    "board",
    cls=ManualCommand,
    help=_HELP,
    examples={
        "followups board": "on a free port, and open it in the browser",
        "followups board --port 8080 --no-browser": "on a port of one's own",
    },
    exits={0: "ended by Ctrl-C", 2: "the port is taken"},
    permissions=[*READ, *LETTERS, *TIMERS],
)
@click.option("--port", type=click.IntRange(0, 65_535), default=0, metavar="N", help="the port (default: a free one)")
@click.option("--browser/--no-browser", default=True, help="open it in the browser, or only print the address")
@click.pass_obj
def command(operator: Operator, port: int, *, browser: bool) -> int:
    """Serve the page until Ctrl-C."""
    poller = Poller(operator.stack, clock=operator.clock, at_most_every=AT_MOST_EVERY)
    app = application(poller, lambda order: operator.stack.command("replay", ids=(order,)))
    try:
        serve(app, port, operator.output.note, browser=browser)
    except OSError as error:
        raise click.ClickException(f"port {port} cannot be had: {error.strerror}") from error
    return 0
