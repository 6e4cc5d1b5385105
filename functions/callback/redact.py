"""Keeps card data, tokens and secrets out of logs, the error log and mails (brief: errors)."""

import json
import re
from base64 import b64decode
from collections.abc import Mapping
from typing import Any

MASK = "[redacted]"
MAX_TEXT = 8_000
_MAX_DEPTH = 12

_SECRET_NAME = re.compile(
    r"token|secret|password|authorization|cookie|api[-_]?key|card|last4|^pan$|^number$|cvv|cvc|expir|"
    r"^mpi$|cavv|^xid$|approval_code",
    re.IGNORECASE,
)
_SECRET_TEXT = re.compile(r"\b[sp]key_\w+|\btokn?_\w+|(?<!\w)\d{4,6}[-\s]?[xX*•][-\sxX*•]*\d{2,4}(?!\w)")
_SECRET_FIELD = re.compile(r"\b(token|saveCard|secretKey|card_masking)=[^&\s]*")
_LONG_NUMBER = re.compile(r"(?<![\w])\d(?:[ -]?\d){12,18}(?![\w])")


def redacted_event(event: object) -> str:
    """Return an event as JSON that is safe to keep: what is secret masked, what is long cut."""
    if isinstance(event, Mapping) and isinstance(event.get("body"), str):
        event = {**event, "body": redacted_text(_plain_body(event))}
    return json.dumps(_redacted(event), default=str)[: 8 * MAX_TEXT]


def redacted_text(text: str) -> str:
    """Redact a text by its fields if it is JSON, else by its looks."""
    try:
        return json.dumps(_redacted(json.loads(text)))[:MAX_TEXT]
    except (ValueError, RecursionError):
        return scrub(text)


def scrub(text: str) -> str:
    """Mask what looks like a card number, a key or a token in free text, and cut it to size."""
    text = _SECRET_FIELD.sub(rf"\1={MASK}", _SECRET_TEXT.sub(MASK, text[:MAX_TEXT]))
    return _LONG_NUMBER.sub(lambda found: MASK if _is_card_number(found[0]) else found[0], text)


def _plain_body(event: Mapping[str, Any]) -> str:
    body = str(event["body"])
    if not event.get("isBase64Encoded"):
        return body
    try:
        return b64decode(body, validate=True).decode()
    except ValueError:
        return body


def _redacted(value: object, depth: int = 0) -> object:
    if depth > _MAX_DEPTH:
        return "[deeper]"
    if isinstance(value, Mapping):
        return {
            scrub(str(name)): MASK if _SECRET_NAME.search(str(name)) else _redacted(inner, depth + 1)
            for name, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [_redacted(inner, depth + 1) for inner in value]
    return value if value is None or isinstance(value, bool) else _redacted_leaf(value)


def _redacted_leaf(value: object) -> object:
    clean = scrub(str(value))
    return value if clean == str(value) else clean


def _is_card_number(text: str) -> bool:
    # Luhn's sum: order numbers and times are as long as card numbers, but rarely add up.
    digits = [int(digit) for digit in text if digit.isdigit()][::-1]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0
