"""The notification record is the truth: what was saved, which passes are done, when the next one is due.

Each write is one conditional call, so that whoever dies, whatever comes twice, the record tells what is missing
(docs/decisions/03). Each claim has an id of its own: only its holder can record the pass or give the claim back.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal
from uuid import uuid4

from callback.clock import Clock, moment, stamp
from callback.errors import InvalidRecord, NotificationConflict, NotificationNotFound, PassInProgress, PassNotDue
from callback.redact import scrub
from callback.settings import Settings
from callback.table import ConditionFailed, Item, Table

if TYPE_CHECKING:  # Recheck and the sweep start without them (tests/test_ceilings.py)
    from callback.checksum import Verdict
    from callback.notification import Notification
    from callback.payment import Payment

NOTE = "delayed notify"
# The index `due` is spread over this many partitions, so that none takes all writes.
SWEEP_SHARDS = 16
KEEP = timedelta(days=400)
MAX_ERROR = 1000

_CLAIMABLE = (
    "#passesDone = :before"
    " AND (attribute_not_exists(#leaseUntil) OR #leaseUntil <= :now)"
    # A failed notification is due no longer, yet may be replayed; a done one is neither.
    " AND (#nextPassDue <= :now OR #state = :failed)"
)

_RELEASE = "SET #lastError = :error REMOVE #leaseUntil, #claimId"
# Out of the index `due` and into the index `ended`, where operators find it.
_END = "#state = :state, #endedAt = :now, #endedShard = :ended REMOVE #leaseUntil, #claimId, #nextPassDue, #sweepShard"
# From here on it waits for a person.
_FAIL = f"SET #lastError = :error, {_END}"
# A replay may bring a failed notification back before its last pass.
_WAIT = "#state = :state, #nextPassDue = :due, #sweepShard = :shard REMOVE #leaseUntil, #claimId, #endedAt, #endedShard"


@dataclass(frozen=True)
class Record:
    """One saved notification, as read at one moment; with a `claim` the next pass is ours to run."""

    charge_id: str
    notification_id: str
    order_id: str
    state: Literal["PENDING", "DONE", "FAILED"]
    passes_done: int
    attempts: int
    attempts_before: int  # of the passes that are done
    next_pass_due: datetime | None
    leased: bool
    claim: str | None

    @property
    def next_pass(self) -> int:
        """The number of the pass after the last completed one."""
        return self.passes_done + 1

    @property
    def ids(self) -> dict[str, str]:
        """What every log line about it carries."""
        return {"chargeId": self.charge_id, "notificationId": self.notification_id, "orderId": self.order_id}

    @property
    def attempts_made(self) -> int:
        """How often the next pass was claimed."""
        return self.attempts - self.attempts_before

    @property
    def waits_until(self) -> datetime | None:
        """When the next pass is due; None where none is to come or somebody is at it."""
        return None if self.leased else self.next_pass_due

    def is_due(self, now: datetime) -> bool:
        """Whether a pass is missing now; a failed notification's always is."""
        return self.state == "FAILED" or bool(self.next_pass_due and self.next_pass_due <= now)


