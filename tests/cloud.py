"""What AWS does around the handlers, as rules over the world's clock: the asynchronous queue, Scheduler, the sweep.

No emulator is faithful here, so each rule says what AWS states, and on which page.

L1  Lambda runs a failed asynchronous event twice more, a minute and then two minutes later, under the same request id.
L2  The same event may be delivered more than once without any error. (`accept` it again.)
L3  After the last attempt, or when the event is too old, the whole request goes to the OnFailure destination.
L4  An asynchronous invocation is accepted before anything runs: the caller hears of no error in the function.
    Lambda Developer Guide: "How Lambda handles errors and retries with asynchronous invocation" (L1, L2),
    "Capturing records of Lambda asynchronous invocations" (L3), "Invoking a Lambda function asynchronously" (L4).
S1  A schedule fires within the minute that its time names: at(1:00:00) between 1:00:00 and 1:00:59.
S2  Each schedule fires at least once: it may fire twice; above the quota it is delayed. Here also: not at all.
S3  A hand-over that is refused is tried again for as long as the retry policy says, then goes to the dead-letter queue.
S4  A schedule with ActionAfterCompletion=DELETE is deleted some time after its last invocation; its name is then free.
S5  A name that exists is refused with ConflictException. (That one is moto's.)
    EventBridge Scheduler User Guide: "Schedule types" (S1), "What is Amazon EventBridge Scheduler?" and "Quotas" (S2),
    "Configuring a dead-letter queue" (S3), "Deleting a schedule" (S4); API Reference: CreateSchedule (S5).
E1  A rule with rate(5 minutes) invokes its target asynchronously every 5 minutes; at the worst one has just been.
    EventBridge User Guide: "Creating a rule that runs on a schedule".
"""

import heapq
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

from botocore.exceptions import ReadTimeoutError

import delayednotify
import recheck
from callback.clock import moment
from callback.sweep import GRACE
from tests.quietly import roomily
from tests.wire import Answer, Call, payload
from tests.world import World

DELAYED_NOTIFY, RECHECK, SWEEP = "DelayedNotify", "Recheck", "Sweep"
HANDLERS: dict[str, Callable[[Any, Any], Any]] = {
    DELAYED_NOTIFY: delayednotify.lambda_handler,
    RECHECK: recheck.lambda_handler,
    SWEEP: recheck.sweep_handler,
}
# L1
RETRIES = (timedelta(minutes=1), timedelta(minutes=2))
# S1, at its latest
PRECISION = timedelta(seconds=59)
# E1
EVERY = timedelta(minutes=5)


class Died(BaseException):
    """The process is gone, in the middle of a call: nothing of ours may catch this."""


@dataclass(frozen=True)
class Event:
    """An event that Lambda accepted."""

    function: str
    payload: Any
    source: str
    request_id: str
    tries: int = 0


@dataclass(frozen=True)
class Letter:
    """A dead letter: what OnFailure, or Scheduler's own queue, keeps of an event."""

    function: str
    payload: Any
    queue: str
    at: datetime


@dataclass
class Run:
    """One execution of ProcessPaidOrder, as it would tell itself."""

    notification: str
    number: int
    began: datetime
    completed: bool = False


