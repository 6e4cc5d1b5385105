"""Waiting: when a failed pass is due again, and how a notification ends that failed for too long."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from callback.errors import GaveUp, PassFailed
from callback.table import format_utc, parse_utc
from tests.functions.test_flow import WAITING, dies, once, only, unreachable
from tests.support.aws import World, sample
from tests.support.lambda_model import Died
from tests.support.recorded_calls import Call, refuse

HOUR = 3600


@pytest.fixture
def failing(world: World) -> World:
    """A notification whose pass 1 has failed once, as every further attempt will."""
    begin_outage(world)
    with pytest.raises(PassFailed):
        world.deliver()
    return world


def begin_outage(world: World) -> None:
    """Let ProcessPaidOrder fail from now on."""
    world.wire.before["lambda.Invoke"] = refuse("TooManyRequestsException", times=1000)


def end_outage(world: World) -> None:
    """Let it work again."""
    del world.wire.before["lambda.Invoke"]


def attempt(world: World, error: type[BaseException] = PassFailed, number: int = 1) -> None:
    """Let one more attempt fail."""
    with pytest.raises(error):
        world.recheck(number)


@pytest.mark.parametrize(
    ("minutes", "least", "most"),
    [(1, 60, 60), (4, 60, 60), (8, 96, 120), (20, 240, 300), (40, 480, 600), (4000, 480, 600)],
)
def test_wait_is_a_quarter_of_the_time_since_the_pass_was_first_due(
    failing: World, minutes: int, least: int, most: int
) -> None:
    """Between 1 and 10 minutes, with jitter; when the pass was first due does not move."""
    first = failing.record()["firstDue"]
    failing.wait(minutes * 60)
    attempt(failing)
    record = failing.record()
    assert least <= (parse_utc(record["nextPassDue"]) - failing.now).total_seconds() <= most
    assert timedelta() <= parse_utc(record["sweepAt"]) - parse_utc(record["nextPassDue"]) <= timedelta(seconds=1)
    assert record["firstDue"] == first == record["receivedAt"]
    assert failing.log()[-1]["RecheckLateness"] == minutes * 60


def test_notifications_of_one_outage_come_back_one_after_the_other(world: World) -> None:
    """What failed at the same time is not due again at the same time."""
    begin_outage(world)
    for name in ("authorized", "declined", "http-api-v2"):
        with pytest.raises(PassFailed):
            world.deliver(sample(name))
    world.wait(HOUR)
    for row in world.rows("CREDIT_CARD_NOTIFY_TABLE"):
        with pytest.raises(PassFailed):
            world.recheck(1, chargeId=row["chargeId"], notificationId=row["notificationId"])
    assert len({row["nextPassDue"] for row in world.rows("CREDIT_CARD_NOTIFY_TABLE")}) == 3


def test_nobody_counts_attempts(failing: World) -> None:
    """Time ends a follow-up, not the number of attempts; the first edition's MAX_ATTEMPTS is ignored."""
    failing.cold_start(MAX_ATTEMPTS="1")
    for _ in range(20):
        failing.wait(HOUR)
        attempt(failing)
    assert (failing.record()["state"], failing.record()["attempts"]) == ("PENDING", 21)


@pytest.mark.parametrize("hours", [1, 72])
def test_pass_is_given_up_after_so_many_hours(failing: World, hours: int) -> None:
    """The record is FAILED, out of the sweep's index and in that of what waits for a person, who gets a mail."""
    failing.cold_start(GIVE_UP_AFTER_HOURS=str(hours))
    failing.wait(hours * HOUR - 1)
    attempt(failing)
    failing.wait(601)
    attempt(failing, GaveUp)
    record = failing.record()
    assert record["state"] == "FAILED"
    assert WAITING & set(record) == {"firstDue", "failedAt", "failedShard"}
    assert record["failedAt"] == format_utc(failing.now)
    assert record["lastError"].startswith("GaveUp: pass 1: ")
    assert "could not be invoked" in record["lastError"]
    assert [row["errorType"] for row in failing.errors()] == ["PassFailed", "GaveUp"]
    assert "FAILED" in failing.mails()[-1]["Message"]["Subject"]["Data"]
    assert failing.log()[-1]["Failed"] == 1


