"""The model behind the operators' commands: how each notification stands, found by any id, listed by its state."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from callback.clock import format_utc
from callback.record import SWEEP_SHARDS
from callback.report import error_id
from followups.records import State, read, status
from followups.stack import Stack
from followups.tables import Listing, find, get, listed
from tests.support.aws import CHARGE, NOTIFICATION, ORDER
from tests.support.deployed import Deployed, notification
from tests.support.recorded_calls import Answer, Call


def names(deployed: Deployed, state: State, **bounds: Any) -> list[str]:
    """Which notifications are listed, in order."""
    with deployed.world.wire:
        found = listed(Stack(), Listing(state, **bounds), deployed.world.now)
        return [one.ids["notificationId"] for one in found.rows]


def ask(deployed: Deployed, word: str) -> list[str]:
    """What is found by an id."""
    with deployed.world.wire:
        return [one.ids["notificationId"] for one in find(Stack(), word).rows]


@pytest.mark.parametrize(
    ("changes", "word", "is_late"),
    [
        ({"nextPassDue": 10, "firstDue": 10}, "waiting", False),
        ({"nextPassDue": -119, "firstDue": -119}, "waiting", False),
        ({"nextPassDue": -121, "firstDue": -121}, "overdue", True),
        ({"nextPassDue": 50, "firstDue": -10, "attempts": 2}, "retrying", False),
        ({"nextPassDue": 50, "firstDue": -900, "attempts": 2}, "retrying", True),
        ({"nextPassDue": -121, "firstDue": -900, "attempts": 2}, "overdue", True),
        ({"leaseUntil": 1, "claimId": "c"}, "running", True),
        ({"leaseUntil": -1, "claimId": "c"}, "overdue", True),
        ({"state": "FAILED", "failedAt": -9, "nextPassDue": None, "sweepAt": None}, "failed", False),
        ({"state": "FAILED", "failedAt": -9, "leaseUntil": 1}, "running", False),
        ({"state": "DONE", "nextPassDue": None, "firstDue": None}, "done", False),
        ({"state": "FAILED", "failedAt": -9, "resolvedAt": "2026-11-22T09:30:00Z"}, "resolved", False),
        ({"state": "FAILED", "failedShard": 1, "failedAt": -9, "resolvedAt": "2026-11-22T09:30:00Z"}, "failed", False),
        ({"nextPassDue": None}, "spoilt", True),
        ({"leaseUntil": "2026"}, "spoilt", True),
        ({"passes": "two"}, "spoilt", True),
        ({"state": None}, "spoilt", True),
        (dict.fromkeys(("state", "passesDone", "sweepAt", "failedAt")), "foreign", False),
    ],
)
def test_status_is_one_word(deployed: Deployed, changes: dict[str, Any], word: str, *, is_late: bool) -> None:
    """By the record and the time alone; numbers are seconds from now."""
    now = deployed.world.now
    times = ("nextPassDue", "firstDue", "leaseUntil", "failedAt")
    for name, value in changes.items():
        if name in times and isinstance(value, int):
            changes = changes | {name: format_utc(now + timedelta(seconds=value))}
    deployed.put_waiting("n", **changes)
    [item] = deployed.world.rows("CREDIT_CARD_NOTIFY_TABLE")
    current = status(read(item), now)
    assert (current.word, current.is_late) == (word, is_late)


def test_one_is_found_by_each_of_its_ids(deployed: Deployed) -> None:
    """By the order, the charge and the bank's delivery: the same notification, once, without its body."""
    deployed.world.deliver()
    for word in (ORDER, CHARGE, NOTIFICATION):
        assert ask(deployed, word) == [NOTIFICATION]
    assert ask(deployed, "unknown") == []
    with deployed.world.wire:
        found = get(Stack(), CHARGE, NOTIFICATION)
        assert get(Stack(), CHARGE, "unknown") is None
    assert found
    assert found.ids == {"chargeId": CHARGE, "notificationId": NOTIFICATION, "orderId": ORDER}
    assert "body" not in found.item


def test_delivery_is_found_while_it_waits_or_failed_or_by_its_error(deployed: Deployed) -> None:
    """No index has the delivery's own id: what is done without an error is found by order or charge alone."""
    deployed.put_waiting("waits")
    deployed.put_failed("failed")
    deployed.put_waiting("done", state="DONE", sweepShard=None, sweepAt=None)
    assert [ask(deployed, word) for word in ("waits", "failed", "done")] == [["waits"], ["failed"], []]
    row = {"errorId": error_id("done", "failed", 2), "chargeId": CHARGE}
    deployed.world.table("CALLBACK_ERROR_LOG_TABLE").put_item(Item=row)
    assert ask(deployed, "done") == ["done"]


def test_one_whose_ids_are_all_the_same_is_found_once(deployed: Deployed) -> None:
    """An order id may be another's charge id."""
    deployed.put_waiting("same", chargeId="same", orderId="same")
    assert ask(deployed, "same") == ["same"]


