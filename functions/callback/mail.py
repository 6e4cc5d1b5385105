"""What the mails say: one list of labelled lines, as plain text and as HTML of the same words (README: errors).

What others sent is one line of printable letters, escaped in the HTML and quoted for the shell in a command.
"""

import shlex
from collections.abc import Iterator
from html import escape
from typing import NamedTuple

from callback.clock import moment
from callback.errors import FollowUpError, is_final
from callback.mail_limit import MAILS_AN_HOUR, Held
from callback.redact import scrub
from callback.settings import Settings
from callback.table import Item

_RED, _AMBER = "#d1242f", "#bf8700"
# Inline styles alone, and no colour of letters or paper: each mail program brings its own, dark or light.
_PAGE = """<!DOCTYPE html>
<html lang="en" style="color-scheme:light dark">
<head><meta charset="utf-8"/><meta name="viewport" content="width=device-width,initial-scale=1"/>
<meta name="color-scheme" content="light dark"/></head>
<body style="margin:0;padding:16px;font:16px/1.5 system-ui,sans-serif;overflow-wrap:anywhere">
<div style="max-width:600px;margin:auto">
<p style="margin:0 0 20px;padding:2px 0 2px 12px;border-left:5px solid {colour};font-size:20px;line-height:1.3"><b>\
{todo}</b></p>
{lines}
</div>
</body>
</html>
"""
_IDS = {"orderId": "Order", "notificationId": "Notification", "chargeId": "Charge"}
# What a mail says of an error, where it is known.
_KNOWN = _IDS | {"pass": "Pass", "attempt": "Attempt"}
_LINE = '<p style="margin:0 0 10px"><b style="opacity:.7">{}:</b> {}</p>'
_COMMAND = """<p style="margin:16px 0 4px"><b>{}:</b></p>
<pre style="margin:0 0 16px;padding:10px 12px;background:rgba(128,128,128,.18);border-radius:6px;\
font:14px/1.5 ui-monospace,monospace;white-space:pre-wrap">{}</pre>"""


class _Command(str):
    """A value that is there to be pasted into a shell."""

    __slots__ = ()


class _Kind(NamedTuple):
    colour: str
    outcome: str  # in the subject
    todo: str  # the first line
    itself: str  # what is tried without anybody
    repair: str  # what the last command is for


_RETRIED = _Kind(
    _AMBER,
    "{happened}, will be tried again",
    "Nothing to do yet: it is tried again by itself.",
    "Lambda tries again in about 1 minute, and once more about 2 minutes later. What fails all three times is kept in "
    "the failure queue of {functionName}; what is saved, the sweep takes up every 5 minutes, up to attempt {limit} of "
    "a pass.",
    "To send it back, should it end in the queue",
)
_HOPELESS = _Kind(
    _RED,
    "{happened}, no retry will help",
    "It waits for you: no retry can help. Mend the cause, then send it back.",
    "nothing that helps: Lambda's two retries will meet the same. From then on it lies in the failure queue of "
    "{functionName}, for 14 days.",
    "To send it back, once the cause is mended",
)
_FAILED = _Kind(
    _RED,
    "FAILED, waits for you ({happened})",
    "It waits for you: mend the cause, then replay it.",
    "nothing tries again: the notification is FAILED.",
    "To repair, once the cause is mended",
)


class Mail(NamedTuple):
    """A mail: `todo` is its first line, and says what to do."""

    subject: str
    colour: str
    todo: str
    lines: list[tuple[str, str]]

    @property
    def text(self) -> str:
        """The plain text."""
        told = [
            f"\n{label}:\n\n    {value}\n" if isinstance(value, _Command) else f"{label}: {value}"
            for label, value in self.lines
        ]
        return "\n".join([f"{self.todo}\n", *told, ""]).replace("\n\n\n", "\n\n")

    @property
    def html(self) -> str:
        """The same words as HTML, which is XML too."""
        told = [
            (_COMMAND if isinstance(value, _Command) else _LINE).format(label, escape(value).replace("\n", "<br/>"))
            for label, value in self.lines
        ]
        return _PAGE.format(colour=self.colour, todo=self.todo, lines="\n".join(told))


