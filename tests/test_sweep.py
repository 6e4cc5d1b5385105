"""The sweep: what no timer did is found, oldest first, and handed to Recheck; what has had its attempts ends loudly."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from callback.clock import stamp
from callback.errors import SweepIncomplete
from callback.mail_limit import MAILS_AN_HOUR
from callback.record import SWEEP_SHARDS
from callback.sweep import GRACE, PER_SHARD
from tests.test_template import alarms
from tests.wire import Answer, Call, refuse
from tests.world import CHARGE, NOTIFICATION, ORDER, World, sample

LONG_AGO = GRACE + timedelta(minutes=10)


def swept(world: World) -> list[dict[str, Any]]:
    """Run the sweep, and return what it handed to Recheck."""
    handed: list[dict[str, Any]] = []
    paid = world.wire.answers["lambda.Invoke"]

    def invoke(call: Call) -> Answer:
        if call.request.get("InvocationType") != "Event":
            return paid(call)
        handed.append(json.loads(call.request["Payload"]))
        return {"StatusCode": 202}

    world.wire.answers["lambda.Invoke"] = invoke
    try:
        world.sweep()
    finally:
        world.wire.answers["lambda.Invoke"] = paid
    return handed


def overdue(world: World, number: int = 1, **changes: Any) -> dict[str, Any]:
    """Put a notification there whose pass 2 should have run long ago; None takes an attribute away."""
    row = {
        "chargeId": f"chrg_test_{number}",
        "notificationId": f"n-{number}",
        "orderId": f"ORDER-{number}",
        "state": "PENDING",
        "passesDone": 1,
        "attempts": 1,
        "attemptsBefore": 1,
        "passes": [],
        "sweepShard": number % SWEEP_SHARDS,
        "nextPassDue": stamp(world.now - LONG_AGO + timedelta(seconds=number)),
    } | changes
    row = {name: value for name, value in row.items() if value is not None}
    world.table("CREDIT_CARD_NOTIFY_TABLE").put_item(Item=row)
    return row


def row_of(world: World, number: int = 1) -> dict[str, Any]:
    """The record of an overdue notification."""
    [row] = [row for row in world.rows("CREDIT_CARD_NOTIFY_TABLE") if row["notificationId"] == f"n-{number}"]
    return row


def test_overdue_notification_is_handed_to_recheck_which_ends_it(world: World) -> None:
    """A timer that never fired: the sweep asks Recheck, asynchronously, for the very pass that is missing."""
    world.deliver()
    due = world.record()["nextPassDue"]
    world.wait(60 + GRACE.total_seconds() + 1)
    [asked] = swept(world)
    ids = {"chargeId": CHARGE, "notificationId": NOTIFICATION, "orderId": ORDER}
    assert asked == {"version": 1, **ids, "pass": 2, "dueAt": due}
    assert world.recheck(**asked) == {"state": "DONE", "passesDone": 2}


def test_what_a_timer_may_still_do_is_left_to_it(world: World) -> None:
    """Within the grace the sweep hands nothing over, nor what is DONE, nor what somebody is at."""
    world.deliver()
    world.wait(60 + GRACE.total_seconds() - 1)
    assert swept(world) == []
    overdue(world, 1, leaseUntil=stamp(world.now + timedelta(seconds=1)))
    world.recheck()
    world.wait(0)
    assert swept(world) == []


def test_numbers_are_those_of_the_readme() -> None:
    """More than 2 minutes overdue, the oldest 100 of each of the 16 shards, 20 mails an hour."""
    assert timedelta(minutes=2) == GRACE
    assert [PER_SHARD, SWEEP_SHARDS, MAILS_AN_HOUR] == [100, 16, 20]


def test_ended_lease_is_no_lease(world: World) -> None:
    """Whoever held the claim is dead: the notification is handed over."""
    overdue(world, 1, leaseUntil=stamp(world.now))
    assert [asked["notificationId"] for asked in swept(world)] == ["n-1"]


def test_oldest_come_first_and_a_run_is_bounded(world: World) -> None:
    """Each shard gives its oldest 100: one run ends in time, and the next one goes on."""
    for number in range(PER_SHARD + 5, 0, -1):
        overdue(world, number, sweepShard=3)
    handed = [asked["notificationId"] for asked in swept(world)]
    assert handed == [f"n-{number}" for number in range(1, PER_SHARD + 1)]


def test_every_shard_is_swept(world: World) -> None:
    """A notification is found wherever it is spread to."""
    for number in range(SWEEP_SHARDS):
        overdue(world, number)
    assert {asked["notificationId"] for asked in swept(world)} == {f"n-{number}" for number in range(SWEEP_SHARDS)}


@pytest.mark.parametrize(
    "spoilt",
    [
        {"orderId": None},
        {"passesDone": "one"},
        {"passesDone": 100},
        {"attempts": None},
        {"state": None},
        {"chargeId": "chrg_tést"},
        {"nextPassDue": "1999"},
        {"nextPassDue": "0"},
        {"nextPassDue": "1999-01-01"},
        {"nextPassDue": "1999-01-01T00:00:00"},
        {"nextPassDue": "0001-01-01T00:00:00+14:00"},
        {"nextPassDue": "0001-01-01T00:00:00Z"},
        {"attempts": [1]},
    ],
    ids=str,
)
def test_spoilt_record_ends_loudly_and_starves_nobody(world: World, spoilt: dict[str, Any]) -> None:
    """A record that Recheck could not read is FAILED, told and out of the way; the one after it is handed over."""
    overdue(world, 1, sweepShard=5, **spoilt)
    overdue(world, 2, sweepShard=5)
    assert [asked["notificationId"] for asked in swept(world)] == ["n-2"]
    row = row_of(world)
    assert row["state"] == "FAILED"
    assert not {"sweepShard", "nextPassDue"} & set(row)
    assert world.error()["errorType"] == "InvalidRecord"
    assert world.error()["functionName"] == "sweep"
    assert "is FAILED" in world.mails()[0]["Message"]["Body"]["Text"]["Data"]


def test_shard_that_cannot_be_read_does_not_stop_the_others(world: World) -> None:
    """The sweep does what it can, and then fails loudly: Lambda tries again, and an alarm sees it."""
    overdue(world, 9)
    world.wire.before["dynamodb.Query"] = refuse("ProvisionedThroughputExceededException")
    with pytest.raises(SweepIncomplete, match="1 part"):
        swept(world)
    assert world.wire.of("lambda.Invoke")[0]["FunctionName"].endswith(":payment3-recheck-dev")
    assert world.log("shard 0 could not be read")
    assert world.error()["errorType"] == "SweepIncomplete"


def test_refused_hand_over_does_not_stop_the_others(world: World) -> None:
    """Each notification is dealt with apart."""
    for number in (1, 2, 3):
        overdue(world, number)
    world.wire.before["lambda.Invoke"] = refuse("TooManyRequestsException")
    with pytest.raises(SweepIncomplete, match="1 part"):
        swept(world)
    assert len(world.wire.of("lambda.Invoke")) == 3


def test_unreachable_service_ends_no_sweep_halfway(world: World) -> None:
    """Botocore's own errors, too, are one part of the sweep that could not be done."""
    overdue(world, 9)
    world.wire.before["dynamodb.Query"] = _once_unreachable(world)
    with pytest.raises(SweepIncomplete, match="1 part"):
        swept(world)
    assert len(world.wire.of("lambda.Invoke")) == 1


