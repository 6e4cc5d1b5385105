"""`followups list`: what waits, is late or failed."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import click

from callback.table import format_utc
from followups.cli import LETTERS, READ, Operator, manual, shared
from followups.output import Row, clock_time
from followups.records import CHECKSUMS, STATES, Found, Notification, State, status
from followups.stack import Stack
from followups.tables import MOST_LISTED, Listing, listed

_LENGTH = re.compile(r"(?P<ahead>\+?)(?P<number>\d{1,6})(?P<unit>[smhdw])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_EXPECTED = "2026-11-22, 2026-11-22T09:30, 09:30, today, yesterday, 90m, 2h, 3d or 1w (ago), or +10m (ahead)"


def parse_when(text: str, now: datetime, zone: tzinfo = UTC, *, past: bool = False) -> datetime:
    """Parse a time that was typed in a zone; a `past` time of day is the last one. Raises `ValueError`."""
    text, today = text.strip().lower(), now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    if text in {"today", "yesterday"}:
        return today - timedelta(days=text == "yesterday")
    if length := _LENGTH.fullmatch(text):
        distance = timedelta(**{_UNITS[length["unit"]]: int(length["number"])})
        return now + distance if length["ahead"] else now - distance
    if re.fullmatch(r"\d\d:\d\d(:\d\d)?", text):
        time = datetime.fromisoformat(f"{today:%Y-%m-%d}T{text}").replace(tzinfo=zone)
        return time - timedelta(days=past and time > now)
    moment = datetime.fromisoformat(text.upper())
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)


class When(click.ParamType):
    """A time that an operator types."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Parse it in the operator's zone."""
        operator = click.get_current_context().ensure_object(Operator)
        try:
            return parse_when(value, operator.clock(), operator.zone, past=bool(param and param.name == "since"))
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no time: expected {_EXPECTED}", param, ctx)


state_option = click.option("--state", "states", type=click.Choice(STATES), multiple=True, help="one, or several")
CHOOSING = shared(
    since={"type": When(), "help": "from then on"},
    until={"type": When(), "help": "before then"},
    checksum={"type": click.Choice(CHECKSUMS), "help": "only those with this verdict"},
    cause={"metavar": "ID", "help": "only those of one cause, as `list` and `watch` name it"},
    limit={"type": click.IntRange(1, MOST_LISTED), "help": "at most so many of each state (default: 1000)"},
)


def chosen(operator: Operator, states: Iterable[State]) -> dict[State, Found]:
    """Read what is in some states, and matches the options."""
    asked, now = {name: value for name, value in operator.given.items() if name in CHOOSING}, operator.clock()
    return {state: listed(operator.stack, Listing(state, **asked), now) for state in dict.fromkeys(states)}


@manual("list", READ + LETTERS, "followups list --state failed --since 24h --json", options=CHOOSING.values())
@state_option
def list_command(operator: Operator, states: tuple[State, ...]) -> int:
    """List the notifications that wait, or that failed.

    pending is all that waits, overdue the part that was first due more than two minutes ago; failed waits for a person,
    latest first. Without --state it lists overdue and failed. What the bank vouches for (checksum valid) comes first.
    What is done is in no list: `followups show` finds it. On a terminal those with one cause share one row, unless
    --cause asks for them.

    --since and --until limit when the pass was first due, or when it failed, the second excluded. WHEN is a date
    (2026-11-22), a time (2026-11-22T09:30, or 09:30 today; --since takes yesterday's where that is still ahead), today,
    yesterday, 90m, 2h, 3d or 1w ago, or +10m ahead; in your zone on a terminal, else in UTC, unless it names its own.
    """
    output, stack, now = operator.output, operator.stack, operator.clock()
    parts, letters = chosen(operator, states or ("overdue", "failed")), stack.about_letters()
    if output.is_table:
        from followups.watch import Snapshot, WatchView

        view = WatchView(stack, Snapshot(now, parts, letters), now, is_whole=True, given=operator.given)
        output.console.print(view, crop=False)
    else:
        output.rows((), *(_row(one, now) for part in parts.values() for one in part.rows))
        for line in letters:
            output.warn(line)
    if any(part.more for part in parts.values()):
        output.warn("There are more: --limit, --since, --until, --checksum and --cause choose among them.")
    return 0


def _row(one: Notification, now: datetime) -> Row:
    current = status(one, now)
    at = f"{current.at:%Y-%m-%dT%H:%M:%SZ}" if current.at else "-"
    passes, checksum = f"passes={max(one.next_pass - 1, 0)}", f"checksum={one.checksum}"
    return Row((at, current.word, passes, checksum, one.names, one.reason), one.as_data(now))


def extent(group: Sequence[Notification], now: datetime) -> str:
    """Return the span of time in which the members of a group failed, or were due."""
    times = sorted(at for one in group if (at := status(one, now).at))
    return f"{clock_time(times[0], now)} to {clock_time(times[-1], now)}" if times else "at times that are unknown"


def group_command(stack: Stack, one: Notification, now: datetime, given: Mapping[str, Any]) -> str:
    """Return the command that replays all with the cause and state of a notification that the options choose."""
    state = "failed" if status(one, now).word == "failed" else "overdue"
    return stack.command("replay", f"--state={state}", f"--cause={one.cause_id}", *choice(given))


def choice(given: Mapping[str, Any]) -> list[str]:
    """Return the options that choose, with times that mean the same whenever they are pasted."""
    asked = {name: given[name] for name in CHOOSING if name in given}
    return [f"--{name}={format_utc(one) if isinstance(one, datetime) else one}" for name, one in asked.items()]
