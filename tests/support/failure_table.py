"""docs/failure-table.md: every way in which every AWS call can fail, crossed with what may come to help or not.

A cell is one story: a notification is delivered, one call fails in one way, and the model runs until nothing is left to
happen. The calls are not listed here: a first run without the fault shows them. `make failure-table` writes the page.
"""

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from math import ceil
from typing import Any

from callback.table import format_utc
from followups.output import span
from local.emulator import ROOT
from tests.support.aws import START, World, sample, worlds
from tests.support.call_purposes import purpose
from tests.support.documents import rewritten
from tests.support.invariants import broken, repair
from tests.support.lambda_model import DELAYED_NOTIFY, FAULTS, RECHECK, SWEEP, fail
from tests.support.recorded_calls import Answer, Call

FILE = ROOT / "docs" / "failure-table.md"
_COUNTS = "**{cells} stories, {lost} lost.** In {again} of them a pass ran once more than needed, which it must bear.\n"
_SECTION = """
## {function}

| call | fails so | remains | finished by | at most |
|---|---|---|---|---|
"""
Point = tuple[str, str, int]  # the function, what the call is for, and which of its kind it is


@dataclass(frozen=True)
class Scenario:
    """What happens apart from the fault: how ProcessPaidOrder behaves at its n-th run of a pass; other settings.

    From the pass `settles` on the order is paid. What is `down` fails for the time `until` after the delivery. `ends`
    is how the story ends by itself. Calls of the function `again` fail here too, although an earlier scenario has
    similar ones; the scenario's name is then part of the heading.
    """

    behaviour: Callable[[int, int], str] = lambda _pass, _nth: "works"
    settings: dict[str, str] = field(default_factory=dict)
    settles: int | None = None
    down: dict[str, str] = field(default_factory=dict)
    until: timedelta = timedelta()
    event: str = "authorized"
    ends: str = "DONE"
    again: str = ""


_UNSAVED: dict[str, Any] = {"down": {"CreditCardNotifyTable": "server error"}, "until": timedelta(minutes=5)}
_LATE: dict[str, Any] = {"down": {SWEEP: "down", "timers": "down"}, "ends": "FAILED"}
_LATE["settings"] = {"GIVE_UP_AFTER_HOURS": "1"}
_FAILS_ONCE = Scenario(lambda _pass, nth: "fails" if nth == 1 else "works")
_PASS_2_FAILS = Scenario(lambda number, _nth: "fails" if number == 2 else "works", **_LATE)
SCENARIOS = {
    "as it should": Scenario(),
    "it cannot be saved at first": Scenario(**_UNSAVED),
    "each pass fails once": _FAILS_ONCE,
    "the order's status is asked for": Scenario(settings={"SETTLED_ORDER_STATUSES": "PAID"}, settles=1),
    "three passes": Scenario(settings={"RECHECK_DELAYS": "60,60"}),
    "nor do its passes succeed at once": replace(_FAILS_ONCE, **_UNSAVED),
    "it is refused": Scenario(event="not a notification", ends="refused queue"),
    ", where pass 2 has failed for too long": replace(_PASS_2_FAILS, until=timedelta(minutes=63), again=RECHECK),
    ", where nothing ran pass 2 in time": Scenario(**_LATE, until=timedelta(minutes=125), again=SWEEP),
}
CROSSINGS = (*itertools.product((True,), ("once", "twice", "late", "never")), (False, "once"), (False, "never"))


@dataclass(frozen=True)
class Cell:
    """How one story ended; `section` is the failure table's."""

    section: str
    point: Point
    fault: str
    remains: str
    finishers: tuple[str, ...]
    took: timedelta
    end: str
    wrong: tuple[str, ...]
    duplicates: int


