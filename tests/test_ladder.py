"""The ladder: where the shop says which statuses are settled, the order itself says how long to look (brief)."""

from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from callback.errors import AttemptsExhausted
from tests.direct import asked_directly
from tests.faults import FAULTS, Scenario, Story
from tests.quietly import quietly
from tests.wire import refuse
from tests.world import ORDER, World

READ = "dynamodb.GetItem"


@pytest.fixture
def ladder(world: World) -> World:
    """Four passes, and two statuses that settle an order; it is still pending."""
    world.cold_start(RECHECK_DELAYS="60,300,1800", SETTLED_ORDER_STATUSES="PAID,SHIPPED")
    world.order(status="PENDING")
    return world


def reads(world: World) -> list[dict[str, Any]]:
    """What was read of the order table for its status."""
    return [r for r in world.wire.of(READ) if "#status" in r["ProjectionExpression"]]


def climb(world: World, passes: int) -> None:
    """Deliver, and let the timers of so many passes fire."""
    world.deliver()
    for number, delay in zip(range(2, passes + 1), (60, 300, 1800), strict=False):
        world.wait(delay)
        world.fire()
        world.recheck(number)


def test_settled_order_ends_the_ladder_and_arms_nothing(ladder: World) -> None:
    """Once the order says so the follow-up is DONE: no further timer exists, and the record lists what was run."""
    climb(ladder, 2)
    assert [name[-1] for name in ladder.schedules()] == ["3"]
    ladder.order(status="SHIPPED")
    ladder.wait(300)
    ladder.fire()
    assert ladder.recheck(3) == {"state": "DONE", "passesDone": 3}
    assert ladder.schedules() == []
    record = ladder.record()
    assert "nextPassDue" not in record
    assert (record["state"], len(record["passes"])) == ("DONE", 3)


def test_two_passes_are_run_whatever_the_order_says(ladder: World) -> None:
    """The promise is two passes: an order that is settled at pass 1 already has its second look."""
    ladder.order(status="PAID")
    ladder.deliver()
    assert reads(ladder) == []
    assert ladder.record()["state"] == "PENDING"
    ladder.wait(60)
    ladder.fire()
    assert ladder.recheck(2) == {"state": "DONE", "passesDone": 2}


def test_plan_that_ends_unsettled_is_failed_and_loud(ladder: World) -> None:
    """All passes completed and the order still open: FAILED with its reason, one mail, one count, for a person."""
    climb(ladder, 4)
    record = ladder.record()
    assert (record["state"], record["passesDone"]) == ("FAILED", 4)
    assert record["lastError"].startswith("OrderUnsettled: unsettled: after pass 4")
    assert "PENDING" in record["lastError"]
    assert len(ladder.mails()) == len(ladder.metrics("Failed")) == 1
    assert ladder.error()["errorType"] == "OrderUnsettled"
    assert (ladder.error()["orderId"], ladder.error()["functionName"]) == (ORDER, "recheck")


def test_unsettled_pass_is_not_run_again_by_a_retry(ladder: World) -> None:
    """Its pass was completed: a repeat of its timer runs nothing and tells nothing a second time."""
    climb(ladder, 4)
    assert ladder.recheck(4) == {"state": "FAILED", "passesDone": 4}
    assert len(ladder.passes()) == 4
    assert len(ladder.mails()) == 1


def test_replay_of_an_unsettled_order_looks_once_more(ladder: World) -> None:
    """The operator's replay runs one pass beyond the plan, and the order's status then decides."""
    climb(ladder, 4)
    assert ladder.recheck(5) == {"state": "FAILED", "passesDone": 5}
    assert len(ladder.mails()) == 2
    ladder.order(status="PAID")
    assert ladder.recheck(6) == {"state": "DONE", "passesDone": 6}
    assert ladder.record()["endedShard"].startswith("DONE#")


