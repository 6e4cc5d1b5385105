"""The one story of both functions: run the pass that is ours, record it, arm the timer of the next."""

import time

from botocore.exceptions import BotoCoreError, ClientError

from callback.app import Application
from callback.errors import AttemptsExhausted, OrderUnsettled
from callback.log import about_pass, logger
from callback.metric import counted
from callback.record import NOTE, Record
from callback.report import Subject, report


def advance(app: Application, record: Record) -> Record:
    """Do what the record says is missing now, and return what it says then.

    A record whose pass is not ours to run only gets its timer, if one is still to come; a repeat therefore resumes.
    """
    if record.claim:
        record = _run_pass(app, record)
    if due := record.waits_until:
        app.schedules.arm(record, due)
    logger.info("advanced", extra={"state": record.state, "passesDone": record.passes_done})
    return record


def _run_pass(app: Application, record: Record) -> Record:
    _begin(app, record)
    started = time.monotonic()
    try:
        outcome = app.paid_orders.process(record, NOTE)
        # A part of the pass: where the order cannot be read, the pass is tried again.
        settled, unsettled = _order(app, record)
    except Exception as error:
        logger.warning("pass failed", extra=_outcome(app, record, "failed"))
        if _gave_up(app, record, error):
            raise AttemptsExhausted(record.next_pass, str(error), getattr(error, "answer", None)) from error
        raise
    took = round((time.monotonic() - started) * 1000)
    about = {"outcome": outcome, "durationMs": took} | _outcome(app, record, "completed")
    logger.info("process paid order response", extra=about)
    if unsettled:  # told first, ended then (docs/decisions/15)
        report(app, unsettled, "recheck", record.ids, Subject(record.ids))
    return app.records.completed(record, outcome, took, settled=settled, failure=unsettled)


def _begin(app: Application, record: Record) -> None:
    about_pass(record.next_pass, attempt=record.attempts_made)
    due = record.next_pass_due
    if record.passes_done and due:  # pass 1 has no timer, and a failed notification is due no longer
        late = int((app.clock() - due).total_seconds())
        logger.info("recheck begins", extra=counted(app.settings.branch, "RecheckLateness", late, "Seconds"))


def _outcome(app: Application, record: Record, outcome: str) -> dict[str, object]:
    return counted(app.settings.branch, "Passes", 1, "Count", Pass=str(record.next_pass), Outcome=outcome)


def _order(app: Application, record: Record) -> tuple[bool, OrderUnsettled | None]:
    """Tell whether the order has settled; where it has not and the plan is over, the error that says so."""
    statuses = app.settings.settled_order_statuses
    if not statuses or record.next_pass == 1:  # two passes are the promise, whatever the order says
        return False, None
    order = app.orders.get({"orderId": record.order_id}, "#status") or {}
    if order.get("status") in statuses:
        return True, None
    is_last = record.next_pass > len(app.settings.recheck_delays)
    return False, OrderUnsettled(record.next_pass, order.get("status")) if is_last else None


def _gave_up(app: Application, record: Record, error: Exception) -> bool:
    try:
        return app.records.failed(record, error)
    except (ClientError, BotoCoreError) as second:
        # The pass's own error goes on; the lease runs out by itself.
        logger.warning("the claim could not be given back", extra={"reason": str(second)})
        return False
