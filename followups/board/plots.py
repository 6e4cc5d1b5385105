"""Two plots as plain geometry: numbers in, rectangles, dots and lines out. The template draws them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from callback.record import OVERDUE_AFTER as GRACE
from followups.board.measures import MINUTES, Minute, Recheck
from followups.outlook import TIMER_LATE
from followups.overview import HOUR
from followups.times import span

WIDTH, HEIGHT = 340, 136
LEFT, RIGHT, TOP, BOTTOM = 34, 6, 12, 22
_ROOM = HEIGHT - TOP - BOTTOM
_STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
_GAP = 1.4
BAR = (WIDTH - LEFT - RIGHT) / MINUTES - _GAP
_TOPS = tuple(timedelta(minutes=minutes) for minutes in (3, 5, 15, 60))
_LABEL = 12  # the room that a label needs


@dataclass(frozen=True)
class Bar:
    """A rectangle."""

    x: float
    y: float
    height: float
    kind: str


@dataclass(frozen=True)
class Dot:
    """A point; its kind says whether it is on time."""

    x: float
    y: float
    kind: str


@dataclass(frozen=True)
class Line:
    """A level across the plot, with its label."""

    y: float
    label: str
    kind: str = "grid"


@dataclass(frozen=True)
class Plot:
    """A plot of the last hour."""

    lines: Sequence[Line]
    bars: Sequence[Bar] = ()
    dots: Sequence[Dot] = ()


def throughput(minutes: Sequence[Minute]) -> Plot:
    """Draw what ended in each minute: what is done from the ground up, what failed on top of it."""
    most = max(minute.done + minute.failed for minute in minutes)
    top = next((step for step in _STEPS if step >= most), most)
    bars = [bar for minute in minutes for bar in _bars(minute, top)]
    levels = sorted({0, top // 2, top})
    return Plot([Line(_y(level / top), str(level)) for level in levels], bars=bars)


def lateness(rechecks: Sequence[Recheck], now: datetime) -> Plot:
    """Draw how late each recheck began; what is later than an hour stands at the top."""
    latest = max((recheck.late for recheck in rechecks), default=timedelta())
    top = next((top for top in _TOPS if top >= latest), _TOPS[-1])
    levels = [(timedelta(), "grid"), (TIMER_LATE, "grid"), (GRACE, "limit"), (top, "grid")]
    lines = [Line(_y(level / top), span(level), kind) for level, kind in levels]
    return Plot(list(_labelled(lines)), dots=[_dot(recheck, now, top) for recheck in rechecks])


def _labelled(lines: Sequence[Line]) -> Iterator[Line]:
    below = lines[0].y + _LABEL
    for line in lines:
        has_room = below - line.y >= _LABEL
        yield line if has_room else replace(line, label="")
        below = line.y if has_room else below


def _bars(minute: Minute, top: int) -> Iterator[Bar]:
    below = 0
    for count, kind in ((minute.done, "done"), (minute.failed, "failed")):
        if count:
            height = _ROOM * count / top
            yield Bar(_x(1 - (minute.ago + 1) / MINUTES) + _GAP / 2, _y(below / top) - height, height, kind)
        below += count


def _dot(recheck: Recheck, now: datetime, top: timedelta) -> Dot:
    kind = "late" if recheck.is_late else "fair" if recheck.late > TIMER_LATE else "good"
    return Dot(_x(1 - (now - recheck.began) / HOUR), _y(min(recheck.late / top, 1)), kind)


def _x(share: float) -> float:
    return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)


def _y(share: float) -> float:
    return round(HEIGHT - BOTTOM - share * _ROOM, 1)
