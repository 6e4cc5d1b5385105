"""The model of what AWS does around the handlers keeps the rules that it states."""

import json
from datetime import timedelta
from typing import Any

import pytest

from tests.support.aws import World, sample
from tests.support.lambda_model import DELAYED_NOTIFY, PRECISION, RECHECK, RETRY, RETRY_WAITS, SWEEP, Model
from tests.support.recorded_calls import refuse


def delivered(world: World, **options: Any) -> Model:
    """Deliver a notification and come to rest."""
    model = world.model(**options)
    model.accept(DELAYED_NOTIFY, sample("authorized"), "Notify")
    model.rest()
    return model


def test_failed_event_is_tried_twice_more_and_then_delivered_by_the_retry_queue(world: World) -> None:
    """L1, L3, Q3: attempts after 0, 1 and 3 minutes, then the retry queue's, which leaves no message behind."""
    world.wire.before["dynamodb.PutItem"] = refuse("InternalServerError", times=3)
    began = world.now
    model = delivered(world)
    assert [when - began for when, name, _ in world.lines if name == RETRY] == [
        sum(RETRY_WAITS, timedelta(seconds=0.3))
    ]
    assert len(world.wire.of("dynamodb.PutItem")) == 4
    assert not any(model.queues.values())


def test_letter_that_no_receive_helps_goes_to_the_failure_queue(world: World) -> None:
    """Q1, Q2: as often as the redrive policy says, a visibility timeout apart; the whole request is kept."""
    down = {"CreditCardNotifyTable": "denied", SWEEP: "down"}
    model = world.model(outage=lambda name: down.get(name, ""))
    model.accept(DELAYED_NOTIFY, sample("authorized"), "Notify")
    began = world.now
    model.run(began + timedelta(hours=73))
    [letter] = model.queues["FailureQueue"]
    assert model.queues["RetryQueue"] == []
    assert (letter.received, letter.sent) == (360, began + sum(RETRY_WAITS, timedelta()))
    assert json.loads(letter.body)["requestPayload"] == sample("authorized")


@pytest.mark.parametrize(("timer", "fired"), [("once", 1), ("twice", 2), ("late", 1), ("never", 0), ("refused", 0)])
def test_timer_fires_as_often_as_it_is_set_to(world: World, timer: str, fired: int) -> None:
    """S2, S3: whatever the timer does the pass runs once, by it or by the sweep; a refused one's letter drains."""
    model = delivered(world, timer=timer)
    assert [run.number for run in model.runs] == [1, 2]
    assert [name for _, name, _ in world.lines].count(RECHECK) == fired + bool(model.sweeps)
    sent = [queue for _, metric, queue in model.counts if metric == "NumberOfMessagesSent"]
    assert sent == ["RetryQueue"] * (timer == "refused")
    assert not any(model.queues.values())


def test_timer_fires_within_its_minute_and_frees_its_name(world: World) -> None:
    """S1, S4: never early, at most 59 s after its time, and gone afterwards."""
    first, second = delivered(world).runs
    due = first.began + timedelta(seconds=61.3)
    assert due <= second.began <= due + timedelta(seconds=2) + PRECISION
    assert world.schedules() == []


def test_throttled_function_runs_its_events_once_it_may(world: World) -> None:
    """L6: what Lambda keeps of Recheck comes within 5 minutes after the throttling."""
    ends = world.now + timedelta(hours=1)
    model = delivered(world, outage=lambda name: "throttled" if name == RECHECK and world.now < ends else "")
    assert ends <= model.runs[1].began <= ends + timedelta(minutes=5)
    assert [error for _, error in model.errors] == []


def test_function_that_runs_too_long_is_ended(world: World) -> None:
    """L5: hanging calls that add up to more than the function's timeout end its process."""
    model = world.model(outage=lambda name: "hanging" if name == "order table" else "")
    model.behaviour = lambda _number: "slow"
    world.wire.before["dynamodb.UpdateItem"] = lambda _call: model.wait(timedelta(seconds=31))
    model.accept(DELAYED_NOTIFY, sample("authorized"), "Notify")
    model.now()
    assert model.errors == [(DELAYED_NOTIFY, "Died")]
