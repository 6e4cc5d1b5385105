"""The world as operators reach it: a deployed stack by its name, its queues, its functions to invoke.

Its letters are those of the Lambda developer guide ("Capturing records of Lambda asynchronous invocations") and of the
EventBridge Scheduler user guide ("Retrieve the dead-letter event").
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

import pytest

import delayednotify
import recheck
from callback.errors import error_id
from callback.record import OVERDUE_AFTER
from callback.table import format_utc
from followups.cli import Operator, main
from followups.stack import FAILURE, QUEUES, REFUSED, RETRY
from local.emulator import ACCOUNT, REGION
from tests.support.aws import CHARGE, NOTIFICATION, ORDER, World, sample
from tests.support.recorded_calls import Answer, Call, backend, by_http, payload
from tests.support.template import outputs, source

Letter = dict[str, Any]
"""What SQS takes beside the queue's URL."""
STACK = "payment3-follow-up-dev"
PROCESS = "payment3-process-paid-order-dev"
FAILED_ORDER, LATE_ORDER, OLD_ORDER = "ORDER-1984", "ORDER-1989", "ORDER-1977"
GAVE_UP = "GaveUp: pass 2 is given up: pass 2: ProcessPaidOrder failed (Unhandled)"


def unstyled(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)


def arn(function: str) -> str:
    """A function's ARN in the account of the tests."""
    return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}"


