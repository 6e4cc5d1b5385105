"""One look at what is followed up: what is late, what failed, what waits; of each no more than a bound.

A `Poller` keeps looking; when a look fails it keeps the last snapshot and says why.
"""

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from botocore.exceptions import BotoCoreError, ClientError

from callback.clock import Clock, utc_now
from followups.problems import Problem, problem
from followups.records import STATES, Listing, Notification, State, listed, status
from followups.stack import Stack, StackError

# What a look may read of each index, whatever there is: beyond it counts have a `+`.
BOUND = 300


@dataclass(frozen=True)
class Part:
    """The notifications of a state, most urgent first; `cut` where there are more than were read."""

    rows: tuple[Notification, ...] = ()
    cut: bool = False

    @property
    def count(self) -> str:
        """How many there are, as far as was read."""
        return f"{len(self.rows)}{'+' if self.cut else ''}"


@dataclass(frozen=True)
class Snapshot:
    """What was there at one moment, for each state that was asked for; here `pending` is what is not late.

    `delays` is the plan as deployed.
    """

    at: datetime
    delays: tuple[int, ...]
    parts: Mapping[State, Part]

    def part(self, state: State) -> Part:
        """Return one part; an empty one where it was not asked for."""
        return self.parts.get(state, Part())


@dataclass(frozen=True)
class Seen:
    """The last snapshot there is, and, where the latest look failed, why; `at` is the time of that look."""

    snapshot: Snapshot | None = None
    problem: Problem | None = None
    at: datetime | None = None


class Poller:
    """Looks when it is asked, yet not more often than `at_most_every`; callers in between share the last snapshot."""

    def __init__(
        self,
        stack: Stack,
        states: tuple[State, ...] = STATES,
        clock: Clock = utc_now,
        at_most_every: timedelta = timedelta(),
    ) -> None:
        self.stack, self.clock, self._states, self._pause = stack, clock, states, at_most_every
        self._lock, self.seen = threading.Lock(), Seen()

    def start(self) -> Snapshot:
        """Look for the first time. Raises what is in the way, since there is no snapshot to keep."""
        first = look(self.stack, self._states, self.clock())
        self.seen = Seen(first, at=first.at)
        return first

    def poll(self) -> Seen:
        """Look, or keep the last snapshot and say what went wrong."""
        with self._lock:
            now = self.clock()
            if self.seen.at is None or now - self.seen.at >= self._pause:
                self.seen = self._looked(now)
            return self.seen

    def _looked(self, now: datetime) -> Seen:
        try:
            return Seen(look(self.stack, self._states, now), at=now)
        except (StackError, ClientError, BotoCoreError) as error:
            return replace(self.seen, problem=problem(error), at=now)


def look(stack: Stack, states: tuple[State, ...], now: datetime) -> Snapshot:
    """Read both indexes at once, as far as they are needed."""
    # Made here: threads would make them twice, and boto3 cannot make clients in two threads at once.
    _ = stack.output("CreditCardNotifyTable"), stack.dynamodb
    # What is late waits, too: one reading finds both, so that neither is missed between two.
    asked: set[State] = {"failed" if state == "failed" else "pending" for state in states}
    with ThreadPoolExecutor(len(asked)) as pool:
        found = dict(zip(asked, pool.map(lambda state: _read(stack, state, now), asked), strict=True))
    parts: dict[State, Part] = {}
    for state in states:
        part = found["failed" if state == "failed" else "pending"]
        rows = [row for row in part.rows if state == "failed" or status(row, now).is_late == (state == "overdue")]
        parts[state] = Part(tuple(rows if state == "failed" else sorted(rows, key=_first_due)), part.cut)
    return Snapshot(now, stack.delays, parts)


def _read(stack: Stack, state: State, now: datetime) -> Part:
    found = listed(stack, Listing(state, limit=BOUND), now)
    return Part(tuple(found), found.more)


def _first_due(row: Notification) -> str:
    return str(row.item.get("firstDue", ""))
