"""Time is UTC. A clock is any function that returns an aware `datetime`; tests bring their own."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]

# Hosts' clocks agree within a second. A wait that two hosts measure is longer by that, so that it is never short.
SKEW = timedelta(seconds=1)


def utc_now() -> datetime:
    """Return the current time."""
    return datetime.now(UTC)


def format_utc(time: datetime) -> str:
    """Format a time with microseconds at one fixed width, so that texts sort as the times do."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_utc(text: str) -> datetime:
    """Parse what `format_utc` made. Raises `ValueError` for a time without its zone, which would compare with none."""
    if not text.endswith("Z"):
        raise ValueError("expected a UTC time such as 2026-01-31T12:00:00Z")
    return datetime.fromisoformat(text)
