"""The timer: its name, its time, its request; and Recheck's input."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callback.clock import moment, stamp, utc_now
from callback.errors import InvalidRecheck
from callback.rechecks import RecheckInput
from callback.schedule import schedule_name
from callback.shape import MAX_ID, MAX_SORT_ID
from tests.template import resolved
from tests.wire import Call
from tests.world import CHARGE, NOTIFICATION, ORDER, PARAMETERS, World, sample

_IDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60)


@given(_IDS, _IDS, st.integers(1, 100))
def test_name_is_one_that_scheduler_takes(charge: str, notification: str, number: int) -> None:
    """Whatever the ids, the name fits Scheduler's 64 characters and its alphabet."""
    assert re.fullmatch(r"recheck-[0-9a-f]{48}-\d{1,3}", schedule_name(charge, notification, number))


@given(st.tuples(_IDS, _IDS, st.integers(1, 100)), st.tuples(_IDS, _IDS, st.integers(1, 100)))
def test_name_is_one_to_one(one: tuple[str, str, int], other: tuple[str, str, int]) -> None:
    """Two passes share a name only if they are the same pass: else a conflict could not mean `armed already`."""
    assert (schedule_name(*one) == schedule_name(*other)) == (one == other)


def test_ids_that_join_alike_have_names_of_their_own() -> None:
    """`ab` + `c` is not `a` + `bc`."""
    assert schedule_name("ab", "c", 1) != schedule_name("a", "bc", 1)


def test_longest_ids_make_a_valid_request(world: World) -> None:
    """Ids as long as the table's keys allow still fit every request."""
    event = sample("authorized")
    event["body"] = json.dumps(json.loads(event["body"]) | {"id": "c" * MAX_ID, "reference_order": "o" * MAX_ID})
    event["requestContext"]["requestId"] = "r" * MAX_SORT_ID
    world.deliver(event)
    assert len(world.schedules()) == 1


def test_request_is_the_templates_own(world: World) -> None:
    """The timer names the function, role, group and dead-letter queue that the template makes."""
    world.deliver()
    [request] = world.wire.of("scheduler.CreateSchedule")
    resources = resolved(**PARAMETERS)
    target = request["Target"]
    assert request["GroupName"] == resources["ScheduleGroup"]["Properties"]["Name"] == "payment3-recheck-dev"
    assert target["Arn"].endswith(":function:" + resources["RecheckFunction"]["Properties"]["FunctionName"])
    assert target["RoleArn"].endswith(":role/stack-SchedulerRole")
    assert target["DeadLetterConfig"]["Arn"].endswith(":stack-SchedulerDeadLetterQueue")
    assert request["ActionAfterCompletion"] == "DELETE"
    assert request["FlexibleTimeWindow"] == {"Mode": "OFF"}
    assert request["ScheduleExpressionTimezone"] == "UTC"
    assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 3600, "MaximumRetryAttempts": 10}


def test_input_is_what_the_readme_states(world: World) -> None:
    """The timer's input: version, ids, pass, due time, and Scheduler's own context attributes."""
    world.deliver()
    [request] = world.wire.of("scheduler.CreateSchedule")
    assert json.loads(request["Target"]["Input"]) == {
        "version": 1,
        "chargeId": CHARGE,
        "notificationId": NOTIFICATION,
        "orderId": ORDER,
        "pass": 2,
        "dueAt": world.record()["nextPassDue"],
        "scheduleArn": "<aws.scheduler.schedule-arn>",
        "scheduledTime": "<aws.scheduler.scheduled-time>",
        "executionId": "<aws.scheduler.execution-id>",
        "attemptNumber": "<aws.scheduler.attempt-number>",
    }


