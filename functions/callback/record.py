"""The notification record is the truth and the retry queue: which passes are done, and when the next one is due.

Each write is one conditional call, so that after any crash and any repeat the record says what is missing. Each claim
has an id of its own: only its holder can record the pass, or its failure.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import uuid4

from pydantic import BeforeValidator, ConfigDict, Field, StrictStr
from pydantic.alias_generators import to_camel

from callback.clock import SKEW, Clock, format_utc, parse_utc
from callback.errors import NotificationConflict, NotificationNotFound, SpoiltRecord
from callback.redact import mask_body, scrub
from callback.schema import Schema
from callback.settings import Settings
from callback.table import ConditionFailed, Item, Table
from callback.waits import (
    HANDED_OVER_WAIT,
    NOT_WORTH_MOVING,
    OVERDUE_AFTER,
    SWEEP_SHARDS,
    hash_ids,
    sweep_shard,
    wait_after_failure,
)

if TYPE_CHECKING:  # Recheck and the sweep start without them
    from callback.checksum import Verdict
    from callback.notification import Notification
    from callback.payment import Payment

NOTE = "delayed notify"
_MAX_ERROR = 1000
_MAX_FIELD = 256

_CLAIMABLE = (
    "#passesDone = :before"
    " AND (attribute_not_exists(#leaseUntil) OR #leaseUntil <= :now)"
    # A failed notification is due no longer, yet may be replayed; a done one is neither.
    " AND (#nextPassDue <= :now OR #state = :failed)"
)
_CLAIMED = "#claimId = :claim"
# The sweep's: nobody has moved or claimed it since.
_UNMOVED = "#sweepAt = :seen AND (attribute_not_exists(#claimId) OR #claimId = :claim)"

_WAITS = (
    "#state = :state, #nextPassDue = :due, #firstDue = :first, #sweepShard = :shard, #sweepAt = :sweep"
    " REMOVE #leaseUntil, #claimId, #failedAt, #failedShard"
)
# What is done is in the index `order` alone.
_DONE = (
    "#state = :state"
    " REMOVE #leaseUntil, #claimId, #nextPassDue, #firstDue, #sweepShard, #sweepAt, #failedAt, #failedShard"
)
# From here on it waits for a person, who finds it in the index `failed`.
_FAILED = (
    "#state = :state, #lastError = :error, #failedAt = :now, #failedShard = :shard"
    " REMOVE #leaseUntil, #claimId, #nextPassDue, #sweepShard, #sweepAt"
)


def _as_int(value: object) -> object:
    # DynamoDB's numbers are Decimal.
    return int(value) if isinstance(value, Decimal) and value == value.to_integral_value() else value


def _as_time(value: object) -> object:
    return parse_utc(value) if isinstance(value, str) else value


Count = Annotated[int, BeforeValidator(_as_int), Field(ge=0, strict=True, description="a whole number")]
Time = Annotated[
    Annotated[datetime, Field(strict=True)] | None, BeforeValidator(_as_time), Field(description="a UTC time")
]
Text = Annotated[StrictStr, Field(description="text")]


class Record(Schema):
    """One saved notification, as it was at one time. With `ours` the next pass is this run's to run.

    `attempts` counts all claims, `attempts_before` those of the passes that are done. `first_due` is when the next pass
    was first due; failures move `next_pass_due` only.
    """

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    charge_id: Text
    notification_id: Text
    order_id: Text
    state: Literal["PENDING", "DONE", "FAILED"] = Field(description="PENDING, DONE or FAILED")
    checksum_status: Text = "missing"
    passes_done: Count
    passes: list[Any] = Field(strict=True, description="a list")
    attempts: Count
    attempts_before: Count = 0
    next_pass_due: Time = None
    first_due: Time = None
    lease_until: Time = None
    sweep_at: Text | None = None
    claim_id: Text | None = None
    last_error: Text | None = None
    ours: bool = False

    @property
    def next_pass(self) -> int:
        """The number of the pass after the last completed one."""
        return self.passes_done + 1

    @property
    def ids(self) -> dict[str, str]:
        """What log lines, timers and errors carry."""
        return {"chargeId": self.charge_id, "notificationId": self.notification_id, "orderId": self.order_id}

    @property
    def attempts_made(self) -> int:
        """How often the next pass was claimed."""
        return self.attempts - self.attempts_before

    def shard(self, *, failures: int) -> int:
        """The shard of the index `due` that it waits in."""
        proved = self.checksum_status == "valid"
        return sweep_shard(self.charge_id, self.notification_id, proved=proved, failures=failures)

    def is_claimed(self, now: datetime) -> bool:
        """Whether a process is at the next pass."""
        return self.lease_until is not None and self.lease_until > now

    def overdue(self, now: datetime) -> timedelta:
        """How long ago the next pass was first due."""
        return now - (self.first_due or self.next_pass_due or now)

    def unclaimed_because(self, number: int, now: datetime) -> Literal["done", "early", "claimed"]:
        """Why pass `number` was not this run's to run: a word for the log."""
        if self.state == "DONE" or number != self.next_pass:
            return "done"
        return "early" if self.next_pass_due and self.next_pass_due > now else "claimed"


