"""The floor: bare boto3 handlers that make this project's calls and do nothing else: no check, no log, no error."""

import json
import os
import re
from collections.abc import Callable
from functools import cache, cached_property
from typing import Any

import boto3
from botocore.config import Config

from bench.environment import charge_id, notification, notification_id, timer

Client = Any

_COMPLETE = "SET #passesDone = :number, #passes = list_append(#passes, :done), #attemptsBefore = :one, #state = :state"
_WAIT = ", #nextPassDue = :now, #firstDue = :now REMOVE #leaseUntil, #claimId"
_END = " REMOVE #leaseUntil, #claimId, #nextPassDue, #firstDue, #sweepShard, #sweepAt"
_NOW = {"S": "2026-11-22T09:31:17.250000Z"}


class Calls:
    """The calls of one notification, as boto3 takes them."""

    def __init__(self) -> None:
        session: Any = boto3.Session()
        quick = Config(connect_timeout=1, read_timeout=60, retries={"total_max_attempts": 1})
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

    def find(self, number: int) -> object:
        """Read the payment record."""
        table = os.environ["CARD_PAYMENT_RECORD_TABLE"]
        return self._get(table, {"chargeId": charge_id(number)}, "#orderId, #amount, #currency")

    def mark(self, number: int) -> None:
        """Mark the payment record."""
        self._update(
            os.environ["CARD_PAYMENT_RECORD_TABLE"],
            {"chargeId": {"S": charge_id(number)}},
            "SET #checksumStatus = :valid, #checksumError = :none",
            {":valid": {"S": "valid"}, ":none": {"S": ""}},
            "attribute_exists(#chargeId)",
        )

    def save(self, number: int, body: str, **line: Any) -> None:  # noqa: ANN401 - boto3's own
        """Write the record; `line` is its place in the index of what waits."""
        item = _key(number) | {
            "orderId": {"S": f"ORDER-{number}"},
            "body": {"S": body},
            "state": {"S": "PENDING"},
            "passesDone": {"N": "0"},
            "attempts": {"N": "1"},
            "passes": {"L": []},
            "claimId": {"S": "0" * 32},
            "nextPassDue": _NOW,
        }
        condition = "attribute_not_exists(#chargeId)"
        names = {"#chargeId": "chargeId"}
        put = self.client["dynamodb"].put_item
        put(TableName=self.records, Item=item | line, ConditionExpression=condition, ExpressionAttributeNames=names)

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
        values |= {":claim": {"S": "0" * 32}, ":state": {"S": "PENDING" if which == 1 else "DONE"}}
        values |= {":now": _NOW} if which == 1 else {}
        change = _COMPLETE + (_WAIT if which == 1 else _END)
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

    def respond(self, number: int) -> Any:  # noqa: ANN401 - boto3's own
        """Read the order."""
        return self._get(os.environ["ORDER_TABLE"], {"orderId": f"ORDER-{number}"}, "#returnUrl")

    def _get(self, table: str, key: dict[str, str], names: str) -> Any:  # noqa: ANN401 - boto3's own
        return self.client["dynamodb"].get_item(
            TableName=table,
            Key={name: {"S": text} for name, text in key.items()},
            ProjectionExpression=names,
            ExpressionAttributeNames=_aliases(names),
            ConsistentRead=True,
        )

    def _update(self, table: str, key: Any, change: str, values: Any, condition: str) -> None:  # noqa: ANN401 - boto3's own
        self.client["dynamodb"].update_item(
            TableName=table,
            Key=key,
            UpdateExpression=change,
            ExpressionAttributeValues=values,
            ExpressionAttributeNames=_aliases(f"{change} {condition}"),
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
        calls.find(number)
        calls.save(number, event["body"], sweepShard={"N": "1"}, sweepAt=_NOW)
        calls.complete(number, 1, calls.run_pass(number, 1))
        calls.wait(number)
        calls.mark(number)
        return calls.respond(number)

    def again(number: int) -> None:
        calls.claim(number)
        calls.complete(number, 2, calls.run_pass(number, 2))

    return deliver, again


def _key(number: int) -> dict[str, Any]:
    return {"chargeId": {"S": charge_id(number)}, "notificationId": {"S": notification_id(number)}}


@cache
def _aliases(text: str) -> dict[str, str]:
    return {f"#{name}": name for name in re.findall(r"#(\w+)", text)}
