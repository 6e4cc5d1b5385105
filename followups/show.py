"""`followups show`: what became of an order, a charge or a notification."""

import click

from callback.table import format_utc
from followups.manual import LETTERS, READ, TIMERS, manual
from followups.operator import Operator
from followups.output import STYLES, Row, Sheet, column
from followups.records import Notification, status
from followups.tables import find, find_by_prefix
from followups.text import with_command
from followups.timeline import Event, timeline

SHORTEST_PREFIX = 6
_NOT_FOUND = """{}: no notification was saved in stack {}.
Check the id and the stack. What is done is found by its whole order or charge id alone; what could
not be saved is in a queue:
    {}"""


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
    output, now = operator.output, operator.clock()
    found = find(operator.stack, word)
    if not found.rows and len(word) >= SHORTEST_PREFIX:
        found = find_by_prefix(operator.stack, word, now)
    timelines = [(one, timeline(operator.stack, one, now)) for one in found.rows]
    if output.as_json:
        records = [one.as_data(now) | {"timeline": list(map(_as_data, events))} for one, events in timelines]
        about = {"stack": operator.stack.name, "asked": word, "more": found.more}
        output.document(about | {"notifications": records})
    else:
        _print(operator, timelines)
    if found.more:
        output.warn(
            f"There are more than these {len(timelines)}: the proved and the latest of what was read are shown."
        )
    for line in operator.stack.about_letters():
        output.warn(line, "bold red")
    if not timelines:
        advice = operator.stack.command("dead-letters", "list")
        for line in _NOT_FOUND.format(word, operator.stack.name, advice).splitlines():
            output.note(line)
    return 0 if timelines else 1


def _print(operator: Operator, timelines: list[tuple[Notification, list[Event]]]) -> None:
    for number, (one, events) in enumerate(timelines):
        if number:
            operator.output.line("")
        current, done = status(one, operator.clock()), max(one.next_pass - 1, 0)
        text = f"{current.word}, passes completed: {done}, checksum {one.checksum}"
        text = "another function's row" if current.word == "foreign" else text
        operator.output.line(f"Order {one.order_id}: {text}", style=STYLES[current.level])
        operator.output.line(f"charge {one.ids['chargeId']}, notification {one.ids['notificationId']}")
        _print_events(operator, events)


def _print_events(operator: Operator, events: list[Event]) -> None:
    zone, now = operator.zone, operator.clock()
    is_utc = now.utcoffset() == now.astimezone(zone).utcoffset()
    columns = [column("local", 8), column("UTC", 19), column("what", 9), column("known", ratio=1)]
    rows = []
    for event in events:
        style = STYLES[event.level]
        at = f"{event.at:%Y-%m-%d %H:%M:%S}" if event.at else ""
        local = f"{event.at.astimezone(zone):%H:%M:%S}" if event.at else ""
        cells = (local, at, (event.what, style), (event.text, style))
        line = (format_utc(event.at) if event.at else "-", event.what, event.text)
        rows.append(Row(cells[is_utc:], line, {}))
    Sheet(operator.output, *columns[is_utc:]).add(*rows)
    if operator.output.is_table:  # in the table it may be broken in two
        for command in (part for event in events for part in with_command(event.text)[1:]):
            operator.output.line(command)


def _as_data(event: Event) -> dict[str, object]:
    at = format_utc(event.at) if event.at else None
    return {"at": at, "what": event.what, "text": event.text, "level": event.level}
