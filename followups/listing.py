"""`followups list`: what waits, is late or failed."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from functools import reduce
from typing import Any

import click
from click.decorators import FC

from followups.cli import LETTERS, READ, Operator, manual
from followups.output import clock_time
from followups.records import CHECKSUMS, STATES, Found, Notification, State, status
from followups.stack import Stack
from followups.tables import MOST_LISTED, Listing, listed

_LENGTH = re.compile(r"(?P<ahead>\+?)(?P<number>\d{1,6})(?P<unit>[smhdw])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_EXPECTED = "2026-11-22, 2026-11-22T09:30, 09:30, today, yesterday, 90m, 2h, 3d or 1w (ago), or +10m (ahead)"


def parse_when(text: str, now: datetime, zone: tzinfo = UTC) -> datetime:
    """Parse a time that was typed in a zone. Raises `ValueError`."""
    text, today = text.strip().lower(), now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    if text in {"today", "yesterday"}:
        return today - timedelta(days=text == "yesterday")
    if length := _LENGTH.fullmatch(text):
        distance = timedelta(**{_UNITS[length["unit"]]: int(length["number"])})
        return now + distance if length["ahead"] else now - distance
    if re.fullmatch(r"\d\d:\d\d(:\d\d)?", text):
        text = f"{today:%Y-%m-%d}T{text}"
    moment = datetime.fromisoformat(text.upper())
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)


def _when(context: click.Context, _: click.Parameter, value: str | None) -> datetime | None:
    operator = context.find_object(Operator) or Operator()
    try:
        return parse_when(value, operator.clock(), operator.zone) if value else None
    except (ValueError, OverflowError) as error:
        raise click.BadParameter(f"{value!r} is no time: expected {_EXPECTED}") from error


state_option = click.option("--state", "states", type=click.Choice(STATES), multiple=True, help="one, or several")
_PERIOD = (
    click.option("--since", callback=_when, metavar="WHEN", help="from then on"),
    click.option("--until", callback=_when, metavar="WHEN", help="before then"),
    click.option("--checksum", type=click.Choice(CHECKSUMS), help="only those with this verdict"),
    click.option("--cause", metavar="ID", help="only those of one cause, as `list` and `watch` name it"),
    click.option("--limit", type=click.IntRange(1, MOST_LISTED), help="at most so many of each state (default: 1000)"),
)


def period(command: FC) -> FC:
    """Add the options that choose among the notifications of a state."""
    return reduce(lambda decorated, option: option(decorated), reversed(_PERIOD), command)


def chosen(operator: Operator, states: Iterable[State], asked: Mapping[str, Any]) -> Found:
    """Read what is in some states, one after the other; `asked` are the options of `period`."""
    given, now = {name: value for name, value in asked.items() if value}, operator.clock()
    parts = [listed(operator.stack, Listing(state, **given), now) for state in states]
    return Found(tuple(one for part in parts for one in part.rows), any(part.more for part in parts))


@manual("list", READ + LETTERS, "followups list --state failed --since 24h", "followups list --checksum invalid --json")
@state_option
@click.option("--all", "unfold", is_flag=True, help="on a terminal: print each, instead of one of each cause")
@period
def list_command(operator: Operator, /, states: tuple[State, ...], *, unfold: bool, **asked: Any) -> int:
    """List the notifications that wait, or that failed.

    pending is all that waits, overdue the part that was first due more than two minutes ago: both in the sweep's order.
    failed waits for a person, latest first. Without --state it lists what needs somebody: overdue and failed.

    What is done is in no list: find it with `followups show`. What the bank vouches for (checksum valid) comes first.
    On a terminal those of one cause fold into one row, with their number and the command for all.

    --since and --until bound when the pass was first due, or when it failed, the second excluded. WHEN is a date
    (2026-11-22), a time (2026-11-22T09:30, or 09:30 today), today, yesterday, 90m, 2h, 3d or 1w ago, or +10m ahead; in
    your zone on a terminal, else in UTC, unless it names its own.
    """
    output, stack, now, states = operator.output, operator.stack, operator.clock(), states or ("overdue", "failed")
    parts = {state: chosen(operator, [state], asked) for state in dict.fromkeys(states)}
    letters = stack.about_letters()
    if output.is_table:
        from followups.watch import Snapshot, WatchView

        folds = not (unfold or asked["cause"])
        output.console.print(WatchView(stack, Snapshot(now, parts, letters), now, is_whole=True, folds=folds))
    else:
        for one in (one for part in parts.values() for one in part.rows):
            _print(operator, one, now)
        for line in letters:
            output.warn(line)
    if any(part.more for part in parts.values()):
        output.warn("There are more: --limit, --since, --until, --checksum and --cause choose among them.")
    return 0


def _print(operator: Operator, one: Notification, now: datetime) -> None:
    if operator.output.as_json:
        operator.output.document(one.as_data(now))
        return
    current = status(one, now)
    at = f"{current.at:%Y-%m-%dT%H:%M:%SZ}" if current.at else "-"
    passes, checksum = f"passes={max(one.next_pass - 1, 0)}", f"checksum={one.checksum}"
    operator.output.line(at, current.word, passes, checksum, one.names, one.reason)


def extent(group: Sequence[Notification], now: datetime) -> str:
    """Return the span of time in which those of a group failed, or have been due."""
    times = sorted(at for one in group if (at := status(one, now).at))
    return f"{clock_time(times[0], now)} to {clock_time(times[-1], now)}" if times else "at times that are unknown"


def group_command(stack: Stack, one: Notification, now: datetime) -> str:
    """Return the command that replays all with the cause and state of a notification."""
    state = "failed" if status(one, now).word == "failed" else "overdue"
    return stack.command("replay", f"--state={state}", f"--cause={one.cause_id}")
