"""The environment of every function that is measured, and the notifications that it is sent."""

import hashlib
import json
from functools import cache
from typing import Any

from bench.template import ROOT

REGION = "ap-southeast-1"
SECRET = {"secretKey": "skey_bench_not_a_real_key"}
# Charges whose second pass is due from the beginning: for a Recheck that is started cold.
WAITING = range(60_000, 61_000)
# Charges that the sweep finds overdue, once they are written.
SWEPT = range(61_000, 70_000)
# Charges that a worker warms itself with: ProcessPaidOrder answers them at once.
WARMING = range(40_000, 60_000)
_ARN = "arn:aws:{}:ap-southeast-1:123456789012:{}"

TABLES = {
    "CREDIT_CARD_NOTIFY_TABLE": "CreditCardNotifyTable",
    "CARD_PAYMENT_RECORD_TABLE": "CardPaymentRecordTable",
    "ORDER_TABLE": "OrderTable",
    "CALLBACK_ERROR_LOG_TABLE": "CallbackErrorLogTable",
}

VARIABLES = TABLES | {
    "BRANCH": "bench",
    "PASS_TIMEOUT_SECONDS": "60",
    "KBANK_SECRET_ID": "payment3/kbank",
    "RECHECK_FUNCTION_ARN": _ARN.format("lambda", "function:payment3-recheck-bench"),
    "RECHECK_DELAYS": "60",
    "SCHEDULE_GROUP": "payment3-recheck-bench",
    "SCHEDULER_ROLE_ARN": _ARN.format("iam", "role/payment3-scheduler-bench"),
    "SCHEDULER_DLQ_ARN": _ARN.format("sqs", "payment3-retry-bench"),
    "REFUSED_QUEUE_URL": "http://queue.local.example/123456789012/refused",
    "REDIRECT_URL_TEMPLATE": "https://shop.local.example/orders/{orderId}",
    "REDIRECT_ALLOWED_ORIGINS": "https://shop.local.example",
    "ERROR_MAIL_FROM": "payment3@local.example",
    "ERROR_MAIL_TO": "on-call@local.example",
}


def variables(latency_ms: int, endpoint: str | None = None) -> dict[str, str]:
    """Return a function's environment; the name of ProcessPaidOrder tells the stand-in how long it takes."""
    reach = {"AWS_DEFAULT_REGION": REGION, "AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"}
    own = {"PROCESS_PAID_ORDER_FUNCTION": f"process-paid-order-{latency_ms}", "AWS_EC2_METADATA_DISABLED": "true"}
    return VARIABLES | reach | own | ({"AWS_ENDPOINT_URL": endpoint} if endpoint else {})


@cache
def _sample() -> str:
    return (ROOT / "events" / "authorized.json").read_text()


@cache
def notification(number: int) -> dict[str, Any]:
    """Return Notify's event for the charge of a number: a sample of events/, signed anew."""
    event: dict[str, Any] = json.loads(_sample())
    body = json.loads(event["body"])
    body |= {"id": charge_id(number), "reference_order": f"ORDER-{number}", "description": f"Order ORDER-{number}"}
    covered = f"{body['id']}{body['amount']:.4f}{body['currency']}{body['status']}{body['transaction_state']}"
    body["checksum"] = hashlib.sha256(f"{covered}{SECRET['secretKey']}".encode()).hexdigest()
    event["body"] = json.dumps(body, separators=(",", ":"))
    event["requestContext"]["requestId"] = notification_id(number)
    return event


def timer(number: int) -> dict[str, Any]:
    """Return what the timer of that notification's second pass carries."""
    ids = {"chargeId": charge_id(number), "notificationId": notification_id(number), "orderId": f"ORDER-{number}"}
    about = {"version": 1, **ids, "pass": 2, "dueAt": "2026-11-22T09:31:17.250000Z"}
    context = {"scheduleArn": "arn", "scheduledTime": "2026-11-22T09:32:00Z", "executionId": "id", "attemptNumber": "1"}
    return about | context


def charge_id(number: int) -> str:
    """Return a charge's id, as long as the bank's."""
    return f"chrg_test_2250{number:022x}"


def notification_id(number: int) -> str:
    """Return the id of a delivery, as long as API Gateway's."""
    return f"08a997fd-fa27-5a9f-997e-{number:012x}"
