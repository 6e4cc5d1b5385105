"""What goes wrong around the functions, in virtual time, and what people hear of it."""

from collections.abc import Iterator
from datetime import timedelta
from functools import partial

import pytest

from callback.report import MAILS_AN_HOUR
from tests.functions.test_notification import event, message, signed
from tests.support.aws import World
from tests.support.fault_scenarios import START, USUAL
from tests.support.lambda_model import DELAYED_NOTIFY, Model
from tests.support.outages import outage, rings, worlds

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
# Measuring doubles the time, and what this goes through is measured elsewhere.
pytestmark = pytest.mark.no_cover


@pytest.fixture(scope="module")
def shared() -> Iterator[World]:
    """One world for all stories."""
    with worlds() as world:
        yield world


def play(world: World, bodies: dict[int, object], down: str = "", until: timedelta = HOUR) -> Model:
    """Let these bodies arrive, each at its minute, while something is down; come to rest."""
    world.empty()
    world.now = START
    world.cold_start(**USUAL)
    model = world.model(
        parallel=True, outage=lambda name: "denied" if name == down and world.now < START + until else ""
    )
    for minute, body in bodies.items():
        arrived = event(body, requestContext={"requestId": f"n-{minute}"})
        model.at(START + minute * MINUTE, partial(model.accept, DELAYED_NOTIFY, arrived, "Notify"))
    model.rest(timedelta(hours=100))
    return model


def states(world: World) -> set[str]:
    """How the notifications ended."""
    return {row["state"] for row in world.rows("CREDIT_CARD_NOTIFY_TABLE")}


def test_two_hours_without_process_paid_order_heal_by_themselves(shared: World) -> None:
    """15 minutes after its end all is done; no letter, and a few mails an hour."""
    ended = outage(shared, {"ProcessPaidOrder": "fails"}, 2 * HOUR, 4 * MINUTE)
    assert (ended.done, ended.left, ended.retried) == (ended.sent, 0, 0)
    assert ended.healed <= 15 * MINUTE
    assert ended.mails <= 3 * 2 * MAILS_AN_HOUR["retried"]


@pytest.mark.parametrize("length", [30 * MINUTE, HOUR])
def test_payment_records_that_cannot_be_read_are_noticed_by_nobody(shared: World, length: timedelta) -> None:
    """The notifications name their orders: a warning and a count, no row, mail, letter or alarm."""
    model = play(shared, dict.fromkeys(range(0, 60, 3), signed()), "CardPaymentRecordTable", length)
    assert states(shared) == {"DONE"}
    assert (shared.errors(), shared.mails(), list(rings(shared, model))) == ([], [], [])
    assert not any(model.queues.values())
    warned = [line for _, _, line in shared.lines if line.get("PaymentFailed")]
    assert len(warned) == length // (3 * MINUTE)


def test_unreadable_secret_rings_beside_forgeries_that_cannot_be_hashed(shared: World) -> None:
    """No key was ever read: all is processed, and the alarm is no stranger's to keep ringing."""
    strangers: dict[int, object] = {n: message(amount=None, checksum="0" * 64) for n in range(60)}
    quiet = {name for name, _ in rings(shared, play(shared, strangers))}
    model = play(shared, strangers | dict.fromkeys(range(0, 60, 2), signed()), "Secrets Manager")
    assert states(shared) == {"DONE"}
    rang = dict(rings(shared, model))
    assert set(rang) - quiet
    assert all(rang[name] < START + 20 * MINUTE for name in set(rang) - quiet)


def test_nonsense_is_one_letter_and_leaves_the_alarms_able_to_ring(shared: World) -> None:
    """It is refused, kept where one command discards it, and the next one an hour and more later rings again."""
    model = play(shared, {0: "hello", 150: "hello again"})
    assert {name: len(letters) for name, letters in model.queues.items() if letters} == {"RefusedQueue": 2}
    rang = [name for name, _ in rings(shared, model)]
    assert rang.count("RefusedQueue") == 2
    assert not {"FailureQueue", "RetryQueue", "Refused", "Failed"} & set(rang)
    assert [row["errorType"] for row in shared.errors()] == ["InvalidNotification"] * 2
