"""Rows that another hand has spoilt: generated, with a value of any type in any attribute, or without it."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from moto.dynamodb.comparisons import OpGreaterThanOrEqual, OpLessThanOrEqual

from callback.errors import FollowUpError
from tests.functions.test_sweep import overdue, rows, swept
from tests.support.aws import World, made
from tests.support.fault_scenarios import START, USUAL
from tests.support.recorded_calls import listening
from tests.support.without_coverage import without_coverage

HOUR = timedelta(hours=1)
# Measuring doubles the time, and what this goes through is measured elsewhere.
pytestmark = pytest.mark.no_cover
# No search for a smaller example, which takes minutes.
MANY = settings(
    max_examples=10, phases=[Phase.explicit, Phase.reuse, Phase.generate], suppress_health_check=list(HealthCheck)
)

_TEXTS = st.text(st.characters(codec="utf-8"), max_size=9)
_NUMBERS = st.integers(-(10**37), 10**37) | st.sampled_from([-1, 0, 1, 2, 99, 100, Decimal("1.5"), Decimal("1E-100")])
_PLAIN = st.none() | st.booleans() | _NUMBERS | _TEXTS | st.binary(max_size=9)
_SETS: list[st.SearchStrategy[Any]] = [
    st.sets(each, min_size=1, max_size=2)
    for each in (st.text("ab", min_size=1, max_size=3), st.integers(0, 99), st.binary(min_size=1, max_size=3))
]
_INNER = st.lists(_PLAIN, max_size=2) | st.dictionaries(st.text("ab", min_size=1), _PLAIN, max_size=2)
ANYTHING = st.one_of(_PLAIN, _INNER, st.lists(_INNER, max_size=2), *_SETS)
# What DynamoDB itself sees to: the keys of the table and of its indexes are texts, and not empty.
KEYS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20) | st.sampled_from(
    ["a\nb", "4111111111111111", " "]
)
ATTRIBUTES = ["state", "checksumStatus", "checksumForm", "passesDone", "passes", "attempts", "attemptsBefore"]
ATTRIBUTES += [
    "nextPassDue",
    "firstDue",
    "leaseUntil",
    "claimId",
    "lastError",
    "body",
    "bodyDigest",
    "amount",
    "currency",
]
ATTRIBUTES += ["status", "transactionState", "note", "receivedAt", "expiresAt"]
SPOILT = st.dictionaries(st.sampled_from(ATTRIBUTES), st.just(...) | ANYTHING, min_size=1, max_size=3)
SPOILT |= st.fixed_dictionaries({"orderId": st.just(...) | KEYS}) | st.fixed_dictionaries({"chargeId": KEYS})


def comparing_as_dynamodb(operator: Any) -> Callable[[Any, Any], bool]:
    """What is of two types is neither less nor greater; moto raises, or takes true for 1."""
    compare = operator.expr

    def compared(self: Any, item: Any) -> bool:
        given = [side.expr(item) for side in (self.lhs, self.rhs)]
        numbers = [isinstance(value, int | float | Decimal) and not isinstance(value, bool) for value in given]
        return (all(numbers) or all(isinstance(value, str) for value in given)) and bool(compare(self, item))

    return compared


@pytest.fixture(scope="module")
def shared() -> Iterator[Callable[[], World]]:
    """One world for all; it asks moto by HTTP, which alone knows every type."""
    with pytest.MonkeyPatch.context() as patch:
        wire = listening(patch)
        for operator in (OpLessThanOrEqual, OpGreaterThanOrEqual):
            patch.setattr(operator, "expr", comparing_as_dynamodb(operator))
        with made(wire, patch) as world, without_coverage():
            yield lambda: world  # hypothesis would print a world whole


def begin(world: World, spoilt: list[dict[str, Any]]) -> None:
    """Put spoilt rows and a good one behind them into one shard."""
    world.empty()
    world.now = START
    world.cold_start(**USUAL)
    for number, changes in enumerate([*spoilt, {}]):
        overdue(world, number, hours=2, **{"sweepShard": 3} | changes)


def sweep_until_all_is_ended(world: World) -> None:
    """Let sweeps hand over what is due, and Recheck run it."""
    while any("sweepAt" in row for row in rows(world).values()):
        assert world.now < START + HOUR
        for asked in swept(world):
            with suppress(FollowUpError):
                world.recheck(**asked)
        world.wait(301)


@MANY
@given(st.lists(SPOILT, min_size=1, max_size=25))
def test_sweep_and_recheck_bring_every_row_to_an_end(
    shared: Callable[[], World], changes: list[dict[str, Any]]
) -> None:
    """Whatever is in it, a row is DONE or FAILED within the hour; the sweep never raises, and the good one is done."""
    world = shared()
    begin(world, changes)
    sweep_until_all_is_ended(world)
    ended = {row["notificationId"]: row["state"] for row in rows(world).values()}
    assert set(ended.values()) <= {"DONE", "FAILED"}
    assert ended[f"n-{len(changes)}"] == "DONE"
    failed = [name for name, state in ended.items() if state == "FAILED"]
    assert Counter(row["notificationId"] for row in world.errors()) == Counter(failed)
    assert len(world.mails()) == min(len(failed), 20)


@MANY
@given(st.dictionaries(st.sampled_from(ATTRIBUTES), st.just(...) | ANYTHING, min_size=1, max_size=3))
def test_timer_and_repeat_survive_a_spoilt_row(shared: Callable[[], World], changes: dict[str, Any]) -> None:
    """Between pass 1 and 2 a row is spoilt: its timer, a repeat and the sweeps raise nothing foreign, and end it."""
    world = shared()
    world.empty()
    world.now = START
    world.cold_start(**USUAL)
    world.deliver()
    row = {name: value for name, value in (world.record() | changes).items() if value is not ...}
    with world.wire.aside():
        world.table("CREDIT_CARD_NOTIFY_TABLE").put_item(Item=row)
    world.wait(62)
    for happens in (world.recheck, world.deliver):
        with suppress(FollowUpError):
            happens()
    sweep_until_all_is_ended(world)
    assert world.record()["state"] in {"DONE", "FAILED"}
    mails = [mail["Message"]["Subject"]["Data"] for mail in world.mails()]
    assert sum(subject.endswith("FAILED") for subject in mails) == (world.record()["state"] == "FAILED"), mails


@pytest.mark.parametrize("names", [["leaseUntil"], ["nextPassDue"], ["nextPassDue", "firstDue"], ["firstDue"]], ids=str)
@pytest.mark.parametrize("time", ["9999-12-31T23:59:59.000000Z", "2027-01-01T00:00:00.000000Z"])
def test_row_waits_for_no_time_that_never_comes(shared: Callable[[], World], names: list[str], time: str) -> None:
    """A claim that ends in years, a pass that is due then: FAILED and told, or done, within the hour."""
    world = shared()
    begin(world, [dict.fromkeys(names, time)])
    sweep_until_all_is_ended(world)
    spoilt = names != ["firstDue"]  # which only says how late a pass is
    assert [row["state"] for row in rows(world).values()].count("FAILED") == spoilt
    assert len(world.mails()) == len(world.errors()) == spoilt
