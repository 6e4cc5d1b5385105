"""Every way in which every AWS call can fail, crossed with everything that may or may not come to help.

A cell is one story: a notification is delivered, one call fails in one way, the world comes to rest, and what ended in
a failure store is brought back. The calls are not listed here: a first telling without the fault shows them.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from botocore.exceptions import ClientError, ReadTimeoutError

from callback.clock import moment, stamp
from callback.record import SWEEP_SHARDS, _shard
from tests.cloud import DELAYED_NOTIFY, Cloud, Died
from tests.promise import broken, replayed
from tests.sites import site
from tests.wire import Answer, Call
from tests.world import CHARGE, NOTIFICATION, World, sample

START = datetime(2026, 11, 22, 9, 30, 17, 250_000, tzinfo=UTC)
OWN_SHARD = _shard(CHARGE, NOTIFICATION)
Effect = Callable[[], Answer]
Point = tuple[str, str, int]  # the function, what the call is for, and which of its kind it is


def _refused(code: str) -> Callable[[Call, Effect], Answer]:
    def fault(call: Call, _effect: Effect) -> Answer:
        raise ClientError({"Error": {"Code": code, "Message": f"{code} for a test"}}, call.operation)

    return fault


def _dies_before(_call: Call, _effect: Effect) -> Answer:
    raise Died


def _dies_after(_call: Call, effect: Effect) -> Answer:
    effect()
    raise Died


def _answer_is_lost(_call: Call, effect: Effect) -> Answer:
    effect()
    raise ReadTimeoutError(endpoint_url="a test")


FAULTS = {
    "dies before": _dies_before,
    "dies after": _dies_after,
    "answer lost": _answer_is_lost,
    "throttled": _refused("ThrottlingException"),
    "denied": _refused("AccessDeniedException"),
    "server error": _refused("InternalServerError"),
}


@dataclass(frozen=True)
class Scenario:
    """What happens apart from the fault: how ProcessPaidOrder behaves at its n-th run of a pass; other settings.

    `settles` is the pass from which on the order is paid, for who asks; `patience` is how long after the end somebody
    brings back what failed; `held` whether mails were held back in the hour before.
    """

    behaviour: Callable[[int, int], str] = lambda _pass, _nth: "works"
    settings: dict[str, str] = field(default_factory=dict)
    settles: int | None = None
    patience: timedelta = timedelta()
    held: bool = False


SCENARIOS = {
    "as it should": Scenario(),
    "pass 1 fails once": Scenario(lambda number, nth: "fails" if (number, nth) == (1, 1) else "works"),
    "pass 2 fails once": Scenario(lambda number, nth: "fails" if (number, nth) == (2, 1) else "works"),
    "the order's status is asked for": Scenario(settings={"SETTLED_ORDER_STATUSES": "PAID"}, settles=1),
    "three passes": Scenario(settings={"RECHECK_DELAYS": "60,60"}),
    "pass 2 is the death of its last attempt": Scenario(
        lambda number, nth: "dies" if (number, nth) == (2, 1) else "works", {"MAX_ATTEMPTS": "1"}
    ),
    "mails were held back, and pass 1 fails once": Scenario(
        lambda number, nth: "fails" if (number, nth) == (1, 1) else "works", held=True
    ),
    "mails were held back, and pass 2 fails once": Scenario(
        lambda number, nth: "fails" if (number, nth) == (2, 1) else "works", held=True
    ),
}
USUAL = {"RECHECK_DELAYS": "60", "MAX_ATTEMPTS": "30", "SETTLED_ORDER_STATUSES": ""}
CROSSINGS = tuple(itertools.product((True, False), ("once", "twice", "late", "never")))


@dataclass(frozen=True)
class Cell:
    """How one story ended."""

    point: Point
    fault: str
    redelivered: bool
    timer: str
    remains: str
    finishers: tuple[str, ...]
    took: timedelta
    end: str
    wrong: tuple[str, ...]
    duplicates: int


class Story:
    """One notification from its delivery to the end, with at most one fault on the way."""

    def __init__(self, world: World, scenario: Scenario, crossing: tuple[bool, str]) -> None:
        world.empty()
        world.now = START
        world.cold_start(**USUAL | scenario.settings)
        if scenario.held:
            world.held_back(2)
        self.nth: Counter[int] = Counter()
        self.cloud = Cloud(world, redelivers=crossing[0], timer=crossing[1], behaviour=self._behaviour)
        self.scenario, self.world, self.crossing = scenario, world, crossing
        self.points: list[Point] = []
        self.helpers: list[str] = []
        self.fault: tuple[Point, str] | None = None
        self.remains: str | None = None
        world.wire.around = self._around

    def told(self) -> "Story":
        """Deliver, and come to rest."""
        self.began = self.world.now
        self.cloud.accept(DELAYED_NOTIFY, sample("authorized"), "Notify")
        self.cloud.rest()
        return self

    def cell(self, point: Point, fault: str) -> Cell:
        """Tell the story with this fault in it, bring back what ended in a failure store, and judge the end."""
        self.fault = (point, fault)
        self.told()
        assert self.remains is not None, f"{point} was not reached"
        ended, wrong = self._ended(), broken(self.cloud)
        if not ended and not self.cloud.letters:
            wrong.append("neither saved nor in a failure store")
        took = (ended or self.cloud.letters[0].at) - self.began
        end = "DONE" if ended and not self._is_failed() else "FAILED" if ended else "dead letter"
        self.world.now += self.scenario.patience
        if replayed(self.cloud):
            self.cloud.rest()
            wrong += broken(self.cloud)
        wrong += [] if self._ended() and not self._is_failed() else ["not DONE, and no command brought it back"]
        runs = Counter(run.number for run in self.cloud.runs if run.completed)
        again = sum(count - 1 for count in runs.values())
        return Cell(
            point, fault, *self.crossing, self.remains, tuple(self.helpers), took, end, tuple(wrong), duplicates=again
        )

    def _behaviour(self, number: int) -> str:
        self.nth[number] += 1
        if self.scenario.settles and number >= self.scenario.settles:
            with self.world.wire.aside():
                self.world.order(status="PAID")
        return self.scenario.behaviour(number, self.nth[number])

    def _around(self, call: Call, effect: Effect) -> Answer:
        purpose = site(call)
        before = sum((function, words) == (self.cloud.running, purpose) for function, words, _ in self.points)
        point = (self.cloud.running, purpose, before)
        self.points.append(point)
        source = self.cloud.source
        if self.fault is None or self.fault[0] != point or self.remains is not None:
            answer = effect()
        else:
            try:
                answer = FAULTS[self.fault[1]](call, effect)
            finally:
                self.remains = self._what_remains()
        if purpose == "record the pass" and self.remains is not None:
            self.helpers.append(source)
        return answer

    def _what_remains(self) -> str:
        rows = self.world.rows("CREDIT_CARD_NOTIFY_TABLE")
        if not rows:
            return "the event only"
        [row] = rows
        done = int(row["passesDone"])
        if row["state"] != "PENDING":
            return f"the record: {row['state']}"
        waits = "claimed" if row.get("leaseUntil", "") > stamp(self.world.now) else self._due(row["nextPassDue"])
        return f"the record: {done} done, pass {done + 1} {waits}"

    def _due(self, due: str) -> str:
        timer = ", its timer armed" if self.world.schedules() else ", no timer"
        return "due" + (timer if moment(due) > self.world.now else "")

    def _ended(self) -> datetime | None:
        return next(iter(self.cloud.finished.values()), None)

    def _is_failed(self) -> bool:
        return any(row["state"] == "FAILED" for row in self.world.rows("CREDIT_CARD_NOTIFY_TABLE"))


def _is_like_another(point: Point) -> bool:
    # The 16 reads of a sweep differ in whether they come before, at or after the notification's own shard.
    return point[1] == "read a shard" and point[2] % SWEEP_SHARDS not in {0, OWN_SHARD, SWEEP_SHARDS - 1}


def cells(world: World) -> Iterator[Cell]:
    """Tell every story there is."""
    known: set[tuple[str, str]] = set()
    for scenario in SCENARIOS.values():
        fresh: set[tuple[str, str]] = set()
        for crossing in CROSSINGS:
            points = Story(world, scenario, crossing).told().points
            # What an earlier scenario went through needs no second telling.
            new = [point for point in points if point[:2] not in known and not _is_like_another(point)]
            fresh |= {point[:2] for point in new}
            for point, fault in itertools.product(new, FAULTS):
                yield Story(world, scenario, crossing).cell(point, fault)
        known |= fresh
