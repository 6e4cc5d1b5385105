"""The one-time schedule of a notification's next pass, as EventBridge Scheduler has it."""

from datetime import UTC, datetime

from callback.timer import schedule_name
from followups.notifications import Saved
from followups.stack import Stack


def armed_for(stack: Stack, saved: Saved) -> datetime | None:
    """Return when the timer of the next pass is set to fire, None where there is none (it fired, or never was)."""
    name = schedule_name(saved.charge_id, saved.notification_id, saved.next_pass)
    try:
        found = stack.scheduler.get_schedule(GroupName=stack.output("ScheduleGroup"), Name=name)
    except stack.scheduler.exceptions.ResourceNotFoundException:
        return None
    return datetime.strptime(found["ScheduleExpression"], "at(%Y-%m-%dT%H:%M:%S)").replace(tzinfo=UTC)
