"""DelayedNotify: invoked asynchronously by Notify with the bank's notification."""

from callback.app import application
from callback.log import about_pass
from callback.notification import parse_notification
from callback.processor import CreditCardCallbackProcessor, verify_and_handle_checksum
from callback.redirect import Response
from callback.report import reported


def lambda_handler(event: object, _context: object) -> Response:
    """Verify the checksum, save the notification, run pass 1 and arm the recheck.

    Takes an API Gateway proxy event (v1 or v2), returns the HTML redirect. Every error is reported and re-raised.
    """
    app = application()
    with reported(app, "delayednotify", event) as subject:
        notification = parse_notification(event)
        subject.learn(**notification.ids)
        about_pass(1)
        verdict, payment = verify_and_handle_checksum(app, notification, "delayednotify")
        processor = CreditCardCallbackProcessor(app, notification, verdict, payment)
        subject.learn(orderId=processor.order_id)
        processor.save()
        processor.process_paid_order()
        return processor.response
