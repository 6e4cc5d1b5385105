"""The board's web application: one page, and what it is made of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from botocore.exceptions import BotoCoreError, ClientError
from flask import Flask, Response, render_template, request
from werkzeug.exceptions import HTTPException

from callback.schema import MAX_ID_BYTES, MAX_SORT_ID_BYTES
from followups.board.guard import guard
from followups.output import shortened, visible
from followups.problems import Problem, problem
from followups.records import Found, Notification, find, get, status
from followups.snapshot import Poller
from followups.stack import Stack, StackError
from followups.timeline import Event, timeline
from followups.times import clock_time, span
from followups.watch import wait_of

_UNAVAILABLE = 503
_SHORT = 18


@dataclass(frozen=True)
class Asked:
    """What the address asks for beside the board: a word to find, or one notification by its key."""

    word: str = ""
    charge: str = ""
    notification: str = ""

    def __bool__(self) -> bool:
        """Whether anything is asked for."""
        return bool(self.word or (self.charge and self.notification))


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
    app.jinja_env.globals |= {"replay": replay, "status": status, "wait_of": wait_of}
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters |= {"visible": visible, "shortened": lambda text: shortened(text, _SHORT), "span": span}
    guard(app)
    app.after_request(_in_memory)
    app.register_error_handler(HTTPException, _refused)

    @app.get("/")
    def board() -> tuple[str, int]:
        """Show the board, and beside it what is asked for."""
        html = render_template("board.html", **_about(poller, _asked(request.args)))
        return html, 200 if poller.seen.snapshot else _UNAVAILABLE

    return app


def panel(stack: Stack, asked: Asked, now: datetime) -> Panel:
    """Tell the stories that are asked for, the newest first."""
    try:
        found = _found(stack, asked)
        stories = [(one, timeline(stack, one, now)) for one in found]
    except (StackError, ClientError, BotoCoreError) as error:
        return Panel(asked, problem=problem(error))
    return Panel(asked, stories[::-1], found.more)


def _found(stack: Stack, asked: Asked) -> Found:
    # No id of ours is longer, and DynamoDB refuses much longer ones.
    if asked.word:
        return find(stack, asked.word[:MAX_ID_BYTES])
    one = get(stack, asked.charge[:MAX_ID_BYTES], asked.notification[:MAX_SORT_ID_BYTES])
    return Found([one] if one else [])


def _about(poller: Poller, asked: Asked) -> dict[str, object]:
    seen, now = poller.poll(), poller.clock()
    return {
        "stack": poller.stack.name,
        "seen": seen,
        "look": seen.snapshot,
        "panel": panel(poller.stack, asked, now) if asked else None,
        "asked": asked,
        "now": now,
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
