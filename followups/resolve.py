"""`followups resolve`: close what was settled by hand, so that it needs nobody any more."""

from datetime import datetime

import click

from callback.clock import format_utc
from followups.manual import READ, ManualCommand
from followups.operator import Operator
from followups.output import Column, Sheet
from followups.records import KEY, MOST_FOUND, Notification, find, status, update
from followups.stack import Stack
from followups.text import printable, visible

_HELP = """Close the failed notifications of an order that was settled by hand, with the reason.

The record keeps the reason and the time: `show` prints both, and the notification leaves every list and count of what
failed. Only what is FAILED, or is overdue and claimed by nobody, can be resolved: neither the sweep nor `replay` runs
its passes any more. The others are left, with a line that says why."""
_COLUMNS = (Column("", 1), Column("charge, notification", ratio=2), Column("what", ratio=3))


@click.command(
    "resolve",
    cls=ManualCommand,
    help=_HELP,
    examples={'followups resolve ORDER-1001 --reason "refunded by hand, ticket 4711"': "close it"},
    exits={0: "resolved, or it was", 1: "something was left, or nothing was saved"},
    permissions=[*READ, "dynamodb:UpdateItem CreditCardNotifyTable"],
)
@click.argument("word", metavar="ORDER|CHARGE|NOTIFICATION")
@click.option("--reason", required=True, metavar="TEXT", help="what was done, for later readers")
@click.pass_obj
def command(operator: Operator, word: str, reason: str) -> int:
    """Close each notification under an id."""
    if not (reason := printable(reason)):
        raise click.UsageError("--reason needs a text")
    found, left = find(operator.stack, word, MOST_FOUND), 0
    with Sheet(operator.output, *_COLUMNS) as sheet:
        for one in found:
            text, is_closed = resolve(operator.stack, one, reason, operator.clock())
            left += not is_closed
            ids = " ".join(f"{name}={value}" for name, value in one.ids.items())
            mark = ("✓", "green") if is_closed else ("✗", "bold red")
            names = "\n".join(visible(one.ids[name]) for name in ("chargeId", "notificationId"))
            sheet.add((mark, names, text), (ids, text), one.ids | {"resolved": is_closed, "text": text})
    if not found.rows:
        operator.output.note(f"{word}: no notification was saved in stack {operator.stack.name}.")
    return 1 if left or found.more or not found.rows else 0


def resolve(stack: Stack, one: Notification, reason: str, now: datetime) -> tuple[str, bool]:
    """Close a notification as it was seen; say what became of it, and whether it is closed."""
    current = status(one, now)
    if current.word in {"done", "resolved"}:
        return f"{current.word} already", True
    is_failed = one.item.get("state") == "FAILED" and current.word != "running"
    if not is_failed and not (current.word in {"overdue", "retrying"} and current.is_late):
        return f"left: {current.word}, which is followed up or for another to mend", False
    at = format_utc(now)
    changes = {"state": "FAILED", "resolvedAt": at, "resolvedReason": reason, "failedAt": one.item.get("failedAt", at)}
    changes |= dict.fromkeys(("failedShard", "sweepShard", "sweepAt", "nextPassDue", "leaseUntil", "claimId"))
    if not update(stack, "CreditCardNotifyTable", one.item, KEY, changes):
        return "left: it moved on meanwhile; try again", False
    return f"resolved: {reason}", True
