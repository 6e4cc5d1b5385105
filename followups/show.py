"""`followups show`: what became of an order, a charge or a delivery."""

import click

from callback.clock import format_utc
from followups.manual import LETTERS, READ, TIMERS, ManualCommand
from followups.operator import Operator
from followups.output import STYLES, Cell, Column, Sheet
from followups.records import Notification, find, find_by_prefix, status
from followups.text import with_command
from followups.timeline import Event, timeline

SHORTEST_PREFIX = 6
_HELP = """Answer "this customer paid, where is the order?".

Finds the notifications of an order, a charge or one delivery by the bank, and tells the story of each: when it came,
whether its checksum held, each pass of ProcessPaidOrder, the timer of the next one, each error, what it waits for and
what happens next. Reads only; prints no card data.

Of many notifications it shows 20 and says so: those whose checksum is valid first, then the latest.

The first six letters or more of an id find what waits or failed.

A delivery's own id finds what waits, what failed, and what the error log names; order and charge find everything that
was saved. A notification that could not be saved is in no table, but in a queue: look with
`followups dead-letters list`."""


@click.command(
    "show",
    cls=ManualCommand,
    help=_HELP,
    examples={
        "followups show ORDER-1001": "by the shop's order id",
        "followups show chrg_test_2250…": "by the bank's charge id",
        "followups show 8f0c5a55-… --json": "one delivery, by its request id; as JSON",
    },
    exits={0: "found", 1: "nothing was saved under that id", 2: "it could not be looked for"},
    permissions=[*READ, *LETTERS, *TIMERS],
)
@click.argument("word", metavar="ORDER|CHARGE|NOTIFICATION")
@click.pass_obj
def command(operator: Operator, word: str) -> int:
    """Print what is known of each notification under an id."""
    output, now = operator.output, operator.clock()
    found = find(operator.stack, word)
    if not found.rows and len(word) >= SHORTEST_PREFIX:
        found = find_by_prefix(operator.stack, word, now)
    stories = [(one, timeline(operator.stack, one, now)) for one in found]
    if output.as_json:
        records = [one.as_data(now) | {"timeline": list(map(_as_data, events))} for one, events in stories]
        about = {"stack": operator.stack.name, "asked": word, "more": found.more}
        output.document(about | {"notifications": records})
    for number, (one, events) in enumerate(stories if not output.as_json else []):
        if number:
            output.line("")
        _header(operator, one)
        _story(operator, events)
    if found.more:
        output.warn(f"There are more than these {len(stories)}: the proved and the latest of what was read are shown.")
    for line in operator.stack.about_letters():
        output.warn(line, "bold red")
    if not stories:
        output.note(f"{word}: no notification was saved in stack {operator.stack.name}.")
        output.note(
            "Check the id and the stack. What is done is found by its whole order or charge id alone; what could"
        )
        output.note("not be saved lies in a queue:")
        output.note(f"    {operator.stack.command('dead-letters', 'list')}")
    return 0 if stories else 1


def _header(operator: Operator, one: Notification) -> None:
    current, done = status(one, operator.clock()), max(one.next_pass - 1, 0)
    said = f"{current.word}, passes completed: {done}, checksum {one.checksum}"
    said = "another function's row" if current.word == "foreign" else said
    operator.output.styled(f"Order {one.order_id}: {said}", STYLES[current.level])
    operator.output.line(f"charge {one.ids['chargeId']}, notification {one.ids['notificationId']}")


def _story(operator: Operator, events: list[Event]) -> None:
    zone = operator.zone
    columns = [Column("UTC", 19), Column("what", 9), Column("known", ratio=1)]
    local = (
        [] if operator.clock().utcoffset() == operator.clock().astimezone(zone).utcoffset() else [Column("local", 8)]
    )
    with Sheet(operator.output, *local, *columns, at_once=1000) as sheet:
        for event in events:
            at = f"{event.at:%Y-%m-%d %H:%M:%S}" if event.at else ""
            own = [f"{event.at.astimezone(zone):%H:%M:%S}" if event.at else ""] if local else []
            cells: tuple[Cell, ...] = (*own, at, (event.what, STYLES[event.level]), (event.text, STYLES[event.level]))
            sheet.add(cells, (format_utc(event.at) if event.at else "-", event.what, event.text), {})
    if operator.output.is_table:  # in the table it may be broken in two
        for command in (part for event in events for part in with_command(event.text)[1:]):
            operator.output.line(command)


def _as_data(event: Event) -> dict[str, object]:
    at = format_utc(event.at) if event.at else None
    return {"at": at, "what": event.what, "text": event.text, "level": event.level}