def test_last_attempt_that_died_ends_failed_and_loud(world: World) -> None:
    """Nobody reported the attempt that died: the sweep ends the notification, with a row, a mail and a metric."""
    overdue(world, 1, attempts=31, leaseUntil=stamp(world.now), claimId="of the dead")
    overdue(world, 2)
    assert [asked["notificationId"] for asked in swept(world)] == ["n-2"]
    row, error = row_of(world), world.error()
    assert (row["state"], row["lastError"][:17]) == ("FAILED", "AttemptsExhausted")
    assert not {"sweepShard", "nextPassDue", "leaseUntil", "claimId"} & set(row)
    assert error["errorType"] == "AttemptsExhausted"
    assert (error["orderId"], error["chargeId"], error["notificationId"]) == ("ORDER-1", "chrg_test_1", "n-1")
    [mail] = world.mails()
    assert "followups replay ORDER-1 --stack" in mail["Message"]["Body"]["Text"]["Data"]


def test_attempts_of_an_earlier_pass_do_not_count(world: World) -> None:
    """Only the attempts at the missing pass end a notification."""
    overdue(world, 1, attempts=31, attemptsBefore=2)
    assert len(swept(world)) == 1
    assert row_of(world)["state"] == "PENDING"


@pytest.mark.parametrize(
    "meanwhile",
    [{"leaseUntil": "2027"}, {"nextPassDue": "2027"}, {"nextPassDue": None}],
    ids=["claimed", "moved on", "done"],
)
def test_notification_that_moved_on_is_not_ended(world: World, meanwhile: dict[str, Any]) -> None:
    """The index may lag behind the record: the write that ends a notification looks again."""
    overdue(world, 1, attempts=31)

    def changed(_call: Call) -> None:
        world.wire.after.clear()
        with world.wire.aside():
            overdue(world, 1, attempts=31, **meanwhile)

    world.wire.after["dynamodb.Query"] = _on_last_shard(changed)
    counts = world.sweep()
    assert (counts["failed"], counts["leased"]) == (0, 1)
    assert row_of(world)["state"] == "PENDING"


