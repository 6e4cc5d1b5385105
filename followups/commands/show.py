"""`followups show`: what became of an order, a charge or a delivery."""

from collections.abc import Mapping

import click

from callback.clock import format_utc as stamp
from followups.invocation import printable
from followups.manual import ManualCommand
from followups.moments import Moment
from followups.notifications import Saved, found
from followups.operator import Operator
from followups.output import STYLES, Column, Sheet
from followups.timeline import timeline

_HELP = """Answer "this customer paid, where is the order?".

Finds the notifications of an order, a charge or one delivery by the bank, and tells the story of each: when it came,
whether its checksum held, each pass of ProcessPaidOrder, the timer of the next one, each error, where it waits now and
what happens next. Reads only; prints no card data.

A notification that could not be saved is in no table. It can only lie in a failure queue: look with
`followups dead-letters list`."""
_STATES = {"DONE": "ok", "FAILED": "bad"}


@click.command(
    "show",
    cls=ManualCommand,
    help=_HELP,
    short_help="What became of an order, a charge or a delivery.",
    examples={
        "followups show ORDER-1001": "by the shop's order id",
        "followups show chrg_test_2250…": "by the bank's charge id",
        "followups show 8f0c5a55-… --json": "one delivery, by its request id; as JSON",
    },
    exits={0: "found", 1: "nothing was saved under that id", 2: "it could not be looked for", 130: "stopped"},
    permissions=[
        "cloudformation:DescribeStacks the stack",
        "dynamodb:Query CreditCardNotifyTable, its indexes `order` and `notification`",
        "dynamodb:GetItem CreditCardNotifyTable, CallbackErrorLogTable (without: a line says so)",
        "scheduler:GetSchedule the schedule group (without: a line says so)",
    ],
)
@click.argument("word", metavar="ORDER|CHARGE|NOTIFICATION")
@click.pass_obj
def show(operator: Operator, word: str) -> int:
    """Print what is known of each notification under an id."""
    output, now = operator.output, operator.clock()
    stories = [(saved, timeline(operator.stack, saved, now)) for saved in found(operator.stack, word)]
    if output.as_json:
        output.document({"stack": operator.stack.name, "asked": word, "notifications": [_record(*s) for s in stories]})
    for number, (saved, moments) in enumerate(stories if not output.as_json else []):
        if number:
            output.line("")
        _header(operator, saved)
        _moments(operator, moments)
    if not stories:
        output.note(f"{word}: no notification was saved in stack {operator.stack.name}.")
        output.note("Check the id and the stack; one that could not be saved can only lie in a failure queue:")
        output.note(f"    {operator.stack.command('dead-letters', 'list')}")
    return 0 if stories else 1


def _header(operator: Operator, saved: Saved) -> None:
    item = saved.item
    state = f"{saved.state}, {item.get('passesDone')} passes completed" if saved.state else "another function's row"
    operator.output.styled(f"Order {item.get('orderId')}: {state}", STYLES[_STATES.get(saved.state, "info")])
    operator.output.line(f"charge {item.get('chargeId')}, notification {item.get('notificationId')}")


def _moments(operator: Operator, moments: list[Moment]) -> None:
    with Sheet(operator.output, Column("UTC", 19), Column("what", 9), Column("known", ratio=1), at_once=1000) as sheet:
        for moment in moments:
            at = f"{moment.at:%Y-%m-%d %H:%M:%S}" if moment.at else ""
            cells = (at, (moment.what, STYLES[moment.level]), (moment.text, STYLES[moment.level]))
            sheet.add(cells, (stamp(moment.at) if moment.at else "-", moment.what, moment.text), {})


def _record(saved: Saved, moments: list[Moment]) -> Mapping[str, object]:
    told = [{"at": stamp(m.at) if m.at else None, "what": m.what, "text": m.text, "level": m.level} for m in moments]
    item = saved.item | {"passes": [done | {"outcome": printable(str(done.get("outcome")))} for done in saved.passes]}
    if "lastError" in item:
        item["lastError"] = printable(str(item["lastError"]))
    return item | {"timeline": told}