def read_record(item: Item) -> Record:
    """Read an item of CreditCardNotifyTable. Raises `SpoiltRecord` that names the wrong attribute."""
    try:
        return Record.parse(item, SpoiltRecord)
    except SpoiltRecord as error:
        error.ids = {
            name: str(item[name])[:_MAX_FIELD] for name in ("chargeId", "notificationId", "orderId") if name in item
        }
        raise


class Records:
    """CreditCardNotifyTable. Each method raises `AWS_ERRORS` where the table cannot be reached."""

    def __init__(self, table: Table, settings: Settings, clock: Clock) -> None:
        self._table = table
        self._settings = settings
        self._clock = clock

    def save(
        self, notification: "Notification", order_id: str, payment: "Payment | None", verdict: "Verdict"
    ) -> Record:
        """Write the notification with its first pass due and claimed.

        A repeat returns the record as it is. Raises `NotificationConflict` for another body under its id.
        """
        now, claim = self._clock(), uuid4().hex
        item = _new_item(notification, order_id, payment, verdict)
        item |= {
            "receivedAt": format_utc(now),
            "expiresAt": int((now + timedelta(days=self._settings.keep_days)).timestamp()),
        }
        item |= {"attempts": 1, "leaseUntil": format_utc(now + self._settings.lease), "claimId": claim}
        # As if pass 1 were done already, so that recording it need not move the record in the index.
        sweep_at = now + timedelta(seconds=self._settings.recheck_delays[0]) + SKEW + OVERDUE_AFTER
        shard = sweep_shard(item["chargeId"], item["notificationId"], proved=verdict.valid, failures=0)
        item |= _in_line(now, now, sweep_at, shard)
        try:
            self._table.put(item, "attribute_not_exists(#chargeId)")
        except ConditionFailed as found:
            existing = found.item or {}
            if existing.get("bodyDigest") != item["bodyDigest"]:
                raise NotificationConflict from found
            return _claimed_by(claim, existing)
        return _claimed_by(claim, item)

    def claim(self, charge_id: str, notification_id: str, number: int) -> Record:
        """Take pass `number`, or return the record as it is: not due, claimed by another, or done.

        Raises `NotificationNotFound` where nothing was saved.
        """
        now, claim = self._clock(), uuid4().hex
        values = {":before": number - 1, ":now": format_utc(now), ":failed": "FAILED", ":one": 1}
        values |= {":lease": format_utc(now + self._settings.lease), ":claim": claim}
        update = "SET #leaseUntil = :lease, #claimId = :claim ADD #attempts :one"
        try:
            return _claimed_by(claim, self._table.update(_key(charge_id, notification_id), update, values, _CLAIMABLE))
        except ConditionFailed as found:
            return _claimed_by(claim, _existing(found))

    def complete(
        self,
        record: Record,
        outcome: str,
        milliseconds: int,
        *,
        settled: bool = False,
        failure: Exception | None = None,
    ) -> Record:
        """Record the claimed pass, and what comes next, in one write.

        That is the next pass of the plan, or the end: where the plan has none, where the order is `settled`, or in
        FAILED with the `failure` given. Where the claim was lost nothing is written, and the record is returned.
        """
        now, number = self._clock(), record.next_pass
        done = {"number": number, "at": format_utc(now), "outcome": outcome}
        done |= {"durationMs": milliseconds, "attempt": record.attempts}
        update, values = self._next(record, now, settled=settled, failure=failure)
        update = f"#passes = list_append(#passes, :done), #attemptsBefore = :attempts, {update}"
        values |= {":number": number, ":done": [done], ":attempts": record.attempts}
        return self._update_claimed(record, f"SET #passesDone = :number, {update}", values)

    def fail(self, record: Record, error: Exception) -> Record:
        """Record that the claimed pass failed, and when it is due again."""
        now = self._clock()
        due = now + wait_after_failure(record.overdue(now))
        values = {":state": "PENDING", ":error": _error_text(error)}
        values |= _as_values(_in_line(due, record.first_due or now, due, record.shard(failures=record.attempts_made)))
        return self._update_claimed(record, f"SET #lastError = :error, {_WAITS}", values)

    def has_failed_too_long(self, record: Record, grace: timedelta = timedelta()) -> bool:
        """Whether a failure ends the follow-up; a replay that fails leaves a failed one failed."""
        return record.state == "FAILED" or record.overdue(self._clock()) >= self._settings.give_up_after + grace

    def end(self, record: Record, error: Exception) -> Record:
        """End the claimed pass in FAILED."""
        return self._update_claimed(record, f"SET {_FAILED}", _end_values(record.ids, error, self._clock()))

    def due_keys(self, shard: int) -> Iterator[list[Item]]:
        """Return pages of the keys that the sweep is to look at, in their line's order."""
        values = {":shard": shard, ":now": format_utc(self._clock())}
        return self._table.pages("due", "#sweepShard = :shard AND #sweepAt <= :now", values)

    def move_back(self, found: Item) -> Item | None:
        """Move what `due_keys` found back in its line, and return the whole item; None where another moved it first."""
        later = format_utc(self._clock() + HANDED_OVER_WAIT)
        values = {":later": later, ":seen": found["sweepAt"], ":shard": found["sweepShard"]}
        condition = "#sweepAt = :seen AND #sweepShard = :shard"
        try:
            return self._table.update(_key_of(found), "SET #sweepAt = :later", values, condition)
        except ConditionFailed:
            return None

    def end_unclaimed(self, item: Item, error: Exception) -> bool:
        """End an item that `move_back` returned in FAILED, whatever it holds, unless it was moved or claimed since."""
        values = _end_values(_key_of(item), error, self._clock())
        values |= {":seen": item["sweepAt"], ":claim": item.get("claimId", "")}
        try:
            self._table.update(_key_of(item), f"SET {_FAILED}", values, _UNMOVED)
        except ConditionFailed:
            return False
        return True

    def _update_claimed(self, record: Record, update: str, values: Item) -> Record:
        key, values = _key(record.charge_id, record.notification_id), values | {":claim": record.claim_id}
        try:
            return read_record(self._table.update(key, update, values, _CLAIMED))
        except ConditionFailed as found:
            return read_record(_existing(found))

    def _next(self, record: Record, now: datetime, *, settled: bool, failure: Exception | None) -> tuple[str, Item]:
        if failure:
            return _FAILED, _end_values(record.ids, failure, now)
        if settled or record.next_pass > len(self._settings.recheck_delays):
            return _DONE, {":state": "DONE"}
        due = now + timedelta(seconds=self._settings.recheck_delays[record.passes_done]) + SKEW
        sweep_at = due + OVERDUE_AFTER
        if record.sweep_at and timedelta() <= sweep_at - parse_utc(record.sweep_at) <= NOT_WORTH_MOVING:
            sweep_at = parse_utc(record.sweep_at)
        return _WAITS, {":state": "PENDING"} | _as_values(_in_line(due, due, sweep_at, record.shard(failures=0)))


