"""One line of a notification's story."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Level = Literal["info", "ok", "warn", "bad"]


@dataclass(frozen=True)
class Moment:
    """What happened, or will, at a time; `at` is None where that is unknown or none.

    `what` is a word of the field: received, checksum, pass 1, schedule, error, claim, ended, waits, next. `text` is one
    line, scrubbed and fit to print.
    """

    at: datetime | None
    what: str
    text: str
    level: Level = "info"
