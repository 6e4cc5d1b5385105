"""DelayedNotify: invoked by Notify with the bank's notification; and Retry, for what could not be saved."""

from typing import Any

from callback.app import application
from callback.log import log
from callback.notification import parse_notification
from callback.processor import CreditCardCallbackProcessor
from callback.redirect import Response


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
    failed = [m for m in event["Records"] if not app.retries.is_settled(m, lambda sent: deliver(sent, app.processor))]
    return {"batchItemFailures": [{"itemIdentifier": message["messageId"]} for message in failed]}


def deliver(event: object, processor: CreditCardCallbackProcessor) -> Response:
    """Take a notification through its steps. What comes after the schedule may fail at the cost of a warning."""
    notification = parse_notification(event)
    log.bind(**notification.ids)
    verdict = processor.verify_and_handle_checksum(notification)
    payment = processor.find_payment(notification)
    if processor.answers_only(notification):
        return processor.response(payment.order_id or "")
    order_id = processor.choose_order(notification, payment, verdict)
    record = processor.save(notification, order_id, payment, verdict)
    record = processor.process_paid_order(record)
    processor.schedule_recheck(record)
    processor.mark_payment(notification, verdict)
    processor.report_contradictions(notification, payment)
    return processor.response(record.order_id)
