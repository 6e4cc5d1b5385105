"""The stack's queues and what lies in them: who drains each, and the way back or out.

Two writers, two forms:

- Lambda's record of an asynchronous event that failed or grew too old (Lambda developer guide, "Capturing records
  of Lambda asynchronous invocations"): JSON with `requestContext.functionArn`, `requestContext.condition`
  (`RetriesExhausted`, `EventAgeExceeded`), `requestPayload`, and, where the function answered, `responsePayload`.
  The refused queue has it with the message attributes `errorType` and `reason`.
- Scheduler's dead letter (EventBridge Scheduler user guide, "Retrieve the dead-letter event"): the body is the
  target's `Input` itself, with message attributes such as ERROR_CODE, ERROR_MESSAGE and SCHEDULE_ARN.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import Field, StrictStr

from callback.checksum import verify
from callback.errors import BadInput, InvalidNotification, InvalidTimer
from callback.notification import parse_notification
from callback.schema import Schema
from callback.timer import TimerInput
from followups.invocation import error_line, printable
from followups.records import CHECKSUMS
from followups.stack import Stack

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef

RETRY, REFUSED, FAILURE = "RetryQueue", "RefusedQueue", "FailureQueue"
QUEUES = (RETRY, REFUSED, FAILURE)
# What waits there waits for a person.
FOR_A_PERSON = (REFUSED, FAILURE)
# As many as SQS hands out at once, hidden from others for as long as they take at most.
_AT_ONCE, _HIDDEN_SECONDS = 10, 300
# Any wait makes SQS ask all its servers; without one it may miss what is there.
_WAIT_SECONDS = 1


@dataclass(frozen=True)
class Letter:
    """A message of a queue: whose it is and why it is there; a `refusal` says why it cannot go back.

    Of all this only the body may not be printed: it holds card data. `sent_at` is when it came into the queue;
    `checksum` the verdict, as far as it is known without the merchant's key.
    """

    queue: str
    message_id: str
    body: str
    sent_at: datetime
    error: str
    kind: str = "unknown"
    ids: Mapping[str, str] = field(default_factory=dict)
    refusal: str = "neither a record of Lambda's nor a timer"
    checksum: str = ""


class InvalidLetter(BadInput):
    """A message is no record of Lambda's."""


class _Context(Schema):
    function: StrictStr = Field(alias="functionArn")
    condition: StrictStr


class _OnFailure(Schema):
    context: _Context = Field(alias="requestContext")
    payload: Any = Field(alias="requestPayload")
    answer: Any = Field(None, alias="responsePayload")


class Queue:
    """One queue of the stack. Used with `with`, it shows again in the end what it has received and not deleted."""

    def __init__(self, stack: Stack, name: str) -> None:
        self.name, self._stack, self._url = name, stack, stack.output(name)
        self._held: dict[str, str] = {}  # by message id, the newest handle

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let others receive what is left."""
        for handle in self._held.values():
            with suppress(ClientError, BotoCoreError):  # it shows again by itself, some minutes later
                self._stack.sqs.change_message_visibility(QueueUrl=self._url, ReceiptHandle=handle, VisibilityTimeout=0)

    def __iter__(self) -> Iterator[Letter]:
        """Receive each letter once that is not hidden."""
        while messages := self._receive():
            new = [message for message in messages if message["MessageId"] not in self._held]
            self._held |= {message["MessageId"]: message["ReceiptHandle"] for message in messages}
            if not new:  # in a long run the first ones show again: all were seen
                return
            yield from (_letter(self._stack, self.name, message) for message in new)

    def delete(self, letter: Letter) -> None:
        """Delete a letter. Raises `ClientError` or `BotoCoreError`."""
        self._stack.sqs.delete_message(QueueUrl=self._url, ReceiptHandle=self._held[letter.message_id])
        del self._held[letter.message_id]

    def counts(self) -> tuple[int, int, timedelta]:
        """How many letters can be received; how many are in somebody's hands or wait for their next try, and how long.

        The numbers are SQS's estimates.
        """
        number = "ApproximateNumberOfMessages"
        names: Any = [number, f"{number}NotVisible", "VisibilityTimeout"]
        about = self._stack.sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=names)["Attributes"]
        there, hidden, wait = (int(about[name]) for name in names)
        return there, hidden, timedelta(seconds=wait)

    def _receive(self) -> "list[MessageTypeDef]":
        answer = self._stack.sqs.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=_AT_ONCE,
            VisibilityTimeout=_HIDDEN_SECONDS,
            WaitTimeSeconds=_WAIT_SECONDS,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["SentTimestamp"],
        )
        return answer.get("Messages", [])


def send_back(stack: Stack, queue: Queue, letter: Letter) -> tuple[bool, str]:
    """Send a letter to the retry queue, which delivers it at once; return whether it went, and what to say.

    It is sent, *then* deleted: a process that dies in between leaves the letter where it was. One that goes back twice
    is harmless, since the record knows which passes are done.
    """
    if letter.refusal:
        return False, f"stays: {letter.refusal}"
    try:
        stack.sqs.send_message(QueueUrl=stack.output(RETRY), MessageBody=letter.body)
        queue.delete(letter)
    except (ClientError, BotoCoreError) as error:
        return False, f"stays: {printable(str(error))}"
    return True, "went back to the retry queue"


def _letter(stack: Stack, queue: str, message: "MessageTypeDef") -> Letter:
    said = {name: about.get("StringValue", "") for name, about in message.get("MessageAttributes", {}).items()}
    sent_at = datetime.fromtimestamp(int(message["Attributes"]["SentTimestamp"]) / 1000, UTC)
    letter = Letter(queue, message["MessageId"], message["Body"], sent_at, _reason(said))
    try:
        content = json.loads(letter.body)
    except (ValueError, RecursionError):
        return letter
    with suppress(BadInput):
        return _of_lambda(stack, letter, _OnFailure.parse(content, InvalidLetter))
    with suppress(BadInput):
        timer = TimerInput.parse(content, InvalidTimer)
        ids = {"chargeId": timer.charge_id, "notificationId": timer.notification_id, "orderId": timer.order_id}
        return replace(letter, kind="scheduler", ids=ids | {"pass": str(timer.number)}, refusal="")
    return letter


def _reason(said: Mapping[str, str]) -> str:
    pairs = (("errorType", "reason"), ("ERROR_CODE", "ERROR_MESSAGE"))
    return next((printable(f"{said[kind]}: {said.get(text, '')}") for kind, text in pairs if kind in said), "")


def _of_lambda(stack: Stack, letter: Letter, record: _OnFailure) -> Letter:
    # The record names the version too, "...:function:NAME:$LATEST".
    function = ":".join(record.context.function.split(":")[:7])
    foreign = printable(f"{function} is not DelayedNotify of stack {stack.name}")
    ids, checksum = _notification(record.payload)
    return replace(
        letter,
        kind="on-failure",
        ids=ids,
        error=letter.error or (error_line(record.answer) if record.answer else printable(record.context.condition)),
        refusal="" if function == stack.delayed_notify else foreign,
        checksum=next((word for word in CHECKSUMS if f"Rejected: checksum {word}" in letter.error), checksum),
    )


def _notification(event: object) -> tuple[dict[str, str], str]:
    try:
        notification = parse_notification(event)
    except InvalidNotification as error:
        return {name: str(value) for name, value in error.about.items() if value}, ""
    verdict = verify(notification, {})
    ids = {name: value for name, value in notification.ids.items() if value}
    return ids, "unchecked" if verdict.retryable else verdict.status
