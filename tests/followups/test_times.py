"""Times as people read and type them."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from callback.table import parse_utc
from followups.listing import parse_when

NOW = datetime(2026, 11, 22, 9, 30, 17, 250_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("typed", "means"),
    [
        ("90m", "2026-11-22T08:00:17.250000Z"),
        ("3d", "2026-11-19T09:30:17.250000Z"),
        ("1w", "2026-11-15T09:30:17.250000Z"),
        ("+10s", "2026-11-22T09:30:27.250000Z"),
        ("09:30", "2026-11-22T02:30:00Z"),
        ("today", "2026-11-21T17:00:00Z"),
        ("Yesterday", "2026-11-20T17:00:00Z"),
        ("2026-11-20", "2026-11-19T17:00:00Z"),
        ("2026-11-22T09:30Z", "2026-11-22T09:30:00Z"),
        (" 2026-11-22 16:30+08:00 ", "2026-11-22T08:30:00Z"),
        ("2026-11-22T09:30:17.250000Z", "2026-11-22T09:30:17.250000Z"),
    ],
)
def test_time_may_be_typed_as_a_date_a_time_or_how_long_ago(typed: str, means: str) -> None:
    """Unless it names its own, it is read in the user's zone, by default UTC; a plus is a time to come."""
    assert parse_when(typed, NOW, ZoneInfo("Asia/Bangkok")) == parse_utc(means)
    assert parse_when("2026-11-22T09:30", NOW) == datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize("typed", ["", "some day", "-3d", "3 d", "3y", "٣d", "2026-13-01", "9999999d"])
def test_what_is_no_time_is_refused(typed: str) -> None:
    """Rather than taken for another time."""
    with pytest.raises(ValueError, match=r"isoformat|month"):
        parse_when(typed, NOW)
