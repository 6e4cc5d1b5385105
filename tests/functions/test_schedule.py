"""The timer: its name, its time and its request; and Recheck's input."""

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from callback.clock import utc_now
from callback.errors import InvalidTimer, NotificationNotFound
from callback.record import Record
from callback.table import format_utc, parse_utc
from callback.timer import TimerInput, schedule_name
from tests.support.aws import CHARGE, NOTIFICATION, ORDER, World, sample
from tests.support.steps import event, fails, message

CONTEXT = {"scheduleArn": "<aws.scheduler.schedule-arn>", "scheduledTime": "<aws.scheduler.scheduled-time>"}
CONTEXT |= {"executionId": "<aws.scheduler.execution-id>", "attemptNumber": "<aws.scheduler.attempt-number>"}


def timer(world: World) -> dict[str, Any]:
    """Return the request for the last timer."""
    return world.wire.of("scheduler.CreateSchedule")[-1]


def fires_at(world: World) -> datetime:
    """Return the earliest time at which the last timer fires."""
    return datetime.strptime(timer(world)["ScheduleExpression"], "at(%Y-%m-%dT%H:%M:%S)").replace(tzinfo=UTC)


def test_each_pass_has_one_name_that_scheduler_takes() -> None:
    """Two passes share a name only if they are the same pass: a conflict means that this very timer exists."""
    passes = [("ab", "c", 1), ("a", "bc", 1), ("ab", "c", 2), ("c", "ab", 1), ("ก" * 682, "n" * 1024, 100)]
    known: dict[str, Any] = {"orderId": ORDER, "state": "PENDING", "passes": [], "attempts": 1}
    ids = [{"chargeId": charge, "notificationId": name, "passesDone": number - 1} for charge, name, number in passes]
    names = {schedule_name(Record.model_validate(known | each)) for each in ids * 2}
    assert len(names) == len(passes)
    assert all(re.fullmatch(r"recheck-[0-9a-f]{48}-\d{1,3}", name) for name in names)


def test_request_is_the_templates_own(world: World) -> None:
    """It names what the template makes, and deletes itself; events/recheck.json is such an input."""
    world.deliver()
    request, target = timer(world), timer(world)["Target"]
    assert request["GroupName"] == world.resources["ScheduleGroup"]["Properties"]["Name"] == "payment3-recheck-dev"
    assert target["Arn"].endswith(":function:" + world.resources["RecheckFunction"]["Properties"]["FunctionName"])
    assert target["RoleArn"].endswith(":role/stack-SchedulerRole")
    assert target["DeadLetterConfig"]["Arn"].endswith(":stack-RetryQueue")
    assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 3600, "MaximumRetryAttempts": 10}
    assert (request["ActionAfterCompletion"], request["ScheduleExpressionTimezone"]) == ("DELETE", "UTC")
    assert request["FlexibleTimeWindow"] == {"Mode": "OFF"}
    ids = {"version": 1, "chargeId": CHARGE, "notificationId": NOTIFICATION, "orderId": ORDER}
    due = {"pass": 2, "dueAt": world.record()["nextPassDue"]}
    assert json.loads(target["Input"]) == ids | due | CONTEXT
    sent = sample("recheck")
    assert sent["scheduleArn"].endswith("/" + request["Name"])
    world.wait(61)
    assert world.recheck(**sent) == {"state": "DONE", "passesDone": 2}


@pytest.mark.parametrize("keyword", [*CONTEXT.values(), "<aws.scheduler.anything>", "a <b> & c"])
def test_no_id_is_replaced_as_a_keyword_of_schedulers(world: World, keyword: str) -> None:
    """Scheduler replaces its keywords anywhere in the input, yet the saved ids reach Recheck."""
    ids = {"id": f"chrg_{keyword}", "reference_order": keyword}
    world.deliver(event(message(**ids), f"{keyword}-1"))
    arrives = json.loads(re.sub("<aws[^>]*>", "replaced", timer(world)["Target"]["Input"]))
    assert (arrives["chargeId"], arrives["orderId"]) == (ids["id"], keyword)
    assert arrives["executionId"] == "replaced"
    world.now = fires_at(world)
    assert world.recheck(**arrives) == {"state": "DONE", "passesDone": 2}


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=7))])
def test_times_are_utc_and_sort_as_texts(zone: timezone) -> None:
    """In whatever time zone the machine is; the sweep's index sorts by text, so a later time is a greater text."""
    when = datetime(2026, 12, 31, 23, 59, 59, 999_999, tzinfo=zone)
    assert format_utc(when) < format_utc(when + timedelta(microseconds=1))
    assert parse_utc(format_utc(when)) == when
    assert utc_now().utcoffset() == timedelta(0)


@pytest.mark.parametrize("microsecond", [0, 1, 500_000, 700_000, 999_999])
def test_timer_is_never_early_nor_in_the_past(world: World, microsecond: int) -> None:
    """`at()` takes whole seconds: they are rounded up, plus one for clock skew, or two from now where it is late."""
    world.now = world.now.replace(microsecond=microsecond)
    world.deliver()
    due = parse_utc(world.record()["nextPassDue"])
    assert timedelta(seconds=1) <= fires_at(world) - due < timedelta(seconds=2)
    world.fire()
    world.now = due - timedelta(microseconds=1)
    world.recheck()
    assert timedelta(seconds=2) <= fires_at(world) - world.now < timedelta(seconds=3)


ID = "one line of 1 to 2048 bytes, and no card number"
WRONG: dict[tuple[str, str], list[Any]] = {
    ("event", "a JSON object"): [None, [], "text", 5],
    ("version", "1"): [2, 0, "1", None, True, 1.0],
    ("chargeId", ID): ["", "a\nb", "c" * 2049, None, "4111111111111111"],
    ("notificationId", ID): ["", "n" * 1025, 5],
    ("orderId", ID): ["", 5, None, "4111111111111111"],
    ("pass", "a number from 1 to 100"): [0, "2", True, 101],
    ("dueAt", "a UTC time such as 2026-01-31T12:00:00Z"): [1, "soon", "2026-11-22T09:31:17", None],
}


@pytest.mark.parametrize(("field", "expected", "value"), [(*about, value) for about in WRONG for value in WRONG[about]])
def test_recheck_refuses_wrong_input(field: str, expected: str, value: object) -> None:
    """The error names the field and what was expected, for a person who typed it; values at the bounds are valid."""
    typed = value if field == "event" else sample("recheck") | {field: value}
    refused = fails(InvalidTimer, TimerInput.parse, typed, InvalidTimer)
    assert (refused.field, str(refused)) == (field, f"{field}: expected {expected}")
    for bounds in ({"orderId": "1"}, {"orderId": "o" * 2048, "pass": 100, "dueAt": "2026-01-31T12:00:00Z"}):
        assert TimerInput.parse(sample("recheck") | bounds, InvalidTimer)


def test_refused_timer_is_reported_and_runs_nothing(world: World) -> None:
    """Whether a person typed it or another program sent it: a row and a mail, and no pass."""
    fails(InvalidTimer, world.recheck, version="planted")
    fails(NotificationNotFound, world.recheck, notificationId="never-saved")
    assert {row["errorType"] for row in world.errors()} == {"InvalidTimer", "NotificationNotFound"}
    texts = str([row["traceback"] for row in world.errors()])
    assert (len(world.mails()), world.passes(), "planted" in texts) == (2, [], False)
