"""Texts and times as people read and type them: one line, without control characters or secrets, times in UTC."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo

from callback.redact import scrub

_MAX_LINE = 400
_STEPS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_LENGTH = re.compile(r"(?P<ahead>\+?)(?P<number>\d{1,6})(?P<unit>[smhdw])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
EXPECTED = (
    "a date (2026-11-22), a time (2026-11-22T09:30, or 09:30 today), today, yesterday, 90m, 2h, 3d or 1w ago, or +10m"
    " ahead; in your zone on a terminal, else in UTC, unless it names its own"
)


def clock_time(moment: datetime, now: datetime) -> str:
    """Format a time in UTC, without its date if that is today."""
    moment, today = moment.astimezone(UTC), now.astimezone(UTC).date()
    return f"{moment:%H:%M:%S} UTC" if moment.date() == today else f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def span(length: timedelta) -> str:
    """Format a duration by its two largest units (`2 h 10 min`), without its sign."""
    left, parts = round(abs(length.total_seconds())), []
    for seconds, unit in _STEPS:
        if left >= seconds:
            parts.append(f"{left // seconds} {unit}")
        left %= seconds
    return " ".join(parts[:2]) or "0 s"


def relative(moment: datetime, now: datetime) -> str:
    """Format a time and its distance from now: `09:31:17 UTC, in 43 s` or `09:28:17 UTC, 2 min ago`."""
    distance = f"in {span(moment - now)}" if moment > now else f"{span(now - moment)} ago"
    return f"{clock_time(moment, now)}, {distance}"


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


def visible(text: str) -> str:
    """Replace line ends and control characters."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def with_command(line: str) -> list[str]:
    """Split off the command that ends a line, so that it can be pasted whole."""
    text, found, command = line.partition("followups ")
    return [text.rstrip(" :;"), f"  {found}{command}"] if found else [line]


def shortened(text: str, width: int) -> str:
    """Shorten a long id, and keep more of its end, where ids differ."""
    clean = visible(text)
    start = (width - 1) // 3
    return clean if len(clean) <= width else f"{clean[:start]}…{clean[start + 1 - width :]}"


def printable(text: str) -> str:
    """Put a text that others wrote on one line, without secrets and control characters, and cut it."""
    visible = "".join(letter if letter.isprintable() else " " for letter in scrub(text))
    return " ".join(visible.split())[:_MAX_LINE]


def error_line(answer: object) -> str:
    """Return the type and the message of a function's error as Lambda reports it, never its payload."""
    about = answer if isinstance(answer, Mapping) else {}
    return printable(f"{about.get('errorType', 'an error')}: {about.get('errorMessage', 'without a text')}")
