"""`followups list`: what waits, is late or failed."""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import click

from followups.manual import LETTERS, READ, ManualCommand
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
    grouped,
    listed,
    status,
)
from followups.stack import Stack
from followups.text import EXPECTED, clock_time, parse_when

EVER = Listing("pending")
_LIMIT, _FOLDED = 1000, 3
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

On a terminal those of one cause fold into three rows, their number, and the commands for all of them; --all unfolds.

--since and --until bound when the pass was first due, or when it failed, the second excluded. WHEN is {EXPECTED}."""


class When(click.ParamType):
    """The type of --since and --until."""

    name = "when"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read it by the operator's clock; a wrong one is a usage error that says what is expected."""
        operator = ctx.find_object(Operator) if ctx else None
        try:
            operator = operator or Operator()
            return parse_when(str(value), operator.clock(), operator.zone)
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
        if close := difflib.get_close_matches(str(value), self.choices, 1) if value not in self.choices else []:
            self.fail(f"{value!r} is none of {', '.join(self.choices)}: did you mean {close[0]}?", param, ctx)
        found: object = super().convert(value, param, ctx)
        return found


def period(command: "click.decorators.FC") -> "click.decorators.FC":
    """Add --since, --until and --limit to a command."""
    bounds = (
        click.option("--since", type=When(), metavar="WHEN", help="from then on"),
        click.option("--until", type=When(), metavar="WHEN", help="before then"),
        click.option("--checksum", type=click.Choice(CHECKSUMS), metavar="VERDICT", help=_CHECKSUM),
        click.option("--cause", metavar="ID", help="only those of one cause, as `list` and `watch` name it"),
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
        part = listed(
            operator.stack,
            Listing(state, since, until, asked["limit"] or _LIMIT, asked["checksum"], asked["cause"]),
            now,
        )
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
    exits={0: "listed, even if there is nothing", 2: "it could not be listed"},
    permissions=[*READ, *LETTERS],
)
@click.option("--state", "states", type=StateChoice(), multiple=True, help="may be given several times")
@click.option("--all", "unfold", is_flag=True, help="on a terminal: print each, instead of a few of each cause")
@period
@click.pass_obj
def command(
    operator: Operator,
    /,
    states: tuple[State, ...],
    *,
    unfold: bool,
    **asked: Any,  # noqa: ANN401 - what `period` adds
) -> int:
    """Print a row for each notification that is asked for, or for each cause."""
    output, now, count = operator.output, operator.clock(), 0
    states = states or ("overdue", "failed")
    folds = output.is_table and not unfold and not asked["cause"]
    with Sheet(output, *_COLUMNS, at_once=50) as sheet:
        found = chosen(operator, states, asked)
        for group in grouped(found) if folds else ((one,) for one in found):
            shown = group[:_FOLDED] if len(group) > _FOLDED + 1 else group
            for one in shown:
                sheet.add(
                    _cells(one, status(one, now)),
                    _line(one, status(one, now)),
                    one.as_data(now) if output.as_json else {},
                )
            if len(shown) < len(group):
                sheet.flush()
                output.warn(f"… and {len(group) - len(shown)} more, {extent(group, now)}: {group[0].cause}", "bold")
                for word in ("list", "replay"):
                    output.line(f"    {command_of(operator.stack, group[0], now, word)}")
            count += len(group)
    for line in operator.stack.about_letters():
        output.warn(line, "bold red")
    if output.is_table:
        output.note(f"{count} {' or '.join(states)}.", "`followups show ORDER` shows one in detail." if count else "")
    if found.more:
        output.warn("There are more: --limit, --since, --until, --checksum and --cause choose among them.")
    return 0


def extent(group: Sequence[Notification], now: datetime) -> str:
    """Return the span of time in which those of a group failed, or have been due."""
    times = sorted(at for one in group if (at := status(one, now).at))
    return f"{clock_time(times[0], now)} to {clock_time(times[-1], now)}" if times else "at times that are unknown"


def command_of(stack: Stack, one: Notification, now: datetime, word: str) -> str:
    """Return the command that lists or replays all of one's cause and state."""
    state = "failed" if status(one, now).word == "failed" else "overdue"
    return stack.command(word, f"--state={state}", f"--cause={one.cause_id}")


def _cells(one: Notification, current: Status) -> tuple[Cell, ...]:
    at = f"{current.at:%Y-%m-%d %H:%M:%S}" if current.at else ""
    ids = (one.order_id, one.ids["chargeId"], one.ids["notificationId"])
    proof = (one.checksum, "" if one.checksum == "valid" else "yellow")
    return (at, (current.word, STYLES[current.level]), str(one.next_pass), proof, *ids, one.reason)


def _line(one: Notification, current: Status) -> tuple[str, ...]:
    at = f"{current.at:%Y-%m-%dT%H:%M:%SZ}" if current.at else "-"
    ids = " ".join(f"{name}={value}" for name, value in one.ids.items())
    return (at, current.word, f"passes={max(one.next_pass - 1, 0)}", f"checksum={one.checksum}", ids, one.reason)
