"""Times as people type them: a date, a time, or how long ago."""

import re
from datetime import UTC, datetime, timedelta

import click

from followups.operator import Operator

_LENGTH = re.compile(r"(?P<ahead>\+?)(?P<number>\d{1,6})(?P<unit>[smhd])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
EXPECTED = (
    "a date (2026-11-22), a time (2026-11-22T09:30, UTC unless it names its zone), 90m, 2h or 3d ago, or +10m ahead"
)


def parse_when(text: str, now: datetime) -> datetime:
    """Read a time in UTC, or raise `ValueError`."""
    if length := _LENGTH.fullmatch(text.strip()):
        distance = timedelta(**{_UNITS[length["unit"]]: int(length["number"])})
        return now + distance if length["ahead"] else now - distance
    moment = datetime.fromisoformat(text.strip())
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


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
