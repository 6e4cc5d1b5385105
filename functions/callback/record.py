"""The notification record is the truth and the retry queue: which passes are done, and when the next one is due.

Each write is one conditional call, so that after any crash and any repeat the record says what is missing. Each claim
has an id of its own: only its holder can record the pass, or its failure.
"""

import hashlib
import random
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self
from uuid import uuid4

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictStr, ValidationError
from pydantic.alias_generators import to_camel

from callback.clock import SKEW, Clock
from callback.errors import BadInput, NotificationConflict, NotificationNotFound, SpoiltRecord
from callback.redact import mask_body, scrub
from callback.table import ConditionFailed, Item, Table, parse_utc

if TYPE_CHECKING:  # Recheck, the sweep and the operators' commands start without them
    from callback.checksum import Verdict
    from callback.notification import Notification
    from callback.settings import Settings

# The checksum status of what the bank vouches for. Anybody can send all else.
PROVED = "valid"
# Time, beside the pass, for all calls until the pass is recorded; callback/app.py limits each of them. The function's
# timeout and the claim's lease are both "pass limit + margin", so that a lease outlives its holder. template.yaml adds
# the same margin.
MARGIN_SECONDS = 30
# Scheduler fires within the minute after the time that was asked for; twice that is late.
OVERDUE_AFTER = timedelta(seconds=120)
# Long enough that an hour of throttling does not fill Lambda's queue with copies.
HANDED_OVER_WAIT = timedelta(minutes=5)
# All notifications of an outage must be done 15 minutes after it. The longest wait leaves time for a last attempt
# that hangs, the sweep's minute and the second pass.
_SHORTEST, _LONGEST = timedelta(minutes=1), timedelta(minutes=10)
_JITTER = 0.2
# Moving a record in the index costs two writes. A few seconds are not worth them.
NOT_WORTH_MOVING = timedelta(seconds=15)

SWEEP_SHARDS, FIRST_UNPROVED = 16, 12
# Proved payments that rarely fail, those that fail often, and what no checksum proves: none waits for another.
_PROVED, _FAILING, _UNPROVED = range(4), range(4, FIRST_UNPROVED), range(FIRST_UNPROVED, SWEEP_SHARDS)
_FAILS_OFTEN = 3

NOTE = "delayed notify"
_MAX_ERROR, _MAX_FIELD = 1000, 256

_CLAIMABLE = (
    # If `attempts` is not a number, nothing can be added to it.
    "attribute_type(#attempts, :number) AND #passesDone = :before AND attribute_not_exists(#resolvedAt)"
    # A failed notification is no longer due, but may be replayed; a done or a resolved one may not.
    " AND (attribute_not_exists(#leaseUntil) OR #leaseUntil <= :now) AND (#nextPassDue <= :now OR #state = :failed)"
)
# The sweep's: nobody has moved or claimed it since.
_UNMOVED = "#sweepAt = :seen AND (attribute_not_exists(#claimId) OR #claimId = :claim)"

_UNCLAIMED = {"leaseUntil": None, "claimId": None}
_WAITS = {"state": "PENDING", "failedAt": None, "failedShard": None} | _UNCLAIMED
_ENDED = dict.fromkeys(("nextPassDue", "sweepShard", "sweepAt")) | _UNCLAIMED
# What is done is in the index `order` alone.
_DONE = {"state": "DONE", "firstDue": None, "failedAt": None, "failedShard": None} | _ENDED


def _as_int(value: object) -> object:
    # DynamoDB's numbers are Decimal.
    return int(value) if isinstance(value, Decimal) and value == value.to_integral_value() else value


def _as_time_if_it_is_one(value: object) -> datetime | None:
    # Only the sweep needs it, and a completed pass writes it anew.
    with suppress(ValueError):
        return parse_utc(value)
    return None


Count = Annotated[int, BeforeValidator(_as_int), Field(ge=0, strict=True, description="a whole number")]
Time = Annotated[datetime | None, BeforeValidator(parse_utc), Field(description="a UTC time")]
Text = Annotated[StrictStr, Field(description="text")]
TextOrNone = Annotated[StrictStr | None, Field(description="text")]