class Records:
    """CreditCardNotifyTable: the notifications of this branch."""

    def __init__(self, table: Table, settings: Settings, clock: Clock) -> None:
        self._table = table
        self._clock = clock
        self._lease = timedelta(seconds=settings.lease_seconds)
        self._delays = settings.recheck_delays
        self._max_attempts = settings.max_attempts

    def save(
        self, notification: "Notification", order_id: str, payment: "Payment | None", verdict: "Verdict"
    ) -> Record:
        """Write the notification with its first pass due now and claimed by us.

        A repeat returns the record that stands; another body under its id raises `NotificationConflict`.
        """
        now, claim = self._clock(), uuid4().hex
        item = _new_item(notification, order_id, payment, verdict, now)
        item |= {"attempts": 1, "leaseUntil": stamp(now + self._lease), "claimId": claim}
        try:
            self._table.put(item, "attribute_not_exists(#chargeId)")
        except ConditionFailed as found:
            standing = found.item or {}
            if standing.get("bodyDigest") != item["bodyDigest"]:
                raise NotificationConflict("body: expected the same body as before under this id") from found
            return _record(standing, now, claim)
        return _record(item, now, claim)

    def claim(self, charge_id: str, notification_id: str, number: int) -> Record:
        """Take pass `number` for ourselves, or return the record unclaimed where that pass is done.

        Raises `PassInProgress` where another process holds the claim, `PassNotDue` before its time, and
        `NotificationNotFound` where nothing was saved.
        """
        now, claim = self._clock(), uuid4().hex
        values = {":before": number - 1, ":now": stamp(now), ":failed": "FAILED", ":one": 1}
        values |= {":lease": stamp(now + self._lease), ":claim": claim}
        update = "SET #leaseUntil = :lease, #claimId = :claim ADD #attempts :one"
        try:
            item = self._table.update(_key(charge_id, notification_id), update, values, _CLAIMABLE)
        except ConditionFailed as found:
            return self._standing(found, number, claim)
        return _record(item, now, claim)

    def overdue(self, shard: int, before: datetime, limit: int) -> list[Item]:
        """Return what the index `due` holds of the notifications of a shard that were due before then, oldest first.

        As they stand there: whoever goes on from one must expect that it has moved on (`read`, `give_up`).
        """
        values = {":shard": shard, ":before": stamp(before)}
        return self._table.query("due", "#sweepShard = :shard AND #nextPassDue < :before", values, limit)

    def read(self, item: Item) -> Record:
        """Read an item of the index, or raise `InvalidRecord` where another hand has spoilt it."""
        try:
            return _record(item, self._clock())
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidRecord(str(error), "what `save` writes") from error

    def give_up(self, item: Item, error: Exception) -> bool:
        """End an overdue notification in `FAILED`, unless it is claimed or has moved on since it was read."""
        key = _key(item["chargeId"], item["notificationId"])
        values = _ended("FAILED", key, self._clock()) | {":error": _told(error), ":due": item["nextPassDue"]}
        idle = "#nextPassDue = :due AND (attribute_not_exists(#leaseUntil) OR #leaseUntil <= :now)"
        try:
            self._table.update(key, _FAIL, values, idle)
        except ConditionFailed:
            return False
        return True

    def completed(
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
        `FAILED` with the `failure` that is given. Where the claim was lost nothing is written: returns or raises as
        `claim` does.
        """
        now, number = self._clock(), record.next_pass
        done = {"number": number, "at": stamp(now), "outcome": outcome}
        done |= {"durationMs": milliseconds, "attempt": record.attempts}
        update, values = self._next(record, now, settled=settled, failure=failure)
        update = f"#passes = list_append(#passes, :done), #attemptsBefore = :attempts, {update}"
        update = f"SET #passesDone = :number, {update}"
        values |= {":number": number, ":done": [done], ":attempts": record.attempts, ":claim": record.claim}
        try:
            return _record(self._table.update(_key_of(record), update, values, "#claimId = :claim"), now)
        except ConditionFailed as found:
            return self._standing(found, number)

    def failed(self, record: Record, error: Exception) -> bool:
        """Keep the error and give the claim back in one write; whether this attempt was the last, and ends `FAILED`."""
        last = record.attempts_made >= self._max_attempts
        values = {":error": _told(error), ":claim": record.claim}
        values |= _ended("FAILED", _key_of(record), self._clock()) if last else {}
        try:
            self._table.update(_key_of(record), _FAIL if last else _RELEASE, values, "#claimId = :claim")
        except ConditionFailed:  # the claim was lost: nothing to give back
            return False
        return last

    def _next(self, record: Record, now: datetime, *, settled: bool, failure: Exception | None) -> tuple[str, Item]:
        if failure:
            return f"#lastError = :error, {_END}", _ended("FAILED", _key_of(record), now) | {":error": _told(failure)}
        if settled or record.next_pass > len(self._delays):
            return _END, _ended("DONE", _key_of(record), now)
        due = now + timedelta(seconds=self._delays[record.passes_done])
        return _WAIT, {
            ":state": "PENDING",
            ":due": stamp(due),
            ":shard": _shard(record.charge_id, record.notification_id),
        }

    def _standing(self, found: ConditionFailed, number: int, claim: str | None = None) -> Record:
        if found.item is None:
            raise NotificationNotFound("notificationId: expected a notification that was saved") from found
        now = self._clock()
        record = _record(found.item, now, claim)
        if record.claim or record.next_pass != number or record.state == "DONE":
            return record
        if record.waits_until and not record.is_due(now):
            raise PassNotDue(f"pass {number} is due at {stamp(record.waits_until)}") from found
        raise PassInProgress(f"pass {number} is claimed until {found.item.get('leaseUntil')}") from found


def _new_item(
    notification: "Notification", order_id: str, payment: "Payment | None", verdict: "Verdict", now: datetime
) -> Item:
    amount, currency = notification.amount, notification.currency
    if payment and amount is None:  # a browser return states neither
        amount, currency = payment.amount, payment.currency
    return _key(notification.charge_id, notification.notification_id) | {
        "orderId": order_id,
        "note": NOTE,
        "status": notification.status,
        "transactionState": notification.transaction_state,
        "amount": amount,
        "currency": currency,
        "checksumStatus": verdict.status,
        "checksumForm": verdict.form,
        "body": notification.body,
        "bodyDigest": notification.body_digest,
        "receivedAt": stamp(now),
        "state": "PENDING",
        "passesDone": 0,
        "passes": [],
        "nextPassDue": stamp(now),
        "sweepShard": _shard(notification.charge_id, notification.notification_id),
        "expiresAt": int((now + KEEP).timestamp()),
    }


def _record(item: Item, now: datetime, claim: str | None = None) -> Record:
    due = item.get("nextPassDue")
    return Record(
        charge_id=item["chargeId"],
        notification_id=item["notificationId"],
        order_id=item["orderId"],
        state=item["state"],
        passes_done=int(item["passesDone"]),
        attempts=int(item["attempts"]),
        attempts_before=int(item.get("attemptsBefore", 0)),
        next_pass_due=moment(due) if due else None,
        leased=item.get("leaseUntil", "") > stamp(now),
        # Our own claim, even if it stood already: botocore sends a write again whose answer was lost.
        claim=claim if item.get("claimId") == claim else None,
    )


def _ended(state: str, key: Item, now: datetime) -> Item:
    return {":state": state, ":now": stamp(now), ":ended": f"{state}#{_shard(key['chargeId'], key['notificationId'])}"}


def _told(error: Exception) -> str:
    return scrub(f"{type(error).__name__}: {error}")[:MAX_ERROR]


def _key(charge_id: str, notification_id: str) -> Item:
    return {"chargeId": charge_id, "notificationId": notification_id}


def _key_of(record: Record) -> Item:
    return _key(record.charge_id, record.notification_id)


def _shard(charge_id: str, notification_id: str) -> int:
    digest = hashlib.sha256(f"{charge_id}\n{notification_id}".encode()).digest()
    return digest[0] % SWEEP_SHARDS