@dataclass(repr=False)
class Cloud:
    """One account's Lambda and Scheduler, with a queue of what happens when."""

    world: World
    redelivers: bool = True
    timer: str = "once"
    behaviour: Callable[[int], str] = lambda _number: "works"
    runs: list[Run] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)
    finished: dict[str, datetime] = field(default_factory=dict)
    running: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        """Stand between the handlers and moto."""
        self._queue: list[tuple[datetime, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self._swept: datetime | None = None
        self._holder = ""
        self._due: dict[str, datetime | None] = {}
        self.world.wire.answers["lambda.Invoke"] = self._invoke
        self.world.wire.after["scheduler.CreateSchedule"] = self._armed
        self.world.wire.after |= dict.fromkeys(("dynamodb.PutItem", "dynamodb.UpdateItem"), self._claims)

    # --- Lambda ---

    def accept(self, function: str, event: Any, source: str) -> None:
        """Take an asynchronous invocation: the caller gets 202 and hears no more of it (L2, L4)."""
        self._at(self.world.now, lambda: self._try(Event(function, event, source, str(uuid4()))))

    def _try(self, event: Event) -> None:
        self.running, self.source = event.function, event.source if not event.tries else "retry"
        try:
            with self.world.wire:
                roomily(HANDLERS[event.function], event.payload, SimpleNamespace(aws_request_id=event.request_id))
        except Died:
            self.world.cold_start()
            self._failed(event)
        except Exception:  # noqa: BLE001 - Lambda takes any
            self._failed(event)
        finally:
            self.running = self.source = ""

    def _failed(self, event: Event) -> None:
        # L1, L3
        if self.redelivers and event.tries < len(RETRIES):
            again = Event(event.function, event.payload, event.source, event.request_id, event.tries + 1)
            self._at(self.world.now + RETRIES[event.tries], lambda: self._try(again))
        else:
            self.letters.append(Letter(event.function, event.payload, f"{event.function}FailureQueue", self.world.now))

    def _invoke(self, call: Call) -> Answer:
        if call.request.get("InvocationType") == "Event":
            self.accept(RECHECK, json.loads(call.request["Payload"]), "sweep")
            return {"StatusCode": 202}
        return self._process_paid_order(json.loads(call.request["Payload"]))

    def _process_paid_order(self, asked: dict[str, Any]) -> Answer:
        run = Run(self._holder, asked["pass"], self.world.now)
        self.runs.append(run)
        behaviour = self.behaviour(run.number)
        match behaviour:
            case "dies":
                raise Died
            case "fails":
                self.world.wait(0.3)
                return payload({"errorMessage": "the shop's database is asleep"}, error="Unhandled")
            case "times out":  # the caller gives up; the callee goes on and finishes
                run.completed = True
                self.world.wait(self.world.app.settings.pass_timeout_seconds)
                raise ReadTimeoutError(endpoint_url="a test")
            case "slow":
                self.world.wait(self.world.app.settings.pass_timeout_seconds - 1)
            case _:
                self.world.wait(0.3)
        run.completed = True
        return payload({"paid": behaviour != "says no"})

    def _claims(self, call: Call) -> None:
        # ProcessPaidOrder is told the charge only: whose pass it runs is known from the claim before.
        if ":lease" in call.request.get("ExpressionAttributeValues", ()):
            self._holder = call.request["Key"]["notificationId"]["S"]
        if "Item" in call.request:
            self._holder = call.request["Item"]["notificationId"]["S"]

    # --- EventBridge Scheduler ---

    def _armed(self, call: Call) -> None:
        when = datetime.strptime(call.request["ScheduleExpression"], "at(%Y-%m-%dT%H:%M:%S)").replace(tzinfo=UTC)
        name, asked = call.request["Name"], json.loads(call.request["Target"]["Input"])
        # S2
        fires = {"once": [0], "twice": [0, 20], "late": [2400], "never": [], "refused": []}[self.timer]
        for late in fires:
            fired = when + PRECISION + timedelta(seconds=late)
            self._at(fired, lambda: self.accept(RECHECK, asked, "timer"))
        if self.timer == "refused":  # S3
            given_up = when + timedelta(seconds=call.request["Target"]["RetryPolicy"]["MaximumEventAgeInSeconds"])
            self._at(
                given_up, lambda: self.letters.append(Letter(RECHECK, asked, "SchedulerDeadLetterQueue", given_up))
            )
        # S4
        self._at(when + PRECISION + timedelta(seconds=max([*fires, 0]) + 30), lambda: self.world.delete(name))

    # --- time ---

    def _at(self, when: datetime, what: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (when, next(self._count), what))

    def step(self, until: datetime) -> bool:
        """Let the next thing happen, if one does by then."""
        sweep = self._next_sweep()
        if self._queue and (sweep is None or self._queue[0][0] <= sweep):
            when, what = self._queue[0][0], self._happen
        elif sweep:
            when, what = sweep, self.sweep
        else:
            return False
        if when > until:
            return False
        self.world.now = max(self.world.now, when)
        what()
        return True

    def _happen(self) -> None:
        heapq.heappop(self._queue)[2]()
        for row in self.world.rows("CREDIT_CARD_NOTIFY_TABLE"):
            if row["state"] != "PENDING":
                self.finished.setdefault(row["notificationId"], self.world.now)
            self._due[row["notificationId"]] = moment(row["nextPassDue"]) if row["state"] == "PENDING" else None

    def sweep(self) -> None:
        """Every 5 minutes, by the template's rule; asynchronous like all the rest."""
        self._swept = self.world.now
        at = {"time": f"{self.world.now:%Y-%m-%dT%H:%M:%SZ}", "detail-type": "Scheduled Event"}
        self.accept(SWEEP, at, "sweep")

    def now(self) -> None:
        """Let happen what is due at this moment."""
        while self.step(self.world.now):
            pass

    def rest(self, within: timedelta = timedelta(hours=12)) -> None:
        """Let happen all that will; a world that finds no rest breaks the promise."""
        until = self.world.now + within
        while self.step(until):
            pass
        assert not self._queue, "no rest"

    def _next_sweep(self) -> datetime | None:
        # E1
        overdue = [due + GRACE for due in self._due.values() if due]
        if not overdue:
            return None
        return (self._swept or min(overdue)) + EVERY
