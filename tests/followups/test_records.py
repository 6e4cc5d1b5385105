"""The model behind the commands: the status of each notification, found by any id, listed by state."""

from collections.abc import Callable
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from callback.errors import error_id
from callback.table import format_utc
from followups.records import State, read, status
from followups.stack import Stack
from followups.tables import Listing, find, listed
from tests.support.aws import CHARGE, ORDER
from tests.support.deployed import Deployed
from tests.support.recorded_calls import Answer, Call

pytestmark = pytest.mark.usefixtures("few_shards")
FAILED = {"state": "FAILED", "failedAt": -9}
TIMES = ("nextPassDue", "firstDue", "leaseUntil", "failedAt")


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
    """The record and the time alone decide it; numbers are seconds from now."""
    now = deployed.world.now
    times = {name: changes[name] for name in TIMES if isinstance(changes.get(name), int)}
    written = {name: format_utc(now + timedelta(seconds=value)) for name, value in times.items()}
    deployed.put_waiting("n", **(changes | written))
    current = status(read(deployed.world.record()), now)
    assert (current.word, current.is_late) == (word, is_late)


def test_notification_id_finds_what_waits_or_failed_or_has_an_error(deployed: Deployed) -> None:
    """No index has that id: what is done without an error is found by order or charge alone; each is found once."""
    deployed.put_waiting("same", chargeId="same", orderId="same")
    deployed.put_failed("failed")
    deployed.put_waiting("done", state="DONE", sweepShard=None, sweepAt=None)
    assert [ask(deployed, word) for word in ("same", "failed", "done", "unknown")] == [["same"], ["failed"], [], []]
    row = {"errorId": error_id("done", "failed", 2), "chargeId": CHARGE}
    deployed.world.put("CALLBACK_ERROR_LOG_TABLE", row)
    assert ask(deployed, "done") == ["done"]


def test_read_is_consistent_and_asks_again_for_what_did_not_fit(deployed: Deployed) -> None:
    """The index may lag behind, what is shown does not."""
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
    requests = deployed.world.wire.of("dynamodb.BatchGetItem")
    asked = [table for request in requests for table in request["RequestItems"].values()]
    assert [(len(table["Keys"]), table["ConsistentRead"]) for table in asked] == [(2, True), (1, True)]


def test_no_read_goes_on_without_a_bound(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many pages hold nothing that is asked for."""
    monkeypatch.setattr("followups.tables._MOST_PAGES", 2)
    places = count()
    page = {"Items": [], "Count": 0}
    deployed.world.wire.answers["dynamodb.Query"] = lambda _call: (
        page | {"LastEvaluatedKey": {"chargeId": {"S": f"{next(places)}"}}}
    )
    assert ask(deployed, "nobody") == []
    # Of the charge, the order, and four shards of two indexes.
    assert len(deployed.world.wire.of("dynamodb.Query")) == 2 * (2 + 2 * 4)


def test_bounds_include_since_and_exclude_until(deployed: Deployed) -> None:
    """They are of firstDue, for what failed of failedAt; what is tried again counts as overdue, most urgent first."""
    for number, minutes in enumerate((10, 1, -5, 30, 2.5)):
        deployed.put_waiting(f"{number}", minutes)
        if minutes > 0:
            deployed.put_failed(f"f{number}", minutes)
    now = deployed.world.now
    deployed.put_waiting("5", 40, nextPassDue=format_utc(now + timedelta(minutes=8)), attempts=3)

    def names(state: State, **bounds: Any) -> list[str]:
        with deployed.world.wire:
            return [one.ids["notificationId"] for one in listed(Stack(), Listing(state, **bounds), now).rows]

    assert names("pending") == ["5", "3", "0", "4", "1", "2"]
    assert names("overdue") == ["5", "3", "0", "4"]
    assert names("failed") == ["f1", "f4", "f0", "f3"]
    bounds = {"since": now - timedelta(minutes=10), "until": now - timedelta(minutes=1)}
    assert names("pending", **bounds) == names("overdue", **bounds) == ["0", "4"]
    assert names("failed", **bounds) == ["f4", "f0"]
    assert names("overdue", until=now - timedelta(minutes=5), limit=2) == ["5", "3"]
    assert names("pending", since=now) == ["2"]
    assert names("overdue", since=now, until=now) == []
    assert names("failed", limit=2) == ["f1", "f4"]
