"""What the bank sent, taken out of the proxy event that Notify hands on (reference: Notify, browser return)."""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl

from pydantic import AliasChoices, BeforeValidator, Field, StrictStr

from callback.errors import InvalidNotification
from callback.shape import ID_EXPECTED, SORT_ID_EXPECTED, Id, Shape, is_sort_id

MAX_BODY_BYTES = 256 * 1024
_PLAIN_NUMBER = re.compile(r"\d{1,20}(\.\d{1,20})?")


def _number(value: object) -> object:
    # bool is an int, and Decimal reads "1_000": neither is an amount of the bank's.
    if isinstance(value, Decimal) or (isinstance(value, str) and _PLAIN_NUMBER.fullmatch(value)):
        return value
    raise ValueError("not a number")


_Text = Annotated[
    Annotated[StrictStr, Field(max_length=100)] | None,
    Field(description="a text of at most 100 characters, or null"),
]
_Amount = Annotated[
    Annotated[Decimal, BeforeValidator(_number), Field(ge=0, lt=10**12, decimal_places=4)] | None,
    Field(description="a number from 0 to 10^12 with at most 4 decimals"),
]


class _Message(Shape):
    """The fields that matter here; the others are kept in the raw body."""

    id: Id = Field(validation_alias=AliasChoices("id", "objectId"))
    object: Literal["charge"] | None = Field(None, description="'charge'")
    reference_order: Id | None = Field(None, description=ID_EXPECTED)
    amount: _Amount = None
    currency: _Text = None
    status: _Text = None
    transaction_state: _Text = None
    failure_code: _Text = None
    # Anything may stand here: what is no text is simply not valid, and processing continues.
    checksum: Any = None


@dataclass(frozen=True)
class Notification:
    """One delivery by the bank. `order_id` is None where only the payment record knows it."""

    charge_id: str
    notification_id: str
    order_id: str | None
    amount: Decimal | None
    currency: str | None
    status: str | None
    transaction_state: str | None
    failure_code: str | None
    checksum: object
    body: str

    @property
    def ids(self) -> dict[str, str | None]:
        """What the log lines about it carry."""
        names = {"chargeId": self.charge_id, "notificationId": self.notification_id}
        return names | {"orderId": self.order_id}

    @property
    def body_digest(self) -> str:
        """SHA-256 of the body: what tells a repeat from another body under the same id."""
        return hashlib.sha256(self.body.encode()).hexdigest()


def parse_notification(event: object) -> Notification:
    """Read a REST (v1) or HTTP API / function URL (v2) proxy event, or raise `InvalidNotification`."""
    if not isinstance(event, Mapping):
        raise InvalidNotification("event", "an API Gateway proxy event")
    identity, body = notification_id(event), _body(event)
    fields = _form(body) if _is_form(event, body) else _json(body)
    try:
        message = _Message.read(fields, InvalidNotification)
    except InvalidNotification as error:
        error.about = _ids(fields) | {"notificationId": identity}
        raise
    return Notification(
        charge_id=message.id,
        notification_id=identity,
        order_id=message.reference_order,
        body=body,
        **message.model_dump(exclude={"id", "object", "reference_order"}),
    )


def notification_id(event: Mapping[str, Any]) -> str:
    """Return the id of the bank's own delivery; without one, the SHA-256 of the canonical event."""
    context = event.get("requestContext")
    given = context.get("requestId") if isinstance(context, Mapping) else None
    if given is None or given == "":
        canonical = json.dumps(event, sort_keys=True, separators=(",", ":"), default=str)
        return hashlib.sha256(canonical.encode()).hexdigest()
    if not is_sort_id(given):
        raise InvalidNotification("requestContext.requestId", SORT_ID_EXPECTED)
    return str(given)


def _ids(fields: dict[str, Any]) -> dict[str, str]:
    shown = {"chargeId": fields.get("id") or fields.get("objectId"), "orderId": fields.get("reference_order")}
    return {name: str(value) for name, value in shown.items() if is_sort_id(value)}


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
    headers = event.get("headers")
    pairs = headers.items() if isinstance(headers, Mapping) else ()
    kind = next((str(value) for name, value in pairs if str(name).lower() == "content-type"), "")
    # A JSON body under a form's content type is still JSON: curl and some proxies send it so.
    return "x-www-form-urlencoded" in kind.lower() and not body.lstrip().startswith("{")


def _form(body: str) -> dict[str, str]:
    try:
        fields = dict(parse_qsl(body, keep_blank_values=True, max_num_fields=100))
    except ValueError as error:
        raise InvalidNotification("body", "a form of at most 100 fields") from error
    # No checksum covers a form, so of what it says only the charge and the outcome are taken.
    return {name: fields[name] for name in ("id", "objectId", "status") if name in fields}


def _json(body: str) -> dict[str, Any]:
    try:
        message = json.loads(body, parse_float=Decimal, parse_int=Decimal, parse_constant=Decimal)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise InvalidNotification("body", "a JSON object, or a form that says so") from error
    if not isinstance(message, dict):
        raise InvalidNotification("body", "a JSON object")
    if message.get("reference_order") == "":
        message["reference_order"] = None
    return message
