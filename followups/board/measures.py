"""What can be told of the last hour from what has ended in it.

How many notifications ended in each minute comes from the index `ended` alone. How late a recheck began needs the
whole record: a completed pass says when it ended and how long it took, so when it began; and it was due the plan's
delay after the pass before it had ended. The plan is the one that is deployed now. A pass that was tried again began
with its last try. A notification that still waits, or whose record was not read, does not show.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Literal

from callback.clock import parse_utc as moment
from callback.record import OVERDUE_AFTER as GRACE
from followups.notifications import Saved
from followups.overview import Look

MINUTES = 60


@dataclass(frozen=True)
class Minute:
    """What ended in one minute; `ago` is 0 for the last one."""

    ago: int
    done: int
    failed: int


@dataclass(frozen=True)
class Recheck:
    """A pass after the first, and by how much it began after it was due."""

    order: str
    number: int
    began: datetime
    late: timedelta

    @property
    def is_late(self) -> bool:
        """Whether it began later than a timer may."""
        return self.late > GRACE


def minutes(look: Look) -> list[Minute]:
    """Count what ended in each of the last sixty minutes, the oldest first."""
    done, failed = (_ended_ago(look, wanted) for wanted in ("done", "failed"))
    return [Minute(ago, done[ago], failed[ago]) for ago in reversed(range(MINUTES))]


def rechecks(read: Sequence[Saved], delays: Sequence[int], earliest: datetime) -> list[Recheck]:
    """Tell of each recheck since then how late it began, the earliest first."""
    found = [recheck for saved in read for recheck in _readable(saved, delays) if recheck.began >= earliest]
    return sorted(found, key=lambda recheck: recheck.began)


def _ended_ago(look: Look, wanted: Literal["done", "failed"]) -> Counter[int]:
    ended = (row.ended for row in look.part(wanted).rows)
    return Counter(int((look.at - at).total_seconds() // 60) for at in ended if at)


def _readable(saved: Saved, delays: Sequence[int]) -> list[Recheck]:
    try:
        return list(_of_record(saved, delays))
    except (KeyError, TypeError, ValueError):  # spoilt by another hand: its timeline says so
        return []


def _of_record(saved: Saved, delays: Sequence[int]) -> Iterator[Recheck]:
    for delay, (before, done) in zip(delays, pairwise(saved.passes), strict=False):
        began = moment(done["at"]) - timedelta(milliseconds=int(done["durationMs"]))
        due = moment(before["at"]) + timedelta(seconds=delay)
        # By the milliseconds that are rounded away it may seem to begin before its time.
        yield Recheck(saved.order_id, int(done["number"]), began, max(began - due, timedelta()))