@dataclass
class Deployed:
    """A world with its stack; what operators do goes through `followups`."""

    world: World
    urls: ClassVar = {queue: f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/stack-{queue}" for queue in QUEUES}

    def __post_init__(self) -> None:
        """Make the queues, and answer for CloudFormation and Lambda, which moto cannot emulate without containers."""
        answers = self.world.wire.answers
        for queue in QUEUES:
            backend("sqs").create_queue(f"stack-{queue}", VisibilityTimeout=720)
        self.functions: dict[str, Callable[[Call], Answer]] = {
            arn("payment3-recheck-dev"): _recheck,
            PROCESS: answers["lambda.Invoke"],
        }
        answers["cloudformation.DescribeStacks"] = self._describe_stacks
        answers["lambda.Invoke"] = lambda call: self.functions[call.request["FunctionName"]](call)
        answers["sqs.ReceiveMessage"] = self._receive

    def run(self, *arguments: str) -> int:
        """Run a command of the operators' and return its exit code; then RetryFunction takes what it can receive."""
        operator = Operator(lambda: self.world.now, self.world.monotonic, self.world.wait)
        with self.world.wire:
            code = main(arguments, operator)
        self.retry()
        return code

    def invoked(self, function: str) -> list[Any]:
        requests = self.world.wire.of("lambda.Invoke")
        return [json.loads(r["Payload"]) for r in requests if r["FunctionName"].endswith(function)]

    # --- what is in the table, without its past ---

    def put_waiting(self, name: str, minutes: float = 60, **changes: object) -> None:
        """A notification whose pass 2 was first due so many minutes ago, or is due later where that is negative."""
        due = self.world.now - timedelta(minutes=minutes)
        sweep_at = due + OVERDUE_AFTER * (minutes < 0)
        line = {"nextPassDue": format_utc(due), "sweepAt": format_utc(sweep_at), "sweepShard": _shard(name)}
        self._put(name, due, {"state": "PENDING"} | line | changes)

    def put_failed(self, name: str, minutes: float = 60, **changes: object) -> None:
        """A notification that failed so many minutes ago."""
        failed_at = self.world.now - timedelta(minutes=minutes)
        line = {"failedAt": format_utc(failed_at), "failedShard": _shard(name)}
        self._put(name, failed_at, {"state": "FAILED", "lastError": "PassFailed: no", "attempts": 4} | line | changes)

    def _put(self, name: str, due: datetime, changes: dict[str, object]) -> None:
        """Write an item; a change to None leaves the attribute out."""
        item = {"chargeId": CHARGE, "notificationId": name, "orderId": ORDER, "passesDone": 1, "passes": []}
        item |= {"receivedAt": format_utc(due - timedelta(minutes=1)), "firstDue": format_utc(due)}
        item |= {"attempts": 1, "attemptsBefore": 1, "checksumStatus": "valid"} | changes
        self.world.put("CREDIT_CARD_NOTIFY_TABLE", {key: value for key, value in item.items() if value is not None})

    # --- what is in the queues ---

    def put(self, queue: str, letter: Letter) -> None:
        self._sqs("SendMessage", queue, **letter)

    def put_each_kind(self) -> None:
        """Refused as no notification, not saved for 72 hours, and not saved yet; the last one is hidden."""
        self.put(REFUSED, refused_letter("InvalidNotification", "body: expected a JSON object", {"body": "nonsense"}))
        self.put(FAILURE, notify_letter(notification(2), TimeoutError("the table is asleep")))
        self.put(RETRY, notify_letter(notification(3), TimeoutError("the table is asleep")))
        self._sqs("ReceiveMessage", RETRY)
        self.world.wait(60)

    def retry(self) -> None:
        """Let the event source hand RetryFunction whatever it can receive, until nothing is left."""
        while received := self._sqs("ReceiveMessage", RETRY, AttributeNames=["All"]).get("Messages"):
            for message in received:
                record = {name[0].lower() + name[1:]: value for name, value in message.items()}
                with self.world.wire:
                    failed = delayednotify.retry_handler({"Records": [record]}, None)["batchItemFailures"]
                if not failed:
                    self._sqs("DeleteMessage", RETRY, ReceiptHandle=message["ReceiptHandle"])

    def messages(self, queue: str) -> list[Any]:
        """What is in a queue, hidden or not, as moto keeps it."""
        return list(backend("sqs").queues[f"stack-{queue}"]._messages)

    def left(self) -> dict[str, int]:
        """How many letters are in each queue that is not empty."""
        return {queue: len(self.messages(queue)) for queue in QUEUES if self.messages(queue)}

    def hidden(self) -> int:
        """How many letters that wait for a person are hidden."""
        return sum(not message.visible for queue in (REFUSED, FAILURE) for message in self.messages(queue))

    def show_again(self) -> None:
        """The time passes for which a letter is hidden."""
        self.world.wait(721)

    def _sqs(self, operation: str, queue: str, **request: Any) -> Answer:
        return by_http(self.world.client("sqs"), operation, {"QueueUrl": self.urls[queue]} | request)

    def _receive(self, call: Call) -> Answer:
        # It must be a long poll, so that AWS asks all its servers; moto would only make the test wait.
        assert call.request["WaitTimeSeconds"] > 0
        return by_http(self.world.client("sqs"), "ReceiveMessage", call.request | {"WaitTimeSeconds": 0})

    def _describe_stacks(self, call: Call) -> Answer:
        assert call.request in ({}, {"StackName": STACK})
        given = self.world.environment | self.world.changes
        made = [{"OutputKey": key, "OutputValue": value} for key, value in outputs().items()]
        # Each parameter that is a variable of the functions, too: KBankSecretId is KBANK_SECRET_ID.
        names = {key: re.sub("(?<=[a-z])(?=[A-Z])", "_", key).upper() for key in source()["Parameters"]}
        parameters = [{"ParameterKey": k, "ParameterValue": given[name]} for k, name in names.items() if name in given]
        return {"Stacks": [{"StackName": STACK, "Outputs": made, "Parameters": parameters}]}


def use_few_shards(patch: pytest.MonkeyPatch) -> None:
    """Spread the indexes over four shards: a view queries each shard of each part, and moto is slow."""
    for module in ("callback.record", "followups.tables"):
        patch.setattr(f"{module}.SWEEP_SHARDS", 4)


def _shard(name: str) -> int:
    return sum(name.encode()) % 4


def _recheck(call: Call) -> Answer:
    try:
        return payload(recheck.lambda_handler(json.loads(call.request["Payload"]), None))
    except Exception as error:  # noqa: BLE001 - as the Lambda runtime does
        return payload(function_error(error), error="Unhandled")


def make_busy(deployed: Deployed) -> None:
    """Make it a stack in which much has happened: two failed, one late, seven waiting, one under way."""
    world = deployed.world
    received, failed_at = (format_utc(world.now - timedelta(minutes=ago)) for ago in (73 * 60, 52))
    passed = {"number": 1, "at": received, "outcome": '{"paid": true}', "durationMs": 731, "attempt": 1}
    past: dict[str, Any] = {"receivedAt": received, "firstDue": received, "passes": [passed], "status": "success"}
    past |= {"transactionState": "Authorized", "orderId": FAILED_ORDER, "lastError": GAVE_UP, "attempts": 9}
    deployed.put_failed(_id(FAILED_ORDER), 52, **past)
    deployed.put_failed(_id(OLD_ORDER), 308, orderId=OLD_ORDER, lastError="GaveUp: pass 2 did not answer in time")
    again = format_utc(world.now + timedelta(minutes=2))
    late = {"orderId": LATE_ORDER, "nextPassDue": again, "sweepAt": again, "attempts": 3}
    error = "PassFailed: pass 2: ProcessPaidOrder failed (Unhandled)"
    deployed.put_waiting(_id(LATE_ORDER), 7.32, lastError=error, **late)
    for seconds in (4, 13, 21, 30, 38, 47, 55):
        order = f"ORDER-{2000 + seconds}"
        deployed.put_waiting(_id(order), -seconds / 60, orderId=order)
    running: dict[str, Any] = {"leaseUntil": format_utc(world.now + timedelta(seconds=89)), "claimId": "c"}
    running |= {"orderId": "ORDER-3000", "passesDone": 0, "attempts": 1, "attemptsBefore": 0}
    deployed.put_waiting(_id("ORDER-3000"), 0, **running)
    ids = {"chargeId": CHARGE, "notificationId": _id(FAILED_ORDER)}
    row: dict[str, Any] = {"errorId": error_id(ids, "failed", 2), "errorType": "GaveUp", "occurrences": 1}
    row |= {"message": GAVE_UP.partition(": ")[2], "firstAt": failed_at, "lastAt": failed_at, "mailedAt": failed_at}
    world.put("CALLBACK_ERROR_LOG_TABLE", row)


def _id(order: str) -> str:
    return f"22500001-bb22-4e0b-9c1d-{order.removeprefix('ORDER-'):0>12}"


# --- the n-th notification and its letters ---


def notification(number: int = 1) -> dict[str, Any]:
    """A delivery by the bank, the first of the samples' order."""
    event = sample("authorized")
    event["requestContext"]["requestId"] = NOTIFICATION if number == 1 else f"{NOTIFICATION}-{number}"
    return event


def notify_letter(event: object = None, error: Exception | None = None, function: str = "") -> Letter:
    """Lambda's record of a notification whose three tries failed, or, without an error, that grew too old."""
    about = {
        "requestId": "8f0c5a55-1b0e-4c53-9d0e-3f1f6ae0f0aa",
        "functionArn": f"{function or arn('payment3-delayed-notify-dev')}:$LATEST",
        "condition": "RetriesExhausted" if error else "EventAgeExceeded",
        "approximateInvokeCount": 3,
    }
    record: dict[str, Any] = {"version": "1.0", "timestamp": "2026-11-22T09:33:20.568Z", "requestContext": about}
    record |= {"requestPayload": event or notification()}
    if error:
        record["responseContext"] = {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"}
        record["responsePayload"] = function_error(error)
    return {"MessageBody": json.dumps(record, separators=(",", ":"))}


def function_error(error: Exception) -> dict[str, Any]:
    """What the Python runtime answers for a handler that raised."""
    return {
        "errorMessage": str(error),
        "errorType": type(error).__name__,
        "requestId": "8f0c5a55-1b0e-4c53-9d0e-3f1f6ae0f0aa",
        "stackTrace": ['  File "/var/task/recheck/__init__.py", line 20, in lambda_handler\n'],
    }


def refused_letter(error_type: str, reason: str, event: object) -> Letter:
    """What RetryFunction moves to the refused queue."""
    return notify_letter(event, OSError("the first error")) | _attributes(errorType=error_type, reason=reason)


def timer_letter() -> Letter:
    """Scheduler's letter of the timer of pass 2: the target's Input itself; what went wrong is in attributes."""
    ids = {"chargeId": CHARGE, "notificationId": NOTIFICATION, "orderId": ORDER}
    timer = {"version": 1, **ids, "pass": 2, "dueAt": "2026-11-22T09:31:17.550000Z", "scheduleArn": "a"}
    why = {"ERROR_CODE": "AWSLambda.TooManyRequestsException", "ERROR_MESSAGE": "Rate Exceeded."}
    return {"MessageBody": json.dumps(timer)} | _attributes(**why)


def _attributes(**texts: str) -> Letter:
    return {"MessageAttributes": {n: {"DataType": "String", "StringValue": text} for n, text in texts.items()}}