class Schema(BaseModel):
    """A model in which each field's description says what is expected; unknown fields are tolerated."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    @classmethod
    def parse(cls, given: object, raises: type[BadInput]) -> Self:
        """Check what was given. Raises the named error for its first wrong field."""
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            where = error.errors(include_input=False)[0]["loc"]
            field = str(where[0]) if where else "event"
            expected = {about.alias or name: about.description for name, about in cls.model_fields.items()}
            raise raises(field, expected.get(field) or "a JSON object") from error


class Record(Schema):
    """One saved notification, as it was at one time. With `has_claim` this run is the one to run the next pass.

    `attempts` counts all claims, `attempts_before` those of the passes that are done. `first_due` is when the next pass
    was first due; failures move `next_pass_due` only.
    """

    model_config = ConfigDict(alias_generator=to_camel)

    charge_id: Text
    notification_id: Text
    order_id: Text
    state: Literal["PENDING", "DONE", "FAILED"] = Field(description="PENDING, DONE or FAILED")
    checksum_status: Text = "missing"
    passes_done: Count
    passes: list[Any] = Field(strict=True, description="a list")
    attempts: Count
    attempts_before: Count = 0
    sweep_at: Annotated[datetime | None, BeforeValidator(_as_time_if_it_is_one)] = None
    next_pass_due: Time = None
    first_due: Time = None
    lease_until: Time = None
    claim_id: TextOrNone = None
    last_error: TextOrNone = None
    has_claim: bool = False

    @property
    def next_pass(self) -> int:
        """The number of the pass after the last completed one."""
        return self.passes_done + 1

    @property
    def ids(self) -> dict[str, str]:
        """What log lines, timers and errors carry."""
        return {"chargeId": self.charge_id, "notificationId": self.notification_id, "orderId": self.order_id}

    @property
    def about(self) -> dict[str, str]:
        """The ids, and whether the bank vouches for it."""
        return self.ids | {"checksumStatus": self.checksum_status}

    @property
    def attempts_made(self) -> int:
        """How often the next pass was claimed."""
        return self.attempts - self.attempts_before

    def is_claimed(self, now: datetime) -> bool:
        """Whether a run holds a claim on the next pass."""
        return self.lease_until is not None and self.lease_until > now

    def overdue(self, now: datetime) -> timedelta:
        """How long ago the next pass was first due."""
        return now - (self.first_due or self.next_pass_due or now)

    def unclaimed_because(self, number: int, now: datetime) -> Literal["done", "early", "claimed"]:
        """Why this run could not claim pass `number`: a word for the log."""
        if number != self.next_pass or (self.state != "PENDING" and not self.is_claimed(now)):
            return "done"
        return "early" if self.next_pass_due and self.next_pass_due > now else "claimed"


def read_record(item: Item) -> Record:
    """Read an item of CreditCardNotifyTable. Raises `SpoiltRecord` that names the wrong attribute."""
    return Record.parse(item, SpoiltRecord)


@dataclass(frozen=True)
class Records:
    """CreditCardNotifyTable. Every method raises `AWS_ERRORS` where the table cannot be reached."""

    table: Table
    settings: "Settings"
    clock: Clock

    def save(self, notification: "Notification", order_id: str, payment: Item | None, verdict: "Verdict") -> Record:
        """Write the notification with its first pass due and claimed.

        A repeat returns the record as it is. Raises `NotificationConflict` for another body under its id.
        """
        now, claim = self.clock(), self._new_claim()
        # As if pass 1 were done already, so that recording it need not move the record in the index. But a long delay
        # must not hide a lost pass 1.
        sweep_at = now + timedelta(seconds=min(60, self.settings.recheck_delays[0])) + SKEW + OVERDUE_AFTER
        item = _new_item(notification, order_id, payment, verdict) | claim
        item |= {"receivedAt": now, **_in_line(item, now, now, sweep_at)}
        item["expiresAt"] = int((now + timedelta(days=self.settings.keep_days)).timestamp())
        try:
            self.table.put(item, "attribute_not_exists(#chargeId)")
        except ConditionFailed as found:
            existing = found.item or {}
            if existing.get("bodyDigest") != item["bodyDigest"]:
                raise NotificationConflict("body: expected the same body as before under this id") from found
            return _claimed_by(claim, existing)
        return _claimed_by(claim, item)

    def claim(self, charge_id: str, notification_id: str, number: int) -> Record:
        """Take pass `number`, or return the record as it is: not due, claimed by another, or done.

        Raises `NotificationNotFound` where nothing was saved.
        """
        claim, key = self._new_claim(), {"chargeId": charge_id, "notificationId": notification_id}
        values = {"before": number - 1, "now": self.clock(), "failed": "FAILED", "number": "N"}
        try:
            return _claimed_by(claim, self.table.update(key, claim, _CLAIMABLE, values, add="attempts"))
        except ConditionFailed as found:
            return _claimed_by(claim, _existing(found))

    def complete(self, record: Record, outcome: str, took: int, *, settled: bool, failure: Exception | None) -> Record:
        """Record the claimed pass, which took `took` milliseconds, and what comes next, in one write.

        Next is another pass of the plan, or the end: DONE if the plan has none or the order is `settled`, FAILED if a
        `failure` is given. If the claim was lost, nothing is written, and the record is returned.
        """
        now, number = self.clock(), record.next_pass
        done = {"number": number, "at": now, "outcome": outcome, "durationMs": took}
        changes = {"passesDone": number, "passes": (done | {"attempt": record.attempts},)}
        changes |= {"attemptsBefore": record.attempts, **self._next(record, now, settled=settled, failure=failure)}
        return self._update_claimed(record, changes)

    def fail(self, record: Record, error: Exception) -> Record:
        """Record that the claimed pass failed, and when it is due again."""
        now = self.clock()
        due = now + wait_after_failure(record.overdue(now))
        line = _in_line(record.about, due, record.first_due or now, due + SKEW, record.attempts_made)
        return self._update_claimed(record, _WAITS | line | {"lastError": _error_text(error)})

    def has_failed_too_long(self, record: Record, grace: timedelta = timedelta()) -> bool:
        """Whether a failure ends the follow-up; a replay that fails leaves a failed one failed."""
        limit = self.settings.give_up_after(proved=record.checksum_status == PROVED)
        return record.state == "FAILED" or record.overdue(self.clock()) >= limit + grace

    def end(self, record: Record, error: Exception) -> Record:
        """End the claimed pass in FAILED."""
        return self._update_claimed(record, self._failed(record.about, error))

    def due_keys(self, shard: int) -> Iterator[Item]:
        """Return the keys that the sweep is to look at, in the order of their line."""
        values = {"shard": shard, "now": self.clock()}
        return self.table.query("due", "#sweepShard = :shard AND #sweepAt <= :now", values)

    def move_back(self, found: Item) -> Item:
        """Move what `due_keys` found back in its line, and return the whole item; nothing if it has moved already."""
        values = {"seen": found["sweepAt"], "shard": found["sweepShard"]}
        later = {"sweepAt": self.clock() + HANDED_OVER_WAIT}
        return self.table.update_if(_key(found), later, "#sweepAt = :seen AND #sweepShard = :shard", values)

    def end_unclaimed(self, item: Item, error: Exception) -> bool:
        """End an item that `move_back` returned in FAILED, whatever it holds, unless it was moved or claimed since."""
        values = {"seen": item["sweepAt"], "claim": item.get("claimId", "")}
        return bool(self.table.update_if(_key(item), self._failed(item, error), _UNMOVED, values))

    def _new_claim(self) -> Item:
        lease = timedelta(seconds=self.settings.pass_timeout_seconds + MARGIN_SECONDS)
        return {"leaseUntil": self.clock() + lease, "claimId": uuid4().hex}

    def _update_claimed(self, record: Record, changes: Item) -> Record:
        try:
            item = self.table.update(_key(record.ids), changes, "#claimId = :claim", {"claim": record.claim_id})
        except ConditionFailed as found:
            item = _existing(found)
        return read_record(item)

    def _failed(self, about: Item, error: Exception) -> Item:
        # From here on it waits for a person, who finds it in the index `failed`.
        found = {"failedAt": self.clock(), "failedShard": sweep_shard(about, 0)}
        return {"state": "FAILED", "lastError": _error_text(error)} | found | _ENDED

    def _next(self, record: Record, now: datetime, *, settled: bool, failure: Exception | None) -> Item:
        if failure:
            return self._failed(record.about, failure)
        if settled or record.next_pass > len(self.settings.recheck_delays):
            return _DONE
        due = now + timedelta(seconds=self.settings.recheck_delays[record.passes_done]) + SKEW
        sweep_at = due + OVERDUE_AFTER
        if record.sweep_at and timedelta() <= sweep_at - record.sweep_at <= NOT_WORTH_MOVING:
            sweep_at = record.sweep_at
        return _WAITS | _in_line(record.about, due, due, sweep_at)


def _new_item(notification: "Notification", order_id: str, payment: Item | None, verdict: "Verdict") -> Item:
    # A browser return states neither amount nor currency.
    stated = (payment or {}) if notification.is_browser_return else vars(notification)
    amount, currency = stated.get("amount"), stated.get("currency")
    item: Item = notification.ids | {"orderId": order_id, "note": NOTE, "amount": amount}
    item |= {"checksumStatus": verdict.status, "checksumForm": verdict.form, "bodyDigest": notification.body_digest}
    texts = {"status": notification.status, "transactionState": notification.transaction_state, "currency": currency}
    item |= {name: text and scrub(str(text), _MAX_FIELD) for name, text in texts.items()}
    item |= {"body": mask_body(notification.body)}
    return item | {"state": "PENDING", "passesDone": 0, "passes": [], "attempts": 1}


def _in_line(item: Item, due: datetime, first_due: datetime, sweep_at: datetime, failures: int = 0) -> Item:
    times = {"nextPassDue": due, "firstDue": first_due, "sweepAt": sweep_at}
    return times | {"sweepShard": sweep_shard(item, failures)}


def _claimed_by(claim: Item, item: Item) -> Record:
    # Checked after a refused write, too: botocore retries a write whose response was lost.
    record = read_record(item)
    return record.model_copy(update={"has_claim": record.claim_id == claim["claimId"]})


def _existing(found: ConditionFailed) -> Item:
    if found.item is None:
        raise NotificationNotFound("notificationId: expected a notification that was saved") from found
    return found.item


def _error_text(error: Exception) -> str:
    return scrub(f"{type(error).__name__}: {error}")[:_MAX_ERROR]


def _key(item: Item) -> Item:
    return {"chargeId": item["chargeId"], "notificationId": item["notificationId"]}


def wait_after_failure(overdue: timedelta) -> timedelta:
    """Return a quarter of the time since the pass was first due, at least 1 and at most 10 minutes, with jitter."""
    wait = min(overdue / 4, _LONGEST) * (1 - _JITTER * random.random())  # noqa: S311 - no secret
    return max(wait, _SHORTEST)


def sweep_shard(about: Item, failures: int) -> int:
    """Return the shard that a record waits in after that many failures of its pass."""
    lane = _UNPROVED if about.get("checksumStatus") != PROVED else _FAILING if failures >= _FAILS_OFTEN else _PROVED
    return lane[hash_ids(about)[0] % len(lane)]


def hash_ids(ids: Item) -> bytes:
    """Hash the ids of a notification. Ids contain no line end, so no two notifications share a hash."""
    return hashlib.sha256(f"{ids['chargeId']}\n{ids['notificationId']}".encode()).digest()
