"""What is late, failed or waits at one moment, for `watch` and the board."""

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from callback.clock import Clock, utc_now
from callback.table import format_utc
from followups.records import STATES, Found, State, grouped, status
from followups.stack import ERRORS, Problem, Stack, explain
from followups.tables import RECORDS, Listing, count_waiting, listed

# Of what waits and of what failed, how many a snapshot reads: beyond it counts have a `+`.
BOUND, FAILED_BOUND = 300, 1000


@dataclass(frozen=True)
class Snapshot:
    """The notifications of each state that was asked for, most urgent first; here `pending` is what is not late.

    `letters` has a line for each queue that is not empty, `waiting` counts all that waits where there is more than was
    read.
    """

    at: datetime
    parts: Mapping[State, Found]
    letters: Sequence[str] = ()
    waiting: int | None = None

    def part(self, state: State) -> Found:
        """Return one part; an empty one where it was not asked for."""
        return self.parts.get(state, Found())

    def as_data(self) -> dict[str, object]:
        """For programs."""
        data: dict[str, object] = {"at": format_utc(self.at), "notSaved": list(self.letters), "waiting": self.waiting}
        for state, found in self.parts.items():
            groups = grouped(found.rows)
            causes = [{"cause": one[0].cause_id, "text": one[0].cause, "count": len(one)} for one in groups]
            rows = [row.as_data(self.at) for row in found.rows]
            data[state] = {"rows": rows, "more": found.more, "causes": causes}
        return data


@dataclass
class Poller:
    """Takes snapshots, at most one in `at_most_every`; callers in between share the last one."""

    stack: Stack
    states: tuple[State, ...] = STATES
    clock: Clock = utc_now
    at_most_every: timedelta = timedelta()
    last: tuple[Snapshot | None, Problem | None] = (None, None)
    _next: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def poll(self) -> tuple[Snapshot | None, Problem | None]:
        """Return the last snapshot that could be taken, and why the latest could not."""
        with self._lock:
            if (now := self.clock()) >= self._next:
                self._next = now + self.at_most_every
                try:
                    self.last = (take_snapshot(self.stack, self.states, now), None)
                except ERRORS as error:
                    self.last = (self.last[0], explain(error))
            return self.last


def take_snapshot(stack: Stack, states: Sequence[State], now: datetime) -> Snapshot:
    """Read both indexes at once, as far as they are needed."""
    _ = stack.output(RECORDS), stack.dynamodb, stack.sqs  # made here: boto3 cannot make clients in two threads at once
    # What is late waits, too: one reading finds both, so that neither is missed between two.
    indexes: dict[State, int] = {"pending": BOUND} if {"pending", "overdue"} & {*states} else {}
    indexes |= {"failed": FAILED_BOUND} if "failed" in states else {}
    with ThreadPoolExecutor(len(indexes) + 1) as pool:
        letters = pool.submit(stack.about_letters)
        read = {state: pool.submit(listed, stack, Listing(state, limit=limit), now) for state, limit in indexes.items()}
        found = {state: part.result() for state, part in read.items()}
    waiting = count_waiting(stack) if "pending" in found and found["pending"].more else None
    return Snapshot(now, {state: _part(found, state, now) for state in states}, letters.result(), waiting)


def _part(found: Mapping[State, Found], state: State, now: datetime) -> Found:
    if state == "failed":
        return found["failed"]
    rows = (row for row in found["pending"].rows if status(row, now).is_late == (state == "overdue"))
    return Found(tuple(sorted(rows, key=lambda row: str(row.item.get("firstDue", "")))), found["pending"].more)
