"""Item 6's simulation: the real handlers in virtual time, over the stand-ins with AWS's quotas turned on.

`python -m bench.storm RATE SECONDS LATENCY_MS` sends so many notifications a second for so many seconds and prints how
it ended. The rules are AWS's: asynchronous events that are throttled wait (1 s, doubled, at most 5 minutes); those that
fail are tried again after one and two minutes and kept then; a timer fires within its minute.
"""

import heapq
import itertools
import json
import os
import random
import re
import sys
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import delayednotify
import recheck
from bench.environment import notification, variables
from bench.handlers import silently, with_clock
from bench.inprocess import listen
from bench.quotas import CALL_SECONDS, limits
from bench.standins import Refused, Standins

START = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
SWEEP_SECONDS = 300
HORIZON = 6 * 3600
_RETRIES = (60, 120)


@dataclass(order=True)
class Event:
    """An invocation to come: when, of what, with what; how often it failed and how often it was throttled."""

    at: float
    order: int
    function: str = field(compare=False)
    payload: Any = field(compare=False)
    failed: int = field(default=0, compare=False)
    throttled: int = field(default=0, compare=False)


class Storm:
    """The world: its clock, its queues, its quotas."""

    def __init__(self, latency_ms: int) -> None:
        os.environ.update(variables(latency_ms))
        self.latency, self.quotas, self.random = latency_ms / 1000, limits(), random.Random(7)  # noqa: S311 - a simulation
        self.now = 0.0
        self.queue: list[Event] = []
        self.busy: list[float] = []
        self.used: Counter[tuple[str, int]] = Counter()
        self.throttles: Counter[str] = Counter()
        self.dead: list[Event] = []
        self._order = itertools.count()
        self.standins = Standins(limit=self._limit, on_schedule=self._arm)
        listen(self.standins)
        with_clock(lambda: START + timedelta(seconds=self.now))
        silently()

    def send(self, at: float, function: str, payload: Any) -> None:  # noqa: ANN401 - an event
        """Put an event into Lambda's queue."""
        heapq.heappush(self.queue, Event(at, next(self._order), function, payload))

    def run(self, until: float) -> None:
        """Let everything happen up to a moment."""
        while self.queue and self.queue[0].at <= until:
            self._happen(heapq.heappop(self.queue))

    def _happen(self, event: Event) -> None:
        self.now = event.at
        if not self._slot():
            self.throttles["lambda_concurrency"] += 1
            event.throttled += 1
            event.at += min(300, 2**event.throttled) * self.random.uniform(0.5, 1)
            heapq.heappush(self.queue, event)
            return
        heapq.heappush(self.busy, event.at)  # held from now on; put right when its end is known
        try:
            self._invoke(event)
        except Exception:  # noqa: BLE001 - whatever it is: Lambda tries again
            self._again(event)
        self.busy.remove(event.at)
        heapq.heapify(self.busy)
        heapq.heappush(self.busy, self.now)
        for asked in self.standins.events:
            self.send(self.now, "recheck", asked)
        self.standins.events.clear()

    def _invoke(self, event: Event) -> None:
        if event.function == "delayednotify":
            delayednotify.lambda_handler(event.payload, None)
        elif event.function == "recheck":
            recheck.lambda_handler(event.payload, None)
        else:
            recheck.sweep_handler({}, None)

    def _again(self, event: Event) -> None:
        if event.failed == len(_RETRIES):
            self.dead.append(event)
            return
        wait = _RETRIES[event.failed]
        made = Event(self.now + wait, next(self._order), event.function, event.payload, event.failed + 1)
        heapq.heappush(self.queue, made)

    def _slot(self) -> bool:
        while self.busy and self.busy[0] < self.now:
            heapq.heappop(self.busy)
        return len(self.busy) < self.quotas["lambda_concurrency"]

    def _limit(self, name: str, request: dict[str, Any]) -> None:
        self.now += CALL_SECONDS
        if name == "lambda.Invoke" and request.get("InvocationType") != "Event":
            if len(self.busy) >= self.quotas["lambda_concurrency"]:
                self.throttles["lambda_concurrency"] += 1
                raise Refused("TooManyRequestsException", 429)
            self.now += self.latency
            heapq.heappush(self.busy, self.now)
        for quota, units in _of(name, request).items():
            self._wait_for(quota, units)

    def _wait_for(self, quota: str, units: int) -> None:
        # As botocore's standard mode tries: three times, with a random wait that doubles.
        for attempt in range(3):
            window = (quota, int(self.now))
            if self.used[window] + units <= self.quotas[quota]:
                self.used[window] += units
                return
            self.throttles[quota] += 1
            self.now += self.random.random() * 2**attempt
        raise Refused("ThrottlingException", 429)

    def _arm(self, request: dict[str, Any]) -> None:
        [text] = re.findall(r"at\((.+)\)", request["ScheduleExpression"])
        at = (datetime.fromisoformat(text).replace(tzinfo=UTC) - START).total_seconds() + self.random.uniform(0, 60)
        while self.used["scheduler_invocations", int(at)] >= self.quotas["scheduler_invocations"]:
            self.throttles["scheduler_invocations"] += 1
            at += 1
        self.used["scheduler_invocations", int(at)] += 1
        self.send(at, "recheck", json.loads(request["Target"]["Input"]))
        self.standins.schedules.discard(request["Name"])