@pytest.mark.parametrize(
    ("proved", "hours", "unproved", "ends"),
    [("valid", 72, 48, 72), ("missing", 72, 48, 48), ("invalid", 72, 24, 24), ("unverifiable", 24, 48, 24)],
)
def test_unproved_notification_is_given_up_sooner(
    world: World, proved: str, hours: int, unproved: int, ends: int
) -> None:
    """What anybody can send is tried for a shorter time, and its end is counted apart."""
    begin_outage(world)
    if proved == "unverifiable":
        world.wire.before["secretsmanager.GetSecretValue"] = refuse("InternalServiceError")
    event = {"missing": "missing-checksum", "invalid": "wrong-checksum"}.get(proved, "authorized")
    world.cold_start(GIVE_UP_AFTER_HOURS=str(hours), UNPROVED_GIVE_UP_AFTER_HOURS=str(unproved))
    with pytest.raises(PassFailed):
        world.deliver(sample(event))
    record = world.record()
    assert record["checksumStatus"] == proved
    ids = {"chargeId": record["chargeId"], "notificationId": record["notificationId"]}
    world.wait(ends * HOUR - 1)
    with pytest.raises(PassFailed):
        world.recheck(1, **ids)
    world.wait(601)
    with pytest.raises(GaveUp):
        world.recheck(1, **ids)
    assert world.log()[-1]["Failed" if proved == "valid" else "FailedUnproved"] == 1
    assert (world.record()["failedShard"] < 12) is (proved == "valid")


def _answer_is_lost(_call: Call) -> None:
    raise ReadTimeoutError(endpoint_url="a test")


@pytest.mark.parametrize(
    ("when", "hook", "raised"),
    [
        ("before", dies, Died),
        ("after", dies, Died),
        ("before", unreachable, GaveUp),
        ("after", _answer_is_lost, GaveUp),
    ],
    ids=["dies before it", "dies after it", "is refused", "answer is lost"],
)
def test_end_is_reported_once_whatever_becomes_of_its_write(
    failing: World, when: str, hook: Callable[[Call], Any], raised: type[BaseException]
) -> None:
    """It is reported first and ended then: no end is silent, and none is mailed twice."""
    failing.wait(72 * HOUR)
    hooks = getattr(failing.wire, when)
    hooks["dynamodb.UpdateItem"] = only("end in FAILED", hook)
    attempt(failing, raised)
    del hooks["dynamodb.UpdateItem"]
    failing.wait(91)
    if failing.record()["state"] == "PENDING":
        attempt(failing, GaveUp)
    assert failing.record()["state"] == "FAILED"
    assert [row["errorType"] for row in failing.errors()] == ["PassFailed", "GaveUp"]
    assert sum("FAILED" in mail["Message"]["Subject"]["Data"] for mail in failing.mails()) == 1


def test_each_pass_has_its_own_time(failing: World) -> None:
    """Pass 2 is given up 72 h after it was first due, whatever pass 1 took."""
    failing.wait(71 * HOUR)
    end_outage(failing)
    failing.recheck(1)
    begin_outage(failing)
    failing.wait(61 + 71 * HOUR)
    attempt(failing, PassFailed, 2)
    failing.wait(HOUR)
    attempt(failing, GaveUp, 2)
    assert (failing.record()["state"], failing.record()["passesDone"]) == ("FAILED", 1)


def test_failed_notification_can_be_replayed(failing: World) -> None:
    """A replay that fails leaves it FAILED without a second mail; one that works takes up the plan again."""
    failing.wait(72 * HOUR)
    attempt(failing, GaveUp)
    mails, failed_at = len(failing.mails()), failing.record()["failedAt"]
    failing.wait(60)
    attempt(failing, GaveUp)
    assert (failing.record()["state"], len(failing.mails())) == ("FAILED", mails)
    assert failing.record()["failedAt"] > failed_at
    end_outage(failing)
    once(failing, "lambda.Invoke", lambda _: failing.recheck(1))
    assert failing.recheck(1) == {"state": "PENDING", "passesDone": 1}
    assert [line["outcome"] for line in failing.log()[-2:]] == ["claimed", "completed"]
    assert len(failing.schedules()) == 1
    assert WAITING & set(failing.record()) == {"nextPassDue", "firstDue", "sweepShard", "sweepAt"}
    failing.wait(61)
    assert failing.recheck(2) == {"state": "DONE", "passesDone": 2}
    assert not WAITING & set(failing.record())
