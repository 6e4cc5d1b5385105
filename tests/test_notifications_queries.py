"""The queries behind the operators' commands: found by any id, listed by state and time, and no more read than that."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from callback.clock import stamp
from callback.record import SWEEP_SHARDS
from followups.notifications import Listing, Saved, Wanted, found, listed, of_order, one
from followups.stack import Stack
from tests.deployed import Deployed, notification
from tests.wire import Answer, Call
from tests.world import CHARGE, NOTIFICATION, ORDER

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def put(deployed: Deployed, number: int, **changes: Any) -> None:
    """A record whose last pass ended, or is due, so many minutes before NOW."""
    item = {"chargeId": f"charge-{number}", "notificationId": f"id-{number}", "orderId": ORDER, "attempts": 1}
    deployed.world.table("CREDIT_CARD_NOTIFY_TABLE").put_item(
        Item=item | {"passesDone": 1, "state": "PENDING"} | changes
    )


def waits(deployed: Deployed, number: int, minutes: float, **changes: Any) -> None:
    """A record whose pass is due so many minutes before NOW, or after it where that is negative."""
    due = stamp(NOW - timedelta(minutes=minutes))
    put(deployed, number, nextPassDue=due, sweepShard=number % SWEEP_SHARDS, **changes)


def ended(deployed: Deployed, number: int, minutes: float, state: str) -> None:
    """A record that ended so many minutes before NOW."""
    at, shard = stamp(NOW - timedelta(minutes=minutes)), f"{state}#{number % SWEEP_SHARDS}"
    put(deployed, number, endedAt=at, endedShard=shard, state=state)


def numbers(deployed: Deployed, wanted: Wanted, **bounds: Any) -> list[int]:
    """Which records are listed, in order."""
    with deployed.world.wire:
        return [int(saved.charge_id[7:]) for saved in listed(Stack(), Listing(wanted, **bounds), NOW)]


def ask(deployed: Deployed, query: Callable[[Stack, str], list[Saved]], word: str) -> list[Saved]:
    """What a query finds."""
    with deployed.world.wire:
        return query(Stack(), word)


def test_one_is_found_by_each_of_its_ids(deployed: Deployed) -> None:
    """By the order, the charge and the bank's delivery: the same notification, once, as it is now."""
    deployed.world.deliver()
    for word in (ORDER, CHARGE, NOTIFICATION):
        [saved] = ask(deployed, found, word)
        assert saved.ids == {"chargeId": CHARGE, "notificationId": NOTIFICATION, "orderId": ORDER}
        assert (saved.state, saved.passes_done, len(saved.passes)) == ("PENDING", 1, 1)
        assert "body" not in saved.item
    assert ask(deployed, found, "unknown") == []


def test_one_whose_ids_are_all_the_same_is_found_once(deployed: Deployed) -> None:
    """An order id may be another's charge id."""
    put(deployed, 1, chargeId="same", notificationId="same", orderId="same", receivedAt="1")
    assert [saved.charge_id for saved in ask(deployed, found, "same")] == ["same"]


def test_several_are_found_oldest_first(deployed: Deployed) -> None:
    """In the order in which they were received, whatever the index answers."""
    for number in (3, 1, 2):
        deployed.world.deliver(notification(number))
        deployed.world.wait(1)
    for query in (found, of_order):
        ids = [saved.notification_id.removeprefix(NOTIFICATION) for saved in ask(deployed, query, ORDER)]
        assert ids == ["-3", "", "-2"]


def test_read_is_consistent(deployed: Deployed) -> None:
    """The index may be behind, what is shown is not."""
    deployed.world.deliver()
    with deployed.world.wire:
        assert one(Stack(), CHARGE, NOTIFICATION)
        assert one(Stack(), CHARGE, "unknown") is None
    assert all(request["ConsistentRead"] for request in deployed.world.wire.of("dynamodb.GetItem"))


