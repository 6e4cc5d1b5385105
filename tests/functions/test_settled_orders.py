"""The ladder: where the shop names the settled statuses, the order's status decides how long the follow-up goes on."""

import pytest

from callback.errors import GaveUp, PassFailed
from callback.table import format_utc, parse_utc
from tests.support.aws import ORDER, World
from tests.support.lambda_model import Died
from tests.support.recorded_calls import refuse
from tests.support.steps import HOUR, WAITING, dies, fails, only, throttle

READ = "dynamodb.GetItem"
DELAYS = (60, 300, 1800)


@pytest.fixture
def ladder(world: World) -> World:
    """Four passes, two statuses that settle an order, and an order that is still pending."""
    world.cold_start(RECHECK_DELAYS=", ".join(map(str, DELAYS)), SETTLED_ORDER_STATUSES="PAID, SHIPPED,")
    world.order(status="PENDING")
    return world


def climb(world: World, passes: int) -> None:
    """Deliver, let the timers up to this pass fire, and wait until the next pass is due."""
    world.deliver()
    for number in range(2, passes + 2):
        assert [name[-1] for name in world.schedules()] == [str(number)] * (number < 5)
        world.fire()
        world.wait(DELAYS[min(number, 4) - 2] + 1)
        if number <= passes:
            world.recheck(number)


def test_settled_order_ends_the_ladder_and_creates_no_timer(ladder: World) -> None:
    """The n-th delay is the wait before pass n + 1; once the order is settled the follow-up is DONE."""
    climb(ladder, 2)
    assert parse_utc(ladder.record()["nextPassDue"]) == ladder.now
    ladder.order(status="SHIPPED")
    assert ladder.recheck(3) == {"state": "DONE", "passesDone": 3}
    assert ladder.schedules() == []
    assert not WAITING & set(ladder.record())
    assert len(ladder.record()["passes"]) == 3


def test_two_passes_are_run_whatever_the_orders_status(ladder: World) -> None:
    """The promise is two passes: pass 1 does not read the order, and a settled order still gets its second pass."""
    ladder.order(status="PAID")
    climb(ladder, 1)
    assert not any("#status" in request["ProjectionExpression"] for request in ladder.wire.of(READ))
    assert ladder.recheck(2) == {"state": "DONE", "passesDone": 2}


@pytest.mark.parametrize("status", ["PENDING", None])
def test_plan_that_ends_unsettled_is_failed_and_loud_until_a_replay(ladder: World, status: str | None) -> None:
    """It is reported once, before it is written, even if the process dies; a replay runs one pass more each time."""
    ladder.order(status=status)
    climb(ladder, 3)
    ladder.wire.before["dynamodb.UpdateItem"] = only("record the pass", dies)
    fails(Died, ladder.recheck, 4)
    ladder.wire.before.clear()
    ladder.wait(91)
    assert ladder.record()["state"] == "PENDING"
    assert ladder.recheck(4) == {"state": "FAILED", "passesDone": 4}
    record, row = ladder.record(), ladder.error()
    assert record["failedAt"] == format_utc(ladder.now)
    assert record["lastError"] == f"OrderUnsettled: pass 4: the plan is over, and the order's status is {status}"
    assert (row["errorType"], row["functionName"], row["orderId"]) == ("OrderUnsettled", "recheck", ORDER)
    assert ladder.recheck(4) == {"state": "FAILED", "passesDone": 4}  # a second timer of the last pass runs nothing
    assert (len(ladder.passes()), len(ladder.mails()), len(ladder.metrics("Failed"))) == (5, 1, 1)
    throttle(ladder)
    fails(GaveUp, ladder.recheck, 5)  # it waits for a person again, and not for hours
    assert ladder.recheck(5) == {"state": "FAILED", "passesDone": 5}
    assert len(ladder.mails()) == 2
    ladder.order(status="PAID")
    assert ladder.recheck(6) == {"state": "DONE", "passesDone": 6}
    assert not WAITING & set(ladder.record())


def test_order_that_cannot_be_read_fails_the_pass(ladder: World) -> None:
    """An unknown status settles nothing: the pass is tried again, but not for ever; a replay continues the plan."""
    climb(ladder, 1)
    ladder.wire.before[READ] = refuse("ThrottlingException", times=2)
    for error, seconds, state in ((PassFailed, 72 * HOUR, "PENDING"), (GaveUp, 0, "FAILED")):
        assert "the order could not be read" in str(fails(error, ladder.recheck, 2))
        assert (ladder.record()["state"], ladder.record()["passesDone"]) == (state, 1)
        ladder.wait(seconds)
    assert ladder.recheck(2) == {"state": "PENDING", "passesDone": 2}
    assert [name[-1] for name in ladder.schedules()] == ["3"]
