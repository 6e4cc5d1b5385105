"""The timer of a pass: a one-time EventBridge Scheduler schedule that invokes Recheck and deletes itself."""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Predicate
from pydantic import ConfigDict, Field, StrictStr
from pydantic.alias_generators import to_camel

from callback.clock import SKEW, Clock
from callback.record import Record, Schema, Time, hash_ids
from callback.redact import ID_EXPECTED, MAX_SORT_ID_BYTES, is_id
from callback.table import format_utc

if TYPE_CHECKING:  # the operators' commands start without it
    from callback.settings import Settings

# A schedule in the past is refused or lost: the call needs time to arrive.
SCHEDULE_LEAD_TIME = timedelta(seconds=2)
# Scheduler fills these in when it fires, so that a log line can be traced to its timer.
_CONTEXT = (
    '"scheduleArn": "<aws.scheduler.schedule-arn>", "scheduledTime": "<aws.scheduler.scheduled-time>", '
    '"executionId": "<aws.scheduler.execution-id>", "attemptNumber": "<aws.scheduler.attempt-number>"}'
)
_EXACTLY: Any = {"FlexibleTimeWindow": {"Mode": "OFF"}, "ScheduleExpressionTimezone": "UTC"}
# Only the hand-over to Lambda is retried; what fails in Recheck itself waits in the record.
_HAND_OVER: Any = {"MaximumEventAgeInSeconds": 3600, "MaximumRetryAttempts": 10}

Id = Annotated[StrictStr, Predicate(is_id), Field(description=ID_EXPECTED)]


class TimerInput(Schema):
    """What Recheck accepts, from a timer or from the sweep."""

    model_config = ConfigDict(alias_generator=to_camel)

    version: int = Field(strict=True, ge=1, le=1, description="1")
    charge_id: Id
    notification_id: Annotated[Id, Field(max_length=MAX_SORT_ID_BYTES)]
    order_id: Id
    number: int = Field(alias="pass", strict=True, ge=1, le=100, description="a number from 1 to 100")
    due_at: Time = Field(description="a UTC time such as 2026-01-31T12:00:00Z")


def timer_input(record: Record) -> dict[str, object]:
    """Return Recheck's input for the record's next pass."""
    due = record.next_pass_due
    return {"version": 1, **record.ids, "pass": record.next_pass, "dueAt": due and format_utc(due)}


@dataclass(frozen=True)
class Timer:
    """Creates schedules in the group of this branch."""

    client: Callable[[], Any]
    settings: "Settings"
    clock: Clock

    def create(self, record: Record, due: datetime) -> str:
        """Have Recheck invoked for the record's next pass when it is due, and return the schedule's name.

        Scheduler fires within the minute after. A schedule that exists already is fine. Raises `AWS_ERRORS`.
        """
        expression = f"at({self._at(due):%Y-%m-%dT%H:%M:%S})"
        name, client, settings = schedule_name(record), self.client(), self.settings
        target: Any = {"Arn": settings.recheck_function_arn, "RoleArn": settings.scheduler_role_arn}
        target |= {"RetryPolicy": _HAND_OVER, "DeadLetterConfig": {"Arn": settings.scheduler_dlq_arn}}
        request: Any = {"Name": name, "GroupName": settings.schedule_group, "ScheduleExpression": expression}
        request |= {"Target": target | {"Input": _input(record)}, "ActionAfterCompletion": "DELETE", **_EXACTLY}
        # No other pass or notification has this name, so a schedule with it is this very timer.
        with suppress(client.exceptions.ConflictException):
            client.create_schedule(**request)
        return name

    def _at(self, due: datetime) -> datetime:
        # Later by the skew, since a timer that fires early leaves the pass to the sweep.
        soonest = max(due + SKEW, self.clock() + SCHEDULE_LEAD_TIME)
        # `at()` knows whole seconds only: round up.
        return (soonest + timedelta(microseconds=999_999)).astimezone(UTC)


def schedule_name(record: Record) -> str:
    """Return the one name that the timer of the record's next pass can have."""
    return f"recheck-{hash_ids(record.ids).hex()[:48]}-{record.next_pass}"


def _input(record: Record) -> str:
    # Scheduler replaces its keywords wherever they are in the text: an id that holds one is escaped.
    text = json.dumps(timer_input(record)).replace("<", "\\u003c")
    return f"{text[:-1]}, {_CONTEXT}"