def test_several_are_found_oldest_first(deployed: Deployed) -> None:
    """In the order in which they were received, whatever the index answers."""
    for number in (3, 1, 2):
        deployed.world.deliver(notification(number))
        deployed.world.wait(1)
    assert [id_.removeprefix(NOTIFICATION) for id_ in ask(deployed, ORDER)] == ["-3", "", "-2"]


def test_read_is_consistent_and_reads_what_did_not_fit(deployed: Deployed) -> None:
    """The index may be behind, what is shown is not; what DynamoDB leaves over is asked for again."""
    for number in range(3):
        deployed.put_waiting(f"n{number}")
    rests: list[Any] = [1]

    def leave_one(call: Call, effect: Callable[[], Answer]) -> Answer:
        if call.name != "dynamodb.BatchGetItem" or not rests:
            return effect()
        rests.clear()
        [(table, asked)] = call.request["RequestItems"].items()
        rest = asked | {"Keys": [asked["Keys"].pop()]}
        return effect() | {"UnprocessedKeys": {table: rest}}

    deployed.world.wire.around = leave_one
    assert ask(deployed, ORDER) == ["n0", "n1", "n2"]
    asked = [
        table for call in deployed.world.wire.of("dynamodb.BatchGetItem") for table in call["RequestItems"].values()
    ]
    assert [len(table["Keys"]) for table in asked] == [2, 1]
    assert all(table["ConsistentRead"] for table in asked)


def test_what_waits_is_listed_and_bounded_by_when_it_was_first_due(deployed: Deployed) -> None:
    """[since, until) of firstDue, over all shards; `overdue` is what should have moved on, also what is tried again."""
    for number, minutes in enumerate((10, 1, -5, 30, 2.5)):
        deployed.put_waiting(f"{number}", minutes)
    deployed.put_waiting("5", 40, nextPassDue=format_utc(deployed.world.now + timedelta(minutes=8)), attempts=3)
    deployed.put_failed("9")
    assert names(deployed, "pending") == ["5", "3", "0", "4", "1", "2"]
    assert names(deployed, "overdue") == ["5", "3", "0", "4"]
    now = deployed.world.now
    bounds = {"since": now - timedelta(minutes=10), "until": now - timedelta(minutes=1)}
    assert names(deployed, "pending", **bounds) == names(deployed, "overdue", **bounds) == ["0", "4"]
    assert names(deployed, "overdue", until=now - timedelta(minutes=5), limit=2) == ["5", "3"]
    assert names(deployed, "pending", since=now) == ["2"]
    assert names(deployed, "overdue", since=now, until=now) == []


def test_what_failed_is_listed_latest_first_and_bounded_by_when_it_failed(deployed: Deployed) -> None:
    """[since, until) of failedAt, over all shards; no more is read than the limit."""
    for number, minutes in enumerate((10, 1, 30, 5)):
        deployed.put_failed(f"{number}", minutes)
    deployed.put_waiting("9")
    assert names(deployed, "failed") == ["1", "3", "0", "2"]
    now = deployed.world.now
    bounds = {"since": now - timedelta(minutes=10), "until": now - timedelta(minutes=1)}
    assert names(deployed, "failed", **bounds) == ["3", "0"]
    assert names(deployed, "failed", limit=3) == ["1", "3", "0"]
    [asked] = deployed.world.wire.of("dynamodb.BatchGetItem")[-1]["RequestItems"].values()
    assert len(asked["Keys"]) == 4  # one more tells whether there are more


def test_spoilt_ones_are_listed_whatever_they_hold(deployed: Deployed) -> None:
    """They need a person: no bound that cannot be read hides them."""
    deployed.put_waiting("spoilt", passes="two")
    deployed.put_failed("failed", attempts="many")
    assert names(deployed, "overdue") == names(deployed, "pending") == ["spoilt"]
    assert names(deployed, "failed") == ["failed"]


def test_list_reads_what_it_returns_and_no_more(deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> None:
    """Beside 100,000 finished notifications, 40 failed ones and 60 overdue ones: 100 keys and 100 items."""
    for number in range(40):
        deployed.put_failed(f"f{number}", number)
    for number in range(60):
        deployed.put_waiting(f"w{number}", 3 + number)
    deployed.world.finished(100_000)
    read_keys = [0]

    def watch(call: Call, effect: Callable[[], Answer]) -> Answer:
        answer = effect()
        assert call.service in {"dynamodb", "cloudformation", "sqs"}
        read_keys[0] += answer.get("ScannedCount", 0)
        return answer

    deployed.world.wire.around = watch
    assert deployed.run("list") == 0
    deployed.world.wire.around = None
    assert len(capsys.readouterr().out.splitlines()) == read_keys[0] == 100
    assert len(deployed.world.wire.of("dynamodb.BatchGetItem")) == 2
    assert len(deployed.world.wire.of("dynamodb.Query")) == 2 * SWEEP_SHARDS
