"""The short way to moto answers as HTTP does."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from moto.backends import get_backend

from local.emulator import ACCOUNT, REGION
from tests.support.aws import World
from tests.support.fault_scenarios import SCENARIOS, Story
from tests.support.moto_in_process import OPERATIONS, asked_directly, directly, typed
from tests.support.recorded_calls import Answer, RecordedCalls, by_http
from tests.support.without_coverage import without_coverage

# Measuring doubles the time, and what the stories go through is measured elsewhere.
pytestmark = pytest.mark.no_cover


def _outcome(ask: Callable[[], Answer]) -> tuple[Any, ...]:
    answer: Any
    ended: tuple[Any, ...] = ("answered",)
    try:
        answer = ask()
    except ClientError as error:
        answer = error.response
        ended = (answer["Error"]["Code"], type(error), str(error), error.operation_name)
    rows = [typed(item.attrs) for table in _tables().values() for item in table.all_items()]
    unread = ("ResponseMetadata", "ConsumedCapacity")
    return (*ended, {name: value for name, value in answer.items() if name not in unread}, rows)


def _tables() -> dict[str, Any]:
    tables: dict[str, Any] = get_backend("dynamodb")[ACCOUNT][REGION].tables
    return tables


def test_calls_of_the_stories_are_answered_alike(world: World) -> None:
    """Whatever the functions ask, by HTTP and, with what that changed undone, directly: answers and tables match."""
    kinds: set[tuple[str, str]] = set()

    def ask_both(client: BaseClient, operation: str, request: dict[str, Any]) -> Answer:
        if client.meta.service_model.service_name != "dynamodb" or operation not in OPERATIONS:
            return by_http(client, operation, request)
        before = {name: copy.deepcopy(table.items) for name, table in _tables().items()}
        by_the_long_way = _outcome(lambda: by_http(client, operation, request))
        for name, table in _tables().items():
            table.items = copy.deepcopy(before[name])
        with asked_directly(RecordedCalls()):
            assert _outcome(lambda: directly(client, operation, request)) == by_the_long_way
            kinds.add((operation, by_the_long_way[0]))
            for name, table in _tables().items():
                table.items = before[name]
            return directly(client, operation, request)

    world.wire.moto = ask_both
    with without_coverage():
        for name in ("as it should", "it cannot be saved at first", "the order's status is asked for", "it is refused"):
            Story(world, SCENARIOS[name], (True, "twice")).play()
        lost = Story(world, SCENARIOS["as it should"], (True, "twice")).play().points[4]
        assert not Story(world, SCENARIOS["as it should"], (True, "twice")).cell(lost, "answer lost").wrong
    refused = {(operation, "ConditionalCheckFailedException") for operation in ("PutItem", "UpdateItem")}
    assert kinds == {(operation, "answered") for operation in OPERATIONS} | refused
