"""The passes: claim, run and record one, and create the timer of the next. One run of ProcessPaidOrder is one pass."""

import json
import time
from dataclasses import dataclass
from typing import Any

from botocore import exceptions as aws

from callback.clock import Clock
from callback.errors import FollowUpError, GaveUp, OrderUnsettled, PassFailed, PassTimedOut
from callback.log import log
from callback.record import NOTE, Record, Records
from callback.redact import redacted_text, scrub
from callback.report import Reporter
from callback.settings import Settings
from callback.table import AWS_ERRORS, Table
from callback.timer import Timer, TimerInput

# A record may hold 100 outcomes.
_MAX_ANSWER_BYTES, _MAX_OUTCOME_BYTES = 64 * 1024, 1000
# A kept-alive connection that died while the function was frozen, or one that was never made: nothing ran. One
# that closes later may have been in the middle of the pass.
_DEAD_CONNECTION = (aws.ConnectionClosedError, aws.ConnectTimeoutError, aws.EndpointConnectionError, aws.SSLError)
_AT_ONCE = 2


@dataclass(frozen=True)
class PaidOrders:
    """Invokes ProcessPaidOrder through a client without retries: a retry after a timeout would run the pass twice."""

    client: Any
    function: str

    def process(self, record: Record, number: int) -> str:
        """Run a pass of the record and return ProcessPaidOrder's answer, redacted and cut. Raises `PassFailed`."""
        about = {"orderId": record.order_id, "chargeId": record.charge_id, "note": NOTE}
        try:
            answer = self._invoke(json.dumps(about | {"pass": number, "checksumStatus": record.checksum_status}))
            outcome = _outcome(answer["Payload"])
        except aws.ReadTimeoutError as error:
            raise PassTimedOut(number, "ProcessPaidOrder did not answer in time; it may have finished") from error
        except AWS_ERRORS as error:
            raise PassFailed(number, f"ProcessPaidOrder could not be invoked: {scrub(str(error))}") from error
        if "FunctionError" in answer:  # comes with HTTP 200 and raises nothing by itself
            raise PassFailed(number, f"ProcessPaidOrder failed ({answer['FunctionError']})", outcome)
        return outcome

    def _invoke(self, payload: str) -> Any:  # noqa: ANN401 - the client's own type of answer
        began = time.monotonic()
        try:
            return self.client.invoke(FunctionName=self.function, Payload=payload)
        except _DEAD_CONNECTION:
            if time.monotonic() - began > _AT_ONCE:
                raise
            return self.client.invoke(FunctionName=self.function, Payload=payload)


def _outcome(stream: Any) -> str:  # noqa: ANN401 - botocore's stream has no type
    text = stream.read(_MAX_ANSWER_BYTES).decode(errors="replace")
    stream.close()  # the rest is not read
    return redacted_text(text).encode()[:_MAX_OUTCOME_BYTES].decode(errors="ignore")


@dataclass(frozen=True, kw_only=True)
class Passes:
    """Made once per cold start; each step takes what the earlier steps found."""

    settings: Settings
    clock: Clock
    records: Records
    paid_orders: PaidOrders
    timer: Timer
    orders: Table
    reporter: Reporter

    def claim(self, timer: TimerInput) -> Record:
        """Claim the pass that the timer names, if it is due and not claimed by another run."""
        record, now = self.records.claim(timer.charge_id, timer.notification_id, timer.number), self.clock()
        log.bind(checksumStatus=record.checksum_status, state=record.state, passesDone=record.passes_done)
        if record.has_claim:
            log.metric("RecheckLateness", int(record.overdue(now).total_seconds()))
        else:
            log.bind(outcome=record.unclaimed_because(timer.number, now))
        return record

    def process_paid_order(self, record: Record) -> Record:
        """Run the claimed pass and record it; a record without a claim is returned as it is.

        Raises `PassFailed`, with the pass due again, or `GaveUp`, with the record FAILED.
        """
        if not record.has_claim:
            return record
        number = record.next_pass
        log.bind(**{"pass": number, "attempt": record.attempts_made})
        started = time.monotonic()
        try:
            answer = self.paid_orders.process(record, number)
            settled, unsettled = self._settlement(record, number)
        except PassFailed as error:
            log.bind(outcome="failed")
            log.metric("PassesFailed")
            raise self._wait_or_give_up(record, error) from error
        took = round((time.monotonic() - started) * 1000)
        if unsettled:  # reported before it ends, so that a crash between the two cannot hide it
            self.reporter.report(unsettled)
        record = self.records.complete(record, answer, took, settled=settled, failure=unsettled)
        log.bind(outcome="completed", answer=answer, durationMs=took, state=record.state, passesDone=record.passes_done)
        log.metric("PassesCompleted")
        return record

    @log.unimportant("timer")
    def schedule_recheck(self, record: Record) -> None:
        """Create the timer of a pass that waits for its first attempt; without one the sweep runs it, later."""
        due = record.next_pass_due
        if due and due > self.clock() and not record.attempts_made:
            log.bind(schedule=self.timer.create(record, due))

    def _settlement(self, record: Record, number: int) -> tuple[bool, OrderUnsettled | None]:
        """Return whether the order has settled; if it has not and the plan is over, also the error."""
        statuses = self.settings.settled_order_statuses
        if not statuses or number == 1:  # two passes are the promise, whatever the order says
            return False, None
        try:
            status = self.orders.get({"orderId": record.order_id}, "status").get("status")
        except AWS_ERRORS as error:
            raise PassFailed(number, f"the order could not be read: {scrub(str(error))}") from error
        if status in statuses or number <= len(self.settings.recheck_delays):
            return status in statuses, None
        return False, OrderUnsettled(number, f"the plan is over, and the order's status is {status}")

    def _wait_or_give_up(self, record: Record, error: PassFailed) -> FollowUpError:
        if not self.records.has_failed_too_long(record):
            with log.unimportant("record"):  # without it the claim expires, and the sweep tries again
                self.records.fail(record, error)
            return error
        gave_up = GaveUp(record.next_pass, f"given up: {error.reason}", error.answer)
        self.reporter.report(gave_up)
        with log.unimportant("record"):
            self.records.end(record, gave_up)
        return gave_up