def test_order_without_status_or_row_is_not_settled(world: World) -> None:
    """An order that nobody wrote yet is the very case for another look."""
    world.cold_start(RECHECK_DELAYS="60,60", SETTLED_ORDER_STATUSES="PAID")
    climb(world, 2)
    assert world.record()["state"] == "PENDING"
    world.order(status=None)
    world.wait(300)
    assert world.recheck(3) == {"state": "FAILED", "passesDone": 3}


def test_unset_statuses_read_no_order(world: World) -> None:
    """Exactly today's two passes, and not one call more."""
    climb(world, 2)
    assert reads(world) == []
    assert world.record()["state"] == "DONE"


def test_order_that_cannot_be_read_fails_the_pass(ladder: World) -> None:
    """Unknown is neither settled nor not: the pass is given back, tried again, and nothing is decided."""
    ladder.deliver()
    ladder.wait(60)
    ladder.wire.before[READ] = refuse("ThrottlingException")
    with pytest.raises(ClientError):
        ladder.recheck(2)
    record = ladder.record()
    assert (record["state"], record["passesDone"]) == ("PENDING", 1)
    assert record["lastError"].startswith("ClientError")
    assert "leaseUntil" not in record
    assert ladder.recheck(2) == {"state": "PENDING", "passesDone": 2}


def test_order_that_never_can_be_read_ends_failed(ladder: World) -> None:
    """Not even that goes on for ever: after the last attempt it is FAILED as any pass is."""
    ladder.cold_start(MAX_ATTEMPTS="1")
    ladder.deliver()
    ladder.wait(60)
    ladder.wire.before[READ] = refuse("AccessDeniedException")
    with pytest.raises(AttemptsExhausted):
        ladder.recheck(2)
    assert (ladder.record()["state"], ladder.record()["passesDone"]) == ("FAILED", 1)


def test_replay_of_a_failed_pass_goes_on_up_the_ladder(ladder: World) -> None:
    """A notification that failed half way is brought back into the plan, out of what has ended."""
    ladder.cold_start(MAX_ATTEMPTS="1")
    ladder.deliver()
    ladder.wait(60)
    ladder.wire.before["lambda.Invoke"] = refuse("TooManyRequestsException")
    with pytest.raises(AttemptsExhausted):
        ladder.recheck(2)
    assert ladder.record()["endedShard"].startswith("FAILED#")
    ladder.fire()
    assert ladder.recheck(2) == {"state": "PENDING", "passesDone": 2}
    assert not {"endedAt", "endedShard"} & set(ladder.record())
    assert [name[-1] for name in ladder.schedules()] == ["3"]


@pytest.mark.parametrize("state", ["DONE", "FAILED"])
def test_end_is_kept_with_its_time_where_operators_list_it(world: World, state: str) -> None:
    """The index `ended` is by state, spread over shards, and by the moment it ended."""
    world.cold_start(MAX_ATTEMPTS="1")
    world.deliver()
    world.wait(60)
    if state == "FAILED":
        world.wire.before["lambda.Invoke"] = refuse("TooManyRequestsException")
        with pytest.raises(AttemptsExhausted):
            world.recheck()
    else:
        world.recheck()
    record = world.record()
    assert record["endedShard"].split("#")[0] == state
    assert record["endedAt"] == f"{world.now:%Y-%m-%dT%H:%M:%S.%f}Z"


@pytest.mark.parametrize("fault", FAULTS)
def test_unsettled_end_is_never_silent_whatever_fails(world: World, fault: str) -> None:
    """Whatever call of the last pass fails: the notification ends FAILED and told, and a replay brings it back."""
    scenario = Scenario(settings={"SETTLED_ORDER_STATUSES": "PAID"}, settles=3, patience=timedelta(minutes=1))
    with quietly(), asked_directly(world.wire):
        points = Story(world, scenario, (True, "once")).told().points
        cells = [Story(world, scenario, (True, "once")).cell(p, fault) for p in points if p[0] == "Recheck"]
    assert len(cells) > 6
    assert [cell for cell in cells if cell.wrong] == []
    assert {cell.end for cell in cells} == {"FAILED"}
