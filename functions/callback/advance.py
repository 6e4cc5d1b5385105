"""The one story of both functions: run the pass that is ours, record it, arm the timer of the next."""

import time

from botocore.exceptions import BotoCoreError, ClientError

from callback.app import Application
from callback.errors import AttemptsExhausted
from callback.log import logger
from callback.record import NOTE, Record


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
    logger.append_keys(**{"pass": record.next_pass})
    started = time.monotonic()
    try:
        outcome = app.paid_orders.process(record, NOTE)
    except Exception as error:
        if _gave_up(app, record, error):
            raise AttemptsExhausted(record.next_pass, str(error), getattr(error, "answer", None)) from error
        raise
    took = round((time.monotonic() - started) * 1000)
    logger.info("process paid order response", extra={"outcome": outcome, "durationMs": took})
    return app.records.completed(record, outcome, took)


def _gave_up(app: Application, record: Record, error: Exception) -> bool:
    try:
        return app.records.failed(record, error)
    except (ClientError, BotoCoreError) as second:
        # The pass's own error goes on; the lease runs out by itself.
        logger.warning("the claim could not be given back", extra={"reason": str(second)})
        return False
