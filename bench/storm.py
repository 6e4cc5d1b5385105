"""The real handlers in virtual time, over the stand-ins with AWS's quotas turned on.

`python -m bench.storm burst RATE SECONDS` sends so many notifications a second for so many seconds.
`python -m bench.storm backlog COUNT CPU_MS SCENARIO` begins with so many overdue, while 10 a second arrive.
Both print how it ended.
"""

import json
import os
import random
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from typing import Any

import delayednotify
import recheck
from bench.environment import charge_id, notification, notification_id, variables
from bench.handlers import silently, with_clock
from bench.inprocess import listen
from bench.quotas import CALL_SECONDS, limits
from bench.standins import Refused, Standins
from callback.clock import format_utc, parse_utc
from callback.record import sweep_shard, wait_after_failure
from tests.support.lambda_model import (
    DELAYED_NOTIFY,
    RECHECK,
    RETRY,
    SWEEP,
    FunctionRules,
    Handler,
    Model,
    QueueRules,
    Rules,
)

START = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
LATENCY = timedelta(milliseconds=300)
FRESH_PER_SECOND = 10
# Partitions that a new index has: the shards of `due` are dealt out to them.
_PARTITIONS = 4
_MINUTE = timedelta(minutes=1)
# The latest second pass of a quiet day: a timer fires within its minute, and each pass takes its time.
_USUAL = 60 + 1 + 1 + 60 + 2 * LATENCY.total_seconds()
# As in template.yaml, with its default parameters.
_RULES = Rules(
    {
        DELAYED_NOTIFY: FunctionRules(timedelta(seconds=90), 2, "RetryQueue"),
        RECHECK: FunctionRules(timedelta(seconds=90), 0, None),
        SWEEP: FunctionRules(timedelta(seconds=60), 0, None),
        RETRY: FunctionRules(timedelta(seconds=90), 0, None),
    },
    {
        "RetryQueue": QueueRules(timedelta(seconds=720), 360, "FailureQueue", RETRY),
        "RefusedQueue": QueueRules(),
        "FailureQueue": QueueRules(),
    },
    _MINUTE,
    timedelta(seconds=60),
)


