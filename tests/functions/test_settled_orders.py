"""The ladder: where the shop says which statuses are settled, the order itself says how long the follow-up goes on."""

from datetime import timedelta
from typing import Any

import pytest

from callback.errors import GaveUp, PassFailed
from callback.table import format_utc
from tests.functions.test_flow import WAITING, dies, only
from tests.support.aws import ORDER, World
from tests.support.lambda_model import Died
from tests.support.recorded_calls import refuse

READ = "dynamodb.GetItem"
DELAYS = (60, 300, 1800)


@pytest.fixture
def ladder(world: World) -> World:
    """Four passes, and two statuses that settle an order; it is still pending."""
    world.cold_start(RECHECK_DELAYS=",".join(map(str, DELAYS)), SETTLED_ORDER_STATUSES="PAID,SHIPPED")
    world.order(status="PENDING")
    return world


def reads(world: World) -> list[dict[str, Any]]:
    """What was read of the order table for its status."""
    return [request for request in world.wire.of(READ) if "#status" in request["ProjectionExpression"]]


def climb(world: World, passes: int) -> None:
    """Deliver, and let the timers of so many passes fire."""
    world.deliver()
    for number in range(2, passes + 1):
        rise(world, number)
        world.recheck(number)


def rise(world: World, number: int) -> None:
    """Wait until a pass is due."""
    world.wait(DELAYS[number - 2] + 1)
    world.fire()


def test_settled_order_ends_the_ladder_and_creates_no_timer(ladder: World) -> None:
    """Once the order says so the follow-up is DONE, and the record lists what was run."""
    climb(ladder, 2)
    assert [name[-1] for name in ladder.schedules()] == ["3"]
    ladder.order(status="SHIPPED")
    rise(ladder, 3)
    assert ladder.recheck(3) == {"state": "DONE", "passesDone": 3}
    assert ladder.schedules() == []
    assert not WAITING & set(ladder.record())
    assert len(ladder.record()["passes"]) == 3


def test_two_passes_are_run_whatever_the_order_says(ladder: World) -> None:
    """The promise is two passes: an order that is settled at pass 1 still gets its second pass."""
    ladder.order(status="PAID")
    ladder.deliver()
    assert reads(ladder) == []
    assert ladder.record()["state"] == "PENDING"
    rise(ladder, 2)
    assert ladder.recheck(2) == {"state": "DONE", "passesDone": 2}


def test_plan_that_ends_unsettled_is_failed_and_loud(ladder: World) -> None:
    """All passes completed and the order still open: FAILED with its reason, one mail, one count, for a person."""
    climb(ladder, 4)
    record = ladder.record()
    assert (record["state"], record["passesDone"], record["failedAt"]) == ("FAILED", 4, format_utc(ladder.now))
    assert record["lastError"].startswith("OrderUnsettled: pass 4")
    assert "PENDING" in record["lastError"]
    assert len(ladder.mails()) == len(ladder.metrics("Failed")) == 1
    assert (ladder.error()["errorType"], ladder.error()["functionName"]) == ("OrderUnsettled", "recheck")
    assert ladder.error()["orderId"] == ORDER


def test_process_that_dies_at_the_unsettled_end_leaves_it_loud(ladder: World) -> None:
    """It is reported first and ended then; the pass runs again, and nobody is mailed twice."""
    climb(ladder, 3)
    rise(ladder, 4)
    ladder.wire.before["dynamodb.UpdateItem"] = only("record the pass", dies)
    with pytest.raises(Died):
        ladder.recheck(4)
    ladder.wire.before.clear()
    ladder.wait(91)
    assert ladder.recheck(4) == {"state": "FAILED", "passesDone": 4}
    assert len(ladder.mails()) == 1


def test_replay_of_an_unsettled_order_runs_one_pass_more(ladder: World) -> None:
    """The operator's replay runs one pass beyond the plan, and the order's status then decides."""
    climb(ladder, 4)
    assert ladder.recheck(4) == {"state": "FAILED", "passesDone": 4}  # a second timer of the last pass runs nothing
    assert (len(ladder.passes()), len(ladder.mails())) == (4, 1)
    assert ladder.recheck(5) == {"state": "FAILED", "passesDone": 5}
    assert len(ladder.mails()) == 2
    ladder.order(status="PAID")
    assert ladder.recheck(6) == {"state": "DONE", "passesDone": 6}
    assert not WAITING & set(ladder.record())


def test_order_without_status_or_row_is_not_settled(world: World) -> None:
    """An order that nobody wrote yet is the very case for another pass."""
    world.cold_start(RECHECK_DELAYS="60,300", SETTLED_ORDER_STATUSES="PAID")
    climb(world, 2)
    assert world.record()["state"] == "PENDING"
    world.order(status=None)
    rise(world, 3)
    assert world.recheck(3) == {"state": "FAILED", "passesDone": 3}


def test_order_that_cannot_be_read_fails_the_pass(ladder: World) -> None:
    """Unknown is neither settled nor not: the pass is due again, and nothing is decided."""
    ladder.deliver()
    rise(ladder, 2)
    ladder.wire.before[READ] = refuse("ThrottlingException")
    with pytest.raises(PassFailed, match="the order could not be read"):
        ladder.recheck(2)
    assert (ladder.record()["state"], ladder.record()["passesDone"]) == ("PENDING", 1)
    ladder.wait(60)
    assert ladder.recheck(2) == {"state": "PENDING", "passesDone": 2}


def test_order_that_never_can_be_read_ends_failed(ladder: World) -> None:
    """Not even that goes on for ever; a replay takes up the plan where it ended."""
    ladder.deliver()
    ladder.wire.before[READ] = refuse("AccessDeniedException")
    rise(ladder, 2)
    ladder.wait(timedelta(hours=72).total_seconds())
    with pytest.raises(GaveUp):
        ladder.recheck(2)
    assert (ladder.record()["state"], ladder.record()["passesDone"]) == ("FAILED", 1)
    assert ladder.recheck(2) == {"state": "PENDING", "passesDone": 2}
    assert [name[-1] for name in ladder.schedules()] == ["3"]
