"""`followups list`: what is overdue, failed, pending or done."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import chain, islice

import click

from callback.clock import parse_utc as moment
from followups.invocation import printable
from followups.manual import ManualCommand
from followups.notifications import WANTED, Listing, Saved, Wanted, listed
from followups.operator import Operator
from followups.output import STYLES, Cell, Column, Sheet
from followups.when import EXPECTED, When

EVER = Listing("done")
_COLUMNS = (
    Column("due or ended (UTC)", 19),
    Column("state", 7),
    Column("pass", 4),
    Column("order", ratio=3),
    Column("charge", ratio=3),
    Column("notification", ratio=3, beyond=110),
    Column("last error", ratio=4, beyond=110),
)
_HELP = f"""List the notifications that wait, or that ended.

What waits (pending; overdue: for more than two minutes) is listed by when its pass is due, soonest first. What ended
(failed, done) is listed by when it ended, latest first. Without --state: what needs somebody, that is overdue and
failed. Only the table's indexes are read, and no more than is printed, however many there are.

--since and --until bound that same time, the second excluded. WHEN is {EXPECTED}."""


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
    states: Iterable[Wanted],
    since: datetime | None,
    until: datetime | None,
    limit: int | None,
) -> Iterator[Saved]:
    """Stream what is in one of the states, one state after the other."""
    now = operator.clock()
    asked = (Listing(state, since or EVER.since, until or EVER.until, limit) for state in states)
    return islice(chain.from_iterable(listed(operator.stack, one, now) for one in asked), limit)


@click.command(
    "list",
    cls=ManualCommand,
    help=_HELP,
    short_help="What is overdue, failed, pending or done.",
    examples={
        "followups list": "what needs somebody",
        "followups list --state failed --since 24h": "what ended in FAILED since yesterday",
        "followups list --state pending --until +10m": "what is due in the next ten minutes",
        "followups list --state done --since 2026-11-22 --json": "a day and after, as JSON lines",
    },
    exits={0: "listed, if only nothing", 2: "it could not be listed", 130: "stopped"},
    permissions=[
        "cloudformation:DescribeStacks the stack",
        "dynamodb:Query the indexes `due` and `ended` of CreditCardNotifyTable",
    ],
)
@click.option("--state", "states", type=click.Choice(WANTED), multiple=True, help="may be given several times")
@period
@click.pass_obj
def list_command(
    operator: Operator,
    states: tuple[Wanted, ...],
    since: datetime | None,
    until: datetime | None,
    limit: int | None,
) -> int:
    """Print a row for each notification that is asked for."""
    output, now, count = operator.output, operator.clock(), 0
    states = states or ("overdue", "failed")
    with Sheet(output, *_COLUMNS, at_once=50) as sheet:
        for saved in chosen(operator, states, since, until, limit):
            sheet.add(_cells(saved, now), _line(saved), _record(saved))
            count += 1
    if output.is_table:
        advice = "" if not count else "`followups show ORDER` tells more of one."
        output.note(f"{count} {' or '.join(states)}.", advice)
    return 0


def _cells(saved: Saved, now: datetime) -> tuple[Cell, ...]:
    at = _time(saved)
    level = "bad" if saved.state == "FAILED" else "warn" if saved.is_overdue(now) else "info"
    shown = "overdue" if saved.is_overdue(now) else saved.state
    number = saved.passes_done if saved.state == "DONE" else saved.next_pass
    about = (saved.order_id, saved.charge_id, saved.notification_id)
    return (f"{at:%Y-%m-%d %H:%M:%S}", (shown, STYLES[level]), str(number), *about, _error(saved))


def _line(saved: Saved) -> tuple[str, ...]:
    ids = " ".join(f"{name}={value}" for name, value in saved.ids.items())
    return (
        f"{_time(saved).astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        saved.state,
        f"passes={saved.passes_done}",
        ids,
        _error(saved),
    )


def _record(saved: Saved) -> Mapping[str, object]:
    return saved.item | ({"lastError": _error(saved)} if "lastError" in saved.item else {})


def _time(saved: Saved) -> datetime:
    return moment(saved.time("endedAt") or saved.time("nextPassDue"))


def _error(saved: Saved) -> str:
    return printable(str(saved.item.get("lastError", "")))
