"""A small world around the handlers: moto's tables made from the template, a clock to set, and a ProcessPaidOrder."""

import copy
import io
import itertools
import json
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import Any, ClassVar

import boto3
import pytest
from boto3.dynamodb.types import TypeSerializer
from moto import mock_aws

import delayednotify
import recheck
from callback.app import Application
from callback.log import logger
from callback.settings import read_settings
from callback.table import format_utc, parse_utc
from local.emulator import REGION, ROOT
from local.stack import SECRET
from tests.support.call_purposes import dependency
from tests.support.lambda_model import DELAYED_NOTIFY, RECHECK, RETRY, SWEEP, Model, read_rules
from tests.support.recorded_calls import Answer, Call, RecordedCalls, backend, listening, payload
from tests.support.template import resolved
from tests.support.without_coverage import without_coverage

START = datetime(2026, 11, 22, 9, 30, 17, 250_000, tzinfo=UTC)
CHARGE = "chrg_test_22500001aa11bb22cc33dd44"
NOTIFICATION = json.loads((ROOT / "events" / "authorized.json").read_text())["requestContext"]["requestId"]
ORDER = "ORDER-1001"
RETURN_URL = "https://shop.local.example/thanks"
# One for all tests: what takes time is reading AWS's service models.
SESSION: Any = boto3.Session(region_name=REGION, aws_access_key_id="none", aws_secret_access_key="none")
_TABLES: dict[str, Any] = {}  # as moto makes them, empty
PARAMETERS = {
    "RedirectUrlTemplate": "https://shop.local.example/orders/{orderId}",
    "RedirectAllowedOrigins": "https://shop.local.example",
    "ErrorMailFrom": "payment3@local.example",
    "ErrorMailTo": "on-call@local.example",
}
HANDLERS: dict[str, Callable[[Any, Any], Any]] = {
    DELAYED_NOTIFY: delayednotify.lambda_handler,
    RECHECK: recheck.lambda_handler,
    SWEEP: recheck.sweep_handler,
    RETRY: delayednotify.retry_handler,
}


class _Session:
    """What the functions get as a session: each client is made once for all tests, because making one is slow."""

    _made: ClassVar[dict[tuple[str, Any], Any]] = {}
    asked: ClassVar[list[dict[str, str]]] = []

    def __init__(self, **asked: str) -> None:
        self.asked.append(asked)

    def client(self, service: str, config: Any) -> Any:
        kind = (service, config.read_timeout)
        if kind not in self._made:
            self._made[kind] = SESSION.client(service, config=config)
        return self._made[kind]


