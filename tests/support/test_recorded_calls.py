"""The short way to moto answers as HTTP does."""

import copy
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from tests.support.aws import worlds
from tests.support.failure_table import SCENARIOS, Story
from tests.support.recorded_calls import Answer, backend, by_http, directly


def test_calls_of_the_stories_are_answered_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the functions ask, by HTTP and, with what that changed undone, directly: answers and tables match."""
    kinds, unread = set[tuple[str, str]](), {"ResponseMetadata", "ConsumedCapacity", "message"}

    def ask_both(client: BaseClient, operation: str, request: dict[str, Any]) -> Answer:
        if "ExpressionAttributeNames" not in request:
            return by_http(client, operation, request)
        tables: dict[str, Any] = backend("dynamodb").tables
        before, ended = copy.deepcopy(tables), []
        for ask in (by_http, directly):
            tables |= copy.deepcopy(before)
            refused: ClientError | None = None
            try:
                answer = ask(client, operation, request)
            except ClientError as error:
                refused, answer = error, {**error.response}
            read = {name: value for name, value in answer.items() if name not in unread}
            rows = [item.to_regular_json() for table in tables.values() for item in table.all_items()]
            ended.append((type(refused), str(refused), read, rows))
        assert ended[0] == ended[1]
        kinds.add((operation, type(refused).__name__ if refused else "answered"))
        if refused:
            raise refused
        return answer

    monkeypatch.setattr("tests.support.recorded_calls.directly", ask_both)
    with worlds() as world:
        for name in ("as it should", "it cannot be saved at first", "the order's status is asked for", "it is refused"):
            Story(world, SCENARIOS[name], (True, "twice")).play()
        lost = Story(world, SCENARIOS["as it should"], (True, "twice")).play().points[4]
        assert not Story(world, SCENARIOS["as it should"], (True, "twice")).cell(lost, "answer lost").wrong
    refusals = {(operation, "ConditionalCheckFailedException") for operation in ("PutItem", "UpdateItem")}
    assert kinds == {(name, "answered") for name in ("GetItem", "PutItem", "Query", "UpdateItem")} | refusals