def error_mail(settings: Settings, error: Exception, row: Item, logged: Item, held: Held) -> Mail:
    """Say what failed, for whom, what happens by itself, and what to do.

    `row` is what is known of the error; `logged` its row of the error log, empty where that could not be written.
    """
    kind = _FAILED if is_final(error) else _HOPELESS if getattr(error, "hopeless", False) else _RETRIED
    about = dict.fromkeys(_KNOWN, "unknown") | {name: _plain(value) for name, value in row.items()}
    happened = getattr(error, "happened", FollowUpError.happened).format_map(about)
    lines = [
        ("What happened", f"{about['errorType']}: {about['message']}"),
        *([("Answer", about["responseData"])] if row["responseData"] else []),
        ("By itself", kind.itself.format(limit=settings.max_attempts, **about)),
        *_commands(settings, kind, row),
        *((label, about[name]) for name, label in _KNOWN.items() if name in row),
        ("Function", f"{about['functionName']}, branch {settings.branch}"),
        ("Seen", _seen(logged)),
        ("Error log", f"table {settings.callback_error_log_table}, errorId {about['errorId']}"),
    ]
    if held.untold:
        lines.append(("Held back before this one", _listed(held)))
    subject = f"[payment3 {settings.branch}] {_whom(row)}: {kind.outcome.format(happened=happened)}"
    return Mail(subject, kind.colour, kind.todo, lines)


def summary_mail(settings: Settings, held: Held) -> Mail:
    """Tell of what was held back in an hour that has ended."""
    what = f"{held.untold} error mails were held back"
    lines = [
        ("What happened", f"more than {MAILS_AN_HOUR} were due in an hour; held back from {_readable(held.since)} on"),
        ("To see what is FAILED", _command(settings, f"list --state failed --since {held.since[:13]}:00Z")),
        ("To see what lies in the failure queues", _command(settings, "dead-letters list")),
        ("Held back", _listed(held)),
        ("Error log", f"table {settings.callback_error_log_table} has a row for each"),
    ]
    return Mail(f"[payment3 {settings.branch}] {what}", _AMBER, f"Look at what failed: {what}.", lines)


def held_line(row: Item) -> str:
    """Tell in one short line of a mail that is held back."""
    return _plain(f"{_whom(row)}: {row['errorType']} in {row['functionName']}")


def _listed(held: Held) -> str:
    more = held.untold - len(held.first)
    return "\n".join([f"{held.untold} error mails", *held.first, *([f"and {more} more"] if more else [])])


def _whom(row: Item) -> str:
    known = (f"{_IDS[name].lower()} {_plain(row[name])[:60]}" for name in _IDS if name in row)
    return next(known, "order unknown")


def _seen(logged: Item) -> str:
    if "firstAt" not in logged:
        return "now; the error log could not be written"
    if logged["occurrences"] == 1:
        return f"once, at {_readable(logged['firstAt'])}"
    return f"{logged['occurrences']} times from {_readable(logged['firstAt'])} to {_readable(logged['lastAt'])}"


def _commands(settings: Settings, kind: _Kind, row: Item) -> Iterator[tuple[str, _Command]]:
    asked, order = _asked(row, *_IDS), _asked(row, "orderId")
    otherwise = "list --state failed" if kind is _FAILED else "dead-letters list"
    yield "To look", _command(settings, "show" if asked else otherwise, asked)
    otherwise = "replay --state failed --dry-run" if kind is _FAILED else "dead-letters redrive"
    yield kind.repair, _command(settings, *(("replay", order) if kind is _FAILED and order else (otherwise,)))


def _asked(row: Item, *names: str) -> str:
    # The first id that can be shown as it is; one that had to be masked or mended would find nothing.
    return next((row[name] for name in names if name in row and _plain(row[name]) == row[name]), "")


def _command(settings: Settings, what: str, asked: str = "") -> _Command:
    stack = f"--stack payment3-follow-up-{settings.branch}"
    if asked.startswith("-"):  # no option of ours
        return _Command(f"followups {what} {stack} -- {shlex.quote(asked)}")
    return _Command(" ".join(["followups", what, *([shlex.quote(asked)] if asked else []), stack]))


def _plain(value: object) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in scrub(str(value))).split())


def _readable(stamped: str) -> str:
    return f"{moment(stamped):%Y-%m-%d %H:%M:%S} UTC"
