"""The real handlers in virtual time, over the stand-ins with AWS's quotas turned on: bursts, and a backlog.

Lambda's queue, SQS, Scheduler and the sweep's rule are the tests' model. All of it runs in a worker, in .venv.
"""

import json
import logging
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from statistics import median, quantiles
from typing import Any

from bench.facts import PARAMETERS, read
from bench.handlers import use
from bench.notifications import ids, notification
from bench.standins import Answer, Standins, in_process, number_of, waiting_record
from bench.tables import LAST, Refused
from callback.record import sweep_shard, wait_after_failure
from callback.table import format_utc, parse_utc
from tests.support.expressions import Typed
from tests.support.lambda_model import DELAYED_NOTIFY, RECHECK, RETRY, SWEEP, Handler, Model, read_rules
from tests.support.template import resolved

START = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
FRESH_PER_SECOND = 10
# What each call takes: assumed, not measured. DynamoDB promises "single-digit milliseconds".
CALL_SECONDS = 0.005
_MINUTE = timedelta(minutes=1)


class Storm(Standins):
    """An account with its clock and its quotas. Each notification takes `cpu_s` of the sweep's one core."""

    def __init__(self, cpu_s: float = 0) -> None:
        super().__init__()
        self.now, self.random = START, random.Random(7)  # noqa: S311 - a simulation
        self.throttles, self._used = Counter[str](), Counter[tuple[str, int]]()
        # When each place of Lambda's concurrency is free again.
        self._busy: list[datetime] = []
        # Of one call, while the sweep's threads share the core.
        self._cpu_s, self._call_s = cpu_s, CALL_SECONDS
        in_process(self)
        handlers = {name: self._in_a_place(run) for name, run in use(lambda: self.now, self._share_core).items()}
        logging.disable()
        rules = read_rules(resolved(**PARAMETERS))
        self.model = Model(self, handlers, rules, outage=self._outage, parallel=True)
        self.model.sweep()

    def send(self, seconds: float, number: int) -> None:
        """Have Notify invoke DelayedNotify then."""
        event = notification(number)
        self.model.at(START + timedelta(seconds=seconds), lambda: self.model.accept(DELAYED_NOTIFY, event, "Notify"))

    def ends(self) -> dict[int, list[float]]:
        """Return the seconds after which each pass of each notification ended."""
        items = [json.loads(text) for text in self.records.items.values()]
        times = {number_of(item["chargeId"]["S"]): item["passes"]["L"] for item in items}
        return {n: [(parse_utc(p["M"]["at"]["S"]) - START).total_seconds() for p in each] for n, each in times.items()}

    def answer(self, service: str, operation: str, request: dict[str, Any]) -> Answer:
        """Answer as the services do, within the quotas."""
        self.now += timedelta(seconds=self._call_s)
        if service == "lambda":
            return self._invoked(request)
        quota, written = self._quota(operation, request), self.records.units["write"]
        self._await_quota(quota)
        try:
            answer = super().answer(service, operation, request)
        finally:
            self._used[quota, int(self.now.timestamp())] += max(1, self.records.units["write"] - written)
        if operation == "CreateSchedule":
            self._fire_later(request)
        return answer

    def _invoked(self, request: Mapping[str, Any]) -> Answer:
        if request.get("InvocationType") == "Event":
            return self.model.invoke(request)
        if self._free_places() <= 1:  # one is the caller's own
            self.throttles["Lambda concurrency"] += 1
            raise Refused("TooManyRequestsException", 429)
        answer = self.model.invoke(request)
        heappush(self._busy, self.now)
        return answer

    def _quota(self, operation: str, request: Mapping[str, Any]) -> str:
        # The quotas that are reached first, except Lambda's concurrency.
        if operation in {"PutItem", "UpdateItem"} and self.tables[request["TableName"]] is self.records:
            return "table writes"
        return "CreateSchedule" if operation == "CreateSchedule" else ""

    def _fire_later(self, request: Mapping[str, Any]) -> None:
        at = datetime.strptime(request["ScheduleExpression"], "at(%Y-%m-%dT%H:%M:%S)").replace(tzinfo=UTC)
        # At any moment of its minute: all at its end would be a burst that only the model has.
        at, given = at + self.random.random() * _MINUTE, json.loads(request["Target"]["Input"])
        self.model.at(at, lambda: self.model.accept(RECHECK, given, "timer"))

    def _await_quota(self, name: str) -> None:
        # As botocore's standard mode tries: twice, with a random wait between.
        for _ in range(2):
            if not name or self._used[name, int(self.now.timestamp())] < read("quotas")[name]:
                return
            self.throttles[name] += 1
            self.now += timedelta(seconds=self.random.random())
        raise Refused("ThrottlingException", 429)

    def _in_a_place(self, handler: Handler) -> Handler:
        def invoke(event: Any, context: Any) -> Any:  # noqa: ANN401 - as Lambda calls it
            try:
                return handler(event, context)
            finally:
                heappush(self._busy, self.now)

        return invoke

    def _outage(self, name: str) -> str:
        if name not in {DELAYED_NOTIFY, RECHECK, SWEEP, RETRY} or self._free_places() > 0:
            return ""
        self.throttles["Lambda concurrency"] += 1
        return "throttled"

    def _free_places(self) -> int:
        while self._busy and self._busy[0] < self.now:
            heappop(self._busy)
        return int(read("quotas")["Lambda concurrency"]) - len(self._busy)

    def _share_core(self, work: Callable[[int], Any], shards: Iterable[int]) -> list[Any]:
        """Run the sweep's threads: those that find something share the core."""
        began, ends, found, now = self.now, [self.now], [], (format_utc(self.now), LAST)
        busy = sum(entries[:1] <= [now] for entries in self.records.due.values() if entries)
        # Each notification takes two calls: it is moved back, and handed over.
        self._call_s = max(CALL_SECONDS, self._cpu_s / 2 * max(1, busy))
        for shard in shards:
            self.now = began
            found.append(work(shard))
            ends.append(self.now)
        self.now, self._call_s = max(ends), CALL_SECONDS
        return found


