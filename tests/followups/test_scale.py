"""1,000 failed notifications of three causes, and 50 messages in a queue: the tools answer in two seconds."""

import re
import time
from collections.abc import Callable

import pytest

from callback.table import serialize
from followups.board import HOST, application
from followups.stack import FAILURE
from followups.watch import Poller
from tests.followups.conftest import Followups
from tests.support.deployed import Deployed
from tests.support.recorded_calls import Answer, Call

CAUSES = {"PassFailed: out of stock": 700, "GaveUp: pass 2 did not answer": 250, "OrderUnsettled: PENDING": 50}
SECONDS = 2


@pytest.fixture
def full(deployed: Deployed) -> Deployed:
    """The stack described above; DynamoDB is played here, because moto reads the whole table for each shard."""
    for number, cause in enumerate(cause for cause, count in CAUSES.items() for _ in range(count)):
        deployed.put_failed(f"f{number}", number % 540, orderId=f"ORDER-{number}", lastError=cause)
    rows = sorted(deployed.world.rows("CREDIT_CARD_NOTIFY_TABLE"), key=lambda row: str(row["failedAt"]), reverse=True)
    items = {row["notificationId"]: {name: serialize(value) for name, value in row.items()} for row in rows}

    def query(call: Call) -> Answer:
        if call.request["IndexName"] != "failed":
            return {"Items": [], "Count": 0}
        shard = call.request["ExpressionAttributeValues"][":shard"]
        of_shard = [item for item in items.values() if item["failedShard"] == shard]
        begin = int(call.request.get("ExclusiveStartKey", {"place": {"N": "0"}})["place"]["N"])
        end = begin + call.request["Limit"]
        more = {"LastEvaluatedKey": {"place": {"N": str(end)}}} if end < len(of_shard) else {}
        return {"Items": of_shard[begin:end], "Count": len(of_shard[begin:end])} | more

    def batch_get_item(call: Call) -> Answer:
        [(name, asked)] = call.request["RequestItems"].items()
        found = [items[key["notificationId"]["S"]] for key in asked["Keys"]]
        return {"Responses": {name: found}, "UnprocessedKeys": {}}

    def count(call: Call) -> Answer:
        number = "50" if call.request["QueueUrl"] == deployed.urls[FAILURE] else "0"
        others = {"ApproximateNumberOfMessagesNotVisible": "0", "VisibilityTimeout": "720"}
        return {"Attributes": others | {"ApproximateNumberOfMessages": number}}

    answers = {"dynamodb.Query": query, "dynamodb.BatchGetItem": batch_get_item, "sqs.GetQueueAttributes": count}
    deployed.world.wire.answers |= answers
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
