"""The whole records of what ended last, each read once: what has ended changes no more, unless it is replayed."""

from concurrent.futures import ThreadPoolExecutor

from followups.notifications import Saved, one
from followups.overview import Look
from followups.row import Row
from followups.stack import Stack

# How many records a page tells the lateness of: their first page costs so many reads, each later one what is new.
SAMPLE = 40
_AT_ONCE = 8


class Records:
    """A memory of records that have ended, no larger than a sample."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._known: dict[Row, Saved | None] = {}

    def sample(self, look: Look) -> list[Saved]:
        """Return the records of the latest of what is done, read now where they are not known."""
        latest = look.part("done").rows[:SAMPLE]
        missing = [row for row in latest if row not in self._known]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            read = dict(zip(missing, pool.map(self._read, missing), strict=True))
        self._known = {row: self._known.get(row) or read.get(row) for row in latest}
        return [saved for saved in self._known.values() if saved]

    def _read(self, row: Row) -> Saved | None:
        return one(self._stack, row.charge, row.notification)