def test_failed_by_the_last_attempt_has_a_mail_of_its_own(world: World) -> None:
    """The first failure was mailed long ago: that nothing tries any more is news, and says how to replay."""
    world.cold_start(MAX_ATTEMPTS="2")
    world.wire.before["lambda.Invoke"] = refuse("TooManyRequestsException", times=3)
    for _ in range(3):
        with pytest.raises(Exception, match="could not be invoked"):
            world.deliver()
    first, last = world.mails()
    assert "Lambda tries again" in first["Message"]["Body"]["Text"]["Data"]
    assert "nothing tries again" in last["Message"]["Body"]["Text"]["Data"]
    assert {row["errorType"] for row in world.errors()} == {"PassFailed", "AttemptsExhausted"}


def test_sweep_tells_the_age_of_the_oldest(world: World) -> None:
    """The metric that the alarm watches: 0 where nothing is overdue, else the age of the oldest, leased ones too."""
    swept(world)
    overdue(world, 1, nextPassDue=stamp(world.now - timedelta(seconds=1000)), leaseUntil="2027")
    overdue(world, 2, nextPassDue=stamp(world.now - timedelta(seconds=400)))
    swept(world)
    assert [told["OldestOverdue"] for told in world.metrics("OldestOverdue")] == [0, 1000]


def test_failed_is_counted_where_the_alarm_looks(world: World) -> None:
    """One for each notification that ended, from whichever function."""
    overdue(world, 1, attempts=31)
    swept(world)
    world.cold_start(MAX_ATTEMPTS="1")
    world.wire.before["lambda.Invoke"] = refuse("TooManyRequestsException")
    with pytest.raises(Exception, match="could not be invoked"):
        world.deliver()
    assert [told["Failed"] for told in world.metrics("Failed")] == [1, 1]


@pytest.mark.parametrize("name", ["OldestOverdue", "Failed"])
def test_alarm_watches_the_metric_as_it_is_told(world: World, name: str) -> None:
    """Namespace, dimension and its value in the template are those of the log line, else an alarm watches nothing."""
    overdue(world, 1, attempts=31)
    swept(world)
    [told] = world.metrics(name)
    [declared], [alarm] = told["_aws"]["CloudWatchMetrics"], alarms(name)
    [dimension] = declared["Dimensions"][0]
    assert declared["Namespace"] == alarm["Namespace"]
    assert alarm["Dimensions"] == [{"Name": dimension, "Value": told[dimension]}]