def _of(name: str, request: dict[str, Any]) -> dict[str, int]:
    if name == "scheduler.CreateSchedule":
        return {"create_schedule": 1}
    if name in {"dynamodb.PutItem", "dynamodb.UpdateItem"} and request["TableName"] == "CreditCardNotifyTable":
        return {"table_writes": 2}  # a record is between one and two kilobytes
    return {}


def main() -> None:
    """Let the storm come, pass, and be cleared up."""
    rate, seconds, latency = (int(text) for text in sys.argv[1:4])
    storm = Storm(latency)
    for number in range(rate * seconds):
        storm.send(number / rate, "delayednotify", notification.__wrapped__(number))
    for at in range(SWEEP_SECONDS, HORIZON, SWEEP_SECONDS):
        storm.send(at, "sweep", {})
    storm.run(HORIZON)
    storm.dead = [event for event in storm.dead if event.function != "sweep"]  # the next run does the same work
    by_itself, letters = _done(storm), len(storm.dead)
    for letter in storm.dead:  # `make redrive`
        storm.send(HORIZON + storm.random.uniform(0, 600), letter.function, letter.payload)
    storm.dead = []
    storm.run(2 * HORIZON)
    print(json.dumps(_told(storm, rate * seconds, by_itself, letters)))


def _done(storm: Storm) -> list[float]:
    """Return, for each that is done, the seconds from its receipt to its end."""
    found = []
    for text in storm.standins.tables["CreditCardNotifyTable"].items.values():
        item = json.loads(text)
        if item["state"]["S"] == "DONE":
            ended, received = (datetime.fromisoformat(item[name]["S"]) for name in ("endedAt", "receivedAt"))
            assert len(item["passes"]["L"]) == 2  # noqa: S101 - the promise
            found.append((ended - received).total_seconds())
    return sorted(found)


def _told(storm: Storm, sent: int, by_itself: list[float], letters: int) -> dict[str, Any]:
    done = len(_done(storm))
    of_all = {f"p{part}": by_itself[min(len(by_itself) * part // 100, len(by_itself) - 1)] for part in (50, 99, 100)}
    failed = sum('"FAILED"' in text for text in storm.standins.tables["CreditCardNotifyTable"].items.values())
    kept = len(storm.dead)
    about = {"sent": sent, "by_itself": len(by_itself), "letters": letters, "done": done, "failed": failed}
    return about | of_all | {"lost": sent - done - failed - kept, "throttles": dict(storm.throttles)}


if __name__ == "__main__":
    main()