@given(st.datetimes(datetime(2026, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - a bound
def test_stamps_sort_as_time_does(when: datetime) -> None:
    """The sweep's index sorts by text: a later moment has a greater stamp, and reads back the same."""
    later = when + timedelta(microseconds=1)
    assert stamp(when) < stamp(later)
    assert moment(stamp(when)) == when


def test_clock_is_utc() -> None:
    """Every time that is written is UTC, whatever the machine's zone."""
    assert utc_now().utcoffset() == timedelta(0)
    assert stamp(utc_now()).endswith("Z")


@pytest.mark.parametrize("microsecond", [0, 1, 500_000, 700_000, 999_999])
def test_timer_is_never_early(world: World, microsecond: int) -> None:
    """`at()` knows whole seconds only: it is rounded up, by less than one."""
    world.now = world.now.replace(microsecond=microsecond)
    world.deliver()
    due = moment(world.record()["nextPassDue"])
    assert due <= _at(world) < due + timedelta(seconds=1)


def test_timer_is_never_in_the_past(world: World) -> None:
    """A retry that comes as the pass falls due still arms a time to come."""

    def as_it_falls_due(_call: Call) -> None:
        world.wait(60)

    world.wire.after["dynamodb.UpdateItem"] = as_it_falls_due
    world.deliver()
    assert timedelta(seconds=2) <= _at(world) - world.now < timedelta(seconds=3)


def test_recheck_sample_is_what_scheduler_would_send(world: World) -> None:
    """events/recheck.json runs the second pass of events/authorized.json, under the name its schedule had."""
    event = sample("recheck")
    world.deliver()
    assert event["scheduleArn"].endswith("/" + world.schedules()[0])
    world.wait(60)
    assert world.recheck(**event) == {"state": "DONE", "passesDone": 2}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"version": 2}, "version"),
        ({"version": 0}, "version"),
        ({"version": "1"}, "version"),
        ({"version": None}, "version"),
        ({"chargeId": ""}, "chargeId"),
        ({"chargeId": "é"}, "chargeId"),
        ({"chargeId": "c" * 2049}, "chargeId"),
        ({"notificationId": None}, "notificationId"),
        ({"notificationId": "n" * 1025}, "notificationId"),
        ({"version": True}, "version"),
        ({"version": 1.0}, "version"),
        ({"orderId": 5}, "orderId"),
        ({"orderId": ""}, "orderId"),
        ({"orderId": "o" * 2049}, "orderId"),
        ({"dueAt": 1}, "dueAt"),
        ({"pass": 0}, "pass"),
        ({"pass": "2"}, "pass"),
        ({"pass": True}, "pass"),
        ({"pass": 101}, "pass"),
        ({"dueAt": "soon"}, "dueAt"),
        ({"dueAt": "2026-11-22T09:31:17"}, "dueAt"),
    ],
)
def test_recheck_refuses_what_does_not_validate(world: World, changes: dict[str, Any], field: str) -> None:
    """A wrong input names the field and what was expected; it is reported, and no pass runs."""
    world.deliver()
    world.wait(60)
    with pytest.raises(InvalidRecheck, match=f"^{field}: expected .") as refused:
        world.recheck(**changes)
    assert refused.value.field == field
    assert "None" not in str(refused.value)
    assert len(world.passes()) == 1
    assert len(world.mails()) == 1


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("version", "1"),
        ("orderId", "1 to 2048 characters"),
        ("pass", "a number from 1 to 100"),
        ("dueAt", "a UTC time such as 2026-01-31T12:00:00Z"),
    ],
)
def test_refusal_tells_who_replays_by_hand_what_to_write(world: World, field: str, expected: str) -> None:
    """The message is the manual of the one who typed the input."""
    with pytest.raises(InvalidRecheck) as refused:
        world.recheck(2, **{field: None})
    assert str(refused.value) == f"{field}: expected {expected}"


@pytest.mark.parametrize(
    "changes", [{"orderId": "1"}, {"orderId": "o" * 2048}, {"pass": 100}, {"dueAt": "2026-01-31T12:00:00Z"}], ids=str
)
def test_recheck_takes_what_the_readme_allows(world: World, changes: dict[str, Any]) -> None:
    """The shortest and the longest order id, the last number, a time of whole seconds; the record alone counts."""
    world.deliver()
    world.wait(60)
    assert world.recheck(**changes)["passesDone"] in {1, 2}


@pytest.mark.parametrize("anything", [None, [], "text", 5])
def test_recheck_refuses_what_is_no_object(anything: object) -> None:
    """An input that is no JSON object is refused as a whole."""
    with pytest.raises(InvalidRecheck, match="event: expected a JSON object"):
        RecheckInput.read(anything, InvalidRecheck)


def _at(world: World) -> datetime:
    [request] = world.wire.of("scheduler.CreateSchedule")
    return datetime.strptime(request["ScheduleExpression"], "at(%Y-%m-%dT%H:%M:%S)").replace(tzinfo=UTC)
