"""This project's handlers in a process that measures them; `measure`, `study` and `sweep` run in a worker."""

import io
import json
import logging
import os
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

import boto3
from botocore.client import BaseClient

import delayednotify
import recheck
from bench.notifications import WARMING, notification, timer
from bench.standins import Standins, in_process, waiting_record
from bench.tables import size
from bench.worker import Spent, timed
from callback.app import Application
from callback.log import logger
from callback.settings import read_settings
from callback.table import format_utc

# What DynamoDB adds to each item and each entry of an index.
_ITEM_OVERHEAD = 100


def use(clock: Callable[[], datetime], shard_map: Any = None) -> dict[str, Any]:  # noqa: ANN401 - the sweep's own
    """Make the handlers use another clock, in an application from the environment, and return them."""
    app, modules = Application(read_settings(os.environ), clock, shard_map), (delayednotify, recheck)
    for module in modules:
        vars(module)["application"] = lambda: app
    return {
        "DelayedNotify": delayednotify.lambda_handler,
        "Recheck": recheck.lambda_handler,
        "Sweep": recheck.sweep_handler,
        "Retry": delayednotify.retry_handler,
    }


def _log() -> io.StringIO:
    """Return the stream that the log writes to from now on; at import it took standard output."""
    handler: Any = logger.registered_handler
    handler.stream = io.StringIO()
    return handler.stream  # type: ignore[no-any-return]


def _steps(spent: Spent) -> list[Callable[[int], object]]:
    """Return both invocations of a notification; the 60 s between them are counted, not slept."""
    ahead = [timedelta()]
    handlers = use(lambda: datetime.now(UTC) + ahead[0])
    deliver, again = (timed(handlers[name], spent) for name in ("DelayedNotify", "Recheck"))

    def first(number: int) -> None:
        ahead[0] = timedelta()
        deliver(notification(number), None)

    def second(number: int) -> None:
        ahead[0] = timedelta(seconds=62)
        again(timer(number), None)

    return [first, second]


def measure(first: int, count: int, warm: int) -> dict[str, Any]:
    """Run `count` notifications; return for each what its handlers took, and of that its calls to AWS."""
    handlers, calls, found = Spent(), Spent(), []
    client: Any = BaseClient
    client._make_api_call = timed(client._make_api_call, calls)  # noqa: SLF001 - the one place that calls pass
    steps = _steps(handlers)
    for number in [*range(WARMING + first, WARMING + first + warm), *range(first, first + count)]:
        if number == first:
            printed = _log()
        handlers.clear()
        calls.clear()
        for step in steps:
            step(number)
        found.append([sum(part) for spent in (handlers, calls) for part in zip(*spent, strict=True)])
    columns = zip(("ms", "cpu_ms", "calls_ms", "calls_cpu_ms"), zip(*found[warm:], strict=True), strict=True)
    return dict(columns) | {"log_bytes": len(printed.getvalue().encode()) / count}


def study() -> dict[str, Any]:
    """Run a cold notification and a warm one; return the calls, the table units and what is stored in the end."""
    logging.disable()
    steps, made = _steps(Spent()), []
    for number in range(2):
        standins = Standins()
        in_process(standins)
        for step in steps:
            step(number)
            made.append(standins.calls.total())
    cold, _, delivery, both = made
    units = sum((table.units for table in standins.tables.values()), Counter[str]())
    item = json.loads(list(standins.records.items.values())[-1])
    return {
        "calls": standins.calls,
        "cold_calls": cold,
        "warm_calls": [delivery, both - delivery],
        "writes": units["write"],
        "reads": units["read"],
        "index_writes": sum(count for name, count in units.items() if name.startswith("index ")),
        "due_writes": units["index due"],
        "record_bytes": size(item) + _ITEM_OVERHEAD,
        "entry_bytes": size(standins.records.entry(item, "order")) + _ITEM_OVERHEAD,
    }


def sweep(first: int, count: int) -> dict[str, float]:
    """Sweep `count` overdue records over HTTP, in CPU time, then five times nothing."""
    spent, due, printed = Spent(), {"S": format_utc(datetime.now(UTC) - timedelta(minutes=10))}, _log()
    run = timed(recheck.sweep_handler, spent)
    run({}, None)  # makes the clients
    client, table = boto3.client("dynamodb"), os.environ["CREDIT_CARD_NOTIFY_TABLE"]
    for number in range(first, first + count):
        times = {"nextPassDue": due, "firstDue": due, "sweepAt": due, "sweepShard": {"N": str(number % 16)}}
        client.put_item(TableName=table, Item=waiting_record(number) | times)
    # A slow machine may not finish within a sweep's time.
    handed_over = run({}, None)["handedOver"]
    for _ in range(5):
        run({}, None)
    _, (_, cpu_ms), *idle = spent
    log_bytes = len(printed.getvalue().splitlines()[-1])
    return {"cpu_ms": cpu_ms / handed_over, "idle_ms": median(ms for ms, _ in idle), "log_bytes": log_bytes}
