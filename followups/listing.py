"""`followups list`: what waits, is late or failed."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

import click

from followups.manual import ManualCommand
from followups.operator import Operator
from followups.output import STYLES, Cell, Column, Sheet
from followups.records import (
    CHECKSUMS,
    MOST_LISTED,
    STATES,
    Found,
    Listing,
    Notification,
    State,
    Status,
    listed,
    status,
)
from followups.text import EXPECTED, parse_when

EVER = Listing("pending")
_LIMIT = 1000
_LIMITED = f"no more than so many of each state (default: {_LIMIT}); it is said where there are more"
_CHECKSUM = f"only those with this verdict: {', '.join(CHECKSUMS)}"
_COLUMNS = (
    Column("due or failed (UTC)", 19),
    Column("status", 8),
    Column("pass", 4),
    Column("checksum", 8),
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

What the bank vouches for (checksum valid) comes before what it does not. A forged notification never has that, and
never holds up one that has.

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
        click.option("--checksum", type=click.Choice(CHECKSUMS), metavar="VERDICT", help=_CHECKSUM),
        click.option("--limit", type=click.IntRange(1, MOST_LISTED), metavar="N", help=_LIMITED),
    )
    for option in reversed(bounds):
        command = option(command)
    return command


def chosen(operator: Operator, states: Iterable[State], asked: Mapping[str, Any]) -> Found:
    """Stream what is in one of the states, one state after the other; `asked` are the options of `period`."""
    found = Found()
    found.rows = _chosen(operator, states, asked, found)
    return found


def _chosen(
    operator: Operator, states: Iterable[State], asked: Mapping[str, Any], found: Found
) -> Iterator[Notification]:
    now, since, until = operator.clock(), asked["since"] or EVER.since, asked["until"] or EVER.until
    for state in states:
        part = listed(operator.stack, Listing(state, since, until, asked["limit"] or _LIMIT, asked["checksum"]), now)
        yield from part
        found.more |= part.more


@click.command(
    "list",
    cls=ManualCommand,
    help=_HELP,
    examples={
        "followups list": "what needs somebody",
        "followups list --state failed --since 24h": "what failed since yesterday",
        "followups list --state pending --since 10m": "what became due in the last ten minutes, or is due later",
        "followups list --checksum invalid": "only what matches no key of the merchant's",
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
def command(
    operator: Operator,
    /,
    states: tuple[State, ...],
    **asked: Any,  # noqa: ANN401 - --state, and what `period` adds
) -> int:
    """Print a row for each notification that is asked for."""
    output, now, count = operator.output, operator.clock(), 0
    states = states or ("overdue", "failed")
    with Sheet(output, *_COLUMNS, at_once=50) as sheet:
        found = chosen(operator, states, asked)
        for one in found:
            current = status(one, now)
            sheet.add(_cells(one, current), _line(one, current), one.as_data(now))
            count += 1
    if output.is_table:
        output.note(f"{count} {' or '.join(states)}.", "`followups show ORDER` tells more of one." if count else "")
    if found.more:
        output.warn("There are more: --limit, --since, --until and --checksum choose among them.")
    return 0


def _cells(one: Notification, current: Status) -> tuple[Cell, ...]:
    at = f"{current.at:%Y-%m-%d %H:%M:%S}" if current.at else ""
    ids = (one.order_id, one.ids["chargeId"], one.ids["notificationId"])
    proof = (one.checksum, "" if one.checksum == "valid" else "yellow")
    return (at, (current.word, STYLES[current.level]), str(one.next_pass), proof, *ids, one.reason)


def _line(one: Notification, current: Status) -> tuple[str, ...]:
    at = f"{current.at:%Y-%m-%dT%H:%M:%SZ}" if current.at else "-"
    ids = " ".join(f"{name}={value}" for name, value in one.ids.items())
    return (at, current.word, f"passes={max(one.next_pass - 1, 0)}", f"checksum={one.checksum}", ids, one.reason)
