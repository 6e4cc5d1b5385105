"""`followups resolve`: close what was settled by hand."""

from functools import partial

import click

from callback.table import format_utc
from followups.command import READ, Operator, manual
from followups.outcome import Result, found_by_ids, of_notifications
from followups.output import printable
from followups.records import Notification, status
from followups.tables import KEY, RECORDS, update


@manual(
    "resolve",
    (*READ, "dynamodb:UpdateItem"),
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
    found = found_by_ids(operator, [word])
    close = partial(_close, reason=reason)
    return of_notifications(operator, "resolve", _plan, close, more=found.more).run(found.rows, yes=True)


def _plan(operator: Operator, one: Notification) -> Result:
    current = status(one, operator.clock())
    if current.word in {"done", "resolved"}:
        return Result("unchanged", f"{current.word} already")
    is_failed = one.item.get("state") == "FAILED" and current.word != "running"
    if is_failed or (current.word in {"overdue", "retrying"} and current.is_late):
        return Result("planned", "would be resolved")
    return Result("left", f"left: {current.word}, which is followed up, or has to be corrected first")


def _close(operator: Operator, one: Notification, reason: str) -> Result:
    at = format_utc(operator.clock())
    changes = {"state": "FAILED", "resolvedAt": at, "resolvedReason": reason, "failedAt": one.item.get("failedAt", at)}
    changes |= dict.fromkeys(("failedShard", "sweepShard", "sweepAt", "nextPassDue", "leaseUntil", "claimId"))
    if not update(operator.stack, RECORDS, one.item, KEY, changes):
        return Result("left", "left: it moved on meanwhile; try again")
    return Result("resolved", f"resolved: {reason}")
