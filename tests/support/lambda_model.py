"""AWS around the handlers, in virtual time: Lambda's queue, SQS, EventBridge Scheduler, the sweep's rule, outages.

No emulator is faithful here, so each rule says what AWS states, and on which page. Numbers come from the template.

L1  Lambda runs a failed asynchronous event again as often as MaximumRetryAttempts says: a minute later, then two.
L2  The same event may be delivered more than once without any error. (`accept` it again.)
L3  After the last attempt, or when the event is too old, Lambda sends the whole request to the OnFailure destination.
    Where that cannot be reached the event is gone; `DestinationDeliveryFailures` counts it.
L4  An asynchronous invocation is accepted before anything runs: the caller hears of no error in the function.
L5  Lambda ends a process that runs for longer than the function's timeout.
L6  Throttled events are tried again for 6 hours, 1 second to 5 minutes apart, whatever MaximumRetryAttempts says.
    Lambda Developer Guide: "How Lambda handles errors and retries with asynchronous invocation" (L1, L2, L6),
    "Capturing records of Lambda asynchronous invocations" (L3), "Invoking a Lambda function asynchronously" (L4),
    "Configure Lambda function timeout" (L5).
Q1  A message that was received is hidden for the visibility timeout, then there again, its receive count one higher.
Q2  A message that was received maxReceiveCount times goes to the redrive policy's queue when it is asked for again.
Q3  The event source invokes the function with the message and deletes it, unless the function raises or names the
    message in batchItemFailures. (Batches of one.)
    SQS Developer Guide: "Amazon SQS visibility timeout" (Q1), "Using dead-letter queues" (Q2); Lambda Developer Guide:
    "Handling errors for an SQS event source" (Q3).
S1  A schedule fires within the minute that its time names: at(1:00:00) between 1:00:00 and 1:00:59.
S2  Each schedule fires at least once: it may fire twice; above the quota it is delayed. Here also: not at all.
S3  A hand-over that is refused is tried again, ever later, as the retry policy says, then goes to the dead letters.
S4  A schedule with ActionAfterCompletion=DELETE is deleted some time after its last invocation; its name is then free.
S5  A name that exists is refused with ConflictException. (That one is moto's.)
    EventBridge Scheduler User Guide: "Schedule types" (S1), "What is Amazon EventBridge Scheduler?" and "Quotas" (S2),
    "Configuring a dead-letter queue" (S3), "Deleting a schedule" (S4); API Reference: CreateSchedule (S5).
E1  A rule with rate(...) invokes its target asynchronously at that rate; at the worst the target has just been invoked.
    EventBridge User Guide: "Creating a rule that runs on a schedule".
"""

import heapq
import io
import itertools
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, Protocol
from uuid import uuid4

from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.response import StreamingBody

DELAYED_NOTIFY, RECHECK, SWEEP, RETRY = "DelayedNotify", "Recheck", "Sweep", "Retry"
# L1
RETRY_WAITS = (timedelta(minutes=1), timedelta(minutes=2))
# L6
THROTTLED_FOR = timedelta(hours=6)
# S1, at its latest
PRECISION = timedelta(seconds=59)
ERROR_CODES = {
    "denied": "AccessDeniedException",
    "throttled": "ThrottlingException",
    "server error": "InternalServerError",
}


FAILURES = {*ERROR_CODES, "hanging"}
Handler = Callable[[Any, Any], Any]


class Died(BaseException):
    """The process ends in the middle of a call. A `BaseException`, so that no handler catches it."""


class Clock(Protocol):
    """What the model needs of a world: its time, which handlers and calls advance."""

    now: datetime


@dataclass(frozen=True)
class FunctionRules:
    """What the template says of a function; `on_failure` is a queue."""

    timeout: timedelta
    retries: int
    on_failure: str | None


@dataclass(frozen=True)
class QueueRules:
    """What the template says of a queue; `consumer` is the function of its event source."""

    visibility: timedelta = timedelta(seconds=30)
    max_receives: int = 0
    dead_letters: str | None = None
    consumer: str | None = None


