"""Time is UTC. A clock is any function that returns an aware `datetime`; tests bring their own."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the moment it is."""
    return datetime.now(UTC)


def stamp(moment: datetime) -> str:
    """Write a moment at one fixed width, so that stamps sort as the moments do."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def moment(text: str) -> datetime:
    """Read what `stamp` wrote, or raise `ValueError`: a time without its zone compares with none of ours."""
    if not text.endswith("Z"):
        raise ValueError(f"{text} is no time in UTC")
    return datetime.fromisoformat(text)
