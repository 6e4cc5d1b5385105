"""The model of what AWS does around the handlers keeps the rules that it states.

Its waits and timers are in docs/failure-table.md and docs/outages.md, to the second, where tests notice a change.
"""

import json
from datetime import timedelta

from tests.support.aws import World, sample
from tests.support.lambda_model import DELAYED_NOTIFY, SWEEP


def test_letter_that_no_receive_helps_goes_to_the_failure_queue(world: World) -> None:
    """Q1, Q2: as often as the redrive policy says, a visibility timeout apart; the whole request is kept."""
    down = {"CreditCardNotifyTable": "denied", SWEEP: "down"}
    model = world.model(outage=lambda name: down.get(name, ""))
    assert model.rules.max_receives == 360
    model.rules = model.rules._replace(max_receives=3)
    model.accept(DELAYED_NOTIFY, sample("authorized"), "Notify")
    began = world.now
    model.run(began + timedelta(hours=1))
    [letter] = model.queues["FailureQueue"]
    assert model.queues["RetryQueue"] == []
    assert (letter.received, letter.sent) == (3, began + timedelta(minutes=3))
    assert json.loads(letter.body)["requestPayload"] == sample("authorized")


def test_function_that_runs_too_long_is_ended(world: World) -> None:
    """L5: hanging calls that add up to more than the function's timeout end its process."""
    model = world.model(behaviour=lambda _number: "slow", outage=lambda name: "hanging" * (name == "order table"))
    world.wire.before["dynamodb.UpdateItem"] = lambda _call: world.wait(31)
    model.accept(DELAYED_NOTIFY, sample("authorized"), "Notify")
    model.run(world.now)
    assert model.errors == [(DELAYED_NOTIFY, "Died")]
