"""`followups show`: what became of an order, a charge or a notification."""

import click

from callback.table import format_utc
from followups.command import LETTERS, READ, TIMERS, Operator, manual
from followups.output import STYLES, Column, Row, Sheet, with_command
from followups.records import Notification, status
from followups.tables import find, find_by_prefix
from followups.timeline import Event, timeline

SHORTEST_PREFIX = 6


@manual("show", READ + LETTERS + TIMERS, "followups show ORDER-1001", "followups show chrg_test_2250… --json")
@click.argument("word", metavar="ORDER|CHARGE|NOTIFICATION")
def command(operator: Operator, word: str) -> int:
    """Answer "this customer paid, where is the order?".

    It prints the timeline of each notification: when it came, whether its checksum held, each pass of ProcessPaidOrder,
    the timer of the next one, each error, what it waits for and what happens next. Of many it shows 20: those with a
    valid checksum first, then the latest.

    Order and charge find everything that was saved; a request id, or the first six letters of any id, only what waits
    or failed. What could not be saved is in a queue: `followups dead-letters list`.
    """
    output, stack, now = operator.output, operator.stack, operator.clock()
    found = find(stack, word)
    if not found.rows and len(word) >= SHORTEST_PREFIX:
        found = find_by_prefix(stack, word, now)
    timelines = [(one, timeline(stack, one, now)) for one in found.rows]
    if output.as_json:
        records = [one.as_data(now) | {"timeline": [event.as_data() for event in events]} for one, events in timelines]
        output.document({"stack": stack.name, "asked": word, "more": found.more, "notifications": records})
    else:
        _print(operator, timelines)
    if found.more:
        output.warn(f"There are more than these {len(timelines)}: the proved and the latest that were read are shown.")
    for line in stack.about_letters():
        output.warn(line, "bold red")
    if not timelines:
        output.note(f"{word}: no notification was saved in stack {stack.name}.")
        output.note("Check the id and the stack. What is done is found by its whole order or charge id alone.")
        output.note("What could not be saved is in a queue:")
        output.note(f"    {stack.command('dead-letters', 'list')}")
    return 0 if timelines else 1


def _print(operator: Operator, timelines: list[tuple[Notification, list[Event]]]) -> None:
    for number, (one, events) in enumerate(timelines):
        if number:
            operator.output.line("")
        current = status(one, operator.clock())
        text = f"{current.word}, passes completed: {max(one.next_pass - 1, 0)}, checksum {one.checksum}"
        text = "another function's row" if current.word == "foreign" else text
        operator.output.line(f"Order {one.order_id}: {text}", style=STYLES[current.level])
        operator.output.line(f"charge {one.ids['chargeId']}, notification {one.ids['notificationId']}")
        _print_events(operator, events)


def _print_events(operator: Operator, events: list[Event]) -> None:
    zone, now = operator.zone, operator.clock()
    is_utc = now.utcoffset() == now.astimezone(zone).utcoffset()
    columns = [Column("local", 8), Column("UTC", 19), Column("what", 9), Column("known", ratio=1)]
    rows = []
    for at, what, text, level in events:
        times = (f"{at.astimezone(zone):%H:%M:%S}", f"{at:%Y-%m-%d %H:%M:%S}") if at else ("", "")
        cells = (*times, (what, STYLES[level]), (text, STYLES[level]))
        rows.append(Row(cells[is_utc:], (format_utc(at) if at else "-", what, text), {}))
    Sheet(operator.output, *columns[is_utc:]).add(*rows)
    if operator.output.is_table:  # in the table it may be broken in two
        for command in (part for event in events for part in with_command(event.text)[1:]):
            operator.output.line(command)
