"""DelayedNotify's steps, in the seed's words: verify the checksum, save, process the paid order, respond."""

from dataclasses import dataclass, field

from botocore.exceptions import BotoCoreError, ClientError

from callback.advance import advance
from callback.app import Application
from callback.checksum import Verdict, verify
from callback.errors import ChecksumRejected, InvalidNotification
from callback.log import logger
from callback.metric import counted
from callback.notification import Notification
from callback.payment import Payment
from callback.record import Record
from callback.redirect import Response, redirect
from callback.shape import MAX_ID


def verify_and_handle_checksum(
    app: Application, notification: Notification, function_name: str
) -> tuple[Verdict, Payment | None]:
    """Verify, mark the payment record, and go on with a warning, or raise `ChecksumRejected` by policy."""
    verdict = _verdict(app, notification)
    payment = app.payments.mark(notification.charge_id, verdict, function_name)
    count = counted(app.settings.branch, "Checksums", 1, "Count", Status=verdict.status)
    if verdict.valid:
        logger.info("checksum valid", extra={"checksumForm": verdict.form, "checksumKey": verdict.key} | count)
        return verdict, payment
    if app.settings.checksum_policy == "reject":
        logger.warning("Checksum verification failed. Refused by policy.", extra=count)
        raise ChecksumRejected(verdict.status, verdict.error)
    about = {"checksumStatus": verdict.status, "checksumError": verdict.error}
    logger.warning("Checksum verification failed. Continuing with processing.", extra=about | count)
    return verdict, payment


def _verdict(app: Application, notification: Notification) -> Verdict:
    if not notification.checksum:
        return verify(notification, {})
    try:
        keys, fresh = app.secret.keys()
        verdict = verify(notification, keys)
        # The key may have been rotated since it was cached: ask once more before saying no.
        return verdict if verdict.valid or fresh else verify(notification, app.secret.refetched())
    except (ClientError, BotoCoreError, ValueError) as error:
        return Verdict("unverifiable", f"the merchant key could not be read ({type(error).__name__})")


@dataclass
class CreditCardCallbackProcessor:
    """One notification on its way through DelayedNotify."""

    app: Application
    notification: Notification
    verdict: Verdict
    payment: Payment | None
    record: Record = field(init=False)

    @property
    def order_id(self) -> str:
        """The bank's `reference_order`, else the payment record's order (brief: input of DelayedNotify)."""
        order_id = self.notification.order_id or (self.payment and self.payment.order_id)
        # The shop's own record may hold any text, but an index key of DynamoDB's has its limit.
        if not order_id or len(order_id.encode()) > MAX_ID:
            expected = f"an order id of at most {MAX_ID} bytes, here or in the payment record of the charge"
            raise InvalidNotification("reference_order", expected)
        return order_id

    def save(self) -> None:
        """Make the follow-up durable, with pass 1 due now and claimed; a repeat finds what stands."""
        self._warn_of_differences()
        self.record = self.app.records.save(self.notification, self.order_id, self.payment, self.verdict)
        if self.record.claim:
            logger.info("saved", extra=counted(self.app.settings.branch, "Saved", 1, "Count"))
        else:
            logger.info("saved before", extra={"state": self.record.state})

    def process_paid_order(self) -> None:
        """Run the pass that is due and arm the timer of the next; a repeat does only what is missing."""
        record = self.record
        if not record.claim and record.is_due(self.app.clock()):
            record = self.app.records.claim(record.charge_id, record.notification_id, record.next_pass)
        self.record = advance(self.app, record)

    @property
    def response(self) -> Response:
        """The HTML redirect for the order as the order table has it."""
        order = self.app.orders.get({"orderId": self.record.order_id}, "#returnUrl") or {}
        return redirect(self.record.order_id, order.get("returnUrl"), self.app.settings)

    def _warn_of_differences(self) -> None:
        # A valid checksum does not cover the order id, and an invalid one covers nothing.
        if self.payment is None:
            return
        for name in ("order_id", "amount", "currency"):
            theirs, ours = getattr(self.notification, name), getattr(self.payment, name)
            if theirs is not None and ours is not None and theirs != ours:
                logger.warning("notification and payment record differ", extra={"field": name})
