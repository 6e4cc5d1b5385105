"""The stories' short way to moto answers as HTTP does."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from moto.backends import get_backend

from local.emulator import ACCOUNT, REGION
from tests.support.aws import World
from tests.support.fault_scenarios import SCENARIOS, Point, Story
from tests.support.moto_in_process import OPERATIONS, asked_directly, directly, typed
from tests.support.recorded_calls import Answer, Wire, by_http
from tests.support.without_coverage import without_coverage

Outcome = tuple[Any, ...]
# Measuring doubles the time, and what the stories go through is measured elsewhere.
pytestmark = pytest.mark.no_cover


@dataclass
class BothWays:
    """Asks moto by HTTP and then, with what that changed undone, directly; keeps what came of each."""

    outcomes: list[tuple[str, Outcome, Outcome]] = field(default_factory=list)

    def __call__(self, client: BaseClient, operation: str, request: dict[str, Any]) -> Answer:
        """Stand in for `by_http`."""
        if client.meta.service_model.service_name != "dynamodb" or operation not in OPERATIONS:
            return by_http(client, operation, request)
        before = _tables()
        by_the_long_way = _outcome(lambda: by_http(client, operation, request))
        _restore(before)
        with asked_directly(Wire()):
            self.outcomes.append((operation, by_the_long_way, _outcome(lambda: directly(client, operation, request))))
            _restore(before)
            return directly(client, operation, request)

    def kinds(self) -> set[tuple[str, str]]:
        """Return which operations were asked, and how they ended."""
        return {(operation, outcome[0]) for operation, outcome, _ in self.outcomes}

    def differences(self) -> list[tuple[str, Outcome, Outcome]]:
        """Return what was answered in two ways."""
        return [both for both in self.outcomes if both[1] != both[2]]


def _outcome(ask: Callable[[], Answer]) -> Outcome:
    answer: Any
    ended: Outcome = ("answered",)
    try:
        answer = ask()
    except ClientError as error:
        answer = error.response
        ended = (answer["Error"]["Code"], type(error), str(error), error.operation_name)
    for unread in ("ResponseMetadata", "ConsumedCapacity"):
        answer.pop(unread, None)
    return (*ended, answer, _rows())


def _rows() -> list[dict[str, Any]]:
    tables = get_backend("dynamodb")[ACCOUNT][REGION].tables.values()
    return [typed(item.attrs) for table in tables for item in table.all_items()]


def _tables() -> dict[str, Any]:
    tables = get_backend("dynamodb")[ACCOUNT][REGION].tables
    return {name: copy.deepcopy(table.items) for name, table in tables.items()}


def _restore(kept: dict[str, Any]) -> None:
    for name, table in get_backend("dynamodb")[ACCOUNT][REGION].tables.items():
        table.items = copy.deepcopy(kept[name])


@pytest.fixture
def both(world: World) -> Iterator[BothWays]:
    """Two ways to moto, in a world."""
    both = BothWays()
    world.wire.moto = both
    with without_coverage():
        yield both


def test_calls_of_the_stories_are_answered_alike(both: BothWays, world: World) -> None:
    """For each purpose that a call of theirs can have, one whose answer is lost: answers and tables are the same."""
    known: set[tuple[str, str]] = set()
    for scenario in list(SCENARIOS.values())[:5]:
        story = Story(world, scenario, (True, "twice")).told()
        for point in _fresh(story.points, known):
            assert not Story(world, scenario, (True, "twice")).cell(point, "answer lost").wrong
    assert both.differences() == []
    refused = {(operation, "ConditionalCheckFailedException") for operation in ("PutItem", "UpdateItem")}
    assert both.kinds() == {(operation, "answered") for operation in OPERATIONS} | refused


def _fresh(points: list[Point], known: set[tuple[str, str]]) -> Iterator[Point]:
    for point in points:
        if point[:2] not in known:
            known.add(point[:2])
            yield point
