"""AWS around the handlers, in virtual time: Lambda's queue, SQS, EventBridge Scheduler, the sweep's rule, outages.

No emulator is faithful here, so each rule says what AWS states, and on which page. Numbers come from the template.

L1  Lambda runs a failed asynchronous event again as often as MaximumRetryAttempts says: a minute later, then two.
L2  The same event may be delivered more than once without any error. (`accept` it again.)
L3  After the last attempt, or when the event is too old, Lambda sends the whole request to the OnFailure destination.
    Where that cannot be reached the event is gone; `DestinationDeliveryFailures` counts it.
L4  An asynchronous invocation is accepted before anything runs: the caller hears of no error in the function.
L5  Lambda ends a process that runs for longer than the function's timeout.
L6  Throttled events are tried again for 6 hours, 1 second to 5 minutes apart, whatever MaximumRetryAttempts says.
    Lambda Developer Guide: "Asynchronous invocation" with its pages on errors, retries and records (L1 to L4, L6),
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
    EventBridge Scheduler User Guide: "Schedule types" (S1), "What is Amazon EventBridge Scheduler?" and "Quotas" (S2),
    "Configuring a dead-letter queue" (S3), "Deleting a schedule" (S4).
E1  A rule with rate(...) invokes its target asynchronously at that rate; at the worst the target has just been invoked.
    EventBridge User Guide: "Creating a rule that runs on a schedule".
"""

import heapq
import itertools
import json
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, NoReturn

from botocore.exceptions import ReadTimeoutError

from tests.support.recorded_calls import Answer, Call, client_error, payload

DELAYED_NOTIFY, RECHECK, SWEEP, RETRY = "DelayedNotify", "Recheck", "Sweep", "Retry"
RETRY_WAITS = (timedelta(minutes=1), timedelta(minutes=2))  # L1
THROTTLED_FOR = timedelta(hours=6)  # L6
PRECISION = timedelta(seconds=59)  # S1, at its latest
ERROR_CODES = {
    "denied": "AccessDeniedException",
    "throttled": "ThrottlingException",
    "server error": "InternalServerError",
}
# How a single call can fail.
FAULTS = ("dies before", "dies after", "answer lost", *ERROR_CODES)
Handler = Callable[[Any, Any], Any]
Metrics = dict[tuple[str, str], list[tuple[datetime, datetime, float]]]
"""By a metric and what it is of: from when to when it had which value."""


class Died(BaseException):
    """The process ends in the middle of a call. A `BaseException`, so that no handler catches it."""


class FunctionRules(NamedTuple):
    """What the template says of a function; `on_failure` is a queue."""

    timeout: timedelta
    retries: int
    on_failure: str | None


class Rules(NamedTuple):
    """What the template says: of each function, of the retry queue, which alone has an event source, and of times."""

    functions: Mapping[str, FunctionRules]
    queues: Collection[str]
    visibility: timedelta
    max_receives: int
    sweep_every: timedelta
    pass_timeout: timedelta


def read_rules(resources: Mapping[str, Any]) -> Rules:
    """Read the rules from the template's resources, references resolved."""

    def of(kind: str) -> dict[str, Any]:
        return {name: about["Properties"] for name, about in resources.items() if about["Type"] == f"AWS::{kind}"}

    [rule], retry_queue, functions = of("Events::Rule").values(), of("SQS::Queue")["RetryQueue"], of("Lambda::Function")
    configs, rules = {about["FunctionName"]: about for about in of("Lambda::EventInvokeConfig").values()}, {}
    for name, about in functions.items():
        config, timeout = configs.get(about["FunctionName"], {}), timedelta(seconds=int(about["Timeout"]))
        to = config.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination")
        retries = config.get("MaximumRetryAttempts", len(RETRY_WAITS))
        rules[name.removesuffix("Function")] = FunctionRules(timeout, retries, to and _queue(to))
    return Rules(
        rules,
        of("SQS::Queue"),
        timedelta(seconds=int(retry_queue["VisibilityTimeout"])),
        int(retry_queue["RedrivePolicy"]["maxReceiveCount"]),
        timedelta(minutes=int(re.sub(r"\D", "", rule["ScheduleExpression"]))),
        timedelta(seconds=int(functions["RecheckFunction"]["Environment"]["Variables"]["PASS_TIMEOUT_SECONDS"])),
    )


