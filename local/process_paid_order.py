"""The stand-in for ProcessPaidOrder: takes its time, fails as often as it is told, and notes every call.

Its notes are the run's evidence: they are not written by what is being watched.
"""

import os
import time
from datetime import UTC, datetime

import boto3


def handler(event, _context):
    """Note the call; fail the first FAILURES tries of each pass; take LATENCY_MS."""
    table = boto3.resource("dynamodb").Table(os.environ["CALLS_TABLE"])
    started = datetime.now(UTC).isoformat()
    key = {"orderId": event["orderId"], "pass": event["pass"]}
    noted = table.update_item(
        Key=key,
        UpdateExpression="ADD tries :one",
        ExpressionAttributeValues={":one": 1},
        ReturnValues="ALL_NEW",
    )["Attributes"]
    time.sleep(int(os.environ["LATENCY_MS"]) / 1000)
    if noted["tries"] <= int(os.environ["FAILURES"]):
        raise RuntimeError("the shop's database is asleep")
    table.update_item(
        Key=key,
        UpdateExpression="SET startedAt = :started, endedAt = :ended ADD completed :one",
        ExpressionAttributeValues={":one": 1, ":started": started, ":ended": datetime.now(UTC).isoformat()},
    )
    return {"orderId": event["orderId"], "pass": event["pass"], "paid": True}
