"""`followups resolve`: close what was settled by hand."""

from datetime import datetime

import click

from callback.clock import format_utc
from followups.manual import READ, manual
from followups.operator import Operator
from followups.outcome import Outcome, sheet
from followups.records import Notification, status
from followups.stack import Stack
from followups.tables import KEY, RECORDS, find, update
from followups.text import printable


@manual(
    "resolve",
    (*READ, "dynamodb:UpdateItem CreditCardNotifyTable"),
    'followups resolve ORDER-1001 --reason "refunded by hand, ticket 4711"',
)
@click.argument("word", metavar="ORDER|CHARGE|NOTIFICATION")
@click.option("--reason", required=True, metavar="TEXT", help="what was done, for later readers")
def command(operator: Operator, word: str, reason: str) -> int:
    """Close the failed notifications of an order that was settled by hand, with the reason.

    The record keeps the reason and the time: `show` prints both, and the notification leaves every list and count of
    what failed. Only what is FAILED, or is overdue and not claimed, can be resolved: after that neither the sweep nor
    `replay` runs its passes. The others are left, with a line that says why.
    """
    if not (reason := printable(reason)):
        raise click.UsageError("--reason needs a text")
    found, rows, is_left = find(operator.stack, word, every=True), sheet(operator), False
    for one in found.rows:
        outcome = resolve(operator.stack, one, reason, operator.clock())
        row, is_closed = outcome.row(), outcome.result != "left"
        rows.add(row._replace(record={**row.record, "resolved": is_closed}))
        is_left |= not is_closed
    if not found.rows:
        operator.output.note(f"{word}: no notification was saved in stack {operator.stack.name}.")
    return 1 if is_left or found.more or not found.rows else 0


def resolve(stack: Stack, one: Notification, reason: str, now: datetime) -> Outcome:
    """Close a notification as it was seen."""
    current = status(one, now)
    if current.word in {"done", "resolved"}:
        return Outcome(one, "nothing", f"{current.word} already")
    is_failed = one.item.get("state") == "FAILED" and current.word != "running"
    if not is_failed and not (current.word in {"overdue", "retrying"} and current.is_late):
        return Outcome(one, "left", f"left: {current.word}, which is followed up, or has to be corrected first")
    at = format_utc(now)
    changes = {"state": "FAILED", "resolvedAt": at, "resolvedReason": reason, "failedAt": one.item.get("failedAt", at)}
    changes |= dict.fromkeys(("failedShard", "sweepShard", "sweepAt", "nextPassDue", "leaseUntil", "claimId"))
    if not update(stack, RECORDS, one.item, KEY, changes):
        return Outcome(one, "left", "left: it moved on meanwhile; try again")
    return Outcome(one, "resolved", f"resolved: {reason}")
