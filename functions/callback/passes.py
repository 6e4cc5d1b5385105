"""The passes: claim, run and record one, and create the timer of the next."""

import time

from callback.clock import Clock
from callback.errors import FollowUpError, GaveUp, OrderUnsettled, PassFailed
from callback.log import log
from callback.paid_order import PaidOrders
from callback.record import Record, Records
from callback.report import Reporter
from callback.settings import Settings
from callback.table import AWS_ERRORS, Table
from callback.timer import Timer, TimerInput


class Passes:
    """Made once per cold start; each step takes what the steps before it found."""

    def __init__(  # noqa: PLR0913 - one argument for each thing it works with
        self,
        *,
        settings: Settings,
        clock: Clock,
        records: Records,
        paid_orders: PaidOrders,
        timer: Timer,
        orders: Table,
        reporter: Reporter,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._records = records
        self._paid_orders = paid_orders
        self._timer = timer
        self._orders = orders
        self._reporter = reporter

    def claim(self, timer: TimerInput) -> Record:
        """Claim the pass that the timer names, if it is due and nobody else's."""
        record = self._records.claim(timer.charge_id, timer.notification_id, timer.number)
        now = self._clock()
        log.bind(checksumStatus=record.checksum_status, state=record.state, passesDone=record.passes_done)
        if record.ours:
            log.metric("RecheckLateness", int(record.overdue(now).total_seconds()), "Seconds")
        else:
            log.bind(outcome=record.unclaimed_because(timer.number, now))
        return record

    def process_paid_order(self, record: Record) -> Record:
        """Run the claimed pass and record it; a record that is not ours to run is returned as it is.

        Raises `PassFailed`, with the pass due again, or `GaveUp`, with the record FAILED.
        """
        if not record.ours:
            return record
        started = time.monotonic()
        try:
            answer = self._paid_orders.process(record)
            settled, unsettled = self._settlement(record)
        except PassFailed as error:
            self._log_pass(record, "failed")
            raise self._wait_or_give_up(record, error) from error
        took = round((time.monotonic() - started) * 1000)
        self._log_pass(record, "completed", answer=answer, durationMs=took)
        if unsettled:  # reported first, ended then, so that it cannot end in silence
            self._reporter.report(unsettled)
        record = self._records.complete(record, answer, took, settled=settled, failure=unsettled)
        log.bind(state=record.state, passesDone=record.passes_done)
        return record

    def schedule_recheck(self, record: Record) -> None:
        """Create the timer of a pass that waits for its first attempt; without one the sweep runs it, later."""
        due = record.next_pass_due
        if record.attempts_made or not due or due <= self._clock():
            return
        with log.unimportant("timer"):
            log.bind(schedule=self._timer.create(record, due))

    def _settlement(self, record: Record) -> tuple[bool, OrderUnsettled | None]:
        """Whether the order has settled; where it has not and the plan is over, the error that says so."""
        statuses, number = self._settings.settled_order_statuses, record.next_pass
        if not statuses or number == 1:  # two passes are the promise, whatever the order says
            return False, None
        try:
            order = self._orders.get({"orderId": record.order_id}, "#status") or {}
        except AWS_ERRORS as error:
            raise PassFailed(number, f"the order could not be read: {error}") from error
        if order.get("status") in statuses:
            return True, None
        is_last = number > len(self._settings.recheck_delays)
        return False, OrderUnsettled(number, order.get("status")) if is_last else None

    def _wait_or_give_up(self, record: Record, error: PassFailed) -> FollowUpError:
        if not self._records.has_failed_too_long(record):
            with log.unimportant("record"):  # without it the claim runs out, and the sweep tries again
                waiting = self._records.fail(record, error)
                log.bind(nextPassDue=waiting.next_pass_due and waiting.next_pass_due.isoformat())
            return error
        gave_up = GaveUp(record.next_pass, str(error), error.answer)
        self._reporter.report(gave_up)
        with log.unimportant("record"):
            self._records.end(record, gave_up)
        log.bind(state="FAILED")
        return gave_up

    def _log_pass(self, record: Record, outcome: str, **more: object) -> None:
        number = record.next_pass
        log.metric(f"Passes{outcome.capitalize()}")
        log.bind(**{"pass": number, "attempt": record.attempts_made, "outcome": outcome}, **more)