class Storm:
    """The world: its clock and its quotas. A call of the sweep takes `cpu` seconds of its one core."""

    def __init__(self, cpu: float = 0) -> None:
        os.environ.update(variables(300))
        self.now, self.quotas, self.random = START, limits(), random.Random(7)  # noqa: S311 - a simulation
        self.busy: list[datetime] = []
        self.used: Counter[tuple[str, int]] = Counter()
        self.throttles: Counter[str] = Counter()
        self.is_down = False
        self._cpu, self._share = cpu, 0.0
        self.standins = Standins(limit=self._limit, spent=self._spend, on_event=self._accept, on_schedule=self._arm)
        self.records = self.standins.tables["CreditCardNotifyTable"]
        listen(self.standins)
        with_clock(lambda: self.now, self._shards)
        silently()
        handlers = {
            DELAYED_NOTIFY: delayednotify.lambda_handler,
            RECHECK: recheck.lambda_handler,
            SWEEP: recheck.sweep_handler,
            RETRY: delayednotify.retry_handler,
        }
        invoked = {name: self._holding_a_place(handler) for name, handler in handlers.items()}
        self.model = Model(self, invoked, _RULES, outage=self._outage, parallel=True)
        self.model.sweep()

    def send(self, seconds: float, number: int) -> None:
        """Have Notify invoke DelayedNotify then."""
        event = notification.__wrapped__(number)
        self.model.at(START + timedelta(seconds=seconds), lambda: self.model.accept(DELAYED_NOTIFY, event, "Notify"))

    def passes(self) -> dict[str, list[datetime]]:
        """When each pass of each notification was completed."""
        found = {}
        for text in self.records.items.values():
            item = json.loads(text)
            times = [parse_utc(done["M"]["at"]["S"]) for done in item["passes"]["L"]]
            assert (len(times) == 2) == (item["state"]["S"] == "DONE")  # noqa: S101 - the promise
            found[item["chargeId"]["S"]] = times
        return found

    def count(self, state: str) -> int:
        """How many records are in a state."""
        return sum(f'"state":{{"S":"{state}"}}' in text for text in self.records.items.values())

    def _holding_a_place(self, handler: Handler) -> Handler:
        def invoke(event: Any, context: Any) -> Any:  # noqa: ANN401 - as Lambda calls it
            try:
                return handler(event, context)
            finally:
                heappush(self.busy, self.now)

        return invoke

    def _outage(self, name: str) -> str:
        if name not in _RULES.functions or self._places() > 0:
            return ""
        self.throttles["lambda_concurrency"] += 1
        return "throttled"

    def _places(self) -> int:
        while self.busy and self.busy[0] < self.now:
            heappop(self.busy)
        return self.quotas["lambda_concurrency"] - len(self.busy)

    def _shards(self, work: Callable[[int], Any], shards: Iterable[int]) -> list[Any]:
        """The sweep's threads: each of those that find something has an equal part of the core."""
        began, ends, found = self.now, [self.now], []
        now = (format_utc(began), ("\uffff",))
        self._share = self._cpu * max(1, sum(entries[:1] <= [now] for entries in self.records.due.values() if entries))
        for shard in shards:
            self.now = began
            found.append(work(shard))
            ends.append(self.now)
        self.now, self._share = max(ends), 0
        return found

    def _limit(self, name: str, request: Mapping[str, Any]) -> None:
        self.now += timedelta(seconds=max(CALL_SECONDS, self._share))
        if name == "lambda.Invoke" and request.get("InvocationType") != "Event":
            if self._places() <= 1:  # one is this function's own
                self.throttles["lambda_concurrency"] += 1
                raise Refused("TooManyRequestsException", 429)
            self.now += LATENCY
            heappush(self.busy, self.now)
            if self.is_down:
                raise Refused("ServiceException", 500)
        elif name == "scheduler.CreateSchedule":
            self._wait_for("create_schedule")
            self.used["create_schedule", self._second] += 1
        elif name in {"dynamodb.PutItem", "dynamodb.UpdateItem"} and request["TableName"] == "CreditCardNotifyTable":
            values = request.get("ExpressionAttributeValues", {})
            shard = request.get("Item", {}).get("sweepShard") or values.get(":sweepShard") or values.get(":shard")
            self._wait_for("table_writes")
            if shard:
                self._wait_for("partition_writes", f" {int(shard['N']) % _PARTITIONS}")

    @property
    def _second(self) -> int:
        return int(self.now.timestamp())

    def _wait_for(self, quota: str, part: str = "") -> None:
        # As botocore's standard mode tries: twice, with a random wait between.
        for _ in range(2):
            if self.used[quota + part, self._second] < self.quotas[quota]:
                return
            self.throttles[quota] += 1
            self.now += timedelta(seconds=self.random.random())
        raise Refused("ThrottlingException", 429)

    def _spend(self, units: Counter[str]) -> None:
        self.used["table_writes", self._second] += units["write"]
        for name, count in units.items():
            if name.startswith("shard "):
                self.used[f"partition_writes {int(name[6:]) % _PARTITIONS}", self._second] += count

    def _accept(self, asked: Mapping[str, Any]) -> None:
        self.model.accept(RECHECK, asked, "sweep")

    def _arm(self, request: Mapping[str, Any]) -> None:
        [text] = re.findall(r"at\((.+)\)", request["ScheduleExpression"])
        at = datetime.fromisoformat(text).replace(tzinfo=UTC) + timedelta(seconds=self.random.uniform(0, 60))
        while self.used["scheduler_invocations", int(at.timestamp())] >= self.quotas["scheduler_invocations"]:
            self.throttles["scheduler_invocations"] += 1
            at += timedelta(seconds=1)
        self.used["scheduler_invocations", int(at.timestamp())] += 1
        asked = json.loads(request["Target"]["Input"])
        self.model.at(at, lambda: self.model.accept(RECHECK, asked, "timer"))
        self.standins.schedules.discard(request["Name"])


