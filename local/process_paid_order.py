"""The stand-in for ProcessPaidOrder: it takes some time, fails as often as asked, and notes every call as evidence."""

import os
import time
from typing import Any

import boto3


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Note the call, take LATENCY_MS, and fail the first FAILURES tries of pass 1: each costs the run a minute."""
    print(f"pass {event['pass']} of {event['orderId']}")
    resource: Any = boto3.resource("dynamodb")
    table, key = resource.Table("process-paid-order-calls"), {"orderId": event["orderId"], "pass": event["pass"]}
    adding: Any = {"Key": key, "ExpressionAttributeValues": {":one": 1}, "ReturnValues": "ALL_NEW"}
    noted = table.update_item(UpdateExpression="ADD tries :one", **adding)["Attributes"]
    time.sleep(int(os.environ["LATENCY_MS"]) / 1000)  # the shop's work
    if event["pass"] == 1 and noted["tries"] <= int(os.environ["FAILURES"]):
        raise RuntimeError("the shop's database is asleep")
    table.update_item(UpdateExpression="ADD completed :one", **adding)
    return key | {"paid": True}
