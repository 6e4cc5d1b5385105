"""Forget: erase a customer's data from the records of an order, and from their rows of the error log.

What is kept is named, and all else is erased: an attribute that nobody thought of cannot stay behind.
"""

from collections import Counter
from datetime import datetime
from decimal import Decimal

import click

from callback.clock import format_utc
from callback.table import Item
from followups.manual import READ, ManualCommand
from followups.operator import Operator
from followups.output import Column, Sheet
from followups.records import (
    ATTRIBUTES,
    ERROR_ATTRIBUTES,
    KEY,
    Notification,
    Outcome,
    error_keys,
    get_all,
    of_order,
    status,
    update,
)
from followups.stack import Stack
from followups.text import visible

RECORDS, ERRORS = "CreditCardNotifyTable", "CallbackErrorLogTable"
# What accounting needs, and what finds, shows, replays and expires a record. The digest tells a repeat of the delivery.
_KEPT = {
    RECORDS: {*ATTRIBUTES, "note", "bodyDigest", "sweepShard", "failedShard", "expiresAt", "claimId", "erasedAt"}
    - {"lastError", "passes", "resolvedReason"},
    ERRORS: {*ERROR_ATTRIBUTES, "functionName", "orderId", "notificationId", "checksumStatus", "expiresAt", "erasedAt"}
    - {"message", "responseData"},
}
_KEPT_OF_PASS = ("number", "at", "attempt", "durationMs")


def planned(stack: Stack, one: Notification, now: datetime) -> Outcome:
    """Say what would be erased. What is still followed up is left: its passes run on, and would write again."""
    word = status(one, now).word
    if word == "foreign":
        return Outcome(one, "left", "left: a row of another function's")
    if one.item.get("state") not in ("DONE", "FAILED") or word == "running":
        return Outcome(one, "left", f"left: {word}, so it is still followed up; forget it once it is done or failed")
    names = sorted(
        name
        for record in get_all(stack, RECORDS, [{name: one.item[name] for name in KEY}])
        for name in _changes(RECORDS, record)
    )
    errors = sum(bool(_changes(ERRORS, row)) for row in _rows(stack, one))
    if not names and not errors:
        return Outcome(one, "nothing", "nothing is left to erase")
    return Outcome(
        one, "would erase", f"{', '.join(names) or 'nothing'} of the record; rows of the error log: {errors}"
    )


def erased(stack: Stack, plan: Outcome, now: datetime) -> Outcome:
    """Carry out a plan. Raises `ClientError` or `BotoCoreError`; what was erased by then stays erased."""
    one, at = plan.notification, {"erasedAt": format_utc(now)}
    for row in _rows(stack, one):
        if changes := _changes(ERRORS, row):
            update(stack, ERRORS, row, ("errorId",), changes | at)
    for record in get_all(stack, RECORDS, [{name: one.item[name] for name in KEY}]):
        changes = _changes(RECORDS, record)
        if changes and not update(stack, RECORDS, one.item, KEY, changes | at):
            return Outcome(one, "left", "left: it moved on meanwhile; try again")
    return Outcome(one, "erased", f"erased: {plan.text}")


def _changes(table: str, item: Item) -> Item:
    """Return what to write, by attribute: None for what goes."""
    kept = _KEPT[table]
    changes: Item = {
        name: None for name, value in item.items() if name not in kept or not isinstance(value, str | Decimal | bool)
    }
    if isinstance(item.get("passes"), list) and table == RECORDS:
        passes = [_without_outcome(done) for done in item["passes"]]
        changes = {name: value for name, value in changes.items() if name != "passes"}
        changes |= {"passes": passes} if passes != item["passes"] else {}
    return changes


def _without_outcome(done: object) -> object:
    values = done if isinstance(done, dict) else {}
    return {name: values[name] for name in _KEPT_OF_PASS if isinstance(values.get(name), str | Decimal)}


def _rows(stack: Stack, one: Notification) -> list[Item]:
    ids = error_keys(one.ids["notificationId"], max(one.next_pass, len(stack.delays) + 1))
    return list(get_all(stack, ERRORS, [{"errorId": id_} for id_ in ids]))


_HELP = """Erase a customer's data from the notifications of an order, and from their rows of the error log.

Gone are the body, what ProcessPaidOrder answered, and every free text: last error, message, traceback, event. Kept are
what accounting needs: ids, amount, currency, status, verdict, state, the passes and their times.

What would be erased is shown first, and you are asked; without a terminal only --yes erases. What is still followed up
is left, since its passes would write again: forget it once it is done or failed. It may be run twice.

It does not reach messages in the queues (`followups dead-letters`), rows of the error log of what was never saved, log
lines, mails and backups: docs/data.md says when each is gone."""
_COLUMNS = (Column("", 1), Column("charge, notification", ratio=2), Column("what", ratio=3))
_MARKS = {"erased": ("✓", "green"), "nothing": ("·", "dim"), "left": ("✗", "bold red"), "would erase": ("→", "yellow")}


@click.command(
    "forget",
    cls=ManualCommand,
    help=_HELP,
    examples={
        "followups forget ORDER-1001": "say what would be erased, and ask",
        "followups forget ORDER-1001 --dry-run": "only say it",
        "followups forget ORDER-1001 --yes": "erase it without a question",
    },
    exits={
        0: "erased, or nothing is left to erase; --dry-run: said",
        1: "something stays: it is still followed up, you said no, --yes was not given, or nothing was saved",
    },
    permissions=[*READ, "dynamodb:UpdateItem CreditCardNotifyTable, CallbackErrorLogTable"],
)
@click.argument("order", metavar="ORDER")
@click.option("--dry-run", is_flag=True, help="only say what would be erased")
@click.option("--yes", is_flag=True, help="do not ask")
@click.pass_obj
def command(operator: Operator, order: str, *, dry_run: bool, yes: bool) -> int:
    """Erase, or say what would be erased."""
    stack, output, now = operator.stack, operator.output, operator.clock()
    found = of_order(stack, order)
    plans = [planned(stack, one, now) for one in found]
    if not plans:
        output.note(f"{order}: no notification was saved in stack {stack.name}.")
        return 1
    todo = [plan for plan in plans if plan.result == "would erase"]
    if dry_run or not todo:
        return _tell(operator, plans, more=found.more, stays=0 if dry_run else 1)
    if not yes:
        _tell(operator, plans, more=found.more)
        if not operator.agrees(f"Erase this of {order} for good?", "forget", "--yes", ids=(order,)):
            return 1
    operator.when_stopped = "Stopped. Some of it may have been erased; the same command goes on."
    done = [erased(stack, plan, operator.clock()) if plan in todo else plan for plan in plans]
    return _tell(operator, done, more=found.more)


def _tell(operator: Operator, erasures: list[Outcome], *, more: bool, stays: int = 1) -> int:
    counts: Counter[str] = Counter()
    with Sheet(operator.output, *_COLUMNS) as sheet:
        for one in erasures:
            ids = one.notification.ids
            named = " ".join(f"{name}={value}" for name, value in ids.items())
            cells = (_MARKS[one.result], "\n".join(visible(ids[name]) for name in ("chargeId", "notificationId")))
            sheet.add((*cells, one.text), (named, one.text), ids | {"result": one.result, "text": one.text})
            counts[one.result] += 1
    erasing = f"to erase: {counts['would erase']}" if counts["would erase"] else f"erased: {counts['erased']}"
    operator.output.note(f"Notifications: {len(erasures)}, {erasing}, left: {counts['left']}.")
    if more:
        operator.output.warn("There are more than one run reads: run forget again.")
    return stays if counts["left"] or more else 0
