"""DelayedNotify: invoked by Notify with the bank's notification; and Retry, for what could not be saved."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from callback.app import Application, application
from callback.errors import PassError, RetriesExhausted, SpoiltRecord
from callback.log import by_proof, log
from callback.notification import parse_notification
from callback.processor import CreditCardCallbackProcessor, Response, order_of
from callback.redact import is_id
from callback.report import kind_of
from callback.table import AWS_ERRORS

# The retry queue's visibility timeout: how soon a message comes again.
_RETRY_EVERY = timedelta(minutes=12)
# The notification is saved, and the record knows what is missing.
_SAVED = (PassError, SpoiltRecord)


def lambda_handler(event: object, _context: object) -> Response:
    """Save the notification, run pass 1 and schedule the recheck.

    Takes an API Gateway proxy event (v1 or v2), returns the HTML redirect. Every error is reported and re-raised.
    """
    app = application()
    with app.reporter.reported("delayednotify", "delivered", event):
        return deliver(event, app.processor)


def retry_handler(event: dict[str, list[dict[str, Any]]], _context: object) -> dict[str, list[dict[str, str]]]:
    """Deliver again what could not be saved.

    Takes messages of the retry queue, returns which of them are to come again.
    """
    app = application()
    failed = [message for message in event["Records"] if not _is_settled(message, app)]
    return {"batchItemFailures": [{"itemIdentifier": message["messageId"]} for message in failed]}


def deliver(event: object, processor: CreditCardCallbackProcessor) -> Response:
    """Take a notification through its steps. What comes after the schedule may fail at the cost of a warning."""
    notification = parse_notification(event)
    log.bind(**notification.ids)
    verdict = processor.verify_and_handle_checksum(notification)
    payment = processor.find_payment(notification)
    if processor.answers_only(notification):
        order_id = order_of(payment) or ""
        return processor.response(order_id if is_id(order_id) else "")
    order_id = processor.choose_order(notification, payment, verdict)
    record = processor.save(notification, order_id, payment, verdict)
    record = processor.process_paid_order(record)
    processor.schedule_recheck(record)
    processor.mark_payment(notification, verdict)
    processor.report_contradictions(notification, payment)
    return processor.response(record.order_id)


def _is_settled(message: dict[str, Any], app: Application) -> bool:
    """Deliver a message's event again, and return whether the message may go; if not, it comes again later.

    What no retry can help moves to the refused queue. Errors have been reported by then.
    """
    event = _event_of(message["body"])
    try:
        with app.reporter.reported("retry", "retried", event):
            _deliver_again(event, message, app)
    except PassError:  # the message comes again and finds the record: then the payment record is marked
        return _is_last_try(message, app)
    except Exception as error:  # noqa: BLE001 - raised, it would bring back the others of its batch
        return isinstance(error, SpoiltRecord) or (kind_of(error) == "refused" and _is_moved(message, error, app))
    return True


def _deliver_again(event: object, message: dict[str, Any], app: Application) -> None:
    if isinstance(event, dict) and {"version", "pass", "notificationId"} <= set(event):
        log.bind(outcome="known")  # a timer that Scheduler could not hand over: the sweep reads the record
        return
    try:
        deliver(event, app.processor)
    except Exception as error:
        if isinstance(error, _SAVED) or kind_of(error) == "refused":
            raise
        if not _is_last_try(message, app):
            log.metric(by_proof("Unsaved", log.fields.get("checksumStatus")))
            raise
        raise RetriesExhausted(f"not saved within {app.settings.give_up_after_hours} hours: {error}") from error


def _is_last_try(message: dict[str, Any], app: Application) -> bool:
    sent = datetime.fromtimestamp(int(message["attributes"]["SentTimestamp"]) / 1000, UTC)
    return app.clock() - sent >= app.settings.give_up_after(proved=True) - _RETRY_EVERY


def _is_moved(message: dict[str, Any], error: Exception, app: Application) -> bool:
    reasons = {"errorType": type(error).__name__, "reason": str(error)[:256]}
    attributes = {name: {"DataType": "String", "StringValue": text} for name, text in reasons.items()}
    queue, body = app.settings.refused_queue_url, message["body"]
    try:
        app.client("sqs").send_message(QueueUrl=queue, MessageBody=body, MessageAttributes=attributes)
    except AWS_ERRORS:
        return False  # it comes again, and moves then
    return True


def _event_of(body: str) -> object:
    try:
        letter = json.loads(body)
    except (ValueError, RecursionError):
        return body
    return letter.get("requestPayload", letter) if isinstance(letter, dict) else letter
