"""The steps of DelayedNotify beside the passes. The handler puts them in order."""

import unicodedata
from dataclasses import dataclass
from decimal import Decimal
from html import escape
from pathlib import Path
from urllib.parse import quote

from callback import errors
from callback.checksum import Secret, Verdict
from callback.log import log
from callback.notification import Notification, amount_of
from callback.passes import Passes
from callback.record import PROVED, Record
from callback.redact import BLANKS, is_id
from callback.settings import Settings
from callback.table import AWS_ERRORS, Item, Table

Payment = Item | None
Response = dict[str, object]

_NO_BLANKS = str.maketrans("", "", BLANKS)
# What a URL may contain as it is. The rest is percent-encoded, so that a URL cannot end the attribute that it is in.
_URL_CHARACTERS = "!#$%&'()*+,/:;=?@[]~-._"
_HEADERS = {"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store"}
_HEADERS |= {"Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff"}
_HEADERS["Content-Security-Policy"] = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_PAGE = Path(__file__).with_name("redirect.html").read_text()


@dataclass(frozen=True, kw_only=True)
class CreditCardCallbackProcessor(Passes):
    """Made once per cold start; each step takes what the earlier steps found.

    A payment is an item of CardPaymentRecordTable: empty where there is none, None where it could not be read.
    """

    secret: Secret
    payments: Table

    def verify_and_handle_checksum(self, notification: Notification) -> Verdict:
        """Verify, and go on with a warning, or raise `ChecksumRejected` by policy."""
        verdict = self.secret.verify(notification)
        log.bind(checksumStatus=verdict.status, checksumError=verdict.error)
        log.metric(f"Checksums{verdict.status.capitalize()}")
        if verdict.status == PROVED or self.answers_only(notification):
            return verdict
        if self.settings.checksum_policy == "reject":
            self.mark_payment(notification, verdict)
            rejected = errors.UnverifiableRejected if verdict.retryable else errors.ChecksumRejected
            raise rejected(f"checksum {verdict.status}: {verdict.error}")
        log.warn("Checksum verification failed. Continuing with processing.")
        return verdict

    def answers_only(self, notification: Notification) -> bool:
        """Whether it gets its page and no passes: under `reject` a browser return, which never has a checksum."""
        return self.settings.checksum_policy == "reject" and notification.is_browser_return

    def find_payment(self, notification: Notification) -> Payment:
        """Read the payment record; a notification that names its own order goes on without it."""
        try:
            return self.payments.get({"chargeId": notification.charge_id}, "orderId", "amount", "currency")
        except AWS_ERRORS as error:
            log.step_failed("payment", error)
            return None

    def choose_order(self, notification: Notification, payment: Payment, verdict: Verdict) -> str:
        """Return the payment record's order, else the notification's. Raises `ContradictionRefused` by policy.

        The payment record is the shop's own word, and no checksum covers the notification's order.
        """
        order_id = order_of(payment) or notification.order_id
        if not order_id and payment is None:
            raise errors.PaymentUnreadable("reference_order is missing, and the payment record could not be read")
        if not order_id or not is_id(order_id):  # an unusable one is never replaced by one that no checksum covers
            raise errors.InvalidNotification("reference_order", "an order id, here or in the payment record")
        log.bind(orderId=order_id)
        if self.settings.checksum_policy == "reject" and (fields := _differences(payment, notification)):
            self.mark_payment(notification, verdict)
            raise errors.ContradictionRefused(_differ(fields))
        return order_id

    def save(self, notification: Notification, order_id: str, payment: Payment, verdict: Verdict) -> Record:
        """Save the notification with pass 1 due and claimed; a repeat finds the record."""
        record = self.records.save(notification, order_id, payment, verdict)
        if record.has_claim:
            log.metric("Saved")
        else:
            log.bind(outcome="repeat", orderId=record.order_id, state=record.state, passesDone=record.passes_done)
        return record

    @log.unimportant("mark")
    def mark_payment(self, notification: Notification, verdict: Verdict) -> None:
        """Mark the payment record, if there is one, with the last verdict; what was once proved is kept beside it."""
        n, now = notification, self.clock()
        marks: Item = {"checksumStatus": verdict.status, "checksumError": verdict.error or ""}
        marks |= {"checksumCheckedAt": now, "checksumCheckedBy": "delayednotify"}
        if verdict.status == PROVED:
            proved = {"status": n.status, "transactionState": n.transaction_state, "amount": n.amount}
            marks["checksumProved"] = proved | {"currency": n.currency, "at": now}
        self.payments.update_if({"chargeId": n.charge_id}, marks, "attribute_exists(#chargeId)")

    def report_contradictions(self, notification: Notification, payment: Payment) -> None:
        """Report that the notification contradicts the payment record, whose order was processed."""
        if fields := _differences(payment, notification):
            log.warn(_differ(fields))
            self.reporter.report(errors.OrderContradicted(_differ(fields)))

    def response(self, order_id: str) -> Response:
        """Return the HTML redirect for the order as the order table has it."""
        order: dict[str, object] = {}
        if order_id and self.settings.redirect_allowed_origins:  # without one no order's own URL is allowed
            with log.unimportant("order"):
                order = self.orders.get({"orderId": order_id}, "returnUrl")
        return redirect(order_id, order.get("returnUrl"), self.settings)


def order_of(payment: Payment) -> str | None:
    """Return the order that a payment record names, as it is spelled there; None where it names none."""
    given = (payment or {}).get("orderId")
    return str(given) if isinstance(given, str | Decimal) and str(given).strip(BLANKS) else None


def _differences(payment: Payment, n: Notification) -> list[str]:
    """Name the fields that contradict each other; a field that one of the two lacks is no contradiction."""
    stated = {"orderId": n.order_id, "amount": n.amount, "currency": n.currency}
    known = (payment or {}) | {"orderId": order_of(payment), "amount": amount_of((payment or {}).get("amount"))}
    both = {name: (value, known.get(name)) for name, value in stated.items() if type(value) is type(known.get(name))}
    return [name for name, (a, b) in both.items() if (_folded(a) != _folded(str(b)) if isinstance(a, str) else a != b)]


def _differ(fields: list[str]) -> str:
    return f"notification and payment record differ in {', '.join(fields)}"


def _folded(text: str) -> str:
    # What two spellings of one text have in common.
    return unicodedata.normalize("NFKC", text).translate(_NO_BLANKS).casefold()


def redirect(order_id: str, return_url: object, settings: Settings) -> Response:
    """Answer with a page that goes to the return URL where its origin is allowed, else to the order's page."""
    target = settings.redirect_url_template.replace("{orderId}", quote(order_id, safe=""))
    if isinstance(return_url, str) and _is_allowed(return_url, settings.redirect_allowed_origins):
        target = quote(return_url, safe=_URL_CHARACTERS)
    body = _PAGE.format(url=escape(target, quote=True))
    return {"statusCode": 200, "headers": dict(_HEADERS), "body": body, "isBase64Encoded": False}


def _is_allowed(url: str, origins: tuple[str, ...]) -> bool:
    # Compares the first characters, and uses no URL parser: parsers and browsers disagree on `\` and `@`.
    text = url.lower()
    return any(text == o or text.startswith((f"{o}/", f"{o}?", f"{o}#")) for o in origins)
