"""A stack worth a picture: notifications with a past, written by the functions' own code at chosen times.

Nobody waits for an hour to see an hour's worth of follow-ups.
"""

import json
import random
from dataclasses import dataclass
from datetime import datetime, timedelta

from callback.app import Application
from callback.checksum import Verdict
from callback.errors import GaveUp, PassFailed, PassTimedOut
from callback.log import log
from callback.notification import Notification, parse_notification
from callback.record import Record
from callback.settings import Settings
from local.samples import EVENTS

_WAITING_SECONDS = (4, 13, 21, 30, 38, 47, 55)  # ago: so long have they waited
_NEW = 1
FAILED_ORDER, LATE_ORDER = "ORDER-1984", "ORDER-1989"
_ASLEEP = "ProcessPaidOrder failed (Unhandled)"
_SILENT = "ProcessPaidOrder did not answer in time; it may have finished"


@dataclass
class DemoData:
    """The records of a stack, written as of `now`: set it, then let something happen."""

    settings: Settings
    now: datetime

    def __post_init__(self) -> None:
        """Compose the functions' own application around a clock that we set."""
        self.app = Application(self.settings, lambda: self.now)
        self._random = random.Random(7)  # noqa: S311 - the same picture each time
        self._number = 2000

    def play(self, done: int = 64) -> None:
        """Let the last hours happen: many done, two failed, one late, some waiting, one under way."""
        end = self.now
        for ago in sorted((self._random.uniform(130, 3570) for _ in range(done)), reverse=True):
            self._done(end - timedelta(seconds=ago))
        self._failed("ORDER-1977", end - timedelta(hours=5, minutes=12), PassTimedOut, _SILENT)
        self._failed(FAILED_ORDER, end - timedelta(minutes=52), PassFailed, _ASLEEP)
        self._late(end - timedelta(minutes=8, seconds=20), end)
        for ago in reversed(_WAITING_SECONDS):
            self._waiting(end - timedelta(seconds=ago))
        self.now = end - timedelta(seconds=_NEW)
        self._received()
        self.now = end

    def _received(self, order: str = "") -> Record:
        notification = self._notification(order)
        verdict = Verdict("valid", form="plain")
        return self.app.records.save(notification, str(notification.order_id), {}, verdict)

    def _first_pass(self, at: datetime, order: str = "") -> Record:
        self.now = at
        return self._complete(self._received(order))

    def _complete(self, record: Record) -> Record:
        took = self._random.randint(180, 900)
        self.now += timedelta(milliseconds=took)
        outcome = json.dumps({"orderId": record.order_id, "pass": record.next_pass, "paid": True})
        return self.app.records.complete(record, outcome, took, settled=False, failure=None)

    def _done(self, at: datetime) -> None:
        record = self._first_pass(at)
        # As Scheduler does: within the minute, and now and then the sweep has to help.
        late = 170 if self._number % 37 == 0 else self._random.triangular(1, 58, 9)
        self.now += timedelta(seconds=62 + late)
        self._complete(self._claim(record))

    def _waiting(self, at: datetime) -> None:
        record = self._first_pass(at)
        if record.next_pass_due:
            self.app.passes.timer.create(record, record.next_pass_due)

    def _late(self, at: datetime, end: datetime) -> None:
        record = self._first_pass(at, LATE_ORDER)
        while (due := self._next_sweep(record)) < end:
            self.now = due
            record = self._fail(record, PassFailed, _ASLEEP)

    def _failed(self, order: str, at: datetime, kind: type[PassFailed], text: str) -> None:
        record = self._first_pass(at - self.settings.give_up_after(proved=True), order)
        for _ in range(3):
            self.now = self._next_sweep(record)
            record = self._fail(record, kind, text)
        # The tries in between are left out.
        self.now = at + timedelta(minutes=2)
        record = self._fail(record, kind, text, ends=True)

    def _next_sweep(self, record: Record) -> datetime:
        return (record.next_pass_due or self.now) + timedelta(seconds=self._random.randint(2, 60))

    def _fail(self, record: Record, kind: type[PassFailed], text: str, *, ends: bool = False) -> Record:
        claimed, number = self._claim(record), record.next_pass
        error = kind(number, text)
        log.begin(self.settings.branch, debug=False)
        log.bind(**record.about)
        if not ends:
            self.app.reporter.report(error)
            return self.app.records.fail(claimed, error)
        gave_up = GaveUp(number, f"given up after {error}")
        self.app.reporter.report(gave_up)
        return self.app.records.end(claimed, gave_up)

    def _claim(self, record: Record) -> Record:
        return self.app.records.claim(record.charge_id, record.notification_id, record.next_pass)

    def _notification(self, order: str) -> Notification:
        self._number += 1
        event = json.loads((EVENTS / "authorized.json").read_text())
        known = f"{self._random.getrandbits(64):016x}"
        ids = {"id": f"chrg_test_{known}", "reference_order": order or f"ORDER-{self._number}"}
        event["body"] = json.dumps(json.loads(event["body"]) | ids)
        event["requestContext"]["requestId"] = f"{known[:8]}-{known[8:12]}-4e0b-9c1d-{known[4:16]}"
        return parse_notification(event)
