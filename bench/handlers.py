"""This project's handlers in a process that measures them; `measure`, `study` and `sweep` run in a worker."""

import io
import json
import os
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import boto3
from botocore.client import BaseClient

import delayednotify
import recheck
from bench.notifications import WARMING, notification, timer
from bench.standins import Answer, Standins, in_process, waiting_record
from bench.tables import size
from callback.app import Application
from callback.clock import format_utc
from callback.log import logger
from callback.settings import read_settings

# What DynamoDB adds to each item and each entry of an index.
_ITEM_OVERHEAD = 100
Spent = list[tuple[float, float]]


def use(clock: Callable[[], datetime], shard_map: Any = None) -> dict[str, Any]:  # noqa: ANN401 - the sweep's own
    """Have the handlers use another clock, in an application from the environment, and return them."""
    app, modules = Application(read_settings(os.environ), clock, shard_map), (delayednotify, recheck)
    for module in modules:
        vars(module)["application"] = lambda: app
    return {
        "DelayedNotify": delayednotify.lambda_handler,
        "Recheck": recheck.lambda_handler,
        "Sweep": recheck.sweep_handler,
        "Retry": delayednotify.retry_handler,
    }


def log_to(stream: io.TextIOBase | None = None) -> None:
    """Have the log written somewhere, by default nowhere; it was given standard output when it was imported."""
    handler: Any = logger.registered_handler
    handler.stream = stream or Path(os.devnull).open("w")  # noqa: SIM115 - until the process ends


def _timed(function: Callable[..., Any], spent: Spent) -> Callable[..., Any]:
    def run(*given: object) -> Any:  # noqa: ANN401 - what the function returns
        began, cpu = time.perf_counter(), time.process_time()
        try:
            return function(*given)
        finally:
            spent.append(((time.perf_counter() - began) * 1000, (time.process_time() - cpu) * 1000))

    return run


def _steps(spent: Spent) -> list[Callable[[int], object]]:
    """Return both invocations of a notification; the 60 s between them are counted, not slept."""
    ahead_s = [0]
    handlers = use(lambda: datetime.now(UTC) + timedelta(seconds=ahead_s[0]))
    deliver, again = (_timed(handlers[name], spent) for name in ("DelayedNotify", "Recheck"))

    def first(number: int) -> None:
        ahead_s[0] = 0
        deliver(notification(number), None)

    def second(number: int) -> None:
        ahead_s[0] = 62
        again(timer(number), None)

    return [first, second]


def measure(first: int, count: int, warm: int) -> dict[str, Any]:
    """Run so many notifications; return for each what its handlers took, and of that its calls to AWS."""
    printed, handlers, calls, found = io.StringIO(), Spent(), Spent(), []
    log_to(printed)
    client: Any = BaseClient
    client._make_api_call = _timed(client._make_api_call, calls)  # noqa: SLF001 - the one place that calls pass
    steps = _steps(handlers)
    for number in [*range(WARMING + first, WARMING + first + warm), *range(first, first + count)]:
        if number == first:
            printed.seek(0)
            printed.truncate()
        handlers.clear()
        calls.clear()
        for step in steps:
            step(number)
        found.append([sum(part) for spent in (handlers, calls) for part in zip(*spent, strict=True)])
    names = ("ms", "cpu_ms", "calls_ms", "calls_cpu_ms")
    columns = dict(zip(names, zip(*found[warm:], strict=True), strict=True))
    return columns | {"log_bytes": len(printed.getvalue().encode()) / count}


class _Recorder(Standins):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def answer(self, service: str, operation: str, request: dict[str, Any]) -> Answer:
        self.calls.append(f"{service}.{operation}")
        return super().answer(service, operation, request)

    def run(self, number: int, steps: list[Callable[[int], object]]) -> list[list[str]]:
        """Run a notification, and return the calls of each invocation."""
        made = []
        for step in steps:
            self.calls = []
            step(number)
            made.append(self.calls)
        return made


def study() -> dict[str, Any]:
    """Run a cold notification and a warm one; return the calls, the table units and what is stored in the end."""
    standins, steps = _Recorder(), _steps(Spent())
    in_process(standins)
    log_to()
    cold, _ = standins.run(0, steps)
    for table in standins.tables.values():
        table.units.clear()
    warm = standins.run(1, steps)
    units = sum((table.units for table in standins.tables.values()), Counter[str]())
    item = json.loads(list(standins.records.items.values())[-1])
    entries = {name: standins.records.entry(item, name) for name in standins.records.keys if name}
    return {
        "calls": Counter(name for made in warm for name in made),
        "cold_calls": len(cold),
        "warm_calls": [len(made) for made in warm],
        "writes": units["write"],
        "reads": units["read"],
        "index_writes": sum(count for name, count in units.items() if name.startswith("index ")),
        "due_writes": units["index due"],
        "record_bytes": size(item) + _ITEM_OVERHEAD,
        "index_bytes": {name: size(entry) + _ITEM_OVERHEAD for name, entry in entries.items() if entry},
    }


def sweep(first: int, count: int) -> dict[str, float]:
    """Sweep so many overdue records over HTTP, then five times nothing; what is overdue is counted in CPU time."""
    printed, spent, due = io.StringIO(), Spent(), {"S": format_utc(datetime.now(UTC) - timedelta(minutes=10))}
    log_to(printed)
    run = _timed(recheck.sweep_handler, spent)
    run({}, None)  # makes the clients
    client, table = boto3.client("dynamodb"), os.environ["CREDIT_CARD_NOTIFY_TABLE"]
    for number in range(first, first + count):
        times = {"nextPassDue": due, "firstDue": due, "sweepAt": due, "sweepShard": {"N": str(number % 16)}}
        client.put_item(TableName=table, Item=waiting_record(number) | times)
    # A slow machine may not reach the end within a sweep's time.
    handed_over = run({}, None)["handedOver"]
    for _ in range(5):
        run({}, None)
    _, (_, cpu_ms), *idle = spent
    log_bytes = len(printed.getvalue().splitlines()[-1])
    return {"cpu_ms": cpu_ms / handed_over, "idle_ms": median(ms for ms, _ in idle), "log_bytes": log_bytes}
