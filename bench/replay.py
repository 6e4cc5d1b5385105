"""This project's own calls, recorded once and sent again by bare boto3 for other notifications."""

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

Call = tuple[str, str, str]
# The notification whose calls were recorded; its number is in all ids.
RECORDED_NUMBER = 0xFACE5EED
# What an alternative without checks would save.
_BARE = "chargeId notificationId orderId body state passesDone attempts passes claimId nextPassDue sweepShard sweepAt"
_SERVICES = ("dynamodb", "lambda", "scheduler", "secretsmanager")


@cache
def recorded() -> tuple[list[Call], list[Call]]:
    """Return the calls of a delivery and of a recheck: each is a service, a method and its request."""
    delivery, recheck = json.loads(Path(os.environ["RECORDED_CALLS"]).read_text())
    return delivery, recheck


def find(method: str, named: str = "") -> Call:
    """Return the delivery's first call of a method whose request names something."""
    return next(call for call in recorded()[0] if call[1] == method and named in call[2])


def save(names: str) -> Call:
    """Return the call that saves a notification, with only some of its attributes."""
    service, method, text = find("put_item")
    request = json.loads(text)
    request["Item"] = {name: value for name, value in request["Item"].items() if name in names.split()}
    return service, method, json.dumps(request)


def renumbered(text: str, number: int) -> dict[str, Any]:
    """Return what was recorded as JSON, for another notification."""
    text = text.replace(f"{RECORDED_NUMBER:012x}", f"{number:012x}")
    value: dict[str, Any] = json.loads(text.replace(f"ORDER-{RECORDED_NUMBER}", f"ORDER-{number}"))
    return value


class Replay:
    """Clients that are made at once, as everyone writes it, and the calls of a delivery and a recheck."""

    def __init__(self) -> None:
        session: Any = boto3.Session()
        config = Config(connect_timeout=1, read_timeout=60, retries={"total_max_attempts": 1})
        self._clients = {name: session.client(name, config=config) for name in _SERVICES}
        self._delivery = [save(_BARE) if call[1] == "put_item" else call for call in recorded()[0]]
        self._has_key = False

    def deliver(self, number: int) -> None:
        """Make the calls of DelayedNotify."""
        for call in self._delivery:
            self.send(call, number)

    def recheck(self, number: int) -> None:
        """Make the calls of Recheck."""
        for call in recorded()[1]:
            self.send(call, number)

    def send(self, call: Call, number: int) -> Any:  # noqa: ANN401 - boto3's own
        """Make one call, and return its answer; the merchant's key is read once."""
        service, method, request = call
        if method == "get_secret_value" and self._has_key:
            return None
        self._has_key = self._has_key or method == "get_secret_value"
        changes = {"FunctionName": os.environ["PROCESS_PAID_ORDER_FUNCTION"]} if method == "invoke" else {}
        answer = getattr(self._clients[service], method)(**renumbered(request, number) | changes)
        return answer["Payload"].read().decode() if "Payload" in answer else answer