def test_silent_shards_do_not_hide_the_age(world: World) -> None:
    """A sweep that fails in part still tells what it saw."""
    overdue(world, 9)
    world.wire.before["dynamodb.Query"] = refuse("InternalServerError")
    with pytest.raises(SweepIncomplete):
        swept(world)
    [told] = world.metrics("OldestOverdue")
    assert told["OldestOverdue"] > 0


def test_answer_counts_what_was_found(world: World) -> None:
    """Who invokes the sweep by hand, and who reads its log line, sees what it did, even if that was nothing."""
    counts = dict.fromkeys(("overdue", "handedOver", "leased", "failed", "undone"), 0)
    assert world.sweep() == counts
    overdue(world, 1)
    overdue(world, 2, leaseUntil="2027")
    overdue(world, 3, attempts=31)
    counts |= {"overdue": 3, "handedOver": 1, "leased": 1, "failed": 1}
    assert world.sweep() == counts
    assert counts.items() <= world.log("swept")[1].items()


def test_sweep_costs_what_is_overdue_not_what_is_there(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """100,000 finished notifications beside 100 overdue ones: as many items read as without them."""
    for number in range(100):
        overdue(world, number)
    alone = _read(world)
    world.finished(100_000)
    beside = _read(world)
    with capsys.disabled():
        print(f"\nsweep of 100 overdue: {alone}; beside 100,000 finished: {beside}")  # noqa: T201 - the figure is asked for
    assert beside == alone
    assert alone["items"] == 100
    assert alone["requests"] == SWEEP_SHARDS
    assert alone["read units"] <= SWEEP_SHARDS


def _read(world: World) -> dict[str, float]:
    read = {"requests": 0.0, "items": 0.0, "read units": 0.0}

    def watch(call: Call, effect: Callable[[], Answer]) -> Answer:
        answer = effect()
        if call.name == "dynamodb.Query":
            size = sum(len(json.dumps(item)) for item in answer["Items"])
            read["requests"] += 1
            read["items"] += answer["ScannedCount"]
            # DynamoDB's rule: half a unit for each 4 KB begun, of an eventually consistent read
            read["read units"] += 0.5 * max(1, -(-size // 4096))
        return answer

    world.wire.around = watch
    swept(world)
    world.wire.around = None
    return read


def _once_unreachable(world: World) -> Callable[[Call], None]:
    def unreachable(_call: Call) -> None:
        del world.wire.before["dynamodb.Query"]
        raise EndpointConnectionError(endpoint_url="a test")

    return unreachable


def _on_last_shard(hook: Callable[[Call], None]) -> Callable[[Call], None]:
    def chosen(call: Call) -> None:
        if call.request["ExpressionAttributeValues"][":shard"]["N"] == "1":
            hook(call)

    return chosen


def test_sweep_that_cannot_even_begin_is_reported(world: World) -> None:
    """Whatever else fails in the sweep is reported and re-raised like any error."""
    world.wire.before["dynamodb.Query"] = _broken
    with pytest.raises(ZeroDivisionError):
        swept(world)
    assert world.error()["functionName"] == "sweep"


def _broken(_call: Call) -> None:
    raise ZeroDivisionError


def test_recheck_by_the_sweep_is_as_good_as_by_the_timer(world: World) -> None:
    """The events sample of the sweep's own schedule runs it; what it hands over Recheck accepts."""
    world.deliver(sample("declined"))
    world.wait(600)
    [asked] = swept(world)
    assert world.recheck(**asked)["state"] == "DONE"
    with pytest.raises(ClientError):
        world.client("scheduler").get_schedule(Name="none", GroupName=world.environment["SCHEDULE_GROUP"])
