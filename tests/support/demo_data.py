"""A stack worth a picture: notifications with a past, which the handlers themselves write at chosen times."""

import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta

from botocore.exceptions import ReadTimeoutError

from callback.errors import PassError
from callback.table import parse_utc
from tests.support.aws import World
from tests.support.lambda_model import Died
from tests.support.recorded_calls import Answer, Call, payload
from tests.support.steps import dies, event, signed

FAILED_ORDER, LATE_ORDER = "ORDER-1984", "ORDER-1989"
_WAITING_SECONDS = (55, 47, 38, 30, 21, 13, 4)  # ago: so long have they waited
_KNOWN = random.Random(7)  # noqa: S311 - the same picture each time
Ids = dict[str, str]


def play(world: World) -> None:
    """Let the last hours happen: two failed, one late, some waiting, one under way."""
    end = world.now
    _fail_for_good(world, "ORDER-1977", end - timedelta(hours=5, minutes=12), ReadTimeoutError(endpoint_url=""))
    _fail_for_good(world, FAILED_ORDER, end - timedelta(minutes=52))
    _be_late(world, LATE_ORDER, end - timedelta(minutes=8, seconds=20), end)
    for number, ago in enumerate(_WAITING_SECONDS):
        _deliver(world, f"ORDER-{2068 + number}", end - timedelta(seconds=ago))
    world.wire.before["lambda.Invoke"] = dies
    with suppress(Died):
        _deliver(world, "ORDER-2075", end - timedelta(seconds=1))
    del world.wire.before["lambda.Invoke"]
    world.now = end


def _deliver(world: World, order: str, at: datetime) -> Ids:
    known = f"{_KNOWN.getrandbits(64):016x}"
    ids = {"chargeId": f"chrg_test_{known}", "orderId": order}
    ids["notificationId"] = f"{known[:8]}-{known[8:12]}-4e0b-9c1d-{known[4:16]}"
    world.now, world.took = at, timedelta(milliseconds=_KNOWN.randint(180, 900))
    body = signed(id=ids["chargeId"], reference_order=order)
    world.deliver(event(body, requestContext={"requestId": ids["notificationId"]}))
    return ids


def _fail_for_good(world: World, order: str, at: datetime, error: Exception | None = None) -> None:
    ids = _deliver(world, order, at - timedelta(hours=72))
    with _failing(world, error):
        for _ in range(3):
            world.now = _next_due(world, ids)
            _recheck(world, ids)
        world.now = at + timedelta(minutes=2)  # the tries in between are left out
        _recheck(world, ids)


def _be_late(world: World, order: str, at: datetime, end: datetime) -> None:
    ids = _deliver(world, order, at)
    with _failing(world):
        while (due := _next_due(world, ids)) < end:
            world.now = due
            _recheck(world, ids)


@contextmanager
def _failing(world: World, error: Exception | None = None) -> Iterator[None]:
    def fail(_call: Call) -> Answer:
        if error:
            raise error
        return payload({"errorMessage": "no stock"}, error="Unhandled")

    works, world.wire.answers["lambda.Invoke"] = world.wire.answers["lambda.Invoke"], fail
    yield
    world.wire.answers["lambda.Invoke"] = works


def _recheck(world: World, ids: Ids) -> None:
    with suppress(PassError):
        world.recheck(2, **ids)


def _next_due(world: World, ids: Ids) -> datetime:
    rows = {row["notificationId"]: row for row in world.rows("CREDIT_CARD_NOTIFY_TABLE")}
    due = parse_utc(rows[ids["notificationId"]]["nextPassDue"])
    return due + timedelta(seconds=_KNOWN.randint(2, 60))
