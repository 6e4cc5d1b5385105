"""The short way to moto answers as HTTP does."""

import copy
from collections.abc import Callable
from typing import Any

from botocore.client import BaseClient
from botocore.exceptions import ClientError

from tests.support.aws import worlds
from tests.support.fault_scenarios import SCENARIOS, Story
from tests.support.recorded_calls import Answer, backend, by_http, directly


def test_calls_of_the_stories_are_answered_alike() -> None:
    """Whatever the functions ask, by HTTP and, with what that changed undone, directly: answers and tables match."""
    kinds: set[tuple[str, str]] = set()

    def ask_both(client: BaseClient, operation: str, request: dict[str, Any]) -> Answer:
        if "ExpressionAttributeNames" not in request:
            return by_http(client, operation, request)
        tables: dict[str, Any] = backend("dynamodb").tables
        before = {name: copy.deepcopy(table.items) for name, table in tables.items()}
        by_the_long_way = _outcome(lambda: by_http(client, operation, request), tables)
        for name, table in tables.items():
            table.items = copy.deepcopy(before[name])
        assert _outcome(lambda: directly(client, operation, request), tables) == by_the_long_way
        kinds.add((operation, by_the_long_way[0]))
        for name, table in tables.items():
            table.items = before[name]
        return directly(client, operation, request)

    with worlds() as world:
        world.wire.moto = ask_both
        for name in ("as it should", "it cannot be saved at first", "the order's status is asked for", "it is refused"):
            Story(world, SCENARIOS[name], (True, "twice")).play()
        lost = Story(world, SCENARIOS["as it should"], (True, "twice")).play().points[4]
        assert not Story(world, SCENARIOS["as it should"], (True, "twice")).cell(lost, "answer lost").wrong
    refused = {(operation, "ConditionalCheckFailedException") for operation in ("PutItem", "UpdateItem")}
    assert kinds == {(name, "answered") for name in ("GetItem", "PutItem", "Query", "UpdateItem")} | refused


def _outcome(ask: Callable[[], Answer], tables: dict[str, Any]) -> tuple[Any, ...]:
    answer: Any
    ended: tuple[Any, ...] = ("answered",)
    try:
        answer = ask()
    except ClientError as error:
        answer = error.response
        ended = (answer["Error"]["Code"], type(error), str(error), error.operation_name)
    rows = [item.to_regular_json() for table in tables.values() for item in table.all_items()]
    unread = ("ResponseMetadata", "ConsumedCapacity", "message")
    return (*ended, {name: value for name, value in answer.items() if name not in unread}, rows)
