"""A function of the stack, invoked and waited for; its errors as one line that is fit to print."""

import json
from collections.abc import Mapping

from botocore.exceptions import BotoCoreError, ClientError

from callback.redact import scrub
from followups.stack import Stack

_MAX_LINE = 400


class StillFails(Exception):
    """The function failed, or could not be reached; the message is the error's type and text, scrubbed."""


def invoke(stack: Stack, function: str, payload: str) -> object:
    """Invoke a function, wait for its end and return what it answered, or raise `StillFails`."""
    try:
        answer = stack.functions.invoke(FunctionName=function, Payload=payload)
        body = answer["Payload"].read()
    except (ClientError, BotoCoreError) as error:
        raise StillFails(printable(f"{type(error).__name__}: {error}")) from error
    result = _json(body)
    if "FunctionError" in answer:  # comes with HTTP 200 and raises nothing by itself
        raise StillFails(error_line(result))
    return result


def error_line(answer: object) -> str:
    """Return what Lambda says of a function's error: its type and message, never its payload."""
    about = answer if isinstance(answer, Mapping) else {}
    return printable(f"{about.get('errorType', 'an error')}: {about.get('errorMessage', 'without a text')}")


def printable(text: str) -> str:
    """Put a text that others wrote on one line: nothing secret, no control characters, not endless."""
    visible = "".join(letter if letter.isprintable() else " " for letter in scrub(text))
    return " ".join(visible.split())[:_MAX_LINE]


def _json(body: bytes) -> object:
    try:
        answer: object = json.loads(body)
    except ValueError:
        return None
    return answer
