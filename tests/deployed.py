"""The world as operators reach it: a deployed stack by its name, its failure queues, its functions to invoke."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from moto.sqs.models import sqs_backends

import delayednotify
import recheck
from followups.cli import main
from followups.dead_letters import QUEUES
from followups.operator import Operator
from local.emulator import ACCOUNT, REGION
from tests.letters import Letter, function_error, on_failure, scheduler_letter
from tests.template import source
from tests.wire import Answer, Call, payload
from tests.world import CHARGE, NOTIFICATION, ORDER, World, sample

STACK = "payment3-follow-up-dev"
REQUEST = "8f0c5a55-1b0e-4c53-9d0e-3f1f6ae0f0aa"
GROUP = f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/payment3-recheck-dev"
NOTIFY_QUEUE, RECHECK_QUEUE, SCHEDULER_QUEUE, SWEEP_QUEUE = QUEUES
# What CloudFormation tells of a deployment, and the variable that the template makes of it.
PARAMETERS = {
    "RecheckDelays": "RECHECK_DELAYS",
    "MaxAttempts": "MAX_ATTEMPTS",
    "SettledOrderStatuses": "SETTLED_ORDER_STATUSES",
    "KBankSecretId": "KBANK_SECRET_ID",
}
Handler = Callable[[object, None], object]


def unstyled(text: str) -> str:
    """What a terminal shows of a text, without colours."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)


def arn(function: str) -> str:
    """A function's ARN in the account of the tests."""
    return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}"


