"""100,000 records, 1,000 of them FAILED of three causes, 50 messages in a queue: the tools answer in two seconds."""

import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from callback.table import serialize
from followups.board import HOST, application
from followups.stack import FAILURE
from followups.watch import Poller
from tests.followups.conftest import Followups
from tests.support.aws import CHARGE
from tests.support.deployed import Deployed
from tests.support.recorded_calls import Answer, Call

CAUSES = {"PassFailed: out of stock": 700, "GaveUp: pass 2 did not answer": 250, "OrderUnsettled: PENDING": 50}
KEYS = ("chargeId", "notificationId", "failedShard", "failedAt")
SECONDS = 2


class Table:
    """100,000 typed items with the index `failed`, which is sparse: moto would read all of them for each shard."""

    def __init__(self) -> None:
        done = _item("done", state="DONE", passesDone=2)
        self.items, self.failed = {f"d{number}": done for number in range(99_000)}, list[dict[str, Any]]()
        for number, cause in enumerate(cause for cause, count in CAUSES.items() for _ in range(count)):
            at = f"2026-11-22T{number % 9:02}:00:00.{number:06}Z"
            ended = {"state": "FAILED", "lastError": cause, "failedAt": at, "failedShard": number % 4}
            item = self.items[f"f{number}"] = _item(f"f{number}", **ended)
            self.failed.append({name: item[name] for name in KEYS})
        self.failed.sort(key=lambda key: str(key["failedAt"]["S"]), reverse=True)

    def query(self, call: Call) -> Answer:
        """Answer one page of one shard."""
        shard = call.request["ExpressionAttributeValues"][":shard"]
        keys = [key for key in self.failed if call.request["IndexName"] == "failed" and key["failedShard"] == shard]
        begin = int(call.request.get("ExclusiveStartKey", {"place": {"N": "0"}})["place"]["N"])
        end = begin + call.request["Limit"]
        more = {"LastEvaluatedKey": {"place": {"N": str(end)}}} if end < len(keys) else {}
        return {"Items": keys[begin:end], "Count": len(keys[begin:end])} | more

    def batch_get_item(self, call: Call) -> Answer:
        """Answer all that is asked for."""
        [(name, asked)] = call.request["RequestItems"].items()
        items = [self.items[key["notificationId"]["S"]] for key in asked["Keys"]]
        return {"Responses": {name: items}, "UnprocessedKeys": {}}


def _item(name: str, **changes: Any) -> dict[str, Any]:
    item = {"chargeId": CHARGE, "notificationId": name, "orderId": f"ORDER-{name}", "passesDone": 1, "passes": []}
    item |= {"attempts": 4, "attemptsBefore": 1, "checksumStatus": "valid", "firstDue": "2026-11-22T00:00:00.000000Z"}
    return {attribute: serialize(value) for attribute, value in (item | changes).items()}


@pytest.fixture
def full(deployed: Deployed) -> Deployed:
    """The stack described above."""
    table, counted = Table(), {"ApproximateNumberOfMessagesNotVisible": "0", "VisibilityTimeout": "720"}

    def count(call: Call) -> Answer:
        number = "50" if call.request["QueueUrl"] == deployed.urls[FAILURE] else "0"
        return {"Attributes": counted | {"ApproximateNumberOfMessages": number}}

    deployed.world.wire.answers |= {"dynamodb.Query": table.query, "dynamodb.BatchGetItem": table.batch_get_item}
    deployed.world.wire.answers["sqs.GetQueueAttributes"] = count
    return deployed


@pytest.mark.no_cover  # measuring takes the time that is measured here
def test_tools_answer_within_two_seconds_and_show_three_groups(
    full: Deployed, followups: Followups, poller: Poller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`list`, `watch` and the page fold what failed into its causes, count all of it, and name the messages."""
    monkeypatch.setenv("LINES", "60")
    client, texts = application(poller).test_client(), dict[str, str]()
    views: dict[str, Callable[[], str]] = {
        "list": lambda: followups.in_terminal("list").out,
        "watch": lambda: followups.in_terminal("watch", "--once").out,
        "board": lambda: re.sub("<[^>]+>", "", client.get("/", headers={"Host": HOST}).text),
    }
    for name, view in views.items():
        began = time.process_time()
        texts[name] = view()
        assert time.process_time() - began < SECONDS, name
    assert "… and 600 more." in texts["board"]
    for text in texts.values():
        assert all(f"{count} of this cause" in text for count in CAUSES.values())
        assert text.count("followups replay --state=failed --cause=") == len(CAUSES)
        assert "50 not saved, in FailureQueue" in text
    causes = followups("watch", "--json").objects[0]["failed"]["causes"]
    assert sorted(one["count"] for one in causes) == sorted(CAUSES.values())
    assert all(re.fullmatch(r"\w{6}", one["cause"]) for one in causes)
    # What is printed is read and no more: a hundred in a call, their keys three pages a shard.
    full.world.wire.calls.clear()
    assert len(followups("list", "--state", "failed", "--json").objects) == sum(CAUSES.values())
    assert len(full.world.wire.of("dynamodb.BatchGetItem")) == 10
    assert len(full.world.wire.of("dynamodb.Query")) == 3 * 4
