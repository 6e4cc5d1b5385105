"""One look at what is followed up: what is late, what failed, what waits, what is done; of each no more than a bound.

Whoever keeps looking (a `Looker`) keeps the last picture when a look fails, and is told why.
"""

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from botocore.exceptions import BotoCoreError, ClientError

from callback.clock import Clock, utc_now
from callback.record import OVERDUE_AFTER as GRACE
from followups.notifications import WANTED, Listing, Wanted, listed
from followups.problems import Problem, problem
from followups.row import Row, row
from followups.stack import Stack, StackError

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
# What a look may read, whatever there is: beyond it a count says `+`.
BOUNDS: Mapping[Wanted, int] = {"overdue": 100, "failed": 100, "pending": 100, "done": 1000}


@dataclass(frozen=True)
class Part:
    """The first of what was asked for, most urgent first; `cut` where there is more than was read."""

    rows: tuple[Row, ...] = ()
    cut: bool = False

    @property
    def count(self) -> str:
        """How many there are, as far as was read."""
        return f"{len(self.rows)}+" if self.cut else str(len(self.rows))

    def ended_since(self, earliest: datetime) -> "Part":
        """Keep what ended since then; that all fits means that the cut lies before it."""
        kept = tuple(row for row in self.rows if row.ended and row.ended >= earliest)
        return Part(kept, self.cut and len(kept) == len(self.rows))


@dataclass(frozen=True)
class Look:
    """What was there at one moment, for each state that was asked for; `delays` is the plan as deployed."""

    at: datetime
    delays: tuple[int, ...]
    parts: Mapping[Wanted, Part]

    def part(self, wanted: Wanted) -> Part:
        """Return one part; an empty one where it was not asked for."""
        return self.parts.get(wanted, Part())


@dataclass(frozen=True)
class Seen:
    """The last picture there is, and, where the latest look failed, why and when."""

    look: Look | None = None
    problem: Problem | None = None
    at: datetime | None = None


class Looker:
    """Looks whenever it is asked, yet not more often than `at_most_every`; whoever asks in between shares the last."""

    def __init__(
        self,
        stack: Stack,
        wanted: tuple[Wanted, ...] = WANTED,
        clock: Clock = utc_now,
        at_most_every: timedelta = timedelta(),
    ) -> None:
        self.stack = stack
        self.clock = clock
        self._wanted = wanted
        self._pause = at_most_every
        self._lock = threading.Lock()
        self.seen = Seen()

    def start(self) -> Look:
        """Look for the first time. Raises what stands in the way, since there is no picture to keep."""
        first = look(self.stack, self._wanted, self.clock())
        self.seen = Seen(first, at=first.at)
        return first

    def look(self) -> Seen:
        """Look, or keep the last picture and say what went wrong."""
        with self._lock:
            now = self.clock()
            if self.seen.at is None or now - self.seen.at >= self._pause:
                self.seen = self._looked(now)
            return self.seen

    def _looked(self, now: datetime) -> Seen:
        try:
            return Seen(look(self.stack, self._wanted, now), at=now)
        except (StackError, ClientError, BotoCoreError) as error:
            return replace(self.seen, problem=problem(error), at=now)


def look(stack: Stack, wanted: tuple[Wanted, ...], now: datetime) -> Look:
    """Read each part as its index has it now, all at once: 16 queries each, and what they find."""
    # Made here: threads would make them twice, and boto3 cannot make clients in two threads at once.
    _ = stack.output("CreditCardNotifyTable"), stack.dynamodb
    with ThreadPoolExecutor(len(wanted)) as pool:
        parts = pool.map(lambda asked: _part(stack, asked, now), wanted)
        return Look(now, stack.delays, dict(zip(wanted, parts, strict=True)))


def _part(stack: Stack, wanted: Wanted, now: datetime) -> Part:
    bound = BOUNDS[wanted]
    # What is late waits, too: it is asked for apart, so that neither hides the other.
    earliest = {"pending": now - GRACE, "failed": now - DAY, "done": now - HOUR}
    asked = Listing(wanted, limit=bound + 1)
    if wanted in earliest:
        asked = replace(asked, since=earliest[wanted])
    rows = tuple(row(saved) for saved in listed(stack, asked, now))
    return Part(rows[:bound], len(rows) > bound)
