"""What the bank sent, taken out of the proxy event that Notify passes on.

A field that decides nothing never causes a refusal: what cannot be used is None, and the body keeps it.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

from callback.errors import InvalidNotification
from callback.redact import BLANKS, ID_EXPECTED, MAX_SORT_ID_BYTES, decode_base64, is_id, trimmed_id

_MOST = Decimal(10) ** 15


@dataclass(frozen=True)
class Notification:
    """One delivery by the bank: the fields that matter here, and the raw body with all the others.

    `order_id` is None where only the payment record knows it; `amount` is in major units. `checksum` may be anything:
    what is not text is not valid, and processing continues.
    """

    charge_id: str
    notification_id: str
    order_id: str | None
    body: str
    is_browser_return: bool
    checksum: object
    amount: Decimal | None
    currency: str | None
    status: str | None
    transaction_state: str | None
    failure_code: str | None

    @property
    def ids(self) -> dict[str, str | None]:
        """What the log line carries."""
        return {"chargeId": self.charge_id, "notificationId": self.notification_id, "orderId": self.order_id}

    @property
    def body_digest(self) -> str:
        """SHA-256 of the body as received: it distinguishes a repeat from another body under the same id."""
        return hashlib.sha256(self.body.encode(errors="surrogatepass")).hexdigest()


def parse_notification(event: object) -> Notification:
    """Read a REST (v1) or HTTP API / function URL (v2) proxy event. Raises `InvalidNotification`."""
    if not isinstance(event, Mapping):
        raise InvalidNotification("event", "an API Gateway proxy event")
    about: dict[str, str] = {}
    try:
        about["notificationId"] = _notification_id(event)
        body = _body(event)
        is_form = _is_form(event, body)
        fields = _form(body) if is_form else _json(body)
        charge_id, order_id = _ids(fields)
    except RecursionError as error:
        raise InvalidNotification("event", "an API Gateway proxy event, nested less deeply") from error
    except InvalidNotification as error:
        error.about = about
        raise
    texts: Any = {name: _text(fields.get(name)) for name in ("currency", "status", "transaction_state", "failure_code")}
    ids, amount = (charge_id, about["notificationId"], order_id), amount_of(fields.get("amount"))
    return Notification(*ids, body, is_form, checksum=fields.get("checksum"), amount=amount, **texts)


def _notification_id(event: Mapping[str, Any]) -> str:
    # The id of the bank's own delivery, which every retry repeats; without a usable one, the event's own hash.
    context = event.get("requestContext")
    given = context.get("requestId") if isinstance(context, Mapping) else None
    if isinstance(given, str) and given == given.strip() and is_id(given, MAX_SORT_ID_BYTES):
        return given
    canonical = json.dumps(event, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _body(event: Mapping[str, Any]) -> str:
    body, is_encoded = event.get("body"), str(event.get("isBase64Encoded")).lower() == "true"
    try:
        if isinstance(body, str) and is_encoded and not body.strip(BLANKS).startswith("{"):
            body = decode_base64(body)
    except ValueError as error:
        raise InvalidNotification("body", "text, or its base64 if isBase64Encoded") from error
    if not isinstance(body, str) or not body.strip(BLANKS):
        raise InvalidNotification("body", "text that is not empty")
    return body


def _is_form(event: Mapping[str, Any], body: str) -> bool:
    headers = event.get("headers") or event.get("multiValueHeaders")
    pairs = headers.items() if isinstance(headers, Mapping) else ()
    kind = next((str(value) for name, value in pairs if str(name).lower() == "content-type"), "")
    # Proxies drop the content type, or give JSON that of a form.
    text = body.lstrip(BLANKS)
    return bool(re.match(r'[^\s={"]+=', text)) or ("x-www-form-urlencoded" in kind.lower() and not text.startswith("{"))


def _form(body: str) -> dict[str, Any]:
    try:
        pairs = parse_qsl(body.strip(BLANKS), keep_blank_values=True, max_num_fields=100)
    except ValueError as error:
        raise InvalidNotification("body", "a form of at most 100 fields") from error
    # No checksum covers a form, so only the charge and the outcome are taken from it.
    return {name.strip(BLANKS): value for name, value in pairs if name.strip(BLANKS) in {"id", "objectId", "status"}}


def _json(body: str) -> dict[str, Any]:
    try:
        # Numbers keep their spelling: most fields are not used, and the checksum covers amounts as text.
        message = json.loads(body.strip(BLANKS), strict=False, parse_float=str, parse_int=str, parse_constant=str)
    except ValueError as error:
        raise InvalidNotification("body", "a JSON object, or a form that says so") from error
    if not isinstance(message, dict):
        raise InvalidNotification("body", "a JSON object")
    return message


def _text(value: object) -> str | None:
    # Half a surrogate pair has no UTF-8, so no table accepts it.
    return value.encode(errors="replace").decode() if isinstance(value, str) else None


def _ids(fields: Mapping[str, Any]) -> tuple[str, str | None]:
    order_id = trimmed_id(fields.get("reference_order"))
    charge_id = trimmed_id(fields.get("id")) or trimmed_id(fields.get("objectId"))
    if not charge_id:
        raise InvalidNotification("id", ID_EXPECTED)
    return charge_id, order_id


def amount_of(value: object) -> Decimal | None:
    """Read an amount by its value, however it is spelled; None if it is not an amount."""
    try:
        number = Decimal(str(value))
        rounded = round(number, 4) if number.is_finite() and 0 <= number < _MOST else None
    except ArithmeticError:
        return None
    return rounded if rounded == number else None  # DynamoDB takes 38 digits
