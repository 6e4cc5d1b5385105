"""The floor: bare boto3 handlers that make this project's calls and do nothing else: no check, no log, no error."""

import json
import os
from collections.abc import Callable
from functools import cached_property
from typing import Any

import boto3
from botocore.config import Config

from bench.environment import charge_id, notification, notification_id, timer

Client = Any

_COMPLETE = (
    "SET #passesDone = :number, #passes = list_append(#passes, :done), #attemptsBefore = :one, #state = :state, {next}"
)
_WAIT = "#nextPassDue = :due, #sweepShard = :shard REMOVE #leaseUntil, #claimId"
_END = "#endedAt = :due, #endedShard = :ended REMOVE #leaseUntil, #claimId, #nextPassDue, #sweepShard"
_NAMES = [
    "chargeId",
    "checksumStatus",
    "checksumError",
    "passesDone",
    "passes",
    "attempts",
    "attemptsBefore",
    "state",
    "nextPassDue",
    "sweepShard",
    "leaseUntil",
    "claimId",
    "endedAt",
    "endedShard",
    "returnUrl",
]
_NOW = {"S": "2026-11-22T09:31:17.250000Z"}


class Calls:
    """The calls of one notification, as boto3 takes them."""

    def __init__(self) -> None:
        session: Any = boto3.Session()
        quick = Config(connect_timeout=2, read_timeout=60, retries={"total_max_attempts": 1})
        self.client = {name: session.client(name, config=quick) for name in self.services()}
        self.records = os.environ["CREDIT_CARD_NOTIFY_TABLE"]

    @cached_property
    def key(self) -> str:
        """The merchant's key, read once."""
        answer = self.client["secretsmanager"].get_secret_value(SecretId=os.environ["KBANK_SECRET_ID"])
        return str(json.loads(answer["SecretString"])["secretKey"])

    @staticmethod
    def services() -> tuple[str, ...]:
        """Return the clients that are needed."""
        return "dynamodb", "lambda", "scheduler", "secretsmanager"

    def mark(self, number: int) -> None:
        """Mark the payment record."""
        self._update(
            os.environ["CARD_PAYMENT_RECORD_TABLE"],
            {"chargeId": {"S": charge_id(number)}},
            "SET #checksumStatus = :valid, #checksumError = :none",
            {":valid": {"S": "valid"}, ":none": {"S": ""}},
            "attribute_exists(#chargeId)",
        )

    def save(self, number: int, body: str) -> None:
        """Write the record."""
        item = _key(number) | {
            "orderId": {"S": f"ORDER-{number}"},
            "body": {"S": body},
            "state": {"S": "PENDING"},
            "passesDone": {"N": "0"},
            "attempts": {"N": "1"},
            "passes": {"L": []},
            "claimId": {"S": "0" * 32},
            "nextPassDue": _NOW,
            "sweepShard": {"N": "1"},
        }
        condition = "attribute_not_exists(#chargeId)"
        names = {"#chargeId": "chargeId"}
        put = self.client["dynamodb"].put_item
        put(TableName=self.records, Item=item, ConditionExpression=condition, ExpressionAttributeNames=names)

    def claim(self, number: int) -> None:
        """Take pass 2."""
        change = "SET #claimId = :claim, #leaseUntil = :now ADD #attempts :one"
        values = {":claim": {"S": "0" * 32}, ":now": _NOW, ":one": {"N": "1"}}
        self._update(self.records, _key(number), change, values, "#passesDone = :one AND #nextPassDue <= :now")

    def run_pass(self, number: int, which: int) -> str:
        """Invoke ProcessPaidOrder."""
        asked = {"orderId": f"ORDER-{number}", "chargeId": charge_id(number), "note": "delayed notify", "pass": which}
        function = os.environ["PROCESS_PAID_ORDER_FUNCTION"]
        answer = self.client["lambda"].invoke(FunctionName=function, Payload=json.dumps(asked))
        return str(answer["Payload"].read().decode())

    def complete(self, number: int, which: int, outcome: str) -> None:
        """Record a pass."""
        done = {"M": {"number": {"N": str(which)}, "at": _NOW, "outcome": {"S": outcome}}}
        values: dict[str, Any] = {":number": {"N": str(which)}, ":done": {"L": [done]}, ":one": {"N": "1"}}
        values |= {":due": _NOW, ":claim": {"S": "0" * 32}, ":state": {"S": "PENDING" if which == 1 else "DONE"}}
        values |= {":shard": {"N": "1"}} if which == 1 else {":ended": {"S": "DONE#1"}}
        change = _COMPLETE.format(next=_WAIT if which == 1 else _END)
        self._update(self.records, _key(number), change, values, "#claimId = :claim")

    def wait(self, number: int) -> None:
        """Create the schedule."""
        self.client["scheduler"].create_schedule(
            Name=f"recheck-{number}",
            GroupName=os.environ["SCHEDULE_GROUP"],
            ScheduleExpression="at(2026-11-22T09:32:18)",
            ScheduleExpressionTimezone="UTC",
            FlexibleTimeWindow={"Mode": "OFF"},
            ActionAfterCompletion="DELETE",
            Target={
                "Arn": os.environ["RECHECK_FUNCTION_ARN"],
                "RoleArn": os.environ["SCHEDULER_ROLE_ARN"],
                "Input": json.dumps(timer(number)),
                "RetryPolicy": {"MaximumEventAgeInSeconds": 3600, "MaximumRetryAttempts": 10},
                "DeadLetterConfig": {"Arn": os.environ["SCHEDULER_DLQ_ARN"]},
            },
        )

    def respond(self, number: int) -> object:
        """Read the order."""
        return self.client["dynamodb"].get_item(
            TableName=os.environ["ORDER_TABLE"],
            Key={"orderId": {"S": f"ORDER-{number}"}},
            ProjectionExpression="#returnUrl",
            ExpressionAttributeNames={"#returnUrl": "returnUrl"},
            ConsistentRead=True,
        )

    def _update(self, table: str, key: Any, change: str, values: Any, condition: str) -> None:  # noqa: ANN401 - boto3's own
        used = {f"#{name}": name for name in _NAMES if f"#{name}" in f"{change} {condition}"}
        self.client["dynamodb"].update_item(
            TableName=table,
            Key=key,
            UpdateExpression=change,
            ExpressionAttributeValues=values,
            ExpressionAttributeNames=used,
            ConditionExpression=condition,
            ReturnValues="ALL_NEW",
        )


def steps() -> tuple[Callable[[int], object], ...]:
    """Return the two invocations."""
    return steps_of(Calls())


def steps_of(calls: Calls) -> tuple[Callable[[int], object], ...]:
    """Return the two invocations by these calls."""

    def deliver(number: int) -> object:
        event, _key_that_is_read = notification(number), calls.key
        calls.mark(number)
        calls.save(number, event["body"])
        calls.complete(number, 1, calls.run_pass(number, 1))
        calls.wait(number)
        return calls.respond(number)

    def again(number: int) -> None:
        calls.claim(number)
        calls.complete(number, 2, calls.run_pass(number, 2))

    return deliver, again


def _key(number: int) -> dict[str, Any]:
    return {"chargeId": {"S": charge_id(number)}, "notificationId": {"S": notification_id(number)}}
