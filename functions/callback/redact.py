"""Keeps card data, tokens and secrets out of records, logs, the error log and mails."""

import json
import re
from base64 import b64decode
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_plus

MASK = "[redacted]"
MAX_TEXT = 8_000
MAX_BODY_BYTES = 32 * 1024
_MAX_DEPTH = 12
_ACROSS = 100

_PARTS = (
    "token|secret|security|passw|passcode|credential|authorization|cookie|api[-_]?key|card|holder|last4|cvv|cvc|cavv"
    "|expir|exp[-_]?(?:month|year)"
)
_SECRET_NAME = re.compile(rf"{_PARTS}|approval_code|^(?:pan|pin|csc|number|mpi|xid)$", re.IGNORECASE)
# The same names in what is no JSON, or none any more: `name=value`, `name[part]=value`, `name: value`, `"name":"value`,
# and JSON in JSON, where each quote has backslashes before it. No pattern repeats without a bound before it can fail:
# a long text must not take time that grows with its square.
_SECRET_FIELD = re.compile(
    rf"((?:{_PARTS})[\w%\[\]-]{{0,30}}\\{{0,4}}[\"']?\s?[=:]\s?\\{{0,4}}[\"']?)"
    r"(?:(?<=\")(?:[^\"\\]|\\[^\"])*|(?<=')(?:[^'\\]|\\[^'])*|[^&\s\"',}]+)",
    re.IGNORECASE,
)
_SECRET_TEXT = re.compile(
    r"\b[sp]key_\w+|\btokn?_\w+|\b(?:Bearer|Basic) [^\s\"',]+|(?<=Cookie: )[^\r\n\"']+"
    r"|(?<!\w)\d{4,6}[- ]?[xX*•][- xX*•]{0,12}\d{2,4}(?!\w)",
    re.IGNORECASE,
)
_CARD_NUMBER = re.compile(
    r"(?<!\w)(?:\d{13,19}|\d{4}[ .+-]?\d{4}[ .+-]?\d{4}[ .+-]?\d{1,7}|\d{4}[ .+-]\d{6}[ .+-]\d{5})(?!\w)", re.ASCII
)


# How the numbers of the card schemes begin: what is an order number by chance adds up, too, but rarely begins so.
_SCHEME = re.compile(r"4|5[0-8]|2(?:22[1-9]|2[3-9]|[3-6]|7[01]|720)|3[4-8]|30[0-5]|6")


def redacted_event(event: object) -> str:
    """Return an event as JSON that is safe to keep: what is secret masked, what is long cut."""
    if isinstance(event, Mapping) and isinstance(event.get("body"), str):
        event = {**event, "body": _plain_body(event)}
    return json.dumps(_redacted(event), default=str)[: 8 * MAX_TEXT]


def mask_body(body: str) -> str:
    """Return a notification's body as the record keeps it: masked, and at most 32 KB of it."""
    masked = redacted_text(body, most=MAX_BODY_BYTES) if _is_json(body) else unquote_plus(scrub(body, MAX_BODY_BYTES))
    return masked.encode(errors="replace")[:MAX_BODY_BYTES].decode(errors="ignore")


def is_card_number(text: str) -> bool:
    """Whether the whole text is a card number."""
    number = text.strip()
    return bool(_CARD_NUMBER.fullmatch(number) and _SCHEME.match(number) and _adds_up(number))


def redacted_text(text: str, depth: int = 0, most: int = MAX_TEXT) -> str:
    """Redact a text by its fields if it is JSON, else by its looks."""
    try:
        return json.dumps(_redacted(json.loads(text), depth), ensure_ascii=False)[:most]
    except (ValueError, RecursionError):
        return scrub(text, most)


def scrub(text: str, most: int = MAX_TEXT) -> str:
    """Mask what looks like a card number, a key or a token in free text, and cut it to size."""
    # What lies across the cut is masked whole before it is cut.
    text = _SECRET_FIELD.sub(rf"\1{MASK}", _SECRET_TEXT.sub(MASK, text[: most + _ACROSS]))
    return _CARD_NUMBER.sub(lambda found: MASK if _adds_up(found[0]) else found[0], text)[:most]


def _is_json(text: str) -> bool:
    return text.lstrip("\ufeff \t\r\n")[:1] in {"{", "["}


def _plain_body(event: Mapping[str, Any]) -> str:
    try:
        body = b64decode(event["body"], validate=True).decode() if event.get("isBase64Encoded") else event["body"]
    except ValueError:
        body = str(event["body"])
    # A form is masked by its names while a value has no spaces; its looks (`%28514950xxxxxx9007%29`) show only after.
    return body if _is_json(body) else unquote_plus(scrub(body))


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
    if isinstance(value, str) and _is_json(value):
        return redacted_text(value, depth + 1)  # JSON in JSON: a proxy event's body, a Lambda's answer
    clean = scrub(str(value))
    return clean if isinstance(value, str) or clean != str(value) else value


def _adds_up(text: str) -> bool:
    # Luhn's sum: order numbers and times are as long as card numbers, but rarely add up.
    digits = [int(digit) for digit in text if digit.isdigit()][::-1]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0
