"""The function that this project replaces, written from its own description: two passes in one run, and a sleep."""

import hashlib
import json
import os
import time
from collections.abc import Callable
from typing import Any

from bench.environment import notification
from bench.subjects.floor import Calls

SLEEP_SECONDS = 60


class CreditCardCallbackProcessor:
    """What the description calls so: `save`, `process_paid_order`, `sleep` and the response."""

    def __init__(self, event: dict[str, Any], calls: Calls, number: int) -> None:
        self._event, self._calls, self._number = event, calls, number

    def save(self) -> None:
        """Save to CreditCardNotifyTable."""
        body = json.loads(self._event["body"])
        item = {
            "chargeId": {"S": body["id"]},
            "notificationId": {"S": self._event["requestContext"]["requestId"]},
            "orderId": {"S": body["reference_order"]},
            "note": {"S": "delayed notify"},
            "body": {"S": self._event["body"]},
        }
        self._calls.client["dynamodb"].put_item(TableName=self._calls.records, Item=item)

    def process_paid_order(self) -> str:
        """Invoke ProcessPaidOrder synchronously."""
        return self._calls.run_pass(self._number, 1)

    @staticmethod
    def sleep(seconds: int) -> None:
        """Sleep, where this run is the one that really does; elsewhere the measurement counts it."""
        if os.environ.get("REALLY_SLEEP"):
            time.sleep(seconds)

    @property
    def response(self) -> dict[str, object]:
        """The HTML redirect."""
        url = self._calls.respond(self._number)["Item"]["returnUrl"]["S"]
        return {"statusCode": 200, "headers": {"Content-Type": "text/html"}, "body": f'<a href="{url}">continue</a>'}


def verify_and_handle_checksum(event: dict[str, Any], key: str) -> bool:
    """Verify the checksum of the body."""
    body = json.loads(event["body"])
    text = f"{body['id']}{body['amount']:.4f}{body['currency']}{body['status']}{body['transaction_state']}{key}"
    return bool(hashlib.sha256(text.encode()).hexdigest() == body["checksum"])


def steps() -> tuple[Callable[[int], object], ...]:
    """Return the one invocation."""
    calls = Calls()

    def lambda_handler(number: int) -> object:
        event = notification(number)
        if not verify_and_handle_checksum(event, calls.key):
            print("[WARNING] Checksum verification failed. Continuing with processing.")
        calls.mark(number)
        processor = CreditCardCallbackProcessor(event, calls, number)
        print("start saving")
        processor.save()
        print("start processing paid order")
        print("process paid order response", processor.process_paid_order())
        print("start sleeping")
        processor.sleep(SLEEP_SECONDS)
        print("stop sleeping")
        print("start processing paid order again")
        print("process paid order response 2", processor.process_paid_order())
        print("stop processing paid order")
        return processor.response

    return (lambda_handler,)
