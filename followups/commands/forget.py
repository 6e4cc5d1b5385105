"""`followups forget`: erase a customer's data."""

from collections import Counter

import click

from followups.forget import Erasure, erased, planned
from followups.manual import ManualCommand
from followups.operator import Operator
from followups.output import Column, Sheet, visible
from followups.records import of_order

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
    short_help="Erase a customer's data, keep what accounting needs.",
    examples={
        "followups forget ORDER-1001": "say what would be erased, and ask",
        "followups forget ORDER-1001 --dry-run": "only say it",
        "followups forget ORDER-1001 --yes": "erase it without a question",
    },
    exits={
        0: "erased, or nothing is left to erase; --dry-run: said",
        1: "something stays: it is still followed up, you said no, --yes was not given, or nothing was saved",
        2: "it could not be tried",
        130: "stopped",
    },
    permissions=[
        "cloudformation:DescribeStacks the stack",
        "dynamodb:Query the index `order` of CreditCardNotifyTable",
        "dynamodb:BatchGetItem CreditCardNotifyTable, CallbackErrorLogTable",
        "dynamodb:UpdateItem CreditCardNotifyTable, CallbackErrorLogTable",
    ],
)
@click.argument("order", metavar="ORDER")
@click.option("--dry-run", is_flag=True, help="only say what would be erased")
@click.option("--yes", is_flag=True, help="do not ask")
@click.pass_obj
def forget(operator: Operator, order: str, *, dry_run: bool, yes: bool) -> int:
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


def _tell(operator: Operator, erasures: list[Erasure], *, more: bool, stays: int = 1) -> int:
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
        operator.output.warn("There are more than are looked at here: forget again afterwards.")
    return stays if counts["left"] or more else 0
