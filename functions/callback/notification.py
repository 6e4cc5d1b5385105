"""What the bank sent, taken out of the proxy event that Notify hands on.

A field that decides nothing never refuses a notification: what cannot be used is None, and the body keeps it.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any
from urllib.parse import parse_qsl

from pydantic import BeforeValidator, Field

from callback.errors import InvalidNotification
from callback.schema import MAX_SORT_ID_BYTES, Id, Schema, SortId, is_id

_MOST = Decimal(10) ** 15
_INVISIBLE = "\ufeff\u200b\u200c\u200d\u2060"


def _as_text(value: object) -> object:
    if isinstance(value, Decimal):
        return format(value, "f") if abs(value.adjusted()) < 100 else None  # noqa: PLR2004 - no million zeros
    # Half a surrogate pair has no UTF-8, so no table takes it.
    return value.encode(errors="replace").decode() if isinstance(value, str) else None


def _as_id(value: object) -> object:
    text = value if isinstance(value, str) else _as_text(value)
    return text.strip(_INVISIBLE + " \t\r\n") if isinstance(text, str) else value


def _as_usable_id(value: object) -> str | None:
    text = _as_id(value)
    return text if isinstance(text, str) and is_id(text) else None


def _as_amount(value: object) -> Decimal | None:
    try:
        number = Decimal(str(value))
        usable = number.is_finite() and 0 <= number < _MOST and number == round(number, 4)
    except ArithmeticError:
        return None
    return number if usable else None


_Text = Annotated[str | None, BeforeValidator(_as_text)]


class Notification(Schema):
    """One delivery by the bank: the fields that matter here, and the raw body with all the others.

    `order_id` is None where only the payment record knows it; `amount` is in major units. `checksum` may be anything:
    what is not text is not valid, and processing continues.
    """

    charge_id: Annotated[Id, BeforeValidator(_as_id)] = Field(alias="id")
    notification_id: SortId = Field(alias="requestContext.requestId")
    order_id: Annotated[str | None, BeforeValidator(_as_usable_id)] = Field(None, alias="reference_order")
    amount: Annotated[Decimal | None, BeforeValidator(_as_amount)] = None
    currency: _Text = None
    status: _Text = None
    transaction_state: _Text = None
    failure_code: _Text = None
    checksum: Any = None
    body: str = Field(alias=":body")
    is_browser_return: bool = Field(alias=":form")

    @property
    def ids(self) -> dict[str, str | None]:
        """What the log line carries."""
        return {"chargeId": self.charge_id, "notificationId": self.notification_id, "orderId": self.order_id}

    @property
    def body_digest(self) -> str:
        """SHA-256 of the body as received: it tells a repeat from another body under the same id."""
        return hashlib.sha256(self.body.encode(errors="surrogatepass")).hexdigest()


def parse_notification(event: object) -> Notification:
    """Read a REST (v1) or HTTP API / function URL (v2) proxy event. Raises `InvalidNotification`."""
    if not isinstance(event, Mapping):
        raise InvalidNotification("event", "an API Gateway proxy event")
    fields: dict[str, Any] = {}
    try:
        fields = {"requestContext.requestId": _notification_id(event)}
        body = _body(event)
        is_form = _is_form(event, body)
        fields |= {":body": body, ":form": is_form}
        fields = (_form(body) if is_form else _json(body)) | fields
        return Notification.parse(fields, InvalidNotification)
    except RecursionError as error:
        raise InvalidNotification("event", "an API Gateway proxy event, nested less deeply") from error
    except InvalidNotification as error:
        error.ids = _printable_ids(fields)
        raise


def _printable_ids(fields: Mapping[str, Any]) -> dict[str, str]:
    names = {"chargeId": "id", "notificationId": "requestContext.requestId", "orderId": "reference_order"}
    found = {ours: _as_usable_id(fields.get(theirs)) for ours, theirs in names.items()}
    return {name: id_ for name, id_ in found.items() if id_}


def _notification_id(event: Mapping[str, Any]) -> str:
    # The id of the bank's own delivery, which every retry repeats; without a usable one, the event's own hash.
    context = event.get("requestContext")
    given = context.get("requestId") if isinstance(context, Mapping) else None
    if isinstance(given, str) and given == given.strip() and is_id(given, MAX_SORT_ID_BYTES):
        return given
    canonical = json.dumps(event, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _body(event: Mapping[str, Any]) -> str:
    body = event.get("body")
    if not isinstance(body, str):
        raise InvalidNotification("body", "text that is not empty")
    try:
        # Base64 may come with line ends.
        raw = base64.b64decode("".join(body.split()), validate=True) if event.get("isBase64Encoded") else body
        text = raw.decode() if isinstance(raw, bytes) else raw
    except (binascii.Error, ValueError) as error:
        raise InvalidNotification("body", "UTF-8 text, or its base64 if isBase64Encoded") from error
    if not text.strip(_INVISIBLE + " \t\r\n"):
        raise InvalidNotification("body", "text that is not empty")
    return text


def _is_form(event: Mapping[str, Any], body: str) -> bool:
    headers = event.get("headers") or event.get("multiValueHeaders")
    pairs = headers.items() if isinstance(headers, Mapping) else ()
    kind = next((str(value) for name, value in pairs if str(name).lower() == "content-type"), "")
    # A JSON body under a form's content type is still JSON: curl and some proxies send it so.
    return "x-www-form-urlencoded" in kind.lower() and not body.lstrip(_INVISIBLE + " \t\r\n").startswith("{")


def _form(body: str) -> dict[str, Any]:
    try:
        form = dict(parse_qsl(body.lstrip(_INVISIBLE), keep_blank_values=True, max_num_fields=100))
    except ValueError as error:
        raise InvalidNotification("body", "a form of at most 100 fields") from error
    # No checksum covers a form, so only the charge and the outcome are taken from it.
    return {"id": form.get("id") or form.get("objectId"), "status": form.get("status")}


def _json(body: str) -> dict[str, Any]:
    try:
        message = json.loads(
            body.lstrip(_INVISIBLE), parse_float=Decimal, parse_int=Decimal, parse_constant=lambda _name: None
        )
    except (ValueError, ArithmeticError) as error:
        raise InvalidNotification("body", "a JSON object, or a form that says so") from error
    if not isinstance(message, dict):
        raise InvalidNotification("body", "a JSON object")
    return message | {"id": message.get("id") or message.get("objectId")}
