"""The model of a saved notification: what was read of it, and its status at a time. Pure: tables.py reads."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Literal, NamedTuple, get_args

from callback.errors import SpoiltRecord
from callback.record import OVERDUE_AFTER, Record, read_record
from callback.table import Item, parse_utc
from followups.output import printable

State = Literal["pending", "overdue", "failed"]
STATES: tuple[State, ...] = get_args(State)
Word = Literal["waiting", "running", "retrying", "overdue", "failed", "resolved", "done", "spoilt", "foreign"]
Level = Literal["info", "ok", "warn", "bad"]
CHECKSUMS = ("valid", "invalid", "missing", "unverifiable")
IDS = ("chargeId", "notificationId", "orderId")
MOST_PASSES = 100  # in a plan; a spoilt record may say more
_LEVELS: dict[Word, Level] = {"done": "ok", "resolved": "ok", "retrying": "warn"}
_LEVELS |= {"overdue": "bad", "failed": "bad", "spoilt": "bad"}
# Numbers of passes, long numbers and ids.
_VARIES = re.compile(r"(?<=pass )\d+|\d{4,}|(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[\w-]{8,}")


class Notification:
    """One notification as it was read.

    `record` is None where the item is not what the functions write: with a `fault` it is spoilt, without one it is
    another function's row in a shared table. `next_pass` is 0 where it cannot be read.
    """

    def __init__(self, item: Item, record: Record | None = None, fault: str = "") -> None:
        self.item, self.record, self.fault = item, record, fault
        self.ids = {name: str(item.get(name, "")) for name in IDS}
        self.order_id = self.ids["orderId"]
        self.names = " ".join(f"{name}={value}" for name, value in self.ids.items())
        self.checksum = next((word for word in CHECKSUMS if word == item.get("checksumStatus")), "unknown")
        self.next_pass = record.next_pass if record else 0
        self.attempts_made = record.attempts_made if record else 0
        # What failed before the last completed pass is no reason why the next one waits.
        last = "" if record and record.state == "PENDING" and not self.attempts_made else item.get("lastError", "")
        self.reason = f"spoilt: {fault}" if fault else printable(str(last))

    @cached_property
    def cause(self) -> str:
        """The reason without what differs between notifications: those with one cause are repaired together."""
        text = self.reason or "no reason is known"
        for id_ in filter(None, self.ids.values()):
            text = text.replace(id_, "…")
        return _VARIES.sub("…", text)

    @property
    def cause_id(self) -> str:
        """A short name of the cause, for commands."""
        return hashlib.sha256(self.cause.encode(errors="replace")).hexdigest()[:6]

    def time(self, attribute: str) -> datetime | None:
        """Return a time of the item, None if it cannot be read."""
        try:
            return parse_utc(self.item.get(attribute))
        except ValueError:
            return None

    def as_data(self, now: datetime) -> dict[str, object]:
        """For programs: the record by its own names, and its status."""
        data: dict[str, object] = {name: value if name in IDS else scrubbed(value) for name, value in self.item.items()}
        data["passes"] = scrubbed(self.record.passes[:MOST_PASSES]) if self.record else []
        data |= {"amount": printable(str(self.item["amount"]))} if "amount" in self.item else {}
        data |= {"checksumStatus": self.checksum, "status": status(self, now).word, "cause": self.cause_id}
        return data | ({"lastError": self.reason} if self.reason else {})


class Status(NamedTuple):
    """The status of a notification at one time.

    `at` is when its pass is or was due, when a running pass must have ended, or when it ended; `late` is how long ago
    the pass was first due.
    """

    word: Word
    at: datetime | None = None
    late: timedelta = timedelta()

    @property
    def is_late(self) -> bool:
        """Whether it should have moved on, even if it is tried again."""
        return self.late > OVERDUE_AFTER or self.word == "spoilt"

    @property
    def level(self) -> Level:
        """How serious it is."""
        return _LEVELS.get(self.word, "info")


@dataclass(frozen=True)
class Found:
    """Notifications that were read; `more` where there are more than these."""

    rows: tuple[Notification, ...] = ()
    more: bool = False

    @property
    def count(self) -> str:
        """How many there are, as far as was read."""
        return f"{len(self.rows)}{'+' if self.more else ''}"


def read(item: Item) -> Notification:
    """Read an item, whatever it holds."""
    if not {"state", "passesDone", "sweepAt", "failedAt"} & item.keys():
        return Notification(item)
    try:
        record = read_record(item)
        if record.state == "PENDING" and not record.next_pass_due:
            raise SpoiltRecord("nextPassDue", "a UTC time")  # noqa: TRY301 - as a wrong type is
        return Notification(item, record)
    except SpoiltRecord as error:
        return Notification(item, fault=printable(str(error)))


def status(one: Notification, now: datetime) -> Status:
    """Return the status of a notification.

    - waiting: for the first attempt at its pass, whose timer may still come
    - running: claimed
    - retrying: the last attempt failed, and it is due again
    - overdue: it was due (again) more than two minutes ago
    - failed: for a person; done: no pass is missing
    - resolved: failed, and settled by hand since
    - spoilt, foreign: no record
    """
    record, resolved = one.record, one.time("resolvedAt")
    if resolved and one.item.get("state") == "FAILED" and "failedShard" not in one.item:
        return Status("resolved", resolved)
    if record is None or record.state == "DONE":
        return Status("done" if record else "spoilt" if one.fault else "foreign")
    late = max(record.overdue(now), timedelta()) if record.state == "PENDING" else timedelta()
    if record.is_claimed(now):
        return Status("running", record.lease_until, late)
    if record.state == "FAILED":
        return Status("failed", one.time("failedAt"))
    due = record.next_pass_due
    if due and now > due + OVERDUE_AFTER:
        return Status("overdue", due, late)
    return Status("retrying" if record.attempts_made else "waiting", due, late)


def grouped(rows: Iterable[Notification]) -> list[tuple[Notification, ...]]:
    """Put notifications with one cause together, the largest group first."""
    groups: dict[str, list[Notification]] = {}
    for one in rows:
        groups.setdefault(one.cause_id, []).append(one)
    return sorted(map(tuple, groups.values()), key=len, reverse=True)


def scrubbed(value: object) -> object:
    """Return a value of an item without secrets, whatever its type."""
    if isinstance(value, dict):
        return {printable(str(name)): scrubbed(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set):
        return [scrubbed(inner) for inner in (sorted(value) if isinstance(value, set) else value)]
    return value if value is None or isinstance(value, bool | Decimal) else printable(str(value))
