"""`followups list`: what waits, is late or failed."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import chain, islice

import click

from followups.manual import ManualCommand
from followups.operator import Operator
from followups.output import STYLES, Cell, Column, Sheet
from followups.records import STATES, Listing, Notification, State, Status, listed, status
from followups.times import EXPECTED, parse_when

EVER = Listing("pending")
_COLUMNS = (
    Column("due or failed (UTC)", 19),
    Column("status", 8),
    Column("pass", 4),
    Column("order", ratio=3),
    Column("charge", ratio=3),
    Column("notification", ratio=3, beyond=110),
    Column("last error", ratio=4, beyond=110),
)
_HELP = f"""List the notifications that wait, or that failed.

pending is all that waits. overdue is what of it should have moved on: its pass was first due more than two minutes ago.
Its status says more: retrying (its last attempt failed, and it is due again), running, or overdue itself. Both come in
the order in which the sweep looks at them. failed waits for a person, and comes latest first. Without --state: what
needs somebody, that is overdue and failed.

What is done is in no list: find it by its order or charge with `followups show`.

--since and --until bound when the pass was first due, or when it failed, the second excluded. WHEN is {EXPECTED}."""


class When(click.ParamType):
    """The type of --since and --until."""

    name = "when"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read it by the operator's clock; a wrong one is a usage error that says what is expected."""
        operator = ctx.find_object(Operator) if ctx else None
        try:
            return parse_when(str(value), (operator or Operator()).clock())
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no time: expected {EXPECTED}", param, ctx)


class StateChoice(click.Choice):
    """The type of --state."""

    def __init__(self, *states: State) -> None:
        super().__init__(states or STATES)

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> object:
        """Say of `done` why there is no such list."""
        if value == "done":
            self.fail("what is done is in no list: find it by its order or charge with `followups show`", param, ctx)
        found: object = super().convert(value, param, ctx)
        return found


def period(command: "click.decorators.FC") -> "click.decorators.FC":
    """Add --since, --until and --limit to a command."""
    bounds = (
        click.option("--since", type=When(), metavar="WHEN", help="from then on"),
        click.option("--until", type=When(), metavar="WHEN", help="before then"),
        click.option("--limit", type=click.IntRange(min=1), metavar="N", help="no more than so many"),
    )
    for option in reversed(bounds):
        command = option(command)
    return command


def chosen(
    operator: Operator,
    states: Iterable[State],
    since: datetime | None,
    until: datetime | None,
    limit: int | None,
) -> Iterator[Notification]:
    """Stream what is in one of the states, one state after the other."""
    now = operator.clock()
    asked = (Listing(state, since or EVER.since, until or EVER.until, limit) for state in states)
    return islice(chain.from_iterable(listed(operator.stack, one, now) for one in asked), limit)


@click.command(
    "list",
    cls=ManualCommand,
    help=_HELP,
    short_help="What is overdue, failed or pending.",
    examples={
        "followups list": "what needs somebody",
        "followups list --state failed --since 24h": "what failed since yesterday",
        "followups list --state pending --since 10m": "what became due in the last ten minutes, or is due later",
        "followups list --state overdue --json": "as JSON lines",
    },
    exits={0: "listed, if only nothing", 2: "it could not be listed", 130: "stopped"},
    permissions=[
        "cloudformation:DescribeStacks the stack",
        "dynamodb:Query the indexes `due` and `failed` of CreditCardNotifyTable",
        "dynamodb:BatchGetItem CreditCardNotifyTable",
    ],
)
@click.option("--state", "states", type=StateChoice(), multiple=True, help="may be given several times")
@period
@click.pass_obj
def list_command(
    operator: Operator,
    states: tuple[State, ...],
    since: datetime | None,
    until: datetime | None,
    limit: int | None,
) -> int:
    """Print a row for each notification that is asked for."""
    output, now, count = operator.output, operator.clock(), 0
    states = states or ("overdue", "failed")
    with Sheet(output, *_COLUMNS, at_once=50) as sheet:
        for one in chosen(operator, states, since, until, limit):
            current = status(one, now)
            sheet.add(_cells(one, current), _line(one, current), one.as_data(now))
            count += 1
    if output.is_table:
        output.note(f"{count} {' or '.join(states)}.", "`followups show ORDER` tells more of one." if count else "")
    return 0


def _cells(one: Notification, current: Status) -> tuple[Cell, ...]:
    at = f"{current.at:%Y-%m-%d %H:%M:%S}" if current.at else ""
    ids = (one.order_id, one.ids["chargeId"], one.ids["notificationId"])
    return (at, (current.word, STYLES[current.level]), str(one.next_pass), *ids, one.reason)


def _line(one: Notification, current: Status) -> tuple[str, ...]:
    at = f"{current.at:%Y-%m-%dT%H:%M:%SZ}" if current.at else "-"
    ids = " ".join(f"{name}={value}" for name, value in one.ids.items())
    return (at, current.word, f"passes={max(one.next_pass - 1, 0)}", ids, one.reason)
