"""The failure queues and what lies in them: which function gets which payload back.

Two writers, two forms:

- Lambda's record of an asynchronous event that failed or grew too old (Lambda developer guide, "Capturing records
  of Lambda asynchronous invocations"): JSON with `requestContext.functionArn`, `requestContext.condition`
  (`RetriesExhausted`, `EventAgeExceeded`), `requestPayload`, and, where the function answered, `responsePayload`.
- Scheduler's dead letter (EventBridge Scheduler user guide, "Retrieve the dead-letter event"): the body is the
  target's `Input` itself, with the message attributes ERROR_CODE, ERROR_MESSAGE, EXECUTION_ID,
  EXHAUSTED_RETRY_CONDITION, IS_PAYLOAD_TRUNCATED, RETRY_ATTEMPTS, SCHEDULED_TIME, SCHEDULE_ARN and TARGET_ARN.
"""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic import Field, StrictStr

from callback.errors import BadInput, InvalidNotification, InvalidTimer as InvalidRecheck
from callback.notification import parse_notification
from callback.timer import TimerInput as RecheckInput
from callback.schema import Schema as Shape
from followups.invocation import error_line, printable
from followups.stack import Stack

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef

QUEUES = ("DelayedNotifyFailureQueue", "RecheckFailureQueue", "SchedulerDeadLetterQueue", "SweepFailureQueue")
_UNKNOWN = "neither a record of Lambda's nor a dead letter of Scheduler's"


@dataclass(frozen=True)
class Letter:
    """A dead letter: the payload and the function it goes back to, or the refusal that says why it cannot.

    Of all this only the payload may not be printed: it holds card data. `sent_at` is when it came into the queue.
    """

    queue: str
    kind: str = "unknown"
    ids: Mapping[str, str] = field(default_factory=dict)
    error: str = ""
    function: str = ""
    payload: str = ""
    refusal: str = ""
    sent_at: datetime | None = None

    @property
    def goes_to(self) -> str:
        """The name of the function that it goes back to."""
        return self.function.rsplit(":", 1)[-1]


class InvalidLetter(BadInput):
    """A message is no record of Lambda's."""


class _Context(Shape):
    function: StrictStr = Field(alias="functionArn")
    condition: StrictStr


class _OnFailure(Shape):
    context: _Context = Field(alias="requestContext")
    payload: Any = Field(alias="requestPayload")
    answer: Any = Field(None, alias="responsePayload")


def read_letter(stack: Stack, queue: str, message: "MessageTypeDef") -> Letter:
    """Read one message of a failure queue; what is no letter of this stack's comes with a refusal."""
    letter, sent = _read_letter(stack, queue, message), message.get("Attributes", {}).get("SentTimestamp")
    return replace(letter, sent_at=datetime.fromtimestamp(int(sent) / 1000, UTC)) if sent else letter


def _read_letter(stack: Stack, queue: str, message: "MessageTypeDef") -> Letter:
    body = message.get("Body", "")
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return Letter(queue, refusal=_UNKNOWN)
    with suppress(BadInput):
        return _of_lambda(stack, queue, _OnFailure.read(content, InvalidLetter))
    with suppress(BadInput):
        said = {name: about.get("StringValue", "") for name, about in message.get("MessageAttributes", {}).items()}
        return _of_scheduler(stack, queue, RecheckInput.read(content, InvalidRecheck), body, said)
    return Letter(queue, refusal=_UNKNOWN)


def _of_lambda(stack: Stack, queue: str, record: _OnFailure) -> Letter:
    # The record names the version too, "...:function:NAME:$LATEST".
    function = ":".join(record.context.function.split(":")[:7])
    ours = function in stack.own_functions
    ids_of = {stack.delayed_notify: _notification_ids, stack.recheck: _timer_ids}.get(function, _no_ids)
    return Letter(
        queue,
        kind="on-failure",
        ids=ids_of(record.payload),
        error=error_line(record.answer) if record.answer else printable(record.context.condition),
        function=function,
        payload=json.dumps(record.payload),
        refusal="" if ours else printable(f"{function} is no function of stack {stack.name}"),
    )


def _of_scheduler(stack: Stack, queue: str, timer: RecheckInput, body: str, said: Mapping[str, str]) -> Letter:
    group = re.search(r":schedule/([^/]+)/", said.get("SCHEDULE_ARN", ""))
    ours = group is None or group[1] == stack.output("ScheduleGroup")
    return Letter(
        queue,
        kind="scheduler",
        ids=_ids_of(timer),
        error=printable(f"{said.get('ERROR_CODE', 'an error')}: {said.get('ERROR_MESSAGE', 'without a text')}"),
        function=stack.recheck,
        payload=body,
        refusal="" if ours else f"its schedule is of no group of stack {stack.name}",
    )


def _notification_ids(event: object) -> dict[str, str]:
    try:
        found: Mapping[str, str | None] = parse_notification(event).ids
    except InvalidNotification as error:
        found = error.about
    return {name: value for name, value in found.items() if value}


def _timer_ids(event: object) -> dict[str, str]:
    try:
        return _ids_of(RecheckInput.read(event, InvalidRecheck))
    except InvalidRecheck:
        return {}


def _no_ids(_event: object) -> dict[str, str]:
    return {}


def _ids_of(timer: RecheckInput) -> dict[str, str]:
    ids = {"chargeId": timer.charge_id, "notificationId": timer.notification_id, "orderId": timer.order_id}
    return ids | {"pass": str(timer.number)}
