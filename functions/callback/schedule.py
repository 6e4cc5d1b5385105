"""The timer of a pass: a one-time EventBridge Scheduler schedule that invokes Recheck and deletes itself."""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from callback.clock import Clock
from callback.errors import ScheduleFailed
from callback.log import logger
from callback.rechecks import recheck_input
from callback.record import Record
from callback.redact import scrub
from callback.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_scheduler import EventBridgeSchedulerClient

# A schedule in the past is refused or lost: leave the call time to arrive.
LEAD = timedelta(seconds=2)
# Scheduler fills these in when it fires, so that a log line can be traced to its timer.
_CONTEXT = {
    "scheduleArn": "<aws.scheduler.schedule-arn>",
    "scheduledTime": "<aws.scheduler.scheduled-time>",
    "executionId": "<aws.scheduler.execution-id>",
    "attemptNumber": "<aws.scheduler.attempt-number>",
}
# Only the hand-over to Lambda is retried here; what Recheck itself fails at is Lambda's to retry.
_HAND_OVER = {"MaximumEventAgeInSeconds": 3600, "MaximumRetryAttempts": 10}


class Schedules:
    """The schedule group of this branch."""

    def __init__(self, client: "EventBridgeSchedulerClient", settings: Settings, clock: Clock) -> None:
        self._client = client
        self._settings = settings
        self._clock = clock

    def arm(self, record: Record, due: datetime) -> None:
        """Have Recheck invoked for the record's next pass when it is due; armed already is as good.

        The service fires within the minute after: 60 s means 60 to about 120 s. Raises `ScheduleFailed`.
        """
        name = schedule_name(record.charge_id, record.notification_id, record.next_pass)
        try:
            self._client.create_schedule(Name=name, **self._request(record, due))
        except self._client.exceptions.ConflictException:
            # The name is the notification's and the pass's own, so whoever holds it is this very timer.
            logger.debug("armed before")
        except (ClientError, BotoCoreError) as error:
            raise ScheduleFailed(
                f"the timer of pass {record.next_pass} could not be armed: {scrub(str(error))}"
            ) from error
        logger.info("schedule armed", extra={"schedule": name, "pass": record.next_pass})

    def _request(self, record: Record, due: datetime) -> Any:  # noqa: ANN401 - a typed call's keywords
        return {
            "GroupName": self._settings.schedule_group,
            "ScheduleExpression": f"at({self._at(due):%Y-%m-%dT%H:%M:%S})",
            "ScheduleExpressionTimezone": "UTC",
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "ActionAfterCompletion": "DELETE",
            "Target": {
                "Arn": self._settings.recheck_function_arn,
                "RoleArn": self._settings.scheduler_role_arn,
                "Input": json.dumps(recheck_input(record, due) | _CONTEXT),
                "RetryPolicy": _HAND_OVER,
                "DeadLetterConfig": {"Arn": self._settings.scheduler_dlq_arn},
            },
        }

    def _at(self, due: datetime) -> datetime:
        soonest = max(due, self._clock() + LEAD)
        # `at()` knows whole seconds only: round up, since early is the one thing a second pass must not be.
        return (soonest + timedelta(microseconds=999_999)).astimezone(UTC)


def schedule_name(charge_id: str, notification_id: str, number: int) -> str:
    """Return the one name that a pass's timer can have; ids hold no newline, so no two share it."""
    digest = hashlib.sha256(f"{charge_id}\n{notification_id}".encode()).hexdigest()
    return f"recheck-{digest[:48]}-{number}"