def test_what_waits_is_listed_soonest_first_and_bounded_by_when_it_is_due(deployed: Deployed) -> None:
    """[since, until) of nextPassDue, over all shards; `overdue` is what waits for longer than the grace."""
    for number, minutes in enumerate((10, 1, -5, 30, 2.5)):
        waits(deployed, number, minutes)
    ended(deployed, 9, 1, "FAILED")
    assert numbers(deployed, "pending") == [3, 0, 4, 1, 2]
    assert numbers(deployed, "overdue") == [3, 0, 4]
    bounds = {"since": NOW - timedelta(minutes=10), "until": NOW - timedelta(minutes=1)}
    assert numbers(deployed, "pending", **bounds) == [0, 4]
    assert numbers(deployed, "overdue", **bounds) == [0, 4]
    assert numbers(deployed, "overdue", until=NOW - timedelta(minutes=5)) == [3, 0]
    assert numbers(deployed, "overdue", since=NOW) == []


def test_what_ended_is_listed_latest_first_and_bounded_by_when_it_ended(deployed: Deployed) -> None:
    """[since, until) of endedAt, over all shards, and only of the state that is asked for."""
    for number, minutes in enumerate((10, 1, 30, 5)):
        ended(deployed, number, minutes, "FAILED")
    ended(deployed, 8, 3, "DONE")
    assert numbers(deployed, "failed") == [1, 3, 0, 2]
    assert numbers(deployed, "done") == [8]
    bounds = {"since": NOW - timedelta(minutes=10), "until": NOW - timedelta(minutes=1)}
    assert numbers(deployed, "failed", **bounds) == [3, 0]


@pytest.mark.parametrize("limit", [1, 5, 16, 17, 40])
def test_limit_keeps_the_first_of_all_shards(deployed: Deployed, limit: int) -> None:
    """The very first ones in order, wherever they lie; at most a page of each shard is read in vain."""
    for number in range(60):
        ended(deployed, number * (SWEEP_SHARDS if number % 2 else 1), number, "DONE")
    everything = numbers(deployed, "done")
    items = scanned(deployed, lambda: numbers(deployed, "done", limit=limit))
    assert numbers(deployed, "done", limit=limit) == everything[:limit]
    assert items <= 2 * limit + SWEEP_SHARDS


def test_list_reads_what_it_returns_and_no_more(deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> None:
    """Beside 100,000 finished notifications, 40 that failed and 60 that are overdue: 100 items are read."""
    for number in range(40):
        ended(deployed, number, number, "FAILED")
    for number in range(60):
        waits(deployed, 100 + number, 3 + number)
    deployed.world.finished(100_000)
    deployed.world.now = NOW
    items = scanned(deployed, lambda: deployed.run("list"))
    rows = len(capsys.readouterr().out.splitlines())
    with capsys.disabled():
        print(f"\nlist beside 100,000 finished: {items} items read, {rows} rows printed")  # noqa: T201 - asked for
    assert items == rows == 100


def scanned(deployed: Deployed, act: Callable[[], object]) -> int:
    """How many items DynamoDB reads while something is asked."""
    read = [0]

    def watch(call: Call, effect: Callable[[], Answer]) -> Answer:
        answer = effect()
        assert call.name in {"dynamodb.Query", "cloudformation.DescribeStacks"}
        read[0] += answer.get("ScannedCount", 0)
        return answer

    deployed.world.wire.around = watch
    with deployed.world.wire:
        act()
    deployed.world.wire.around = None
    return read[0]


def test_overdue_is_told_by_the_grace_of_the_sweep() -> None:
    """Two minutes after it was due, and only while it waits."""
    saved = Saved({"state": "PENDING", "nextPassDue": stamp(NOW - timedelta(seconds=121))})
    assert saved.is_overdue(NOW)
    assert not saved.is_overdue(NOW - timedelta(seconds=2))
    assert not Saved(saved.item | {"state": "FAILED"}).is_overdue(NOW)
