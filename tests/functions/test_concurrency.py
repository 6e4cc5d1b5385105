"""Two at once: every order in which their AWS calls can fall is tried, and none breaks what must hold."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import pytest

from callback.errors import PassFailed
from callback.notification import parse_notification
from callback.record import Record
from callback.table import format_utc
from tests.support.aws import CHARGE, NOTIFICATION, World, sample
from tests.support.call_purposes import purpose
from tests.support.fault_scenarios import START
from tests.support.moto_in_process import asked_directly
from tests.support.recorded_calls import Answer, Call, RecordedCalls, payload
from tests.support.without_coverage import without_coverage

Story = Callable[[], Any]
# The calls that one process can see of the other; between these nothing else matters.
SHARED = {"save the notification", "claim the pass", "run the pass", "record the pass", "record the failed pass"}
SHARED |= {"create the timer", "move back in line"}


@dataclass
class Two:
    """Two processes that take turns, one AWS call at a time, in a given order."""

    world: World
    stories: tuple[Story, Story]
    turns: list[int]
    paying: list[str] = field(default_factory=list)
    states: list[tuple[int, int]] = field(default_factory=list)
    answers: list[Any] = field(default_factory=lambda: [None, None])

    def __post_init__(self) -> None:
        """Hook into the AWS calls, and into ProcessPaidOrder."""
        self._turn = threading.Condition()
        self._ended = [False, False]
        self._who = threading.local()
        self.world.wire.around = self._around
        self.world.wire.answers["lambda.Invoke"] = self._pay

    def run(self) -> None:
        """Run both to their end."""
        threads = [threading.Thread(target=self._live, args=(number,), daemon=True) for number in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=30)
            assert not thread.is_alive(), "the two wait for each other"
        for answer in self.answers:
            assert not isinstance(answer, BaseException), answer

    def _live(self, number: int) -> None:
        self._who.number = number
        try:
            self.answers[number] = self.stories[number]()
        except BaseException as error:  # noqa: BLE001 - a lost race raises nothing
            self.answers[number] = error
        finally:
            with self._turn:
                self._ended[number] = True
                self._turn.notify_all()

    def _around(self, call: Call, effect: Callable[[], Answer]) -> Answer:
        if purpose(call) not in SHARED:
            return effect()
        with self._turn:
            self._await_turn()
            try:
                return effect()
            finally:
                self._look()
                self._turn.notify_all()

    def _await_turn(self) -> None:
        me: int = self._who.number
        mine = self._turn.wait_for(lambda: self._ended[1 - me] or not self.turns or self.turns[0] == me, timeout=20)
        assert mine, "the two wait for each other"
        if self.turns:
            self.turns.pop(0)

    def _look(self) -> None:
        for row in self.world.rows("CREDIT_CARD_NOTIFY_TABLE"):
            self.states.append((int(row["passesDone"]), int(row["attempts"])))

    def _pay(self, call: Call) -> Answer:
        if call.request.get("InvocationType") == "Event":
            return {"StatusCode": 202}
        # Begins in one turn and ends in another: between the two the other process may do what it likes.
        claim = self._live_claim()
        assert claim, "a pass without a claim"
        assert claim not in self.paying, "two passes under one claim"
        self.paying.append(claim)
        self._turn.notify_all()
        self._await_turn()
        assert self._live_claim() == claim, "another claimed the pass while this one ran"
        return payload({"paid": True})

    def _live_claim(self) -> str | None:
        row = self.world.record()
        live = row.get("leaseUntil", "") > format_utc(self.world.now)
        return str(row["claimId"]) if live else None


def _orders(first: int, second: int, *, alike: bool) -> Iterator[list[int]]:
    """Every way to mix so many calls of one with so many of the other; of two that are alike, one begins."""
    for mine in combinations(range(first + second), first):
        if not alike or 0 in mine:
            yield [0 if place in mine else 1 for place in range(first + second)]


@pytest.fixture(autouse=True)
def _fast(wire: RecordedCalls) -> Iterator[None]:
    with without_coverage(), asked_directly(wire):
        yield


def run_in_every_order(
    world: World, prepare: Story, stories: tuple[Story, Story], counts: tuple[int, int]
) -> Iterator[Two]:
    """Run the two in every order, each time in a fresh world."""
    paid = world.wire.answers["lambda.Invoke"]
    for turns in _orders(*counts, alike=stories[0] == stories[1]):
        world.empty()
        world.now, world.wire.around, world.wire.answers["lambda.Invoke"] = START, None, paid
        with world.wire:
            # Its keys are read before: in Lambda two deliveries at once share no memory.
            world.app.processor.secret.verify(parse_notification(sample("authorized")))
        prepare()
        two = Two(world, stories, turns)
        two.run()
        yield two


def holds(two: Two) -> None:
    """No pass is recorded twice, no later state is overwritten by an earlier one, and nobody gets a mail."""
    row = two.world.record()
    numbers = [int(done["number"]) for done in row["passes"]]
    assert numbers == list(range(1, int(row["passesDone"]) + 1))
    assert two.states == sorted(two.states), "a later state was overwritten"
    assert two.world.errors() == two.world.mails() == []
    assert "WARNING" not in two.world.printed.getvalue()


def once_due(world: World) -> Story:
    """A notification whose pass 2 is due, without its timer."""

    def prepare() -> None:
        world.deliver()
        world.wait(63)
        world.fire()

    return prepare


def overdue(world: World) -> Story:
    """A notification whose pass 1 died with its process a while ago."""

    def prepare() -> None:
        world.wire.answers["lambda.Invoke"] = _dies
        with pytest.raises(KeyboardInterrupt):
            world.deliver()
        world.wait(400)

    return prepare


def _dies(_call: Call) -> Answer:
    raise KeyboardInterrupt


def handed_over(world: World) -> list[dict[str, Any]]:
    """What the sweep invoked Recheck with."""
    requests = [request for request in world.wire.of("lambda.Invoke") if request.get("InvocationType") == "Event"]
    return [json.loads(request["Payload"]) for request in requests]


@pytest.mark.parametrize(("other", "calls", "orders"), [("recheck", 4, 35), ("deliver", 5, 126)])
def test_recheck_beside_another_in_any_order_runs_the_pass_once(
    world: World, other: str, calls: int, orders: int
) -> None:
    """A timer that fires twice at the same time, or as a repeat lands: one claims, the other is a log line."""
    seen, both = 0, (getattr(world, other), world.recheck)
    for two in run_in_every_order(world, once_due(world), both, (calls, 4)):
        holds(two)
        assert len(two.paying) == 1
        assert world.record()["state"] == "DONE"
        seen += 1
    assert seen == orders


def test_two_deliveries_at_once_in_any_order(world: World) -> None:
    """Lambda hands the same event to two: one saves and runs pass 1; the record has one pass 1 and one timer."""
    for two in run_in_every_order(world, lambda: None, (world.deliver, world.deliver), (5, 5)):
        holds(two)
        assert len(two.paying) == 1
        assert world.record()["passesDone"] == 1
        assert len(world.schedules()) == 1


def test_sweep_beside_a_repeat_of_a_delivery_that_died_in_any_order(world: World) -> None:
    """The repeat runs no pass and the sweep's Recheck does; in any order there is one timer of pass 2."""

    def sweep() -> None:
        world.sweep()
        for event in handed_over(world):
            world.recheck(**event)

    for two in run_in_every_order(world, overdue(world), (world.deliver, sweep), (2, 6)):
        assert len(two.paying) == 1
        assert world.record()["passesDone"] == 1
        assert len(world.schedules()) == 1


@pytest.mark.parametrize("ends", ["completes", "fails"])
def test_stale_recheck_ending_beside_the_sweeps_in_any_order(world: World, ends: str) -> None:
    """A run that outlived its lease, whichever way it ends, writes nothing over what the sweep's Recheck does."""
    held: list[Record] = []

    def prepare() -> None:
        once_due(world)()
        held[:] = [world.app.records.claim(CHARGE, NOTIFICATION, 2)]
        world.wait(91)

    def end() -> object:
        with world.wire:
            if ends == "completes":
                return world.app.records.complete(held[0], "paid by the stale one", 1, settled=False, failure=None)
            return world.app.records.fail(held[0], PassFailed(2, "too late"))

    for place, two in enumerate(run_in_every_order(world, prepare, (end, world.recheck), (1, 4))):
        holds(two)
        row, still_its_own = world.record(), place == 0
        assert row["state"] == ("PENDING" if still_its_own and ends == "fails" else "DONE")
        assert ("stale" in str(row["passes"][1:])) == (still_its_own and ends == "completes")
        assert ("lastError" in row) == (still_its_own and ends == "fails")
