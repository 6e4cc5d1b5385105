"""The model of what AWS does around the handlers keeps the rules that it states."""

from datetime import timedelta

import pytest

from tests.cloud import DELAYED_NOTIFY, EVERY, PRECISION, RETRIES, Cloud
from tests.wire import refuse
from tests.world import World, sample


def delivered(world: World, timer: str = "once", *, redelivers: bool = True) -> Cloud:
    """Deliver a notification and come to rest."""
    world.cold_start(RECHECK_DELAYS="60")
    cloud = Cloud(world, redelivers=redelivers, timer=timer)
    cloud.accept(DELAYED_NOTIFY, sample("authorized"), "Notify")
    cloud.rest()
    return cloud


def test_failed_event_is_tried_after_one_and_two_minutes_more(world: World) -> None:
    """L1, L3: three attempts at 0, 1 and 3 minutes, then the whole request lies in the function's own queue."""
    world.wire.before["dynamodb.PutItem"] = refuse("InternalServerError", times=3)
    began = world.now
    [letter] = delivered(world).letters
    assert letter.payload == sample("authorized")
    assert (letter.queue, letter.at) == ("DelayedNotifyFailureQueue", began + sum(RETRIES, timedelta()))
    assert len(world.wire.of("dynamodb.PutItem")) == 3


def test_event_without_retries_goes_straight_to_its_queue(world: World) -> None:
    """L3: an event that grew too old has one attempt or none, and its letter."""
    world.wire.before["dynamodb.PutItem"] = refuse("InternalServerError")
    assert len(delivered(world, redelivers=False).letters) == 1
    assert len(world.wire.of("dynamodb.PutItem")) == 1


@pytest.mark.parametrize(("timer", "fired"), [("once", 1), ("twice", 2), ("late", 1), ("never", 0), ("refused", 0)])
def test_timer_fires_as_often_as_its_temper_says(world: World, timer: str, fired: int) -> None:
    """S2, S3: whatever the timer does the pass runs once, by it or by the sweep; a refused one leaves a letter."""
    cloud = delivered(world, timer)
    assert [run.number for run in cloud.runs] == [1, 2]
    claims = [r for r in world.wire.of("dynamodb.UpdateItem") if ":lease" in r["ExpressionAttributeValues"]]
    swept = len(world.wire.of("dynamodb.Query")) > 0
    assert len(claims) == fired + swept
    assert [letter.queue for letter in cloud.letters] == ["SchedulerDeadLetterQueue"] * (timer == "refused")


def test_timer_fires_within_its_minute_and_frees_its_name(world: World) -> None:
    """S1, S4: never early, at most 59 s late, and gone afterwards."""
    cloud = delivered(world)
    due = cloud.runs[0].began + timedelta(seconds=60.3)
    assert due <= cloud.runs[1].began <= due + timedelta(seconds=1) + PRECISION
    assert world.schedules() == []


def test_sweep_comes_as_late_as_it_may(world: World) -> None:
    """E1: with no timer the notification waits for the grace and a whole turn of the sweep."""
    cloud = delivered(world, "never")
    due = cloud.runs[0].began + timedelta(seconds=60.3)
    assert cloud.runs[1].began == due + timedelta(seconds=120) + EVERY