@dataclass
class Deployed:
    """A world with its stack; what operators do goes through `followups`."""

    world: World
    urls: dict[str, str] = field(default_factory=dict)
    sent: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make the queues, and answer for CloudFormation and Lambda, which moto does not play without containers."""
        for queue in QUEUES:
            made = self.world.client("sqs").create_queue(
                QueueName=queue, Attributes={"MessageRetentionPeriod": "1209600"}
            )
            self.urls[queue] = made["QueueUrl"]
        answers = self.world.wire.answers
        answers["cloudformation.DescribeStacks"] = self._describe_stacks
        self.functions: dict[str, Callable[[Call], Answer]] = {
            arn("payment3-delayed-notify-dev"): _run(delayednotify.lambda_handler),
            arn("payment3-recheck-dev"): _run(recheck.lambda_handler),
            arn("payment3-sweep-dev"): _run(recheck.sweep_handler),
            "payment3-process-paid-order-dev": answers["lambda.Invoke"],
        }
        answers["lambda.Invoke"] = lambda call: self.functions[call.request["FunctionName"]](call)
        answers["sqs.ReceiveMessage"] = self._receive_message

    def run(self, *arguments: str) -> int:
        """Run a command of the operators' and return its exit code; who waits in it lets the world's time pass."""
        operator = Operator(lambda: self.world.now, self.world.monotonic, self.world.wait)
        with self.world.wire:
            return main(arguments, operator)

    def invoked(self, function: str) -> list[Any]:
        """The payloads that a function was invoked with."""
        requests = self.world.wire.of("lambda.Invoke")
        return [json.loads(r["Payload"]) for r in requests if r["FunctionName"].endswith(function)]

    # --- what lies in the queues ---

    def put(self, queue: str, letter: Letter) -> None:
        """A letter arrives."""
        sent = self.world.client("sqs").send_message(QueueUrl=self.urls[queue], **letter)
        self.sent[sent["MessageId"]] = str(int(self.world.now.timestamp() * 1000))

    def put_each_kind(self) -> None:
        """A letter of each of three notifications: failed for good, timed out, never handed over."""
        self.put(NOTIFY_QUEUE, notify_letter())
        for queue, letter, number in ((RECHECK_QUEUE, recheck_letter, 2), (SCHEDULER_QUEUE, timer_letter, 3)):
            event = notification(number)
            self.world.deliver(event)
            self.put(queue, letter(timer(number)))
        self.world.wait(60)

    def messages(self, queue: str) -> list[Any]:
        """What lies in a queue, hidden or not, as moto keeps it."""
        url = self.urls[queue]
        found: list[Any] = sqs_backends[ACCOUNT][REGION].queues[url.rsplit("/", 1)[-1]]._messages
        return found

    def left(self) -> dict[str, int]:
        """How many letters lie in each queue that is not empty."""
        return {queue: len(self.messages(queue)) for queue in QUEUES if self.messages(queue)}

    def hidden(self) -> int:
        """How many letters are hidden from others."""
        return sum(not message.visible for queue in QUEUES for message in self.messages(queue))

    def show_again(self) -> None:
        """The time passes for which a letter stays hidden."""
        for queue in QUEUES:
            for message in self.messages(queue):
                message.visible_at = 0.0

    def _receive_message(self, call: Call) -> Answer:
        # A long poll, so that AWS asks all its servers; the tests' one server need not be waited for.
        assert call.request["WaitTimeSeconds"] > 0
        with self.world.wire.aside():
            answer: Answer = self.world.client("sqs").receive_message(**call.request | {"WaitTimeSeconds": 0})
        for message in answer.get("Messages", []):  # sent by the world's clock, not by moto's
            message["Attributes"]["SentTimestamp"] = self.sent[message["MessageId"]]
        return answer

    def _describe_stacks(self, call: Call) -> Answer:
        resources, environment = self.world.resources, self.world.environment
        values = self.urls | {
            "DelayedNotifyFunctionArn": arn(resources["DelayedNotifyFunction"]["Properties"]["FunctionName"]),
            "RecheckFunctionArn": arn(resources["RecheckFunction"]["Properties"]["FunctionName"]),
            "SweepFunctionArn": arn(resources["SweepFunction"]["Properties"]["FunctionName"]),
            "ScheduleGroup": environment["SCHEDULE_GROUP"],
            "CreditCardNotifyTable": environment["CREDIT_CARD_NOTIFY_TABLE"],
            "CallbackErrorLogTable": environment["CALLBACK_ERROR_LOG_TABLE"],
        }
        given = environment | self.world.changes
        parameters = {name: given[variable] for name, variable in PARAMETERS.items()}
        assert set(values) <= _written("Outputs"), "no output of the template's"
        assert set(parameters) <= _written("Parameters"), "no parameter of the template's"
        assert call.request == {"StackName": STACK}
        outputs = [{"OutputKey": key, "OutputValue": value} for key, value in values.items()]
        deployed_with = [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()]
        return {"Stacks": [{"Outputs": outputs, "Parameters": deployed_with}]}


@cache
def _written(section: str) -> set[str]:
    return set(source()[section])


def _run(handler: Handler) -> Callable[[Call], Answer]:
    def answer(call: Call) -> Answer:
        try:
            return payload(handler(json.loads(call.request["Payload"]), None))
        except Exception as error:  # noqa: BLE001 - as the Lambda runtime does
            return payload(function_error(error), error="Unhandled")

    return answer


# --- the n-th notification, its timer and their letters ---


def notification(number: int = 1) -> dict[str, Any]:
    """A delivery by the bank, the first of the samples' order."""
    event = sample("authorized")
    event["requestContext"]["requestId"] = _id(number)
    return event


def timer(number: int = 1, **changes: object) -> dict[str, Any]:
    """The timer of its pass 2."""
    ids = {"chargeId": CHARGE, "notificationId": _id(number), "orderId": ORDER}
    return {"version": 1, **ids, "pass": 2, "dueAt": "2026-11-22T09:31:17.550000Z", "scheduleArn": "a", **changes}


def notify_letter(event: object = None, error: Exception | None = None) -> Letter:
    """DelayedNotify's record of a notification; without an error it grew too old."""
    return on_failure(arn("payment3-delayed-notify-dev"), REQUEST, event or notification(), error)


def recheck_letter(event: object) -> Letter:
    """Recheck's record of a timer."""
    return on_failure(arn("payment3-recheck-dev"), REQUEST, event, TimeoutError("the table is asleep"))


def timer_letter(event: object, group: str = GROUP) -> Letter:
    """Scheduler's letter of a timer."""
    return scheduler_letter(json.dumps(event), f"{group}/recheck-0123456789ab-2")


def _id(number: int) -> str:
    return NOTIFICATION if number == 1 else f"{NOTIFICATION}-{number}"
