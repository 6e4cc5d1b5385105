"""`followups forget`: erase a customer's data from the records of an order and their rows of the error log.

What is kept is named and all else is erased, so that an unforeseen attribute cannot stay behind.
"""

from collections import Counter
from datetime import datetime
from decimal import Decimal

import click

from callback.clock import format_utc
from callback.table import Item
from followups.manual import READ, manual
from followups.operator import Operator
from followups.outcome import Outcome, sheet
from followups.records import Notification, status
from followups.stack import Stack
from followups.tables import (
    ATTRIBUTES,
    ERROR_ATTRIBUTES,
    ERRORS,
    KEY,
    RECORDS,
    error_keys,
    find,
    get_all,
    update,
    whole,
)

# What accounting needs, and what finds, shows, replays and expires a record. The digest recognizes a repeated delivery.
_KEPT = {
    RECORDS: {*ATTRIBUTES, "note", "bodyDigest", "sweepShard", "failedShard", "expiresAt", "claimId", "erasedAt"}
    - {"lastError", "passes", "resolvedReason"},
    ERRORS: {*ERROR_ATTRIBUTES, "functionName", "orderId", "notificationId", "checksumStatus", "expiresAt", "erasedAt"}
    - {"message", "responseData"},
}
_KEPT_OF_PASS = ("number", "at", "attempt", "durationMs")


def planned(stack: Stack, one: Notification, now: datetime) -> Outcome:
    """Return what would be erased. What is still followed up is left: its passes would write again."""
    word = status(one, now).word
    if word == "foreign":
        return Outcome(one, "left", "left: a row of another function's")
    if one.item.get("state") not in ("DONE", "FAILED") or word == "running":
        return Outcome(one, "left", f"left: {word}, so it is still followed up; forget it once it is done or failed")
    names = sorted(name for record in whole(stack, one) for name in _changes(RECORDS, record))
    errors = sum(bool(_changes(ERRORS, row)) for row in _rows(stack, one))
    if not names and not errors:
        return Outcome(one, "nothing", "nothing is left to erase")
    text = f"{', '.join(names) or 'nothing'} of the record; rows of the error log: {errors}"
    return Outcome(one, "would erase", text)


def erased(stack: Stack, plan: Outcome, now: datetime) -> Outcome:
    """Carry out a plan. Raises `ClientError` or `BotoCoreError`; what was erased by then stays erased."""
    one, at = plan.notification, {"erasedAt": format_utc(now)}
    for row in _rows(stack, one):
        if changes := _changes(ERRORS, row):
            update(stack, ERRORS, row, ("errorId",), changes | at)
    for record in whole(stack, one):
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
        del changes["passes"]
        changes |= {"passes": passes} if passes != item["passes"] else {}
    return changes


def _without_outcome(done: object) -> object:
    values = done if isinstance(done, dict) else {}
    return {name: values[name] for name in _KEPT_OF_PASS if isinstance(values.get(name), str | Decimal)}


def _rows(stack: Stack, one: Notification) -> list[Item]:
    ids = error_keys(one.ids["notificationId"], max(one.next_pass, len(stack.delays) + 1))
    return list(get_all(stack, ERRORS, [{"errorId": id_} for id_ in ids]))


@manual(
    "forget",
    (*READ, "dynamodb:UpdateItem CreditCardNotifyTable, CallbackErrorLogTable"),
    "followups forget ORDER-1001",
    "followups forget ORDER-1001 --yes",
)
@click.argument("order", metavar="ORDER")
@click.option("--dry-run", is_flag=True, help="only print what would be erased")
@click.option("--yes", is_flag=True, help="do not ask")
def command(operator: Operator, order: str, *, dry_run: bool, yes: bool) -> int:
    """Erase a customer's data from the notifications of an order, and from their rows of the error log.

    It erases the body, what ProcessPaidOrder answered, and every free text: last error, message, traceback, event. It
    keeps what accounting needs: ids, amount, currency, status, verdict, state, the passes and their times.

    It prints what would be erased and asks; without a terminal only --yes erases. What is still followed up is left,
    since its passes would write again: forget it once it is done or failed. It may be run twice.

    It does not reach messages in the queues (`followups dead-letters`), rows of the error log about what was never
    saved, log lines, mails and backups: docs/data.md says when each is gone.
    """
    stack, output = operator.stack, operator.output
    found = find(stack, order, every=True)
    plans = [planned(stack, one, operator.clock()) for one in found.rows if one.order_id == order]
    if not plans:
        output.note(f"{order}: no notification was saved in stack {stack.name}.")
        return 1
    todo = [plan for plan in plans if plan.result == "would erase"]
    if todo and yes and not dry_run:
        plans = _erase(operator, plans)
    is_left = _print(operator, plans, more=found.more)
    if dry_run:
        return 0
    if todo and not yes:
        if not operator.confirms(f"Erase this of {order} for good?", "forget", "--yes", ids=(order,)):
            return 1
        is_left = _print(operator, _erase(operator, plans), more=found.more)
    return is_left


def _erase(operator: Operator, plans: list[Outcome]) -> list[Outcome]:
    operator.when_stopped = "Stopped. Some of it may have been erased; the same command continues."
    stack, now = operator.stack, operator.clock()
    return [erased(stack, plan, now) if plan.result == "would erase" else plan for plan in plans]


def _print(operator: Operator, outcomes: list[Outcome], *, more: bool) -> int:
    sheet(operator).add(*(outcome.row() for outcome in outcomes))
    counts = Counter(outcome.result for outcome in outcomes)
    erasing = f"to erase: {counts['would erase']}" if counts["would erase"] else f"erased: {counts['erased']}"
    operator.output.note(f"Notifications: {len(outcomes)}, {erasing}, left: {counts['left']}.")
    if more:
        operator.output.warn("There are more than one run reads: run forget again.")
    return 1 if counts["left"] or more else 0