@dataclass(frozen=True)
class Rules:
    """The numbers that the template sets."""

    functions: Mapping[str, FunctionRules]
    queues: Mapping[str, QueueRules]
    sweep_every: timedelta
    pass_timeout: timedelta


def read_rules(resources: Mapping[str, Any]) -> Rules:
    """Read the rules from the template's resources, references resolved."""

    def of(kind: str) -> dict[str, Any]:
        return {name: about["Properties"] for name, about in resources.items() if about["Type"] == f"AWS::{kind}"}

    made = of("Lambda::Function")
    names = {about["FunctionName"]: name.removesuffix("Function") for name, about in made.items()}
    configs = {about["FunctionName"]: about for about in of("Lambda::EventInvokeConfig").values()}
    sources = {_queue(a["EventSourceArn"]): names[a["FunctionName"]] for a in of("Lambda::EventSourceMapping").values()}
    [rule] = of("Events::Rule").values()
    environment = made["RecheckFunction"]["Environment"]["Variables"]
    return Rules(
        {
            names[name]: _function_rules(about, configs.get(name, {}))
            for about in made.values()
            if (name := about["FunctionName"])
        },
        {name: _queue_rules(about, sources.get(name)) for name, about in of("SQS::Queue").items()},
        timedelta(minutes=int(re.sub(r"\D", "", rule["ScheduleExpression"]))),
        timedelta(seconds=int(environment["PASS_TIMEOUT_SECONDS"])),
    )


def _function_rules(about: Any, config: Any) -> FunctionRules:
    to = config.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination")
    retries = config.get("MaximumRetryAttempts", len(RETRY_WAITS))
    return FunctionRules(timedelta(seconds=int(about["Timeout"])), retries, _queue(to) if to else None)


def _queue_rules(about: Any, consumer: str | None) -> QueueRules:
    redrive, visibility = about.get("RedrivePolicy", {}), timedelta(seconds=int(about.get("VisibilityTimeout", 30)))
    to = redrive.get("deadLetterTargetArn")
    return QueueRules(visibility, int(redrive.get("maxReceiveCount", 0)), _queue(to) if to else None, consumer)


def _queue(name: str) -> str:
    # Of an ARN or a URL. Queues have no names in the template, so that CloudFormation's end in the logical one.
    return re.split(r"[-:/]", name)[-1]


@dataclass(frozen=True)
class Event:
    """An event that Lambda accepted."""

    function: str
    payload: Any
    source: str
    request_id: str
    accepted: datetime
    tries: int = 0
    throttled: int = 0


@dataclass
class Message:
    """A message in a queue."""

    body: str
    sent: datetime
    attributes: Mapping[str, Any] = field(default_factory=dict)
    received: int = 0
    id: str = field(default_factory=lambda: str(uuid4()))


@dataclass
class Run:
    """One execution of ProcessPaidOrder: for which notification, and which function invoked it."""

    notification: str
    number: int
    began: datetime
    function: str
    completed: bool = False


