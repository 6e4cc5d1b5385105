"""What all commands share: the status of a notification, and reads that are consistent and bounded."""

from collections.abc import Callable
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from callback.table import format_utc
from followups.records import read, status
from followups.stack import Stack
from followups.tables import find
from tests.support.aws import ORDER
from tests.support.deployed import Deployed
from tests.support.recorded_calls import Answer, Call

FAILED = {"state": "FAILED", "failedAt": -9}
TIMES = ("nextPassDue", "firstDue", "leaseUntil", "failedAt")


def found(deployed: Deployed, word: str) -> list[str]:
    """The notifications that are found by an id."""
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
        (FAILED | {"nextPassDue": None, "sweepAt": None}, "failed", False),
        (FAILED | {"leaseUntil": 1}, "running", False),
        ({"state": "DONE", "nextPassDue": None, "firstDue": None}, "done", False),
        (FAILED | {"resolvedAt": "2026-11-22T09:30:00Z"}, "resolved", False),
        (FAILED | {"failedShard": 1, "resolvedAt": "2026-11-22T09:30:00Z"}, "failed", False),
        ({"nextPassDue": None}, "spoilt", True),
        ({"leaseUntil": "2026"}, "spoilt", True),
        ({"passes": "two"}, "spoilt", True),
        ({"state": None}, "spoilt", True),
        (dict.fromkeys(("state", "passesDone", "sweepAt", "failedAt")), "foreign", False),
    ],
)
def test_status_is_one_word(deployed: Deployed, changes: dict[str, Any], word: str, *, is_late: bool) -> None:
    """It depends on the record and the time; numbers are seconds from now."""
    now = deployed.world.now
    times = {name: changes[name] for name in TIMES if isinstance(changes.get(name), int)}
    written = {name: format_utc(now + timedelta(seconds=value)) for name, value in times.items()}
    deployed.put_waiting("n", **(changes | written))
    current = status(read(deployed.world.record()), now)
    assert (current.word, current.is_late) == (word, is_late)


def test_read_is_consistent_and_asks_again_for_what_did_not_fit(deployed: Deployed) -> None:
    """An index may lag behind; what is shown does not."""
    for number in range(3):
        deployed.put_waiting(f"n{number}")

    def leave_one(call: Call, effect: Callable[[], Answer]) -> Answer:
        if call.name != "dynamodb.BatchGetItem":
            return effect()
        deployed.world.wire.around = None
        [(table, asked)] = call.request["RequestItems"].items()
        rest = asked | {"Keys": [asked["Keys"].pop()]}
        return effect() | {"UnprocessedKeys": {table: rest}}

    deployed.world.wire.around = leave_one
    assert found(deployed, ORDER) == ["n0", "n1", "n2"]
    requests = deployed.world.wire.of("dynamodb.BatchGetItem")
    asked = [table for request in requests for table in request["RequestItems"].values()]
    assert [(len(table["Keys"]), table["ConsistentRead"]) for table in asked] == [(2, True), (1, True)]


def test_no_read_goes_on_without_a_bound(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search ends, however many pages have no match."""
    monkeypatch.setattr("followups.tables._MOST_PAGES", 2)
    keys = ({"chargeId": {"S": f"{number}"}} for number in count())
    page = {"Items": [], "Count": 0}
    deployed.world.wire.answers["dynamodb.Query"] = lambda _call: page | {"LastEvaluatedKey": next(keys)}
    assert found(deployed, "unknown") == []
    # Of the charge, the order, and four shards of two indexes.
    assert len(deployed.world.wire.of("dynamodb.Query")) == 2 * (2 + 2 * 4)
