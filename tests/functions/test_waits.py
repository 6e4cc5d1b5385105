"""Waiting: when a failed pass is due again, and what happens once it has failed for too long."""

from datetime import timedelta

import pytest

from callback.errors import GaveUp, PassFailed
from callback.record import wait_after_failure
from callback.table import format_utc, parse_utc
from tests.support.aws import World, sample
from tests.support.recorded_calls import Call
from tests.support.steps import ENDED, HOUR, WAITING, ends_mailed, fail_pass_1, fails, hangs, once, only, throttle


@pytest.fixture
def failing(world: World) -> World:
    """A notification whose pass 1 has failed once, and whose further attempts fail, too."""
    fail_pass_1(world)
    throttle(world, times=1000)
    return world


WAITS = [(1, 60, 60), (4, 60, 60), (8, 96, 120), (20, 240, 300), (40, 480, 600), (4000, 480, 600)]


@pytest.mark.parametrize(("minutes", "least", "most"), WAITS)
def test_wait_is_a_quarter_of_the_outage(failing: World, minutes: int, least: int, most: int) -> None:
    """It is between 1 and 10 minutes, with jitter; the time at which the pass was first due does not move."""
    failing.wait(minutes * 60)
    fails(PassFailed, failing.recheck, 1)
    record = failing.record()
    assert least <= (parse_utc(record["nextPassDue"]) - failing.now).total_seconds() <= most
    assert timedelta() <= parse_utc(record["sweepAt"]) - parse_utc(record["nextPassDue"]) <= timedelta(seconds=1)
    assert record["firstDue"] == record["receivedAt"]
    assert failing.log()[-1]["RecheckLateness"] == minutes * 60


def test_record_without_its_first_due_time_and_its_verdict_gets_both(failing: World) -> None:
    """Without the time it would never be given up; without a verdict nothing proves it."""
    known = {name: value for name, value in failing.record().items() if name not in {"firstDue", "checksumStatus"}}
    failing.put("CREDIT_CARD_NOTIFY_TABLE", known)
    failing.wait(90)
    fails(PassFailed, failing.recheck, 1)
    assert (failing.record()["firstDue"], failing.log()[-1]["RecheckLateness"]) == (format_utc(failing.now), 30)
    assert failing.passes()[-1]["checksumStatus"] == "missing"


def test_notifications_of_one_outage_come_back_one_after_the_other() -> None:
    """Those that failed at the same time are not due again at the same time."""
    assert len({wait_after_failure(timedelta(hours=1)) for _ in range(9)}) == 9


def test_pass_is_given_up_by_time_and_not_by_attempts_and_can_be_replayed(failing: World) -> None:
    """It ends FAILED, in the index of what needs a person, who gets one mail until a replay works."""
    failing.cold_start(GIVE_UP_AFTER_HOURS="20", MAX_ATTEMPTS="1")  # of the first edition, and ignored
    for _ in range(20):
        failing.wait(HOUR - 1)
        fails(PassFailed, failing.recheck, 1)
    for seconds in (HOUR, 60):
        failing.wait(seconds)
        fails(GaveUp, failing.recheck, 1)
        record = failing.record()
        assert (record["state"], record["failedAt"]) == ("FAILED", format_utc(failing.now))
        assert WAITING & set(record) == ENDED
        assert record["lastError"].startswith("GaveUp: pass 1: given up: ProcessPaidOrder could not be invoked")
        assert sorted(row["errorType"] for row in failing.errors()) == ["GaveUp", "PassFailed"]
        assert (ends_mailed(failing), failing.log()[-1]["Failed"]) == (1, 1)
    once(failing, "lambda.Invoke", lambda _: failing.recheck(1))
    assert failing.recheck(1) == {"state": "PENDING", "passesDone": 1}
    assert [line["outcome"] for line in failing.log()[-2:]] == ["claimed", "completed"]
    assert len(failing.schedules()) == 1
    assert WAITING & set(failing.record()) == {"nextPassDue", "firstDue", "sweepShard", "sweepAt"}
    failing.wait(61)
    assert failing.recheck(2) == {"state": "DONE", "passesDone": 2}
    assert not WAITING & set(failing.record())


ENDS = [("authorized", 72, 48, 72), ("missing-checksum", 72, 48, 48), ("wrong-checksum", 24, 48, 24)]


@pytest.mark.parametrize(("name", "hours", "unproved", "ends"), ENDS)
def test_unproved_payment_is_given_up_sooner(world: World, name: str, hours: int, unproved: int, ends: int) -> None:
    """What anybody can send is tried for a shorter time, and its end has its own metric."""
    world.cold_start(GIVE_UP_AFTER_HOURS=str(hours), UNPROVED_GIVE_UP_AFTER_HOURS=str(unproved))
    fail_pass_1(world, sample(name))
    throttle(world, times=2)
    ids, proved = {about: world.record()[about] for about in ("chargeId", "notificationId")}, name == "authorized"
    world.wait(ends * HOUR - 1)
    fails(PassFailed, world.recheck, 1, **ids)
    world.wait(601)
    fails(GaveUp, world.recheck, 1, **ids)
    assert world.log()[-1]["Failed" if proved else "FailedUnproved"] == 1
    assert (world.record()["failedShard"] < 12) is proved


@pytest.mark.parametrize(
    ("seconds", "wanted", "error"),
    [(60, "record the failed pass", PassFailed), (72 * HOUR, "end in FAILED", GaveUp)],
)
def test_unrecorded_failure_is_raised(failing: World, seconds: float, wanted: str, error: type[Exception]) -> None:
    """An end is mailed before it is written, and once; a failed write is counted, and the pass is tried again."""
    mailed = list[int]()

    def lose(call: Call) -> None:
        mailed.append(ends_mailed(failing))
        hangs(call)

    failing.wait(seconds)
    failing.wire.before["dynamodb.UpdateItem"] = only(wanted, lose)
    fails(error, failing.recheck, 1)
    assert failing.log()[-1]["RecordFailed"] == 1
    del failing.wire.before["dynamodb.UpdateItem"]
    failing.wait(90)
    fails(error, failing.recheck, 1)
    assert (failing.record()["attempts"], [ends_mailed(failing)]) == (3, mailed)
    assert mailed == [int(error is GaveUp)]