def burst(rate: int, seconds: int) -> dict[str, Any]:
    """Let the storm come and pass; two hours of quiet follow."""
    storm = Storm()
    for number in range(rate * seconds):
        storm.send(number / rate, number)
    storm.model.run(START + 120 * _MINUTE)
    ends = {charge: times[-1] for charge, times in storm.passes().items() if len(times) == 2}
    took = sorted(
        (ends[charge_id(n)] - START).total_seconds() - n / rate for n in range(rate * seconds) if charge_id(n) in ends
    )
    of_all = {f"p{part}": took[min(len(took) * part // 100, len(took) - 1)] for part in (50, 99, 100)}
    sent, done, letters = rate * seconds, len(took), sum(map(len, storm.model.queues.values()))
    lost = sent - done - letters - storm.count("PENDING") - storm.count("FAILED")
    held = sum(metric == "NumberOfMessagesSent" for _, metric, _ in storm.model.counts)
    return {"sent": sent, "done": done, "held": held, "lost": lost, "throttles": storm.throttles} | of_all


def backlog(count: int, cpu_ms: float, scenario: str) -> dict[str, Any]:
    """Begin with so many overdue, and go on until none of them is left."""
    storm, fresh, minutes = Storm(cpu_ms / 1000), 0, 0
    template = _record_after_a_failure(storm)
    for number in range(count):
        item = (
            _waiting(template, number, storm.random) if scenario == "waiting" else _due(template, number, storm.random)
        )
        storm.records.put(item, "", {})
    while storm.count("PENDING") > FRESH_PER_SECOND * 125 and minutes < 120:
        minutes += 1
        for _ in range(60 * FRESH_PER_SECOND):
            storm.send(fresh / FRESH_PER_SECOND, count + fresh)
            fresh += 1
        storm.model.run(START + minutes * _MINUTE)
    storm.model.run(START + (minutes + 3) * _MINUTE)
    passes = {charge: [(time - START).total_seconds() for time in times] for charge, times in storm.passes().items()}
    ended = sorted(passes[charge_id(n)][-1] for n in range(count))
    delays = [
        (times[0] - n / FRESH_PER_SECOND, times[-1] - n / FRESH_PER_SECOND)
        for n, times in ((n, passes[charge_id(count + n)]) for n in range(fresh))
    ]
    first, last = (max(each) for each in zip(*delays, strict=True))
    by_minute = [sum(end <= 60 * minute for end in ended) for minute in range(1, minutes + 4)]
    about = {"half": ended[len(ended) // 2], "all": ended[-1], "first": first, "last": last, "usual": _USUAL}
    return about | {"by_minute": by_minute, "throttles": storm.throttles}


def _record_after_a_failure(storm: Storm) -> dict[str, Any]:
    storm.is_down = True
    storm.send(0, -1)
    storm.model.run(START + timedelta(seconds=5))
    storm.is_down = False
    [text] = storm.records.items.values()
    storm.records.items.clear()
    storm.records.due.clear()
    item: dict[str, Any] = json.loads(text)
    storm.now = START
    return item


def _waiting(template: Mapping[str, Any], number: int, chance: random.Random) -> dict[str, Any]:
    """One that ProcessPaidOrder, down for two hours, has failed many times; it waits for its next attempt."""
    age = timedelta(hours=2 * chance.random())
    due = START + chance.random() * wait_after_failure(age)
    failures = 3 + int(age / timedelta(minutes=9))
    return _placed(template, number, due, START - age, failures) | {"attempts": {"N": str(failures)}}


def _due(template: Mapping[str, Any], number: int, chance: random.Random) -> dict[str, Any]:
    """One whose second pass nobody could start: its time is over."""
    due = START - timedelta(hours=2 * chance.random())
    done = {"M": {"number": {"N": "1"}, "at": {"S": format_utc(due)}, "outcome": {"S": "{}"}}}
    ready = {"passesDone": {"N": "1"}, "attempts": {"N": "1"}, "attemptsBefore": {"N": "1"}, "passes": {"L": [done]}}
    return _placed(template, number, due, due, 0) | ready


def _placed(
    template: Mapping[str, Any], number: int, due: datetime, first_due: datetime, failures: int
) -> dict[str, Any]:
    ids = {"chargeId": charge_id(number), "notificationId": notification_id(number)}
    shard = sweep_shard(ids | {"checksumStatus": "valid"}, failures)
    times = {"nextPassDue": due, "sweepAt": due, "firstDue": first_due}
    texts = ids | {"orderId": f"ORDER-{number}"} | {name: format_utc(time) for name, time in times.items()}
    return dict(template) | {name: {"S": text} for name, text in texts.items()} | {"sweepShard": {"N": str(shard)}}


if __name__ == "__main__":
    kind, *given = sys.argv[1:]
    if kind == "burst":
        print(json.dumps(burst(*map(int, given))))
    else:
        print(json.dumps(backlog(int(given[0]), float(given[1]), given[2])))