def burst(rate: int, seconds: int) -> dict[str, Any]:
    """Send `rate` notifications a second, and let two hours pass in which nobody does anything."""
    storm, sent = Storm(), rate * seconds
    for number in range(sent):
        storm.send(number / rate, number)
    storm.model.run(START + 120 * _MINUTE)
    took = [times[1] - number / rate for number, times in storm.ends().items() if len(times) == 2]
    kept = len(storm.records.items) + sum(map(len, storm.model.queues.values()))
    held = sum(len(times) for (metric, _), times in storm.model.metrics.items() if metric == "NumberOfMessagesSent")
    counts = {"sent": sent, "done": len(took), "held": held, "lost": sent - kept, "throttles": storm.throttles}
    return counts | {"p50": median(took), "p99": quantiles(took, n=100)[-1], "p100": max(took)}


def backlog(scenario: str, count: int, cpu_ms: float) -> dict[str, Any]:
    """Begin with `count` overdue, and go on until none of them is left, while others arrive."""
    storm, fresh, minutes = Storm(cpu_ms / 1000), 0, 0
    for number in range(count):
        storm.records.answer("PutItem", {"Item": _overdue(number, storm.random, waits=scenario == "waiting")})
    # Those that arrived last wait for their second pass.
    while sum(map(len, storm.records.due.values())) > FRESH_PER_SECOND * 125 and minutes < 120:
        minutes += 1
        for _ in range(60 * FRESH_PER_SECOND):
            storm.send(fresh / FRESH_PER_SECOND, count + fresh)
            fresh += 1
        storm.model.run(START + minutes * _MINUTE)
    storm.model.run(START + (minutes + 3) * _MINUTE)
    ends = storm.ends()
    overdue = [ends[number][-1] / 60 for number in range(count)]
    delays = [[at - number / FRESH_PER_SECOND for at in ends[count + number]] for number in range(fresh)]
    return {
        "count": count,
        "half": median(overdue),
        "all": max(overdue),
        "first": max(each[0] for each in delays),
        "last": max(each[-1] for each in delays),
        "by_minute": [sum(end <= minute for end in overdue) for minute in range(1, minutes + 4)],
        "throttles": storm.throttles,
    }


def _overdue(number: int, chance: random.Random, *, waits: bool) -> Typed:
    """Return a record that nobody could recheck for two hours, or one whose first pass failed all that time."""
    age = timedelta(hours=2 * chance.random())
    failures = 3 + int(age / timedelta(minutes=9)) if waits else 0
    due = START + chance.random() * wait_after_failure(age) if waits else START - age
    times = {"nextPassDue": due, "sweepAt": due, "firstDue": START - age}
    shard = sweep_shard(ids(number) | {"checksumStatus": "valid"}, failures)
    counts = {"sweepShard": shard, "attemptsBefore": 1, "attempts": 1}
    if waits:
        counts |= {"passesDone": 0, "attempts": failures, "attemptsBefore": 0}
    item = waiting_record(number) | {name: {"S": format_utc(time)} for name, time in times.items()}
    item |= {name: {"N": str(count)} for name, count in counts.items()}
    return item | ({"passes": {"L": []}} if waits else {})
