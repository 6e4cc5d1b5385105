"""What the mails say, as plain text. What others sent is one short line of printable letters, without links."""

import shlex
from collections.abc import Mapping
from typing import NamedTuple

from callback.clock import parse_utc
from callback.errors import FollowUpError, OrderContradicted
from callback.redact import scrub
from callback.settings import Settings
from callback.table import Item

# For each kind, and for proved and unproved payments apart, so that nothing that a stranger sends uses up the mails about
# a proved payment.
MAILS_AN_HOUR = {"failed": 20, "contradicted": 5, "refused": 3, "retried": 3}
_MAX_SHOWN = 60
_IDS = {"orderId": "Order", "notificationId": "Notification", "chargeId": "Charge"}


class _Kind(NamedTuple):
    outcome: str  # in the subject
    todo: str  # the first line
    repair: str  # the command
    others: str  # the command that shows what is not mailed


_KINDS = {
    "failed": _Kind(
        "FAILED, waits for you",
        "Nothing tries again: remove the cause, then run the command.",
        "replay",
        "list --state failed",
    ),
    "contradicted": _Kind(
        "processed for the payment record's order",
        "Look at it: the notification contradicts the shop's payment record. The payment record's order was processed.",
        "show",
        "list",
    ),
    "refused": _Kind(
        "refused, no retry will help",
        "The event is kept in the refused queue. Look at it, then redrive or discard it.",
        "dead-letters list",
        "dead-letters list",
    ),
    "retried": _Kind(
        "will be tried again",
        "Nothing to do: it is tried again after growing waits, for {hours} hours.",
        "show",
        "list --state overdue",
    ),
}


class Mail(NamedTuple):
    """A mail in plain text."""

    subject: str
    text: str


def kind_of(error: Exception) -> str:
    """Return the kind of mail that an error makes; what is not known to be hopeless is tried again."""
    if not isinstance(error, FollowUpError):
        return "retried"
    if isinstance(error, OrderContradicted) and not error.refused:
        return "contradicted"
    return "failed" if error.ends_follow_up else "retried" if error.retryable else "refused"


def error_mail(settings: Settings, error: Exception, row: Item, logged: Item, *, is_last: bool) -> Mail:
    """Say what failed, for whom, what to do, and where the others are where this is the hour's last of its kind.

    `row` is what is known of the error; `logged` its row of the error log, empty where that could not be written.
    """
    kind = _KINDS[kind_of(error)]
    stack = f"--stack payment3-follow-up-{settings.branch}"
    lines = [
        kind.todo.format(hours=settings.give_up_after_hours),
        "",
        f"    {_command(kind.repair, row, stack)}",
        "",
        f"What happened: {row['errorType']}: {_shown(row['message'], 300)}",
        *([f"Answer: {_shown(row['responseData'], 300)}"] if row["responseData"] else []),
        *(f"{label}: {_shown(row[name])}" for name, label in _IDS.items() if name in row),
        f"Checksum: {row.get('checksumStatus', 'unknown')}",
        f"Function: {row['functionName']}, branch {settings.branch}",
        f"Seen: {_seen(logged)}",
        f"Error log: table {settings.callback_error_log_table}, errorId {row['errorId']}",
    ]
    if is_last:
        lines += [
            "",
            "This is the last mail of its kind this hour. To see the others:",
            "",
            f"    followups {kind.others} {stack}",
        ]
    return Mail(
        f"[payment3 {settings.branch}] {_whom(row)}: {row['errorType']}, {kind.outcome}", "\n".join([*lines, ""])
    )


def _command(repair: str, row: Mapping[str, str], stack: str) -> str:
    if " " in repair:
        return f"followups {repair} {stack}"
    # An id that had to be masked or cut would find nothing.
    wanted = next((row[name] for name in _IDS if name in row and _shown(row[name], 2048) == row[name]), "")
    if not wanted:
        return f"followups {'list --state failed' if repair == 'replay' else 'dead-letters list'} {stack}"
    return f"followups {repair} {stack} -- {shlex.quote(wanted)}"


def _whom(row: Mapping[str, str]) -> str:
    return next(
        (f"{label.lower()} {_shown(row[name])}" for name, label in _IDS.items() if name in row), "order unknown"
    )


def _seen(logged: Item) -> str:
    if "firstAt" not in logged:
        return "now; the error log could not be written"
    return f"{logged['occurrences']} times since {parse_utc(logged['firstAt']):%Y-%m-%d %H:%M:%S} UTC"


def _shown(value: object, most: int = _MAX_SHOWN) -> str:
    text = " ".join("".join(c if c.isprintable() else " " for c in scrub(str(value))).split())
    return text.replace("://", ": //")[:most]