def _new_item(notification: "Notification", order_id: str, payment: "Payment | None", verdict: "Verdict") -> Item:
    amount, currency = notification.amount, notification.currency
    if payment and amount is None:  # a browser return states neither
        amount, currency = payment.amount, payment.currency
    return _key(notification.charge_id, notification.notification_id) | {
        "orderId": order_id,
        "note": NOTE,
        "status": _short(notification.status),
        "transactionState": _short(notification.transaction_state),
        "amount": amount,
        "currency": _short(currency),
        "checksumStatus": verdict.status,
        "checksumForm": verdict.form,
        "body": mask_body(notification.body),
        "bodyDigest": notification.body_digest,
        "state": "PENDING",
        "passesDone": 0,
        "passes": [],
    }


def _in_line(due: datetime, first_due: datetime, sweep_at: datetime, shard: int) -> Item:
    return {
        "nextPassDue": format_utc(due),
        "firstDue": format_utc(first_due),
        "sweepAt": format_utc(sweep_at),
        "sweepShard": shard,
    }


def _as_values(values: Item) -> Item:
    names = {"nextPassDue": ":due", "firstDue": ":first", "sweepAt": ":sweep", "sweepShard": ":shard"}
    return {names[name]: value for name, value in values.items()}


def _end_values(ids: Item, error: Exception, now: datetime) -> Item:
    shard = hash_ids(ids["chargeId"], ids["notificationId"])[0] % SWEEP_SHARDS
    return {":state": "FAILED", ":error": _error_text(error), ":now": format_utc(now), ":shard": shard}


def _claimed_by(claim: str, item: Item) -> Record:
    # Also where the write was refused: botocore sends a write again whose response was lost.
    record = read_record(item)
    return record.model_copy(update={"ours": record.claim_id == claim})


def _existing(found: ConditionFailed) -> Item:
    if found.item is None:
        raise NotificationNotFound from found
    return found.item


def _error_text(error: Exception) -> str:
    return scrub(f"{type(error).__name__}: {error}")[:_MAX_ERROR]


def _short(text: str | None) -> str | None:
    return text[:_MAX_FIELD] if text else text


def _key(charge_id: str, notification_id: str) -> Item:
    return {"chargeId": charge_id, "notificationId": notification_id}


def _key_of(item: Item) -> Item:
    return _key(item["chargeId"], item["notificationId"])