def _queue(name: str) -> str:
    # Of an ARN or a URL. Queues have no names in the template, so that CloudFormation's end in the logical one.
    return re.split(r"[-:/]", name)[-1]


class Event(NamedTuple):
    function: str
    payload: Any
    source: str
    accepted: datetime
    tries: int = 0
    throttled: int = 0


@dataclass(eq=False)
class Message:
    body: str
    sent: datetime
    received: int = 0


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

    `world.now` is the time, which handlers and calls advance. `outage` says how a thing fails now, by its name:
    "denied", "throttled", "server error", "hanging", "down" or "" for not at all. `waiting` gives for each notification
    when the sweep reads it next, None once it has ended; without it the sweep runs every time. With `parallel` each
    invocation begins at its own time, whatever others take.
    """

    world: Any
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
    metrics: Metrics = field(default_factory=lambda: defaultdict(list))
    sweeps: list[datetime] = field(default_factory=list)
    finished: dict[str, datetime] = field(default_factory=dict)
    running: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        self.queues: dict[str, list[Message]] = {name: [] for name in self.rules.queues}
        self._heap: list[tuple[datetime, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._time: datetime = self.world.now
        self._waiting: dict[str, datetime] = {}
        self._payload: Any = None
        self._ran = False
        self._ends = datetime.max.replace(tzinfo=UTC)

    # --- Lambda ---

    def accept(self, function: str, payload: Any, source: str) -> None:
        """Take an asynchronous invocation: the caller gets 202 and hears no more of it (L2, L4)."""
        self._later(Event(function, payload, source, self.world.now), timedelta())

    def _later(self, event: Event, wait: timedelta) -> None:
        self.at(self.world.now + wait, lambda: self._try(event))

    def _try(self, event: Event) -> None:
        if self.outage(event.function) == "throttled":
            self._hold(event)
            return
        try:
            self._run(event.function, event.payload, "retry" if event.tries else event.source)
        except (Died, Exception):  # noqa: BLE001 - Lambda takes any
            if event.tries < self.redelivers * self.rules.functions[event.function].retries:  # L1
                self._later(event._replace(tries=event.tries + 1), RETRY_WAITS[event.tries])
            else:
                self._give_up(event)

    def _run(self, function: str, payload: Any, source: str) -> Any:
        self.running, self.source, self._payload, self._ran = function, source, payload, True
        self._ends = self.world.now + self.rules.functions[function].timeout
        try:
            return self.handlers[function](payload, None)
        except BaseException as error:
            self.errors.append((function, type(error).__name__))
            self.count("Errors", function)
            if isinstance(error, Died):
                self.restart()
            raise
        finally:
            self.running = self.source = ""

    def _hold(self, event: Event) -> None:
        self.count("Throttles", event.function)
        if self.world.now - event.accepted > THROTTLED_FOR:  # L6
            self._give_up(event)
        else:
            wait = timedelta(seconds=min(300, 2**event.throttled))
            self._later(event._replace(throttled=event.throttled + 1), wait)

    def _give_up(self, event: Event) -> None:
        self.count("AsyncEventsDropped", event.function)
        if queue := self.rules.functions[event.function].on_failure:  # L3
            # Of Lambda's record, what the functions read.
            self._deliver(queue, json.dumps({"requestPayload": event.payload}), event.function)

    def _deliver(self, queue: str, body: str, sender: str) -> None:
        if self.outage("SQS"):
            self.count("DestinationDeliveryFailures", sender)
        else:
            self.send(queue, body)

    def invoke(self, request: Mapping[str, Any]) -> Answer:
        """Answer Lambda's Invoke: asynchronously Recheck, synchronously ProcessPaidOrder."""
        asked = json.loads(request["Payload"])
        if request.get("InvocationType") == "Event":
            self.accept(RECHECK, asked, "sweep")
            return {"StatusCode": 202}
        run = Run(notification_of(self._payload), asked["pass"], self.world.now, self.running)
        self.runs.append(run)
        how, limit = self.outage("ProcessPaidOrder") or self.behaviour(run.number), self.rules.pass_timeout
        if how == "dies":
            raise Died
        # Where it "times out" the caller gives up, and it goes on and finishes.
        run.completed = how not in {"fails", "hangs"}
        takes = {"hangs": limit, "times out": limit, "slow": limit - timedelta(seconds=1)}
        self.world.now += takes.get(how, timedelta(seconds=0.3))
        if how in {"hangs", "times out"}:
            raise ReadTimeoutError(endpoint_url="a test")
        if how == "fails":
            return payload({"errorMessage": "the shop's database is asleep"}, error="Unhandled")
        return payload({"paid": how != "says no"})

    def around(self, call: Call, name: str, effect: Callable[[], Answer]) -> Answer:
        """Make a call of what has this name, as far as its outage and the function's timeout allow."""
        how = self.outage(name)
        if how == "hanging":
            self.world.now += timedelta(seconds=call.patience)
        if self.world.now > self._ends:  # L5
            raise Died
        accepted = name == RECHECK and how == "throttled"  # L4
        return fail(how, call, effect) if how in {*ERROR_CODES, "hanging"} and not accepted else effect()

    # --- SQS ---

    def take(self, request: Mapping[str, Any]) -> Answer:
        self.send(_queue(request["QueueUrl"]), request["MessageBody"])
        return {"MessageId": "1"}

    def send(self, queue: str, body: str) -> None:
        self.count("NumberOfMessagesSent", queue)
        self._put(queue, Message(body, self.world.now))

    def _put(self, queue: str, message: Message) -> None:
        self.queues[queue].append(message)
        if queue == "RetryQueue":
            self.at(self.world.now, lambda: self._receive(message))
        else:
            self.count("ApproximateNumberOfMessagesVisible", queue)

    def _receive(self, message: Message) -> None:
        if self.outage("SQS") or self.outage(RETRY):
            self.at(self.world.now + timedelta(minutes=1), lambda: self._receive(message))
            return
        if message.received >= self.rules.max_receives:  # Q2
            self.queues["RetryQueue"].remove(message)
            self._put("FailureQueue", message)
            return
        message.received += 1
        hidden_until = self.world.now + self.rules.visibility
        if self._consumed(message):  # Q3
            self.queues["RetryQueue"].remove(message)
        else:  # Q1
            self.count("ApproximateNumberOfMessagesNotVisible", "RetryQueue", hidden_until)
            self.at(max(hidden_until, self.world.now), lambda: self._receive(message))

    def _consumed(self, message: Message) -> bool:
        sent = str(round(message.sent.timestamp() * 1000))
        attributes = {"ApproximateReceiveCount": str(message.received), "SentTimestamp": sent}
        record = {"messageId": "1", "body": message.body, "attributes": attributes, "eventSource": "aws:sqs"}
        try:
            answer = self._run(RETRY, {"Records": [record]}, "retry queue")
        except (Died, Exception):  # noqa: BLE001 - Lambda takes any
            return False
        return not (answer or {}).get("batchItemFailures")

    # --- EventBridge Scheduler ---

    def schedule(self, request: Mapping[str, Any]) -> None:
        """Take a schedule that CreateSchedule accepted."""
        when = datetime.strptime(request["ScheduleExpression"], "at(%Y-%m-%dT%H:%M:%S)").replace(tzinfo=UTC) + PRECISION
        fires = {"twice": [0, 20], "late": [2400], "never": []}.get(self.timer, [0])  # S2
        for late in fires:
            self.at(when + timedelta(seconds=late), lambda: self._fire(request["Target"], 0, self.world.now))
        gone = when + timedelta(seconds=max([*fires, 0]) + 30)  # S4
        self.at(gone, lambda: self.delete_schedule(request["Name"]))

    def _fire(self, target: Mapping[str, Any], tries: int, began: datetime) -> None:
        if self.outage("timers"):
            return
        if self.timer != "refused" and self.outage(RECHECK) != "denied":
            self.accept(RECHECK, json.loads(target["Input"]), "timer")
            return
        self.count("TargetErrorCount", "Scheduler")  # S3
        again, policy = self.world.now + timedelta(minutes=2**tries), target["RetryPolicy"]
        is_young = again - began <= timedelta(seconds=policy["MaximumEventAgeInSeconds"])
        if tries < policy["MaximumRetryAttempts"] and is_young:
            self.at(again, lambda: self._fire(target, tries + 1, began))
        else:
            self._deliver(_queue(target["DeadLetterConfig"]["Arn"]), target["Input"], "Scheduler")

    # --- time ---

    def at(self, when: datetime, what: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (when, next(self._order), what))

    def count(self, metric: str, resource: str, until: datetime | None = None) -> None:
        """Count what one of AWS's own metrics counts."""
        self.metrics[metric, resource].append((self.world.now, until or self.world.now, 1))

    def step(self, until: datetime) -> bool:
        """Let the next thing happen, if it is due by then."""
        sweep, happens = self._next_sweep(), self._heap[0][0] if self._heap else None
        when = min(filter(None, (happens, sweep)), default=None)
        if when is None or when > until:
            return False
        self._time = self.world.now = when if self.parallel else max(self.world.now, when)
        if when == happens:
            self._happen()
        else:
            self.sweep()
        return True

    def _happen(self) -> None:
        heapq.heappop(self._heap)[2]()
        if self.waiting and self._ran:
            self._ran, found = False, self.waiting()
            self._waiting = {name: when for name, when in found.items() if when}
            ended = found.keys() - self._waiting.keys() - self.finished.keys()
            self.finished |= dict.fromkeys(ended, self.world.now)

    def sweep(self) -> None:
        """Invoke the sweep, by the template's rule; asynchronously as all the rest."""
        self.sweeps.append(self.world.now)
        if not self.outage(SWEEP):
            at = {"time": f"{self.world.now:%Y-%m-%dT%H:%M:%SZ}", "detail-type": "Scheduled Event"}
            self.accept(SWEEP, at, "sweep")

    def run(self, until: datetime) -> None:
        """Let everything happen that is due by then."""
        while self.step(until):
            pass
        self.world.now = max(self.world.now, until)

    def rest(self, within: timedelta = timedelta(hours=12)) -> None:
        """Let everything happen until nothing is left to; the promise is broken where something always is."""
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
        swept = self.sweeps[-1] if self.sweeps else reads
        return swept + every * max(-((swept - reads) // every), 1)


def fail(how: str, call: Call, effect: Callable[[], Answer]) -> NoReturn:
    """Let a call go wrong in this way, and raise what botocore would."""
    if how in {"dies after", "answer lost"}:
        effect()
    if how in {"dies before", "dies after"}:
        raise Died
    raise client_error(ERROR_CODES[how], call) if how in ERROR_CODES else ReadTimeoutError(endpoint_url="a test")


def notification_of(payload: Any) -> str:
    if "Records" in payload:
        body = json.loads(payload["Records"][0]["body"])
        return notification_of(body.get("requestPayload", body))
    return str(payload.get("notificationId") or payload["requestContext"]["requestId"])
