"""Time is UTC. A clock is any function that returns an aware `datetime`; tests bring their own."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]

# Hosts' clocks agree within a second. A wait that two hosts measure is a second longer, so that it is never too short.
SKEW = timedelta(seconds=1)


def utc_now() -> datetime:
    """Return the current time."""
    return datetime.now(UTC)
