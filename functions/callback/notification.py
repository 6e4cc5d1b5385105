"""What the bank sent, taken out of the proxy event that Notify hands on (reference: Notify, browser return)."""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl

from pydantic import BeforeValidator, Field, StrictStr

from callback.errors import InvalidNotification
from callback.shape import ID_EXPECTED, Id, Shape, SortId

MAX_BODY_BYTES = 256 * 1024
# No exponent and no long tail: DynamoDB takes 38 digits, and Decimal's own checks look at the normalized value.
_PLAIN_NUMBER = re.compile(r"\d{1,12}(\.\d{1,4})?", re.ASCII)


def _number(value: object) -> object:
    if isinstance(value, Decimal | str) and _PLAIN_NUMBER.fullmatch(str(value)):
        return value
    raise ValueError("not a plain number")


_Text = Annotated[
    Annotated[StrictStr, Field(max_length=100)] | None,
    Field(description="a text of at most 100 characters, or null"),
]
_Amount = Annotated[
    Annotated[Decimal, BeforeValidator(_number)] | None,
    Field(description="a number from 0 to 10^12 with at most 4 decimals"),
]


class Notification(Shape):
    """One delivery by the bank: the fields that matter here, and the raw body with all the others.

    `order_id` is None where only the payment record knows it. `checksum` may be anything: what is no text is simply
    not valid, and processing continues.
    """

    charge_id: Id = Field(alias="id")
    notification_id: SortId = Field(alias="requestContext.requestId")
    order_id: Id | None = Field(None, alias="reference_order", description=ID_EXPECTED)
    object: Literal["charge"] | None = Field(None, description="'charge'")
    amount: _Amount = None
    currency: _Text = None
    status: _Text = None
    transaction_state: _Text = None
    failure_code: _Text = None
    checksum: Any = None
    body: str = Field(alias=":body")

    @property
    def ids(self) -> dict[str, str | None]:
        """What every log line about it carries."""
        return {"chargeId": self.charge_id, "notificationId": self.notification_id, "orderId": self.order_id}

    @property
    def body_digest(self) -> str:
        """SHA-256 of the body: what tells a repeat from another body under the same id."""
        return hashlib.sha256(self.body.encode()).hexdigest()


def parse_notification(event: object) -> Notification:
    """Read a REST (v1) or HTTP API / function URL (v2) proxy event, or raise `InvalidNotification`."""
    if not isinstance(event, Mapping):
        raise InvalidNotification("event", "an API Gateway proxy event")
    fields: dict[str, Any] = {}
    try:
        fields = {"requestContext.requestId": _notification_id(event)}
        body = _body(event)
        fields = (_form(body) if _is_form(event, body) else _json(body)) | fields
        return Notification.read(fields | {":body": body}, InvalidNotification)
    except RecursionError as error:
        raise InvalidNotification("event", "an API Gateway proxy event, nested less deeply") from error
    except InvalidNotification as error:
        error.about = _shown(fields)
        raise


def _shown(fields: Mapping[str, Any]) -> dict[str, str]:
    names = {"chargeId": "id", "notificationId": "requestContext.requestId", "orderId": "reference_order"}
    shown = {ours: fields.get(theirs) for ours, theirs in names.items()}
    # JSON can hold half a surrogate, which can be written nowhere: neither in the error log nor in a mail.
    return {ours: id_[:200].encode(errors="replace").decode() for ours, id_ in shown.items() if isinstance(id_, str)}


def _notification_id(event: Mapping[str, Any]) -> object:
    # The id of the bank's own delivery, which every retry repeats; without one, the event stands for itself.
    context = event.get("requestContext")
    given = context.get("requestId") if isinstance(context, Mapping) else None
    if given is not None and given != "":
        return given
    canonical = json.dumps(event, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _body(event: Mapping[str, Any]) -> str:
    body = event.get("body")
    if not isinstance(body, str) or not body.strip():
        raise InvalidNotification("body", "a text that is not empty")
    try:
        raw = base64.b64decode(body, validate=True) if event.get("isBase64Encoded") else body.encode()
        text = raw.decode()
    except (binascii.Error, ValueError) as error:
        raise InvalidNotification("body", "UTF-8 text, or its base64 if isBase64Encoded") from error
    if len(raw) > MAX_BODY_BYTES:
        raise InvalidNotification("body", f"at most {MAX_BODY_BYTES} bytes")
    return text


def _is_form(event: Mapping[str, Any], body: str) -> bool:
    headers = event.get("headers") or event.get("multiValueHeaders")
    pairs = headers.items() if isinstance(headers, Mapping) else ()
    kind = next((str(value) for name, value in pairs if str(name).lower() == "content-type"), "")
    # A JSON body under a form's content type is still JSON: curl and some proxies send it so.
    return "x-www-form-urlencoded" in kind.lower() and not body.lstrip().startswith("{")


def _form(body: str) -> dict[str, Any]:
    try:
        form = dict(parse_qsl(body, keep_blank_values=True, max_num_fields=100))
    except ValueError as error:
        raise InvalidNotification("body", "a form of at most 100 fields") from error
    # No checksum covers a form, so of what it says only the charge and the outcome are taken.
    return {"id": form.get("id") or form.get("objectId"), "status": form.get("status")}


def _json(body: str) -> dict[str, Any]:
    try:
        message = json.loads(body, parse_float=Decimal, parse_int=Decimal, parse_constant=Decimal)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise InvalidNotification("body", "a JSON object, or a form that says so") from error
    if not isinstance(message, dict):
        raise InvalidNotification("body", "a JSON object")
    alternatives = {"id": message.get("id") or message.get("objectId")}
    return message | alternatives | {"reference_order": message.get("reference_order") or None}