class Story:
    """One notification from its delivery to the end, with at most one fault on the way."""

    def __init__(self, world: World, scenario: Scenario, crossing: tuple[bool, str]) -> None:
        world.empty(**scenario.settings)
        redelivers, timer = crossing
        self.model = world.model(redelivers=redelivers, timer=timer, behaviour=self._behaviour, outage=self._outage)
        self.scenario, self.world = scenario, world
        self.points: list[Point] = []
        self.alike: set[Point] = set()
        self.helpers: list[str] = []
        self.fault: tuple[Point, str] | None = None
        self.remains: str | None = None
        self.repaired = False
        self._runs: Counter[int] = Counter()
        self._seen: Counter[tuple[str, str]] = Counter()
        self._allowed, world.wire.around = world.wire.around, self._around

    def play(self) -> "Story":
        event = sample("authorized")
        if self.scenario.event != "authorized":
            event["body"] = self.scenario.event
        self.model.accept(DELAYED_NOTIFY, event, "Notify")
        self.model.rest()
        return self

    def cell(self, point: Point, fault: str) -> Cell:
        """Play the story with this fault in it, repair what waits for a person, and judge the end."""
        self.fault = (point, fault)
        self.play()
        assert self.remains is not None, f"{point} was not reached"
        end, took, helpers = self._end(), self._took(), tuple(self.helpers)
        wrong = broken(self.model) + self._noise()
        wrong += [] if end == self.scenario.ends else [f"ended {end}"]
        self.repaired = True
        if repair(self.model):
            self.model.rest()
            wrong += broken(self.model)
            wrong += [] if self._end() in {"DONE", "refused queue"} else ["no command brought it back"]
        runs = Counter(run.number for run in self.model.runs if run.completed)
        name = next(name for name, scenario in SCENARIOS.items() if scenario is self.scenario)
        section = f"{point[0]}{name if self.scenario.again else ''}"
        again = runs.total() - len(runs)
        return Cell(section, point, fault, self.remains, helpers, took, end, tuple(wrong), again)

    def _behaviour(self, number: int) -> str:
        self._runs[number] += 1
        if self.scenario.settles and number >= self.scenario.settles:
            self.world.order(status="PAID")
        return "works" if self.repaired else self.scenario.behaviour(number, self._runs[number])

    def _outage(self, name: str) -> str:
        return self.scenario.down.get(name, "") if self.world.now < START + self.scenario.until else ""

    def _around(self, call: Call, effect: Callable[[], Answer]) -> Answer:
        assert self._allowed
        kind, source = (self.model.running, purpose(call)), self.model.source
        point = (*kind, self._seen[kind])
        self._seen[kind] += 1
        self.points.append(point)
        if self.fault is None and kind[1] == "read a shard" and self._is_like_another(call):
            self.alike.add(point)
        if self.fault is None or self.fault[0] != point or self.remains is not None:
            answer = self._allowed(call, effect)
        else:
            try:
                fail(self.fault[1], call, effect)
            finally:
                self.remains = self._what_remains()
        if kind[1] == "record the pass" and self.remains is not None:
            self.helpers.append(source)
        return answer

    def _is_like_another(self, call: Call) -> bool:
        # The 16 reads of a sweep differ in whether they come before, at or after the notification's own shard.
        own = {row.get("sweepShard") for row in self.world.rows("CREDIT_CARD_NOTIFY_TABLE")}
        return int(call.request["ExpressionAttributeValues"][":shard"]["N"]) not in own | {0, 15}

    def _noise(self) -> list[str]:
        # Where nothing else goes wrong, one fault is at most one error, one row and one mail.
        if self.scenario.behaviour is not Scenario.behaviour or self.scenario.down or self.scenario.ends != "DONE":
            return []
        heard = (self.model.errors, self.world.errors(), self.world.mails())
        return [f"too much of {found}" for found in heard if len(found) > 1]

    def _what_remains(self) -> str:
        rows = self.world.rows("CREDIT_CARD_NOTIFY_TABLE")
        if not rows:
            return "the event only"
        [row] = rows
        if row["state"] != "PENDING":
            return f"the record: {row['state']}"
        done, now = int(row["passesDone"]), format_utc(self.world.now)
        timer = ", its timer set" if self.world.schedules() else ", no timer"
        waits = "claimed" if row.get("leaseUntil", "") > now else f"due{timer if row['nextPassDue'] > now else ''}"
        return f"the record: {done} done, pass {done + 1} {waits}"

    def _end(self) -> str:
        for row in self.world.rows("CREDIT_CARD_NOTIFY_TABLE"):
            return str(row["state"])
        queues = {"RefusedQueue": "refused queue", "FailureQueue": "failure queue"}
        return next((words for name, words in queues.items() if self.model.queues[name]), "nowhere")

    def _took(self) -> timedelta:
        letters = [letter.sent for queue in self.model.queues.values() for letter in queue]
        return min([*self.model.finished.values(), *letters], default=START) - START


def cells(world: World) -> Iterator[Cell]:
    known: set[tuple[str, str]] = set()
    for scenario in SCENARIOS.values():
        fresh: set[tuple[str, str]] = set()
        some = CROSSINGS[:: len(CROSSINGS) - 1] if scenario.down else CROSSINGS
        for crossing in CROSSINGS[:1] if scenario.again else some:
            story = Story(world, scenario, crossing).play()
            # What an earlier scenario went through is not played again.
            new = [p for p in story.points if p not in story.alike and (p[0] == scenario.again or p[:2] not in known)]
            fresh |= {point[:2] for point in new}
            for point, fault in itertools.product(new, FAULTS):
                yield Story(world, scenario, crossing).cell(point, fault)
        known |= fresh


# --- the page ---


def written(found: Iterable[Cell]) -> str:
    stories = list(found)
    tables: dict[str, dict[str, list[Cell]]] = defaultdict(lambda: defaultdict(list))
    for cell in stories:
        tables[cell.section][cell.point[1]].append(cell)
    lost, again = sum(bool(cell.wrong) for cell in stories), sum(bool(cell.duplicates) for cell in stories)
    parts = [_COUNTS.format(cells=len(stories), lost=lost, again=again)]
    for function, by_call in tables.items():
        lines = [line for call, found in by_call.items() for line in _lines(call, found)]
        parts += [_SECTION.format(function=function), *lines]
    return rewritten(FILE, "".join([*parts, "\n"]))


def _lines(call: str, cells_of_call: list[Cell]) -> list[str]:
    # Faults that end alike share a line.
    alike: dict[str, list[str]] = defaultdict(list)
    for fault in dict.fromkeys(cell.fault for cell in cells_of_call):
        found = [cell for cell in cells_of_call if cell.fault == fault]
        remains, who = ("; ".join(sorted(set(words))) for words in ([cell.remains for cell in found], map(_who, found)))
        took = timedelta(seconds=ceil(max(cell.took for cell in found).total_seconds()))
        alike[f"{remains} | {who} | {span(took)} |"].append(fault)
    return [f"| {call} | {', '.join(faults)} | {line}\n" for line, faults in alike.items()]


def _who(cell: Cell) -> str:
    ends = {"FAILED": "FAILED, then `replay`", "refused queue": "refused queue", "failure queue": "failure queue"}
    return ends.get(cell.end) or " and ".join(dict.fromkeys(cell.finishers)) or "nobody needs to"


def main() -> None:
    with worlds() as world:
        FILE.write_text(written(cells(world)))


if __name__ == "__main__":
    main()
