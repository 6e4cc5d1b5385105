"""What is late, failed or waits at one moment, for `watch` and the board."""

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from callback.clock import Clock, utc_now
from callback.table import format_utc
from followups.records import STATES, Found, Notification, State, Status, grouped, status
from followups.stack import ERRORS, Problem, Stack, explain
from followups.tables import RECORDS, Listing, count_waiting, listed

# Of what waits and of what failed, how many a snapshot reads: beyond it counts have a `+`.
BOUND, FAILED_BOUND = 300, 1000


@dataclass(frozen=True)
class Snapshot:
    """The notifications of each state that was asked for, most urgent first; here `pending` is what is not late.

    `delays` is the plan as deployed, `letters` has a line for each queue that is not empty, `waiting` counts all that
    waits where there is more than was read.
    """

    at: datetime
    delays: tuple[int, ...]
    parts: Mapping[State, Found]
    letters: Sequence[str] = ()
    waiting: int | None = None

    def part(self, state: State) -> Found:
        """Return one part; an empty one where it was not asked for."""
        return self.parts.get(state, Found())

    def wait_of(self, one: Notification, current: Status) -> int | None:
        """Return the seconds from the last pass to this one, None where the plan does not say or it is tried again."""
        before = one.next_pass - 1
        return self.delays[before - 1] if current.word == "waiting" and 0 < before <= len(self.delays) else None

    def as_data(self) -> dict[str, object]:
        """For programs."""
        about = {"at": format_utc(self.at), "notSaved": list(self.letters), "waiting": self.waiting}
        return about | {state: self._part_as_data(found) for state, found in self.parts.items()}

    def _part_as_data(self, found: Found) -> dict[str, object]:
        rows = [row.as_data(self.at) for row in found.rows]
        groups = grouped(found.rows)
        causes = [{"cause": one[0].cause_id, "text": one[0].cause, "count": len(one)} for one in groups]
        return {"rows": rows, "more": found.more, "causes": causes}


@dataclass
class Poller:
    """Takes snapshots, at most one in `at_most_every`; callers in between share the last one.

    `last` is the last snapshot that could be taken, and why the latest could not.
    """

    stack: Stack
    states: tuple[State, ...] = STATES
    clock: Clock = utc_now
    at_most_every: timedelta = timedelta()
    last: tuple[Snapshot | None, Problem | None] = (None, None)
    _tried_at: datetime | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> Snapshot:
        """Take the first snapshot. Raises what is in the way, since there is none to keep."""
        first = take_snapshot(self.stack, self.states, self.clock())
        self.last, self._tried_at = (first, None), first.at
        return first

    def poll(self) -> tuple[Snapshot | None, Problem | None]:
        """Take a snapshot, or keep the last one and say what went wrong."""
        with self._lock:
            now = self.clock()
            if self._tried_at is None or now - self._tried_at >= self.at_most_every:
                self._tried_at = now
                try:
                    self.last = (take_snapshot(self.stack, self.states, now), None)
                except ERRORS as error:
                    self.last = (self.last[0], explain(error))
            return self.last


def take_snapshot(stack: Stack, states: tuple[State, ...], now: datetime) -> Snapshot:
    """Read both indexes at once, as far as they are needed."""
    _ = stack.output(RECORDS), stack.dynamodb, stack.sqs  # made here: boto3 cannot make clients in two threads at once
    # What is late waits, too: one reading finds both, so that neither is missed between two.
    indexes: dict[State, int] = {"pending": BOUND} if {"pending", "overdue"} & {*states} else {}
    indexes |= {"failed": FAILED_BOUND} if "failed" in states else {}
    with ThreadPoolExecutor(len(indexes) + 1) as pool:
        letters = pool.submit(stack.about_letters)
        read = {state: pool.submit(listed, stack, Listing(state, limit=limit), now) for state, limit in indexes.items()}
        found = {state: part.result() for state, part in read.items()}
    parts = {state: _part(found, state, now) for state in states}
    waiting = count_waiting(stack) if "pending" in found and found["pending"].more else None
    return Snapshot(now, stack.delays, parts, letters.result(), waiting)


def _part(found: Mapping[State, Found], state: State, now: datetime) -> Found:
    if state == "failed":
        return found["failed"]
    rows = (row for row in found["pending"].rows if status(row, now).is_late == (state == "overdue"))
    return Found(tuple(sorted(rows, key=lambda row: str(row.item.get("firstDue", "")))), found["pending"].more)
