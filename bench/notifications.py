"""The notifications that are sent, and the environment of every function that is measured."""

import hashlib
import json
from typing import Any

from bench.facts import ROOT, template

_SAMPLE = (ROOT / "events" / "authorized.json").read_text()
KEY = "skey_bench_not_a_real_key"
# Charges whose second pass is due from the beginning, for a cold Recheck.
WAITING = range(500_000, 501_000)
# Charges from here on warm up a process: ProcessPaidOrder answers them at once.
WARMING = 1_000_000


def variables(latency_ms: int, url: str) -> dict[str, str]:
    """Return a function's environment; ProcessPaidOrder's name holds how long it takes."""
    reach = {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none", "AWS_EC2_METADATA_DISABLED": "true"}
    reach |= {"AWS_DEFAULT_REGION": "ap-southeast-1", "AWS_ENDPOINT_URL": url}
    own = {"PROCESS_PAID_ORDER_FUNCTION": f"process-paid-order-{latency_ms}"}
    environment: dict[str, str] = template()["environment"]
    return environment | reach | own


def notification(number: int) -> dict[str, Any]:
    """Return Notify's event for the charge with a number: a sample of events/, signed again."""
    event, own = json.loads(_SAMPLE), ids(number)
    body = json.loads(event["body"]) | {"id": own["chargeId"], "reference_order": own["orderId"]}
    covered = f"{body['id']}{body['amount']:.4f}{body['currency']}{body['status']}{body['transaction_state']}{KEY}"
    body["checksum"] = hashlib.sha256(covered.encode()).hexdigest()
    event["body"] = json.dumps(body, separators=(",", ":"))
    event["requestContext"]["requestId"] = own["notificationId"]
    return dict(event)


def timer(number: int) -> dict[str, Any]:
    """Return what the timer of that notification's second pass carries."""
    context = {"scheduleArn": "arn", "scheduledTime": "2026-11-22T09:32:00Z", "executionId": "id", "attemptNumber": "1"}
    return {"version": 1, **ids(number), "pass": 2, "dueAt": "2026-11-22T09:31:17.250000Z", **context}


def ids(number: int) -> dict[str, str]:
    """Return the ids of a notification: its charge's is as long as the bank's, its own as long as API Gateway's."""
    charge, notification = f"chrg_test_2250{number:022x}", f"08a997fd-fa27-5a9f-997e-{number:012x}"
    return {"chargeId": charge, "notificationId": notification, "orderId": f"ORDER-{number}"}
