"""Two at once: every order in which their AWS calls can fall is tried, and none breaks what must hold."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import pytest

from callback.notification import parse_notification
from callback.table import format_utc
from tests.support.aws import World, sample
from tests.support.call_purposes import purpose
from tests.support.recorded_calls import Answer, Call, payload
from tests.support.steps import die_in_pass

# Measuring doubles the time, and what this goes through is measured elsewhere.
pytestmark = pytest.mark.no_cover

Story = Callable[[World], Any]
# The calls that one process can see of the other; between these nothing else matters.
SHARED = {"save the notification", "claim the pass", "run the pass", "record the pass", "record the failed pass"}
SHARED |= {"create the timer", "move back in line"}


@dataclass
class Two:
    """Two processes that take turns, one AWS call at a time, in a given order."""

    world: World
    stories: tuple[Story, Story]
    turns: list[int]
    paying: list[object] = field(default_factory=list)
    states: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Hook into the AWS calls, and into ProcessPaidOrder."""
        self._turn = threading.Condition()
        self._ended = [False, False]
        self._who = threading.local()
        self.world.wire.around = self._around
        self.world.wire.answers["lambda.Invoke"] = self._pay

    def run(self) -> None:
        """Run both to their end; a lost race raises nothing."""
        with ThreadPoolExecutor(2) as threads:
            for ended in [threads.submit(self._live, number) for number in (0, 1)]:
                ended.result()

    def _live(self, number: int) -> None:
        self._who.number = number
        try:
            self.stories[number](self.world)
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
                rows = self.world.rows("CREDIT_CARD_NOTIFY_TABLE")
                self.states += [(int(row["passesDone"]), int(row["attempts"])) for row in rows]
                self._turn.notify_all()

    def _await_turn(self) -> None:
        me: int = self._who.number
        mine = self._turn.wait_for(lambda: self._ended[1 - me] or self.turns[:1] in ([], [me]), timeout=20)
        assert mine, "the two wait for each other"
        self.turns[:1] = []

    def _pay(self, call: Call) -> Answer:
        if call.request.get("InvocationType") == "Event":
            return {"StatusCode": 202}
        # Begins in one turn and ends in another: between the two the other process may do what it likes.
        row = self.world.record()
        assert row["leaseUntil"] > format_utc(self.world.now), "a pass without a live claim"
        assert row["claimId"] not in self.paying, "two passes under one claim"
        self.paying.append(row["claimId"])
        self._turn.notify_all()
        self._await_turn()
        assert self.world.record()["claimId"] == row["claimId"], "another claimed the pass while this one ran"
        return payload({"paid": True})


def _orders(first: int, second: int, *, alike: bool) -> list[list[int]]:
    """Every way to mix so many calls of one with so many of the other; of two that are alike, one begins."""
    calls = range(first + second)
    mixed = [mine for mine in combinations(calls, first) if not alike or 0 in mine]
    return [[int(place not in mine) for place in calls] for mine in mixed]


def once_due(world: World) -> None:
    """A notification whose pass 2 is due, without its timer."""
    world.deliver()
    world.wait(63)
    world.fire()


def overdue(world: World) -> None:
    """A notification whose pass 1 died with its process a while ago."""
    die_in_pass(world)
    world.wait(400)


def sweep(world: World) -> None:
    """The sweep, and the Rechecks that it invokes."""
    world.sweep()
    for request in world.wire.of("lambda.Invoke"):
        if request.get("InvocationType") == "Event":
            world.recheck(**json.loads(request["Payload"]))


# What was before, the two and how many calls each makes, in how many orders; the passes and timers that there are then.
RACES: dict[str, tuple[Story, tuple[Story, Story], tuple[int, int], int, int, int]] = {
    "a timer fires twice": (once_due, (World.recheck, World.recheck), (4, 4), 35, 2, 0),
    "a timer, and a repeat": (once_due, (World.deliver, World.recheck), (5, 4), 126, 2, 0),
    "a delivery comes twice": (lambda _: None, (World.deliver, World.deliver), (5, 5), 126, 1, 1),
    "a repeat, and the sweep": (overdue, (World.deliver, sweep), (2, 6), 28, 1, 1),
}


@pytest.mark.parametrize("race", RACES)
def test_two_at_once_run_the_pass_once_in_any_order(world: World, race: str) -> None:
    """One claims the pass and runs it, the other is a log line; there is one timer of the next pass."""
    prepare, stories, counts, orders, passes, timers = RACES[race]
    paid, every = world.wire.answers["lambda.Invoke"], _orders(*counts, alike=stories[0] == stories[1])
    assert len(every) == orders
    for turns in every:
        world.empty()
        world.wire.around, world.wire.answers["lambda.Invoke"] = None, paid
        with world.wire:
            # Its keys are read before: in Lambda two deliveries at once share no memory.
            world.app.processor.secret.verify(parse_notification(sample("authorized")))
        prepare(world)
        two = Two(world, stories, turns)
        two.run()
        assert [done["number"] for done in world.record()["passes"]] == list(range(1, passes + 1))
        assert (len(two.paying), world.record()["passesDone"], len(world.schedules())) == (1, passes, timers)
        assert two.states == sorted(two.states), "a later state was overwritten"
        assert world.errors() == world.mails() == []
        assert "WARNING" not in world.printed.getvalue()
