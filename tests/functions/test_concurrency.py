"""Two processes at once: their AWS calls are tried in every order, and none breaks what must hold."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from threading import Semaphore, local
from typing import Any

import pytest

from callback.notification import parse_notification
from callback.table import format_utc
from tests.support.aws import World, sample
from tests.support.call_purposes import purpose
from tests.support.recorded_calls import Answer, Call, payload
from tests.support.steps import die_in_pass

# Coverage doubles the time, and other tests measure the same lines.
pytestmark = pytest.mark.no_cover

Story = Callable[[World], Any]
# The calls by which the two can affect each other; the others may come at any time.
SHARED = {"save the notification", "claim the pass", "run the pass", "record the pass", "record the failed pass"}
SHARED |= {"create the timer", "move back in line"}


class Two:
    """Two processes that take turns, one AWS call at a time, in a given order."""

    def __init__(self, world: World, stories: tuple[Story, Story]) -> None:
        self.world, self.stories = world, stories
        self.paying, self.states = list[object](), list[tuple[int, int]]()
        self._turn, self._back = (Semaphore(0), Semaphore(0)), Semaphore(0)
        self._who, self._ended = local(), set[int]()
        world.wire.around, world.wire.answers["lambda.Invoke"] = self._around, self._pay

    def run(self, turns: list[int]) -> None:
        """Let each go on to its next call when it is its turn, and at last to its end; neither may raise."""
        with ThreadPoolExecutor(2) as threads:
            both = [threads.submit(self._live, number) for number in (0, 1)]
            for number in [0, 1, *turns] + [0, 1] * len(turns):
                if number not in self._ended:
                    self._turn[number].release()
                    self._back.acquire()
        assert [ended.exception() for ended in both] == [None, None]

    def _live(self, number: int) -> None:
        self._who.number = number
        self._turn[number].acquire()
        try:
            self.stories[number](self.world)
        finally:
            self._ended.add(number)
            self._back.release()

    def _await_turn(self) -> None:
        self._back.release()
        self._turn[self._who.number].acquire()

    def _around(self, call: Call, effect: Callable[[], Answer]) -> Answer:
        if purpose(call) not in SHARED:
            return effect()
        self._await_turn()
        try:
            return effect()
        finally:
            rows = self.world.rows("CREDIT_CARD_NOTIFY_TABLE")
            self.states += [(int(row["passesDone"]), int(row["attempts"])) for row in rows]

    def _pay(self, call: Call) -> Answer:
        if call.request.get("InvocationType") == "Event":
            return {"StatusCode": 202}
        # A pass begins in one turn and ends in another; between the two the other process may do anything.
        row = self.world.record()
        assert row["leaseUntil"] > format_utc(self.world.now), "a pass without a live claim"
        assert row["claimId"] not in self.paying, "two passes under one claim"
        self.paying.append(row["claimId"])
        self._await_turn()
        assert self.world.record()["claimId"] == row["claimId"], "another claimed the pass while this one ran"
        return payload({"paid": True})


def _orders(first: int, second: int, *, alike: bool) -> list[list[int]]:
    """Return every order of so many calls of one and so many of the other; of two that are alike, the first begins."""
    calls = range(first + second)
    mixed = [mine for mine in combinations(calls, first) if not alike or 0 in mine]
    return [[int(place not in mine) for place in calls] for mine in mixed]


def once_due(world: World) -> None:
    """Save a notification whose pass 2 is due, without its timer."""
    world.deliver()
    world.wait(63)
    world.fire()


def overdue(world: World) -> None:
    """Save a notification whose pass 1 died with its process a while ago."""
    die_in_pass(world)
    world.wait(400)


def sweep(world: World) -> None:
    """Run the sweep and the Rechecks that it invokes."""
    world.sweep()
    for request in world.wire.of("lambda.Invoke"):
        if request.get("InvocationType") == "Event":
            world.recheck(**json.loads(request["Payload"]))


# What happened before, the two and how many calls each makes, and how many passes and timers there are then.
RACES: dict[str, tuple[Story, tuple[Story, Story], tuple[int, int], int, int]] = {
    "a timer fires twice": (once_due, (World.recheck, World.recheck), (4, 4), 2, 0),
    "a timer, and a repeat": (once_due, (World.deliver, World.recheck), (5, 4), 2, 0),
    "a delivery comes twice": (lambda _: None, (World.deliver, World.deliver), (5, 5), 1, 1),
    "a repeat, and the sweep": (overdue, (World.deliver, sweep), (2, 6), 1, 1),
}


@pytest.mark.parametrize("race", RACES)
def test_two_at_once_run_the_pass_once_in_any_order(world: World, race: str) -> None:
    """One claims the pass and runs it, the other only logs that; the next pass has one timer."""
    prepare, stories, counts, passes, timers = RACES[race]
    paid = world.wire.answers["lambda.Invoke"]
    for turns in _orders(*counts, alike=stories[0] == stories[1]):
        world.empty()
        world.wire.around, world.wire.answers["lambda.Invoke"] = None, paid
        with world.wire:
            # The keys are read before: in Lambda, two deliveries at once share no memory.
            world.app.processor.secret.verify(parse_notification(sample("authorized")))
        prepare(world)
        two = Two(world, stories)
        two.run(turns)
        assert [done["number"] for done in world.record()["passes"]] == list(range(1, passes + 1))
        assert (len(two.paying), world.record()["passesDone"], len(world.schedules())) == (1, passes, timers)
        assert two.states == sorted(two.states), "a later state was overwritten"
        assert world.errors() == world.mails() == []
        assert "WARNING" not in world.printed.getvalue()
