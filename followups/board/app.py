"""The board's web application: one page, and what it is made of."""

from collections.abc import Callable, Mapping

from flask import Flask, Response, render_template, request
from werkzeug.exceptions import HTTPException

from followups.board import plots
from followups.board.guard import guard
from followups.board.page import Asked, hour, panel
from followups.board.records import Records
from followups.output import visible
from followups.overview import HOUR, Looker
from followups.row import shortened
from followups.times import clock_time, span

Command = Callable[[str], str]
_UNAVAILABLE = 503
_SHORT = 18


def application(looker: Looker, replay: Command) -> Flask:
    """Return the application over one stack; `replay` words the command that replays an order."""
    app, records = Flask(__name__), Records(looker.stack)
    app.jinja_env.globals["replay"] = replay
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters |= {"visible": visible, "shortened": lambda text: shortened(text, _SHORT), "span": span}
    guard(app)
    app.after_request(_in_memory)
    app.register_error_handler(HTTPException, _refused)

    @app.get("/")
    def board() -> tuple[str, int]:
        """Show the board, and beside it what is asked for."""
        html = render_template("board.html", **_about(looker, records, _asked(request.args)))
        return html, 200 if looker.seen.look else _UNAVAILABLE

    return app


def _about(looker: Looker, records: Records, asked: Asked) -> dict[str, object]:
    seen, now = looker.look(), looker.clock()
    return {
        "stack": looker.stack.name,
        "seen": seen,
        "look": seen.look,
        "hour": hour(seen.look, records) if seen.look else None,
        "panel": panel(looker.stack, asked, now) if asked else None,
        "asked": asked,
        "now": now,
        "hour_ago": now - HOUR,
        "plots": plots,
        "clock": lambda at: clock_time(at, now),
    }


def _asked(given: Mapping[str, str]) -> Asked:
    return Asked(given.get("find", "").strip(), given.get("charge", ""), given.get("notification", ""))


def _in_memory(response: Response) -> Response:
    # Werkzeug leaves a file open where the browser hangs up in the middle of it.
    response.direct_passthrough = False
    response.get_data()
    response.close()
    return response


def _refused(error: HTTPException) -> tuple[str, int]:
    return render_template("refused.html", error=error), error.code or 500