@contextmanager
def moto(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let moto answer boto3. It does not patch the library `requests`, which would take most of its time."""
    monkeypatch.setattr(boto3, "Session", _Session)
    monkeypatch.setattr("moto.core.models.RESPONSES_METHODS", ())
    with mock_aws():
        yield


@contextmanager
def made(wire: RecordedCalls, monkeypatch: pytest.MonkeyPatch) -> Iterator["World"]:
    printed = io.StringIO()
    monkeypatch.setattr(logger.registered_handler, "stream", printed)
    with moto(monkeypatch):
        world = World(wire, printed)
        monkeypatch.setattr("moto.sqs.models.unix_time", world.monotonic)
        ticks = itertools.count()  # a letter that is hidden until now can be received only after now
        monkeypatch.setattr("moto.sqs.models.unix_time_millis", lambda: world.monotonic() * 1000 + next(ticks) / 1000)
        for module in (delayednotify, recheck):
            monkeypatch.setattr(module, "application", lambda: world.app)
        yield world


@contextmanager
def worlds() -> Iterator["World"]:
    """Make a world for many stories: fast, without coverage or checks of requests, and with fewer calls for moto."""
    with pytest.MonkeyPatch.context() as patch, made(listening(patch), patch) as world, without_coverage():
        unbounded = "moto.dynamodb.models.dynamo_type.LimitedSizeDict.__setitem__"
        patch.setattr(unbounded, dict.__setitem__)  # no story's item is near DynamoDB's limit
        patch.setattr("tests.support.recorded_calls.violations", lambda *_: "")  # other tests send the like
        world.wire.answers["secretsmanager.GetSecretValue"] = lambda _call: {"SecretString": json.dumps(SECRET)}
        world.wire.answers["ses.SendEmail"] = lambda _call: {"MessageId": "1"}
        yield world


def sample(name: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((ROOT / "events" / f"{name}.json").read_text())
    return event


@dataclass(repr=False)
class World:
    wire: RecordedCalls
    printed: io.StringIO
    lines: list[tuple[datetime, str, dict[str, Any]]] = field(default_factory=list)
    now: datetime = START
    changes: dict[str, str] = field(default_factory=dict)
    took: timedelta = timedelta(milliseconds=300)

    def __post_init__(self) -> None:
        self.resources = resolved(**PARAMETERS)
        self.environment = self.resources["RecheckFunction"]["Properties"]["Environment"]["Variables"]
        self._make_tables()
        backend("scheduler").create_schedule_group(self.environment["SCHEDULE_GROUP"], [])
        backend("ses").verify_email_identity(self.environment["ERROR_MAIL_FROM"])
        secret = {"Name": self.environment["KBANK_SECRET_ID"], "SecretString": json.dumps(SECRET)}
        self.client("secretsmanager").create_secret(**secret)
        self.wire.answers["lambda.Invoke"] = self._process_paid_order
        self.cold_start()

    def cold_start(self, **changes: str) -> None:
        """Forget everything in memory; later changes of the environment add to earlier ones."""
        self.changes |= changes
        self.app = Application(read_settings(self.environment | self.changes), lambda: self.now, self._all_at_once)

    def _all_at_once(self, work: Callable[[int], Any], shards: Iterable[int]) -> list[Any]:
        """Run the sweep's shards in one order, so that each run is like the last, but at the same time."""
        began, ended, answers = self.now, [self.now], []
        for shard in shards:
            self.now = began
            answers.append(work(shard))
            ended.append(self.now)
        self.now = max(ended)
        return answers

    def _make_tables(self) -> None:
        # moto makes them for the first world, and the others copy them: moto takes longer than most tests do.
        tables = backend("dynamodb").tables
        names = ("TableName", "BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")
        for resource in self.resources.values() if not _TABLES else ():
            if resource["Type"] == "AWS::DynamoDB::Table":
                about = resource["Properties"]
                self.client("dynamodb").create_table(**{name: about[name] for name in names if name in about})
                _TABLES[about["TableName"]] = copy.deepcopy(tables[about["TableName"]])
        tables |= copy.deepcopy(_TABLES)

    def empty(self, **changes: str) -> None:
        """Forget all that happened, which is faster than a new world; the waits have the same jitter again."""
        for variable in ("CREDIT_CARD_NOTIFY_TABLE", "CALLBACK_ERROR_LOG_TABLE", "ORDER_TABLE"):
            self._kept(variable).items.clear()
        self.fire()
        self.wire.calls.clear()
        self.lines.clear()
        self._take_printed()
        self.now, self.changes = START, {}
        self.cold_start(**changes)
        random.seed(1)  # the jitter of the waits

    def _process_paid_order(self, call: Call) -> Answer:
        self.now += self.took
        return payload({"paid": True, "pass": json.loads(call.request["Payload"])["pass"]})

    # --- what happens ---

    def deliver(self, event: object = None) -> Any:
        with self.wire:
            return delayednotify.lambda_handler(sample("authorized") if event is None else event, None)

    def recheck(self, number: int = 2, **changes: object) -> Any:
        event = {"version": 1, "chargeId": CHARGE, "notificationId": NOTIFICATION, "orderId": ORDER, "pass": number}
        with self.wire:
            return recheck.lambda_handler(event | {"dueAt": format_utc(self.now)} | changes, None)

    def retry(self, *bodies: object, **attributes: str) -> Any:
        """The retry queue's event source invokes RetryFunction with messages."""
        sent = {"ApproximateReceiveCount": "1", "SentTimestamp": str(round(self.now.timestamp() * 1000))} | attributes
        texts = enumerate(map(json.dumps, bodies))
        records = [{"messageId": str(number), "body": text, "attributes": sent} for number, text in texts]
        with self.wire:
            return delayednotify.retry_handler({"Records": records}, None)

    def sweep(self) -> Any:
        event = {"detail-type": "Scheduled Event", "time": f"{self.now:%Y-%m-%dT%H:%M:%SZ}"}
        with self.wire:
            return recheck.sweep_handler(event, None)

    def finished(self, count: int) -> None:
        """Add so many notifications that are DONE: one item, under as many keys."""
        done = {"chargeId": "done", "notificationId": "done", "orderId": ORDER, "state": "DONE", "passesDone": 2}
        self.put("CREDIT_CARD_NOTIFY_TABLE", done)
        kept = self._kept("CREDIT_CARD_NOTIFY_TABLE").items
        kept.update({f"done-{number}": kept["done"] for number in range(count)})

    def monotonic(self) -> float:
        return self.now.timestamp()

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    # --- the model of AWS around the handlers ---

    def model(self, **options: Any) -> Model:
        """A model that invokes the handlers as the template says."""
        options = {"waiting": self._waiting, "restart": self.cold_start} | options
        options["delete_schedule"] = lambda name: self._timers().pop(name, None)
        handlers = {name: partial(self._invoke, name) for name in HANDLERS}
        model, wire = Model(self, handlers, read_rules(self.resources), **options), self.wire
        wire.answers["lambda.Invoke"] = lambda call: model.invoke(call.request)
        wire.answers["sqs.SendMessage"] = lambda call: model.take(call.request)
        wire.after["scheduler.CreateSchedule"] = lambda call: model.schedule(call.request)
        wire.around = lambda call, effect: model.around(call, dependency(call), effect)
        return model

    def _invoke(self, name: str, payload: Any, context: Any) -> Any:
        try:
            with self.wire:
                return HANDLERS[name](payload, context)
        finally:
            self.lines += [(self.now, name, json.loads(line)) for line in self._take_printed().splitlines()]

    def _take_printed(self) -> str:
        text = self.printed.getvalue()
        self.printed.seek(0)
        self.printed.truncate()
        return text

    def _waiting(self) -> dict[str, datetime | None]:
        # Read where moto keeps it, since it is needed after each event.
        rows = [item.attrs for item in self._kept("CREDIT_CARD_NOTIFY_TABLE").all_items()]
        return {
            row["notificationId"].value: parse_utc(row["sweepAt"].value) if "sweepAt" in row else None for row in rows
        }

    # --- what is there ---

    @staticmethod
    @cache
    def client(service: str) -> Any:
        return SESSION.client(service)

    def put(self, variable: str, item: dict[str, Any]) -> None:
        """Write an item where moto keeps it, without a call, which would take much longer."""
        self._kept(variable).put_item({name: TypeSerializer().serialize(value) for name, value in item.items()})

    def rows(self, variable: str) -> list[dict[str, Any]]:
        """Everything in a table, read where moto keeps it, without a call."""
        return [item.to_regular_json() for item in self._kept(variable).all_items()]

    def _kept(self, variable: str) -> Any:
        return backend("dynamodb").tables[self.environment[variable]]

    def record(self) -> dict[str, Any]:
        [record] = self.rows("CREDIT_CARD_NOTIFY_TABLE")
        return record

    def error(self) -> dict[str, Any]:
        [row] = self.errors()
        return row

    def errors(self) -> list[dict[str, Any]]:
        """The error log without the rows that count the mails."""
        return [row for row in self.rows("CALLBACK_ERROR_LOG_TABLE") if "errorType" in row]

    def schedules(self) -> list[str]:
        """The names of the timers that are set, read where moto keeps them."""
        return sorted(self._timers())

    def fire(self) -> None:
        """Scheduler deletes the timers that it fired."""
        self._timers().clear()

    def _timers(self) -> Any:
        return backend("scheduler").schedule_groups[self.environment["SCHEDULE_GROUP"]].schedules

    def log(self, containing: str = "") -> list[dict[str, Any]]:
        """The log lines so far whose message contains a text."""
        lines = [json.loads(line) for line in self.printed.getvalue().splitlines()]
        return [line for line in lines if containing in line["message"]]

    def metrics(self, name: str) -> list[dict[str, Any]]:
        """The log lines so far that carry a value of a metric."""
        return [line for line in self.log() if "_aws" in line and name in line]

    def mails(self) -> list[dict[str, Any]]:
        return self.wire.of("ses.SendEmail")

    def passes(self) -> list[dict[str, Any]]:
        """What ProcessPaidOrder was invoked with, whether or not the pass succeeded."""
        return [json.loads(request["Payload"]) for request in self.wire.of("lambda.Invoke")]

    def pay(self, **attributes: object) -> None:
        self.put("CARD_PAYMENT_RECORD_TABLE", {"chargeId": CHARGE, "orderId": ORDER} | attributes)

    def order(self, **attributes: object) -> None:
        self.put("ORDER_TABLE", {"orderId": ORDER, "returnUrl": RETURN_URL} | attributes)

    def payment(self) -> dict[str, Any]:
        [payment] = self.rows("CARD_PAYMENT_RECORD_TABLE")
        return payment
