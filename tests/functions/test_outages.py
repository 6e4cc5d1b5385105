"""An outage of any dependency heals by itself, at the cost in docs/outages.md, and rings where it has to."""

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from itertools import product

import pytest

from tests.support.aws import START, World, worlds
from tests.support.lambda_model import DELAYED_NOTIFY, Model
from tests.support.outages import CASES, FILE, LENGTHS, outage, rings, row
from tests.support.steps import event, message, signed

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
AN_HOUR = ["CreditCardNotifyTable hangs", "ProcessPaidOrder fails", "Recheck is throttled"]
# What need not be noticed for 10 minutes.
QUIET = ["the order table is throttled", "CallbackErrorLogTable fails", "timers never fire", "the sweep does not run"]
QUIET += ["Secrets Manager hangs", "SES fails", "SQS is down", "standard output is closed"]


@pytest.fixture(scope="module")
def shared() -> Iterator[World]:
    """One world for all outages."""
    with worlds() as world:
        yield world


@pytest.mark.parametrize(("length", "case"), [*product(["10 minutes"], CASES), *product(["1 hour"], AN_HOUR)])
def test_outage_heals_by_itself(shared: World, length: str, case: str) -> None:
    """All is done 15 minutes after its end at the latest, without a person and a letter, as in docs/outages.md."""
    ended = outage(shared, CASES[case], *LENGTHS[length])
    assert ended.is_healed(LENGTHS[length][0]), ended
    assert row(case, ended) in FILE.read_text()
    assert case not in QUIET or (ended.mails, ended.rows, ended.retried, ended.alarms) == (0, 0, 0, ()), ended


def play(world: World, bodies: dict[int, object], down: str = "") -> Model:
    """Let these bodies arrive, each at its minute, while something is denied for an hour, until all is at rest."""
    world.empty()
    model = world.model(parallel=True, outage=lambda name: "denied" * (name == down and world.now < START + HOUR))
    for minute, body in bodies.items():
        arrives = partial(model.accept, DELAYED_NOTIFY, event(body, f"n-{minute}"), "Notify")
        model.at(START + minute * MINUTE, arrives)
    model.rest(timedelta(hours=100))
    return model


def test_unreadable_secret_rings_beside_forgeries_that_cannot_be_hashed(shared: World) -> None:
    """If no key was ever read, all is processed, and an alarm rings at 4 payments an hour; strangers cannot ring it."""
    strangers: dict[int, object] = {n: message(amount=None, checksum="0" * 64) for n in range(60)}
    quiet = {name for name, _ in rings(shared, play(shared, strangers))}
    for beside in (strangers, {}):
        model = play(shared, beside | dict.fromkeys(range(0, 60, 15), signed()), "Secrets Manager")
        assert {row["state"] for row in shared.rows("CREDIT_CARD_NOTIFY_TABLE")} == {"DONE"}
        rang = [at for name, at in rings(shared, model) if name not in quiet]
        assert START < max(rang) < START + 35 * MINUTE


def test_nonsense_is_one_letter_and_leaves_the_alarms_able_to_ring(shared: World) -> None:
    """It is refused and kept in the refused queue; the next one, more than an hour later, rings again."""
    model = play(shared, {0: "hello", 150: "hello again"})
    assert {name: len(letters) for name, letters in model.queues.items() if letters} == {"RefusedQueue": 2}
    rang = [name for name, _ in rings(shared, model)]
    assert rang.count("RefusedQueue") == 2
    assert not {"FailureQueue", "RetryQueue", "Refused", "Failed"} & set(rang)
    assert [row["errorType"] for row in shared.errors()] == ["InvalidNotification"] * 2