@dataclass(repr=False)
class Model:
    """One account's Lambda, SQS and Scheduler, with a heap of what happens when.

    `outage` says how a thing fails now, by its name: "denied", "throttled", "server error", "hanging", "down" or "" for
    not at all. `waiting` gives for each notification when the sweep reads it next, None once it has ended; without
    it the sweep runs every time. With `parallel` each invocation begins at its own time, whatever others take.
    """

    world: Clock
    handlers: Mapping[str, Handler]
    rules: Rules
    redelivers: bool = True
    timer: str = "once"
    behaviour: Callable[[int], str] = lambda _number: "works"
    outage: Callable[[str], str] = lambda _name: ""
    waiting: Callable[[], Mapping[str, datetime | None]] | None = None
    restart: Callable[[], None] = lambda: None
    delete_schedule: Callable[[str], None] = lambda _name: None
    parallel: bool = False
    runs: list[Run] = field(default_factory=list)
    errors: list[tuple[str, str]] = field(default_factory=list)
    counts: list[tuple[datetime, str, str]] = field(default_factory=list)
    levels: list[tuple[str, str, datetime, datetime]] = field(default_factory=list)
    sweeps: list[datetime] = field(default_factory=list)
    finished: dict[str, datetime] = field(default_factory=dict)
    running: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        """Begin with empty queues."""
        self.queues: dict[str, list[Message]] = {name: [] for name in self.rules.queues}
        self._heap: list[tuple[datetime, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._swept: datetime | None = None
        self._time = self.world.now
        self._waiting: dict[str, datetime] = {}
        self._payload: Any = None
        self._ran = False
        self._ends = datetime.max.replace(tzinfo=UTC)

    # --- Lambda ---

    def accept(self, function: str, payload: Any, source: str) -> None:
        """Take an asynchronous invocation: the caller gets 202 and hears no more of it (L2, L4)."""
        event = Event(function, payload, source, str(uuid4()), self.world.now)
        self.at(self.world.now, lambda: self._try(event))

    def _try(self, event: Event) -> None:
        if self.outage(event.function) == "throttled":
            self._hold(event)
            return
        source = "retry" if event.tries else event.source
        try:
            self._run(event.function, event.payload, source, event.request_id)
        except (Died, Exception):  # noqa: BLE001 - Lambda takes any
            self._failed(event)

    def _run(self, function: str, payload: Any, source: str, request_id: str) -> Any:
        self.running, self.source, self._payload, self._ran = function, source, payload, True
        self._ends = self.world.now + self.rules.functions[function].timeout
        try:
            return self.handlers[function](payload, SimpleNamespace(aws_request_id=request_id))
        except BaseException as error:
            self.errors.append((function, type(error).__name__))
            self.count("Errors", function)
            if isinstance(error, Died):
                self.restart()
            raise
        finally:
            self.running = self.source = ""

    def _hold(self, event: Event) -> None:
        # L6
        self.count("Throttles", event.function)
        if self.world.now - event.accepted > THROTTLED_FOR:
            self._give_up(event)
            return
        wait = timedelta(seconds=min(300, 2**event.throttled))
        again = Event(**vars(event) | {"throttled": event.throttled + 1})
        self.at(self.world.now + wait, lambda: self._try(again))

    def _failed(self, event: Event) -> None:
        # L1
        retries = self.rules.functions[event.function].retries if self.redelivers else 0
        if event.tries < retries:
            again = Event(**vars(event) | {"tries": event.tries + 1})
            self.at(self.world.now + RETRY_WAITS[event.tries], lambda: self._try(again))
        else:
            self._give_up(event)

    def _give_up(self, event: Event) -> None:
        # L3
        queue = self.rules.functions[event.function].on_failure
        if queue is None:
            return
        about: dict[str, Any] = {"requestId": event.request_id, "functionArn": f"{event.function}:$LATEST"}
        about |= {"condition": "RetriesExhausted", "approximateInvokeCount": event.tries + 1}
        record = {"version": "1.0", "timestamp": f"{self.world.now:%Y-%m-%dT%H:%M:%S.000Z}", "requestContext": about}
        self._deliver(queue, json.dumps(record | {"requestPayload": event.payload}), event.function)

    def _deliver(self, queue: str, body: str, sender: str) -> None:
        if self.outage("SQS"):
            self.count("DestinationDeliveryFailures", sender)
        else:
            self.send(queue, body)

    def invoke(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer Lambda's Invoke: asynchronously Recheck, synchronously ProcessPaidOrder."""
        asked = json.loads(request["Payload"])
        if request.get("InvocationType") == "Event":
            self.accept(RECHECK, asked, "sweep")
            return {"StatusCode": 202}
        return self._process_paid_order(asked)

    def _process_paid_order(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        run = Run(notification_of(self._payload), asked["pass"], self.world.now, self.running)
        self.runs.append(run)
        behaviour = self.outage("ProcessPaidOrder") or self.behaviour(run.number)
        match behaviour:
            case "dies":
                raise Died
            case "fails":
                self.wait(timedelta(seconds=0.3))
                return _answer({"errorMessage": "the shop's database is asleep"}, {"FunctionError": "Unhandled"})
            case "hangs":
                self.wait(self.rules.pass_timeout)
                raise ReadTimeoutError(endpoint_url="a test")
            case "times out":  # the caller gives up; the callee goes on and finishes
                run.completed = True
                self.wait(self.rules.pass_timeout)
                raise ReadTimeoutError(endpoint_url="a test")
            case "slow":
                self.wait(self.rules.pass_timeout - timedelta(seconds=1))
            case _:
                self.wait(timedelta(seconds=0.3))
        run.completed = True
        return _answer({"paid": behaviour != "says no"})

    def around(self, call: Any, name: str, effect: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Make a call of what has this name, as far as its outage and the function's timeout allow.

        `call.patience` is how many seconds its client waits for an answer, retries included.
        """
        how = self.outage(name)
        if how == "hanging":
            self.wait(timedelta(seconds=call.patience))
        if self.world.now > self._ends:  # L5
            raise Died
        accepted = name == RECHECK and how == "throttled"  # L4
        return fail(how, call) if how in FAILURES and not accepted else effect()

    # --- SQS ---

    def take(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer SQS's SendMessage."""
        self.send(_queue(request["QueueUrl"]), request["MessageBody"], request.get("MessageAttributes"))
        return {"MessageId": "1"}

    def send(self, queue: str, body: str, attributes: Mapping[str, Any] | None = None) -> None:
        """Take a message."""
        self.count("NumberOfMessagesSent", queue)
        self._put(queue, Message(body, self.world.now, attributes or {}))

    def _put(self, queue: str, message: Message) -> None:
        self.queues[queue].append(message)
        if self.rules.queues[queue].consumer:
            self.at(self.world.now, lambda: self._receive(queue, message))
        else:
            self.levels.append(("ApproximateNumberOfMessagesVisible", queue, self.world.now, self.world.now))

    def _receive(self, queue: str, message: Message) -> None:
        rules = self.rules.queues[queue]
        if self.outage("SQS") or self.outage(str(rules.consumer)):
            self.at(self.world.now + timedelta(minutes=1), lambda: self._receive(queue, message))
            return
        if rules.dead_letters and message.received >= rules.max_receives:  # Q2
            self.queues[queue].remove(message)
            self._put(rules.dead_letters, message)
            return
        message.received += 1
        hidden_until = self.world.now + rules.visibility
        if self._consumed(str(rules.consumer), message):  # Q3
            self.queues[queue].remove(message)
        else:  # Q1
            self.levels.append(("ApproximateNumberOfMessagesNotVisible", queue, self.world.now, hidden_until))
            self.at(max(hidden_until, self.world.now), lambda: self._receive(queue, message))

    def _consumed(self, function: str, message: Message) -> bool:
        attributes = {
            "ApproximateReceiveCount": str(message.received),
            "SentTimestamp": str(round(message.sent.timestamp() * 1000)),
        }
        record = {"messageId": message.id, "body": message.body, "attributes": attributes, "eventSource": "aws:sqs"}
        try:
            answer = self._run(function, {"Records": [record]}, "retry queue", str(uuid4()))
        except (Died, Exception):  # noqa: BLE001 - Lambda takes any
            return False
        return not (answer or {}).get("batchItemFailures")

    # --- EventBridge Scheduler ---

    def schedule(self, request: Mapping[str, Any]) -> None:
        """Take a schedule that CreateSchedule accepted."""
        when = datetime.strptime(request["ScheduleExpression"], "at(%Y-%m-%dT%H:%M:%S)").replace(tzinfo=UTC) + PRECISION
        # S2
        fires = {"twice": [0, 20], "late": [2400], "never": []}.get(self.timer, [0])
        for late in fires:
            self.at(when + timedelta(seconds=late), lambda: self._fire(request["Target"], 0, self.world.now))
        # S4
        gone = when + timedelta(seconds=max([*fires, 0]) + 30)
        self.at(gone, lambda: self.delete_schedule(request["Name"]))

    def _fire(self, target: Mapping[str, Any], tries: int, began: datetime) -> None:
        if self.outage("timers"):
            return
        if not (self.timer == "refused" or self.outage(RECHECK) == "denied"):
            self.accept(RECHECK, json.loads(target["Input"]), "timer")
            return
        # S3
        self.count("TargetErrorCount", "Scheduler")
        again = self.world.now + timedelta(minutes=2**tries)
        policy = target["RetryPolicy"]
        last = began + timedelta(seconds=policy["MaximumEventAgeInSeconds"])
        if tries < policy["MaximumRetryAttempts"] and again <= last:
            self.at(again, lambda: self._fire(target, tries + 1, began))
        else:
            self._deliver(_queue(target["DeadLetterConfig"]["Arn"]), target["Input"], "Scheduler")

    # --- time ---

    def at(self, when: datetime, what: Callable[[], None]) -> None:
        """Let something happen then."""
        heapq.heappush(self._heap, (when, next(self._order), what))

    def wait(self, time: timedelta) -> None:
        """Let time pass within an invocation."""
        self.world.now += time

    def count(self, metric: str, resource: str) -> None:
        """Count what one of AWS's own metrics counts."""
        self.counts.append((self.world.now, metric, resource))

    def step(self, until: datetime) -> bool:
        """Let the next thing happen, if one does by then."""
        sweep, heap = self._next_sweep(), self._heap
        if heap and (sweep is None or heap[0][0] <= sweep):
            when, what = heap[0][0], self._happen
        elif sweep:
            when, what = sweep, self.sweep
        else:
            return False
        if when > until:
            return False
        self._time = self.world.now = when if self.parallel else max(self.world.now, when)
        what()
        return True

    def _happen(self) -> None:
        heapq.heappop(self._heap)[2]()
        if self.waiting and self._ran:
            self._ran, found = False, self.waiting()
            self._waiting = {name: when for name, when in found.items() if when}
            self.finished |= {
                name: self.world.now for name, when in found.items() if when is None and name not in self.finished
            }

    def sweep(self) -> None:
        """Invoke the sweep, by the template's rule; asynchronously as all the rest."""
        self._swept = self.world.now
        self.sweeps.append(self.world.now)
        if not self.outage(SWEEP):
            at = {"time": f"{self.world.now:%Y-%m-%dT%H:%M:%SZ}", "detail-type": "Scheduled Event"}
            self.accept(SWEEP, at, "sweep")

    def now(self) -> None:
        """Let happen what is due at this moment."""
        while self.step(self.world.now):
            pass

    def run(self, until: datetime) -> None:
        """Let everything happen that does until then."""
        while self.step(until):
            pass
        self.world.now = max(self.world.now, until)

    def rest(self, within: timedelta = timedelta(hours=12)) -> None:
        """Let happen all that will; a world that finds no rest breaks the promise."""
        until = self.world.now + within
        while self.step(until):
            pass
        assert not self._heap, "no rest"
        assert not self._waiting, "something waits for nothing"

    def _next_sweep(self) -> datetime | None:
        # E1; a sweep that can find nothing and fail at nothing is left out.
        every, reads = self.rules.sweep_every, self._time
        if self.waiting is not None and not any(map(self.outage, (SWEEP, "CreditCardNotifyTable", "standard output"))):
            if not self._waiting:
                return None
            reads = min(self._waiting.values())
        swept = self._swept or reads
        return swept + every * max(-((swept - reads) // every), 1)


def fail(how: str, call: Any) -> dict[str, Any]:
    """Raise what botocore raises where a service fails in this way."""
    if how in ERROR_CODES:
        code = ERROR_CODES[how]
        raise ClientError({"Error": {"Code": code, "Message": f"{code} for a test"}}, call.operation)
    raise ReadTimeoutError(endpoint_url="a test")


def notification_of(payload: Any) -> str:
    """The notification that a function's event is about."""
    if "Records" in payload:
        body = json.loads(payload["Records"][0]["body"])
        return notification_of(body.get("requestPayload", body))
    found = payload.get("notificationId") or payload["requestContext"]["requestId"]
    return str(found)


def _answer(body: object, more: Mapping[str, str] | None = None) -> dict[str, Any]:
    text = json.dumps(body).encode()
    return {"StatusCode": 200, "Payload": StreamingBody(io.BytesIO(text), len(text)), **(more or {})}
