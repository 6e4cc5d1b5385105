"""The steps of DelayedNotify beside the passes. The handler puts them in order."""

from typing import Any

from callback.checksum import Verdict, verify
from callback.errors import ChecksumRejected, InvalidNotification, OrderContradicted, PaymentUnreadable
from callback.log import log
from callback.notification import Notification
from callback.passes import Passes
from callback.payment import Payment, Payments
from callback.record import Record
from callback.redirect import Response, redirect
from callback.secret import Secret
from callback.table import AWS_ERRORS


class CreditCardCallbackProcessor(Passes):
    """Made once per cold start; each step takes what the steps before it found."""

    def __init__(self, secret: Secret, payments: Payments, **for_passes: Any) -> None:  # noqa: ANN401 - as `Passes` has them
        super().__init__(**for_passes)
        self._secret = secret
        self._payments = payments

    def verify_and_handle_checksum(self, notification: Notification) -> Verdict:
        """Verify, and go on with a warning, or raise `ChecksumRejected` by policy."""
        verdict = self._verdict(notification)
        log.bind(checksumStatus=verdict.status, checksumError=verdict.error)
        log.metric(f"Checksums{verdict.status.capitalize()}")
        if verdict.valid:
            return verdict
        if self._rejects and not notification.is_browser_return:
            self.mark_payment(notification, verdict)
            raise ChecksumRejected(verdict.status, verdict.error)
        log.warn("Checksum verification failed. Continuing with processing.")
        return verdict

    def answers_only(self, notification: Notification) -> bool:
        """Whether it gets its page and no passes: under `reject` a browser return, which never has a checksum."""
        return self._rejects and notification.is_browser_return

    def page(self, notification: Notification) -> Response:
        """Answer without a record."""
        payment = None
        with log.unimportant("payment"):
            payment = self._payments.get(notification.charge_id)
        return self.response((payment and payment.order_id) or "")

    def find_payment(self, notification: Notification) -> Payment | None:
        """Read the payment record; a notification that names its own order goes on without it."""
        try:
            return self._payments.get(notification.charge_id)
        except AWS_ERRORS as error:
            if notification.order_id is None:
                raise PaymentUnreadable(str(error)) from error
            log.step_failed("payment", error)
            return None

    def choose_order(self, notification: Notification, payment: Payment | None, verdict: Verdict) -> str:
        """Return the payment record's order, else the notification's. Raises `OrderContradicted` by policy.

        The payment record is the shop's own word, and no checksum covers what the notification says of the order.
        """
        order_id = (payment and payment.order_id) or notification.order_id
        if not order_id:
            raise InvalidNotification("reference_order", "an order id, here or in the payment record of the charge")
        log.bind(orderId=order_id)
        if self._rejects and payment and (fields := payment.differences(notification)):
            self.mark_payment(notification, verdict)
            raise OrderContradicted(fields, refused=True)
        return order_id

    def save(self, notification: Notification, order_id: str, payment: Payment | None, verdict: Verdict) -> Record:
        """Save the notification with pass 1 due and claimed; a repeat finds the record."""
        record = self._records.save(notification, order_id, payment, verdict)
        if record.ours:
            log.metric("Saved")
        else:
            log.bind(outcome="repeat", state=record.state, passesDone=record.passes_done)
        return record

    def mark_payment(self, notification: Notification, verdict: Verdict) -> None:
        """Mark the payment record with the verdict."""
        with log.unimportant("mark"):
            self._payments.mark(notification, verdict, "delayednotify")

    def report_contradictions(self, notification: Notification, payment: Payment | None) -> None:
        """Report that the notification contradicts the payment record, whose order was processed."""
        if payment and (fields := payment.differences(notification)):
            log.metric("Contradictions")
            log.warn(f"notification and payment record differ in {', '.join(fields)}")
            self._reporter.report(OrderContradicted(fields, refused=False))

    def response(self, order_id: str) -> Response:
        """Return the HTML redirect for the order as the order table has it."""
        order: dict[str, object] = {}
        if self._settings.redirect_allowed_origins:  # without one no order's own URL is allowed
            with log.unimportant("order"):
                order = self._orders.get({"orderId": order_id}, "#returnUrl") or {}
        return redirect(order_id, order.get("returnUrl"), self._settings)

    @property
    def _rejects(self) -> bool:
        return self._settings.checksum_policy == "reject"

    def _verdict(self, notification: Notification) -> Verdict:
        if not notification.checksum:
            return verify(notification, {})
        try:
            verdict = verify(notification, self._secret.keys())
            if verdict.valid:
                return verdict
            # The key may have been rotated since it was read.
            newer = self._secret.newer_keys()
            return verify(notification, newer) if newer else verdict
        except (*AWS_ERRORS, ValueError) as error:
            log.step_failed("secret", error)
            return Verdict("unverifiable", f"the merchant key could not be read ({type(error).__name__})")
